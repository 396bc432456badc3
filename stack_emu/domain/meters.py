"""Meters: what an account used of each thing that is counted, by calendar month in UTC, and what its tier allows.

What is counted without a figure in ``tiers`` has no limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from stack_emu.domain import faults, tiers
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

PASSPORTS, PROXY_CALLS, LLM_CALLS = "passports", "proxy_calls", "llm_calls"
DROPOFFS, SKILL_INVOCATIONS, SCANS = "dropoffs", "skill_invocations", "scans"

METERS: Mapping[str, str] = {
    PASSPORTS: "passports a month",
    PROXY_CALLS: "proxy calls a month",
    LLM_CALLS: "LLM calls a month",
    DROPOFFS: "drop-offs a month",
    SKILL_INVOCATIONS: "skill invocations a month",
    SCANS: "scans a month",
}
"""Everything that is counted, and how a refusal names it."""

LIMITS = tiers.MONTHLY
"""How much of a meter a tier has in a month; a tier that is not named has no limit."""


@dataclass(frozen=True)
class MeterMonth:
    """What an account used of one meter in one month, what is under way included.

    ``id`` is ``<operator id>/<meter>/<YYYY-MM>``.
    """

    TABLE: ClassVar[str] = "meter_months"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    used: int = 0


@dataclass(frozen=True)
class MeterTally:
    """What an account used of one meter at one instant, for windows. ``id`` is ``<operator id>/<meter>/<instant>``."""

    TABLE: ClassVar[str] = "meter_tallies"
    INDEXES: ClassVar[tuple[str, ...]] = ("account_meter",)
    id: str
    account_meter: str
    at: int
    used: int = 0


def period_of(at_ms: int) -> str:
    """The month something is counted in, as ``YYYY-MM`` in UTC."""
    return iso(at_ms)[:7]


def count(ctx: Context, meter: str, amount: int = 1) -> None:
    """Count something the caller's account does now.

    Args:
        ctx: the call; it must be an act.
        meter: one of ``METERS``.
        amount: how many.
    """
    add(ctx.world, ctx.operator_id, meter, ctx.now_ms, amount)


def add(world: World, operator_id: str, meter: str, at_ms: int, amount: int) -> None:
    """Count something at an instant; a negative amount gives back what was counted there."""
    if meter not in METERS:
        raise KeyError(f"there is no meter {meter}")
    key = f"{operator_id}/{meter}/{period_of(at_ms)}"
    month = world.store.get(MeterMonth, key) or MeterMonth(key)
    world.store.put(replace(month, used=max(0, month.used + amount)))
    account_meter = f"{operator_id}/{meter}"
    place = f"{account_meter}/{at_ms}"
    tally = world.store.get(MeterTally, place) or MeterTally(place, account_meter, at_ms)
    left = tally.used + amount
    if left > 0:
        world.store.put(replace(tally, used=left))
    else:
        world.store.delete(MeterTally, place)


def used(
    world: World,
    operator_id: str,
    meter: str,
    *,
    at_ms: int | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> int:
    """How much an account used of a meter: in a month, or in a window when one is named.

    Args:
        world: the world.
        operator_id: the account.
        meter: one of ``METERS``.
        at_ms: an instant in the month that is meant; now when left out.
        since_ms: start of a window, included.
        until_ms: end of a window, excluded.
    """
    if since_ms is None and until_ms is None:
        month = world.store.get(
            MeterMonth, f"{operator_id}/{meter}/{period_of(world.now_ms() if at_ms is None else at_ms)}"
        )
        return month.used if month is not None else 0
    start = -1 if since_ms is None else since_ms
    tallies = world.store.find(MeterTally, account_meter=f"{operator_id}/{meter}")
    return sum(tally.used for tally in tallies if start <= tally.at and (until_ms is None or tally.at < until_ms))


def limit_of(world: World, operator_id: str, meter: str) -> int | None:
    """How much of a meter an account's tier has in a month; None is no limit."""
    return LIMITS.get(meter, {}).get(tiers.tier_of(world, operator_id))


def check(ctx: Context, meter: str, amount: int = 1) -> None:
    """Refuse what would go beyond the tier's limit of a meter in this month.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED.
    """
    limit = limit_of(ctx.world, ctx.operator_id, meter)
    if limit is None:
        return
    done = used(ctx.world, ctx.operator_id, meter, at_ms=ctx.now_ms)
    if done + amount > limit:
        tier = tiers.tier_of(ctx.world, ctx.operator_id)
        raise Fault(faults.TIER_LIMIT_EXCEEDED, tier=tier, limit=limit, what=METERS[meter], used=done)
