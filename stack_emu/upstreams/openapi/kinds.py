"""Which paths of a document are collections of things, so that calls of them create, read, list, change and delete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.upstreams.openapi.document import Api, Operation, Path
from stack_emu.upstreams.openapi.schemas import Schemas
from stack_emu.upstreams.openapi.values import folded

_ITEM = {"GET": "read", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}
_GENERIC = frozenset({"id", "uuid", "key", "slug", "name"})
_LISTS = ("data", "items", "results", "records", "values", "entries")


@dataclass(frozen=True)
class Listed:
    """Where a reply's list stands.

    Args:
        field: the property of an object; None for a bare list.
        items: the schema of what is in it.
    """

    field: str | None
    items: Any


@dataclass
class Kind:
    """One kind of thing that the service has.

    Args:
        name: what seeds call it.
        id_field: the property that identifies a thing; None when replies show none.
        parents: for every path it is listed at, the shapes of the paths of what it belongs to there.
        homes: the same of those paths at which things are listed or made.
        links: for every such shape, the names by which a thing may say what it belongs to, the usual one first.
        at: the shapes of the paths of single things.
        items: schemas that replies show it by.
        creates: whether something in the document creates one.
        shown: things that the document's examples of a list show.
        by_parent: whether ids are unique only beside one another.
    """

    name: str
    id_field: str | None = None
    parents: list[tuple[str, ...]] = field(default_factory=list)
    homes: list[tuple[str, ...]] = field(default_factory=list)
    links: dict[str, tuple[str, ...]] = field(default_factory=dict)
    at: list[str] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    creates: bool = False
    shown: Sequence[Any] = ()
    by_parent: bool = False

    def link(self, thing: Mapping[str, Any], shape: str) -> str | None:
        """The field of a thing that says which one at a shape it belongs to, or None when it has none."""
        names = {folded(name) for name in self.links.get(shape, ())}
        return next((name for name in thing if folded(name) in names), None)


@dataclass(frozen=True)
class Role:
    """What an operation does to a kind.

    Args:
        what: ``list``, ``create``, ``read``, ``replace``, ``change`` or ``delete``; ``act`` for anything else at a thing.
        kind: the kind.
        parameter: the path's parameter that names the thing; None for ``list`` and ``create``.
        wrapped: the property of replies in which a thing stands; None when it is the reply.
        sent_in: the property of requests in which a thing stands.
        listed: for ``list``: where the list stands.
        above: the kinds of the things that the path names on the way, by parameter.
    """

    what: str
    kind: Kind
    parameter: str | None = None
    wrapped: str | None = None
    sent_in: str | None = None
    listed: Listed | None = None
    above: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """A path of a list and that of its things."""

    path: Path
    item: Path | None
    calls: Mapping[str, Operation]
    item_calls: Mapping[str, Operation]


def kinds_of(api: Api) -> tuple[dict[str, Kind], dict[str, Role]]:
    """The kinds of a document by name, and what its operations do to them by their title."""
    known = [*_places(api)]
    kept = [one for one in known if _is_kept(api.replies, one)]
    same = {_sameness(api.replies, one) for one in kept}
    places = [*kept, *(one for one in known if one not in kept and _sameness(api.replies, one) in same)]
    named: dict[tuple[str, Any], Kind] = {}
    kinds: dict[str, Kind] = {}
    at: list[tuple[_Place, Kind]] = []
    for place in places:
        schema, _ = _thing(api.replies, place)
        sameness = _sameness(api.replies, place)
        kind = named.get(sameness)
        if kind is None:
            name = sameness[0] if sameness[0] not in kinds else place.path.text
            kind = named[sameness] = kinds[name] = Kind(name)
        _describe(api.replies, kind, place, schema)
        at.append((place, kind))
    for kind in kinds.values():
        kind.by_parent = len(set(kind.parents)) == 1 and bool(kind.parents[0])
    above = {place.item.shape: kind for place, kind in at if place.item is not None}
    roles = {title: role for place, kind in at for title, role in _roles(api, place, kind, above)}
    for operation in api.operations:
        role = roles.get(operation.title) or _acting(api.replies, operation, above)
        if role is not None:
            roles[operation.title] = role
    return kinds, roles


def _places(api: Api) -> Iterator[_Place]:
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in api.operations:
        by_path.setdefault(operation.path.text, {})[operation.method] = operation
    items = {text.rpartition("/")[0]: text for text in by_path if Path(text).last is not None}
    for text in dict.fromkeys([*by_path, *items]):
        path = Path(text)
        if path.segments[-1] and "{" not in path.segments[-1]:
            item = items.get(text)
            yield _Place(path, Path(item) if item else None, by_path.get(text, {}), by_path.get(item or "", {}))


def _sameness(schemas: Schemas, place: _Place) -> tuple[str, str]:
    """What two paths have in common that show the same things: the name of the list, and the schema of the things."""
    schema, _ = _thing(schemas, place)
    identity = schemas.identity(schema) if schema is not None else None
    return place.path.segments[-1], identity or place.path.text


def _is_kept(schemas: Schemas, place: _Place) -> bool:
    """Whether paths have the form of a collection whose things can come to be, or are listed."""
    if _thing(schemas, place)[0] is None:
        return False
    lists = _list_of(schemas, place) is not None
    creates = "POST" in place.calls and _makes_one(schemas, place.calls["POST"])
    puts = "PUT" in place.item_calls and "201" in place.item_calls["PUT"].replies
    if any(method in _ITEM for method in place.item_calls):
        return lists or creates or puts
    return lists and "POST" in place.calls


_NOTHING = object()


def _makes_one(schemas: Schemas, operation: Operation) -> bool:
    """Whether an operation takes fields and shows one thing, or nothing."""
    schema = _reply_schema(operation)
    takes_fields = operation.body is None or operation.json_body is not None
    return takes_fields and schema is not _NOTHING and (schema is None or list_in(schemas, schema, "") is None)


def _reply_schema(operation: Operation | None) -> Any:
    """The schema of a successful JSON reply; None for any JSON, ``_NOTHING`` when the reply is something else."""
    if operation is None or operation.success is None:
        return _NOTHING
    reply = operation.success[1]
    if not reply.media:
        return None
    return reply.json.schema if reply.json is not None else _NOTHING


def _list_of(schemas: Schemas, place: _Place) -> Listed | None:
    schema = _reply_schema(place.calls.get("GET"))
    return None if schema is _NOTHING or schema is None else list_in(schemas, schema, place.path.segments[-1])


def list_in(schemas: Schemas, schema: Any, name: str) -> Listed | None:
    """Where the list stands in replies of a schema, or None when they have none.

    Args:
        schemas: of replies.
        schema: of the reply.
        name: what the list is called in the path; it decides when an object has several lists.
    """
    whole = schemas.merged(schema)
    if _is(whole, "array"):
        return Listed(None, whole.get("items", {}))
    lists = {
        key: schemas.merged(inner)
        for key, inner in (whole.get("properties") or {}).items()
        if _is(schemas.merged(inner), "array")
    }
    objects = {key: inner for key, inner in lists.items() if _is_object(schemas, inner.get("items", {}))}
    for key in (name, *_LISTS):
        if key in objects:
            return Listed(key, objects[key].get("items", {}))
    if len(objects) == 1 and "id" not in whole["properties"]:
        [(key, inner)] = objects.items()
        return Listed(key, inner.get("items", {}))
    return None


def _is(whole: Mapping[str, Any], kind: str) -> bool:
    kinds = whole.get("type", "array" if "items" in whole else "object" if "properties" in whole else None)
    return kind in kinds if isinstance(kinds, list) else kinds == kind


def _is_object(schemas: Schemas, schema: Any) -> bool:
    return all(_is(form, "object") for form in schemas.forms(schema))


def _thing(schemas: Schemas, place: _Place) -> tuple[Any, str | None]:
    """The schema by which single things are shown, and the property of a reply in which they stand; None for no things."""
    listed = _list_of(schemas, place)
    known = schemas.identity(listed.items) if listed is not None else None
    for operation in (place.item_calls.get("GET"), place.calls.get("POST"), *place.item_calls.values()):
        schema = _reply_schema(operation)
        if schema is _NOTHING or schema is None or operation is None:
            continue
        if list_in(schemas, schema, place.path.segments[-1]) is not None or not _is_object(schemas, schema):
            continue
        wrapped = _wrapping(schemas, schema, known)
        if wrapped is not None:
            return schemas.merged(schema)["properties"][wrapped], wrapped
        return schema, None
    if listed is not None and _is_object(schemas, listed.items):
        return listed.items, None
    return None, None


def _wrapping(schemas: Schemas, schema: Any, known: str | None) -> str | None:
    """The property in which a reply holds the thing, when the reply is not the thing itself."""
    if known is None or schemas.identity(schema) == known:
        return None
    properties = schemas.merged(schema).get("properties") or {}
    return next((name for name, inner in properties.items() if schemas.identity(inner) == known), None)


def _describe(schemas: Schemas, kind: Kind, place: _Place, schema: Any) -> None:
    """Add what one place says about a kind."""
    kind.parents.append(tuple(place.path.owners.values()))
    if place.calls:
        kind.homes.append(kind.parents[-1])
    for parameter, shape in place.path.owners.items():
        kind.links[shape] = _link_names(parameter, shape)
    if place.item is not None:
        kind.at.append(place.item.shape)
    listed = _list_of(schemas, place)
    for one in (schema, listed.items if listed is not None else None):
        if one is not None and one not in kind.items:
            kind.items.append(one)
    kind.creates |= "POST" in place.calls or ("PUT" in place.item_calls and "201" in place.item_calls["PUT"].replies)
    if place.item is not None and place.item.last is not None:
        kind.id_field = kind.id_field or _id_field(schemas, schema, place.item.last, place.path.segments[-1])
    elif kind.id_field is None:
        kind.id_field = _id_field(schemas, schema, "id", place.path.segments[-1])
    if listed is not None and not kind.shown:
        kind.shown = tuple(_shown(schemas, place.calls["GET"], listed))


def _link_names(parameter: str, shape: str) -> tuple[str, ...]:
    """What a field may be called that says which thing at a shape something belongs to."""
    before = shape.split("/")[-2] if shape.count("/") > 1 else ""
    single = re.sub(r"s$", "", before) or before
    names = [f"{single}_id", single] if single and "{" not in single else []
    return tuple(names) if folded(parameter) in _GENERIC else (parameter, *names)


def _shown(schemas: Schemas, operation: Operation, listed: Listed) -> Iterator[Any]:
    reply = operation.success[1] if operation.success is not None else None
    media = reply.json if reply is not None else None
    for example in media.examples[:1] if media is not None else ():
        found = example.get(listed.field) if isinstance(example, dict) and listed.field is not None else example
        for thing in found if isinstance(found, list) else ():
            if isinstance(thing, dict) and schemas.valid(listed.items, thing):
                yield thing


def _id_field(schemas: Schemas, schema: Any, parameter: str, plural: str) -> str | None:
    """The property that a path's parameter names a thing by."""
    properties = [name for form in schemas.forms(schema) for name in form.get("properties") or {}]
    single = folded(plural).removesuffix("s")
    wanted = [
        folded(parameter),
        "id",
        folded(parameter).removeprefix(single),
        f"{single}id",
        "uuid",
        "key",
        "slug",
        "name",
    ]
    by_name = {folded(name): name for name in reversed(properties)}
    return next((by_name[one] for one in wanted if one in by_name), None)


