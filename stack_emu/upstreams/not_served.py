"""The honest answer to what a pack does not serve: 501, why, and the nearest operations it does serve."""

from __future__ import annotations

from collections.abc import Sequence

from stack_emu.kernel.matching import Pattern
from stack_emu.kernel.near_miss import Candidate, nearest_of
from stack_emu.upstreams.packs import Declined, PackContext, PackRow
from stack_emu.upstreams.replies import unmatched_reply
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

_SHOWN = 300
"""The most characters of a path in a message."""


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
    path = request.path if len(request.path) <= _SHOWN else f"{request.path[:_SHOWN]}…"
    asked = f"{request.method} {path}"
    refusal = next((one for one in declined if one.matches(request)), None)
    near = nearest_of(_candidate(row, request) for row in operations)
    why = f": {refusal.reason}" if refusal is not None else ""
    closest = "; ".join(one.name for one in near)
    message = (
        f"{title}'s fake does not serve {refusal.name if refusal else asked}{why}; the nearest it serves: {closest}. "
        "Add a route for it to the upstream, or use one of these."
    )
    context.discard = True
    context.problem = "unmatched"
    reply, context.hint, context.near = unmatched_reply(
        context.upstream, message, request, near, context.world.redactor
    )
    return reply


def _candidate(row: PackRow, request: UpstreamRequest) -> Candidate:
    method, _, path = row.call.partition(" ")
    name = row.name if row.name == row.call else f"{row.name} ({row.call})"
    return Candidate(name, tuple(Pattern(method=method, path=path).difference(request)))
