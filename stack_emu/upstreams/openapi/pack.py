"""The pack that answers by an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.not_served import not_served
from stack_emu.upstreams.openapi.answers import Answering
from stack_emu.upstreams.openapi.checking import Checked, check_request, public, unmet
from stack_emu.upstreams.openapi.compiled import Compiled
from stack_emu.upstreams.openapi.document import Api, Operation
from stack_emu.upstreams.openapi.kinds import Role
from stack_emu.upstreams.openapi.refusals import plain, refusal, status_for
from stack_emu.upstreams.openapi.seeding import SEED_KEYS, read_seed, write_seed
from stack_emu.upstreams.openapi.values import CannotMake
from stack_emu.upstreams.pack_calls import PackOperation, PackRefusal, RestCall
from stack_emu.upstreams.packs import Declined, PackContext, PackRow
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack

_SOURCE = "OpenAPI 3.0.4 and 3.1.1"
_ROWS = (
    (
        "list",
        "GET",
        "/{things}",
        "List them: filtered by fields the document makes parameters of, in its pages and envelope.",
    ),
    ("create", "POST", "/{things}", "Create one; its id follows from the call."),
    ("read", "GET", "/{things}/{id}", "Read one."),
    ("replace", "PUT", "/{things}/{id}", "Replace one, or create it where the document declares 201."),
    ("change", "PATCH", "/{things}/{id}", "Change fields of one by merge patch."),
    ("delete", "DELETE", "/{things}/{id}", "Delete one, and what belongs to it."),
    (
        "other",
        "GET",
        "/*",
        "Any other operation, any method: the document's example, else a value made from the schema.",
    ),
)
_SAID = {row[0]: row[3] for row in _ROWS}


class OpenApiPack(RestPack):
    """A service made from an OpenAPI document: every request is checked against it, and things that are created are there."""

    title = "OpenAPI document"
    clients = ("httpx 0.28", "aiopenapi3 0.11")
    seed_keys: Mapping[str, str] = SEED_KEYS
    declined: Sequence[Declined] = (
        Declined("callbacks and webhooks", "nothing is sent on its own; routes have callbacks"),
        Declined("JSON patches", "changes are merge patches; write a route"),
        Declined("what an action means", "a document only says its form; write what it does as a route"),
    )

    @property
    def operations(self) -> tuple[PackRow, ...]:
        """What every list of things has, and the rest."""
        return tuple(
            PackRow(f"<things>.{name}", f"{method} {path}", said, (), _SOURCE) for name, method, path, said in _ROWS
        )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a document or things that cannot work.

        Raises:
            ValueError: one sentence that begins with the place of what is wrong.
        """
        read_seed(seed)

    def configured(self, seed: Mapping[str, Any]) -> ApiPack:
        """The pack that answers by the document a seed names.

        Raises:
            ValueError: as :meth:`check`.
        """
        compiled, items = read_seed(seed)
        return ApiPack(compiled, items)


