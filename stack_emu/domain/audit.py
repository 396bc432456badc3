"""The raw audit log: listing it, exporting it and checking its chain.

Columns and hash formula are those of docs/api/audit. Rows carry one field more, ``metadata``, with what STACK has no
column for; it is outside the hash, like most columns.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import chain, islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stack_emu.audit_log.raw_rows import cell
from stack_emu.domain import faults
from stack_emu.domain.audit_hash import row_hash
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.partners import made_with_grant
from stack_emu.domain.tiers import kept_since_ms
from stack_emu.kernel.audit import GENESIS, Row, verify_chain
from stack_emu.kernel.audit_chain import Chain
from stack_emu.kernel.clock import ISO_PATTERN, iso, parse_iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Auth, Command, Download, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.world import World

EXPORT_LIMIT = 50_000
_TOGETHER = 200
"""How many rows of an export are made at a time."""
_as_line = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
COLUMNS = tuple(column.name for column in fields(Row) if column.name != "metadata")

_READ = Auth(bearers=ACCOUNT, scope="audit:read", role="readonly")
_MEDIA = {"application/x-ndjson": "ndjson", "application/ndjson": "ndjson", "text/csv": "csv"}


def _instant(text: str) -> str:
    try:
        parse_iso(text)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO-8601 instant or date, such as 2026-01-01T00:00:00Z") from None
    return text


Instant = Annotated[
    str, AfterValidator(_instant), Field(json_schema_extra=written_as(pattern=ISO_PATTERN, format="date-time"))
]


class ListAudit(Command):
    """Which rows to list."""

    limit: int = Field(20, ge=1, le=100, description="At most this many rows, 1 to 100")
    since: int | None = Field(None, ge=0, description="Only rows newer than this instant, in epoch milliseconds")
    agent_id: str | None = Field(None, description="Only rows of this agent")
    passport_jti: str | None = Field(None, description="Only rows of this passport")
    action: str | None = Field(None, description="Only rows with this action, such as credential.proxy")
    page: int | None = Field(None, ge=1, description="Page number from 1; with it the reply is a bare array (SDK 0.1)")


class AuditEntry(Reply):
    """One row of the raw log."""

    entry_id: str
    timestamp: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    operator_id: str
    agent_id: str | None
    passport_jti: str | None
    layer: str
    action: str
    outcome: str
    duration_ms: int | None
    payload_hash: str | None
    error_code: str | None
    error_message: str | None
    prev_entry_hash: str
    entry_hash: str
    metadata: dict[str, Any]


class AuditPage(Reply):
    """Rows, newest first."""

    entries: list[AuditEntry]
    max_timestamp: int | None


class ExportAudit(Command):
    """Which rows to export, and how."""

    from_: Instant | None = Field(None, alias="from", description="First instant, ISO-8601, inclusive")
    to: Instant | None = Field(None, description="Last instant, ISO-8601, exclusive")
    agent_id: str | None = Field(None, description="Only rows of this agent")
    passport_jti: str | None = Field(None, description="Only rows of this passport")
    action: str | None = Field(None, description="Only rows with this action")
    format: Literal["json", "ndjson", "csv"] | None = Field(
        None, description="json (default), ndjson or csv; the Accept header says it too"
    )
    accept: str = Field("", description="Media types wanted: application/json, application/x-ndjson or text/csv")


class AuditExport(Reply):
    """Rows, oldest first. ``truncated`` says that more than 50,000 matched: go on from the last timestamp."""

    entries: list[AuditEntry]
    count: int
    truncated: bool


class VerifyChain(Command):
    """Which part of the chain to check."""

    from_: Instant | None = Field(None, alias="from", description="First instant, ISO-8601, inclusive")
    to: Instant | None = Field(None, description="Last instant, ISO-8601, exclusive")
    limit: int | None = Field(None, ge=1, description="At most this many rows, from the oldest")


class ChainBreak(Reply):
    """Where the chain stops holding."""

    index: int
    entry_id: str
    timestamp: int
    problem: str


class ChainReport(Reply):
    """What checking the chain found."""

    valid: bool
    checked: int
    first_break: ChainBreak | None
    head: str


class ChainHead(Reply):
    """The end of the chain."""

    entry_hash: str
    entry_count: int
    entry_id: str | None
    timestamp: int | None


def entry_of(row: Row) -> AuditEntry:
    """A row as the API shows it."""
    return AuditEntry(**{name: getattr(row, name) for name in COLUMNS}, metadata=dict(row.metadata))


def visible(ctx: Context) -> Callable[[Row], bool]:
    """Which rows a caller may see: a member limited to connections sees no row about another one.

    A grant's token sees the rows of the agents that were made with it.
    """
    caller, allowed = ctx.caller, ctx.caller.allowed_connections
    if caller.grant_id is not None:
        return lambda row: made_with_grant(ctx.world, caller, row.agent_id)
    if allowed is None:
        return lambda row: True
    return lambda row: row.metadata.get("connection") is None or row.metadata["connection"] in allowed


def first_kept(world: World, operator_id: str) -> int:
    """The place in an account's chain of the first row its tier still shows; all that follow are shown."""
    cutoff = kept_since_ms(world, operator_id)
    return 0 if cutoff is None else world.audit.chain(operator_id).first_since(cutoff)