def _roles(api: Api, place: _Place, kind: Kind, above: Mapping[str, Kind]) -> Iterator[tuple[str, Role]]:
    schemas = api.replies
    known = schemas.identity(kind.items[-1]) or schemas.identity(kind.items[0])
    parents = _above(place.path, above)
    listed = _list_of(schemas, place)
    for method, operation in place.calls.items():
        schema = _reply_schema(operation)
        if method == "GET" and listed is not None:
            yield operation.title, Role("list", kind, listed=listed, above=parents)
        elif method == "POST" and _makes_one(schemas, operation):
            wrapped = _wrapping(schemas, schema, known) if schema is not None else None
            yield operation.title, Role("create", kind, None, wrapped, _sent_in(api, operation, wrapped), above=parents)
    for method, operation in place.item_calls.items():
        schema = _reply_schema(operation)
        if method not in _ITEM or place.item is None or (schema is _NOTHING and method != "DELETE"):
            continue
        wrapped = _wrapping(schemas, schema, known) if schema not in (None, _NOTHING) else None
        sent_in = _sent_in(api, operation, wrapped)
        yield operation.title, Role(_ITEM[method], kind, place.item.last, wrapped, sent_in, above=parents)


def _sent_in(api: Api, operation: Operation, wrapped: str | None) -> str | None:
    """The property of requests that holds the thing: the one of replies, when requests have only that."""
    media = operation.json_body
    if wrapped is None or media is None or media.schema is None:
        return None
    return wrapped if [*(api.requests.merged(media.schema).get("properties") or {})] == [wrapped] else None


def _above(path: Path, above: Mapping[str, Kind]) -> dict[str, Kind]:
    """The kinds of the things that a path names, by parameter."""
    found: dict[str, Kind] = {}
    for length in range(1, len(path.segments) + 1):
        part = Path("/".join(path.segments[:length]))
        if part.last is not None and part.shape in above:
            found[part.last] = above[part.shape]
    return found


def _acting(schemas: Schemas, operation: Operation, above: Mapping[str, Kind]) -> Role | None:
    """An operation that belongs to a thing and is none of the six, such as ``POST /orders/{id}/cancel``."""
    known = _above(operation.path, above)
    if not known:
        return None
    parameter, kind = [*known.items()][-1]
    rest = {name: one for name, one in known.items() if name != parameter}
    schema = _reply_schema(operation)
    names = {schemas.identity(one) for one in kind.items}
    same = schema not in (None, _NOTHING) and schemas.identity(schema) in names - {None}
    return Role("act" if same else "other", kind, parameter, above=rest)