class ApiPack(RestPack):
    """The pack of one document.

    Args:
        compiled: the document.
        items: the things there are from the start.
    """

    clients = OpenApiPack.clients
    declined = OpenApiPack.declined

    def __init__(self, compiled: Compiled, items: Mapping[str, Any]) -> None:
        assert compiled.api is not None
        self.compiled = compiled
        self.items = items
        self.api: Api = compiled.api
        self.title = self.api.title

    @property
    def operations(self) -> tuple[PackRow, ...]:
        """The document's operations."""
        return tuple(
            PackRow(one.name, f"{one.method} {base}{one.path.plain}", self._summary(one), (), _SOURCE)
            for one in self.api.operations
            for base in one.bases[:1]
        )

    def check(self, seed: Mapping[str, Any]) -> None:
        """As :meth:`OpenApiPack.check`."""
        read_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write what there is from the start."""
        del seed
        write_seed(self.compiled, self.items, world, name)

    def presigned(self, world: World, name: str, request: UpstreamRequest) -> bool:
        """Whether the document says that the operation needs no credential."""
        found = self.api.find(request.method, request.path)
        return found is not None and public(found[0])

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """401 in the document's words."""
        found = self.api.find(request.method, request.path)
        return self._unauthorized(found[0] if found is not None else None, "the credential of this service")

    def injected(self, status: int) -> Any:
        """A plain refusal for a bare failure status."""
        return plain(status, "Injected") if status >= 400 else None

    def handle(self, context: PackContext) -> UpstreamReply:
        """Answer a request by the document; what it writes is undone when it is refused."""
        request = context.request
        found = self.api.find(request.method, request.path)
        if found is None:
            return self._not_served(context)
        operation, captured = found
        context.route = f"{operation.bases[0]}{operation.path.text}"
        checked = check_request(self.api.requests, operation, captured, request)
        fields = checked.body if isinstance(checked.body, dict) else {}
        row = PackOperation(operation.name, operation.method, operation.path.text, self._nothing, _SOURCE)
        call = RestCall(context, row, captured, "", fields)
        self._count_read(operation, checked, call)
        try:
            self._admit(operation, call, checked)
            reply = Answering(self.compiled, self.api, operation, call, checked).reply()
        except PackRefusal as refused:
            context.discard = True
            context.hint = refused.hint
            reply = refused.reply
        except CannotMake as error:
            context.discard = True
            context.problem = "crash"
            context.hint = f"no reply of {operation.title} holds to the document: {error}; add a route for it."
            reply = UpstreamReply.of_json(plain(500, context.hint), 500)
        context.unread = call.unread
        return reply

    # --- steps ------------------------------------------------------------------------------------------------------

    def _admit(self, operation: Operation, call: RestCall, checked: Checked) -> None:
        """Refuse a call without what the document asks for, and one with mistakes."""
        scopes = call.context.credential.scopes if call.context.credential is not None else None
        lacking = unmet(operation, call.request, scopes)
        if lacking is not None:
            ways, missing = lacking
            if not missing:
                hint = f"{operation.title} needs {ways}, and the request has none of it."
                raise PackRefusal(self._unauthorized(operation, ways), hint)
            call.context.lacks(operation.name, missing)
            sentence = f"{operation.name} needs the scope {' and '.join(missing)}."
            raise PackRefusal(refusal(self.api.replies, operation, 403, sentence), call.context.hint)
        if checked.mistakes:
            status = status_for(operation, checked.wrong_kind)
            sentence = "; ".join(map(str, checked.mistakes)) + "."
            raise PackRefusal(refusal(self.api.replies, operation, status, sentence, checked.mistakes))

    def _unauthorized(self, operation: Operation | None, ways: str) -> UpstreamReply:
        reply = refusal(self.api.replies, operation, 401, f"Send {ways}.")
        return reply.with_header("WWW-Authenticate", "Bearer")

    def _not_served(self, context: PackContext) -> UpstreamReply:
        """501 with the nearest operations; a path that has other methods is told which."""
        request = context.request
        methods = self.api.methods(request.path)
        declined: list[Declined] = []
        if methods:
            asked = f"{request.method} {request.path}"
            declined = [_ThisOne(asked, f"the document has {', '.join(methods)} there", request.method, request.path)]
        return not_served(context, self.title, self.operations, declined)

    def _count_read(self, operation: Operation, checked: Checked, call: RestCall) -> None:
        """Say which fields count as read: those the document knows, and for lists only parameters that lists act on."""
        call.ignore(*(name for name in call.fields if name not in checked.unread))
        role = self.compiled.roles.get(operation.title)
        if role is None or role.what != "list":
            names = [one.name for one in operation.parameters if one.where == "query"]
            known = [name for name, _ in call.request.query if name in names or name.partition("[")[0] in names]
            call.ignore(*(f"query.{name}" for name in known))

    def _summary(self, operation: Operation) -> str:
        role: Role | None = self.compiled.roles.get(operation.title)
        return operation.summary or _SAID.get(role.what if role is not None else "other", _SAID["other"])

    @staticmethod
    def _nothing(call: RestCall) -> None:
        """Answered by the document, not by a handler of its own."""


class _ThisOne(Declined):
    """A refusal of one path as it came, whatever characters are in it."""

    def matches(self, request: UpstreamRequest) -> bool:
        """Whether a request is that one."""
        return request.path == self.path
