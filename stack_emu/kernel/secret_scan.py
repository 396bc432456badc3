"""The scanner: which known secrets a text holds, in whatever form.

One search with RE2 over all clues (a few microseconds whatever their number) clears almost every text; only one with a clue is
taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stack_emu.kernel.secret_forms import (
    CLEAR,
    cheap_layers,
    clues,
    deep_layers,
    encoded_clues,
    is_plain,
    linear,
    squeeze,
)

CREDENTIAL = "credential"
TOKEN = "token"  # noqa: S105  the name of a kind
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
SHORTEST = 6
"""Characters; shorter texts are not taken for secrets: they would be found in ordinary words."""

_DEPTH = 4
_BLIND_DEPTH = 2
_MOST_LAYERS = 200
_MOST_BYTES = 64 * 1024 * 1024
_PIECES = "in pieces"
_TELLING = 8
"""Characters a prefix must have for a form to be recognised where pieces are put together."""
_LONG = 16 * 1024
"""Bytes above which only what stands around its clues is decoded."""
_LONGEST_FORM = 1024
"""Characters that a secret known by its form alone has at most in practice."""
_WIDEST_FORM = 3
"""How many times longer than the secret its longest form is: UTF-16 in Base64."""
_PIECED = 12
"""Characters a secret must have to be recognised in pieces, in the other case or backwards."""


@dataclass(frozen=True)
class Sighting:
    """A secret that was seen.

    Args:
        name: what it is called; never its value.
        kind: what sort of secret it is.
        how: the form it had, such as ``in clear`` or ``base64``.
        text: the secret itself, as it is known.
    """

    name: str
    kind: str
    how: str
    text: str = ""

    def __repr__(self) -> str:
        return f"Sighting({self.name!r}, {self.kind!r}, {self.how!r})"


@dataclass(frozen=True)
class _Known:
    name: str
    kind: str
    text: str


@dataclass(frozen=True)
class _Form:
    pattern: re.Pattern[bytes]
    clear: bytes
    encoded: frozenset[bytes]
    name: str
    kind: str
    namer: Callable[[str], tuple[str, str] | None] | None = None


class _Tier:
    """Secrets that are searched for together."""

    def __init__(self, secrets: list[_Known]) -> None:
        self.secrets = secrets
        self.texts: frozenset[bytes] = frozenset().union(*(clues(secret.text) for secret in secrets))
        raws = [secret.text.encode("utf-8", "surrogatepass") for secret in secrets]
        self.encoded: frozenset[bytes] = frozenset().union(*map(encoded_clues, raws))
        self._clear: Any = None

    @cached_property
    def clues(self) -> Any:
        """A search for all clues."""
        return _search_for(self.texts, True)

    def in_clear(self, data: bytes) -> Iterable[_Known]:
        """The secrets of the tier that stand in a text as they are, or squeezed."""
        if self._clear is None:
            raws = [secret.text.encode("utf-8", "surrogatepass") for secret in self.secrets]
            self._clear = _search_for(frozenset((*raws, *map(squeeze, raws))), False)
        if self._clear.search(data) is None:
            return
        for secret in self.secrets:
            raw = secret.text.encode("utf-8", "surrogatepass")
            if raw in data or squeeze(raw) in data:
                yield secret


class Scanner:
    """Knows secrets by name and finds them."""

    def __init__(self) -> None:
        self._fresh: list[_Known] = []
        self._tiers: list[_Tier] = []
        self._known: dict[bytes, _Known] = {}
        self._forms: dict[str, _Form] = {}
        self._searches: dict[frozenset[str], list[Any]] = {}
        self._encoded: dict[frozenset[str], Any] = {}
        self._longest = 0

    def __len__(self) -> int:
        return len(self._known)

    def add(self, secret: str, name: str, kind: str) -> None:
        """Learn a secret, or its new name."""
        known = _Known(name, kind, secret)
        self._longest = max(self._longest, len(secret))
        raw = secret.encode("utf-8", "surrogatepass")
        if raw not in self._known:
            self._fresh.append(known)
        self._known[raw] = known

    def known(self) -> list[tuple[str, str, str]]:
        """Every secret known one by one: its text, name and kind."""
        return [(one.text, one.name, one.kind) for one in self._known.values()]

    def kind_of(self, secret: str) -> str | None:
        """The kind of a secret that is known one by one, or None."""
        found = self._known.get(secret.encode("utf-8", "surrogatepass"))
        return None if found is None else found.kind

    def add_form(
        self,
        prefix: str,
        pattern: str,
        name: str,
        kind: str,
        namer: Callable[[str], tuple[str, str] | None] | None = None,
    ) -> None:
        """Learn a form of secrets.

        Args:
            prefix: text that every secret of the form begins with.
            pattern: regular expression for what follows.
            name: what they are called.
            kind: what sort they are.
            namer: name and kind of one of them; None from it when the text is no secret after all.
        """
        whole = (re.escape(prefix) + pattern).encode()
        clear = re.escape(squeeze(prefix.encode())) + pattern.encode()
        encoded = frozenset(map(re.escape, encoded_clues(prefix.encode())))
        edge = rb"(?<![A-Za-z0-9_-])" if len(prefix) < _TELLING else b""  # "passport_" ends as a refresh token begins
        self._forms[prefix] = _Form(re.compile(edge + whole), clear, encoded, name, kind, namer)
        self._searches.clear()
        self._encoded.clear()

    def copy(self) -> Scanner:
        """A scanner that knows the same."""
        twin = Scanner()
        twin._fresh, twin._tiers = list(self._fresh), list(self._tiers)
        twin._known, twin._forms = dict(self._known), dict(self._forms)
        twin._longest = self._longest
        return twin

    # --- looking ----------------------------------------------------------------------------------------------------

    def suspicious(self, data: bytes, but: frozenset[str] = frozenset()) -> bool:
        """Whether a text needs a closer look: it has a clue, in clear or behind escapes or compression.

        Args:
            data: the text.
            but: kinds whose forms are welcome here.
        """
        if self._has_clue(data, but):
            return True
        return not is_plain(data) and any(self.suspicious(layer, but) for _, layer in cheap_layers(data))

    def find(self, data: bytes, but: frozenset[str] = frozenset(), *, deep: bool = False) -> list[Sighting]:
        """The secrets in a text, each once.

        Args:
            data: the text.
            but: kinds that are welcome here.
            deep: also decode a text without a clue, which finds what was encoded more than once.
        """
        if not deep and not self.suspicious(data, but):
            return []
        if but:
            data = self._without(data, but)
            if not deep and not self.suspicious(data, but):
                return []
        found: dict[str, Sighting] = {}
        layers = list(self._layers(data, but, deep))
        for how, layer in layers:
            for known in self._in_clear(layer, _PIECES in how):
                if _counts(known, how, but):
                    found.setdefault(known.name, Sighting(known.name, known.kind, how or CLEAR, known.text))
        for how, layer in () if found else layers:
            for label, changed in _twisted(layer):
                form = f"{how}, {label}" if how else label
                for known in self._in_clear(changed, True):
                    if _counts(known, form, but) and len(known.text) >= _PIECED:
                        found.setdefault(known.name, Sighting(known.name, known.kind, form, known.text))
        return list(found.values())

    def _without(self, data: bytes, but: frozenset[str]) -> bytes:
        """A text without the secrets that are welcome in it, as far as they stand there in clear."""
        for known in list(self._in_clear(data, False)):
            if known.kind in but:
                data = data.replace(known.text.encode("utf-8", "surrogatepass"), b"")
        return data

    def _layers(self, data: bytes, but: frozenset[str], deep: bool) -> Iterable[tuple[str, bytes]]:
        """``data`` and what it says once decoded, as far as there are clues; labels read from the inside out."""
        todo: list[tuple[str, bytes, int]] = [("", data, 0)]
        seen = {data}
        spent = 0
        while todo and len(seen) < _MOST_LAYERS and spent < _MOST_BYTES:
            how, layer, depth = todo.pop(0)
            spent += len(layer)
            clue = self._has_clue(layer, but)
            if clue:
                yield how, layer
            if depth >= _DEPTH:
                continue
            for label, part in self._parts(layer, clue, deep and depth < _BLIND_DEPTH, but):
                if len(part) >= SHORTEST and part not in seen:
                    seen.add(part)
                    todo.append((f"{label}, {how}" if how else label, part, depth + 1))

    def _parts(self, layer: bytes, clue: bool, blind: bool, but: frozenset[str]) -> Iterable[tuple[str, bytes]]:
        """What a text says one step further: escapes resolved, and (with a clue, or blindly) runs decoded, pieces joined."""
        yield from cheap_layers(layer)
        if not clue:
            if blind:
                yield from deep_layers(layer, long=True)
            return
        squeezed = squeeze(layer)
        encoded = self._encoded_search(but)
        if encoded is None or encoded.search(squeezed) is None:  # whatever gave it away stands there in clear
            if squeezed != layer:
                yield ("UTF-16 or UTF-32" if b"\0" in layer else _PIECES), squeezed
            return
        yield from deep_layers(self._around(encoded, layer))
        if squeezed != layer:
            yield ("UTF-16 or UTF-32" if b"\0" in layer else _PIECES), squeezed
            near = self._around(encoded, squeezed)
            yield from ((f"{label}, {_PIECES}", part) for label, part in deep_layers(near))

    def _has_clue(self, data: bytes, but: frozenset[str]) -> bool:
        squeezed = squeeze(data)
        if self._fresh:
            self._settle()
        searches = self._searches.get(but)
        if searches is None:
            searches = self._searches[but] = self._searches_for(but)
        return any(pattern.search(squeezed) is not None for pattern in searches)

    def _encoded_search(self, but: frozenset[str]) -> Any:
        """A search for the clues of encoded secrets; None when there are none."""
        if but not in self._encoded:
            wanted = {clue for form in self._forms.values() if form.kind not in but for clue in form.encoded}
            wanted |= {re.escape(clue) for tier in self._tiers for clue in tier.encoded}
            self._encoded[but] = linear(b"|".join(sorted(wanted)), True) if wanted else None
        return self._encoded[but]

    def _around(self, clues: Any, data: bytes) -> bytes:
        """A long text cut down to what stands around its clues: an encoded secret reaches no further than that."""
        if len(data) <= _LONG:
            return data
        reach = 64 + _WIDEST_FORM * max(self._longest, _LONGEST_FORM)
        spans: list[list[int]] = []
        for begin in (found.start() for found in clues.finditer(data)):
            if spans and begin - reach <= spans[-1][1]:
                spans[-1][1] = begin + reach
            else:
                spans.append([max(begin - reach, 0), begin + reach])
        return b"\n".join(data[begin:end] for begin, end in spans)

    def _searches_for(self, but: frozenset[str]) -> list[Any]:
        """What to search with: one pattern for all, unless so much is learnt all the time that it would be built anew."""
        wanted = {clue for form in self._forms.values() if form.kind not in but for clue in (form.clear, *form.encoded)}
        tiers = list(self._tiers)
        if len(tiers) == 1:
            wanted |= {re.escape(clue) for clue in tiers.pop().texts}
        patterns = [tier.clues for tier in tiers]
        if wanted:
            patterns.insert(0, linear(b"|".join(sorted(wanted)), True))
        return patterns

    def _settle(self) -> None:
        """Make what was learnt since the last search part of it; like grows with like, so that each is built a few times."""
        fresh, self._fresh = self._fresh, []
        while self._tiers and len(self._tiers[-1].secrets) <= len(fresh):
            fresh = [*self._tiers.pop().secrets, *fresh]
        self._tiers.append(_Tier(fresh))
        self._searches.clear()
        self._encoded.clear()

    def _in_clear(self, data: bytes, in_pieces: bool) -> Iterable[_Known]:
        for tier in self._tiers:
            for secret in tier.in_clear(data):
                yield self._known[secret.text.encode("utf-8", "surrogatepass")]
        for prefix, form in self._forms.items():
            if in_pieces and len(prefix) < _TELLING:
                continue
            for match in form.pattern.finditer(data):
                known = _named(form, match[0].decode("latin-1"))
                if known is not None:
                    yield known

    def replaced(self, text: str, but: frozenset[str], mask: Callable[[str], str]) -> str:
        """``text`` with the secrets that stand in it in clear replaced."""
        for known in sorted(self._known.values(), key=lambda one: -len(one.text)):
            if known.kind not in but and known.text in text:
                text = text.replace(known.text, mask(known.name))
        for form in self._forms.values():
            raw = text.encode("utf-8", "surrogatepass")

            def one(match: re.Match[bytes], form: _Form = form) -> bytes:
                known = _named(form, match[0].decode("latin-1"))
                return match[0] if known is None or known.kind in but else mask(known.name).encode()

            text = form.pattern.sub(one, raw).decode("utf-8", "surrogatepass")
        return text


def _named(form: _Form, text: str) -> _Known | None:
    if form.namer is None:
        return _Known(form.name, form.kind, text)
    named = form.namer(text)
    return None if named is None else _Known(named[0], named[1], text)


def _search_for(texts: frozenset[bytes], any_case: bool) -> Any:
    return linear(b"|".join(re.escape(text) for text in sorted(texts)), any_case)


def _counts(known: _Known, how: str, but: frozenset[str]) -> bool:
    return known.kind not in but and (len(known.text) >= _PIECED or _PIECES not in how)


def _twisted(layer: bytes) -> Iterable[tuple[str, bytes]]:
    if layer.lower() != layer:
        yield "in another case", layer.lower()
    if layer.upper() != layer:
        yield "in another case", layer.upper()
    yield "backwards", layer[::-1]


def shown(values: Mapping[str, str]) -> bytes:
    """Names and values as one text to look at."""
    return "\n".join(f"{name}: {value}" for name, value in values.items()).encode("utf-8", "surrogateescape")
