"""Message batches: requests that are answered together, later, on the world's clock.

A request of a batch is done one second after the batch was created, or later by the `delay` of a fault rule that hits
`messages.batches.process`, and the batch ends with its last request; what is not done after 24 hours expires. The
requests run, in their order, when somebody looks at the batch once they are due: a virtual clock has to be advanced, and
a batch nobody looks at calls no tool.

Source of the shapes: anthropic 2.14.0 `types/messages/message_batch.py` and its neighbours; 100,000 requests, 24 hours,
29 days and that requests are checked only when they run from Anthropic's batch pages. When a batch is done, and what a
cancelled or deleted one may not be asked for, is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import World
from stack_emu.surfaces.messages_errors import ApiError, check_known, invalid
from stack_emu.surfaces.messages_exchange import Exchange, scope_of_key
from stack_emu.surfaces.messages_faults import error_of
from stack_emu.surfaces.messages_pages import page
from stack_emu.surfaces.messages_turns import new_id
from stack_emu.surfaces.model_faults import take_fault

PROCESS = "messages.batches.process"
PROCESSING_MS = 1_000
_EXPIRES_MS = 24 * 3_600_000
_ARCHIVED_MS = 29 * 24 * 3_600_000
_MOST = 100_000
_LIMIT = 1_000
_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Run = Callable[[Exchange, Any], Awaitable[dict[str, Any]]]


@dataclass
class _Item:
    custom_id: str
    params: Any
    done_ms: int
    failure: ApiError | None
    result: dict[str, Any] | None = None


@dataclass
class _Batch:
    id: str
    scope: str
    exchange: Exchange
    created_ms: int
    items: list[_Item]
    cancelled_ms: int | None = None
    ended_ms: int | None = None
    settling: bool = False

    @property
    def expires_ms(self) -> int:
        return self.created_ms + _EXPIRES_MS

    @property
    def due_ms(self) -> int:
        """When the last request is done, or the batch is over before."""
        if self.cancelled_ms is not None:
            return self.cancelled_ms
        return min(self.expires_ms, max(item.done_ms for item in self.items))


@dataclass
class Batches:
    """The batches of one world, the oldest forgotten first."""

    _held: dict[str, _Batch] = field(default_factory=dict)
    _equal: dict[str, int] = field(default_factory=dict)

    def create(self, exchange: Exchange, body: Any) -> str:
        """Take a batch and return its id.

        Raises:
            ApiError: 400 when it is no batch. What is wrong with a single request shows in its result.
        """
        requests = _read(body)
        scope, now = scope_of_key(exchange), exchange.world.now_ms()
        ordinal = self._equal.get(scope + exchange.digest, 0)
        self._equal[scope + exchange.digest] = ordinal + 1
        batch_id = new_id(exchange.world.seed, "msgbatch_", exchange.digest, ordinal)
        items = [_item(exchange, one, now) for one in requests]
        self._held[batch_id] = _Batch(batch_id, scope, exchange, now, items)
        while len(self._held) > _LIMIT:
            del self._held[next(iter(self._held))]
        exchange.note_request(requests=len(items))
        return batch_id

    async def settle(self, world: World, run: Run) -> None:
        """Run what is due.

        Args:
            world: whose batches these are.
            run: answers one request of a batch with a message.
        """
        for batch in list(self._held.values()):
            if batch.ended_ms is not None or batch.settling or world.now_ms() < batch.due_ms:
                continue
            batch.settling = True
            try:
                await _settle(batch, run)
                batch.ended_ms = batch.due_ms
            finally:
                batch.settling = False

    def listed(self, exchange: Exchange) -> dict[str, Any]:
        """A page of the batches of a key, newest first.

        Raises:
            ApiError: 400 for a page that cannot be.
        """
        scope = scope_of_key(exchange)
        names = [batch.id for batch in self._held.values() if batch.scope == scope][::-1]
        return page(exchange.request.query, names, lambda name: self.shown(exchange, name), "batch")

    def shown(self, exchange: Exchange, batch_id: str) -> dict[str, Any]:
        """A batch as the API shows it.

        Raises:
            ApiError: 404 when the key has none of that id.
        """
        batch = self._get(exchange, batch_id)
        ended = batch.ended_ms is not None
        archived = exchange.world.now_ms() >= batch.created_ms + _ARCHIVED_MS
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for item in batch.items:
            counts[str(item.result["type"]) if ended and item.result else "processing"] += 1
        going = "in_progress" if batch.cancelled_ms is None else "canceling"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else going,
            "request_counts": counts,
            "created_at": iso(batch.created_ms),
            "expires_at": iso(batch.expires_ms),
            "ended_at": _iso(batch.ended_ms),
            "cancel_initiated_at": _iso(batch.cancelled_ms),
            "archived_at": iso(batch.created_ms + _ARCHIVED_MS) if archived else None,
            "results_url": _results_url(exchange, batch.id) if ended and not archived else None,
        }

    def cancel(self, exchange: Exchange, batch_id: str) -> dict[str, Any]:
        """Cancel a batch; it has ended when it is looked at next, and requests that are not done by then never run.

        Raises:
            ApiError: 404, and 400 for one that has ended.
        """
        batch = self._get(exchange, batch_id)
        if batch.ended_ms is not None:
            raise invalid(f"{batch_id} has ended; only a batch in progress can be cancelled.")
        if batch.cancelled_ms is None:
            batch.cancelled_ms = exchange.world.now_ms()
        return self.shown(exchange, batch_id)

    def delete(self, exchange: Exchange, batch_id: str) -> dict[str, Any]:
        """Delete a batch.

        Raises:
            ApiError: 404, and 400 for one that has not ended.
        """
        batch = self._get(exchange, batch_id)
        if batch.ended_ms is None:
            raise invalid(f"{batch_id} is still in progress; cancel it first, or wait until it has ended.")
        del self._held[batch_id]
        return {"id": batch_id, "type": "message_batch_deleted"}

    def results(self, exchange: Exchange, batch_id: str) -> str:
        """The results, one JSON object a line, in the order of the requests.

        Raises:
            ApiError: 404, also while there are no results, and 29 days after the batch was created.
        """
        batch = self._get(exchange, batch_id)
        if batch.ended_ms is None:
            raise ApiError(404, f"{batch_id} has no results yet; it is done when its processing_status is ended.")
        if exchange.world.now_ms() >= batch.created_ms + _ARCHIVED_MS:
            raise ApiError(404, f"{batch_id} is archived: its results were there for 29 days.")
        lines = ({"custom_id": item.custom_id, "result": item.result} for item in batch.items)
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def _get(self, exchange: Exchange, batch_id: str) -> _Batch:
        batch = self._held.get(batch_id)
        if batch is None or batch.scope != scope_of_key(exchange):
            raise ApiError(
                404, f"There is no batch {batch_id} of this API key; list them with GET /v1/messages/batches."
            )
        return batch


def _results_url(exchange: Exchange, batch_id: str) -> str:
    return exchange.url_of(f"/v1/messages/batches/{batch_id}/results")


async def _settle(batch: _Batch, run: Run) -> None:
    over = batch.due_ms
    for item in batch.items:
        if item.result is not None:
            continue
        if item.done_ms > over:
            item.result = {"type": "canceled" if batch.cancelled_ms is not None else "expired"}
            continue
        exchange = batch.exchange.part(f"{batch.id} {item.custom_id}")
        exchange.entry.operation = PROCESS
        exchange.entry.route = "/v1/messages/batches"
        exchange.note_request(batch=batch.id, custom_id=item.custom_id)
        try:
            if item.failure is not None:
                raise item.failure
            item.result = {"type": "succeeded", "message": await run(exchange, item.params)}
        except ApiError as error:
            exchange.note_refusal(error)
            item.result = {"type": "errored", "error": error.body(exchange.request_id)}


def _item(exchange: Exchange, request: Mapping[str, Any], now_ms: int) -> _Item:
    params = request["params"]
    model = str(params.get("model")) if isinstance(params, Mapping) else ""
    inject: Mapping[str, Any] = take_fault(exchange, PROCESS, params, streams=True, model=model) or {}
    failure = error_of(inject)
    if inject.get("drop") or inject.get("transport"):
        failure = ApiError(500, "A fault rule of the scenario broke this request off.")
    return _Item(request["custom_id"], params, now_ms + PROCESSING_MS + int(inject.get("delay") or 0), failure)


def _read(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        raise invalid("The body must be a JSON object with requests.")
    check_known(body, {"requests"}, "")
    requests = body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= _MOST:
        raise invalid(f"requests: must be a list of 1 to {_MOST} requests.")
    seen: set[str] = set()
    for index, request in enumerate(requests):
        path = f"requests.{index}"
        if not isinstance(request, dict):
            raise invalid(f"{path}: must be an object with custom_id and params.")
        check_known(request, {"custom_id", "params"}, path)
        custom_id = request.get("custom_id")
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            raise invalid(f"{path}.custom_id: must be 1 to 64 letters, digits, underscores or hyphens.")
        if custom_id in seen:
            raise invalid(f"{path}.custom_id: {custom_id} is used twice; it must be unique in its batch.")
        if not isinstance(request.get("params"), dict):
            raise invalid(f"{path}.params: must be an object as POST /v1/messages takes it.")
        seen.add(custom_id)
    return requests


def _iso(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)
