"""The world's clock under ``/_emu/clock``: where it stands, and moving it forward."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from stack_emu.hosting import HostedWorld
from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import Timer, TimerError, World
from stack_emu.surfaces.control_fields import ControlError
from stack_emu.webhook_sender import WebhookSender

_log = logging.getLogger("stack_emu.control")


def clock(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Where the clock stands, and when the next timer is due."""
    world = hosted.world
    return {
        "mode": "virtual" if world.clock.virtual else "real",
        "now": iso(world.now_ms()),
        "now_ms": world.now_ms(),
        "elapsed_ms": world.now_ms() - world.clock.start_ms,
        "next_timer_ms": world.next_due_ms(),
    }


async def advance(sender: WebhookSender, hosted: HostedWorld, delta_ms: int) -> Any:
    """Move the clock forward and say which timers fired, in order.

    Args:
        sender: what lets the webhooks of an instant be sent before the clock moves on.
        hosted: whose clock.
        delta_ms: how far, in milliseconds.

    Raises:
        ControlError: 400 for a way back and for one beyond the year 9999; 500 when timers failed.
    """
    world = hosted.world
    timers: list[Timer] = []
    try:
        await sender.advance(world, delta_ms, timers.append)
    except ValueError as error:
        raise ControlError(str(error)) from None
    except TimerError as error:
        raise ControlError(_failed(world, error), 500) from error
    told = [{"at": iso(one.at_ms), "kind": one.kind, "lane": one.lane, "id": one.id} for one in timers]
    return {**clock(hosted, {}, {}), "fired": len(timers), "timers": world.redactor.value(told)}


def _failed(world: World, error: TimerError) -> str:
    """What became of an advance on which timers failed; the tracebacks go to the log."""
    told = []
    for timer, cause in error.failed:
        trace = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
        _log.error("timer %s of world %s failed and stays armed\n%s", timer.id, world.name, world.redactor.text(trace))
        told.append(f"{world.redactor.text(timer.id)} (due at {iso(timer.at_ms)}: {type(cause).__name__})")
    return (
        f"The clock stands at {iso(world.now_ms())}. What was due has fired, but for timers that failed and stay armed: "
        f"{', '.join(told)}. That is a mistake of the emulator's; its log has the tracebacks."
    )
