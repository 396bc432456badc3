"""The canonical audit log: what stands in a line, and reading such a log back without an emulator.

The format, with test vectors, is specified in ``docs/audit-format.md``. A line holds nothing that differs between two
runs of the same program: no instants under a real clock, no durations, no trace ids, no client-made values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.audit import FORMAT, GENESIS, ORDERS, ActEntry, Row, canonical_lines
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.world import World

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

FORMATS = (FORMAT, "stack-emu-journal/1")
"""The formats that are read back here: this one, and that of ``canonical_journal``."""

_CHAIN_FIELDS = ("hash", "prev", "n", "act", "lane")


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


def canonical_log(world: World, order: str = "commit") -> bytes:
    """The canonical log of a world as JSON Lines, every line ended by a newline.

    Args:
        world: the world.
        order: ``commit``, or ``content`` for programs that call concurrently within a lane.
    """
    renderer = Renderer(world.clock.start_ms if world.clock.virtual else None)
    return b"".join(line + b"\n" for line in canonical_lines(world.audit.acts(), renderer, order=order))


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a log: the line it was noticed on (counted from 1), the lane if known, and a sentence."""

    line: int
    lane: str | None
    problem: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", lane {self.lane}" if self.lane else "")
        return f"{where}: {self.problem}"


@dataclass(frozen=True)
class Log:
    """A log read back: its rows in order, its last line, and what is wrong with it."""

    rows: list[dict[str, Any]]
    head: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)


def verify(data: bytes, *, head: str | None = None) -> list[Problem]:
    """Check a canonical log: form, order and chains of its lines, and that the last line covers them all.

    Args:
        data: the file.
        head: the head hash the log is known to have, kept elsewhere. Only with it can a log be told from one that was
            cut short or rewritten and hashed again as a whole.

    Returns:
        Every problem found; empty when the log holds.
    """
    log = parse(data)
    problems = list(log.problems)
    if head is not None and log.head.get("head") != head:
        problems.append(Problem(data.count(b"\n"), None, f"the head is {log.head.get('head')}, not {head} as expected"))
    return problems


def parse(data: bytes) -> Log:
    """Read a canonical log, checking it on the way."""
    reader = _Reader()
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    elif data:
        reader.note(len(lines), None, "the last line is not ended by a newline; the file was cut short")
    for number, line in enumerate(lines, 1):
        reader.read(number, line)
    reader.finish(len(lines))
    return Log(reader.rows, reader.head, reader.problems)


class _Reader:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.head: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._heads: dict[str, str] = {}
        self._lane: str | None = None
        self._counts: dict[str, int] = {}

    def note(self, line: int, lane: str | None, problem: str) -> None:
        self.problems.append(Problem(line, lane, problem))

    def read(self, number: int, raw: bytes) -> None:
        try:
            line = json.loads(raw)
        except ValueError:
            self.note(number, None, "this is not JSON")
            return
        if not isinstance(line, dict):
            self.note(number, None, "this is not a JSON object")
            return
        if _canonical(line) != raw:
            self.note(number, line.get("lane"), "the line is not in canonical form (RFC 8785)")
        if self.head:
            self.note(number, line.get("lane"), "there is a line behind the head")
        elif "head" in line:
            self._read_head(number, line)
        else:
            self._read_row(number, line)

    def _read_row(self, number: int, line: dict[str, Any]) -> None:
        lane = str(line.get("lane"))
        if lane != self._lane:
            if lane in self._heads:
                self.note(number, lane, "the lane is continued after another one")
            elif self._lane is not None and _label(lane) < _label(self._lane):
                self.note(number, lane, f"the lane stands behind {self._lane}, which sorts after it")
            self._lane = lane
        expected = self._counts.get(lane, 0)
        if line.get("n") != expected:
            self.note(number, lane, f"the row is number {line.get('n')} of its lane, where {expected} was due")
        if line.get("prev") != self._heads.get(lane, GENESIS):
            self.note(number, lane, "prev does not equal the hash of the row before")
        if _hash_without(line, "hash") != line.get("hash"):
            self.note(number, lane, "hash does not equal the hash of the line's own content")
        self._heads[lane] = str(line.get("hash"))
        self._counts[lane] = expected + 1
        self.rows.append(line)

    def _read_head(self, number: int, line: dict[str, Any]) -> None:
        self.head = line
        if line.get("format") not in FORMATS:
            self.note(number, None, f"the format is {line.get('format')}; this verifier knows {' and '.join(FORMATS)}")
        if line.get("order") not in ORDERS:
            self.note(number, None, f"the order is {line.get('order')}, which is not one of {', '.join(ORDERS)}")
        if _hash_without(line, "head") != line.get("head"):
            self.note(number, None, "head does not equal the hash of the line's own content")
        if line.get("rows") != len(self.rows):
            self.note(number, None, f"the head counts {line.get('rows')} rows, the log has {len(self.rows)}")
        lanes = line.get("lanes")
        declared: dict[str, Any] = lanes if isinstance(lanes, dict) else {}
        for lane in sorted({*declared, *self._heads}, key=_label):
            if declared.get(lane) != self._heads.get(lane):
                self.note(number, lane, "the head names another hash for the end of this lane")

    def finish(self, lines: int) -> None:
        if not self.head:
            self.note(lines, None, "the last line, which holds the head, is missing; the file was cut short")


def head_sha256(data: bytes) -> str:
    """The head hash of a canonical log: 64 hex digits that stand for every row in it.

    Raises:
        ValueError: when the last line is no head.
    """
    last = data.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        head = json.loads(last)["head"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("the last line of this file holds no head; it is not a whole canonical log") from None
    return str(head)


def rehash(data: bytes) -> bytes:
    """A changed log with all its numbers and hashes made right again, as someone who controls the file could do.

    It verifies, unless its head is compared with one that was kept elsewhere: that is what a kept head is for.
    """
    log = parse(data)
    previous: dict[str, str] = {}
    counts: dict[str, int] = {}
    lines: list[bytes] = []
    for row in log.rows:
        lane = str(row.get("lane"))
        line = {**row, "n": counts.get(lane, 0), "prev": previous.get(lane, GENESIS)}
        line["hash"] = previous[lane] = _hash_without(line, "hash")
        counts[lane] = line["n"] + 1
        lines.append(canonical_json(line))
    head = {**log.head, "lanes": previous, "rows": len(lines)}
    head["head"] = _hash_without(head, "head")
    return b"".join(line + b"\n" for line in [*lines, canonical_json(head)])


def content(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line without its chain: what happened, and nothing about where it stands."""
    return {name: value for name, value in row.items() if name not in _CHAIN_FIELDS}


def diff(old: bytes, new: bytes) -> str:
    """What happened differently between two logs, lane by lane; empty when nothing did.

    Hashes are left out: a changed row changes those of all that follow it, which says nothing more.
    """
    before, after = _by_lane(parse(old).rows), _by_lane(parse(new).rows)
    parts: list[str] = []
    for lane in sorted({*before, *after}, key=_label):
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
        lanes.setdefault(str(row.get("lane")), []).append(_canonical(content(row)).decode("utf-8"))
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


def _canonical(value: Any) -> bytes:
    try:
        return canonical_json(value)
    except ValueError:
        return b""


def _hash_without(line: Mapping[str, Any], name: str) -> str:
    rest = {key: value for key, value in line.items() if key != name}
    return hashlib.sha256(_canonical(rest)).hexdigest()


def _label(lane: str) -> bytes:
    return lane.encode("utf-8", "surrogatepass")
