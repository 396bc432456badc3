"""What skills cost: the buyer's wallet is debited when a skill is invoked, the publisher's credited when it is completed.

An invocation that fails or expires is refunded in full.
"""

from __future__ import annotations

from stack_emu.domain import wallet
from stack_emu.domain.skill_records import Invocation
from stack_emu.kernel.dispatch import Context


def charge(ctx: Context, invocation: Invocation) -> None:
    """Take the price from the buyer.

    Raises:
        Fault: INSUFFICIENT_CREDITS.
    """
    if invocation.price:
        what = f"Skill {invocation.skill_id}, invocation {invocation.id}"
        wallet.debit(ctx, invocation.operator_id, invocation.price, wallet.INVOCATION, what)


def pay_out(ctx: Context, invocation: Invocation) -> None:
    """Give the price to the publisher."""
    if invocation.price:
        what = f"Earned with skill {invocation.skill_id}, invocation {invocation.id}"
        wallet.credit(ctx, invocation.publisher_id, invocation.price, wallet.INVOCATION, what)


def refund(ctx: Context, invocation: Invocation) -> None:
    """Give the price back to the buyer."""
    if invocation.price:
        what = f"Skill {invocation.skill_id}, invocation {invocation.id} {invocation.status}"
        wallet.credit(ctx, invocation.operator_id, invocation.price, wallet.REFUND, what)
