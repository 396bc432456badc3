"""The honest answer to what a pack does not serve: 501, why, and the nearest operations it does serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stack_emu.kernel.matching import Difference, Pattern, weigh
from stack_emu.upstreams.packs import Declined, PackContext, PackRow
from stack_emu.upstreams.requests import UpstreamReply

_SHOWN = 3


def not_served(
    context: PackContext, title: str, operations: Sequence[PackRow], declined: Sequence[Declined]
) -> UpstreamReply:
    """Mark the call as unmatched and answer 501 with the three nearest operations.

    Args:
        context: the call; its ``problem`` and ``hint`` are set.
        title: the service's name for people.
        operations: what the pack serves.
        declined: what it is known not to serve, with why.
    """
    request = context.request
    asked = f"{request.method} {request.path}"
    refusal = next((one for one in declined if one.matches(request)), None)
    near = _nearest(operations, context)
    why = f": {refusal.reason}" if refusal is not None else ""
    closest = "; ".join(f"{row.name} is {row.call}" for row, _ in near)
    context.problem = "unmatched"
    context.hint = (
        f"{title}'s fake does not serve {refusal.name if refusal else asked}{why}; the nearest it serves: {closest}. "
        "Add a route for it to the upstream, or use one of these."
    )
    context.discard = True
    details: dict[str, Any] = {
        "upstream": context.upstream,
        "nearest": near[0][0].call if near else None,
        "differences": [one.as_json() for one in near[0][1]] if near else [],
        "candidates": [
            {"operation": row.name, "call": row.call, "differences": [one.as_json() for one in differences]}
            for row, differences in near
        ],
    }
    error = {"code": "UPSTREAM_UNMATCHED", "message": context.hint, "details": details}
    return UpstreamReply.of_json({"error": context.world.redactor.value(error)}, 501)


def _nearest(operations: Sequence[PackRow], context: PackContext) -> list[tuple[PackRow, list[Difference]]]:
    """The operations whose method and path miss by least, nearest first."""
    weighed = []
    for position, row in enumerate(operations):
        method, _, path = row.call.partition(" ")
        differences = Pattern(method=method, path=path).difference(context.request)
        weighed.append((weigh(differences), position, row, differences))
    weighed.sort(key=lambda one: one[:2])
    return [(row, differences) for _, _, row, differences in weighed[:_SHOWN]]
