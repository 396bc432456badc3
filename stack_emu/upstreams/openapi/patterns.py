"""Texts that a regular expression matches, for the part of the language that API descriptions use."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stack_emu.kernel import text_patterns

_DIGITS = string.digits
_WORD = string.ascii_lowercase + string.digits
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": " ", "D": string.ascii_lowercase, "W": "-", "S": _WORD}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_PRINTABLE = string.ascii_lowercase + string.ascii_uppercase + string.digits + "_- .,:;/+=@#!%&*()[]{}<>|~^$?'\"`\\"
_LENGTHS = 64


class Unsupported(Exception):
    """The expression uses something no text is made for, such as a look-ahead."""


Piece = Callable[["_Draw"], str]
"""Makes the text of one part of an expression."""


@dataclass
class _Draw:
    """Where choices come from.

    Args:
        raw: derived bytes.
        longer: how many more repetitions than the fewest, where there is a choice.
    """

    raw: bytes
    longer: int
    at: int = 0

    def below(self, count: int) -> int:
        """A number under ``count``."""
        self.at += 1
        return int((self.raw[self.at % len(self.raw)] * 131 + self.at * 7) % count)


def text_for(pattern: str, raw: bytes, shortest: int = 0, longest: int | None = None) -> str | None:
    """A text that matches an expression and has an allowed length, or None when none was found.

    Args:
        pattern: the expression, unanchored unless it says so.
        raw: bytes that choices are derived from.
        shortest: fewest characters.
        longest: most characters.
    """
    try:
        piece = _Parser(pattern).whole()
    except (Unsupported, IndexError):
        return None
    if text_patterns.problem(pattern) is not None:
        return None
    for longer in range(_LENGTHS):
        made = piece(_Draw(raw, longer))
        if longest is not None and len(made) > longest:
            return None
        if len(made) >= shortest and text_patterns.found(pattern, made):
            return made
    return None


class _Parser:
    """Reads an expression by recursive descent."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0

    def whole(self) -> Piece:
        """The expression."""
        piece = self._either()
        if self.at < len(self.text):
            raise Unsupported(self.text[self.at :])
        return piece

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self) -> str:
        self.at += 1
        return self.text[self.at - 1]

    def _either(self) -> Piece:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._take()
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _one_of(branches)

    def _sequence(self) -> Piece:
        pieces: list[Piece] = []
        while self._peek() not in ("", "|", ")"):
            pieces.append(self._repeated())
        return lambda draw: "".join(piece(draw) for piece in pieces)

    def _repeated(self) -> Piece:
        piece = self._atom()
        found = re.compile(r"(?:([*+?])|\{(\d+)(,?)(\d*)\})\??").match(self.text, self.at)
        if found is None:
            return piece
        self.at = found.end()
        if found[1]:
            fewest, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[1]]
        else:
            fewest = int(found[2])
            most = int(found[4]) if found[4] else (None if found[3] else fewest)
        return _times(piece, fewest, most)

    def _atom(self) -> Piece:
        sign = self._take()
        if sign in "^$":
            return _always("")
        if sign == "(":
            return self._group()
        if sign == "[":
            return _any_of(self._characters())
        if sign == ".":
            return _any_of(_WORD)
        if sign == "\\":
            return _any_of(self._escaped())
        if sign in "*+?":
            raise Unsupported(sign)
        return _always(sign)

    def _group(self) -> Piece:
        if self._peek() == "?":
            self._take()
            kind = self._take()
            if kind == "P":
                kind = self._take()
            if kind == "<" and self._peek() not in "=!":
                self.at = self.text.index(">", self.at) + 1
            elif kind != ":":
                raise Unsupported(kind)
        piece = self._either()
        if self._take() != ")":
            raise Unsupported("(")
        return piece

    def _escaped(self) -> str:
        sign = self._take()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign in "bBAzZ":
            raise Unsupported(sign)
        if sign.isdigit() or sign in "pPkux":
            raise Unsupported(sign)
        return _ESCAPES.get(sign, sign)

    def _characters(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self._take()
        found: list[str] = []
        first = True
        while first or self._peek() != "]":
            first = False
            start = self._take()
            choice = self._escaped() if start == "\\" else start
            if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", "") and len(choice) == 1:
                self._take()
                end = self._take()
                end = self._escaped() if end == "\\" else end
                choice = "".join(chr(code) for code in range(ord(choice), min(ord(end), ord(choice) + 255) + 1))
            found.append(choice)
        self._take()
        chosen = "".join(found)
        return "".join(one for one in _PRINTABLE if one not in chosen) if negated else chosen


def _always(text: str) -> Piece:
    return lambda draw: text


def _any_of(characters: str) -> Piece:
    if not characters:
        raise Unsupported("[]")
    return lambda draw: characters[draw.below(len(characters))]


def _one_of(branches: Sequence[Piece]) -> Piece:
    return lambda draw: branches[draw.below(len(branches))](draw)


def _times(piece: Piece, fewest: int, most: int | None) -> Piece:
    def made(draw: _Draw) -> str:
        count = fewest + draw.longer
        return "".join(piece(draw) for _ in range(count if most is None else min(count, most)))

    return made
