"""The gateway: an HTTP proxy with a certificate authority of its own, behind which real host names lead to a world.

A client names the world as proxy user and shows the run's token as proxy password. CONNECT is accepted for every host
and the first byte inside decides between TLS and plain HTTP, because clients hide what a proxy answers to CONNECT but
show what a server answers inside the tunnel.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from stack_emu.surfaces import gateway_refusals as refusals
from stack_emu.surfaces.gateway_connection import Connection, Dial, Tunnel
from stack_emu.surfaces.gateway_heads import normal_host, read_authority, read_basic_credentials
from stack_emu.surfaces.gateway_refusals import Refusal
from stack_emu.surfaces.gateway_tls import CertificateAuthority
from stack_emu.surfaces.http_connection import PATIENCE_SECONDS, HttpConnection

DEFAULT_WORLD = "default"
"""The world of a proxy URL without a user name."""

DEFAULT_PORTS = {"http": 80, "https": 443}

_LONGEST_REQUEST_LINE = 16 * 1024
_LONGEST_HEADER = 32 * 1024
_KEEP_ALIVE_SECONDS = 75.0
_STOP_GRACE_SECONDS = 0.05
_STOP_LIMIT_SECONDS = 0.2
_HOP_HEADERS = frozenset({"proxy-authorization", "proxy-connection", "expect"})
_HOST_NAME = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]+")


@dataclass(frozen=True)
class GatewayTarget:
    """Where a request was meant to go.

    Args:
        world: name of the world, the proxy user.
        scheme: ``http`` or ``https``, as the client meant it.
        host: real host name in lower case, no trailing dot.
        port: real port.
    """

    world: str
    scheme: str
    host: str
    port: int


Handler = Callable[[web.BaseRequest, GatewayTarget], Awaitable[web.StreamResponse]]
Resolve = Callable[[str, str, int], bool]


class GatewayRequest(web.Request):
    """A request as the emulated host would have received it: origin form, no proxy headers.

    Args:
        absolute: the absolute URL of the request line, if it had one.
        world: the world its proxy credentials open; None when they are missing or wrong.
        has_credentials: whether it brought proxy credentials at all.
        expects_continue: whether the client waits for 100 Continue.
    """

    ATTRS = web.Request.ATTRS | {"absolute", "world", "has_credentials", "expects_continue"}

    absolute: URL | None = None
    world: str | None = None
    has_credentials: bool = False
    expects_continue: bool = False


class GatewayHandler(HttpConnection):
    """A connection that knows the tunnel it serves.

    Args:
        server: the aiohttp server it belongs to.
        tunnel: what the connection was opened for.
        patience: seconds a client may take for the head of a request, and then for its body.
    """

    __slots__ = ("tunnel",)

    def __init__(self, server: web.Server, tunnel: Tunnel, patience: float) -> None:
        super().__init__(
            server,
            patience=patience,
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            max_line_size=_LONGEST_REQUEST_LINE,
            max_field_size=_LONGEST_HEADER,
        )
        self.tunnel = tunnel

    def unreadable(self, reason: str) -> web.StreamResponse:
        """The answer to a request that is no HTTP/1.1."""
        return refusals.malformed("the request could not be read").response()


class Gateway:
    """The proxy that leads real host names to the worlds of one emulator.

    Args:
        handler: serves a request for an emulated host. The request is a ``web.Request`` in origin form without proxy
            headers, so ``await application._handle(request)`` works with it too. It is cancelled when the client
            leaves.
        resolve: says whether a world emulates ``host`` at ``port``; asked for every request.
        token: the proxy password.
        ca: signs for the emulated hosts.
        allow: hosts (``host`` or ``host:port``) tunnelled untouched, in every world that does not emulate them.
        dial: opens the connection to an allowed host, ``(protocol_factory, host, port)``; tests point it elsewhere.
        tell: receives one sentence for each refused host and each client that does not trust the CA.
        idle_timeout: seconds a client may take to say what it wants.
        client_max_size: bytes of body that ``request.read()`` accepts.
        patience: seconds a client may take for the head of a request, and then for its body.
        open_world: a world whose users reach every host it does not emulate, as if there were no gateway.

    Raises:
        ValueError: ``allow`` names something that is no host, or one that the default world emulates.
    """

    def __init__(
        self,
        handler: Handler,
        resolve: Resolve,
        *,
        token: str,
        ca: CertificateAuthority,
        allow: Iterable[str] = (),
        dial: Dial | None = None,
        tell: Callable[[str], None] | None = None,
        idle_timeout: float = 30.0,
        client_max_size: int = 64 * 1024 * 1024,
        open_world: str | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._handler = handler
        self._patience = patience
        self._open_world = open_world
        self._resolve = resolve
        self._token = token.encode()
        self._ca = ca
        self._tell = tell
        self._client_max_size = client_max_size
        self._allowed = _read_allow(allow, resolve)
        self._custom_dial = dial
        self._address: tuple[str, int] | None = None
        self._listener: asyncio.Server | None = None
        self._transports: set[asyncio.BaseTransport] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.idle_timeout = idle_timeout

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen, and return the port.

        Args:
            host: address to listen on.
            port: TCP port; 0 picks a free one.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._server = web.Server(self._dispatch, request_factory=self._make_request, handler_cancellation=True)
        self.dial: Dial = self._custom_dial or loop.create_connection
        self._listener = await loop.create_server(lambda: Connection(self), host, port)
        bound = int(self._listener.sockets[0].getsockname()[1])
        self._address = (host, bound)
        return bound

    async def stop(self) -> None:
        """Stop listening, end what is being answered, and cut every connection; takes well under half a second."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        await self._server.shutdown(_STOP_GRACE_SECONDS)
        for task in self._tasks:
            task.cancel()
        for transport in tuple(self._transports):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        self._transports.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_LIMIT_SECONDS)
        # The transports report their end in the next turn of the loop.
        await asyncio.sleep(0)

    def url(self, world: str = DEFAULT_WORLD) -> str:
        """Return the proxy URL of a world, ``http://<world>:<token>@<host>:<port>``: a secret.

        Raises:
            RuntimeError: the gateway was not started.
        """
        if self._address is None:
            raise RuntimeError("the gateway has no address yet: await start() first")
        host, port = self._address
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        shown = f"[{host}]" if ":" in host else host
        return f"http://{quote(world, safe='')}:{quote(self._token.decode(), safe='')}@{shown}:{port}"

    def world_of(self, authorization: str | None) -> str | None:
        """Return the world a ``Proxy-Authorization`` value opens, or None when it opens none."""
        credentials = read_basic_credentials(authorization) if authorization is not None else None
        if credentials is None:
            return None
        world, password = credentials
        return (world or DEFAULT_WORLD) if hmac.compare_digest(password.encode(), self._token) else None

    def lets_through(self, world: str, host: str, port: int) -> bool:
        """Say whether ``host`` is tunnelled untouched; a host the world emulates never is."""
        listed = self._is_open(world) or (host, None) in self._allowed or (host, port) in self._allowed
        return listed and not self._resolve(world, host, port)

    def _is_open(self, world: str | None) -> bool:
        return world is not None and world == self._open_world

    def new_handler(self, tunnel: Tunnel) -> asyncio.Protocol:
        """Return aiohttp's protocol for one connection."""
        return GatewayHandler(self._server, tunnel, self._patience)

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return the TLS context that proves to be ``host``."""
        return self._ca.context_for(host)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in a task that ends with the gateway."""
        self._keep(asyncio.get_running_loop().create_task(work))

    def adopt(self, transport: asyncio.BaseTransport) -> None:
        """Remember a transport until it is closed."""
        self._transports = {known for known in self._transports if not known.is_closing()} | {transport}

    def tell(self, sentence: str) -> None:
        """Pass a sentence on to whoever runs the gateway."""
        if self._tell is not None:
            self._tell(sentence)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> GatewayRequest:
        """Build the request the emulated host would have seen. Must not raise: aiohttp would drop the connection."""
        assert isinstance(protocol, GatewayHandler)
        protocol.expect_body(payload)
        tunnel, given = protocol.tunnel, message.headers
        absolute = message.url if message.url.absolute and message.url.scheme else None
        scheme = "https" if protocol.ssl_context else "http"
        if absolute is not None:
            path = _path_of(message.path)
            before, _, query = path.partition("?")
            message = message._replace(url=URL.build(path=before, query_string=query, encoded=True), path=path)
            scheme = absolute.scheme if tunnel.authority is None else scheme
        authorization = given.get(hdrs.PROXY_AUTHORIZATION)
        world = self.world_of(authorization) if tunnel.authority is None else tunnel.world
        # A pooled plain connection could carry its next request to an allowed host, which needs a relay of its own.
        single_use = tunnel.authority is None and (bool(self._allowed) or self._is_open(world))
        if given:
            message = message._replace(should_close=message.should_close or single_use, **_without_hop_headers(message))
        request = GatewayRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            asyncio.get_running_loop(),
            client_max_size=self._client_max_size,
            scheme=scheme,
        )
        request.absolute = absolute
        request.world = world
        request.has_credentials = authorization is not None
        request.expects_continue = given.get(hdrs.EXPECT, "").lower() == "100-continue"
        return request

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, GatewayRequest)
        current = asyncio.current_task()
        if current is not None:
            self._keep(current)
        decision = self._decide(request)
        if isinstance(decision, Refusal):
            self.tell(decision.message)
            return decision.response()
        if request.expects_continue:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # aiohttp reads output_size as "an answer has begun"; an interim answer is not that.
            request.writer.output_size = 0
        return await self._handler(request, decision)

    def _decide(self, request: GatewayRequest) -> GatewayTarget | Refusal:
        tunnel = _tunnel_of(request)
        if tunnel.refusal is not None:
            return tunnel.refusal
        if request.method == hdrs.METH_CONNECT:
            return refusals.malformed("a tunnel inside a tunnel is not served")
        if tunnel.authority is not None:
            host, port = tunnel.authority
        else:
            absolute = request.absolute
            if absolute is None or absolute.scheme not in DEFAULT_PORTS or not absolute.host:
                return refusals.not_a_proxy_request()
            host, port = normal_host(absolute.host), absolute.port or DEFAULT_PORTS[absolute.scheme]
        if request.world is None:
            return refusals.credentials_wrong() if request.has_credentials else refusals.credentials_missing()
        target = GatewayTarget(request.world, request.scheme, host, port)
        return self._check_host(request, target)

    def _check_host(self, request: GatewayRequest, target: GatewayTarget) -> GatewayTarget | Refusal:
        absolute, named = request.absolute, request.headers.getall(hdrs.HOST, [""])
        if absolute is not None and (normal_host(absolute.host or ""), absolute.port) != (target.host, target.port):
            return refusals.misdirected(_shown(target), absolute.host or "")
        for name in named:
            if not _names(name, target):
                return refusals.misdirected(_shown(target), name)
        if not self._resolve(target.world, target.host, target.port):
            return refusals.host_not_emulated(target.world, target.host)
        return target


