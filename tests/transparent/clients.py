"""Real clients as their users write them, with real host names; each call tells which world answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

API = "https://api.getstack.run/v1/agents"
MCP = "https://mcp.getstack.run/mcp"
KEY = "sk_live_emu_operator"
BEARER = {"Authorization": f"Bearer {KEY}"}
ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "which world"}],
}


class Sync(NamedTuple):
    """A client: how it is made (and closed), and how it is used; ``use`` returns the name of the world."""

    make: Callable[[], contextlib.AbstractContextManager[Any]]
    use: Callable[[Any], str]


class Async(NamedTuple):
    """The same for a client that is used in an event loop."""

    make: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    use: Callable[[Any], Awaitable[str]]


def world_of(agents: Any) -> str:
    """The world's name, which its only agent has."""
    (agent,) = json.loads(agents) if isinstance(agents, (bytes, str)) else agents
    return str(agent["name"])


@contextlib.contextmanager
def _stack() -> Iterator[Any]:
    import getstack

    with getstack.Stack(api_key=KEY) as client:
        yield client


@contextlib.contextmanager
def _httpx() -> Iterator[Any]:
    import httpx

    with httpx.Client(headers=BEARER) as client:
        yield client


@contextlib.contextmanager
def _httpx_with_a_context() -> Iterator[Any]:
    import httpx

    with httpx.Client(headers=BEARER, verify=ssl.create_default_context(), trust_env=False) as client:
        yield client


@contextlib.contextmanager
def _httpx2() -> Iterator[Any]:
    import httpx2

    with httpx2.Client(headers=BEARER) as client:
        yield client


@contextlib.contextmanager
def _requests(trust_env: bool = True) -> Iterator[Any]:
    import requests

    with requests.Session() as session:
        session.headers.update(BEARER)
        session.trust_env = trust_env
        yield session


@contextlib.contextmanager
def _anthropic() -> Iterator[Any]:
    import anthropic

    with anthropic.Anthropic(api_key="sk-ant-emu", max_retries=0) as client:
        yield client


def _stream(client: Any) -> str:
    with client.messages.stream(**ASK) as stream:
        return str(stream.get_final_text())


@contextlib.contextmanager
def _opener() -> Iterator[Any]:
    yield urllib.request.build_opener()


def _open(opener: Any) -> str:
    with opener.open(urllib.request.Request(API, headers=BEARER), timeout=20) as reply:
        return world_of(reply.read())


@contextlib.contextmanager
def _installed_opener() -> Iterator[Any]:
    before = urllib.request._opener  # type: ignore[attr-defined]
    opener = urllib.request.build_opener()
    opener.addheaders = list(BEARER.items())
    urllib.request.install_opener(opener)
    yield None
    urllib.request.install_opener(before)


def _urlopen(_: Any) -> str:
    with urllib.request.urlopen(API, timeout=20) as reply:
        return world_of(reply.read())


@contextlib.contextmanager
def _http_client() -> Iterator[Any]:
    connection = http.client.HTTPSConnection("api.getstack.run", timeout=20)
    yield connection
    connection.close()


def _request(connection: http.client.HTTPSConnection) -> str:
    connection.request("GET", "/v1/agents", headers=BEARER)
    answer = connection.getresponse().read()
    connection.close()  # it opens again by itself, but does not notice when the other side has closed
    return world_of(answer)


@contextlib.contextmanager
def _raw() -> Iterator[Any]:
    yield ssl.create_default_context()


def _by_hand(context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("api.getstack.run", 443), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="api.getstack.run") as secure,
    ):
        head = f"GET /v1/agents HTTP/1.1\r\nHost: api.getstack.run\r\nAuthorization: Bearer {KEY}\r\n"
        secure.sendall(f"{head}Connection: close\r\n\r\n".encode())
        reply = b"".join(iter(lambda: secure.recv(65536), b""))
    return world_of(reply.partition(b"\r\n\r\n")[2])


def _agents(client: Any) -> str:
    return world_of(client.get(API).json())


SYNC: dict[str, Sync] = {
    "getstack": Sync(_stack, lambda stack: str(stack.agents.list()[0].name)),
    "httpx": Sync(_httpx, _agents),
    "httpx with a context of its own": Sync(_httpx_with_a_context, _agents),
    "httpx2": Sync(_httpx2, _agents),
    "requests": Sync(_requests, _agents),
    "requests without trust_env": Sync(lambda: _requests(False), _agents),
    "anthropic": Sync(_anthropic, lambda client: str(client.messages.create(**ASK).content[0].text)),
    "anthropic streaming": Sync(_anthropic, _stream),
    "urllib opener": Sync(_opener, _open),
    "urllib opener installed": Sync(_installed_opener, _urlopen),
    "http.client": Sync(_http_client, _request),
    "socket and ssl": Sync(_raw, _by_hand),
}


@contextlib.asynccontextmanager
async def _async_stack() -> AsyncIterator[Any]:
    import getstack

    async with getstack.AsyncStack(api_key=KEY) as client:
        yield client


async def _async_stack_agents(stack: Any) -> str:
    return str((await stack.agents.list())[0].name)


@contextlib.asynccontextmanager
async def _async_httpx() -> AsyncIterator[Any]:
    import httpx

    async with httpx.AsyncClient(headers=BEARER) as client:
        yield client


@contextlib.asynccontextmanager
async def _async_httpx2() -> AsyncIterator[Any]:
    import httpx2

    async with httpx2.AsyncClient(headers=BEARER) as client:
        yield client


async def _async_agents(client: Any) -> str:
    return world_of((await client.get(API)).json())


@contextlib.asynccontextmanager
async def _async_anthropic() -> AsyncIterator[Any]:
    import anthropic

    async with anthropic.AsyncAnthropic(api_key="sk-ant-emu", max_retries=0) as client:
        yield client


async def _async_answer(client: Any) -> str:
    return str((await client.messages.create(**ASK)).content[0].text)


@contextlib.asynccontextmanager
async def _aiohttp(trust_env: bool = False) -> AsyncIterator[Any]:
    import aiohttp

    async with aiohttp.ClientSession(headers=BEARER, trust_env=trust_env) as session:
        yield session


async def _aiohttp_agents(session: Any) -> str:
    async with session.get(API) as reply:
        return world_of(await reply.json())


@contextlib.asynccontextmanager
async def _mcp() -> AsyncIterator[Any]:
    import httpx2

    async with httpx2.AsyncClient(headers=BEARER, timeout=20) as transport:
        yield transport


async def _mcp_agents(transport: Any) -> str:
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    async with Client(streamable_http_client(MCP, http_client=transport)) as client:
        listed = await client.call_tool("stack_list_agents", {})
    found = json.loads(listed.content[0].text)
    return world_of(found if isinstance(found, list) else next(iter(found.values())))


ASYNC: dict[str, Async] = {
    "getstack": Async(_async_stack, _async_stack_agents),
    "httpx": Async(_async_httpx, _async_agents),
    "httpx2": Async(_async_httpx2, _async_agents),
    "anthropic": Async(_async_anthropic, _async_answer),
    "aiohttp": Async(_aiohttp, _aiohttp_agents),
    "aiohttp with trust_env": Async(lambda: _aiohttp(True), _aiohttp_agents),
    "mcp": Async(_mcp, _mcp_agents),
}
