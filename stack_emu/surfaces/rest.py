"""REST: an HTTP request becomes a call of an operation, its reply or fault becomes an HTTP response."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from stack_emu.domain import faults
from stack_emu.domain.authentication import authenticate, refused_holder
from stack_emu.kernel import strict_json
from stack_emu.kernel.dispatch import Call, dump, note_refusal, perform
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.faults import CallView, ConnectionDropped, Injected
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.operations import ANONYMOUS, Caller, Download, OpenCommand, Operation, Redirect, Registry, Stream
from stack_emu.kernel.world import World
from stack_emu.surfaces.broken_replies import WIRE_KEY, abort, reset
from stack_emu.surfaces.json_kinds import require_kinds
from stack_emu.surfaces.lane import lane_of
from stack_emu.surfaces.misses import explain_refusal, operation_miss
from stack_emu.surfaces.pieces import headers_of, send, send_download
from stack_emu.surfaces.routing import operation_routes
from stack_emu.surfaces.secret_exits import ENTRY, handed_out, look_into_request, screened_pieces, screened_stream

CLIENT_GONE = (499, "CLIENT_GONE")
"""How the journal shows a request whose client hung up before the answer; the number is nginx's."""

FORM = "application/x-www-form-urlencoded"
DROPPED = "a fault rule broke the connection off"
"""How the journal explains an exchange without an answer."""


_log = logging.getLogger("stack_emu")

Spawn = Callable[[Awaitable[Any]], asyncio.Task[Any]]


class RestSurface:
    """Serves the operations of a registry under ``/v1`` and wherever else their routes say.

    Args:
        registry: what to serve.
        spawn: starts a background task and keeps a reference to it.
    """

    def __init__(self, registry: Registry, spawn: Spawn) -> None:
        self.routes = operation_routes(registry)
        self._spawn = spawn

    async def handle(self, world: World, request: web.BaseRequest, path: str, origin: str) -> web.StreamResponse:
        """Answer one request.

        Args:
            world: the world asked.
            request: the HTTP request.
            path: raw path inside the world, starting with ``/``.
            origin: scheme and authority (and world prefix) the client used.
        """
        response: web.StreamResponse
        ticket = world.lanes.ticket()
        found = self.routes.match(request.method, path)
        declared, params = found if found is not None else (None, {})
        client = request.headers.get("User-Agent")
        entry = world.journal.add(world.now_ms(), "rest", request.method, path, client=client)
        request[ENTRY] = entry
        call, raw_body = None, {}
        try:
            if declared is None:
                raise self._unmatched(world, entry, origin)
            entry.operation = declared.name
            entry.route = declared.rest.path if declared.rest else None
            raw_body = await read_object(request)
            await look_into_request(world, request, entry, path, declared, raw_body)
            call = _call(declared, params, request, raw_body, ANONYMOUS, origin)
            call.request = CallView(
                request.method, path, tuple(request.query.items()), request.headers, raw_body or None
            )
            call.caller = _identify(world, call, request)
            entry.caller = call.caller.kind
            call.ticket = ticket
            if request.content_type != FORM:  # a form can only write text
                require_kinds(declared.command, raw_body)
            reply = await perform(world, call, self._spawn)
            if isinstance(reply, Stream):
                stream = screened_stream(world, entry, reply, handed_out(entry.operation))
                response = await _stream(request, declared, stream, whole=call.wire is not None)
            elif isinstance(reply, Download):
                response = await _download(world, request, entry, declared, reply, whole=call.wire is not None)
            else:
                response = _success(declared, reply)
        except Fault as fault:
            entry.code = fault.code
            explain_refusal(world, call.caller if call is not None else ANONYMOUS, fault, entry)
            response = _refused(world, request, declared, fault)
        except ConnectionDropped as dropped:
            entry.hint = DROPPED
            response = reset(request) if dropped.reset else abort(request)
        except Exception:
            _log.error("%s %s failed inside the emulator\n%s", request.method, entry.path, world.redactor.traceback())
            name = declared.name if declared is not None else "the REST surface"
            entry.code = faults.INTERNAL_ERROR.code
            response = _refused(world, request, declared, Fault(faults.INTERNAL_ERROR, operation=name))
        except asyncio.CancelledError:
            entry.status, entry.code = CLIENT_GONE
            raise
        finally:
            _note_call(entry, request, call)
            if declared is not None and raw_body:
                entry.unread = unread_fields(declared, raw_body)
                entry.request = world.redactor.value(declared.without_secrets(raw_body))
        entry.status = 0 if entry.hint == DROPPED else response.status
        return response

    def _unmatched(self, world: World, entry: Entry, origin: str) -> Fault:
        served = self.routes.methods_at(entry.path)
        what = f"{entry.method} {entry.path}"
        miss = operation_miss(self.routes.templates, entry.method, entry.path, origin, served)
        spec = faults.METHOD_NOT_ALLOWED if served else faults.NOT_EMULATED
        allow = {"allow": served} if served else {}
        fault = Fault(spec, what=what, hint=miss.sentence, details={"what": what, **allow, **miss.details()})
        world.journal.explain(entry, fault.message, "unmatched", near=miss.table)
        return fault


