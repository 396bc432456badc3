"""The things a service made from a document begins with."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.ids import derive
from stack_emu.kernel.world import World
from stack_emu.upstreams.openapi.compiled import Compiled, compile_document
from stack_emu.upstreams.openapi.document import Api
from stack_emu.upstreams.openapi.kinds import Kind
from stack_emu.upstreams.openapi.mistakes import mistakes
from stack_emu.upstreams.openapi.things import Things
from stack_emu.upstreams.openapi.values import CannotMake, Maker, Origin, folded
from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS: Mapping[str, str] = {
    "document": "the OpenAPI 3.0 or 3.1 document, JSON or YAML, relative to the scenario's file; `openapi:` is short for it",
    "items": "what there is from the start, by the name a list has in its path: `{pets: [{name: Rex}]}`; with `openapi:`, "
    "`seed` itself is that mapping",
}


def read_seed(seed: Mapping[str, Any]) -> tuple[Compiled, Mapping[str, Any]]:
    """The document of a seed and the things in it.

    Raises:
        ValueError: one sentence that begins with the place of what is wrong.
    """
    check_keys("seed", seed, list(SEED_KEYS))
    document = seed.get("document")
    if not isinstance(document, str) or not document:
        raise ValueError("seed.document names no file; write the path of an OpenAPI document, such as ./api.yaml.")
    compiled = compile_document(document)
    error = compiled.error
    if error is not None:
        place = f"{error.path}: " if error.path else ""
        where = f":{error.mark.line}:{error.mark.column}: {place}" if error.mark.line else " "
        raise ValueError(f"seed.document cannot be used: {error.mark.file}{where}{error.sentence}.")
    items = seed.get("items") or {}
    if not isinstance(items, Mapping):
        raise ValueError("seed.items is not a mapping; write names of lists, such as pets: [{name: Rex}].")
    for name, things in items.items():
        _check_kind(compiled, str(name), things)
    return compiled, items


def write_seed(compiled: Compiled, items: Mapping[str, Any], world: World, upstream: str) -> None:
    """Keep the things of a seed; of kinds that nothing creates and no seed names, those the document's examples show."""
    assert compiled.api is not None
    for name, kind in compiled.kinds.items():
        given = items.get(name)
        if given is None and not kind.creates:
            given = [thing for thing in kind.shown if all(kind.link(thing, shape) for shape in kind.links)]
        things = Things(compiled.api, kind, world, upstream, world.clock.start_ms)
        for number, item in enumerate(given or (), start=1):
            thing, owner = _placed(compiled.api, kind, item)
            raw = derive(world.seed, "openapi-seed", f"{upstream}/{name}", number, 0)
            thing_id = _id_of(compiled.api, things, thing, number, raw)
            things.put(things.key(thing_id, owner), _with_id(things, thing, thing_id), owner)


def _check_kind(compiled: Compiled, name: str, given: Any) -> None:
    kind = compiled.kinds.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, [*compiled.kinds], 1)
        known = ", ".join(compiled.kinds) or "none: no path of the document is a list of things"
        hint = f"did you mean {near[0]}?" if near else f"there are: {known}."
        raise ValueError(f"seed.items: there is no list {name!r}; {hint}")
    if not isinstance(given, list):
        raise ValueError(f"seed.items.{name} is not a list; write a list of objects.")
    assert compiled.api is not None
    seen: set[str] = set()
    for number, item in enumerate(given):
        place = f"seed.items.{name}[{number}]"
        if not isinstance(item, Mapping):
            raise ValueError(f"{place} is not an object.")
        _check_item(compiled.api, kind, item, place)
        own = str(item.get(kind.id_field or "", "")) + str(
            [item.get(one) for names in kind.links.values() for one in names]
        )
        if kind.id_field in item and own in seen:
            raise ValueError(
                f"{place}.{kind.id_field} is {item[kind.id_field]}, which another has already; ids differ."
            )
        seen.add(own)


def _check_item(api: Api, kind: Kind, item: Mapping[str, Any], place: str) -> None:
    thing, owner = _placed(api, kind, item)
    needed = min(kind.homes, key=len, default=())
    for shape in needed:
        if shape not in owner:
            raise ValueError(f"{place} does not say what it belongs to; add {kind.links[shape][0]}.")
    schema = kind.items[0]
    whole = _guessed(api, kind, thing)
    for wrong in mistakes(api.replies, schema, whole, place):
        raise ValueError(f"{wrong}.")
    properties = {name for form in api.replies.forms(schema) for name in form.get("properties") or {}}
    is_open = any(form.get("additionalProperties", False) is not False for form in api.replies.forms(schema))
    for name in thing if properties and not is_open else ():
        if name not in properties:
            near = difflib.get_close_matches(name, sorted(properties), 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(properties))}."
            raise ValueError(f"{place}.{name} is no field of {kind.name}; {hint}")


def _guessed(api: Api, kind: Kind, thing: Mapping[str, Any]) -> dict[str, Any]:
    """A thing with what need not be said: its id, and what clients do not write."""
    maker = Maker(api.replies, Origin(b"seed", 0))
    whole = dict(thing)
    for form in api.replies.forms(kind.items[0]):
        for name, inner in (form.get("properties") or {}).items():
            if name in whole:
                continue
            found = api.replies.merged(inner)
            if api.replies.valid(inner, None):
                whole[name] = None
            elif name == kind.id_field or found.get("readOnly") or "default" in found:
                try:
                    whole[name] = maker.make(inner, name)
                except CannotMake:
                    continue
    return whole


def _placed(api: Api, kind: Kind, item: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A thing and what it belongs to; a field that only says that is not part of the thing."""
    owner: dict[str, str] = {}
    thing = dict(item)
    properties = {
        n for schema in kind.items for form in api.replies.forms(schema) for n in form.get("properties") or {}
    }
    for shape in kind.links:
        name = kind.link(item, shape)
        if name is not None and isinstance(item[name], (str, int)):
            owner[shape] = str(item[name])
            if name not in properties:
                del thing[name]
    for shape, value in owner.items():
        for known in properties:
            if folded(known) in {folded(one) for one in kind.links[shape]} and known not in thing:
                thing[known] = value
    return thing, owner


def _id_of(api: Api, things: Things, thing: Mapping[str, Any], number: int, raw: bytes) -> str:
    field = things.kind.id_field
    if field is None:
        return str(number)
    if field in thing:
        return str(thing[field])
    schema = things.properties()[field]
    for candidate in (str(number), number):
        if api.replies.valid(schema, candidate):
            return str(candidate)
    whole = api.replies.merged(schema)
    plain = {key: one for key, one in whole.items() if key not in ("example", "examples", "default")}
    return str(Maker(api.replies, Origin(raw, things.now_ms)).make(plain, "id"))


def _with_id(things: Things, thing: Mapping[str, Any], thing_id: str) -> dict[str, Any]:
    named = {things.kind.id_field: things.typed_id(thing_id)} if things.kind.id_field else {}
    return {**named, **thing}
