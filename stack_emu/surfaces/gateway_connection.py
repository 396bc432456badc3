"""One client connection of the gateway, from its first byte until an HTTP handler or a raw relay takes it over."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from stack_emu.surfaces import gateway_refusals as refusals
from stack_emu.surfaces.gateway_heads import (
    origin_form,
    read_absolute_form,
    read_authority,
    read_header,
    single_use_answer,
)
from stack_emu.surfaces.gateway_refusals import CHALLENGE, Refusal

HEAD_LIMIT = 64 * 1024
"""Bytes a request line and its headers may take before the connection is given up."""

_TLS_HANDSHAKE = 0x16
_CONNECT = b"CONNECT "

Dial = Callable[
    [Callable[[], asyncio.BaseProtocol], str, int], Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]
]
"""Opens a connection to an allowed host; ``loop.create_connection`` has this shape."""


@dataclass(frozen=True)
class Tunnel:
    """What a connection was opened for.

    Args:
        world: the proxy user; None on a plain proxy connection, where each request brings its own.
        authority: the host and port of CONNECT; None on a plain proxy connection.
        refusal: what every request inside is answered, if the gateway already knows.
    """

    world: str | None = None
    authority: tuple[str, int] | None = None
    refusal: Refusal | None = None


class Owner(Protocol):
    """What a connection asks of its gateway."""

    idle_timeout: float
    dial: Dial

    def world_of(self, authorization: str | None) -> str | None:
        """Return the world these proxy credentials open, or None when the token is wrong."""

    def lets_through(self, world: str, host: str, port: int) -> bool:
        """Say whether the host is to be tunnelled untouched."""

    def new_handler(self, tunnel: Tunnel) -> asyncio.Protocol:
        """Return aiohttp's protocol for one connection."""

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return the TLS context that proves to be the host."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work in a task that ends with the gateway."""

    def adopt(self, transport: asyncio.BaseTransport) -> None:
        """Remember a transport, to be cut when the gateway stops."""

    def tell(self, sentence: str) -> None:
        """Pass one sentence on to whoever runs the gateway."""


