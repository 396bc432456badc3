"""Idempotency keys: the same key with the same request gets the reply of the first, with another request 409.

The SDK sends ``Idempotency-Key`` with every authority write, with ``fleets.activate`` and ``fleets.revise`` and, when
asked to, with ``skills.invoke`` (sdk 4.0.0). A key is good for one operation of one account. Refused requests keep none:
they can be repeated with the same key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from stack_emu.domain import faults
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.dispatch import Context, logical_input
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Command, Reply
from stack_emu.kernel.store import replace

HEADER = "Idempotency-Key"
R = TypeVar("R", bound=Reply)


@dataclass(frozen=True)
class IdempotentReply:
    """What a key was answered with. ``id`` is ``<operator id>/<operation>/<SHA-256 of the key>``."""

    TABLE: ClassVar[str] = "idempotent_replies"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    fingerprint: str
    reply: Any
    created_at: int


def once(ctx: Context, command: Command, key: str | None, model: type[R], make: Callable[[], R]) -> R:
    """Make a reply, or repeat the one this key was answered with before.

    Args:
        ctx: the call; it must be an act.
        command: its input; every field but those that hold the key itself counts as the request.
        key: the idempotency key; None makes the reply without remembering it.
        model: the type of the reply.
        make: does the work.

    Raises:
        Fault: IDEMPOTENCY_CONFLICT when the key came with another request before.
    """
    if key is None:
        return make()
    place = f"{ctx.operator_id}/{ctx.operation.name}/{digest(key)}"
    asked = logical_input(ctx.operation, command)
    fingerprint = digest({name: value for name, value in asked.items() if value != key})
    earlier = ctx.world.store.get(IdempotentReply, place)
    if earlier is not None:
        ctx.row.set(repeated=True)
        if earlier.fingerprint != fingerprint:
            raise Fault(faults.IDEMPOTENCY_CONFLICT, operation=ctx.operation.name)
        return model.model_validate(earlier.reply)
    reply = make()
    kept = IdempotentReply(place, ctx.operator_id, fingerprint, reply.model_dump(mode="json"), ctx.now_ms)
    ctx.world.store.put(kept)
    return reply


def rewrite(ctx: Context, name: str, record_id: str, value: Any) -> None:
    """Let every remembered reply that shows a record show this instead: what was erased is not handed out again.

    Args:
        ctx: the call.
        name: the reply's field that holds the record, or a list of them.
        record_id: the record's ``id`` in it.
        value: what stands there from now on.
    """
    for kept in list(ctx.world.store.find(IdempotentReply, operator_id=ctx.operator_id)):
        shown = kept.reply.get(name) if isinstance(kept.reply, dict) else None
        if isinstance(shown, dict) and shown.get("id") == record_id:
            ctx.world.store.put(replace(kept, reply={**kept.reply, name: value}))
        elif isinstance(shown, list) and any(_is(item, record_id) for item in shown):
            left = [value if _is(item, record_id) else item for item in shown]
            ctx.world.store.put(replace(kept, reply={**kept.reply, name: left}))


def _is(item: Any, record_id: str) -> bool:
    return isinstance(item, dict) and item.get("id") == record_id
