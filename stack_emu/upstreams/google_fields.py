"""Partial responses of Google's APIs: the mask of ``fields=items(id,summary),nextPageToken``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Mask: TypeAlias = "dict[str, Mask]"
"""Field names to what is wanted of them; empty when everything is. ``*`` stands for any name."""

_DEEPEST = 200
_TOKEN = re.compile(r"[A-Za-z0-9_@.*-]+|[(),/]")


def parse_mask(text: str) -> Mask:
    """The mask that a ``fields`` parameter spells.

    Raises:
        ValueError: when it is no mask; the message is the part that is wrong.
    """
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s+", "", text) or not tokens:
        raise ValueError(text)
    if tokens.count("(") + tokens.count("/") > _DEEPEST:
        raise ValueError(text)
    mask, rest = _many(tokens)
    if rest:
        raise ValueError(rest[0])
    return mask


def masked(data: Any, mask: Mask) -> Any:
    """What a mask leaves of JSON data; it reaches through lists."""
    if not mask:
        return data
    if isinstance(data, list):
        return [masked(item, mask) for item in data]
    if not isinstance(data, Mapping):
        return data
    every = mask.get("*")
    kept = {}
    for name, value in data.items():
        wanted = mask.get(name, every)
        if wanted is not None:
            kept[name] = masked(value, wanted)
    return kept


def _many(tokens: list[str]) -> tuple[Mask, list[str]]:
    mask: Mask = {}
    while True:
        tokens = _one(tokens, mask)
        if not tokens or tokens[0] != ",":
            return mask, tokens
        tokens = tokens[1:]


def _one(tokens: list[str], mask: Mask) -> list[str]:
    """Read one field with what is wanted of it into ``mask``; returns the tokens that follow."""
    if not tokens or tokens[0] in "(),/":
        raise ValueError(tokens[0] if tokens else "")
    name, rest = tokens[0], tokens[1:]
    inner: Mask = {}
    if rest and rest[0] == "/":
        rest = _one(rest[1:], inner)
    elif rest and rest[0] == "(":
        inner, rest = _many(rest[1:])
        if not rest or rest[0] != ")":
            raise ValueError("(")
        rest = rest[1:]
    known = mask.get(name)
    mask[name] = inner if known is None else ({**known, **inner} if known and inner else {})
    return rest
