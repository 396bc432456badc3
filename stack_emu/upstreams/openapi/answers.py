"""Answers of a service made from a document: to calls of its things by what is kept, to others by what they declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.upstreams.openapi.checking import Checked, typed
from stack_emu.upstreams.openapi.compiled import JSON_PATCH, Compiled, example_of, is_text
from stack_emu.upstreams.openapi.document import Api, Media, Operation, Reply
from stack_emu.upstreams.openapi.kinds import Kind, Role
from stack_emu.upstreams.openapi.listing import around, filters, headers_of, page_of, passes, read_by_lists
from stack_emu.upstreams.openapi.refusals import refusal
from stack_emu.upstreams.openapi.schemas import Schema
from stack_emu.upstreams.openapi.shapes import Shaper
from stack_emu.upstreams.openapi.things import Owner, Things
from stack_emu.upstreams.openapi.values import Maker, Origin, folded
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply


@dataclass
class Answering:
    """One call that passed every check, on its way to a reply.

    Args:
        compiled: the document.
        api: what it declares.
        operation: what is called.
        call: the call.
        checked: the request as the document reads it.
    """

    compiled: Compiled
    api: Api
    operation: Operation
    call: RestCall
    checked: Checked

    def reply(self) -> UpstreamReply:
        """The reply.

        Raises:
            PackRefusal: when something is not there, is there already, or is not served.
            CannotMake: when no reply holds to the document.
        """
        role = self.compiled.roles.get(self.operation.title)
        if role is None:
            return self._declared()
        self._require_above(role)
        answers = {
            "list": self._list,
            "create": self._create,
            "read": self._read,
            "replace": self._replace,
            "change": self._change,
            "delete": self._delete,
            "act": self._read,
        }
        if role.what == "other":
            self._thing(role)
            return self._declared()
        return answers[role.what](role)

    # --- calls of things --------------------------------------------------------------------------------------------

    def _list(self, role: Role) -> UpstreamReply:
        things, listed = self._things(role.kind), role.listed
        assert listed is not None
        properties = [*things.properties()]
        self._leave_unread(set(read_by_lists(self.operation, properties)))
        wanted = filters(self.operation, self.checked, properties)
        found = {key: one["thing"] for key, one in things.of(self._owner()) if passes(one["thing"], wanted)}
        page = page_of(self.api.requests, self.operation, self.checked, [*found])
        shown = [things.shaper(key).shown(listed.items, found[key]) for key in page.keys]
        _, reply = self._success()
        self.call.headers.update(headers_of([*reply.headers], page, self.call.request))
        if listed.field is None:
            return self._send(shown)
        schema = reply.json.schema if reply.json is not None else None
        said = around(self.api.replies, schema, listed.field, page, self.call.request)
        return self._send(self._shaper().shown(schema, {**said, listed.field: shown}))

    def _create(self, role: Role) -> UpstreamReply:
        things, owner = self._things(role.kind), self._owner()
        fields = self._fields(role)
        given = fields.get(role.kind.id_field or "")
        if isinstance(given, (str, int)) and str(given):
            thing_id = str(given)
            if things.records.get(things.key(thing_id, owner)) is not None:
                raise self._refused(409, f"There is a {thing_id} among the {role.kind.name} already.")
        else:
            act = self.call.act
            thing_id = things.new_id(act)
            while things.records.get(things.key(thing_id, owner)) is not None:
                thing_id = things.new_id(act)
            self.call.mint(thing_id)
        self.call.headers["Location"] = f"{self.call.request.path.rstrip('/')}/{thing_id}"
        return self._kept(role, things, thing_id, owner, fields)

    def _read(self, role: Role) -> UpstreamReply:
        _, key, record = self._thing(role)
        return self._show(role, key, record["thing"])

    def _replace(self, role: Role) -> UpstreamReply:
        things, owner, thing_id = self._things(role.kind), self._owner(role), self._thing_id(role)
        fields = self._fields(role)
        found = things.get(thing_id, owner)
        if found is None and "201" in self.operation.replies:
            reply = self._kept(role, things, thing_id, owner, fields)
            return UpstreamReply(201, reply.headers, reply.body)
        if found is None:
            raise self._missing(thing_id, role.kind)
        key, record = found
        return self._changed(role, things, key, record, {**self._own(things, key, record["thing"]), **fields})

    def _change(self, role: Role) -> UpstreamReply:
        if self.call.request.content_type == JSON_PATCH:
            self.call.context.problem = "unmatched"
            hint = f"{self.operation.title} does not serve JSON patches here; send a merge patch, or add a route."
            raise PackRefusal(refusal(self.api.replies, None, 501, hint), hint)
        things, key, record = self._thing(role)
        fields, properties = self._fields(role), things.properties()
        emptied = {
            name: None
            for name, one in fields.items()
            if one is None and name in properties and self.api.replies.valid(properties[name], None)
        }
        return self._changed(role, things, key, record, {**_merged(record["thing"], fields), **emptied})

    def _delete(self, role: Role) -> UpstreamReply:
        things, key, record = self._thing(role)
        self._drop(role.kind, key, record, self._thing_id(role))
        _, reply = self._success()
        schema = reply.json.schema if reply.json is not None else None
        names = {self.api.replies.identity(one) for one in role.kind.items} - {None}
        if schema is not None and self.api.replies.identity(schema) in names:
            return self._send(things.shaper(key).shown(schema, record["thing"]))
        return self._declared()

    # --- keeping ----------------------------------------------------------------------------------------------------

    def _kept(
        self, role: Role, things: Things, thing_id: str, owner: Owner, fields: Mapping[str, Any]
    ) -> UpstreamReply:
        """Keep a new thing and show it."""
        named = {role.kind.id_field: things.typed_id(thing_id)} if role.kind.id_field else {}
        key = things.key(thing_id, owner)
        record = things.put(key, {**named, **things.linked(owner), **fields, **named}, owner)
        return self._show(role, key, record["thing"])

    def _changed(
        self, role: Role, things: Things, key: str, record: Mapping[str, Any], thing: Mapping[str, Any]
    ) -> UpstreamReply:
        shaper = things.shaper(key)
        for schema in role.kind.items:
            thing = shaper.touched(schema, thing)
        kept = things.put(key, thing, record["parents"], record["made"])
        return self._show(role, key, kept["thing"])

    def _own(self, things: Things, key: str, thing: Mapping[str, Any]) -> dict[str, Any]:
        """What a thing keeps when it is replaced: its id, what it belongs to, and what clients do not write."""
        own: dict[str, Any] = {}
        for schema in things.kind.items:
            own.update(things.shaper(key).read_only(schema, thing))
        links = [things.kind.link(thing, shape) for shape in things.kind.links]
        for name in (things.kind.id_field, *links):
            if name is not None and name in thing:
                own[name] = thing[name]
        return own

    def _drop(self, kind: Kind, key: str, record: Mapping[str, Any], thing_id: str) -> None:
        """Remove a thing, and what belongs to it."""
        for child in self.compiled.kinds.values():
            for shape in kind.at:
                if child is kind or not any(shape in parents for parents in child.parents):
                    continue
                below = self._things(child)
                owner = {**record["parents"], shape: thing_id}
                for found, inner in [*below.of(owner)]:
                    own_id = str(inner["thing"].get(child.id_field or "", found.rpartition("/")[2]))
                    self._drop(child, found, inner, own_id)
        self._things(kind).records.delete(key)

    def _fields(self, role: Role) -> dict[str, Any]:
        """The fields a client sent for a thing, without those that clients do not write, and without the id."""
        body = self.checked.body
        if role.sent_in is not None and isinstance(body, dict):
            body = body.get(role.sent_in)
        if not isinstance(body, dict):
            return {}
        media = self.operation.json_body
        schema = media.schema if media is not None else None
        requests = self.api.requests
        if role.sent_in is not None and schema is not None:
            schema = requests.merged(schema)["properties"][role.sent_in]
        known = (
            {n: one for f in requests.forms(schema) for n, one in (f.get("properties") or {}).items()} if schema else {}
        )
        sent = {
            name: one
            for name, one in body.items()
            if name not in known or not requests.is_hidden(known[name], "readOnly")
        }
        if role.what != "create" or (role.kind.id_field or "") not in known:
            sent.pop(role.kind.id_field or "", None)
        return sent

    # --- finding ----------------------------------------------------------------------------------------------------

    def _things(self, kind: Kind) -> Things:
        context = self.call.context
        return Things(self.api, kind, context.world, context.upstream, self.call.now_ms, self.call.act.place)

    def _owner(self, role: Role | None = None) -> dict[str, str]:
        """What the path says things belong to; without the thing itself, when the role names one."""
        own = role.parameter if role is not None else None
        owners = self.operation.path.owners
        found: dict[str, str] = {}
        for name, shape in owners.items():
            if name == own:
                break
            found[shape] = self.call.params[name]
        return found

    def _thing_id(self, role: Role) -> str:
        assert role.parameter is not None
        return self.call.params[role.parameter]

    def _thing(self, role: Role) -> tuple[Things, str, Mapping[str, Any]]:
        things = self._things(role.kind)
        found = things.get(self._thing_id(role), self._owner(role))
        if found is None:
            raise self._missing(self._thing_id(role), role.kind)
        return things, *found

    def _require_above(self, role: Role) -> None:
        """Refuse calls of what belongs to something that is not there."""
        owner: dict[str, str] = {}
        for name, shape in self.operation.path.owners.items():
            kind = role.above.get(name)
            if kind is not None and self._things(kind).get(self.call.params[name], owner) is None:
                raise self._missing(self.call.params[name], kind)
            owner[shape] = self.call.params[name]

    def _missing(self, thing_id: str, kind: Kind) -> PackRefusal:
        return self._refused(404, f"There is no {thing_id} among the {kind.name}.")

    def _refused(self, status: int, message: str) -> PackRefusal:
        return PackRefusal(refusal(self.api.replies, self.operation, status, message))

    # --- replies ----------------------------------------------------------------------------------------------------

    def _success(self) -> tuple[int, Reply]:
        assert self.operation.success is not None
        return self.operation.success

    def _shaper(self) -> Shaper:
        return Shaper(self._maker())

    def _maker(self) -> Maker:
        return Maker(self.api.replies, Origin(self.call.act.new_bytes("openapi"), self.call.now_ms))

    def _show(self, role: Role, key: str, thing: Mapping[str, Any]) -> UpstreamReply:
        """A thing in the form of this operation's reply."""
        _, reply = self._success()
        schema = reply.json.schema if reply.json is not None else None
        if schema is None:
            return self._send(thing) if reply.json is not None else self._declared()
        shaper = self._things(role.kind).shaper(key)
        if role.wrapped is None:
            return self._send(shaper.shown(schema, thing))
        inner = self.api.replies.merged(schema)["properties"][role.wrapped]
        return self._send(shaper.shown(schema, {role.wrapped: shaper.shown(inner, thing)}))

    def _declared(self) -> UpstreamReply:
        """The reply of an operation that acts on nothing that is kept: an example, or a value made from its schema."""
        status, reply = self._success()
        media = self._accepted(reply)
        if media is None or status == 204:
            return self._finish(UpstreamReply(status, self.call.headers))
        example, shown = example_of(self.api, media)
        if media.is_json:
            return self._send(example if shown else self._made(media.schema))
        if is_text(media):
            text = example if shown else self._made(media.schema if media.schema is not None else {"type": "string"})
            return self._finish(
                UpstreamReply(status, {"Content-Type": media.kind, **self.call.headers}, str(text).encode())
            )
        raw = str(example).encode() if shown else self.call.act.new_bytes("openapi")
        kind = media.kind if "*" not in media.kind else "application/octet-stream"
        return self._finish(UpstreamReply(status, {"Content-Type": kind, **self.call.headers}, raw))

    def _accepted(self, reply: Reply) -> Media | None:
        """The body among those declared that the client asks for by name, else the JSON one, else the first."""
        asked = [part.partition(";")[0].strip() for part in self.call.request.headers.get("Accept", "").split(",")]
        named = next((media for kind in asked for media in reply.media if media.kind == kind), None)
        return named or reply.json or next(iter(reply.media), None)

    def _made(self, schema: Schema | None) -> Any:
        """A value for a reply; fields that are named like a part of the request have its value where they may."""
        value = self._maker().make(schema if schema is not None else {})
        if not isinstance(value, dict) or schema is None:
            return value
        replies = self.api.replies
        properties = {n: one for form in replies.forms(schema) for n, one in (form.get("properties") or {}).items()}
        body = self.checked.body if isinstance(self.checked.body, dict) else {}
        said = {
            **{folded(name): one for name, one in body.items()},
            **{folded(n): t for n, t in self.call.params.items()},
        }
        for name in [one for one in value if folded(one) in said]:
            given = said[folded(name)]
            given = typed(replies, properties.get(name), given) if isinstance(given, str) else given
            if replies.valid(schema, {**value, name: given}):
                value = {**value, name: given}
        return value

    def _send(self, body: Any) -> UpstreamReply:
        status, reply = self._success()
        media = reply.json
        kind = media.kind if media is not None and "*" not in media.kind else "application/json"
        return self._finish(UpstreamReply.of_json(body, status, {"Content-Type": kind, **self.call.headers}))

    def _finish(self, reply: UpstreamReply) -> UpstreamReply:
        """Add the headers that must be there, and leave out the body where there is none."""
        _, declared = self._success()
        headers = reply.headers.copy()
        for name, (schema, required) in declared.headers.items():
            if required and name not in headers:
                made = self._maker().make(schema if schema is not None else {}, name)
                headers[name] = str(made).lower() if isinstance(made, bool) else str(made)
        return UpstreamReply(reply.status, headers, b"" if self.operation.method == "HEAD" else reply.body)

    def _leave_unread(self, read: set[str]) -> None:
        """Count the declared parameters of a list as read that it acts on."""
        self.call.ignore(*(f"query.{name}" for name in read), *(f"query.{name}[]" for name in read))


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
