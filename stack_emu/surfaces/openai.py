"""The OpenAI API: the scripted model of the Messages API in OpenAI's shapes.

Serves chat completions, responses, models, and what the Agents SDK sends of its traces. Point a client at it with
`OPENAI_BASE_URL`, which ends in `/openai/v1`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from aiohttp import web

from stack_emu.kernel.world import World
from stack_emu.model_script.matching import Unscripted
from stack_emu.surfaces.model_exchange import Leaks
from stack_emu.surfaces.model_faults import drops_reply, take_fault
from stack_emu.surfaces.openai_chat import answer_chat
from stack_emu.surfaces.openai_delivery import Failing
from stack_emu.surfaces.openai_errors import OpenAiError, unscripted
from stack_emu.surfaces.openai_exchange import OpenAiExchange
from stack_emu.surfaces.openai_faults import answer_fault
from stack_emu.surfaces.openai_models import list_models, retrieve_model
from stack_emu.surfaces.openai_responses import ResponsesCall, send_response
from stack_emu.surfaces.openai_responses_request import read_responses_request
from stack_emu.surfaces.openai_scripts import Scripts
from stack_emu.surfaces.openai_store import ResponseStore, list_items
from stack_emu.surfaces.stream_faults import stream_fault

Answer = Callable[[OpenAiExchange, str], Awaitable[web.StreamResponse]]

ROUTES: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/chat/completions"): "chat.completions.create",
    ("POST", "/v1/responses"): "responses.create",
    ("GET", "/v1/responses/{response_id}"): "responses.retrieve",
    ("DELETE", "/v1/responses/{response_id}"): "responses.delete",
    ("GET", "/v1/responses/{response_id}/input_items"): "responses.input_items.list",
    ("GET", "/v1/models"): "models.list",
    ("GET", "/v1/models/{model}"): "models.get",
    ("POST", "/v1/traces/ingest"): "traces.ingest",
}
"""What is served: the operation of a method and a path."""


class OpenAiSurface:
    """The OpenAI API of every world.

    Args:
        scripts: the scripted model.
        leaks: names the credentials a text holds; what the model reads and writes is shown to it.
    """

    def __init__(self, scripts: Scripts, leaks: Leaks | None = None) -> None:
        self._scripts = scripts
        self._leaks = leaks
        self._stores: WeakKeyDictionary[World, ResponseStore] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, world: World, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer a request.

        Args:
            world: where it arrived.
            request: as it arrived.
            path: what follows `/openai`, such as `/v1/responses`.
        """
        exchange = OpenAiExchange(world, request, path.partition("?")[0], self._leaks)
        try:
            return await self._answer(exchange)
        except OpenAiError as error:
            return exchange.refuse(error)
        except Unscripted as error:
            return exchange.refuse(unscripted(str(error)))

    async def aclose(self) -> None:
        """Stop replies that are under way and close the kept connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._scripts.connector.aclose()

    async def _answer(self, exchange: OpenAiExchange) -> web.StreamResponse:
        operation, template, name = _find(exchange.request.method, exchange.path)
        exchange.entry.route, exchange.entry.operation = template, operation
        exchange.api_key()
        if operation == "chat.completions.create":
            return await self._create(exchange, operation, self._chat)
        if operation == "responses.create":
            return await self._create(exchange, operation, self._respond)
        if operation == "traces.ingest":
            return await self._create(exchange, operation, self._ingest)
        return await self._plain(exchange, operation, name)

    async def _create(
        self,
        exchange: OpenAiExchange,
        operation: str,
        answer: Callable[[OpenAiExchange, Any, Failing], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        body = await exchange.read_json()
        model = str(body.get("model")) if isinstance(body, dict) else ""
        streams = isinstance(body, dict) and body.get("stream") is True
        inject = take_fault(exchange, operation, body, streams=streams, model=model)
        refused = await answer_fault(exchange, inject) if inject else None
        if refused is not None:
            return refused
        return await answer(exchange, body, Failing(drops_reply(inject), stream_fault(inject, streams=streams)))

    async def _chat(self, exchange: OpenAiExchange, body: Any, failing: Failing) -> web.StreamResponse:
        return await answer_chat(exchange, body, self._scripts, failing)

    async def _respond(self, exchange: OpenAiExchange, body: Any, failing: Failing) -> web.StreamResponse:
        request = read_responses_request(body)
        call = ResponsesCall(exchange, request, self._scripts, self._store(exchange.world))
        events: asyncio.Queue[dict[str, Any] | OpenAiError] = asyncio.Queue()
        task = asyncio.get_running_loop().create_task(call.reply(events.put_nowait))
        # A task of its own, so that a client that hangs up leaves no MCP call half done.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await send_response(exchange, request, events, failing)

    async def _ingest(self, exchange: OpenAiExchange, body: Any, failing: Failing) -> web.StreamResponse:
        """Traces are taken and forgotten, but first looked through for credentials."""
        traces = body.get("data") if isinstance(body, dict) else None
        exchange.finish(204, received={"traces": body}, traces=len(traces) if isinstance(traces, list) else 0)
        return exchange.drop() if failing.drop else web.Response(status=204, headers=exchange.headers())

    async def _plain(self, exchange: OpenAiExchange, operation: str, name: str) -> web.StreamResponse:
        inject = take_fault(exchange, operation)
        refused = await answer_fault(exchange, inject) if inject else None
        if refused is not None:
            return refused
        made = self._look_up(exchange, operation, name)
        exchange.finish(200, id=made.get("id"))
        return exchange.drop() if drops_reply(inject) else web.json_response(made, headers=exchange.headers())

    def _look_up(self, exchange: OpenAiExchange, operation: str, name: str) -> Mapping[str, Any]:
        if operation == "models.list":
            return list_models()
        if operation == "models.get":
            return retrieve_model(name)
        key, store = exchange.api_key(), self._store(exchange.world)
        if operation == "responses.delete":
            return store.delete(key, name)
        if operation == "responses.input_items.list":
            return list_items(store.find(key, name), exchange.request.query)
        if exchange.request.query.get("stream") == "true":
            raise OpenAiError(400, "stream: a response that was made is not streamed again here.", param="stream")
        return store.find(key, name).response

    def _store(self, world: World) -> ResponseStore:
        return self._stores.setdefault(world, ResponseStore())


def _find(method: str, path: str) -> tuple[str, str, str]:
    """The operation, route and name in the path of a request.

    Raises:
        OpenAiError: 404 or 405, saying what is served.
    """
    wanted = path.strip("/").split("/")
    others = []
    for (verb, template), operation in ROUTES.items():
        parts = template.strip("/").split("/")
        if len(parts) != len(wanted) or any(
            part != given and not (part.startswith("{") and given) for part, given in zip(parts, wanted, strict=True)
        ):
            continue
        if verb == method:
            names = [unquote(given) for part, given in zip(parts, wanted, strict=True) if part.startswith("{")]
            return operation, template, names[0] if names else ""
        others.append(verb)
    if others:
        raise OpenAiError(405, f"{path} answers {' and '.join(others)}, not {method}.", code="method_not_supported")
    served = ", ".join(dict.fromkeys(template for _, template in ROUTES))
    raise OpenAiError(
        404, f"{method} {path} is not served here; of the OpenAI API there are {served}.", code="unknown_url"
    )
