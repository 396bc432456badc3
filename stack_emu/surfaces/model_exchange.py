"""What every exchange with the model has, in whichever provider's shape: a journal entry, and an eye on credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World
from stack_emu.surfaces.lane import lane_of

Leaks = Callable[[World, str], Sequence[str]]
"""Names the credentials a text holds."""


class ModelExchange:
    """One request and its journal entry.

    Args:
        world: where it arrived.
        request: as it arrived.
        path: what follows the provider's prefix.
        surface: what the journal calls the provider's API.
        leaks: looks for credentials; None where nobody looks.
    """

    def __init__(self, world: World, request: web.BaseRequest, path: str, surface: str, leaks: Leaks | None) -> None:
        self.world = world
        self.request = request
        self.path = path
        self.entry: Entry = world.journal.add(world.now_ms(), surface, request.method, path, lane="model")
        self.leaks = leaks

    def lane(self) -> str | None:
        """The lane the client named in a header or in the URL; MCP calls made for it carry the name on."""
        return lane_of(self.request) or None

    def note_request(self, **data: Any) -> None:
        """Write down what the request is about."""
        self.entry.request = self.world.redactor.value({**self.entry.request, **data})

    def note_error(
        self,
        status: int,
        code: str,
        message: str,
        *,
        problem: str | None,
        unread: Sequence[str] = (),
        near: str | None = None,
    ) -> None:
        """Write a refusal down.

        Args:
            status: its HTTP status.
            code: what the provider calls it.
            message: its sentence.
            problem: the violation a strict run fails for, if it is one.
            unread: fields of the request that nobody looked at.
            near: the nearest scripts side by side, when none answers.
        """
        self.entry.status, self.entry.code = status, code
        self.world.journal.explain(self.entry, message, problem, near=near)
        self.entry.unread = (*self.entry.unread, *unread)

    def finish(self, status: int, *, sent: Any = None, received: Any = None, **data: Any) -> None:
        """Write down the answer, and whether a credential was in what the model read or wrote."""
        self.entry.status = status
        self.entry.response = self.world.redactor.value(data)
        if self.leaks is not None:
            note_leaks(self.entry, self.leaks(self.world, json.dumps([received, sent], ensure_ascii=False)))

    def note_break(self, how: str) -> None:
        """Write down that the reply was broken off on purpose."""
        self.entry.response = {**self.entry.response, "broken_off": how}

    def drop(self) -> web.Response:
        """Break the connection off. The response returned is never sent."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response(status=500)


def note_leaks(entry: Entry, found: Sequence[str]) -> None:
    """Write down which credentials were in a conversation with the model, if any."""
    if found:
        entry.problem = "leak"
        entry.hint = f"The conversation with the model holds {', '.join(found)}; no credential may reach it."
