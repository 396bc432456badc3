"""A client's connection: requests that cannot be read are refused in our words, and slow ones are not waited for for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import StreamReader, web

PATIENCE_SECONDS = 60.0
"""How long a client may take to send the head of a request it has begun, and how long for the body."""

_REASONS = {
    "BadHttpMethod": "the method is none",
    "BadStatusLine": "the request line is none",
    "InvalidURLError": "the request target is no path",
    "InvalidHeader": "a header is malformed",
    "LineTooLong": "its line or a header is too long",
    "TransferEncodingError": "its chunks are malformed",
    "ContentLengthError": "its length is wrong",
}


class HttpConnection(web.RequestHandler):
    """aiohttp's connection handler with a limit to its patience.

    Args:
        server: the server it belongs to.
        patience: seconds that the head of a request may take, and then its body.
        options: those of aiohttp's handler.
    """

    __slots__ = ("_body", "_body_timer", "_head_timer", "_patience")

    def __init__(self, server: web.Server, *, patience: float = PATIENCE_SECONDS, **options: Any) -> None:
        super().__init__(server, **options)
        self._patience = patience
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes; those that complete no request and belong to no body are the beginning of a head."""
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._head_is_there()
        elif self._head_timer is None and (self._body is None or self._body.is_eof()):
            self._head_timer = asyncio.get_running_loop().call_later(self._patience, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self._head_is_there()
        self._body_is_there()
        super().connection_lost(exc)

    def expect_body(self, payload: StreamReader) -> None:
        """Begin to wait for the rest of the body of the request that is about to be handled."""
        self._body = payload
        if not payload.is_eof():
            self._wait_for_body()
            payload.on_eof(self._body_is_there)

    def _wait_for_body(self) -> None:
        loop = asyncio.get_running_loop()
        self._body_timer = loop.call_later(self._patience, self._body_is_late)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _body_is_there(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._current_request is not None or self._messages:  # pipelined behind one that is being answered
            self._head_timer = asyncio.get_running_loop().call_later(self._patience, self._head_is_late)
        else:
            self._give_up("head")

    def _body_is_late(self) -> None:
        self._body_timer = None
        transport = self.transport
        if self._body is None or self._body.is_eof() or not isinstance(transport, asyncio.Transport):
            return
        if not transport.is_reading():  # it is we who do not take more yet
            self._wait_for_body()
            return
        self._give_up("body")

    def _give_up(self, part: str) -> None:
        transport = self.transport
        current = self._current_request
        if transport is None:
            return
        if current is None or not current.writer.output_size:
            problem = f"The {part} of the request was not sent within {self._patience:g} s; send it in one go."
            body = json.dumps({"error": {"code": "REQUEST_TIMEOUT", "message": problem, "details": {}}}).encode()
            head = f"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer requests that cannot be read without repeating or logging them: their bytes may hold credentials."""
        if status != web.HTTPBadRequest.status_code or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        response = self.unreadable(_REASONS.get(type(exc).__name__, "its head or its framing is malformed"))
        response.force_close()
        return response

    def unreadable(self, reason: str) -> web.StreamResponse:
        """The answer to a request that is no HTTP/1.1."""
        problem = f"The request could not be read as HTTP/1.1: {reason}."
        return web.json_response({"error": {"code": "INVALID_REQUEST", "message": problem, "details": {}}}, status=400)


class HttpServer(web.Server):
    """aiohttp's server whose connections are ``HttpConnection``s.

    Args:
        handler: answers a request.
        patience: as of ``HttpConnection``.
        options: those of aiohttp's server and handler.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        patience: float = PATIENCE_SECONDS,
        request_factory: Any = None,
        handler_cancellation: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(handler, request_factory=request_factory, handler_cancellation=handler_cancellation)
        self._options = {"patience": patience, **options}

    def __call__(self) -> web.RequestHandler:
        """A handler for a new connection."""
        return HttpConnection(self, loop=asyncio.get_running_loop(), **self._options)
