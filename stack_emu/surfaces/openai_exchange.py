"""One exchange with the OpenAI API: what it is called, what is written down about it, and how it is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from stack_emu.kernel import strict_json
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.world import World
from stack_emu.surfaces.lane import lane_of
from stack_emu.surfaces.messages_exchange import Leaks
from stack_emu.surfaces.messages_turns import new_id
from stack_emu.surfaces.openai_errors import OpenAiError, invalid

_LIMITS = {"requests": 10_000, "tokens": 2_000_000}
_TOO_LARGE = "The request is larger than the 32 MB this API accepts."


class OpenAiExchange:
    """One request and its journal entry.

    Args:
        world: where it arrived.
        request: as it arrived.
        path: what follows `/openai`.
        leaks: names the credentials a text holds, or None where nobody looks.
    """

    def __init__(self, world: World, request: web.BaseRequest, path: str, leaks: Leaks | None) -> None:
        self.world = world
        self.request = request
        self.path = path
        self.digest = _hash(f"{request.method} openai {path}".encode())
        self.entry = world.journal.add(world.now_ms(), "openai", request.method, path, lane="model")
        self._leaks = leaks

    @property
    def request_id(self) -> str:
        """The value of the `x-request-id` header; equal requests have equal ones."""
        return self.new_id("req_")

    def new_id(self, prefix: str, index: int = 0) -> str:
        """An id that depends on the world's seed and the request's content only."""
        return new_id(self.world.seed, prefix, self.digest, index)

    def headers(self) -> dict[str, str]:
        """Headers of every answer."""
        headers = {"x-request-id": self.request_id, "openai-version": "2020-10-01"}
        for name, limit in _LIMITS.items():
            headers[f"x-ratelimit-limit-{name}"] = str(limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(limit - 1)
            headers[f"x-ratelimit-reset-{name}"] = "6ms"
        return headers

    def lane(self) -> str | None:
        """The lane the client named in a header or in the URL; MCP calls made for it carry the name on."""
        return lane_of(self.request) or None

    def api_key(self) -> str:
        """The API key; any will do, none will not.

        Raises:
            OpenAiError: 401 when there is none.
        """
        scheme, _, bearer = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer.strip():
            raise OpenAiError(
                401, "Send an API key as Authorization: Bearer; any text is accepted here.", code="invalid_api_key"
            )
        return bearer.strip()

    async def read_json(self) -> Any:
        """The body as JSON; from here on ids depend on it.

        Raises:
            OpenAiError: 400 when it is no JSON, 413 when it is too large.
        """
        try:
            raw = await self.request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise OpenAiError(413, _TOO_LARGE) from error
        try:
            body = strict_json.loads(raw)
            content = canonical_json(_without_tokens(body))
        except (ValueError, RecursionError):
            raise invalid(None, "The body is not valid JSON; send a JSON object encoded as UTF-8.", None) from None
        self.digest = _hash(f"{self.request.method} openai {self.path}\n".encode() + content)
        return body

    def depend_on(self, *further: str) -> None:
        """Let ids depend on something beside the request's content, such as who asked or how often."""
        self.digest = _hash("\x1f".join((self.digest, *further)).encode("utf-8", "surrogatepass"))

    def note_request(self, **data: Any) -> None:
        """Write down what the request is about."""
        self.entry.request = self.world.redactor.value({**self.entry.request, **data})

    def finish(self, status: int, *, sent: Any = None, received: Any = None, **data: Any) -> None:
        """Write down the answer, and whether a credential was in what the model read or wrote."""
        self.entry.status = status
        self.entry.response = self.world.redactor.value(data)
        found = self._leaks(self.world, json.dumps([received, sent], ensure_ascii=False)) if self._leaks else ()
        if found:
            self.entry.problem = "leak"
            self.entry.hint = f"The conversation with the model holds {', '.join(found)}; no credential may reach it."

    def refuse(self, error: OpenAiError) -> web.Response:
        """Write a refusal down and render it."""
        self.note_refusal(error)
        return web.json_response(error.body(), status=error.status, headers={**self.headers(), **error.headers})

    def note_break(self, how: str) -> None:
        """Write down that the reply was broken off on purpose."""
        self.entry.response = {**self.entry.response, "broken_off": how}

    def note_refusal(self, error: OpenAiError) -> None:
        """Write a refusal down."""
        self.entry.status = error.status
        self.entry.code = error.code or error.type
        self.entry.problem = error.problem
        self.entry.hint = self.world.redactor.text(error.message)
        self.entry.unread = (*self.entry.unread, *error.unread)

    def drop(self) -> web.Response:
        """Break the connection off. The response returned is never sent."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response(status=500)


def _without_tokens(body: Any) -> Any:
    """The body without credentials, which differ between runs that mean the same."""
    tools = body.get("tools") if isinstance(body, Mapping) else None
    if not isinstance(tools, list):
        return body
    return {**body, "tools": [_without_token(tool) for tool in tools]}


def _without_token(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or tool.get("type") != "mcp":
        return tool
    return {name: value for name, value in tool.items() if name not in ("authorization", "headers", "server_url")}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
