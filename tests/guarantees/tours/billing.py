"""Billing: the wallet, and checkouts nobody pays."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed

STEPS = (
    Step("billing.balance", fixed()),
    Step("billing.topup", fixed(amount_cents=2_500)),
    Step("billing.subscribe", fixed(tier="developer")),
    Step("billing.transactions", fixed(limit=5)),
)
