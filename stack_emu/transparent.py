"""Real host names lead to a world for the length of a test, for every client in this process.

Clients made before the test know nothing of it: they resolve a name, connect, and start TLS with the certificates they
loaded long ago. So each of these steps is taken over for the emulated hosts alone: names resolve to loopback addresses
(``transparent_listener.ADDRESSES``), connections to those go to the gateway, and TLS for an emulated host name uses
a context that trusts the gateway's authority. Child processes, and clients that read it, find the same in the
environment: the proxy variables of ``stack-emu exec``, with the real host names as base URLs.

Out of reach: clients that resolve and connect in C (uvloop, pycurl) unless they read the proxy variables, and clients
made earlier with the address of another proxy.
"""

from __future__ import annotations

import _socket
import _ssl
import contextlib
import copy
import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack_emu.emulator import Emulator
    from stack_emu.surfaces.host_gateway import HostGateway

_ABSENT: Any = object()
_ANY_PORT = 443


@contextlib.contextmanager
def transparent(emulator: Emulator, world: str) -> Iterator[None]:
    """Send the real host names of a world to it until the block ends; then everything is as it was.

    The hosts are STACK's, Anthropic's, OpenAI's and those of the world's upstreams; others are not affected. Blocks may be
    nested, the innermost world counts. All threads of the process are in it.

    Args:
        emulator: a started one.
        world: name of one of its worlds.

    Raises:
        KeyError: the emulator has no such world.
    """
    emulator.hosted(world)
    gateway = emulator.gateway
    listener = gateway.transparent
    variables = _environment(emulator, gateway, world)
    patches = _Patches()
    outer, listener.world = listener.world, world
    try:
        _set_environment(patches, variables)
        _patch_names(patches, gateway)
        _patch_aiohttp(patches, gateway)
        _patch_connections(patches, gateway)
        _patch_tls(patches, gateway)
        _patch_opener(patches)
        yield
    finally:
        patches.undo()
        listener.world = outer
        if outer is None:
            emulator.run(listener.drop())


class _Patches:
    """What was changed, and how it was before."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute of a module or class."""
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, value)
        if before is _ABSENT:
            self._undo.callback(delattr, owner, name)
        else:
            self._undo.callback(setattr, owner, name, before)

    def put_variable(self, name: str, value: str | None) -> None:
        """Set or remove an environment variable."""
        before = os.environ.get(name)
        _set_variable(name, value)
        self._undo.callback(_set_variable, name, before)

    def undo(self) -> None:
        """Bring back what was there, last change first."""
        self._undo.close()


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _environment(emulator: Emulator, gateway: HostGateway, world: str) -> Mapping[str, str]:
    """The environment of ``exec``, but with real names: a client made in one test may live on in the next."""
    from stack_emu.cli.environment import NO_PROXY, client_environment
    from stack_emu.surfaces.transparent_listener import THIS_TEST

    described = emulator.call(lambda: emulator.server.describe(emulator.hosted(world)))
    environment = client_environment(
        base_url="https://api.getstack.run",
        mcp_url="https://mcp.getstack.run/mcp",
        dashboard_url="https://getstack.run",
        anthropic_base_url="https://api.anthropic.com",
        api_key=described["api_key"],
        anthropic_key=described["anthropic_api_key"],
        openai_base_url="https://api.openai.com/v1",
        openai_key=described["openai_api_key"],
        gateway_url=gateway.url(THIS_TEST),
        ca_file=gateway.ca_file,
        emulator_url=described["base_url"],
        inherited=os.environ,
    )
    for name in ("NO_PROXY", "no_proxy"):
        own = [entry.strip() for entry in os.environ.get(name, "").split(",")]
        kept = [entry for entry in own if entry and not _covers(entry, gateway.hosts_of(world))]
        environment[name] = ",".join(dict.fromkeys([*NO_PROXY.split(","), *kept]))
    environment.update(described["passports"])
    return environment


def _covers(entry: str, hosts: Iterable[str]) -> bool:
    """Whether a NO_PROXY entry would lead clients past the gateway for any of the hosts or ``*.suffix`` patterns."""
    bypassed = entry.partition(":")[0].lstrip("*").lstrip(".").lower()
    for host in hosts:
        name = host.removeprefix("*.")
        if not bypassed or f".{name}".endswith(f".{bypassed}"):
            return True
        if name != host and bypassed.endswith(f".{name}"):
            return True
    return False


