"""The formats of JSON Schema and OpenAPI that are checked, the same ones whatever else is installed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import FormatChecker

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?!$)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)

EXAMPLES: Mapping[str, str] = {
    "date-time": "2026-01-31T09:00:00Z",
    "date": "2026-01-31",
    "time": "09:00:00Z",
    "duration": "PT15M",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "email": "ada@example.com",
    "uri": "https://example.com/x",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "aGVsbG8=",
    "int32": "a number from -2147483648 to 2147483647",
    "int64": "a number of at most 64 bits",
}
"""What would have been right, by format."""


def _fits(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def readable(text: str) -> bool:
        try:
            read(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return readable


def _is_date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    return _reads(datetime.fromisoformat)(text[:19].upper())


_TEXTS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _is_date_time,
    "date": lambda text: len(text) == 10 and _reads(date.fromisoformat)(text),
    "time": _fits(_TIME),
    "duration": _fits(_DURATION),
    "uuid": _fits(_UUID),
    "email": _fits(_EMAIL),
    "uri": _fits(_URI),
    "url": _fits(_URI),
    "hostname": _fits(_HOST),
    "ipv4": _reads(IPv4Address),
    "ipv6": _reads(IPv6Address),
    "byte": _reads(lambda text: base64.b64decode(text, validate=True)),
}
_BITS: Mapping[str, int] = {"int32": 31, "int64": 63}


@lru_cache(maxsize=1)
def checker() -> FormatChecker:
    """What checks formats; those it does not know are not checked."""
    from jsonschema import FormatChecker

    made = FormatChecker(formats=())
    for name, fits in _TEXTS.items():
        made.checks(name)(_of_text(fits))
    for name, bits in _BITS.items():
        made.checks(name)(_of_number(bits))
    return made


def _of_text(fits: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, str) or fits(value)


def _of_number(bits: int) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, bool) or not isinstance(value, int) or -(2**bits) <= value < 2**bits

    return fits
