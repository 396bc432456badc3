"""Connections that real host names lead to without a proxy: an address and a port for each emulated host."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import threading
from concurrent.futures import Future

from stack_emu.surfaces.gateway_connection import Connection, Owner, Tunnel

THIS_TEST = "~this-test"
"""The proxy user that stands for whatever world is transparent now; no world can have this name.

A client made in one test and used in the next one keeps the proxy URL it began with, so that URL must not name a world.
"""

ADDRESSES = ipaddress.ip_network("127.83.0.0/16")
"""Where emulated hosts resolve to: loopback, so that nothing leaves the machine even if nobody listens there."""

_BACKLOG = 128


class TransparentListener:
    """Listens for the hosts of the world that is transparent now, one loopback port for each host and port.

    Addresses and ports stay the same as long as the gateway lives, because clients remember what a name resolved to.
    Everything but ``start``, ``drop`` and ``stop`` may be called from any thread.

    Args:
        owner: the gateway that answers.
    """

    def __init__(self, owner: Owner) -> None:
        self.world: str | None = None
        self._owner = owner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._hosts: dict[str, str] = {}
        self._ports: dict[tuple[str, int], int] = {}
        self._servers: list[Future[asyncio.Server]] = []
        self._transports: set[asyncio.Transport] = set()

    def start(self) -> None:
        """Serve from the running loop."""
        self._loop = asyncio.get_running_loop()

    def address_of(self, host: str) -> str:
        """The address an emulated host (lower case, no trailing dot) resolves to; the same in every process."""
        first = int.from_bytes(hashlib.sha256(host.encode()).digest()[:2], "big")
        with self._lock:
            for step in range(ADDRESSES.num_addresses):
                address = str(ADDRESSES[(first + step) % ADDRESSES.num_addresses])
                if self._hosts.setdefault(address, host) == host:
                    return address
        raise OSError("every address for emulated hosts is taken; use fewer than 65536 host names in one run")

    def host_at(self, address: str) -> str | None:
        """The host that resolves to an address, or None when none ever did."""
        return self._hosts.get(address)

    def port_for(self, host: str, port: int) -> int:
        """The port on 127.0.0.1 that answers as ``host:port``.

        Raises:
            ConnectionRefusedError: the gateway was stopped.
        """
        with self._lock:
            known = self._ports.get((host, port))
            if known is not None:
                return known
            if self._loop is None:
                raise ConnectionRefusedError(f"{host} was emulated by a stack-emu that has stopped; start another")
            # Bound here, not in the loop: the caller may connect at once and waits for nothing.
            # It has to say that it is TCP: asyncio turns Nagle's algorithm off for no other socket, and then small
            # answers wait 40 ms for the peer's acknowledgement.
            bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            bound.bind(("127.0.0.1", 0))
            bound.listen(_BACKLOG)
            serving = self._loop.create_server(
                lambda: _Direct(self._owner, Tunnel(THIS_TEST, (host, port)), self), sock=bound
            )
            self._servers.append(asyncio.run_coroutine_threadsafe(serving, self._loop))
            self._ports[host, port] = listening = int(bound.getsockname()[1])
            return listening

    def adopt(self, transport: asyncio.Transport) -> None:
        """Remember a connection, to be cut by ``drop``."""
        self._transports = {known for known in self._transports if not known.is_closing()} | {transport}

    async def drop(self) -> None:
        """Cut every connection, so that pooled ones are not used once the names mean something else."""
        for transport in self._transports:
            transport.abort()
        self._transports.clear()
        # Transports report their end in the next turn of the loop.
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Close every port and cut every connection."""
        with self._lock:
            self._loop = None
            servers, self._servers = self._servers, []
            self._ports.clear()
        for server in servers:
            (await asyncio.wrap_future(server)).close()
        await self.drop()


class _Direct(Connection):
    """A connection that came without CONNECT: what it is for is known from the port it arrived at.

    Args:
        owner: the gateway.
        tunnel: what the port stands for.
        listener: told of the connection.
    """

    def __init__(self, owner: Owner, tunnel: Tunnel, listener: TransparentListener) -> None:
        super().__init__(owner)
        self._tunnel = tunnel
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin as every connection of the gateway."""
        super().connection_made(transport)
        self._listener.adopt(self._transport)
