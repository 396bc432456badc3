"""Records as JSON data and back: what a file that outlives the process, or an export, holds of a store."""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

from stack_emu.kernel.store import Record

Convert = Callable[[Any], Any]
_PLAIN = (str, int, float, bool, type(None))


class UnknownTable(Exception):
    """Records of a table that no loaded module declares; the message names it."""

    def __init__(self, table: str) -> None:
        super().__init__(f"there is no table {table}")
        self.table = table


class RecordCodec:
    """Turns records of known kinds into JSON data and back, by the types of their fields.

    Fields hold texts, numbers, bytes, JSON objects, tuples of those, and frozen dataclasses; a kind with another sort of field
    is refused when the codec is made.

    Args:
        kinds: classes of records.

    Raises:
        TypeError: for a field that could not be read back, or two kinds of one table.
    """

    def __init__(self, kinds: Iterable[type[Any]]) -> None:
        self._kinds: dict[str, type[Record]] = {}
        self._shapes: dict[type[Any], _Shape] = {}
        for kind in kinds:
            if self._kinds.setdefault(kind.TABLE, kind) is not kind:
                raise TypeError(f"two kinds of records share the table {kind.TABLE}")
            self._shape(kind)

    @property
    def tables(self) -> list[str]:
        """Names of the tables whose records it knows."""
        return sorted(self._kinds)

    def dump(self, record: Record) -> dict[str, Any]:
        """The record as JSON data: an object with its fields."""
        return self._shape(type(record)).dump(record)

    def kind(self, table: str) -> type[Record]:
        """The class of a table's records.

        Raises:
            UnknownTable: when there is none.
        """
        try:
            return self._kinds[table]
        except KeyError:
            raise UnknownTable(table) from None

    def load(self, table: str, data: Mapping[str, Any]) -> Record:
        """The record that ``dump`` made JSON data of. A field that is missing has its default.

        Raises:
            UnknownTable: for a table of none of the kinds.
            ValueError: when the data does not fit the kind.
        """
        kind = self.kind(table)
        try:
            record: Record = self._shape(kind).load(data)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"a record of {table} cannot be read: {error}") from None
        return record

    def _shape(self, kind: type[Any]) -> _Shape:
        known = self._shapes.get(kind)
        if known is None:
            known = self._shapes[kind] = _Shape(kind, self)
        return known

    def converters(self, annotation: Any) -> tuple[Convert | None, Convert | None]:
        """How values of a type become JSON data and how they come back; None for what stays as it is.

        Raises:
            TypeError: for a type that could not be read back.
        """
        if annotation is Any:
            return _plain_data, _from_plain_data
        if annotation in _PLAIN:
            return None, None
        if annotation is bytes:
            return _to_base64, _from_base64
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            shape = self._shape(annotation)
            return shape.dump, shape.load
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (Union, types.UnionType):
            return self._optional([part for part in parts if part is not type(None)], annotation)
        if origin is tuple:
            return self._tuple(parts)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return _plain_data, _from_plain_data
        if origin is typing.Literal:
            return None, None
        raise TypeError(f"{annotation} is no type of a field that could be read back")

    def _optional(self, parts: list[Any], annotation: Any) -> tuple[Convert | None, Convert | None]:
        each = [pair for pair in map(self.converters, parts) if pair != (None, None)]
        if not each:
            return None, None
        if each == [(_plain_data, _from_plain_data)]:  # an object or a plain value: each is read back by what it is
            return each[0]
        if len(parts) > 1:
            raise TypeError(f"{annotation} is a union of types that could not be told apart")
        return _unless_none(each[0][0]), _unless_none(each[0][1])

    def _tuple(self, parts: tuple[Any, ...]) -> tuple[Convert, Convert]:
        if len(parts) == 2 and parts[1] is Ellipsis:
            dump, load = self.converters(parts[0])
            return (
                list if dump is None else lambda value: [dump(item) for item in value],
                tuple if load is None else lambda value: tuple(load(item) for item in value),
            )
        each = [self.converters(part) for part in parts]
        return (
            lambda value: [item if dump is None else dump(item) for item, (dump, _) in zip(value, each, strict=True)],
            lambda value: tuple(
                item if load is None else load(item) for item, (_, load) in zip(value, each, strict=True)
            ),
        )


class _Shape:
    """The fields of a kind, with how each is converted."""

    def __init__(self, kind: type[Any], codec: RecordCodec) -> None:
        self._kind = kind
        hints = typing.get_type_hints(kind)
        self._names = [field.name for field in dataclasses.fields(kind)]
        each = [(name, codec.converters(hints[name])) for name in self._names]
        self._dumps = [(name, dump) for name, (dump, _) in each if dump is not None]
        self._loads = [(name, load) for name, (_, load) in each if load is not None]

    def dump(self, record: Any) -> dict[str, Any]:
        data = {name: getattr(record, name) for name in self._names}
        for name, convert in self._dumps:
            data[name] = convert(data[name])
        return data

    def load(self, data: Mapping[str, Any]) -> Any:
        given = dict(data)
        for name, convert in self._loads:
            if name in given:
                given[name] = convert(given[name])
        return self._kind(**given)


_TUPLE = "$tuple"
"""Marks a tuple inside a JSON object, where lists may stand too."""


def _plain_data(value: Any) -> Any:
    """JSON objects may be any mapping, and hold tuples."""
    if isinstance(value, Mapping):
        return {key: _plain_data(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain_data(part) for part in value]}
    if isinstance(value, list):
        return [_plain_data(part) for part in value]
    return value


def _from_plain_data(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TUPLE}:
            return tuple(_from_plain_data(part) for part in value[_TUPLE])
        return {key: _from_plain_data(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_from_plain_data(part) for part in value]
    return value


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


def _unless_none(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)
