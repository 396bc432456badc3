"""The wallet: prepaid credit of an account, in cents, and the transactions that moved it.

Transactions and their types are those of docs/api/billing. What an account earns with its skills is credited to its
wallet at once; how STACK pays out is not published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stack_emu.domain import faults
from stack_emu.kernel.acts import Act
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

TOPUP, INVOCATION, OVERAGE, IDENTITY, REFUND = "topup", "invocation", "overage", "identity", "refund"
TYPES = (TOPUP, INVOCATION, OVERAGE, IDENTITY, REFUND)


@dataclass(frozen=True)
class Wallet:
    """What an account has. ``id`` is the operator's."""

    TABLE: ClassVar[str] = "wallets"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    balance_cents: int = 0


@dataclass(frozen=True)
class WalletTransaction:
    """One movement of a wallet; ``amount_cents`` is negative when something was paid."""

    TABLE: ClassVar[str] = "wallet_transactions"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    type: str
    amount_cents: int
    balance_after_cents: int
    description: str
    created_at: int


def balance(world: World, operator_id: str) -> int:
    """What an account has, in cents."""
    wallet = world.store.get(Wallet, operator_id)
    return wallet.balance_cents if wallet is not None else 0


def debit(ctx: Context, operator_id: str, cents: int, type_: str, description: str) -> WalletTransaction:
    """Take money from a wallet.

    Args:
        ctx: the call; it must be an act.
        operator_id: whose wallet.
        cents: how much, not negative.
        type_: one of ``TYPES``.
        description: what for, shown to the account.

    Raises:
        Fault: INSUFFICIENT_CREDITS when the wallet has less.
    """
    has = balance(ctx.world, operator_id)
    if has < cents:
        raise Fault(faults.INSUFFICIENT_CREDITS, needed_cents=cents, balance_cents=has)
    return _move(ctx.world, ctx.act, operator_id, -cents, type_, description)


def credit(ctx: Context, operator_id: str, cents: int, type_: str, description: str) -> WalletTransaction:
    """Put money into a wallet: a top-up, a refund, or what another account paid for a skill (type ``invocation``).

    Args:
        ctx: the call; it must be an act.
        operator_id: whose wallet, not necessarily the caller's.
        cents: how much, not negative.
        type_: one of ``TYPES``.
        description: what for, shown to the account.
    """
    return _move(ctx.world, ctx.act, operator_id, cents, type_, description)


def deposit(world: World, act: Act, operator_id: str, cents: int, type_: str, description: str) -> WalletTransaction:
    """As ``credit``, in an act that is no caller's."""
    return _move(world, act, operator_id, cents, type_, description)


def _move(world: World, act: Act, operator_id: str, cents: int, type_: str, description: str) -> WalletTransaction:
    if type_ not in TYPES:
        raise KeyError(f"there is no transaction type {type_}")
    wallet = world.store.get(Wallet, operator_id) or Wallet(operator_id)
    moved = replace(wallet, balance_cents=wallet.balance_cents + cents)
    world.store.put(moved)
    made = WalletTransaction(
        id=act.new_id("wallet_transaction", "wtxn_"),
        operator_id=operator_id,
        type=type_,
        amount_cents=cents,
        balance_after_cents=moved.balance_cents,
        description=description,
        created_at=act.stamp_ms,
    )
    return world.store.put(made)


def transactions(world: World, operator_id: str) -> list[WalletTransaction]:
    """The transactions of an account, newest first."""
    return list(world.store.find(WalletTransaction, operator_id=operator_id))[::-1]
