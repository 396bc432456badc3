"""One exchange with the Messages API: what it is called, what is written down about it, and how it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aiohttp import web

from stack_emu.kernel import strict_json
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import World
from stack_emu.surfaces.messages_errors import ApiError, invalid
from stack_emu.surfaces.messages_fields import KNOWN_BETAS
from stack_emu.surfaces.messages_turns import new_id
from stack_emu.surfaces.model_exchange import Leaks, ModelExchange

VERSIONS = frozenset({"2023-06-01", "2026-10-21"})
_LIMITS = {"requests": 4_000, "tokens": 4_800_000, "input-tokens": 4_000_000, "output-tokens": 800_000}


class Exchange(ModelExchange):
    """One request and its journal entry.

    Args:
        world: where it arrived.
        request: as it arrived.
        path: what follows `/anthropic`.
        leaks: names the credentials a text holds, or None where nobody looks.
        origin: scheme and authority the client used, and what follows them, where the request does not say so itself.
    """

    def __init__(
        self, world: World, request: web.BaseRequest, path: str, leaks: Leaks | None, origin: str = ""
    ) -> None:
        super().__init__(world, request, path, "messages", leaks)
        self.origin = origin
        self.digest = _hash(f"{request.method} {path}".encode())
        self.betas = _beta_names(request)
        self.entry.unread = tuple(f"anthropic-beta:{name}" for name in self.betas if name not in KNOWN_BETAS)
        count = request.headers.get("x-stainless-retry-count", "0")
        if count.isascii() and count.isdigit() and count.strip("0"):
            self.entry.request = {"retry": int(count[:9])}

    @property
    def request_id(self) -> str:
        """The value of the `request-id` header; equal requests have equal ones."""
        return new_id(self.world.seed, "req_", self.digest)

    @property
    def message_id(self) -> str:
        """The id of the message that answers; equal requests have equal ones."""
        return new_id(self.world.seed, "msg_", self.digest)

    def headers(self) -> dict[str, str]:
        """Headers of every answer. The rate limits always read as if this were the first request of its minute."""
        headers = {"request-id": self.request_id, "anthropic-organization-id": self._organization_id()}
        reset = iso(self.world.now_ms() + 60_000)
        for name, limit in _LIMITS.items():
            headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(limit - 1)
            headers[f"anthropic-ratelimit-{name}-reset"] = reset
        return headers

    def _organization_id(self) -> str:
        """An id in the form of a UUID that depends on the world's seed alone."""
        return str(UUID(bytes=self.world.key_bytes("anthropic.organization")[:16], version=4))

    def api_key(self) -> str:
        """The API key; any will do, none will not.

        Raises:
            ApiError: 401 when there is none.
        """
        key = self.request.headers.get("x-api-key", "").strip()
        scheme, _, bearer = self.request.headers.get("Authorization", "").partition(" ")
        if not key and scheme.lower() == "bearer":
            key = bearer.strip()
        if not key:
            raise ApiError(401, "Send an API key in x-api-key or as Authorization: Bearer; any text is accepted here.")
        return key

    def idempotency_key(self) -> str | None:
        """The idempotency key the client sent, if any."""
        return self.request.headers.get("Idempotency-Key", "").strip() or None

    def url_of(self, path: str) -> str:
        """The URL a client that reached this exchange reaches a path of the Messages API at."""
        base = self.request.rel_url.raw_path.removesuffix(self.path)
        scheme, _, rest = (self.origin or f"{self.request.scheme}://{self.request.host}").partition("://")
        return f"{scheme}://{rest.partition('/')[0]}{base}{path}"

    def check_version(self) -> None:
        """Check `anthropic-version`; an unknown one is noted, not refused, because newer clients send newer ones.

        Raises:
            ApiError: 400 when there is none.
        """
        version = self.request.headers.get("anthropic-version", "")
        if not version:
            raise invalid("anthropic-version: this header is required, for example 2023-06-01.")
        if version not in VERSIONS:
            self.entry.unread = (*self.entry.unread, f"anthropic-version:{version}")

    async def read_json(self) -> Any:
        """The body as JSON; from here on ids depend on it.

        Raises:
            ApiError: 400 when it is no JSON, 413 when it is too large.
        """
        try:
            raw = await self.request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise ApiError(413, "The request is larger than the 32 MB the Messages API accepts.") from error
        try:
            body = strict_json.loads(raw)
            self.digest = _hash(f"{self.request.method} {self.path}\n".encode() + canonical_json(_without_tokens(body)))
        except (ValueError, RecursionError):
            raise invalid("The body is not valid JSON; send a JSON object encoded as UTF-8.") from None
        return body

    def refuse(self, error: ApiError) -> web.Response:
        """Write a refusal down and render it."""
        self.note_refusal(error)
        headers = {**self.headers(), **error.headers}
        return web.json_response(error.body(self.request_id), status=error.status, headers=headers)

    def note_refusal(self, error: ApiError) -> None:
        """Write a refusal down."""
        near = "\n".join(error.details.get("side_by_side", ()))
        self.note_error(
            error.status, error.type, error.message, problem=error.problem, unread=error.unread, near=near or None
        )

    def part(self, digest: str) -> Exchange:
        """An exchange for a request that came as part of this one, with a journal entry of its own.

        Args:
            digest: what its ids depend on.
        """
        made = Exchange(self.world, self.request, self.path, self.leaks, self.origin)
        made.digest = _hash(f"{self.digest} {digest}".encode())
        return made


def scope_of_key(exchange: Exchange) -> str:
    """Whose request it is: a digest of the API key."""
    return _hash(exchange.api_key().encode("utf-8", "surrogatepass"))


def _beta_names(request: web.BaseRequest) -> tuple[str, ...]:
    values = request.headers.getall("anthropic-beta", [])
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _without_tokens(body: Any) -> Any:
    """The body without credentials, which differ between runs that mean the same."""
    servers = body.get("mcp_servers") if isinstance(body, Mapping) else None
    if not isinstance(servers, list):
        return body
    return {**body, "mcp_servers": [server.get("name") for server in servers if isinstance(server, Mapping)]}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
