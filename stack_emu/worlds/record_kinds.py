"""Every kind of record that a world may hold, found in the modules that are loaded."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from typing import Any

from stack_emu.kernel.record_json import RecordCodec
from stack_emu.kernel.world import World

_OWN = "stack_emu."


def codec_of(worlds: Iterable[World]) -> RecordCodec:
    """A codec for the records of all families and packs that are loaded, and of what these worlds hold."""
    kinds: dict[type[Any], None] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith(_OWN) and module is not None:
            kinds.update(dict.fromkeys(one for one in vars(module).values() if _is_kind(one)))
    for world in worlds:
        kinds.update(dict.fromkeys(world.store.kinds()))
    return RecordCodec(kinds)


def _is_kind(value: Any) -> bool:
    return (
        isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and isinstance(value.__dict__.get("TABLE") or None, str)
        and "INDEXES" in value.__dict__
    )
