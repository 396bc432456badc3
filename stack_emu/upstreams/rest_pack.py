"""The base of packs that serve a REST API: from a request to an operation and from its answer to HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from stack_emu.kernel.matching import PathTemplate
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.not_served import not_served
from stack_emu.upstreams.pack_calls import PackOperation, PackRefusal, RestCall
from stack_emu.upstreams.packs import Declined, PackContext, PackRow, summary_of
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest


class RestPack:
    """A stateful fake of a REST API. A subclass names its operations and speaks the service's dialect.

    Everything is synchronous and the pack itself remembers nothing: what is to last is put into collections of the call.
    """

    title: str = ""
    """The service's name for people, for example GitHub."""

    hosts: tuple[str, ...] = ()
    """Host names it answers for when the scenario names none."""

    served: Sequence[PackOperation] = ()
    """The operations."""

    declined: Sequence[Declined] = ()
    """What the service has and the pack does not, each with why."""

    clients: tuple[str, ...] = ()
    """The real clients that drive it in the tests, with versions."""

    seed_keys: Mapping[str, str] = {}
    """What ``seed`` in a scenario may hold: key to meaning."""

    @property
    def operations(self) -> tuple[PackRow, ...]:
        """What it serves, for the table of ``docs/upstreams.md``."""
        return tuple(
            PackRow(one.name, f"{one.method} {one.path}", summary_of(one.handler), one.scopes, one.source)
            for one in self.served
        )

    # --- what a subclass may say in its own words -------------------------------------------------------------------

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work; by default one with unknown keys.

        Raises:
            ValueError: one sentence that says which part is wrong and what to write.
        """
        check_keys("seed", seed, tuple(self.seed_keys))

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the state that the upstream ``name`` begins with; nothing by default."""

    def presigned(self, world: World, name: str, request: UpstreamRequest) -> bool:
        """Whether the request's URL is its own permission; never by default."""
        return False

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """What the service answers when a request carries no credential, or one it does not know."""
        return UpstreamReply.of_json({"message": "Unauthorized"}, 401, {"WWW-Authenticate": "Bearer"})

    def injected(self, status: int) -> Any:
        """The JSON body the service sends with a bare failure status; None when it sends none."""
        return None

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """What the service answers when the credential lacks every one of the operation's scopes."""
        return UpstreamReply.of_json({"message": f"Missing scope: {call.operation.scopes[0]}"}, 403)

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """What the service answers to a body that is no JSON object."""
        return UpstreamReply.of_json({"message": sentence}, 400)

    def before(self, call: RestCall) -> None:
        """Called once the operation is known and allowed, before its handler.

        Raises:
            PackRefusal: to refuse.
        """

    def after(self, call: RestCall, reply: UpstreamReply) -> UpstreamReply:
        """Called with the reply of every operation, refusals too; returns what is sent."""
        return reply

    @staticmethod
    def collection(world: World, upstream: str, name: str) -> Collection:
        """A collection of one upstream, for :meth:`seed`; in a call it is :meth:`RestCall.collection`."""
        return Collection(world.store, upstream, name)

    # --- the way of a call ------------------------------------------------------------------------------------------

    def handle(self, context: PackContext) -> UpstreamReply:
        """Answer a request. What it writes is kept when it returns and undone when it is refused."""
        found = self.find(context.request)
        if found is None:
            return not_served(context, self.title, self.operations, self.declined)
        operation, params, rest = found
        context.route = operation.path
        try:
            fields = self.read_fields(context.request)
        except ValueError as error:
            context.discard = True
            return self.bad_body(context.request, str(error))
        call = RestCall(context, operation, params, rest, fields)
        reply = self.after(call, self._answer(call))
        context.unread = call.unread
        return reply

    def find(self, request: UpstreamRequest) -> tuple[PackOperation, Mapping[str, str], str] | None:
        """The operation that answers a request, with what its path captured; literal paths win over templates."""
        best: tuple[int, PackOperation, Mapping[str, str], str] | None = None
        for one in self.served:
            if one.method != request.method:
                continue
            params = PathTemplate(one.path).match(request.path)
            if params is None:
                continue
            rank = len(params) + 100 * one.path.endswith("*")
            if best is None or rank < best[0]:
                best = (rank, one, params, _rest(one.path, request.path))
        return None if best is None else best[1:]

    def read_fields(self, request: UpstreamRequest) -> Mapping[str, Any]:
        """The fields of the body: of a JSON object or of a form.

        Raises:
            ValueError: when the body says it is JSON and is not, or is not an object.
        """
        if not request.body:
            return {}
        if "form" in request.content_type:
            return request.form
        if request.content_type and "json" not in request.content_type:
            return {}
        try:
            data = request.json()
        except ValueError:
            raise ValueError("The body is not JSON") from None
        if not isinstance(data, dict):
            raise ValueError("The body is not a JSON object")
        return data

    def _answer(self, call: RestCall) -> UpstreamReply:
        operation = call.operation
        try:
            if operation.scopes and not call.allows(*operation.scopes):
                call.context.lacks(operation.name, operation.scopes)
                raise PackRefusal(self.missing_scope(call), call.context.hint)
            self.before(call)
            answer = operation.handler(call)
        except PackRefusal as refusal:
            call.context.discard = True
            call.context.hint = refusal.hint
            return _with_headers(refusal.reply, call.headers)
        if isinstance(answer, UpstreamReply):
            return _with_headers(answer, call.headers)
        if answer is None:
            return UpstreamReply(204, call.headers)
        return UpstreamReply.of_json(answer, operation.status, call.headers)


def check_keys(place: str, value: Any, known: Sequence[str]) -> None:
    """Refuse a mapping with keys nobody knows.

    Raises:
        ValueError: one sentence that names the place, the key and the nearest known one.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is not a mapping; it knows {', '.join(known) or 'no keys'}.")
    for key in value:
        if key not in known:
            near = close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known) or 'no keys'}."
            raise ValueError(f"{place} has no key {key!r}; {hint}")


def _rest(template: str, path: str) -> str:
    """What a final ``*`` stands for, percent-decoded."""
    if not template.endswith("*"):
        return ""
    before = template[:-1].count("/")
    return unquote("/".join(path.split("/")[before:]))


def _with_headers(reply: UpstreamReply, headers: Mapping[str, str]) -> UpstreamReply:
    if not headers:
        return reply
    merged = reply.headers.copy()
    merged.update(headers)
    return UpstreamReply(reply.status, merged, reply.body)
