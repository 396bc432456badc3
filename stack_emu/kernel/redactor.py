"""What keeps secrets out of everything that is kept or shown: the redactor, which knows a world's secrets by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.secret_masking import Cleaning
from stack_emu.kernel.secret_scan import CREDENTIAL, JWT, SHORTEST, TOKEN, Scanner

SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-passport-token",
        "x-stack-passport",
        "x-api-key",
        "cookie",
        "set-cookie",
    }
)
_FEW = 40
"""Secrets that are looked for one by one; more are searched for together."""

_WORD, _WORDS = 64, 4096
"""Texts up to this length are remembered when they held nothing to mask, so many of them."""


@dataclass(frozen=True)
class Learned:
    """A secret a redactor was told of.

    Args:
        secret: its text.
        name: what it is called.
        kind: what sort it is; None for what is masked but may be sent.
        masked: whether texts are masked by it.
    """

    secret: str = field(repr=False)
    name: str
    kind: str | None
    masked: bool = True


class Redactor:
    """Replaces secrets in text and JSON by their names, so that what is kept can be shown to anyone.

    Known secrets are replaced by ``<secret:NAME>``; anything with the form of a JWT becomes ``<token>``, anything of a
    form that was added ``<NAME>``. Secrets that are encoded are replaced from ``beware`` on, that is once one of them was
    seen where it should not be: until then no text can hold one.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._current: dict[str, str] = {}
        self._forms: dict[str, tuple[re.Pattern[str], str]] = {}
        self._wary = False
        self._clean: set[str] = set()
        self.scanner = Scanner()
        self.learned: list[Learned] = []

    def add(self, secret: str, name: str, kind: str | None = CREDENTIAL) -> None:
        """Learn a secret; texts shorter than six characters are refused because they would mask ordinary words.

        Args:
            secret: its text.
            name: what it is called. A name that belonged to another secret now means this one; the other becomes the
                old one of that name.
            kind: what sort of secret it is; None for what is masked but may be sent.
        """
        if len(secret) < SHORTEST:
            return
        self._clean.clear()
        self._names[secret] = name
        self.learned.append(Learned(secret, name, kind))
        if kind is None:
            return
        before = self._current.get(name)
        if before is not None and before != secret:
            self.scanner.add(before, f"{name} (an old one)", kind)
        self._current[name] = secret
        self.scanner.add(secret, name, kind)

    def look_for(self, secret: str, name: str, kind: str) -> None:
        """Learn a secret that is not to be sent, though texts are not masked by it: a form masks it, or its parts are known."""
        self._clean.clear()
        self.learned.append(Learned(secret, name, kind, masked=False))
        self.scanner.add(secret, name, kind)

    def learn(self, again: Iterable[Learned]) -> None:
        """Learn what a redactor had learned, in its order."""
        for one in again:
            if one.masked or one.kind is None:
                self.add(one.secret, one.name, one.kind)
            else:
                self.look_for(one.secret, one.name, one.kind)

    def add_form(
        self,
        prefix: str,
        pattern: str,
        name: str,
        kind: str = TOKEN,
        namer: Callable[[str], tuple[str, str] | None] | None = None,
    ) -> None:
        """Learn a form of secrets, for those that are too many and too short-lived to be learnt one by one.

        Args:
            prefix: text that every secret of the form begins with.
            pattern: regular expression for what follows the prefix.
            name: what replaces them, in angle brackets.
            kind: what sort of secrets they are.
            namer: name and kind of one of them; None from it for a text that is no secret after all.
        """
        self._clean.clear()
        self._forms[prefix] = (re.compile(re.escape(prefix) + pattern), name)
        self.scanner.add_form(prefix, pattern, name, kind, namer)

    def beware(self) -> None:
        """A secret is about in some encoded form: look for all forms from now on."""
        self._wary = True

    def names_in(self, text: str) -> list[str]:
        """Names of the known secrets, and of forms of secrets, that occur in ``text``."""
        forms = self._forms.items()
        shaped = [name for prefix, (pattern, name) in forms if prefix in text and pattern.search(text)]
        return [name for secret, name in self._names.items() if secret in text] + shaped

    def text(self, text: str) -> str:
        """``text`` with known secrets and JWTs masked."""
        return self.thorough(text) if self._wary else self._masked(text)

    def _masked(self, text: str) -> str:
        if len(self._names) <= _FEW or self.scanner.suspicious(text.encode("utf-8", "surrogatepass")):
            for secret, name in self._names.items():
                if secret in text:
                    text = text.replace(secret, f"<secret:{name}>")
        for prefix, (pattern, name) in self._forms.items():
            if prefix in text:
                text = pattern.sub(f"<{name}>", text)
        return JWT.sub("<token>", text) if "eyJ" in text else text

    def thorough(self, text: str) -> str:
        """As ``text``, whatever form the secrets have."""
        return self._masked(Cleaning(self.scanner, deep=True).text(text)[0])

    def traceback(self) -> str:
        """The traceback of the exception being handled, secrets in its message masked."""
        import traceback

        return self.text(traceback.format_exc().rstrip())

    def value(self, value: Any) -> Any:
        """JSON data with every string (keys too) masked."""
        return self._value(Cleaning(self.scanner, deep=True).value(value) if self._wary else value)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if value in self._clean else self._word(value)
        if isinstance(value, (dict, Mapping)):
            clean = self._clean
            return {(key if key in clean else self._word(str(key))): self._value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value(item) for item in value]
        return value

    def _word(self, text: str) -> str:
        """``text`` masked; what needs no masking and is short comes again, as names of fields do, and is remembered."""
        masked = self._masked(text)
        if masked == text and len(text) <= _WORD:
            if len(self._clean) >= _WORDS:
                self._clean.clear()
            self._clean.add(text)
        return masked

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers with credential-bearing ones reduced to their scheme and all others masked."""
        shown: dict[str, str] = {}
        for name, value in headers.items():
            if name.lower() in SECRET_HEADERS:
                scheme, separator, _ = value.partition(" ")
                shown[name] = f"{scheme} <masked>" if separator and len(scheme) <= 12 else "<masked>"
            else:
                shown[name] = self.text(value)
        return shown

    def copy(self) -> Redactor:
        """A redactor that masks the same texts."""
        twin = Redactor()
        twin._names = dict(self._names)
        twin._current = dict(self._current)
        twin._forms = dict(self._forms)
        twin._wary = self._wary
        twin.scanner = self.scanner.copy()
        return twin
