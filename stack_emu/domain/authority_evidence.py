"""Uses and presentations of authority: what was done under bindings, and where they were shown (sdk 4.0.0 authority)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.authority_records import (
    HEADERS,
    READS,
    WRITES,
    Entry,
    Presentation,
    Shown,
    TombstoneReply,
    Use,
    Write,
    base,
    erase,
    known,
    named,
    once,
    own,
    tombstone,
)
from stack_emu.domain.issuance import is_visible
from stack_emu.domain.state import Passport
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World


class UseById(Command):
    """Names a use."""

    use_id: str = Field(description="Use id (use_…)")


class PresentationById(Command):
    """Names a presentation."""

    presentation_id: str = Field(description="Presentation id (prs_…)")


class ErasePresentation(Write):
    """Names the presentation to erase."""

    presentation_id: str = Field(description="Presentation id (prs_…)")


class UseReply(Reply):
    """A use."""

    use: Shown


class UseList(Reply):
    """Uses, oldest first."""

    uses: list[Shown]


class PresentationReply(Reply):
    """A presentation."""

    presentation: Shown


class PresentationList(Reply):
    """Presentations, oldest first."""

    presentations: list[Shown]


def use_view(world: World, use: Use) -> dict[str, Any]:
    """A use as it is shown."""
    return {
        **base(use),
        "binding_id": use.binding_id,
        "passport_id": use.passport_id,
        "agent_id": use.agent_id,
        "operation_id": use.operation_id,
        "service": use.service,
        "method": use.method,
    }


def view(world: World, shown: Presentation) -> dict[str, Any]:
    """A presentation as it is shown."""
    refs = [dict(ref) for ref in shown.refs]
    return {**base(shown), "passport_id": shown.passport_id, "agent_id": shown.agent_id, "authority_refs": refs}


def _sees(ctx: Context, passport_id: str) -> bool:
    passport = ctx.world.store.get(Passport, passport_id)
    return passport is None or is_visible(ctx.caller, passport)


def _require_seen(ctx: Context, record: Entry, passport_id: str) -> None:
    if not _sees(ctx, passport_id):
        raise Fault(faults.NOT_FOUND, what=f"Authority {record.KIND}", id=record.id)


@operation(
    "authority.list_uses",
    rest=Rest("GET", "/v1/authority/uses"),
    tool=Tool("stack_list_authority_uses"),
    auth=READS,
    source="sdk 4.0.0 authority.list_uses",
    grade="sdk-implied",
)
def list_uses(ctx: Context, command: Command) -> UseList:
    """List the writes made under bindings, oldest first."""
    found = [one for one in known(ctx, Use) if _sees(ctx, one.passport_id)]
    return UseList(uses=[Shown.model_validate(use_view(ctx.world, one)) for one in found])


@operation(
    "authority.get_use",
    rest=Rest("GET", "/v1/authority/uses/{use_id}"),
    tool=Tool("stack_get_authority_use"),
    auth=READS,
    source="sdk 4.0.0 authority.get_use",
    grade="sdk-implied",
)
def get_use(ctx: Context, command: UseById) -> UseReply:
    """Show a write made under a binding.

    Raises:
        Fault: NOT_FOUND.
    """
    use = own(ctx, Use, command.use_id)
    _require_seen(ctx, use, use.passport_id)
    return UseReply(use=Shown.model_validate(use_view(ctx.world, use)))


@operation(
    "authority.list_presentations",
    rest=Rest("GET", "/v1/authority/presentations"),
    tool=Tool("stack_list_authority_presentations"),
    auth=READS,
    source="sdk 4.0.0 authority.list_presentations",
    grade="sdk-implied",
)
def list_presentations(ctx: Context, command: Command) -> PresentationList:
    """List the passports that show bindings, oldest first."""
    found = [one for one in known(ctx, Presentation) if _sees(ctx, one.passport_id)]
    return PresentationList(presentations=[Shown.model_validate(view(ctx.world, one)) for one in found])


@operation(
    "authority.get_presentation",
    rest=Rest("GET", "/v1/authority/presentations/{presentation_id}"),
    tool=Tool("stack_get_authority_presentation"),
    auth=READS,
    source="sdk 4.0.0 authority.get_presentation",
    grade="sdk-implied",
)
def get_presentation(ctx: Context, command: PresentationById) -> PresentationReply:
    """Show what a passport shows of bindings.

    Raises:
        Fault: NOT_FOUND.
    """
    shown = own(ctx, Presentation, command.presentation_id)
    _require_seen(ctx, shown, shown.passport_id)
    return PresentationReply(presentation=Shown.model_validate(view(ctx.world, shown)))


@operation(
    "authority.erase_presentation",
    rest=Rest("POST", "/v1/authority/presentations/{presentation_id}/erase", headers=HEADERS),
    tool=Tool("stack_erase_authority_presentation", destructive=True),
    auth=WRITES,
    audit=Audit("authority.erase_presentation"),
    source="sdk 4.0.0 authority.erase_presentation",
    grade="sdk-implied",
)
def erase_presentation(ctx: Context, command: ErasePresentation) -> TombstoneReply:
    """Erase what is kept of a presentation; the passport that shows the bindings stays as it is.

    Raises:
        Fault: NOT_FOUND, IDEMPOTENCY_CONFLICT.
    """

    def make() -> TombstoneReply:
        shown = own(ctx, Presentation, command.presentation_id)
        _require_seen(ctx, shown, shown.passport_id)
        ctx.row.set(**named(shown))
        return tombstone(erase(ctx, shown, view, refs=()))

    return once(ctx, command, TombstoneReply, make)