class Connection(asyncio.Protocol):
    """Reads the head of a connection and hands the rest to whom it belongs.

    Args:
        owner: the gateway.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._tunnel: Tunnel | None = None
        self._handed_over = False
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock: a client that stays silent is cut off."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._owner.adopt(transport)
        self._timer = asyncio.get_running_loop().call_later(self._owner.idle_timeout, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting for the client."""
        self._lost = True
        self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until it is clear whose they are."""
        self._buffer += data
        if self._handed_over:
            return
        if self._tunnel is None:
            self._read_head()
        else:
            self._read_first_byte(self._tunnel)

    def _read_head(self) -> None:
        if not self._buffer[:1].isupper():
            # TLS or noise on the proxy port: nothing we write would be understood.
            self._transport.abort()
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                self._answer(431, "Request Header Fields Too Large", close=True)
            return
        head = bytes(self._buffer[: end + 4])
        if head.startswith(_CONNECT):
            del self._buffer[: end + 4]
            self._accept_connect(head)
        else:
            self._accept_plain(head)

    def _accept_connect(self, head: bytes) -> None:
        authority = read_authority(head.split(b" ", 2)[1].decode("latin-1"))
        if authority is None:
            self._answer(400, "Bad Request: CONNECT needs host:port", close=True)
            return
        authorization = read_header(head, b"proxy-authorization")
        if authorization is None:
            self._answer(407, refusals.credentials_missing().message, close=False)
            return
        world = self._owner.world_of(authorization)
        if world is None:
            self._establish(Tunnel(authority=authority, refusal=refusals.credentials_wrong().inside_tunnel()))
        elif self._owner.lets_through(world, *authority):
            self._take()
            self._owner.spawn(self._relay(world, authority))
        else:
            self._establish(Tunnel(world, authority))

    def _accept_plain(self, head: bytes) -> None:
        target = read_absolute_form(head)
        world = self._owner.world_of(read_header(head, b"proxy-authorization"))
        if target is None or world is None or not self._owner.lets_through(world, target[0], target[1]):
            self._hand_over(self._transport, Tunnel())
            return
        self._take()
        self._buffer[: len(head)] = origin_form(head)
        self._owner.spawn(self._relay(world, (target[0], target[1]), opening=b""))

    def _establish(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if self._buffer:
            self._read_first_byte(tunnel)

    def _read_first_byte(self, tunnel: Tunnel) -> None:
        first = self._buffer[0]
        if first == _TLS_HANDSHAKE:
            self._take()
            self._owner.spawn(self._start_tls(tunnel))
        elif chr(first).isalpha():
            self._hand_over(self._transport, tunnel)
        else:
            self._transport.abort()

    def _take(self) -> None:
        """Stop reading and stop the clock: from here on this object only keeps what still comes in."""
        self._handed_over = True
        self._timer.cancel()
        self._transport.pause_reading()

    def _hand_over(self, transport: asyncio.Transport, tunnel: Tunnel) -> None:
        self._handed_over = True
        self._timer.cancel()
        handler = self._owner.new_handler(tunnel)
        transport.set_protocol(handler)
        handler.connection_made(transport)
        if self._buffer:
            handler.data_received(bytes(self._buffer))

    async def _start_tls(self, tunnel: Tunnel) -> None:
        assert tunnel.authority is not None
        host = tunnel.authority[0]
        hello = bytes(self._buffer)
        self._buffer.clear()
        try:
            transport = await self._handshake(hello, self._owner.context_for(host))
        except ssl.SSLError as problem:
            self._owner.tell(
                f"a client broke off the TLS handshake for {host} ({problem.reason or 'no reason given'}): if it keeps "
                "certificates of its own, give it the ca_file of stack-emu"
            )
            return
        except (OSError, ValueError):
            self._transport.abort()
            return
        if not self._lost:
            self._hand_over(transport, tunnel)

    async def _handshake(self, hello: bytes, context: ssl.SSLContext) -> asyncio.Transport:
        """Start TLS on a transport whose first bytes are already read.

        ``loop.start_tls`` expects an untouched stream, so the bytes are fed by hand once its protocol is in place.
        This object stays the protocol above TLS meanwhile and keeps requests that arrive with the last handshake
        message.
        """
        loop = asyncio.get_running_loop()
        timeout = self._owner.idle_timeout
        upgrade = loop.create_task(
            loop.start_tls(self._transport, self, context, server_side=True, ssl_handshake_timeout=timeout)
        )
        try:
            while self._transport.get_protocol() is self and not upgrade.done():  # noqa: ASYNC110 - nothing to wait on
                await asyncio.sleep(0)
            # connection_made of the TLS protocol was scheduled with it: one more turn of the loop and it has run.
            await asyncio.sleep(0)
            if not upgrade.done():
                _feed(self._transport.get_protocol(), hello)
            transport = await upgrade
        finally:
            upgrade.cancel()
        if transport is None:
            raise ConnectionResetError("the client left during the handshake")
        return transport

    async def _relay(
        self, world: str, authority: tuple[str, int], *, opening: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    ) -> None:
        far = RelayEnd(single_use=not opening)
        try:
            transport, _ = await asyncio.wait_for(self._owner.dial(lambda: far, *authority), self._owner.idle_timeout)
        except (OSError, asyncio.TimeoutError) as problem:
            self._refuse_relay(world, authority, problem, opening)
            return
        self._owner.adopt(transport)
        if self._lost or self._transport.is_closing():
            transport.close()
            return
        near = RelayEnd()
        near.join(self._transport, far)
        self._transport.set_protocol(near)
        if opening:
            self._transport.write(opening)
        if self._buffer:
            near.data_received(bytes(self._buffer))
        self._transport.resume_reading()

    def _refuse_relay(self, world: str, authority: tuple[str, int], problem: Exception, opening: bytes) -> None:
        reason = str(problem) or type(problem).__name__
        refusal = refusals.host_unreachable(authority[0], authority[1], reason)
        self._owner.tell(refusal.message)
        if self._lost or self._transport.is_closing():
            return
        self._transport.resume_reading()
        if opening:
            self._handed_over = False
            self._timer = asyncio.get_running_loop().call_later(self._owner.idle_timeout, self._transport.abort)
            self._establish(Tunnel(world, authority, refusal))
        else:
            self._hand_over(self._transport, Tunnel(refusal=refusal))

    def _answer(self, status: int, reason: str, *, close: bool) -> None:
        """Answer a head ourselves; the sentence is the reason phrase, the only part of it that clients show."""
        body = f"{reason}\n".encode()
        challenge = f"Proxy-Authenticate: {CHALLENGE}\r\n" if status == 407 else ""
        head = (
            f"HTTP/1.1 {status} {reason}\r\n{challenge}Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: {'close' if close else 'keep-alive'}\r\n\r\n"
        )
        self._transport.write(head.encode("ascii", "replace") + body)
        if close:
            self._transport.close()


class RelayEnd(asyncio.Protocol):
    """One end of a tunnel whose bytes pass through untouched.

    Args:
        single_use: this end is the server of a plain request; its answer has to say that the connection will close.
    """

    def __init__(self, *, single_use: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._single_use = single_use
        self._other: RelayEnd | None = None
        self._early = bytearray()

    def join(self, transport: asyncio.Transport, other: RelayEnd) -> None:
        """Tie this end, on ``transport``, to the other one, which is already connected."""
        self.transport = transport
        self._other = other
        other._other = self
        if other._early:
            early = bytes(other._early)
            other._early.clear()
            other.data_received(early)
        if other.ended and transport.can_write_eof():
            transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport of a connection that the gateway dialled."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the other end."""
        if self._other is None or self._other.transport is None:
            self._early += data
            return
        if self._single_use:
            data, kept = single_use_answer(bytes(self._early) + data)
            self._early[:] = kept or b""
            self._single_use = kept is not None
            if len(self._early) > HEAD_LIMIT:
                self._other.transport.abort()
        if not self._other.transport.is_closing():
            self._other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass a half-close on; when both ends are done, close."""
        self.ended = True
        other = self._other
        if other is None or other.transport is None:
            return True
        if other.ended:
            other.transport.close()
            return False
        if other.transport.can_write_eof():
            other.transport.write_eof()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Close the other end when this one is gone."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()

    def pause_writing(self) -> None:
        """Stop reading from the other end while this one cannot take more."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read from the other end again."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.resume_reading()


def _feed(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Give bytes to a protocol as its transport would; asyncio's TLS protocol is a buffered one since Python 3.11."""
    if not isinstance(protocol, asyncio.BufferedProtocol):
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(data)
        return
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        taken = min(len(room), len(data))
        room[:taken] = data[:taken]
        protocol.buffer_updated(taken)
        data = data[taken:]
