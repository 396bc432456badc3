"""The ways a text can be spelled so that a reader understands it and a pattern does not, undone.

Every text is looked at as it is and decoded: Unicode look-alikes and invisible characters, HTML entities, escapes,
percent signs, base64, hexadecimal, rot13, and letters set apart. What was decoded is decoded once more.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

MAX_TEXT = 200_000
"""Characters of a text that are looked at."""

MAX_SPELLINGS = 64
_DEPTH = 2

_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһӏԛԝАВЕКМНОРСТХІЈЅαορνικτυεΑΒΕΖΗΙΚΜΝΟΡΤΥΧɡıℓ",
    "aeopcyxijsdhlqwABEKMHOPCTXIJSaopviktueABEZHIKMNOPTYXgil",
)
_TAGS = re.compile("[\U000e0020-\U000e007e]{3,}")
_SPACED = re.compile(r"\b\w(?:[ .\-_*|]\w){4,}\b")
_SET_APART = re.compile(r"\b\w(?:[ .\-_*|]\w)+\b")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:(?:\\x|0x|%)?[0-9A-Fa-f]{2}[ :,]?){10,}")
_ESCAPE = re.compile(r"\\u\{?([0-9A-Fa-f]{4,6})\}?|\\x([0-9A-Fa-f]{2})")


def plain(text: str) -> str:
    """A text without invisible characters, in compatibility form, look-alikes of Latin letters replaced."""
    folded = unicodedata.normalize("NFKC", text).translate(_LOOKALIKES)
    kept = "".join(character for character in folded if character in "\n\t" or not _invisible(character))
    return re.sub(r"[^\S\n]+", " ", kept)


def _invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cf", "Cc", "Mn", "Cn") and not character.isspace()


def has_tags(text: str) -> bool:
    """Whether a text spells something in tag characters."""
    return _TAGS.search(text) is not None


def spellings(text: str) -> Iterator[tuple[str, str]]:
    """The ways to read a text: (encoding, text), first as it is.

    Args:
        text: what to read; only its first part when it is very long.
    """
    start = text[:MAX_TEXT]
    seen = {start}
    waiting = [("", start)]
    number = 0
    while waiting:
        encoding, current = waiting.pop(0)
        yield encoding or "none", current
        depth = encoding.count("+") + 1 if encoding else 0
        if depth >= _DEPTH:
            continue
        for name, decode in _DECODERS:
            for decoded in decode(current):
                if number >= MAX_SPELLINGS or not decoded or decoded in seen:
                    continue
                seen.add(decoded)
                number += 1
                waiting.append((f"{encoding}+{name}" if encoding else name, decoded))


def _unicode(text: str) -> Iterator[str]:
    yield plain(text)


def _tags(text: str) -> Iterator[str]:
    spelled = "".join(match[0] for match in _TAGS.finditer(text))
    yield "".join(chr(ord(character) - 0xE0000) for character in spelled)


def _html(text: str) -> Iterator[str]:
    if "&" in text:
        yield html.unescape(text)


def _percent(text: str) -> Iterator[str]:
    if "%" in text:
        yield unquote(text, errors="replace")


def _escapes(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _ESCAPE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    number = int(match[1] or match[2], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else match[0]


def _base64(text: str) -> Iterator[str]:
    for match in _BASE64.finditer(text):
        token = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            continue
        yield from _readable(raw)


def _hexadecimal(text: str) -> Iterator[str]:
    for match in _HEX.finditer(text):
        digits = re.sub(r"\\x|0x|[% :,]", "", match[0])
        yield from _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _readable(raw: bytes) -> Iterator[str]:
    """Bytes as a text, when they are one."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return
    if text and sum(character.isprintable() or character.isspace() for character in text) >= 0.9 * len(text):
        yield text


def _rot13(text: str) -> Iterator[str]:
    yield codecs.encode(text, "rot13")


def _spaced(text: str) -> Iterator[str]:
    if _SPACED.search(text) is not None:
        words = re.sub(r" {2,}", "\n", text)
        yield _SET_APART.sub(lambda match: re.sub(r"[ .\-_*|]", "", match[0]), words).replace("\n", " ")


_DECODERS: tuple[tuple[str, Callable[[str], Iterator[str]]], ...] = (
    ("unicode", _unicode),
    ("tags", _tags),
    ("html", _html),
    ("escapes", _escapes),
    ("percent", _percent),
    ("base64", _base64),
    ("hex", _hexadecimal),
    ("rot13", _rot13),
    ("spaced", _spaced),
)
ENCODINGS = tuple(name for name, _ in _DECODERS)
