"""The canonical audit log: what stands in a line, and reading such a log back without an emulator.

The format, with test vectors, is specified in ``docs/audit-format.md``. A line holds nothing that differs between two
runs of the same program: no instants under a real clock, no durations, no trace ids, no client-made values. How such a
file is read and verified is in ``stack_emu.audit_log``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.audit_log.canonical_file import canonical, content_of, head_sha256, read_canonical, rehash
from stack_emu.audit_log.chains import label_bytes
from stack_emu.audit_log.verdicts import Break
from stack_emu.audit_log.verification import canonical_break, head_break
from stack_emu.kernel.audit import ActEntry, Row, canonical_lines
from stack_emu.kernel.world import World

__all__ = [
    "CARRIED",
    "VOLATILE_METADATA",
    "Log",
    "Renderer",
    "canonical_log",
    "diff",
    "head_sha256",
    "parse",
    "rehash",
    "render",
    "table",
    "verify",
]

CARRIED = (
    "mission",
    "intent",
    "service",
    "services",
    "connection",
    "scopes",
    "intents",
    "constraints",
    "upstream",
    "upstream_status",
    "leak",
    "scrubbed",
    "replayed",
    "repeated",
    "subject",
    "child_agent_id",
    "depth",
    "root",
    "revocation",
    "reason",
    "terminal_state",
    "revoked_count",
    "cascaded_count",
    "revoked_grants",
    "revoked_passports",
    "signal_type",
    "severity",
    "services_used",
    "actions",
    "flags",
    "review_status",
    "decision",
    "approval",
    "provider",
    "model",
    "streamed",
    "input_tokens",
    "output_tokens",
    "injected_prompt",
    "redacted",
    "amount_cents",
    "tier",
    "changed",
    "verified",
    "re_enrolled",
    "name",
    "verdict",
    "pattern",
    "skill",
    "skill_version",
    "invocation",
    "price_cents",
    "skill_request",
    "fleet",
    "revision",
    "enrollment",
    "revoked_members",
    "revoked_missions",
    "identity_claim",
    "identity_claims",
    "claim_types",
    "revoked_claims",
    "verification",
    "requirement",
    "claim_layer",
    "requires_claim",
    "minimum_assurance",
    "member",
    "role",
    "revoked_keys",
    "event",
    "channel",
    "destination",
    "webhook",
    "authority_principal",
    "authority_proof",
    "authority_session",
    "authority_binding",
    "authority_approval_request",
    "authority_receiver",
    "authority_key",
    "authority_profile",
    "authority_presentation",
    "revoked_bindings",
    "oauth_client",
    "oauth_grant",
    "grant_type",
    "consent",
)
"""Metadata that canonical lines carry under its own name; all other metadata is in the raw rows only."""

VOLATILE_METADATA = ("authority_request",)
"""Metadata that the client makes anew on every run; lines carry the number of its first appearance in the lane."""


def render(act: ActEntry, row: Row) -> dict[str, Any]:
    """What a row looks like in the canonical log, apart from its instant and its volatile values."""
    line: dict[str, Any] = {
        "operation": act.operation,
        "action": row.action,
        "layer": row.layer,
        "outcome": row.outcome,
        "operator": row.operator_id,
        "agent": row.agent_id,
        "passport": row.passport_jti,
        "code": row.error_code,
    }
    line.update((name, row.metadata.get(name)) for name in CARRIED)
    return {name: value for name, value in line.items() if value is not None}


class Renderer:
    """Renders the rows of one world for one log; instances are used once, in the order of the log.

    Args:
        start_ms: the instant offsets are counted from, or None under a real clock, where lines carry no instants.
    """

    def __init__(self, start_ms: int | None) -> None:
        self._start_ms = start_ms
        self._seen: dict[tuple[str, str], dict[str, int]] = {}

    def __call__(self, act: ActEntry, row: Row) -> dict[str, Any]:
        """The line of a row, without its chain."""
        line = render(act, row)
        for name in VOLATILE_METADATA:
            value = row.metadata.get(name)
            if value is not None:
                numbers = self._seen.setdefault((act.lane, name), {})
                line[name] = f"<{name}:{numbers.setdefault(str(value), len(numbers) + 1)}>"
        if self._start_ms is not None:
            line["at_ms"] = act.now_ms - self._start_ms
        return line


_PIECE = 64 * 1024


def canonical_pieces(world: World, order: str = "commit") -> Iterator[bytes]:
    """The canonical log of a world as it is now, in pieces of whole lines, made one after the other.

    Args:
        world: the world.
        order: ``commit``, or ``content`` for programs that call concurrently within a lane.
    """
    renderer = Renderer(world.clock.start_ms if world.clock.virtual else None)
    return _pieces(canonical_lines(world.audit.acts().picture(), renderer, order=order))


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for line in lines:
        piece += line
        piece += b"\n"
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def canonical_log(world: World, order: str = "commit") -> bytes:
    """The canonical log of a world as JSON Lines, every line ended by a newline; the arguments are those of the pieces."""
    return b"".join(canonical_pieces(world, order))


def verify(data: bytes, *, head: str | None = None) -> list[Break]:
    """Check a canonical log: form, order and chains of its lines, and that the last line covers them all.

    Args:
        data: the file.
        head: the head hash the log is known to have, kept elsewhere. Only with it can a log be told from one that was
            cut short or rewritten and hashed again as a whole.

    Returns:
        The first break, alone in a list; empty when the log holds.
    """
    file = read_canonical(data)
    broken = canonical_break(file.lines, file.ended) or head_break(file, head)
    return [] if broken is None else [broken]


@dataclass(frozen=True)
class Log:
    """A log read back: its rows in order and its last line."""

    rows: list[Mapping[str, Any]]
    head: Mapping[str, Any]


def parse(data: bytes) -> Log:
    """Read a canonical log without checking it."""
    file = read_canonical(data)
    return Log(file.rows, file.head)


def diff(old: bytes, new: bytes) -> str:
    """What happened differently between two logs, lane by lane; empty when nothing did.

    Hashes are left out: a changed row changes those of all that follow it, which says nothing more.
    """
    before, after = _by_lane(parse(old).rows), _by_lane(parse(new).rows)
    parts: list[str] = []
    for lane in sorted({*before, *after}, key=label_bytes):
        parts.extend(_lane_diff(lane, before.get(lane), after.get(lane)))
    return "\n".join(parts) + "\n" if parts else ""


def _lane_diff(lane: str, old: list[str] | None, new: list[str] | None) -> Iterator[str]:
    import difflib

    if old == new:
        return
    if old is None:
        yield f"lane {lane} (new)"
    elif new is None:
        yield f"lane {lane} (gone)"
    else:
        yield f"lane {lane}"
    lines = difflib.unified_diff(old or [], new or [], n=2, lineterm="")
    yield from ("  " + line for line in lines if not line.startswith(("---", "+++")))


def _by_lane(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    lanes: dict[str, list[str]] = {}
    for row in rows:
        lanes.setdefault(str(row.get("lane")), []).append(canonical(content_of(row)).decode("utf-8"))
    return lanes


_COLUMNS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("agent", lambda row: str(row.get("agent") or "-")),
    ("passport", lambda row: str(row.get("passport") or "-")),
    ("intent", lambda row: _short(row.get("intent"))),
    ("scope", lambda row: _short(", ".join(row.get("scopes", ())))),
    ("action", lambda row: str(row.get("action"))),
    ("service", lambda row: str(row.get("service") or "-")),
    ("result", lambda row: _result(row)),
)


def table(source: bytes | Iterable[ActEntry]) -> str:
    """An audit log as a table for people: one line a row with agent, passport, intent, scope, action, service, result.

    Args:
        source: a canonical log, whose order is kept, or a world's acts in the order they happened.
    """
    rows: Iterable[Mapping[str, Any]]
    if isinstance(source, bytes):
        rows = parse(source).rows
    else:
        rows = (render(act, row) for act in source for row in act.rows)
    cells = [("#", *(name for name, _ in _COLUMNS))]
    cells += [(str(number), *(show(row) for _, show in _COLUMNS)) for number, row in enumerate(rows, 1)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "".join("  ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in cells)


def _result(row: Mapping[str, Any]) -> str:
    parts = [row.get("outcome"), row.get("upstream_status"), row.get("code")]
    return " ".join(str(part) for part in parts if part is not None)


def _short(value: Any, length: int = 40) -> str:
    text = " ".join(str(value or "-").split())
    return text if len(text) <= length else text[: length - 1] + "…"
