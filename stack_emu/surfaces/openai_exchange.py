"""One exchange with the OpenAI API: what it is called, what is written down about it, and how it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from stack_emu.kernel import strict_json
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.world import World
from stack_emu.surfaces.messages_turns import new_id
from stack_emu.surfaces.model_exchange import Leaks, ModelExchange
from stack_emu.surfaces.openai_errors import OpenAiError, invalid

_LIMITS = {"requests": 10_000, "tokens": 2_000_000}
_TOO_LARGE = "The request is larger than the 32 MB this API accepts."


class OpenAiExchange(ModelExchange):
    """One request and its journal entry.

    Args:
        world: where it arrived.
        request: as it arrived.
        path: what follows `/openai`.
        leaks: names the credentials a text holds, or None where nobody looks.
    """

    def __init__(self, world: World, request: web.BaseRequest, path: str, leaks: Leaks | None) -> None:
        super().__init__(world, request, path, "openai", leaks)
        self.digest = _hash(f"{request.method} openai {path}".encode())

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

    def refuse(self, error: OpenAiError) -> web.Response:
        """Write a refusal down and render it."""
        self.note_refusal(error)
        return web.json_response(error.body(), status=error.status, headers={**self.headers(), **error.headers})

    def note_refusal(self, error: OpenAiError) -> None:
        """Write a refusal down."""
        code = error.code or error.type
        self.note_error(error.status, code, error.message, problem=error.problem, unread=error.unread)


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
