"""The MCP connector: dials the servers a Messages request names, as a real MCP client, and runs tool calls there.

Source: Anthropic's connector page and anthropic 2.12.0 `types/beta/beta_mcp_tool_*`. Which MCP revision Anthropic's own
connector speaks, and how it words a server that cannot be used, is not public: the mode is configurable and the wording
is ours.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stack_emu.model_script.conversation import as_error, read_result

if TYPE_CHECKING:
    from mcp_types import CallToolResult

_PAGE_LIMIT = 100


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
    """

    name: str
    url: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: str | None = None


@dataclass(frozen=True)
class CallOutcome:
    """What a tool call returned.

    Args:
        content: text blocks, as `mcp_tool_result` carries them.
        is_error: whether the tool reported an error, or could not be reached.
        value: what templates see: structured content, else parsed JSON text, else the text.
        protocol_code: the MCP error code, when the server answered with one instead of a result.
    """

    content: tuple[dict[str, str], ...]
    is_error: bool
    value: Any
    protocol_code: int | None = None


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
    """

    def __init__(self, *, mode: str = "auto", connect_seconds: float = 5.0, answer_seconds: float = 60.0) -> None:
        self.mode = mode
        self.connect_seconds = connect_seconds
        self.answer_seconds = answer_seconds
        self._loading: asyncio.Task[Any] | None = None

    async def open(self, dials: Sequence[Dial]) -> Connections:
        """Dial every server at once and list its tools.

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
        return {name: member.tools for name, member in self._members.items()}

    def listing(self, server: str) -> tuple[Any, ...]:
        """What a server says of its tools: `name`, `description`, `input_schema` and `annotations`, in its order."""
        return self._members[server].listing

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
        self.tools: tuple[str, ...] = ()
        self.listing: tuple[Any, ...] = ()
        self._connector = connector
        self._transport = transport
        self._status: int | None = None
        self._requests: asyncio.Queue[_Request | None] = asyncio.Queue()
        self._unanswered: set[asyncio.Future[CallOutcome]] = set()
        self._listed: asyncio.Future[None] = loop.create_future()
        self._reason: str | None = None
        self._task = loop.create_task(self._live())

    async def ready(self) -> None:
        """Wait until the server has listed its tools."""
        seconds = self._connector.answer_seconds
        await asyncio.wait([self._listed, self._task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._listed.done():
            return
        late = f"{shown_url(self.dial.url)} did not list its tools within {seconds:g} s"
        raise ServerUnusable(self.dial.name, self._reason or late)

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallOutcome:
        """Call a tool; a session that broke is an error result."""
        outcome: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        if not self._task.done():
            self._unanswered.add(outcome)
            outcome.add_done_callback(self._unanswered.discard)
            await self._requests.put(_Request(tool, arguments, outcome))
            waited: list[asyncio.Future[Any]] = [outcome, self._task]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done():
            return outcome.result()
        return _failed_call(self.dial.name, self._reason or "the connection was closed")

    async def close(self) -> None:
        """End the session; one that is still being opened, waits for an answer, or does not end, is broken off."""
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
            self.listing = await _list_tools(client)
            self.tools = tuple(tool["name"] for tool in self.listing)
            self._listed.set_result(None)
            while (request := await self._requests.get()) is not None:
                request.outcome.set_result(await self._run(client, request))

    async def _run(self, client: Any, request: _Request) -> CallOutcome:
        from mcp.shared.exceptions import MCPError

        self._status = None
        try:
            return _read_outcome(await client.call_tool(request.tool, request.arguments))
        except MCPError as error:
            return replace(_failed_call(self.dial.name, self._explain(error)), protocol_code=error.code)

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

    def _explain(self, error: BaseException) -> str:
        """Why the server cannot be used, as a clause without secrets."""
        reason = _reason(_innermost(error), self._status, self.dial, self._connector)
        return reason.replace(self.dial.token, "<masked>") if self.dial.token else reason


async def _list_tools(client: Any) -> tuple[Any, ...]:
    """All tools, page by page."""
    if client.server_capabilities.tools is None:
        return ()
    tools: list[Any] = []
    cursor: str | None = None
    for _ in range(_PAGE_LIMIT):
        page = await client.list_tools(cursor=cursor)
        tools += map(_listed, page.tools)
        cursor = page.next_cursor
        if cursor is None:
            break
    return tuple(tools)


def _listed(tool: Any) -> dict[str, Any]:
    annotations = tool.annotations
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "annotations": annotations.model_dump(by_alias=True, exclude_none=True) if annotations is not None else None,
    }


def _read_outcome(result: CallToolResult) -> CallOutcome:
    content = tuple({"type": "text", "text": _block_text(block)} for block in result.content)
    text = "\n".join(block["text"] for block in content)
    structured = result.structured_content
    read = read_result(text, result.is_error)
    if structured is None or structured == {"result": read}:  # what is no object is wrapped in one; the text is bare
        return CallOutcome(content, result.is_error, read)
    content = content or ({"type": "text", "text": json.dumps(structured, ensure_ascii=False)},)
    return CallOutcome(content, result.is_error, as_error(structured, text) if result.is_error else structured)


def _block_text(block: Any) -> str:
    """A content block as text, the only kind `mcp_tool_result` carries; other kinds are named."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource" and isinstance(getattr(block.resource, "text", None), str):
        return str(block.resource.text)
    if block.type == "resource_link":
        return f"{block.name}: {block.uri}"
    return f"[{block.type} content left out: tool results carry text only]"


def _failed_call(server: str, reason: str) -> CallOutcome:
    text = f"The MCP server {server} could not run the call: {reason}."
    return CallOutcome(({"type": "text", "text": text},), True, read_result(text, True))


def _innermost(error: BaseException) -> BaseException:
    """The first single exception in nested groups."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    return error


def _reason(error: BaseException, status: int | None, dial: Dial, connector: Connector) -> str:
    import httpx2
    from mcp.shared.exceptions import MCPError
    from mcp_types import REQUEST_TIMEOUT

    at = shown_url(dial.asked or dial.url)
    if isinstance(error, httpx2.ConnectTimeout):
        return f"nothing at {at} accepted a connection within {connector.connect_seconds:g} s"
    if isinstance(error, httpx2.ConnectError):
        return f"nothing answers at {at}; start the server or correct the url"
    if isinstance(error, httpx2.TransportError):
        return f"{at} broke the connection off ({type(error).__name__})"
    if status in (401, 403):
        sent = "does not accept the authorization_token" if dial.token else "asks for an authorization_token"
        return f"{at} answered HTTP {status} and {sent}"
    if isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT:
        return f"{at} did not answer within {connector.answer_seconds:g} s"
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
