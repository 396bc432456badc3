"""What accounts have when a world starts: money in the wallet, and what was used of the month before."""

from __future__ import annotations

from stack_emu.domain import meters
from stack_emu.domain.wallet import Wallet
from stack_emu.kernel.world import World
from stack_emu.scenario.models import Scenario


def open_accounts(world: World, scenario: Scenario) -> None:
    """Fill the wallets and meters of the scenario's operators."""
    for operator in scenario.operators:
        if operator.wallet_cents:
            world.store.put(Wallet(operator.id, operator.wallet_cents))
        for meter in meters.METERS:
            before = getattr(operator.usage, meter)
            if before:
                meters.add(world, operator.id, meter, world.now_ms(), before)
