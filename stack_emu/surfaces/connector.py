"""The MCP connector: dials the servers a Messages request names, as a real MCP client, and runs tool calls there.

Source: Anthropic's connector page and anthropic 2.14.0 `types/beta/beta_mcp_tool*.py`. Which MCP revision Anthropic's own
connector speaks, and how it words a server that cannot be used, is not public: the mode is configurable and the wording
is ours.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from stack_emu.surfaces.connector_answers import (
    CallOutcome,
    Tool,
    failed_call,
    list_tools,
    read_outcome,
    remember_tools,
    told_by,
)


class ServerUnusable(Exception):
    """An MCP server that cannot be used; the message is a clause that says why, without any secret.

    Args:
        name: the server's name in the request.
        reason: the clause.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class Dial:
    """A server to dial.

    Args:
        name: its name in the request.
        url: the URL to dial.
        token: sent as `Authorization: Bearer`, when given.
        headers: further headers of every request.
        asked: the URL as the request has it, for messages, where another one is dialled in its place.
        tools: what the server lists, when that is known: it is then dialled for the first call only, and never asked.
    """

    name: str
    url: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: str | None = None
    tools: tuple[Tool, ...] | None = None


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine: http or https, and `localhost` or a loopback address as its host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def shown_url(url: str) -> str:
    """A URL without user information, query and fragment, which may carry secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Connector:
    """Dials MCP servers; connections to one address are kept and shared.

    Args:
        mode: how the protocol revision is negotiated: `auto` (discover, then the handshake), `legacy` (the handshake
            only), or a revision such as `2026-07-28`.
        connect_seconds: how long a server may take to accept a connection.
        answer_seconds: how long a server may take to answer a request.
        call_seconds: how long a tool may run; as long as any answer may take when left out.
    """

    def __init__(
        self,
        *,
        mode: str = "auto",
        connect_seconds: float = 5.0,
        answer_seconds: float = 60.0,
        call_seconds: float | None = None,
    ) -> None:
        self.mode = mode
        self.connect_seconds = connect_seconds
        self.answer_seconds = answer_seconds
        self.call_seconds = answer_seconds if call_seconds is None else call_seconds
        self._loading: asyncio.Task[Any] | None = None

    async def open(self, dials: Sequence[Dial]) -> Connections:
        """Dial every server at once and list its tools, except servers whose tools are known.

        Raises:
            ServerUnusable: for the first server, in the order given, that cannot be used; the others are closed.
        """
        transport = await self._shared_transport() if dials else None
        connections = Connections([_Connection(self, dial, transport) for dial in dials])
        try:
            await connections.ready()
        except BaseException:
            await connections.close()
            raise
        return connections

    async def aclose(self) -> None:
        """Close the kept connections."""
        if self._loading is None:
            return
        loading, self._loading = self._loading, None
        transport = await loading
        await transport.aclose()

    async def _shared_transport(self) -> Any:
        """The one HTTP transport, made in a thread because that takes half a second the first time."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(asyncio.to_thread(_load_transport))
        return await asyncio.shield(self._loading)


class Connections:
    """Servers that were dialled for one request."""

    def __init__(self, members: Sequence[_Connection]) -> None:
        self._members = {member.dial.name: member for member in members}

    async def ready(self) -> None:
        """Wait until every server has listed its tools.

        Raises:
            ServerUnusable: for the first that cannot be used.
        """
        for member in self._members.values():
            await member.ready()

    def tools(self) -> dict[str, tuple[str, ...]]:
        """The names of the tools each server offers, in the server's order."""
        return {name: tuple(tool["name"] for tool in member.tools) for name, member in self._members.items()}

    def fetched(self) -> dict[str, tuple[Tool, ...]]:
        """The listings that were asked for, by server."""
        return {
            name: tuple({key: value for key, value in tool.items() if key != "annotations"} for tool in member.tools)
            for name, member in self._members.items()
            if member.dial.tools is None
        }

    def listing(self, server: str) -> tuple[Tool, ...]:
        """What a server says of its tools, with their annotations, in its order."""
        return self._members[server].tools

    async def call(self, server: str, tool: str, arguments: dict[str, Any]) -> CallOutcome:
        """Call a tool. A server that fails is an error result, because the conversation goes on without it."""
        return await self._members[server].call(tool, arguments)

    async def close(self) -> None:
        """End every session."""
        for member in self._members.values():
            await member.close()


@dataclass
class _Request:
    tool: str
    arguments: dict[str, Any]
    outcome: asyncio.Future[CallOutcome]


