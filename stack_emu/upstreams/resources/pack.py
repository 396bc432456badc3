"""CRUD over the resources a scenario names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.pack_calls import PackOperation, PackRefusal, RestCall
from stack_emu.upstreams.packs import Declined, PackContext, PackRow
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.resources.listing import listed
from stack_emu.upstreams.resources.settings import RESOURCE_KEYS, SEED_KEYS, Resource, Settings, read_settings
from stack_emu.upstreams.rest_pack import RestPack

PROBLEM = "application/problem+json"
_SETTINGS = "settings"
_SOURCE = "RFC 9110, RFC 7396 and RFC 9457"


class ResourcesPack(RestPack):
    """A REST service made of the resources the scenario names: created, read, listed, changed and deleted.

    Replies to mistakes are problem details (RFC 9457); ETags guard against lost changes.
    """

    title = "REST resources"
    clients = ("httpx 0.28",)
    seed_keys: Mapping[str, str] = {
        **SEED_KEYS,
        **{f"resources.<name>.{key}": meaning for key, meaning in RESOURCE_KEYS.items()},
    }
    declined: Sequence[Declined] = (
        Declined("actions beside create, read, list, change and delete", "they mean something; write them as routes"),
    )

    @property
    def operations(self) -> tuple[PackRow, ...]:
        """What every resource has."""
        return tuple(
            PackRow(f"<resource>.{name}", f"{method} /{{resource}}{rest}", summary, (), _SOURCE)
            for name, method, rest, summary in _ROWS
        )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work.

        Raises:
            ValueError: one sentence that begins with the place of what is wrong.
        """
        settings = read_settings(seed)
        for resource in settings.resources.values():
            belongs = settings.resources[resource.parent].one if resource.parent else None
            for number, item in enumerate(resource.items):
                place = f"seed.resources.{resource.name}.items[{number}]"
                if belongs is not None and not isinstance(item.get(belongs), str):
                    raise ValueError(f"{place} does not say what it belongs to; add {belongs}.")
                plain = {key: value for key, value in item.items() if key not in ("id", belongs)}
                for pointer, text in _problems(resource, plain):
                    raise ValueError(f"{place} does not hold to its schema: {pointer or 'it'} {text}.")

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write what there is from the start."""
        settings = read_settings(seed)
        self.collection(world, name, _SETTINGS).put("seed", dict(seed))
        for resource in settings.resources.values():
            things = self.collection(world, name, resource.name)
            for number, item in enumerate(resource.items, start=1):
                key = str(item.get("id") or f"{resource.prefix}{number}")
                stamp = iso(world.clock.start_ms)[:19] + "Z"
                things.put(key, {"id": key, "created_at": stamp, "updated_at": stamp, **item})

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """401 with problem details."""
        return _problem(401, "Unauthorized", "Send the service's credential.", headers={"WWW-Authenticate": "Bearer"})

    def injected(self, status: int) -> Any:
        """Problem details of a bare failure status."""
        return {"type": "about:blank", "title": "Injected", "status": status} if status >= 400 else None

    def handle(self, context: PackContext) -> UpstreamReply:
        """Answer a call of the resources that the upstream was seeded with."""
        found = Collection(context.world.store, context.upstream, _SETTINGS).get("seed")
        served = _served(json.dumps(found, sort_keys=True)) if found is not None else None
        return (served or _Served(Settings())).handle(context)


_ROWS = (
    ("list", "GET", "", "List them: filtered by field, searched with q, sorted, in pages."),
    ("create", "POST", "", "Create one; its id follows from the call."),
    ("read", "GET", "/{id}", "Read one, with an ETag; If-None-Match is answered with 304."),
    ("replace", "PUT", "/{id}", "Replace one; If-Match guards against lost changes."),
    ("change", "PATCH", "/{id}", "Change fields of one by merge patch; null removes a field."),
    ("delete", "DELETE", "/{id}", "Delete one, and what belongs to it."),
)


@lru_cache(maxsize=64)
def _served(text: str) -> _Served:
    return _Served(read_settings(json.loads(text)))


class _Served(RestPack):
    """The operations of one upstream."""

    title = ResourcesPack.title
    declined = ResourcesPack.declined

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.served = tuple(one for resource in settings.resources.values() for one in self._of(resource))

    def _of(self, resource: Resource) -> Iterator[PackOperation]:
        path = self.settings.path(resource)
        calls = _Calls(self.settings, resource)
        for name, method, rest, summary in _ROWS:
            handler = getattr(calls, name)
            scopes = resource.read if method == "GET" else resource.write
            where = f"{path}/{{{resource.one}}}" if rest else path
            status = 201 if name == "create" else 200
            yield PackOperation(f"{resource.name}.{name}", method, where, handler, summary, scopes, status)

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """403 with the scopes that would do."""
        needed = " or ".join(call.operation.scopes)
        return _problem(403, "Forbidden", f"{call.operation.name} needs the scope {needed}.")

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """400 with problem details."""
        return _problem(400, "Bad Request", f"{sentence}.")


@dataclass(frozen=True)
class _Calls:
    """The handlers of one resource."""

    settings: Settings
    resource: Resource

    def list(self, call: RestCall) -> Any:
        """List them."""
        owner = self._owner(call)
        things = [thing for thing in call.collection(self.resource.name).all() if _belongs(thing, owner)]
        return listed(call, self.settings, things)

    def create(self, call: RestCall) -> Any:
        """Create one."""
        owner = self._owner(call)
        fields = self._valid(call, {name: call.field(name) for name in call.fields if name != "id"})
        things = call.collection(self.resource.name)
        self._check_unique(call, fields, None)
        key = call.mint(things.free(lambda: f"{self.resource.prefix}{_digits(call)}"))
        stamps = {"created_at": call.now, "updated_at": call.now}
        thing = things.put(key, {"id": key, **stamps, **fields, **owner})
        call.headers.update({"Location": f"{call.request.path.rstrip('/')}/{key}", "ETag": _etag(thing)})
        return thing

    def read(self, call: RestCall) -> Any:
        """Read one."""
        thing = self._thing(call)
        call.headers["ETag"] = _etag(thing)
        if call.request.headers.get("If-None-Match") in (_etag(thing), "*"):
            return UpstreamReply(304, {"ETag": _etag(thing)})
        return thing

    def replace(self, call: RestCall) -> Any:
        """Replace one."""
        fields = {name: call.field(name) for name in call.fields}
        return self._put(call, self._guarded(call), fields)

    def change(self, call: RestCall) -> Any:
        """Change fields of one."""
        fields = {name: call.field(name) for name in call.fields}
        thing = self._guarded(call)
        kept = {name: value for name, value in thing.items() if name not in self._own(thing)}
        return self._put(call, thing, _merged(kept, fields))

    def delete(self, call: RestCall) -> Any:
        """Delete one, and what belongs to it."""
        thing = self._guarded(call)
        self._drop(call, self.resource, str(thing["id"]))

    def _drop(self, call: RestCall, resource: Resource, key: str) -> None:
        for child in self.settings.resources.values():
            if child.parent == resource.name:
                for found, data in [*call.collection(child.name).items()]:
                    if data.get(resource.one) == key:
                        self._drop(call, child, found)
        call.collection(resource.name).delete(key)

    def _put(self, call: RestCall, thing: Mapping[str, Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
        own = self._own(thing)
        plain = self._valid(call, {name: value for name, value in fields.items() if name not in own})
        self._check_unique(call, plain, str(thing["id"]))
        changed = call.collection(self.resource.name).put(
            str(thing["id"]), {**{name: thing[name] for name in own}, **plain, "updated_at": call.now}
        )
        call.headers["ETag"] = _etag(changed)
        return changed

    def _own(self, thing: Mapping[str, Any]) -> Sequence[str]:
        """The fields that clients do not write."""
        parent = [self.settings.resources[self.resource.parent].one] if self.resource.parent else []
        return [name for name in ("id", "created_at", "updated_at", *parent) if name in thing]

    def _thing(self, call: RestCall) -> Mapping[str, Any]:
        key = call.params[self.resource.one]
        thing, owner = call.collection(self.resource.name).get(key), self._owner(call)
        if thing is None or not _belongs(thing, owner):
            raise PackRefusal(_problem(404, "Not Found", f"There is no {key} among the {self.resource.name}."))
        return thing

    def _guarded(self, call: RestCall) -> Mapping[str, Any]:
        """The thing, unless it was changed since the client read it."""
        thing = self._thing(call)
        wanted = call.request.headers.get("If-Match")
        if wanted not in (None, "*", _etag(thing)):
            text = f"{thing['id']} was changed since; its ETag is {_etag(thing)} now."
            raise PackRefusal(_problem(412, "Precondition Failed", text))
        return thing

    def _owner(self, call: RestCall) -> dict[str, str]:
        """What a nested thing belongs to; 404 when that is not there."""
        if self.resource.parent is None:
            return {}
        parent = self.settings.resources[self.resource.parent]
        key = call.params[parent.one]
        if call.collection(parent.name).get(key) is None:
            raise PackRefusal(_problem(404, "Not Found", f"There is no {key} among the {parent.name}."))
        return {parent.one: key}

    def _valid(self, call: RestCall, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        errors = [{"pointer": f"#{pointer}", "detail": text} for pointer, text in _problems(self.resource, fields)]
        if errors:
            detail = "; ".join(f"{error['pointer']} {error['detail']}" for error in errors)
            raise PackRefusal(_problem(422, "Unprocessable Content", detail, errors=errors))
        return fields

    def _check_unique(self, call: RestCall, fields: Mapping[str, Any], key: str | None) -> None:
        for name in self.resource.unique:
            for other, data in call.collection(self.resource.name).items():
                if other != key and name in fields and data.get(name) == fields[name]:
                    text = f"{other} has the {name} {fields[name]!r} already."
                    raise PackRefusal(
                        _problem(409, "Conflict", text, errors=[{"pointer": f"#/{name}", "detail": "is taken"}])
                    )


def _belongs(thing: Mapping[str, Any], owner: Mapping[str, str]) -> bool:
    return all(thing.get(name) == value for name, value in owner.items())


def _digits(call: RestCall) -> str:
    return f"{10_000_000 + call.act.new_number('resource', 90_000_000)}"


def _problems(resource: Resource, fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where fields do not hold to the schema: JSON pointers, and what is wrong there."""
    if resource.schema is None:
        return []
    from jsonschema import FormatChecker
    from referencing.exceptions import Unresolvable

    from stack_emu.kernel.schema_validation import SchemaCheck

    try:
        errors = SchemaCheck(resource.schema, FormatChecker()).errors(fields)
    except (ValueError, RecursionError, Unresolvable) as error:
        return [("", f"the schema of the resource cannot be followed: {error}")]
    found = sorted(errors, key=lambda error: list(map(str, error.absolute_path)))
    return [("".join(f"/{part}" for part in error.absolute_path), error.message) for error in found]


def _merged(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch applied (RFC 7396)."""
    merged = dict(value)
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        elif isinstance(change, Mapping):
            inner = merged.get(name)
            merged[name] = _merged(inner if isinstance(inner, Mapping) else {}, change)
        else:
            merged[name] = change
    return merged


def _etag(thing: Mapping[str, Any]) -> str:
    text = json.dumps(thing, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'


def _problem(
    status: int, title: str, detail: str, *, errors: Any = None, headers: Mapping[str, str] | None = None
) -> UpstreamReply:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors is not None:
        body["errors"] = errors
    return UpstreamReply.of_json(body, status, {"Content-Type": PROBLEM, **(headers or {})})