def _selected(
    ctx: Context,
    command: ListAudit | ExportAudit,
    *,
    newest_first: bool = False,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> Iterator[Row]:
    wanted = {
        name: value for name in ("agent_id", "passport_jti", "action") if (value := getattr(command, name)) is not None
    }
    found = ctx.world.audit.chain(ctx.operator_id).select(
        newest_first=newest_first,
        from_ms=from_ms,
        to_ms=to_ms,
        from_place=first_kept(ctx.world, ctx.operator_id),
        **wanted,
    )
    return filter(visible(ctx), found)


@operation(
    "audit.list",
    rest=Rest("GET", "/v1/audit"),
    tool=Tool("stack_list_audit", read_only=True, hidden=("page",)),
    auth=_READ,
    source="sdk 4.0.0 audit.list; sdk 0.1.0 audit.list (page, action); docs/api/audit",
    grade="documented",
)
def list_audit(ctx: Context, command: ListAudit) -> AuditPage | list[AuditEntry]:
    """List audit rows the tier still keeps, newest first. Poll with ``since`` set to the last ``max_timestamp``."""
    from_ms = None if command.since is None else command.since + 1
    rows = _selected(ctx, command, newest_first=True, from_ms=from_ms)
    skipped = 0 if command.page is None else (command.page - 1) * command.limit
    chosen = [row for _, row in zip(range(skipped + command.limit), rows)][skipped:]  # noqa: B905 - stops at either end
    entries = [entry_of(row) for row in chosen]
    if command.page is not None:
        return entries
    return AuditPage(entries=entries, max_timestamp=max((row.timestamp for row in chosen), default=None))


@operation(
    "audit.export",
    rest=Rest("GET", "/v1/audit/export", headers={"Accept": "accept"}, media=("application/x-ndjson", "text/csv")),
    tool=Tool("stack_export_audit", read_only=True, hidden=("accept",)),
    auth=_READ,
    source="docs/api/audit (parameters, formats, row limit); the shape of the JSON form is not published",
    grade="documented",
)
def export_audit(ctx: Context, command: ExportAudit) -> AuditExport | Download:
    """Export audit rows, oldest first, as JSON, NDJSON or CSV; at most 50,000 rows."""
    from_ms, to_ms = _window(command.from_, command.to)
    chosen = list(islice(_selected(ctx, command, from_ms=from_ms, to_ms=to_ms), EXPORT_LIMIT + 1))
    truncated = len(chosen) > EXPORT_LIMIT
    del chosen[EXPORT_LIMIT:]
    form = command.format or _accepted(command.accept)
    if form == "ndjson":
        return Download(map(_lines, _batches(chosen)), "application/x-ndjson", "audit.ndjson")
    if form == "csv":
        pieces = chain([_csv([(*COLUMNS, "metadata")])], (_csv(map(_cells, rows)) for rows in _batches(chosen)))
        return Download(pieces, "text/csv; charset=utf-8", "audit.csv")
    return AuditExport(entries=[entry_of(row) for row in chosen], count=len(chosen), truncated=truncated)


def _accepted(accept: str) -> str:
    kinds = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return next((_MEDIA[kind] for kind in kinds if kind in _MEDIA), "json")


def _window(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    first = parse_iso(start) if start is not None else None
    last = parse_iso(end) if end is not None else None
    if first is not None and last is not None and last < first:
        problem = f"to ({iso(last)}) is before from ({iso(first)})"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"to": problem}})
    return first, last


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    return (rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER))


