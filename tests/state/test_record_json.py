"""Records as JSON data: every kind there is comes back as it was, whatever its fields hold."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Union

import pytest

import stack_emu.upstreams
from stack_emu.domain.families import registry
from stack_emu.kernel.record_json import RecordCodec, UnknownTable
from stack_emu.worlds.record_kinds import codec_of

registry()
for module in pkgutil.walk_packages(stack_emu.upstreams.__path__, "stack_emu.upstreams."):
    importlib.import_module(module.name)
CODEC = codec_of([])
OBJECT = {"text": "ü 😀 \ud800", "none": None, "deep": {"list": [1, 2.5, True], "tuple": (1, ("a",), {"in": ()})}}


def sample(annotation: Any, number: int) -> Any:
    """A value of a type; other numbers give other values, and None where it may be."""
    if annotation is Any:
        return OBJECT
    if annotation in (str, int, float, bool):
        return {str: f"text {number}", int: number * 10**12, float: number / 3, bool: number % 2 == 0}[annotation]
    if annotation is bytes:
        return bytes(range(number, number + 9))
    if dataclasses.is_dataclass(annotation):
        return made(annotation, number)  # type: ignore[arg-type]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        some = [part for part in parts if part is not type(None)]
        return None if number % 3 == 0 and len(some) < len(parts) else sample(some[number % len(some)], number)
    if origin is tuple:
        if parts[1:] == (...,):
            return tuple(sample(parts[0], number + index) for index in range(number % 3))
        return tuple(sample(part, number + index) for index, part in enumerate(parts))
    if origin is typing.Literal:
        return parts[number % len(parts)]
    assert issubclass(origin, Mapping), annotation
    return OBJECT if parts[1] is Any else {"a": sample(parts[1], number)}


def made(kind: type[Any], number: int) -> Any:
    hints = typing.get_type_hints(kind)
    return kind(**{one.name: sample(hints[one.name], number) for one in dataclasses.fields(kind)})


def test_there_are_as_many_kinds_as_tables() -> None:
    assert len(CODEC.tables) > 70
    assert {"agents", "passports", "timers", "slack_messages", "pack_documents"} <= set(CODEC.tables)


@pytest.mark.parametrize("table", CODEC.tables)
def test_a_record_of_every_kind_comes_back(table: str) -> None:
    for number in range(6):
        record = made(CODEC.kind(table), number)
        back = CODEC.load(table, json.loads(json.dumps(CODEC.dump(record))))
        assert back == record
        assert repr(back) == repr(record), "lists and tuples are told apart"


@dataclasses.dataclass(frozen=True)
class Odd:
    TABLE: ClassVar[str] = "odd"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    names: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Same:
    TABLE: ClassVar[str] = "odd"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    since: int = 7


def test_a_field_that_could_not_be_read_back_is_refused() -> None:
    with pytest.raises(TypeError, match="no type of a field that could be read back"):
        RecordCodec([Odd])
    with pytest.raises(TypeError, match="share the table odd"):
        RecordCodec([Same, type("Other", (Same,), {"TABLE": "odd"})])


def test_data_that_does_not_fit_is_refused_and_what_is_missing_has_its_default() -> None:
    codec = RecordCodec([Same])
    assert codec.load("odd", {"id": "a"}) == Same("a")
    with pytest.raises(ValueError, match="a record of odd cannot be read"):
        codec.load("odd", {"id": "a", "other": 1})
    with pytest.raises(UnknownTable, match="there is no table even"):
        codec.load("even", {})