def _tunnel_of(request: web.BaseRequest) -> Tunnel:
    protocol = request.protocol
    assert isinstance(protocol, GatewayHandler)
    return protocol.tunnel


def _without_hop_headers(message: RawRequestMessage) -> dict[str, Any]:
    kept = CIMultiDict((name, value) for name, value in message.headers.items() if name.lower() not in _HOP_HEADERS)
    raw = tuple(pair for pair in message.raw_headers if pair[0].decode("latin-1").lower() not in _HOP_HEADERS)
    return {"headers": CIMultiDictProxy(kept), "raw_headers": raw}


def _path_of(target: str) -> str:
    path = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", target).partition("#")[0]
    return path if path.startswith("/") else f"/{path}"


def _names(host_header: str, target: GatewayTarget) -> bool:
    exact = read_authority(host_header)
    if exact is not None:
        return exact == (target.host, target.port)
    return normal_host(host_header) == target.host


def _shown(target: GatewayTarget) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == DEFAULT_PORTS[target.scheme] else f"{host}:{target.port}"


def _read_allow(allow: Iterable[str], resolve: Resolve) -> frozenset[tuple[str, int | None]]:
    entries: set[tuple[str, int | None]] = set()
    for text in allow:
        with_port = read_authority(text)
        host, port = with_port if with_port is not None else (normal_host(text), None)
        if not _HOST_NAME.fullmatch(host):
            raise ValueError(f"gateway.allow takes host names like files.example.com or db.example.com:8443: {text!r}")
        if any(resolve(DEFAULT_WORLD, host, asked) for asked in ((port,) if port else (443, 80))):
            raise ValueError(
                f"{host} is emulated, so gateway.allow cannot let it through: remove it from gateway.allow, or from "
                "upstreams.<name>.hosts"
            )
        entries.add((host, port))
    return frozenset(entries)
