"""Billing: the wallet's balance and transactions, and checkouts that fill it or change the tier.

Shapes are those of docs/api/billing. STACK's checkout is a page of its payment provider; here the URL is one of the
emulator's own, and opening it pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from stack_emu.domain import faults, meters, tiers, wallet
from stack_emu.domain.authentication import ACCOUNT, OAUTH
from stack_emu.domain.partners import Tenant
from stack_emu.domain.periods import month_of
from stack_emu.domain.state import Operator
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

CHECKOUT_MS = 24 * 3_600_000
"""How long a checkout can be paid; invented."""

_HOLDERS = ACCOUNT - {OAUTH}
"""No OAuth scope covers money, so tokens are left out."""


@dataclass(frozen=True)
class Checkout:
    """Something to be paid: a top-up of ``amount_cents``, or the change to ``tier``."""

    TABLE: ClassVar[str] = "checkouts"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    created_at: int
    expires_at: int
    amount_cents: int = 0
    tier: str | None = None
    paid_at: int | None = None


class BillingUsage(Reply):
    """What was used of this month."""

    passports: int
    dropoffs: int
    proxy_calls: int
    free_skill_invocations: int


class BalanceReply(Reply):
    """An account's wallet, tier and month."""

    operator_id: str
    balance_cents: int
    tier: str
    billing_period_start: str
    billing_period_end: str
    usage: BillingUsage


class ListTransactions(Command):
    """Which transactions to list."""

    limit: int = Field(50, ge=1, le=200, description="Transactions on a page, at most 200")
    offset: int = Field(0, ge=0, description="How many to leave out, from the newest")
    type: Literal["topup", "invocation", "overage", "identity", "refund"] | None = Field(
        None, description="Only transactions of this type"
    )


class TransactionReply(Reply):
    """One movement of the wallet."""

    id: str
    type: str
    amount_cents: int
    balance_after_cents: int
    description: str
    created_at: str


class TransactionPage(Reply):
    """Transactions, newest first; ``count`` is how many there are on all pages."""

    count: int
    transactions: list[TransactionReply]


class TopUp(Command):
    """How much to pay in."""

    amount_cents: int = Field(ge=1_000, le=1_000_000, description="Amount in cents, 1,000 to 1,000,000")


class Subscribe(Command):
    """Which tier to change to."""

    tier: Literal["free", "developer", "studio"] = Field(
        description="The tier; enterprise is agreed with STACK and has no checkout"
    )


class CheckoutReply(Reply):
    """Where to pay."""

    checkout_url: str
    session_id: str


@operation(
    "billing.balance",
    rest=Rest("GET", "/v1/billing/balance"),
    tool=Tool("stack_get_billing_balance"),
    auth=Auth(bearers=_HOLDERS),
    source="docs/api/billing",
    grade="documented",
)
def get_balance(ctx: Context, command: Command) -> BalanceReply:
    """Read the wallet's balance, the tier, and what was used of this month."""
    period = month_of(ctx.now_ms)

    def used(meter: str) -> int:
        return meters.used(ctx.world, ctx.operator_id, meter, at_ms=ctx.now_ms)

    return BalanceReply(
        operator_id=ctx.operator_id,
        balance_cents=wallet.balance(ctx.world, ctx.operator_id),
        tier=tiers.tier_of(ctx.world, ctx.operator_id),
        billing_period_start=iso(period.start_ms),
        billing_period_end=iso(period.end_ms),
        usage=BillingUsage(
            passports=used(meters.PASSPORTS),
            dropoffs=used(meters.DROPOFFS),
            proxy_calls=used(meters.PROXY_CALLS),
            free_skill_invocations=max(0, used(meters.SKILL_INVOCATIONS) - _paid_invocations(ctx, period.start_ms)),
        ),
    )


def _paid_invocations(ctx: Context, since_ms: int) -> int:
    made = wallet.transactions(ctx.world, ctx.operator_id)
    return sum(
        each.type == wallet.INVOCATION and each.amount_cents < 0 and each.created_at >= since_ms for each in made
    )


