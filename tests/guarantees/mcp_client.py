"""The published client of mcp 2.x, called from synchronous tests: one session for each bearer, kept open."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from stack_emu.kernel.operations import Operation
from tests.guarantees.wire import Answer
from tests.mcp.conftest import connected


class PublishedMcpClient:
    """Calls operations as tools.

    Args:
        base_url: of the world.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._open: dict[str, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> PublishedMcpClient:
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def call(self, declared: Operation, raw: Mapping[str, Any], bearer: str) -> Answer:
        """Call a tool; 599 stands for a refusal, whose envelope is the body."""
        assert declared.tool is not None, f"{declared.name} is no tool"
        arguments = {name: value for name, value in raw.items() if name not in declared.tool.hidden}
        if declared.tool.confirm:
            arguments["confirm"] = True
        result = self._portal.call(self._client(bearer).call_tool, declared.tool.name, arguments)
        block = result.content[0]
        text = block.text if block.type == "text" else block.resource.blob
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        return Answer(599 if result.is_error else 200, value)

    def _client(self, bearer: str) -> Any:
        if bearer not in self._open:
            opened = connected(f"{self.base_url}/mcp", bearer)
            self._open[bearer] = self._stack.enter_context(self._portal.wrap_async_context_manager(opened))
        return self._open[bearer]