class _Connection:
    """One session, in a task of its own.

    The client's task groups must be entered and left by the same task, and a transport that breaks cancels the task it
    lives in.
    """

    def __init__(self, connector: Connector, dial: Dial, transport: Any) -> None:
        loop = asyncio.get_running_loop()
        self.dial = dial
        self.tools: tuple[Tool, ...] = dial.tools or ()
        self._connector = connector
        self._transport = transport
        self._status: int | None = None
        self._told: str | None = None
        self._requests: asyncio.Queue[_Request | None] = asyncio.Queue()
        self._unanswered: set[asyncio.Future[CallOutcome]] = set()
        self._listed: asyncio.Future[None] = loop.create_future()
        self._reason: str | None = None
        self._task = loop.create_task(self._live()) if dial.tools is None else None

    async def ready(self) -> None:
        """Wait until the server has listed its tools; one whose tools are known is not waited for."""
        if self._task is not None:
            await self._opened(self._task)

    async def _opened(self, task: asyncio.Task[None]) -> None:
        seconds = self._connector.answer_seconds
        await asyncio.wait([self._listed, task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._listed.done():
            return
        late = "did not list its tools" if self.dial.tools is None else "did not answer"
        late = f"{shown_url(self.dial.asked or self.dial.url)} {late} within {seconds:g} s"
        raise ServerUnusable(self.dial.name, self._reason or late)

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallOutcome:
        """Call a tool; a session that broke is an error result."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())
        try:
            await self._opened(self._task)
        except ServerUnusable as error:
            return failed_call(self.dial.name, error.reason)
        outcome: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        if not self._task.done():
            self._unanswered.add(outcome)
            outcome.add_done_callback(self._unanswered.discard)
            await self._requests.put(_Request(tool, arguments, outcome))
            waited: list[asyncio.Future[Any]] = [outcome, self._task]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done():
            return outcome.result()
        return failed_call(self.dial.name, self._reason or "the connection was closed")

    async def close(self) -> None:
        """End the session; one that is still being opened, waits for an answer, or does not end, is broken off."""
        if self._task is None:
            return
        await self._requests.put(None)
        if self._listed.done() and not self._unanswered:
            await asyncio.wait([self._task], timeout=self._connector.connect_seconds)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _live(self) -> None:
        """Live until told to end. Whatever breaks the session becomes the reason others see."""
        try:
            await self._session()
        except Exception as error:
            self._reason = self._explain(error)

    async def _session(self) -> None:
        from mcp.client.client import Client
        from mcp.client.streamable_http import streamable_http_client
        from mcp_types import Implementation

        transport = streamable_http_client(self.dial.url, http_client=self._http_client())
        async with Client(
            transport,
            mode=self._connector.mode,
            cache=None,
            client_info=Implementation(name="stack-emu-connector", version="1"),
            read_timeout_seconds=self._connector.answer_seconds,
        ) as client:
            if self.dial.tools is None:
                self.tools = await list_tools(client)
            else:
                remember_tools(client, self.tools)
            self._listed.set_result(None)
            while (request := await self._requests.get()) is not None:
                request.outcome.set_result(await self._run(client, request))

    async def _run(self, client: Any, request: _Request) -> CallOutcome:
        from mcp.shared.exceptions import MCPError

        self._status = None
        seconds = self._connector.call_seconds
        try:
            return read_outcome(await client.call_tool(request.tool, request.arguments, read_timeout_seconds=seconds))
        except MCPError as error:
            return replace(failed_call(self.dial.name, self._explain(error, seconds)), protocol_code=error.code)

    def _http_client(self) -> Any:
        """A client of its own for the headers, over the shared transport, deaf to proxy settings of the environment.

        It is never closed: closing it would close the transport under the others.
        """
        import httpx2

        headers = dict(self.dial.headers)
        if self.dial.token:
            headers["Authorization"] = f"Bearer {self.dial.token}"
        seconds = self._connector.connect_seconds
        return httpx2.AsyncClient(
            transport=self._transport,
            headers=headers,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=seconds, write=self._connector.answer_seconds),
            event_hooks={"response": [self._note_status]},
        )

    async def _note_status(self, response: Any) -> None:
        self._status = response.status_code
        self._told = await told_by(response) if response.status_code in (401, 403) else None

    def _explain(self, error: BaseException, seconds: float | None = None) -> str:
        """Why the server cannot be used, as a clause without secrets; `seconds` is how long an answer was waited for."""
        waited = self._connector.answer_seconds if seconds is None else seconds
        reason = _reason(_innermost(error), self._status, self.dial, self._connector.connect_seconds, waited)
        if self._told is not None and self._status in (401, 403):
            reason = f"{reason}: {self._told}"
        return reason.replace(self.dial.token, "<masked>") if self.dial.token else reason


def _innermost(error: BaseException) -> BaseException:
    """The first single exception in nested groups."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    return error


def _reason(error: BaseException, status: int | None, dial: Dial, connect_seconds: float, seconds: float) -> str:
    import httpx2
    from mcp.shared.exceptions import MCPError
    from mcp_types import REQUEST_TIMEOUT

    at = shown_url(dial.asked or dial.url)
    if isinstance(error, httpx2.ConnectTimeout):
        return f"nothing at {at} accepted a connection within {connect_seconds:g} s"
    if isinstance(error, httpx2.ConnectError):
        return f"nothing answers at {at}; start the server or correct the url"
    if isinstance(error, httpx2.TransportError):
        return f"{at} broke the connection off ({type(error).__name__})"
    if status in (401, 403):
        sent = "does not accept the authorization_token" if dial.token else "asks for an authorization_token"
        return f"{at} answered HTTP {status} and {sent}"
    if isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT:
        return f"{at} did not answer within {seconds:g} s"
    if isinstance(error, MCPError) and (status is None or status < 400):
        return f"{at} answered MCP error {error.code}: {error.message}"
    if status is not None and status >= 400:
        return f"{at} answered HTTP {status}, which is no MCP server's answer"
    return f"{at} does not answer as an MCP server ({type(error).__name__})"


def _load_transport() -> Any:
    """Import the MCP client and build the transport its HTTP clients share, without a limit on open connections."""
    import httpx2

    importlib.import_module("mcp")  # the package first: threads that start with different modules of it see halves
    importlib.import_module("mcp.client.client")
    return httpx2.AsyncHTTPTransport(trust_env=False, limits=httpx2.Limits(max_connections=None))
