"""A bridge that lets an ASGI application answer aiohttp requests in the same process, on the same port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
Spawn = Callable[[Awaitable[Any]], "asyncio.Task[Any]"]

_OURS = frozenset({"content-length", "connection", "transfer-encoding", "keep-alive"})


async def answer_asgi(
    app: AsgiApp,
    request: web.BaseRequest,
    extra: Mapping[str, Any],
    spawn: Spawn,
    begun: asyncio.Event | None = None,
) -> web.StreamResponse:
    """Let ``app`` answer ``request``.

    The application runs in a task of its own. aiohttp cancels a handler as soon as its client is gone, also when that
    happens right after the last byte; an application that is cancelled then takes an answered request for a failed one.
    So it is only told of the disconnect, and finishes by itself.

    Args:
        app: the ASGI application.
        request: what to answer.
        extra: further keys of the ASGI scope.
        spawn: starts a task and keeps a reference to it.
        begun: is set once the first piece of a streamed answer has been sent.
    """
    exchange = _Exchange(request, await request.read(), begun or asyncio.Event())
    task = spawn(exchange.run(app, {**_scope(request), **extra}))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        exchange.gone.set()
        raise
    return exchange.response if exchange.response is not None else web.Response(status=500)


def _scope(request: web.BaseRequest) -> dict[str, Any]:
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    local = transport.get_extra_info("sockname") if transport is not None else None
    url = request.rel_url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote(url.raw_path),
        "raw_path": url.raw_path.encode("ascii"),
        "query_string": url.raw_query_string.encode("ascii"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": tuple(peer[:2]) if isinstance(peer, tuple) else None,
        "server": tuple(local[:2]) if isinstance(local, tuple) else None,
    }


class _Exchange:
    """One request and the answer the application gives to it."""

    def __init__(self, request: web.BaseRequest, body: bytes, begun: asyncio.Event) -> None:
        self.response: web.StreamResponse | None = None
        self._begun = begun
        self.gone = asyncio.Event()
        self._request = request
        self._body: bytes | None = body
        self._status = 200
        self._headers: CIMultiDict[str] = CIMultiDict()

    async def run(self, app: AsgiApp, scope: MutableMapping[str, Any]) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.gone.is_set():
            return
        try:
            if message["type"] == "http.response.start":
                await self._start(message)
            elif message["type"] == "http.response.body":
                await self._write(message.get("body", b""), bool(message.get("more_body", False)))
        except ConnectionResetError:  # nobody is left to read it
            self.gone.set()

    async def _start(self, message: Message) -> None:
        self._status = int(message["status"])
        for raw_name, raw_value in message.get("headers", ()):
            name = raw_name.decode("latin-1")
            if name.lower() not in _OURS:
                self._headers.add(name, raw_value.decode("latin-1"))
        if self._headers.get("Content-Type", "").startswith("text/event-stream"):
            await self._open_stream()  # its first event may be a long time coming; the client waits for the headers

    async def _open_stream(self) -> web.StreamResponse:
        self.response = web.StreamResponse(status=self._status, headers=self._headers)
        await self.response.prepare(self._request)
        return self.response

    async def _write(self, body: bytes, more: bool) -> None:
        if self.response is None and not more:
            self.response = web.Response(body=bytes(body), status=self._status, headers=self._headers)
            return
        response = self.response if self.response is not None else await self._open_stream()
        if body:
            await response.write(bytes(body))
            self._begun.set()
        if not more:
            await response.write_eof()