def _note_call(entry: Entry, request: web.BaseRequest, call: Call | None) -> None:
    """Write down what became known of a call while it ran, and what a fault rule does to its answer."""
    if call is None:
        return
    entry.lane, entry.act, entry.injected = call.lane, call.act, call.injected
    if call.wire is not None:
        request[WIRE_KEY] = call.wire


def _identify(world: World, call: Call, request: web.BaseRequest) -> Caller:
    if not call.operation.auth.bearers:
        return ANONYMOUS
    bearer = bearer_of(request)
    try:
        return authenticate(world, bearer)
    except Fault as fault:
        holder = refused_holder(world, bearer)
        if holder is not None:
            call.caller = holder
            note_refusal(world, call, fault)
        raise


def _call(
    declared: Operation,
    params: Mapping[str, str],
    request: web.BaseRequest,
    body: Mapping[str, Any],
    caller: Caller,
    origin: str,
) -> Call:
    # What a client adds to the URL is no part of a body that is taken as it came.
    query = {} if issubclass(declared.command, OpenCommand) else request.rel_url.query
    if not _in_envelope(declared):
        _require_plain_query(declared, query)
    raw: dict[str, Any] = {**query, **body, **params}
    for header, name in (declared.rest.headers if declared.rest is not None else {}).items():
        value = request.headers.get(header)
        if value is not None:
            raw[name] = value
    return Call(declared, caller, raw, origin, lane_suffix=lane_of(request))


def _require_plain_query(declared: Operation, query: Mapping[str, str]) -> None:
    """Hold OAuth's endpoints to RFC 6749, 3.1 and 3.2: no parameter twice, and none in the URL where there is a body.

    Raises:
        Fault: INVALID_REQUEST.
    """
    problem = None
    if len(query) > len(set(query)):
        problem = "a parameter is there twice; send each once"
    elif query and declared.rest is not None and declared.rest.method == "POST":
        problem = "parameters belong into the body, not into the URL, which is written down in many places"
    if problem is not None:
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"query": problem}})


def bearer_of(request: web.BaseRequest) -> str | None:
    """The bearer of a request, or None.

    Raises:
        Fault: UNAUTHORIZED when the header has another scheme.
    """
    value = request.headers.get("Authorization", "").strip()
    if not value:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Fault(faults.UNAUTHORIZED, hint="The Authorization header must be: Bearer <key or token>.")
    return token.strip()


async def read_object(request: web.BaseRequest) -> dict[str, Any]:
    """The JSON object in a request's body; an empty body (the SDK sends those with a JSON content type) is ``{}``.

    Raises:
        Fault: INVALID_REQUEST when the body is no JSON object, or larger than the server reads.
    """
    raw = await _read(request)
    if not raw.strip():
        return {}
    # curl -d says it sends a form whatever it sends.
    if request.content_type == FORM and not raw.lstrip().startswith(b"{"):
        from urllib.parse import parse_qsl

        pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
        form = dict(pairs)
        if len(form) < len(pairs):
            problem = "a field of the form is there twice; send each once"
            raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"body": problem}})
        return form
    try:
        value = strict_json.loads(raw)
    except ValueError as error:
        problem = f"the body is not JSON ({type(error).__name__}: {str(error)[:120]})"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"body": problem}}) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        problem = f"the body must be a JSON object, not {type(value).__name__}"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"body": problem}})
    return value


async def _read(request: web.BaseRequest) -> bytes:
    try:
        return await request.read() if request.body_exists else b""
    except web.HTTPRequestEntityTooLarge:
        raise Fault(faults.BODY_TOO_LARGE, limit=request.client_max_size // 2**20) from None
    except web.RequestPayloadError:
        problem = "the body cannot be read: it is cut short, or not encoded as its headers say"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"body": problem}}) from None


