"""OpenAI's own SDK, pointed at a served world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.messages.conftest import TOKEN, McpUnderTest, _run_mcp


@pytest.fixture
def sdk(serve: Callable[..., Any]) -> Iterator[Callable[..., openai.OpenAI]]:
    """`sdk(served, **options)`: the real synchronous SDK."""
    opened: list[openai.OpenAI] = []

    def make(served: Any, **options: Any) -> openai.OpenAI:
        options = {"api_key": "sk-emu", "max_retries": 0, **options}
        opened.append(openai.OpenAI(base_url=f"{served.base_url}/openai/v1", **options))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture(scope="session")
def _one_mcp() -> Iterator[McpUnderTest]:
    yield from _run_mcp(stateless=True, json_response=True)


@pytest.fixture
def mcp_server(_one_mcp: McpUnderTest) -> McpUnderTest:
    """A real MCP server that wants the bearer `TOKEN`."""
    _one_mcp.calls.clear()
    _one_mcp.headers.clear()
    return _one_mcp


@pytest.fixture
def hosted() -> Callable[..., dict[str, Any]]:
    """`hosted(mcp, **more)`: a tool of type `mcp` for a server, no approval needed."""

    def entry(mcp: McpUnderTest, **more: Any) -> dict[str, Any]:
        tool = {"type": "mcp", "server_label": "stack", "server_url": mcp.url, "require_approval": "never"}
        return {**tool, "authorization": TOKEN, **more}

    return entry


def entries(served: Any) -> list[Any]:
    """What the journal holds of the OpenAI API."""
    return list(served.hosted.world.journal.entries(surface="openai"))