def _lines(rows: list[Row]) -> bytes:
    return "".join(_as_line(_flat(row)) + "\n" for row in rows).encode("utf-8")


def _flat(row: Row) -> dict[str, Any]:
    return {**{name: getattr(row, name) for name in COLUMNS}, "metadata": dict(row.metadata)}


def _csv(lines: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(lines)
    return out.getvalue().encode("utf-8")


def _cells(row: Row) -> tuple[Any, ...]:
    cells = [cell(getattr(row, name)) for name in COLUMNS]
    return (*cells, json.dumps(dict(row.metadata), sort_keys=True, ensure_ascii=False))


@operation(
    "audit.verify_chain",
    rest=Rest("GET", "/v1/audit/verify-chain"),
    tool=Tool("stack_verify_audit_chain", read_only=True),
    auth=_READ,
    source="sdk 4.0.0 audit.verify_chain; docs/api/audit (what is checked); the shape of the reply is not published",
    grade="sdk-implied",
)
def verify_audit_chain(ctx: Context, command: VerifyChain) -> ChainReport:
    """Recompute the hashes and links of the rows the tier still shows, and report the first break."""
    found_in = ctx.world.audit.chain(ctx.operator_id)
    rows = found_in.rows
    first, last = _between(found_in, first_kept(ctx.world, ctx.operator_id), *_window(command.from_, command.to))
    last = last if command.limit is None else min(last, first + command.limit)
    chosen = islice(rows.since(first), max(0, last - first))
    found = verify_chain(chosen, row_hash, rows[first - 1].entry_hash if first else GENESIS)
    broken = None
    if found is not None:
        row = rows[first + found.index]
        broken = ChainBreak(
            index=first + found.index, entry_id=found.entry_id, timestamp=row.timestamp, problem=found.problem
        )
    checked = max(0, last - first) if found is None else found.index + 1
    head = rows[last - 1].entry_hash if last > first else GENESIS
    return ChainReport(valid=found is None, checked=checked, first_break=broken, head=head)


def _between(chain: Chain, kept: int, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    """Places of the first row within the instants and behind the last; stamps of different lanes need not rise in between."""
    first, last = chain.span(from_ms, to_ms)
    first = max(first, kept)
    if from_ms is None and to_ms is None:
        return first, last

    def inside(place: int) -> bool:
        stamp = chain.rows[place].timestamp
        return (from_ms is None or stamp >= from_ms) and (to_ms is None or stamp < to_ms)

    begins = next(filter(inside, range(first, last)), None)
    if begins is None:
        return len(chain.rows), len(chain.rows)
    return begins, next(filter(inside, reversed(range(begins, last)))) + 1


@operation(
    "audit.chain_head",
    rest=Rest("GET", "/v1/audit/chain-head"),
    tool=Tool("stack_get_audit_chain_head", read_only=True),
    auth=_READ,
    source="sdk 4.0.0 audit.chain_head (latest hash and count); the names in the reply are not published",
    grade="sdk-implied",
)
def audit_chain_head(ctx: Context, command: Command) -> ChainHead:
    """The hash of the newest audit row and how many rows the chain has, those the tier no longer shows included."""
    rows = ctx.world.audit.rows(ctx.operator_id)
    last = rows[-1] if rows else None
    return ChainHead(
        entry_hash=last.entry_hash if last else GENESIS,
        entry_count=len(rows),
        entry_id=last.entry_id if last else None,
        timestamp=last.timestamp if last else None,
    )
