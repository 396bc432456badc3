"""What a scenario says about the resources of a service, read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS: Mapping[str, str] = {
    "resources": "name to {id, schema, items, parent, unique, read, write}; all may be left out",
    "base_path": "what stands before the names of resources in a path, such as /api/v1",
    "paging": "page (page, per_page and a Link header; the default), offset (offset, limit) or cursor (cursor, limit)",
    "page_size": "how many a page has when a client does not say; 20",
    "envelope": "the field a list stands in, such as data; a bare list when left out",
}
RESOURCE_KEYS: Mapping[str, str] = {
    "id": "what ids begin with, such as T-; eight derived digits follow",
    "schema": "JSON Schema (draft 2020-12) of what is created and changed",
    "items": "what there is from the start; each with an id of its own, or one by its place",
    "parent": "name of the resource it belongs to: it is then at /{parent}/{id}/{name}, and deleted with it",
    "unique": "fields of which no two may have the same value",
    "read": "scopes of which one is needed to read",
    "write": "scopes of which one is needed to write",
}
PAGING = ("page", "offset", "cursor")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_TYPES: Mapping[str, tuple[type, str]] = {
    "id": (str, "text, such as T-"),
    "schema": (dict, "a JSON Schema"),
    "items": (list, "a list of objects"),
    "parent": (str, "the name of a resource"),
    "unique": (list, "a list of fields"),
    "read": (list, "a list of scopes"),
    "write": (list, "a list of scopes"),
}


@dataclass(frozen=True)
class Resource:
    """One kind of thing a service has."""

    name: str
    prefix: str = ""
    schema: Mapping[str, Any] | None = None
    items: Sequence[Mapping[str, Any]] = ()
    parent: str | None = None
    unique: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    @property
    def one(self) -> str:
        """What one of them is called in path parameters, such as ``ticket_id``."""
        return f"{self.name.rstrip('s') or self.name}_id".replace("-", "_")


@dataclass(frozen=True)
class Settings:
    """Everything a scenario says about a service."""

    resources: Mapping[str, Resource] = field(default_factory=dict)
    base_path: str = ""
    paging: str = "page"
    page_size: int = 20
    envelope: str | None = None

    def path(self, resource: Resource) -> str:
        """The path template of a resource's list."""
        if resource.parent is None:
            return f"{self.base_path}/{resource.name}"
        parent = self.resources[resource.parent]
        return f"{self.path(parent)}/{{{parent.one}}}/{resource.name}"


def read_settings(seed: Mapping[str, Any]) -> Settings:
    """Read a seed.

    Raises:
        ValueError: one sentence that begins with the place of what is wrong.
    """
    check_keys("seed", seed, list(SEED_KEYS))
    listed = seed.get("resources")
    if not isinstance(listed, Mapping) or not listed:
        raise ValueError("seed.resources names no resource; write resources: {tickets: {id: T-}}.")
    resources = {str(name): _resource(str(name), given) for name, given in listed.items()}
    for resource in resources.values():
        _check_parent(resource, resources)
    base = seed.get("base_path") or ""
    if not isinstance(base, str) or (base and not re.fullmatch(r"(/[^/{}*?#]+)+", base)):
        raise ValueError("seed.base_path is not a path; write one such as /api/v1.")
    if seed.get("paging", "page") not in PAGING:
        raise ValueError(f"seed.paging is {seed['paging']!r}; use one of {', '.join(PAGING)}.")
    size = seed.get("page_size", 20)
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 1000:
        raise ValueError("seed.page_size is not a number from 1 to 1000.")
    envelope = seed.get("envelope")
    if envelope is not None and not isinstance(envelope, str):
        raise ValueError("seed.envelope is not text; write the name of a field, such as data.")
    return Settings(resources, base, seed.get("paging", "page"), size, envelope)


def _resource(name: str, given: Any) -> Resource:
    place = f"seed.resources.{name}"
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"seed.resources has the name {name!r}, which cannot stand in a path; use letters, digits, - and _."
        )
    given = given if given is not None else {}
    check_keys(place, given, list(RESOURCE_KEYS))
    for key, (kind, wanted) in _TYPES.items():
        if given.get(key) is not None and not isinstance(given[key], kind):
            raise ValueError(f"{place}.{key} is not {wanted}.")
    _check_schema(place, given.get("schema"))
    items = given.get("items") or []
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise ValueError(f"{place}.items[{number}] is not an object.")
        if "id" in item and not isinstance(item["id"], str):
            raise ValueError(f"{place}.items[{number}].id is not text.")
    texts = {key: tuple(map(str, given.get(key) or ())) for key in ("unique", "read", "write")}
    return Resource(name, given.get("id") or "", given.get("schema"), tuple(items), given.get("parent"), **texts)


def _check_schema(place: str, schema: Any) -> None:
    if schema is None:
        return
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    from stack_emu.kernel.schema_validation import pattern_problem

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"{place}.schema is not a JSON Schema: {error.message}.") from None
    problem = pattern_problem(schema)
    if problem is not None:
        raise ValueError(f"{place}.schema: {problem}.")


def _check_parent(resource: Resource, resources: Mapping[str, Resource]) -> None:
    seen, current = {resource.name}, resource
    while current.parent is not None:
        if current.parent not in resources:
            known = ", ".join(resources)
            raise ValueError(f"seed.resources.{current.name}.parent is {current.parent}, which is none of {known}.")
        if current.parent in seen:
            raise ValueError(f"seed.resources.{resource.name}.parent leads back to itself.")
        seen.add(current.parent)
        current = resources[current.parent]
