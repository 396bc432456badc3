"""What every exchange with the model has, in whichever provider's shape: a journal entry, and an eye on credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web

from stack_emu.domain.secret_kinds import FOR_MODELS, learn_model_key, named
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.secret_masking import Cleaning
from stack_emu.kernel.world import World
from stack_emu.surfaces.lane import lane_of
from stack_emu.surfaces.secret_exits import ENTRY, HANDED, note, places_in

_Block = TypeVar("_Block", bound=Mapping[str, Any])
_ADVICE = "Let it call through the proxy, which adds credentials where no model sees them."

Leaks = Callable[[World, Mapping[str, Any], Any], Sequence[str]]
"""Names the secrets in a conversation with the model, given its parts by name and what the model said."""


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
        for key in _keys_of(request):  # before anything of the request is written down
            learn_model_key(world, key)
        self.entry: Entry = world.journal.add(world.now_ms(), surface, request.method, path, lane="model")
        self.leaks = leaks
        request[ENTRY] = self.entry
        request[HANDED] = FOR_MODELS

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

    def screened(self, block: _Block) -> _Block:
        """A block of the reply without secrets; ``finish`` says of them."""
        text = json.dumps(block, ensure_ascii=False).encode("utf-8", "surrogatepass")
        scanner = self.world.redactor.scanner
        if self.leaks is None or not scanner.suspicious(text, FOR_MODELS):
            return block
        clean: _Block = Cleaning(scanner, FOR_MODELS).value(block)
        return clean

    def finish(self, status: int, *, sent: Any = None, received: Mapping[str, Any] | None = None, **data: Any) -> None:
        """Write down the answer, and whether a secret was in what the model read or wrote.

        Args:
            status: HTTP status.
            sent: what the model said.
            received: the parts of what the model read, by name.
            data: what the journal shows of the answer.
        """
        self.entry.status = status
        self.entry.response = self.world.redactor.value(data)
        if self.leaks is not None:
            note_leaks(self.world, self.entry, self.leaks(self.world, received or {}, sent))

    def note_break(self, how: str) -> None:
        """Write down that the reply was broken off on purpose."""
        self.entry.response = {**self.entry.response, "broken_off": how}

    def drop(self) -> web.Response:
        """Break the connection off. The response returned is never sent."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response(status=500)


def _keys_of(request: web.BaseRequest) -> list[str]:
    """The texts a request gives as the key of the model's API, in either provider's header."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = [request.headers.get("x-api-key", ""), bearer if scheme.lower() == "bearer" else ""]
    return [key.strip() for key in given if key.strip()]


def note_leaks(world: World, entry: Entry, found: Sequence[str]) -> None:
    """Write down which secrets were in a conversation with the model, if any."""
    if found:
        said = f"The conversation with the model holds {', '.join(found)}; no secret may get into the model's context."
        note(world, entry, f"{said} {_ADVICE}")


def model_leaks(world: World, received: Mapping[str, Any], sent: Any) -> list[str]:
    """The secrets in a conversation, each with its form and the message and block it was in.

    Passports and tokens do not count: STACK's own tools give them to a model to call with.
    """
    return [
        f"{named(place.sighting.kind, place.sighting.name)} ({place.sighting.how}, {place.where})"
        for place in places_in(world, {**received, "reply": sent}, FOR_MODELS, deep=True)
    ]
