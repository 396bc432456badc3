"""The real clients, driven the same way: the SDK's synchronous and asynchronous client, and an MCP client."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp.client.client import Client  # at the top: importing mcp in two threads at once fails, and the server does too
from mcp.client.streamable_http import streamable_http_client


class Blocking:
    """An asynchronous object whose methods wait for their result in the given loop."""

    def __init__(self, wrapped: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._wrapped, self._loop = wrapped, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if not callable(value):
            return Blocking(value, self._loop)

        def call(*arguments: Any, **named: Any) -> Any:
            result = value(*arguments, **named)
            return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

        return call


@dataclass
class SdkFactory:
    """Makes clients of one kind, ``sync`` or ``async``, that are called alike, and closes them."""

    kind: str
    closers: list[Callable[[], None]]

    def __call__(self, base_url: str, api_key: str | None = "sk_live_emu_operator", **options: Any) -> Any:
        import getstack

        if self.kind == "sync":
            client = getstack.Stack(api_key, base_url=base_url, **options)
            self.closers.append(client.close)
            return client
        loop = asyncio.new_event_loop()
        asynchronous = getstack.AsyncStack(api_key, base_url=base_url, **options)

        def close() -> None:
            loop.run_until_complete(asynchronous.close())
            loop.close()

        self.closers.append(close)
        return Blocking(asynchronous, loop)

    def close(self) -> None:
        while self.closers:
            self.closers.pop()()


@dataclass
class McpTools:
    """A real MCP client on a world's endpoint: ``tools(name, **arguments)`` is the tool's JSON result."""

    base_url: str
    bearer: str = "sk_live_emu_operator"

    def __call__(self, name: str, /, **arguments: Any) -> Any:
        reply, failed = self.result(name, **arguments)
        assert not failed, reply
        return reply

    def result(self, name: str, /, **arguments: Any) -> tuple[Any, bool]:
        """The JSON result of a tool and whether it is an error."""
        return asyncio.run(asyncio.wait_for(self._call(name, arguments), 30))

    async def _call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        headers = {"Authorization": f"Bearer {self.bearer}"}
        url = f"{self.base_url}/mcp"
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            outcome = await client.call_tool(name, arguments)
        return json.loads(outcome.content[0].text), bool(outcome.is_error)
