"""Secrets in what was recorded: found by their names, their forms and their randomness, and replaced by canaries."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from stack_emu.recording.exchanges import Recorded

SECRET_NAME = re.compile(
    r"authorization|cookie|token|secret|passw|api[-_]?key|apikey|access[-_]?key|private[-_]?key|credential"
    r"|^(sid|signature|session[-_]?id|assertion)$",
    re.IGNORECASE,
)
"""Names of headers, parameters and fields whose values are secrets, whatever they look like."""
_SECRET_PARAMETER = re.compile(r"^(sig|session|auth|key|code)$", re.IGNORECASE)
"""Names that stand for a secret in a query; in a body they are as often an error's code or the key of a ticket."""
_HARMLESS_NAME = re.compile(
    r"^(token_type|token_endpoint\w*|max_tokens|\w*_tokens|next_page_token|.*expires?(_in|_at)?)$", re.IGNORECASE
)
_FORMS = re.compile(
    r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"
    r"|(?:sk|pk|rk)[-_](?:live|test|ant|proj)[-_][A-Za-z0-9_-]{6,}|sk-[A-Za-z0-9_-]{16,}"
    r"|xox[a-z]-[A-Za-z0-9-]{6,}|xapp-[A-Za-z0-9-]{6,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"
    r"|glpat-[A-Za-z0-9_-]{12,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}|ya29\.[A-Za-z0-9._-]{10,}"
    r"|whsec_[A-Za-z0-9+/=_-]{6,}|lin_(?:api|oauth)_[A-Za-z0-9]{12,}|(?:secret|ntn)_[A-Za-z0-9]{20,}"
    r"|canary-[a-z2-7]{16,}"
)
"""Secrets of well-known providers, JSON Web Tokens, and the emulator's own canaries."""
_WORD = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BITS_A_CHARACTER = 3.7
_SHORTEST = 6


class SecretLeft(Exception):
    """A secret would have been written; the message names it without showing it."""


class Secrets:
    """The secrets of a recording, each with the canary that takes its place."""

    def __init__(self, exchanges: Iterable[Recorded] = ()) -> None:
        self._canaries: dict[str, str] = {}
        for exchange in exchanges:
            for name, value in _named(exchange):
                self.learn(value, name)
            for text in _texts(exchange):
                for found in random_words(text):
                    self.learn(found, "random")

    def __len__(self) -> int:
        return len(self._canaries)

    def learn(self, value: str, name: str) -> None:
        """Take a value for a secret; what is shorter than six characters would be found in ordinary words.

        Args:
            value: the secret.
            name: what it was called.
        """
        scheme, _, rest = value.partition(" ")
        if rest and scheme.lower() in ("bearer", "basic", "token", "bot"):
            self._learn_basic(rest, name) if scheme.lower() == "basic" else None
            value = rest.strip()
        if len(value) >= _SHORTEST and value not in self._canaries:
            word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "secret"
            self._canaries[value] = f"canary-{word}-{len(self._canaries) + 1}"

    def _learn_basic(self, encoded: str, name: str) -> None:
        try:
            both = base64.b64decode(encoded, validate=True).decode("utf-8")
        except ValueError:
            return
        self.learn(both.partition(":")[2], f"{name}-password")

    def text(self, text: str) -> str:
        """Text with every secret, however it is spelt, replaced by its canary."""
        for secret in sorted(self._canaries, key=len, reverse=True):
            for spelling in spellings(secret):
                if spelling in text:
                    text = text.replace(spelling, self._canaries[secret])
        return text

    def value(self, value: Any, name: str = "") -> Any:
        """JSON data with every secret replaced: by its value, and where its name says that it is one."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item, str(key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, name) for item in value]
        if isinstance(value, str):
            return f"canary-{name.lower()}" if is_secret_name(name) and self.text(value) == value else self.text(value)
        return value

    def require_none(self, text: str) -> None:
        """Make sure that no secret is in a text, plain, URL-encoded, in hexadecimal or in base64.

        Raises:
            SecretLeft: when there is one.
        """
        for secret, canary in self._canaries.items():
            if any(spelling in text for spelling in spellings(secret)):
                raise SecretLeft(
                    f"a secret ({canary.removeprefix('canary-')}) would be in the file; nothing is written"
                )


def is_secret_name(name: str, *, parameter: bool = False) -> bool:
    """Whether what goes by a name is a secret.

    Args:
        name: of a header, a parameter or a field.
        parameter: whether it stands in a query.
    """
    if parameter and _SECRET_PARAMETER.match(name) is not None:
        return True
    return SECRET_NAME.search(name) is not None and _HARMLESS_NAME.match(name) is None


def spellings(secret: str) -> list[str]:
    """A secret as it is, and as it looks URL-encoded, in hexadecimal, and inside base64 at each of three offsets."""
    raw = secret.encode("utf-8")
    found = [secret, quote(secret, safe=""), quote(secret), quote_plus(secret), raw.hex()]
    if len(raw) >= 2 * _SHORTEST:
        found += [_inside(raw, offset, encode) for offset in range(3) for encode in _BASE64]
    return list(dict.fromkeys(found))


_BASE64 = (base64.b64encode, base64.urlsafe_b64encode)


def _inside(raw: bytes, offset: int, encode: Any) -> str:
    """The characters of a base64 text that depend on these bytes alone, when they begin at an offset."""
    whole: str = encode(b"\0" * offset + raw).decode("ascii").rstrip("=")
    return whole[-(-8 * offset // 6) : (8 * (offset + len(raw))) // 6]


def random_words(text: str) -> Iterator[str]:
    """The words of a text that have the form of a secret, or are too random to be anything else."""
    for found in _FORMS.finditer(text):
        yield found.group()
    for found in _WORD.finditer(text):
        word = found.group()
        if _UUID.fullmatch(word) is None and _is_random(word):
            yield word


def _is_random(word: str) -> bool:
    kinds = (str.islower, str.isupper, str.isdigit)
    if sum(any(kind(character) for character in word) for kind in kinds) < 2 or "/" in word[1:-1].strip("/")[:8]:
        return False
    counts = Counter(word)
    bits = -sum(count / len(word) * math.log2(count / len(word)) for count in counts.values())
    return bits >= _BITS_A_CHARACTER


def _named(exchange: Recorded) -> Iterator[tuple[str, str]]:
    pairs = [*exchange.headers.items(), *exchange.query, *exchange.reply_headers.items()]
    pairs += [*_leaves(exchange.content), *_leaves(exchange.reply)]
    yield from ((name, value) for name, value in exchange.query if is_secret_name(name, parameter=True))
    for name, value in pairs:
        if is_secret_name(name):
            yield name, value
            if "cookie" in name.lower():
                for part in value.split(";"):
                    yield f"cookie {part.partition('=')[0].strip()}", part.partition("=")[2].strip()


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)
    elif isinstance(value, str):
        yield name, value


def _texts(exchange: Recorded) -> Iterator[str]:
    yield exchange.path
    for _, value in exchange.query:
        yield value
    for headers in (exchange.headers, exchange.reply_headers):
        yield from (value for name, value in headers.items() if name.lower() in ("location", "link", "x-api-key"))
    for body in (exchange.content, exchange.reply):
        if isinstance(body, str):
            yield body
        yield from (value for _, value in _leaves(body))
