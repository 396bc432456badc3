"""Sending deliveries: the timer of an attempt starts a request in a task of its own, and its end is noted afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stack_emu.domain import deliveries
from stack_emu.kernel.audit import ActEntry
from stack_emu.kernel.faults import CallView, Injection
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import Timer, World
from stack_emu.upstreams import callbacks
from stack_emu.upstreams.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from stack_emu.upstreams.webhook_post import TIMEOUT_SECONDS, post

Spawn = Callable[[Awaitable[Any]], "asyncio.Task[Any]"]


class WebhookSender:
    """Sends what worlds have to deliver. A world that is reset, restored or removed drops what is under way."""

    def __init__(self) -> None:
        self._spawn: Spawn | None = None
        self._under_way: dict[World, set[asyncio.Task[Any]]] = {}
        self._advancing: dict[World, asyncio.Lock] = {}

    def serve(self, spawn: Spawn) -> None:
        """Send from now on.

        Args:
            spawn: starts a task and keeps a reference to it; it ends them all when the server stops.
        """
        self._spawn = spawn

    def attach(self, world: World) -> None:
        """Send what this world has to deliver."""
        world.timer_runners[deliveries.TIMER] = self._start
        world.timer_runners[callbacks.TIMER] = self._start_callback
        world.on_act.append(lambda entry: self._nudge(world, entry))
        world.on_restore.append(lambda: self.drop(world))

    def drop(self, world: World) -> None:
        """Forget what is being sent for a world."""
        for task in self._under_way.pop(world, set()):
            task.cancel()
        self._advancing.pop(world, None)

    async def drain(self, world: World) -> None:
        """Wait until nothing is due or being sent for a world any more; what waits for a later attempt stays."""
        self._fire(world)
        while await self._ended(world):
            self._fire(world)

    async def _ended(self, world: World) -> bool:
        """Wait for what is being sent now; False when there was nothing."""
        tasks = self._under_way.get(world)
        if not tasks:
            return False
        await asyncio.wait(tuple(tasks))
        return True

    async def advance(self, world: World, delta_ms: int, fired: Callable[[Timer], None] | None = None) -> None:
        """As ``World.advance``, letting the attempts of every instant end before the clock moves on.

        A world that is reset or restored meanwhile stays where that put it.

        Args:
            world: the world. Two advances of one follow each other.
            delta_ms: how far, in milliseconds.
            fired: is given every timer that fires meanwhile, in order.

        Raises:
            ValueError: as ``World.advance``.
            TimerError: as ``World.advance``.
        """
        turn = self._advancing.setdefault(world, asyncio.Lock())
        async with turn:
            if fired is not None:
                world.on_fire.append(fired)
            try:
                await self.drain(world)
                for _ in world.stops(delta_ms):
                    while await self._ended(world):
                        pass
                    if self._advancing.get(world) is not turn:
                        return  # the world was reset or restored meanwhile, and its clock with it
            finally:
                if fired is not None:
                    world.on_fire.remove(fired)

    def _nudge(self, world: World, entry: ActEntry) -> None:
        """An act is committed: send what it left, once the code that ran it is done."""
        if self._spawn is None or not (deliveries.pending(world) or _callback_due(world)):
            return
        with contextlib.suppress(RuntimeError):  # outside the server's loop: the next request sends it
            asyncio.get_running_loop().call_soon(self._fire, world)

    @staticmethod
    def _fire(world: World) -> None:
        with contextlib.suppress(Exception):  # a timer that fails stays armed, and the next request reports it
            world.fire_due()

    def _start(self, world: World, timer: Timer) -> None:
        delivery_id, now_ms = timer.payload["delivery_id"], world.now_ms()
        posting = deliveries.prepare(world, delivery_id, now_ms)
        if posting is None:
            return
        if self._spawn is None:
            deliveries.settle(world, delivery_id, now_ms, None, "no server is running that could send it")
            return
        self._send(world, _attempt(world, delivery_id, now_ms, posting), self._spawn)

    def _start_callback(self, world: World, timer: Timer) -> None:
        if self._spawn is not None:
            self._send(world, _call_back(world, timer), self._spawn)

    def _send(self, world: World, work: Awaitable[Any], spawn: Spawn) -> None:
        task = spawn(work)
        self._under_way.setdefault(world, set()).add(task)
        task.add_done_callback(lambda done: self._forget(world, done))

    def _forget(self, world: World, task: asyncio.Task[Any]) -> None:
        tasks = self._under_way.get(world, set())
        tasks.discard(task)
        if not tasks:
            self._under_way.pop(world, None)


def _callback_due(world: World) -> bool:
    timer = world.next_due()
    return timer is not None and timer.kind == callbacks.TIMER and timer.at_ms <= world.now_ms()


async def _call_back(world: World, timer: Timer) -> None:
    """Send the callback of a route. It is tried once; how it ended is in the journal."""
    from stack_emu.surfaces.secret_exits import FROM_REPLY, clean_body, note, sentence

    sent = timer.payload
    entry = world.journal.add(
        world.now_ms(),
        "callback",
        sent["method"],
        sent["url"].partition("?")[0],
        lane=timer.lane,
        operation=callbacks.TIMER,
        request={"upstream": sent["upstream"], "headers": dict(sent["headers"]), "body": callbacks.content_of(sent)},
    )
    headers = {name: world.redactor.text(value) for name, value in sent["headers"].items()}
    body, places = clean_body(world, sent["body"].encode(), "application/json")
    if places or headers != sent["headers"]:
        note(world, entry, sentence(places, f"the callback to {entry.path}", FROM_REPLY))
    try:
        entry.status = await post(sent["url"], headers, body, method=sent["method"])
    except UpstreamError as error:
        entry.status, entry.hint = 0, entry.hint or str(error)


def _screened(
    world: World, entry: Entry, delivery_id: str, now_ms: int, posting: deliveries.Posting
) -> deliveries.Posting:
    """What is sent, without secrets; one that was in it is a leak of the webhook."""
    from stack_emu.surfaces.secret_exits import FROM_REPLY, clean_body, note, sentence

    if not world.redactor.scanner.suspicious(posting.body):
        return posting
    body, places = clean_body(world, posting.body, "application/json")
    if not places:
        return posting
    note(world, entry, sentence(places, f"the webhook to {entry.path}", FROM_REPLY))
    return deliveries.with_body(world, delivery_id, posting, body, now_ms)


async def _attempt(world: World, delivery_id: str, now_ms: int, posting: deliveries.Posting) -> None:
    path = posting.url.partition("?")[0]
    entry = world.journal.add(now_ms, "webhook", "POST", path, operation=deliveries.TIMER)
    status, problem = None, None
    posting = _screened(world, entry, delivery_id, now_ms, posting)
    inject = _take_fault(world, delivery_id, posting)
    entry.injected = inject.rule if inject is not None else None
    try:
        status = await _sent(posting, inject or {})
    except UpstreamError as error:
        problem = str(error)
    else:
        if not 200 <= status < 300:
            problem = (
                f"the receiver answered {status}; only 200 to 299 accepts a delivery, and redirects are not followed"
            )
    entry.status, entry.hint = status or 0, entry.hint or problem
    deliveries.settle(world, delivery_id, now_ms, status, problem)


def _take_fault(world: World, delivery_id: str, posting: deliveries.Posting) -> Injection | None:
    if not len(world.faults):
        return None
    url = urlsplit(posting.url)
    content: Any = posting.body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        content = json.loads(posting.body)
    path = url.path or "/"
    view = CallView("POST", path, parse_qsl(url.query), posting.headers, content)
    elapsed = world.now_ms() - world.clock.start_ms
    call = {"operation": deliveries.TIMER, "method": "POST", "path": path}
    return world.faults.take("webhooks", elapsed, request=view, identity=delivery_id, **call)


async def _sent(posting: deliveries.Posting, inject: Mapping[str, Any]) -> int:
    """Send an attempt and return the receiver's status, or do what a fault rule has the receiver do.

    Raises:
        UpstreamError: when there is no answer.
    """
    if inject.get("delay"):
        await asyncio.sleep(min(inject["delay"] / 1000, TIMEOUT_SECONDS))
        if inject["delay"] >= TIMEOUT_SECONDS * 1000:
            raise UpstreamTimeout(f"the receiver did not answer within {TIMEOUT_SECONDS:g} seconds")
    if inject.get("drop") == "request":
        raise UpstreamUnreachable("the receiver gave no answer: a fault rule closed the connection before it was sent")
    if inject.get("status") is not None:
        return int(inject["status"])
    status = await post(posting.url, posting.headers, posting.body)
    if inject.get("drop") == "reply" or inject.get("transport"):
        raise UpstreamUnreachable("the receiver's answer was lost: a fault rule broke the connection off")
    return status
