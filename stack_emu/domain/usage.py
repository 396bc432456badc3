"""Usage: what an account consumed, spent and earned in a billing period or a window, in one reply."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import meters, tiers, wallet
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.llm_calls import calls_of
from stack_emu.domain.periods import Period, month_of
from stack_emu.domain.state import Agent, Connection
from stack_emu.domain.windows import LAST_MS, Instant, check_window
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Auth, Command, Reply, Rest, Tool, operation


class GetUsage(Command):
    """Which time to account for."""

    since: Instant | None = Field(None, description="Start of a window, included: ISO-8601 or epoch milliseconds")
    until: Instant | None = Field(None, description="End of a window, excluded: ISO-8601 or epoch milliseconds")


class UsageReply(Reply):
    """What was consumed, spent and earned. Money is in cents."""

    tier: str
    period_start: str
    period_end: str
    period_label: str = Field(description="The month as YYYY-MM, or window")
    account_since: str
    consumption: dict[str, Any] = Field(
        description="activity.total; actions, which the tier meters; and every meter with used and limit"
    )
    passthrough: dict[str, int] | None = Field(
        description="LLM calls of this month that the account's own credentials paid for; null for a window"
    )
    spend_cents: dict[str, float] = Field(description="skills, llm_compute, identity, overage and their total")
    wallet_cents: dict[str, int] = Field(description="balance")
    earnings_cents: dict[str, int] = Field(description="unpaid and lifetime")


@operation(
    "usage.get",
    rest=Rest("GET", "/v1/usage"),
    tool=Tool("stack_get_usage"),
    auth=Auth(bearers=ACCOUNT, scope="proxy:read"),
    source="sdk 4.0.0 usage.get (docstring)",
    grade="sdk-implied",
)
def get_usage(ctx: Context, command: GetUsage) -> UsageReply:
    """Read what the account consumed, spent and earned: in this month, or in a window when one is named.

    Raises:
        Fault: INVALID_REQUEST for a window that ends before it starts.
    """
    check_window(command.since, command.until)
    world, operator_id = ctx.world, ctx.operator_id
    windowed = command.since is not None or command.until is not None
    period = month_of(ctx.now_ms)
    if windowed:
        start = 0 if command.since is None else command.since
        period = Period(start, LAST_MS if command.until is None else command.until, "window")
    return UsageReply(
        tier=tiers.tier_of(world, operator_id),
        period_start=iso(period.start_ms or world.clock.start_ms),
        period_end=iso(ctx.now_ms if period.end_ms == LAST_MS else period.end_ms),
        period_label=period.label,
        account_since=iso(world.clock.start_ms),
        consumption=_consumption(ctx, period, windowed),
        passthrough=None if windowed else _passthrough(ctx, period),
        spend_cents=_spend(ctx, period),
        wallet_cents={"balance": wallet.balance(world, operator_id)},
        earnings_cents={"unpaid": 0, "lifetime": _earned(ctx)},
    )


def _consumption(ctx: Context, period: Period, windowed: bool) -> dict[str, Any]:
    world, operator_id = ctx.world, ctx.operator_id
    window = {"since_ms": period.start_ms, "until_ms": period.end_ms} if windowed else {"at_ms": ctx.now_ms}
    counted = {
        meter: {
            "used": meters.used(world, operator_id, meter, **window),
            "limit": meters.limit_of(world, operator_id, meter),
        }
        for meter in meters.METERS
    }
    return {
        "activity": {"total": sum(entry["used"] or 0 for entry in counted.values())},
        "actions": _actions(ctx, counted[meters.PROXY_CALLS]),
        **counted,
        **_inventory(ctx, period if windowed else None),
    }


def _actions(ctx: Context, calls: dict[str, int | None]) -> dict[str, Any]:
    """Metered actions are the calls that a tier limits."""
    used, limit = calls["used"] or 0, calls["limit"]
    coverage = "unlimited" if limit is None else "exhausted" if used >= limit else "covered"
    tier = tiers.tier_of(ctx.world, ctx.operator_id)
    return {"used": used, "limit": limit, "allowance_coverage": coverage, "allowance_tier": tier}


def _inventory(ctx: Context, window: Period | None) -> dict[str, Any]:
    agents = [
        agent.created_at for agent in ctx.world.store.find(Agent, operator_id=ctx.operator_id) if not agent.deleted
    ]
    connections = [
        connection.created_at
        for connection in ctx.world.store.find(Connection, operator_id=ctx.operator_id, status="active")
    ]
    tier = tiers.tier_of(ctx.world, ctx.operator_id)
    entries: dict[str, dict[str, Any]] = {
        "agents": {"used": len(agents), "limit": tiers.COUNTS[tiers.AGENTS].get(tier)},
        "connections": {"used": len(connections), "limit": tiers.COUNTS[tiers.SERVICES].get(tier)},
    }
    if window is not None:
        for name, times in (("agents", agents), ("connections", connections)):
            entries[name]["created_in_window"] = sum(window.start_ms <= at < window.end_ms for at in times)
    return entries


def _passthrough(ctx: Context, period: Period) -> dict[str, int]:
    own = [call for call in calls_of(ctx.world, ctx.operator_id, period.start_ms, period.end_ms) if call.connection_id]
    return {
        "llm_calls": len(own),
        "input_tokens": sum(call.input_tokens for call in own),
        "output_tokens": sum(call.output_tokens for call in own),
    }


def _spend(ctx: Context, period: Period) -> dict[str, float]:
    spent = {wallet.INVOCATION: 0, wallet.IDENTITY: 0, wallet.OVERAGE: 0}
    for made in wallet.transactions(ctx.world, ctx.operator_id):
        if made.type in spent and made.amount_cents < 0 and period.start_ms <= made.created_at < period.end_ms:
            spent[made.type] -= made.amount_cents
    compute = sum(
        call.cost_cents
        for call in calls_of(ctx.world, ctx.operator_id, period.start_ms, period.end_ms)
        if not call.connection_id
    )
    parts = {
        "skills": float(spent[wallet.INVOCATION]),
        "llm_compute": round(compute, 6),
        "identity": float(spent[wallet.IDENTITY]),
        "overage": float(spent[wallet.OVERAGE]),
    }
    return {**parts, "total": round(sum(parts.values()), 6)}


def _earned(ctx: Context) -> int:
    """What others paid for this account's skills; it is credited at once, so that nothing is left unpaid."""
    made = wallet.transactions(ctx.world, ctx.operator_id)
    return sum(each.amount_cents for each in made if each.type == wallet.INVOCATION and each.amount_cents > 0)
