"""Linear's schema as far as it is served, and how a field finds its value in a stored document."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    get_named_type,
)

from stack_emu.upstreams.linear.call import LinearCall
from stack_emu.upstreams.linear.records import COLLECTIONS
from stack_emu.upstreams.linear.roots import own_resolver

_EMPTY: Mapping[str, Any] = {"String": "", "ID": "", "Boolean": False, "Int": 0, "Float": 0, "JSONObject": {}}


@cache
def schema() -> GraphQLSchema:
    """The schema, parsed once. Names and types are those of @linear/sdk 98.0.0."""
    package = files("stack_emu.upstreams.linear")
    texts = [(package / name).read_text("utf-8") for name in ("objects.graphql", "inputs.graphql")]
    return build_schema("\n".join(texts))


def resolve(source: Any, info: GraphQLResolveInfo[LinearCall], **arguments: Any) -> Any:
    """Resolve any field: by a resolver of its own, from the document, by reference, or as empty as its type allows."""
    call = info.context
    name, parent = info.field_name, info.parent_type.name
    own = own_resolver(parent, name)
    if own is not None:
        return own(call, source, arguments)
    if source.get(name) is not None:
        return source[name]
    named = get_named_type(info.return_type)
    if named.name in COLLECTIONS:
        reference = source.get(f"{name}Id")
        found = None if reference is None else call.get(COLLECTIONS[named.name], reference)
        if found is not None:
            return found
    return empty(info.return_type)


def empty(kind: Any) -> Any:
    """The value of a field nothing is known about: null where the type permits it."""
    if not isinstance(kind, GraphQLNonNull):
        return None
    inner = kind.of_type
    if isinstance(inner, GraphQLList):
        return []
    if isinstance(inner, GraphQLEnumType):
        return next(iter(inner.values))
    if isinstance(inner, GraphQLObjectType):
        return {}
    assert isinstance(inner, GraphQLScalarType)
    return _EMPTY.get(inner.name)
