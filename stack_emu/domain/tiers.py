"""What each tier allows, in one table: how many things an account may have at once, and how much it may do in a month.

Published are the team members (docs/api/team), the passports a month of free and studio (docs/api/billing), their
proxied calls (product page), and how long audit rows are kept (privacy page). That agents, services and skills are capped
is published, their figures are not: they are invented, as are the figures of developer by month and all of scans. A tier
that is not named has no limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from stack_emu.domain import faults
from stack_emu.domain.state import Operator
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World

AGENTS, SERVICES, MEMBERS, SKILLS = "agents", "services", "members", "skills"

COUNTS: Mapping[str, Mapping[str, int]] = {
    AGENTS: {"free": 5, "developer": 25, "studio": 250},
    SERVICES: {"free": 10, "developer": 50, "studio": 500},
    MEMBERS: {"free": 1, "developer": 5, "studio": 25},
    SKILLS: {"free": 3, "developer": 25, "studio": 250},
}
"""How many of a thing an account of a tier may have."""

MONTHLY: Mapping[str, Mapping[str, int]] = {
    "passports": {"free": 50_000, "developer": 500_000, "studio": 5_000_000},
    "proxy_calls": {"free": 5_000, "developer": 50_000, "studio": 500_000},
    "scans": {"free": 1_000, "developer": 10_000, "studio": 100_000},
}
"""How much of a meter an account of a tier has in a month."""


RETENTION_DAYS: Mapping[str, int] = {"free": 7, "developer": 30, "studio": 90, "enterprise": 365}
"""How many days the audit log of an account of a tier can be read back (privacy page)."""


def tier_of(world: World, operator_id: str) -> str:
    """The tier of an account."""
    operator = world.store.get(Operator, operator_id)
    return operator.tier if operator is not None else "free"


def check(world: World, operator_id: str, what: str, used: int) -> None:
    """Refuse one more of a thing than the account's tier allows.

    Args:
        world: the world.
        operator_id: the account.
        what: one of ``COUNTS``.
        used: how many it has.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED.
    """
    tier = tier_of(world, operator_id)
    limit = COUNTS[what].get(tier)
    if limit is not None and used >= limit:
        raise Fault(faults.TIER_LIMIT_EXCEEDED, tier=tier, limit=limit, what=what, used=used)


def kept_since_ms(world: World, operator_id: str) -> int | None:
    """The instant before which an account's audit rows are not shown any more, in epoch milliseconds; None: all are."""
    days = RETENTION_DAYS.get(tier_of(world, operator_id))
    return None if days is None else world.now_ms() - days * 86_400_000
