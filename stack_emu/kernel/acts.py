"""Acts and lanes: the unit of state change, and the sequence it belongs to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.audit import Row
from stack_emu.kernel.ids import Derivation, text_id


@dataclass
class RowDraft:
    """A row under construction; what is None is filled from the act's caller and declaration at commit."""

    action: str
    layer: str
    outcome: str = "success"
    agent_id: str | None = None
    passport_jti: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    payload_hash: str | None = None
    duration_ms: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def set(self, *, agent_id: str | None = None, passport_jti: str | None = None, **metadata: Any) -> RowDraft:
        """Fill in who and what; keyword arguments other than the two columns go to ``metadata``. Returns itself."""
        if agent_id is not None:
            self.agent_id = agent_id
        if passport_jti is not None:
            self.passport_jti = passport_jti
        self.metadata.update({key: value for key, value in metadata.items() if value is not None})
        return self


@dataclass
class Act:
    """One request that changes state or uses a credential, one timer that fired, or one control step.

    Args:
        operation: its name.
        operator_id: whose chain the rows go on.
        lane: label of the lane it is recorded in (may be changed by the operation that creates an agent).
        key: hex SHA-256 of {operation, derivation lane, logical input}.
        ordinal: how many acts with this key came before.
        depth: causal depth.
        now_ms: the instant deadlines are counted from.
        stamp_ms: the instant written as a time stamp (``now_ms`` plus the lane's ticks under a virtual clock).
        derivation: source of ids.
        row: the principal row, kept on success and on refusal.
        position: how many acts of its lane came before.
    """

    operation: str
    operator_id: str
    lane: str
    key: str
    ordinal: int
    depth: int
    now_ms: int
    stamp_ms: int
    derivation: Derivation
    row: RowDraft
    lane_suffix: str = ""
    more: list[RowDraft] = field(default_factory=list)
    minted: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    position: int = 0

    @property
    def place(self) -> tuple[int, str, int]:
        """Where it stands among all acts: its instant, then its lane, then its position there, whoever came first."""
        return (self.now_ms, self.lane, self.position)

    @property
    def name(self) -> str:
        """What it is called where its key alone would do for equal acts as well: ``<key>:<ordinal>``."""
        return f"{self.key}:{self.ordinal}"

    def new_id(self, kind: str, prefix: str, length: int = 20) -> str:
        """A new id: ``prefix`` followed by ``length`` derived base32 characters."""
        value = prefix + text_id(self.derivation.take(kind), length)
        self.minted.append(value)
        return value

    def new_bytes(self, kind: str) -> bytes:
        """32 derived bytes, for keys and other secret values."""
        return self.derivation.take(kind)

    def new_number(self, kind: str, below: int) -> int:
        """A derived integer in ``range(below)``."""
        return int.from_bytes(self.derivation.take(kind), "big") % below

    def also(self, action: str, layer: str | None = None, **fields: Any) -> RowDraft:
        """Add a row about something else this act causes; it is dropped when the act is refused.

        Keyword arguments ``outcome``, ``agent_id``, ``passport_jti``, ``error_code`` and ``error_message`` fill columns, the
        rest goes to ``metadata``.
        """
        columns = {name: fields.pop(name) for name in _COLUMNS if name in fields}
        draft = RowDraft(action=action, layer=layer or self.row.layer, **columns)
        draft.metadata.update({key: value for key, value in fields.items() if value is not None})
        self.more.append(draft)
        return draft

    def rows(self, refused: bool, complete: Callable[[RowDraft], None]) -> tuple[Row, ...]:
        """The finished rows, unchained: the principal one, then (unless refused) the others.

        Args:
            refused: whether only the principal row is kept.
            complete: fills in what a draft leaves open.
        """
        drafts = [self.row] if refused else [self.row, *self.more]
        for draft in drafts:
            complete(draft)
        trace = ""
        rows = []
        for number, draft in enumerate(drafts):
            raw = self.derivation.take("row")
            trace = trace or "req_" + text_id(raw[12:])
            rows.append(self._finish(draft, trace, number, raw))
        return tuple(rows)

    def _finish(self, draft: RowDraft, trace: str, number: int, raw: bytes) -> Row:
        root = self.key[:15] + "0"
        return Row(
            entry_id="aud_" + text_id(raw),
            timestamp=self.stamp_ms,
            trace_id=trace,
            span_id=root if number == 0 else raw[24:32].hex(),
            parent_span_id=None if number == 0 else root,
            operator_id=self.operator_id,
            agent_id=_shared(draft.agent_id),
            passport_jti=_shared(draft.passport_jti),
            layer=draft.layer,
            action=draft.action,
            outcome=draft.outcome,
            duration_ms=draft.duration_ms,
            payload_hash=draft.payload_hash,
            error_code=draft.error_code,
            error_message=draft.error_message,
            metadata=dict(draft.metadata),
        )


def _shared(name: str | None) -> str | None:
    """A name that many rows have, held once for all of them: each request brings a text of its own."""
    return sys.intern(name) if type(name) is str else name


_COLUMNS = ("outcome", "agent_id", "passport_jti", "error_code", "error_message", "payload_hash")


@dataclass(slots=True)
class _Lane:
    open: dict[int, str] = field(default_factory=dict)
    last_closed: int = 0
    last_operation: str = ""


@dataclass(frozen=True)
class Overlap:
    """Two acts of one lane that were in flight together: their order is not the program's to rely on."""

    lane: str
    first: str
    second: str


class LaneWatch:
    """Notices acts that overlap inside a lane.

    Every request takes a ticket when it arrives; it enters its lane once that is known and leaves when it is answered.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self.overlaps: list[Overlap] = []

    def ticket(self) -> int:
        """A number that orders arrivals and departures."""
        self._sequence += 1
        return self._sequence

    def enter(self, lane: str, ticket: int, operation: str, apart: str = "") -> None:
        """Say that the request with this ticket is an act of ``lane``.

        Args:
            lane: its label.
            ticket: the request's.
            operation: its name, for messages.
            apart: act key of an act that will be recorded in a lane of its own; it overlaps only with its like.
        """
        state = self._lanes.setdefault((lane, apart), _Lane())
        if state.open:
            self.overlaps.append(Overlap(lane, next(iter(state.open.values())), operation))
        elif state.last_closed > ticket:
            self.overlaps.append(Overlap(lane, state.last_operation, operation))
        state.open[ticket] = operation

    def leave(self, lane: str, ticket: int, apart: str = "") -> None:
        """Say that the request has been answered."""
        state = self._lanes.get((lane, apart))
        if state is None:
            return
        operation = state.open.pop(ticket, None)
        if operation is not None:
            state.last_closed = self.ticket()
            state.last_operation = operation

    def clear(self) -> None:
        """Forget lanes and overlaps."""
        self._lanes.clear()
        self.overlaps.clear()


def scan_names(value: Any, known: Mapping[str, int]) -> int:
    """The largest depth among the ids in ``value`` (JSON data) that ``known`` has; 0 when there is none."""
    if isinstance(value, str):
        return known.get(value, 0)
    deepest = 0
    if isinstance(value, dict):
        for name, item in value.items():
            deepest = max(deepest, known.get(name, 0), scan_names(item, known))
    elif isinstance(value, (list, tuple)):
        for item in value:
            deepest = max(deepest, scan_names(item, known))
    return deepest
