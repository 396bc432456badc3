"""The Messages API: what a scripted model answers, streamed or not, with the MCP connector doing what it says.

Serves messages, token counts, message batches and the catalogue of models in both generations of the SDK wire
(anthropic 0.125.0 and 2.14.0: key header, version date, `?beta=true`). Point a client at it with
`ANTHROPIC_BASE_URL`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import web

from stack_emu.kernel.world import World
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.connector import Connector
from stack_emu.surfaces.messages_batches import Batches
from stack_emu.surfaces.messages_cache import PromptCache
from stack_emu.surfaces.messages_delivery import Delivery, whole_message
from stack_emu.surfaces.messages_errors import ApiError, invalid
from stack_emu.surfaces.messages_exchange import Exchange, scope_of_key
from stack_emu.surfaces.messages_faults import answer_fault
from stack_emu.surfaces.messages_models import list_models, retrieve_model
from stack_emu.surfaces.messages_recording import Event, Recording, Replays, Stop
from stack_emu.surfaces.messages_request import MessagesRequest, read_batched, read_request
from stack_emu.surfaces.messages_scripted import Principal, ResolveMcp, ScriptedModel
from stack_emu.surfaces.messages_threads import Threads, scope_of
from stack_emu.surfaces.messages_usage import CacheUse
from stack_emu.surfaces.model_exchange import Leaks
from stack_emu.surfaces.model_faults import drops_reply, take_fault
from stack_emu.surfaces.model_reply import ScriptFor
from stack_emu.surfaces.stream_faults import stream_fault

_Handler = Callable[[Exchange, str], Awaitable[web.StreamResponse]]


@dataclass
class _Held:
    """What the Messages API holds of one world; a reset and a restored snapshot begin it anew."""

    threads: Threads = field(default_factory=Threads)
    cache: PromptCache = field(default_factory=PromptCache)
    replays: Replays = field(default_factory=Replays)
    batches: Batches = field(default_factory=Batches)


class MessagesSurface:
    """The Messages API of every world.

    Args:
        script_for: the rules of a world for a request body: the scenario's `model`, and what a test added.
        resolve_mcp: the URL to dial for a server's URL, or None for one that is not reachable from here.
        principal: who stands behind an MCP bearer: the agent's id, or its id and name, or None.
        connector: dials MCP servers; one with default settings when left out.
        leaks: names the credentials a text holds; what the model reads and writes is shown to it.
    """

    def __init__(
        self,
        script_for: ScriptFor,
        resolve_mcp: ResolveMcp,
        principal: Principal,
        *,
        connector: Connector | None = None,
        leaks: Leaks | None = None,
    ) -> None:
        self._connector = connector or Connector()
        self._model = ScriptedModel(script_for, resolve_mcp, principal, self._connector)
        self._leaks = leaks
        self._held: WeakKeyDictionary[World, _Held] = WeakKeyDictionary()
        self._watched: WeakSet[World] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, world: World, request: web.BaseRequest, path: str, origin: str = "") -> web.StreamResponse:
        """Answer a request.

        Args:
            world: where it arrived.
            request: as it arrived.
            path: what follows `/anthropic`, such as `/v1/messages`.
            origin: scheme and authority the client used, where the request does not say so itself.
        """
        exchange = Exchange(world, request, path.partition("?")[0], self._leaks, origin)
        try:
            return await self._answer(exchange)
        except ApiError as error:
            return exchange.refuse(error)
        except RecursionError:
            return exchange.refuse(invalid("The body is nested too deeply to be read."))

    async def aclose(self) -> None:
        """Stop replies that are under way and close the kept connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connector.aclose()

    def _of(self, world: World) -> _Held:
        held = self._held.get(world)
        if held is None:
            held = self._held[world] = _Held()
        if world not in self._watched:
            self._watched.add(world)
            world.on_restore.append(partial(self._forget, world))
        return held

    def _forget(self, world: World) -> None:
        self._held.pop(world, None)

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        method, path = exchange.request.method, exchange.path
        route, handlers, name = self._route(path)
        if not handlers:
            served = ", ".join(dict.fromkeys(route for route, _ in self._routes()))
            raise ApiError(404, f"{method} {path} is not served here; of the Messages API there are {served}.")
        if method not in handlers:
            raise ApiError(405, f"{path} answers {' and '.join(handlers)}, not {method}.")
        exchange.entry.route = route
        exchange.api_key()
        exchange.check_version()
        return await handlers[method](exchange, name)

    def _routes(self) -> list[tuple[str, dict[str, _Handler]]]:
        return [
            ("/v1/messages", {"POST": self._create}),
            ("/v1/messages/count_tokens", {"POST": self._count}),
            ("/v1/models", {"GET": self._list_models}),
            ("/v1/models/{model_id}", {"GET": self._retrieve_model}),
            ("/v1/messages/batches", {"POST": self._create_batch, "GET": self._list_batches}),
            ("/v1/messages/batches/{batch_id}", {"GET": self._retrieve_batch, "DELETE": self._delete_batch}),
            ("/v1/messages/batches/{batch_id}/cancel", {"POST": self._cancel_batch}),
            ("/v1/messages/batches/{batch_id}/results", {"GET": self._batch_results}),
        ]

    def _route(self, path: str) -> tuple[str, dict[str, _Handler], str]:
        """The route a path takes, its handlers by method, and the name in the path."""
        for route, handlers in self._routes():
            before, _, after = route.partition("{")
            after = after.partition("}")[2]
            name = path[len(before) : len(path) - len(after)]
            if path == route:
                return route, handlers, ""
            if "{" in route and path.startswith(before) and path.endswith(after) and name and "/" not in name:
                return route, handlers, unquote(name)
        return "", {}, ""

    # --- small ones -------------------------------------------------------------------------------------------------

    async def _list_models(self, exchange: Exchange, _: str) -> web.StreamResponse:
        return await self._plain(exchange, "models.list", lambda: list_models(exchange.request.query))

    async def _retrieve_model(self, exchange: Exchange, name: str) -> web.StreamResponse:
        return await self._plain(exchange, "models.get", lambda: retrieve_model(name))

    async def _count(self, exchange: Exchange, _: str) -> web.StreamResponse:
        body = await exchange.read_json()
        betas = exchange.betas

        def count() -> dict[str, Any]:
            return {"input_tokens": reply.input_tokens(read_request(body, betas, counting=True).body)}

        return await self._plain(exchange, "messages.count_tokens", count)

    @staticmethod
    async def _plain(exchange: Exchange, operation: str, make: Callable[[], Any]) -> web.StreamResponse:
        """Answer with what `make` returns: a JSON object, or lines of JSON as text."""
        exchange.entry.operation = operation
        inject = take_fault(exchange, operation)
        answer = await answer_fault(exchange, inject) if inject else None
        if answer is not None:
            return answer
        made = make()
        exchange.finish(200, **(made if isinstance(made, Mapping) else {"lines": made.count("\n")}))
        if drops_reply(inject):
            return exchange.drop()
        if isinstance(made, str):
            headers = {**exchange.headers(), "Content-Type": "application/x-jsonl; charset=utf-8"}
            return web.Response(body=made.encode("utf-8", "surrogatepass"), headers=headers)
        return web.json_response(made, headers=exchange.headers())

    # --- messages ---------------------------------------------------------------------------------------------------

    async def _create(self, exchange: Exchange, _: str) -> web.StreamResponse:
        exchange.entry.operation = "messages.create"
        body = await exchange.read_json()
        model = str(body.get("model")) if isinstance(body, dict) else ""
        streams = isinstance(body, dict) and body.get("stream") is True
        inject = take_fault(exchange, "messages.create", body, streams=streams, model=model)
        answer = await answer_fault(exchange, inject) if inject else None
        if answer is not None:
            return answer
        held = self._of(exchange.world)
        scope = scope_of(exchange.api_key(), body)
        request = read_request(held.threads.expand(body, exchange.betas, scope), exchange.betas)
        recording = self._replayed(exchange, held, request)
        if recording is None:
            recording = self._begin(exchange, held, request, scope if body.get("thread") else None)
        delivery = Delivery(
            exchange,
            request,
            recording,
            lambda: _cache_use(held, exchange, request),
            drop=drops_reply(inject),
            fault=stream_fault(inject, streams=streams),
        )
        return await (delivery.stream() if request.stream else delivery.whole())

    def _replayed(self, exchange: Exchange, held: _Held, request: MessagesRequest) -> Recording | None:
        """The reply an earlier request with the same idempotency key got, or is getting."""
        key = exchange.idempotency_key()
        if key is None:
            return None
        found: Recording | None = held.replays.find(
            f"create {scope_of_key(exchange)}", key, exchange.digest, exchange.world.now_ms()
        )
        if found is not None:
            found.replayed = True
            exchange.note_request(model=request.model, stream=request.stream)
            exchange.finish(200, id=exchange.message_id, replayed=True)
        return found

    def _begin(self, exchange: Exchange, held: _Held, request: MessagesRequest, thread_scope: str | None) -> Recording:
        """Start making a reply, in a task of its own, so that a client that hangs up leaves no MCP call half done."""
        recording = Recording()
        blocks: list[dict[str, Any]] = []

        def add(event: Event) -> None:
            if isinstance(event, dict):
                blocks.append(event)
            elif isinstance(event, Stop) and thread_scope is not None and event.stop_reason != "refusal":
                held.threads.hold(request.body, thread_scope, exchange.message_id, blocks)
            recording.add(event)

        task = asyncio.get_running_loop().create_task(self._model.answer(exchange, request, add))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        key = exchange.idempotency_key()
        if key is not None:
            scope = f"create {scope_of_key(exchange)}"
            held.replays.keep(scope, key, exchange.digest, exchange.world.now_ms(), recording)
        return recording

    # --- batches ----------------------------------------------------------------------------------------------------

    async def _create_batch(self, exchange: Exchange, _: str) -> web.StreamResponse:
        body = await exchange.read_json()
        held = self._of(exchange.world)
        return await self._plain(exchange, "messages.batches.create", lambda: self._new_batch(exchange, held, body))

    def _new_batch(self, exchange: Exchange, held: _Held, body: Any) -> dict[str, Any]:
        key, now, scope = exchange.idempotency_key(), exchange.world.now_ms(), f"batch {scope_of_key(exchange)}"
        batch_id = held.replays.find(scope, key, exchange.digest, now) if key else None
        if batch_id is None:
            batch_id = held.batches.create(exchange, body)
            if key:
                held.replays.keep(scope, key, exchange.digest, now, batch_id)
        return held.batches.shown(exchange, batch_id)

    async def _list_batches(self, exchange: Exchange, _: str) -> web.StreamResponse:
        held = await self._settled(exchange)
        return await self._plain(exchange, "messages.batches.list", lambda: held.batches.listed(exchange))

    async def _retrieve_batch(self, exchange: Exchange, name: str) -> web.StreamResponse:
        held = await self._settled(exchange)
        return await self._plain(exchange, "messages.batches.get", lambda: held.batches.shown(exchange, name))

    async def _cancel_batch(self, exchange: Exchange, name: str) -> web.StreamResponse:
        held = await self._settled(exchange)
        return await self._plain(exchange, "messages.batches.cancel", lambda: held.batches.cancel(exchange, name))

    async def _delete_batch(self, exchange: Exchange, name: str) -> web.StreamResponse:
        held = await self._settled(exchange)
        return await self._plain(exchange, "messages.batches.delete", lambda: held.batches.delete(exchange, name))

    async def _batch_results(self, exchange: Exchange, name: str) -> web.StreamResponse:
        held = await self._settled(exchange)
        return await self._plain(exchange, "messages.batches.results", lambda: held.batches.results(exchange, name))

    async def _settled(self, exchange: Exchange) -> _Held:
        """What is held of a world, once the batches that are due by its clock have run."""
        held = self._of(exchange.world)
        task = asyncio.get_running_loop().create_task(held.batches.settle(exchange.world, partial(self._part, held)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)
        return held

    async def _part(self, held: _Held, exchange: Exchange, params: Any) -> dict[str, Any]:
        """Answer one request of a batch with a message.

        Raises:
            ApiError: when there is none.
        """
        request = read_batched(params, exchange.betas)
        events: list[Event] = []
        await self._model.answer(exchange, request, events.append)
        end = events.pop()
        if isinstance(end, ApiError):
            raise end
        assert isinstance(end, Stop)
        blocks = [event for event in events if isinstance(event, dict)]
        return whole_message(exchange, request, blocks, end, _cache_use(held, exchange, request), tier="batch")


def _cache_use(held: _Held, exchange: Exchange, request: MessagesRequest) -> CacheUse:
    scope = f"{request.model} {exchange.lane() or ''} {scope_of_key(exchange)}"
    return held.cache.use(scope, request.body, exchange.world.now_ms())
