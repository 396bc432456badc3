"""The forms a secret travels in: what gives it away in a text, and how texts are taken apart until it stands in clear.

A *clue* is a short text that occurs wherever a form of the secret does, so one search for all clues tells in a few
microseconds whether a text is worth taking apart. Clues are looked for in *squeezed* text (without quotes, commas,
brackets, blanks, line ends and NUL bytes) and in either case, so that pieces in a JSON array, wrapped lines and UTF-16 need
no clues of their own.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

CLEAR = "in clear"
LONGEST_UNPACKED = 12 * 1024 * 1024
"""Bytes that compressed data is unpacked to; what follows is not looked at."""

_MEMORY = 256 * 1024 * 1024
_SQUEEZED_OUT = b"\"', []\n\r\t\0"
_GRAM = 8
_PREFIX = 12
"""Characters that the beginning of secrets of a kind may have in common."""
_ENCODED_CLUE = 12
_SHORTEST_ENCODED = 6
_SHORTEST_REVERSED = 12
_RUNS = (rb"[A-Za-z0-9+/_-]{8,}", rb"[0-9A-Fa-f]{12,}", rb"[A-Z2-7]{16,}|[a-z2-7]{16,}")
_LONG_RUNS = (rb"[A-Za-z0-9+/_-]{32,}", rb"[0-9A-Fa-f]{32,}", rb"[A-Z2-7]{32,}|[a-z2-7]{32,}")
_ENVELOPED = re.compile(rb'"base64":"([A-Za-z0-9+/]*)')
"""Bytes of an upstream in the envelope of the proxy."""
_GZIP_IN_BASE64 = re.compile(rb"H4sI[A-Za-z0-9+/_-]{12,}")
_ESCAPE = re.compile(rb'\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([nrtbf])|(["\\/\']))')
_BLANKS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def squeeze(data: bytes) -> bytes:
    """``data`` without what separates pieces of a text: quotes, commas, brackets, blanks, line ends, NUL bytes."""
    return data.translate(None, _SQUEEZED_OUT)


def clues(secret: str) -> set[bytes]:
    """Texts of which at least one is in squeezed text that holds any form of ``secret``.

    A piece of a long secret with eight characters is enough, which is what texts cut in two hold at least once. Those at
    the beginning of a long one are left out: that is where the prefix stands which documents quote and which gives nothing away.
    """
    raw = squeeze(secret.encode("utf-8"))
    first = _PREFIX - _GRAM + 1 if len(raw) >= _PREFIX + _GRAM else 0
    plain = {raw} if len(raw) < 2 * _GRAM else {raw[at : at + _GRAM] for at in range(first, len(raw) - _GRAM + 1)}
    return plain | encoded_clues(secret.encode("utf-8"))


def encoded_clues(raw: bytes) -> set[bytes]:
    """Clues of a text, or of all texts that begin so, in the forms other than in clear; none for a short one."""
    if len(raw) < _SHORTEST_ENCODED:
        return set()
    found = {raw.hex().encode()[: 2 * _GRAM]}
    if len(raw) >= _SHORTEST_REVERSED:
        found.add(squeeze(raw[::-1])[:_ENCODED_CLUE])
    wide = raw.decode("utf-8").encode("utf-16-le")[:-1]  # the last NUL is part of the next group
    for text in (raw, wide):
        for offset in range(3):
            core = base64_core(text, offset)[:_ENCODED_CLUE].encode()
            if len(core) >= _SHORTEST_ENCODED:
                found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found | {core for offset in range(5) if len(core := _base32_core(raw, offset)) >= _GRAM}


def base64_core(raw: bytes, offset: int) -> str:
    """The characters of Base64 that depend on ``raw`` alone when it begins ``offset`` bytes after a group of three."""
    text = base64.b64encode(b"\0" * offset + raw).decode("ascii")
    return text[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


def _base32_core(raw: bytes, offset: int) -> bytes:
    text = base64.b32encode(b"\0" * offset + raw)
    return text[-(-offset * 8 // 5) : (offset + len(raw)) * 8 // 5][:_ENCODED_CLUE]


# --- taking texts apart -----------------------------------------------------------------------------------------------


def is_plain(data: bytes) -> bool:
    """Whether ``cheap_layers`` has nothing to say of a text; a fraction of its cost."""
    return (
        b"%" not in data
        and b"\\" not in data
        and b"&" not in data
        and b"H4sI" not in data
        and b"\x1f\x8b" not in data
        and data[:1] != b"\x78"
        and b'"base64":"' not in data
    )


def cheap_layers(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What ``data`` says once the escapes it holds are resolved; nothing when it holds none."""
    if b"%" in data and (plain := unquote_to_bytes(data)) != data:
        yield "URL-encoded", plain
    if b"\\" in data and (plain := _ESCAPE.sub(_unescaped, data)) != data:
        yield "with JSON escapes", plain
    if b"&" in data and b";" in data:
        text = data.decode("utf-8", "surrogateescape")
        if (unescaped := html.unescape(text)) != text:
            yield "as HTML entities", unescaped.encode("utf-8", "surrogateescape")
    for found in _ENVELOPED.findall(data) if b'"base64":"' in data else ():
        yield "base64", _base64(found)
    if b"H4sI" in data:
        for found in _GZIP_IN_BASE64.findall(squeeze(data)):
            yield "base64", _base64(found)
    if b"\x1f\x8b\x08" in data:
        yield from _unpacked("gzip", data[data.index(b"\x1f\x8b\x08") :], 31)
    elif data[:1] == b"\x78" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        yield from _unpacked("deflate", data, 15)


