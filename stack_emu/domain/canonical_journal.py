"""The canonical journal: what came in and what went out, act by act, in the form of the canonical audit log.

The format is specified in ``docs/audit-format.md``. A line is one exchange of an act: the request itself, with what the
canonical log says of the act, and each call that it made of an upstream or of the model. Reads leave no line: how often
something is looked at is for no program to promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stack_emu.domain.canonical_audit import Renderer
from stack_emu.kernel.audit import JOURNAL_FORMAT, ActEntry, chained_lines
from stack_emu.kernel.errors import WorldError
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World

ASKED = ("rest", "mcp", "timeline")
"""Surfaces on which an act is asked for; what other surfaces saw of it, the act asked of somebody else."""


def canonical_journal(world: World, order: str = "commit") -> bytes:
    """The canonical journal of a world as JSON Lines, every line ended by a newline.

    Args:
        world: the world.
        order: as for ``canonical_log``.

    Raises:
        WorldError: when the journal has dropped its oldest exchanges, so that the log would begin somewhere.
        ValueError: for another order.
    """
    if world.journal.dropped:
        raise WorldError(
            f"the journal has dropped its {world.journal.dropped} oldest exchanges, so there is no canonical one; clear it "
            "with DELETE /_emu/journal before what is to be compared"
        )
    exchanges: dict[str, list[Entry]] = {}
    for entry in world.journal.entries():
        if entry.act is not None:
            exchanges.setdefault(entry.act, []).append(entry)
    renderer = Renderer(world.clock.start_ms if world.clock.virtual else None)

    def lines_of(act: ActEntry) -> Iterator[Mapping[str, Any]]:
        for entry in exchanges[act.name]:
            yield _line(renderer, act, entry)

    def told(act: ActEntry) -> bool:
        return bool(act.rows) and act.name in exchanges

    lines = chained_lines(world.audit.acts(), told, lines_of, form=JOURNAL_FORMAT, order=order)
    return b"".join(line + b"\n" for line in lines)


def _line(renderer: Renderer, act: ActEntry, entry: Entry) -> dict[str, Any]:
    exchange = {
        "surface": entry.surface,
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "problem": entry.problem,
        "injected": entry.injected,
    }
    if entry.surface in ASKED:
        line = renderer(act, act.rows[0])
    else:
        line = {"operation": entry.operation, "code": entry.code, "upstream": entry.request.get("upstream")}
    return {name: value for name, value in {**line, **exchange}.items() if value is not None}
