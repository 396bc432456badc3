"""JSON from outside, read so that everything that comes later can hold, hash and print it."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 128
"""Most levels of nesting; what comes later recurses."""


def loads(raw: bytes | str) -> Any:
    """Parse JSON in UTF-8 (RFC 8259), a byte order mark allowed.

    Raises:
        ValueError: for what is no JSON, for NaN, infinities and numbers that would become one, for lone surrogates, and
            for more than ``MAX_DEPTH`` levels.
    """
    text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise _too_deep() from None
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    if text.count("[") + text.count("{") > MAX_DEPTH and _nested_deeper(value):
        raise _too_deep()
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_number
)  # json.loads would make one every time


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _nested_deeper(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        parts = [part for part in level if isinstance(part, (dict, list))]
        if not parts:
            return False
        level = [item for part in parts for item in (part.values() if isinstance(part, dict) else part)]
    return True
