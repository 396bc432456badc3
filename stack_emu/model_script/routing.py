"""Whether a scripted call runs through the MCP connector or is handed to the client as a tool use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stack_emu.kernel.near_words import close_matches
from stack_emu.model_script.matching import Unscripted, bare_name

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import Call

DEFAULT_SERVER = "stack"
"""The server name assumed for a deferred client tool when the script names none; STACK's own pages use it."""


@dataclass(frozen=True)
class Offer:
    """The tools a request puts on offer.

    Args:
        servers: for each MCP server of the connector, its enabled tools.
        disabled: for each MCP server, the tools it lists that the request switched off.
        client: names of the client's own tools.
        deferred: whether the client finds further tools by searching, so that its list is not all there is.
    """

    servers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    disabled: Mapping[str, Sequence[str]] = field(default_factory=dict)
    client: tuple[str, ...] = ()
    deferred: bool = False

    def names(self) -> tuple[str, ...]:
        """Every tool on offer."""
        return (*self.client, *(name for tools in self.servers.values() for name in tools))


@dataclass(frozen=True)
class Route:
    """Where a call goes: through the connector to `server`, or to the client under `name` when `server` is None."""

    name: str
    server: str | None = None


def route_call(call: Call, offer: Offer, where: str) -> Route:
    """Decide where a scripted call goes.

    A server of the connector that offers the tool comes first, then a client tool of that name, then the name
    `mcp__<server>__<tool>` that the Claude command line gives MCP tools. A client with tool search executes that name
    without listing it.

    Args:
        call: the scripted call.
        offer: the tools on offer.
        where: the turn, for the error's sentence.

    Raises:
        Unscripted: when nothing on offer fits, or several servers offer the tool and the script names none.
    """
    route = _by_connector(call, offer, where) or _by_client(call, offer, where)
    if route is not None:
        return route
    raise Unscripted(f"{where} calls {_shown(call)}, which {_absence(call, offer)}")


def _by_connector(call: Call, offer: Offer, where: str) -> Route | None:
    if call.server is not None:
        offered = call.tool in offer.servers.get(call.server, ())
        return Route(call.tool, call.server) if offered else None
    owners = [server for server, tools in offer.servers.items() if call.tool in tools]
    if len(owners) > 1:
        raise Unscripted(
            f"{where} calls {call.tool}, which several MCP servers offer ({', '.join(owners)}); name one with server:."
        )
    return Route(call.tool, owners[0]) if owners else None


def _by_client(call: Call, offer: Offer, where: str) -> Route | None:
    if call.server is not None and call.server in offer.servers:
        return None
    if call.server is None and call.tool in offer.client:
        return Route(call.tool)
    if call.server is not None:
        name = f"mcp__{call.server}__{call.tool}"
        return Route(name) if name in offer.client or offer.deferred else None
    named = [name for name in offer.client if name != call.tool and bare_name(name) == call.tool]
    if len(named) > 1:
        raise Unscripted(
            f"{where} calls {call.tool}, which stands for several client tools ({', '.join(named)}); "
            "name one with server:."
        )
    if named:
        return Route(named[0])
    return Route(f"mcp__{DEFAULT_SERVER}__{call.tool}") if offer.deferred and not offer.servers else None


def _absence(call: Call, offer: Offer) -> str:
    if call.server is not None and call.server not in offer.servers and offer.servers:
        return f"needs an MCP server of that name; the request has {', '.join(offer.servers)}."
    for server, tools in offer.disabled.items():
        if call.tool in tools and call.server in (None, server):
            return f"the request has switched off on the MCP server {server}; enable it there or change the script."
    pool = offer.names()
    if not pool:
        return "the request does not offer; it has neither tools nor mcp_servers."
    near = close_matches(call.tool, pool, n=3, cutoff=0.5) or sorted(pool)[:5]
    owner = f"the MCP server {call.server} does not offer" if call.server else "nothing in the request offers"
    return f"{owner}; nearest: {', '.join(near)}."


def _shown(call: Call) -> str:
    return f"{call.tool} on {call.server}" if call.server else call.tool