def deep_layers(data: bytes, *, long: bool = False) -> Iterator[tuple[str, bytes]]:
    """What ``data`` says when its runs of Base64, Base32 and hex are decoded.

    Args:
        data: the text.
        long: whether only long runs count, which is enough for what was encoded more than once.
    """
    base64_run, hex_run, base32_run = _LONG_RUNS if long else _RUNS
    yield from _decoded("base64", base64_run, data, 4, _base64)
    yield from _decoded("hex", hex_run, data, 2, _hex)
    yield from _decoded("base32", base32_run, data, 8, _base32)


def inflated(data: bytes) -> bytes:
    """Data of ``Content-Encoding: deflate``, with the wrapping that RFC 9110 asks for or without; empty when it is none."""
    for window in (15, -15):
        for _, plain in _unpacked("deflate", data, window):
            return plain
    return b""


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16)).encode("utf-8", "surrogatepass")
    return _BLANKS[found[3]] if found[3] else found[4]


def _unpacked(label: str, data: bytes, window: int) -> Iterator[tuple[str, bytes]]:
    try:
        yield label, zlib.decompressobj(window).decompress(data, LONGEST_UNPACKED)
    except zlib.error:
        return


def _decoded(
    label: str, runs: bytes, data: bytes, group: int, decode: Callable[[bytes], bytes]
) -> Iterator[tuple[str, bytes]]:
    """One layer for each position in a group that a run can begin at: what stands before it may be glued to it."""
    found = linear(runs).findall(data)
    for phase in range(group if found else 0):
        yield label, b"\n".join(decode(run[phase:]) for run in found)


def _base64(text: bytes) -> bytes:
    text = text.replace(b"-", b"+").replace(b"_", b"/")
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def _hex(text: bytes) -> bytes:
    return bytes.fromhex(text[: len(text) // 2 * 2].decode("ascii"))


def _base32(text: bytes) -> bytes:
    if len(text) % 8 in (1, 3, 6):
        text = text[:-1]
    return base64.b32decode(text.upper() + b"=" * (-len(text) % 8))


@lru_cache(maxsize=256)
def linear(pattern: bytes, any_case: bool = False) -> Any:
    """A pattern of RE2, whose searches take linear time whatever they look for."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    options.log_errors = False
    options.case_sensitive = not any_case
    return re2.compile(pattern, options=options)