def _success(declared: Operation, reply: Any) -> web.Response:
    status = declared.rest.status if declared.rest is not None else 200
    if status == 204:
        return web.Response(status=204)
    if isinstance(reply, Redirect):
        headers = {"Location": reply.location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return web.Response(status=status, headers=headers)
    return json_response(dump(reply), status, None if _in_envelope(declared) else _NOT_CACHED)


_NOT_CACHED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def _in_envelope(declared: Operation | None) -> bool:
    return declared is None or declared.rest is None or declared.rest.errors == "envelope"


def _refused(world: World, request: web.BaseRequest, declared: Operation | None, fault: Fault) -> web.Response:
    """A fault in the words of the operation that it is of."""
    as_it_says = isinstance(fault, Injected) and (fault.json is not None or fault.body is not None)
    if _in_envelope(declared) or as_it_says:
        return fault_response(world, fault)
    from stack_emu.surfaces.oauth_errors import error_page, oauth_error

    assert declared is not None and declared.rest is not None  # noqa: PT018
    if declared.rest.errors == "page" and "text/html" in request.headers.get("Accept", ""):
        return error_page(world, fault)
    status, body, headers = oauth_error(world, fault)
    return json_response(body, status, {**headers, **(fault.headers if isinstance(fault, Injected) else {})})


async def _stream(
    request: web.BaseRequest, declared: Operation, reply: Stream, *, whole: bool = False
) -> web.StreamResponse:
    """Send a reply piece by piece; with ``whole`` return it unsent, for a fault rule to do its worst to."""
    status = declared.rest.status if declared.rest is not None else 200
    if whole:
        return web.Response(body=b"".join(reply.chunks), status=status, headers={"Content-Type": reply.media})
    return await send(request, reply.chunks, {"Content-Type": reply.media, "Cache-Control": "no-cache"}, status)


async def _download(
    world: World, request: web.BaseRequest, entry: Entry, declared: Operation, reply: Download, *, whole: bool
) -> web.StreamResponse:
    """Send what is not JSON of a model; a body in pieces goes out as it is made, unless ``whole`` wants it unsent."""
    status = declared.rest.status if declared.rest is not None else 200
    if whole or isinstance(reply.body, bytes):
        return web.Response(body=reply.whole(), status=status, headers=headers_of(reply))
    pieces = screened_pieces(world, lambda: entry, reply, f"the reply of {declared.name}", handed_out(declared.name))
    return await send_download(request, pieces, headers_of(reply), status)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode  # json.dumps would make one every time


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response."""
    body = _encode(value).encode("utf-8")
    return web.Response(body=body, status=status, headers=headers, content_type="application/json", charset="utf-8")


def fault_body(world: World, fault: Fault) -> dict[str, Any]:
    """STACK's error envelope, secrets masked. Details are always an object: the SDK drops anything else."""
    details = world.redactor.value(fault.details)
    return {"error": {"message": world.redactor.text(fault.message), "code": fault.code, "details": details}}


def fault_response(world: World, fault: Fault) -> web.Response:
    """A fault as an HTTP response."""
    if isinstance(fault, Injected) and (fault.json is not None or fault.body is not None or fault.status < 400):
        return _injected_response(fault)
    headers = {"WWW-Authenticate": "Bearer"} if fault.status == 401 else {}
    if fault.code == faults.METHOD_NOT_ALLOWED.code:  # RFC 9110 wants to hear which ones are
        headers["Allow"] = ", ".join(fault.details["allow"])
    if fault.status == 403 and "missing_scope" in fault.details:
        scope = fault.details["missing_scope"]
        headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    headers.update(fault.headers if isinstance(fault, Injected) else {})
    return json_response(fault_body(world, fault), fault.status, headers)


def _injected_response(fault: Injected) -> web.Response:
    as_json = fault.json is not None
    body = json.dumps(fault.json, ensure_ascii=False) if as_json else fault.body or ""
    headers = CIMultiDict({"Content-Type": f"{'application/json' if as_json else 'text/plain'}; charset=utf-8"})
    headers.update(fault.headers)
    return web.Response(body=body.encode("utf-8"), status=fault.status, headers=headers)


def unread_fields(declared: Operation, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of body fields that no handler looked at; a command that keeps what it does not know has read them all."""
    if declared.command.model_config.get("extra") == "allow":
        return ()
    known = set(declared.command.model_fields)
    known.update(info.alias for info in declared.command.model_fields.values() if info.alias)
    return tuple(sorted(name for name in body if name not in known))
