"""Message threads: conversations the server holds, so that a client sends only what is new.

Source: anthropic 2.12.0 `lib/threads/_thread_state.py` (its `tool_runner` uses a thread unless told not to): the beta's
name, the fields a continued thread takes from its start, the error code a client answers by sending everything again.
The error's status is not public; 404 is ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.surfaces.messages_errors import ApiError, invalid
from stack_emu.surfaces.messages_fields import BETA_THREADS

_TAKEN_FROM_START = ("system", "tools")
_LIMIT = 1_000


@dataclass(frozen=True)
class _Held:
    messages: tuple[Any, ...]
    start: Mapping[str, Any]


class Threads:
    """The threads of one world, the oldest forgotten first.

    Ids depend on content, so two clients that say the same get the same id. As long as the replies are the same too,
    that is harmless; where they differ the thread counts as lost and the client sends everything again.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], _Held | None] = {}

    def expand(self, body: Any, betas: Collection[str], scope: str) -> Any:
        """The body with the conversation in full; one without `thread` as it is.

        Args:
            body: parsed JSON.
            betas: names in the `anthropic-beta` header.
            scope: whose thread it is (see `scope_of`).

        Raises:
            ApiError: 400 for a `thread` that cannot be read, 404 for one that is not held.
        """
        thread = body.get("thread") if isinstance(body, dict) else None
        if thread is None:
            return body
        if BETA_THREADS not in betas:
            raise invalid(f"thread: needs the header anthropic-beta: {BETA_THREADS}.")
        rest = {name: value for name, value in body.items() if name != "thread"}
        kind = thread.get("type") if isinstance(thread, dict) else None
        if kind == "create" and set(thread) == {"type"}:
            return rest
        if kind != "continue" or set(thread) != {"type", "previous_message_id"}:
            raise invalid('thread: must be {"type": "create"} or {"type": "continue", "previous_message_id": "msg_…"}.')
        return self._continued(rest, str(thread["previous_message_id"]), scope)

    def hold(self, body: Mapping[str, Any], scope: str, message_id: str, reply: Sequence[Mapping[str, Any]]) -> None:
        """Hold a conversation up to a reply.

        Args:
            body: the request, expanded.
            scope: whose thread it is.
            message_id: the reply's id.
            reply: the reply's blocks.
        """
        start = {name: body[name] for name in _TAKEN_FROM_START if name in body}
        messages = (*body["messages"], *([{"role": "assistant", "content": list(reply)}] if reply else []))
        held = _Held(messages, start)
        key = (scope, message_id)
        known = key in self._held
        same = known and self._held[key] == held
        self._held[key] = held if same or not known else None
        while len(self._held) > _LIMIT:
            del self._held[next(iter(self._held))]

    def _continued(self, body: Mapping[str, Any], message_id: str, scope: str) -> dict[str, Any]:
        for name in _TAKEN_FROM_START:
            if name in body:
                raise invalid(f"{name}: a continued thread takes it from its start; leave it out.")
        held = self._held.get((scope, message_id))
        if held is None:
            raise ApiError(
                404,
                f"thread.previous_message_id: no thread is held under {message_id}; send the whole conversation with "
                '{"type": "create"}.',
                details={"error_code": "thread_not_found"},
            )
        messages = body.get("messages")
        if not isinstance(messages, list):
            raise invalid("messages: must be a list.")
        return {**body, **held.start, "messages": [*held.messages, *messages]}


def scope_of(api_key: str, body: Any) -> str:
    """Whose thread it is: a digest of the API key and the bearers of the MCP servers."""
    servers = body.get("mcp_servers") if isinstance(body, dict) else None
    tokens = [str(server.get("authorization_token")) for server in servers or () if isinstance(server, dict)]
    return hashlib.sha256("\x1f".join((api_key, *tokens)).encode("utf-8", "surrogatepass")).hexdigest()