def _set_environment(patches: _Patches, variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        patches.put_variable(name, None)
    for name, value in variables.items():
        if os.environ.get(name) != value:
            patches.put_variable(name, value)


def _patch_names(patches: _Patches, gateway: HostGateway) -> None:
    """Answer for emulated hosts in ``_socket``: callers that imported ``socket.getaddrinfo`` itself get there too."""
    lookup, by_name, by_name_ex = _socket.getaddrinfo, _socket.gethostbyname, _socket.gethostbyname_ex

    def getaddrinfo(
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name callers use
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        name = _emulated(gateway, host)
        if name is None or flags & socket.AI_NUMERICHOST:
            return lookup(host, port, family, type, proto, flags)
        if family not in (socket.AF_UNSPEC, socket.AF_INET):
            raise socket.gaierror(socket.EAI_NONAME, f"{name} is emulated and has an IPv4 address only")
        address = gateway.transparent.address_of(name)
        passive = flags & (socket.AI_PASSIVE | getattr(socket, "AI_NUMERICSERV", 0))
        found = lookup(address, port, socket.AF_INET, type, proto, passive | socket.AI_NUMERICHOST)
        if flags & socket.AI_CANONNAME:
            found[0] = (*found[0][:3], name, found[0][4])
        return found

    def gethostbyname(host: Any) -> str:
        name = _emulated(gateway, host)
        return by_name(host) if name is None else gateway.transparent.address_of(name)

    def gethostbyname_ex(host: Any) -> tuple[str, list[str], list[str]]:
        name = _emulated(gateway, host)
        return by_name_ex(host) if name is None else (name, [], [gateway.transparent.address_of(name)])

    patches.put(_socket, "getaddrinfo", getaddrinfo)
    for module in (_socket, socket):
        patches.put(module, "gethostbyname", gethostbyname)
        patches.put(module, "gethostbyname_ex", gethostbyname_ex)


def _patch_aiohttp(patches: _Patches, gateway: HostGateway) -> None:
    resolver = sys.modules.get("aiohttp.resolver")
    if resolver is not None:
        patches.put(resolver.AsyncResolver, "resolve", _aiohttp_resolve(gateway, resolver.AsyncResolver.resolve))


def _aiohttp_resolve(gateway: HostGateway, resolve: Callable[..., Any]) -> Callable[..., Any]:
    """Aiohttp's resolver over aiodns, which asks name servers itself."""

    async def resolved(resolver: Any, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
        name = _emulated(gateway, host)
        if name is None:
            return await resolve(resolver, host, port, family)
        answer = {"hostname": host, "host": gateway.transparent.address_of(name), "port": port, "proto": 0}
        return [{**answer, "family": socket.AF_INET, "flags": socket.AI_NUMERICHOST}]

    return resolved


def _patch_connections(patches: _Patches, gateway: HostGateway) -> None:
    kind = next(
        kind
        for kind in socket.socket.__mro__[::-1]
        if issubclass(kind, _socket.socket) and kind.__module__ != "_socket"
    )
    connect, connect_ex = kind.connect, kind.connect_ex

    def connect_here(self: Any, address: Any, /) -> None:
        connect(self, _reroute(gateway, self, address))

    def connect_ex_here(self: Any, address: Any, /) -> int:
        code: int = connect_ex(self, _reroute(gateway, self, address))
        return code

    patches.put(kind, "connect", connect_here)
    patches.put(kind, "connect_ex", connect_ex_here)


def _reroute(gateway: HostGateway, connecting: socket.socket, address: Any) -> Any:
    """The gateway's address when a socket is about to connect to an emulated host."""
    if connecting.family != socket.AF_INET or not connecting.type & socket.SOCK_STREAM:
        return address
    if not isinstance(address, tuple) or len(address) != 2 or not isinstance(address[1], int):
        return address
    name = gateway.transparent.host_at(address[0]) or _emulated(gateway, address[0])
    if name is None:
        return address
    return "127.0.0.1", gateway.transparent.port_for(name, address[1])


def _patch_tls(patches: _Patches, gateway: HostGateway) -> None:
    """Use a context that trusts the gateway for emulated host names, whatever the client's own context trusts.

    ALPN offers http/1.1 as the gateway does: a client whose context offers more gets that anyway.
    """
    # truststore puts a class of its own in place of ssl.SSLContext, which wraps the real one.
    stdlib: Any = next(kind for kind in _ssl._SSLContext.__subclasses__() if kind.__module__ == "ssl")
    wrap_socket, wrap_bio = stdlib.wrap_socket, stdlib.wrap_bio
    trusting = _trusting(stdlib, gateway)

    def wrap_socket_here(
        self: Any,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: Any = None,
        session: Any = None,
    ) -> Any:
        if _takes_over(gateway, self, server_side, server_hostname):
            self, session = trusting, None
        rest = (server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname, session)
        return wrap_socket(self, sock, *rest)

    def wrap_bio_here(
        self: Any,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: Any = None,
        session: Any = None,
    ) -> Any:
        if _takes_over(gateway, self, server_side, server_hostname):
            self, session = trusting, None
        return wrap_bio(self, incoming, outgoing, server_side, server_hostname, session)

    patches.put(stdlib, "wrap_socket", wrap_socket_here)
    patches.put(stdlib, "wrap_bio", wrap_bio_here)


def _trusting(stdlib: Any, gateway: HostGateway) -> Any:
    class TrustingContext(stdlib):  # type: ignore[misc]
        """Trusts the gateway's authority and nothing else."""

        stack_emu = True

    context = TrustingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=gateway.authority.ca_pem.decode())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _takes_over(gateway: HostGateway, context: Any, server_side: bool, server_hostname: Any) -> bool:
    if server_side or getattr(context, "stack_emu", False):
        return False
    return _emulated(gateway, server_hostname) is not None


def _patch_opener(patches: _Patches) -> None:
    """Give ``urllib.request.urlopen`` the proxies of now; handlers that were installed stay."""
    installed = vars(urllib.request).get("_opener")
    if installed is None:
        patches.put(urllib.request, "_opener", None)
        return
    opener = urllib.request.OpenerDirector()
    opener.addheaders = list(installed.addheaders)
    for handler in installed.handlers:
        if not isinstance(handler, urllib.request.ProxyHandler):
            opener.add_handler(copy.copy(handler))
    opener.add_handler(urllib.request.ProxyHandler())
    patches.put(urllib.request, "_opener", opener)


def _emulated(gateway: HostGateway, host: Any) -> str | None:
    """The normal form of a host name if it is emulated now."""
    from stack_emu.surfaces.gateway_heads import normal_host
    from stack_emu.surfaces.transparent_listener import THIS_TEST

    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or not host:
        return None
    name = normal_host(host)
    return name if gateway.emulates(THIS_TEST, name, _ANY_PORT) else None
