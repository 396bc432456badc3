"""Canonical JSON (RFC 8785), the form every hash and every golden file is made of."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_SAFE_INTEGER = 2**53 - 1
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def canonical_json(value: Any) -> bytes:
    """Serialise ``value`` by RFC 8785.

    Text, integers and booleans with ASCII keys come out of the standard library in the same form, so only values with
    floats or other keys take the slower library. Integers past 2**53 - 1, which the RFC has no form for, are written as
    their decimal text.

    Args:
        value: JSON data (dict, list, tuple, str, int, float, bool, None).

    Raises:
        ValueError: for NaN, infinities and lone surrogates.
    """
    if _is_plain(value):
        return _encode(value).encode("utf-8")
    import rfc8785

    try:
        return rfc8785.dumps(_bounded(value))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"no canonical JSON for this value: {error}") from error


def digest(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_SAFE_INTEGER <= value <= _SAFE_INTEGER)
    if kind is dict:
        return all(type(key) is str and key.isascii() and _is_plain(item) for key, item in value.items())
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    return False


def _bounded(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, dict, list, tuple)):
        return value
    if isinstance(value, int):
        return value if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else str(value)
    if isinstance(value, dict):
        return {str(key): _bounded(item) for key, item in value.items()}
    return [_bounded(item) for item in value]