@operation(
    "billing.transactions",
    rest=Rest("GET", "/v1/billing/transactions"),
    tool=Tool("stack_list_billing_transactions"),
    auth=Auth(bearers=_HOLDERS),
    source="docs/api/billing",
    grade="documented",
)
def list_transactions(ctx: Context, command: ListTransactions) -> TransactionPage:
    """List the wallet's transactions, newest first."""
    made = [
        each
        for each in wallet.transactions(ctx.world, ctx.operator_id)
        if command.type is None or each.type == command.type
    ]
    page = made[command.offset : command.offset + command.limit]
    return TransactionPage(
        count=len(made),
        transactions=[
            TransactionReply(
                id=each.id,
                type=each.type,
                amount_cents=each.amount_cents,
                balance_after_cents=each.balance_after_cents,
                description=each.description,
                created_at=iso(each.created_at),
            )
            for each in page
        ],
    )


@operation(
    "billing.topup",
    rest=Rest("POST", "/v1/billing/topup"),
    tool=Tool("stack_top_up_wallet"),
    auth=Auth(bearers=_HOLDERS, role="admin"),
    audit=Audit("billing.topup"),
    source="docs/api/billing",
    grade="documented",
)
def top_up(ctx: Context, command: TopUp) -> CheckoutReply:
    """Open a checkout that puts money into the wallet once it is paid.

    Raises:
        Fault: TENANT_BILLED_BY_PARTNER for a white-label tenant.
    """
    ctx.row.set(amount_cents=command.amount_cents)
    _check_pays_itself(ctx)
    return _open(ctx, amount_cents=command.amount_cents)


@operation(
    "billing.subscribe",
    rest=Rest("POST", "/v1/billing/subscribe"),
    tool=Tool("stack_change_tier"),
    auth=Auth(bearers=_HOLDERS, role="admin"),
    audit=Audit("billing.subscribe"),
    source="docs/api/billing (named there without a shape)",
    grade="invented",
)
def subscribe(ctx: Context, command: Subscribe) -> CheckoutReply:
    """Open a checkout that changes the account's tier once it is paid.

    Raises:
        Fault: CONFLICT when the account has this tier already, TENANT_BILLED_BY_PARTNER for a white-label tenant.
    """
    ctx.row.set(tier=command.tier)
    _check_pays_itself(ctx)
    if command.tier == tiers.tier_of(ctx.world, ctx.operator_id):
        raise Fault(faults.CONFLICT, problem=f"The account is on the {command.tier} tier already; name another one")
    return _open(ctx, tier=command.tier)


def _check_pays_itself(ctx: Context) -> None:
    if ctx.world.store.get(Tenant, ctx.operator_id) is not None:
        raise Fault(faults.TENANT_BILLED_BY_PARTNER)


def _open(ctx: Context, *, amount_cents: int = 0, tier: str | None = None) -> CheckoutReply:
    made = Checkout(
        id=ctx.act.new_id("checkout_session", "cs_"),
        operator_id=ctx.operator_id,
        created_at=ctx.stamp_ms,
        expires_at=ctx.now_ms + CHECKOUT_MS,
        amount_cents=amount_cents,
        tier=tier,
    )
    ctx.world.store.put(made)
    ctx.row.set(subject=made.id)
    return CheckoutReply(checkout_url=f"{ctx.origin}/_emu/checkout/{made.id}", session_id=made.id)


def pay(world: World, session_id: str) -> Checkout:
    """Pay a checkout as the customer at the payment page would; a control step, an act of its own.

    Paying one that is paid changes nothing.

    Raises:
        Fault: NOT_FOUND, or CONFLICT when it can be paid no more.
    """
    checkout = world.store.get(Checkout, session_id)
    if checkout is None:
        raise Fault(faults.NOT_FOUND, what="Checkout session", id=session_id)
    if checkout.paid_at is not None:
        return checkout
    if checkout.expires_at <= world.now_ms():
        problem = f"Checkout session {session_id} expired at {iso(checkout.expires_at)}; open another one"
        raise Fault(faults.CONFLICT, problem=problem)
    row = RowDraft("billing.paid", "system")
    row.set(subject=checkout.id, amount_cents=checkout.amount_cents or None, tier=checkout.tier)
    act = world.begin_act("control.billing.pay", checkout.operator_id, "control", {"session_id": session_id}, row)
    with world.transaction(act):
        paid = world.store.put(replace(checkout, paid_at=act.stamp_ms))
        if checkout.amount_cents:
            wallet.deposit(world, act, checkout.operator_id, checkout.amount_cents, wallet.TOPUP, "Top-up")
        operator = world.store.get(Operator, checkout.operator_id)
        if checkout.tier is not None and operator is not None:
            world.store.put(replace(operator, tier=checkout.tier))
    return paid
