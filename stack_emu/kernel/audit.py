"""Audit rows in two forms: a raw hash chain per operator as they arrive, and a canonical log with a chain per lane."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from stack_emu.kernel.act_store import Acts, Rows
from stack_emu.kernel.audit_chain import Chain
from stack_emu.kernel.canonical import canonical_json

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Row:
    """One audit row. Times are epoch milliseconds; ``metadata`` holds what has no column of its own."""

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
    duration_ms: int | None = None
    payload_hash: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    prev_entry_hash: str = GENESIS
    entry_hash: str = ""


_COLUMNS = tuple(column.name for column in fields(Row))


def as_dict(row: Row) -> dict[str, Any]:
    """A row as JSON data, its columns in their order; what it holds is shared, not copied."""
    return {name: getattr(row, name) for name in _COLUMNS}


@dataclass(frozen=True, slots=True)
class ActEntry:
    """The rows of one act, with what the canonical log needs to order them.

    Args:
        lane: label of the lane the act is recorded in.
        sequence: commit order in the world.
        key: hex act key.
        ordinal: number among acts of the same key.
        depth: causal depth, 1 + the largest depth of the acts whose ids this one names.
        operation: name of the operation, timer or control step.
        rows: the rows in the order the operation defines.
        now_ms: the instant the act's deadlines were counted from, without the ticks of its time stamps.
    """

    lane: str
    sequence: int
    key: str
    ordinal: int
    depth: int
    operation: str
    rows: tuple[Row, ...]
    now_ms: int = 0

    @property
    def name(self) -> str:
        """As ``Act.name``."""
        return f"{self.key}:{self.ordinal}"


RowHash = Callable[[Row], str]


@dataclass(frozen=True)
class AuditImage:
    """A picture of an audit log."""

    chains: dict[str, Rows]
    acts: Acts

    @classmethod
    def of(cls, acts: Iterable[ActEntry]) -> AuditImage:
        """The picture of a log with these acts, in commit order, their rows chained as they are."""
        chains: dict[str, Rows] = {}
        made = Acts()
        for number, act in enumerate(acts):
            made.append(act)
            for at, row in enumerate(act.rows):
                chains.setdefault(row.operator_id, Rows(made)).add(number, at)
        return cls(chains, made)


class AuditLog:
    """The raw chains and the acts of one world.

    Args:
        row_hash: computes ``entry_hash`` from a row whose ``prev_entry_hash`` is set.
    """

    def __init__(self, row_hash: RowHash) -> None:
        self.row_hash = row_hash
        self._chains: dict[str, Chain] = {}
        self._acts = Acts()

    def append(self, act: ActEntry) -> ActEntry:
        """Chain the rows of an act onto their operators' chains and keep the act; returns it with hashes filled in."""
        if self._acts.is_about_to_put_away:
            for chain in self._chains.values():
                chain.follow()
        number = len(self._acts)
        # The act was made for this log a moment ago and nobody else has it yet: finishing it in place is not a change.
        object.__setattr__(act, "sequence", number)
        before = {row.operator_id: self._head(row.operator_id) for row in act.rows}
        for at, row in enumerate(act.rows):
            object.__setattr__(row, "prev_entry_hash", before[row.operator_id])
            object.__setattr__(row, "entry_hash", self.row_hash(row))
            before[row.operator_id] = row.entry_hash
            self.rows(row.operator_id).add(number, at)
        self._acts.append(act)
        return act

    def _head(self, operator_id: str) -> str:
        rows = self.rows(operator_id)
        return rows[-1].entry_hash if rows else GENESIS

    def chain(self, operator_id: str) -> Chain:
        """The raw chain of an operator, to find rows in."""
        found = self._chains.get(operator_id)
        if found is None:
            found = self._chains[operator_id] = Chain(Rows(self._acts))
        return found

    def rows(self, operator_id: str) -> Rows:
        """The raw chain of an operator, oldest first. It grows with the log: do not change it."""
        rows: Rows = self.chain(operator_id).rows
        return rows

    def acts(self) -> Acts:
        """Every act in commit order. It grows with the log: do not change it."""
        return self._acts

    def tamper(self, operator_id: str, index: int, **changes: Any) -> Row:
        """Change a row in place without rehashing, to show that verification notices.

        Raises:
            IndexError: when the chain has no such row.
        """
        chain = self.chain(operator_id)
        changed: Row = replace(chain.rows[index], **changes)
        chain.replace(index, changed)
        return changed

    def image(self) -> AuditImage:
        """A picture that later rows do not change."""
        acts = self._acts.picture()
        chains = {tenant: chain.rows.picture(acts) for tenant, chain in self._chains.items() if chain.rows}
        return AuditImage(chains, acts)

    def restore(self, image: AuditImage) -> None:
        """Return to a picture; the picture can be used again."""
        self._acts = image.acts.picture()
        self._chains = {tenant: Chain(rows.picture(self._acts)) for tenant, rows in image.chains.items()}


@dataclass(frozen=True)
class Break:
    """Where a chain stops holding: the row's index, its id and what is wrong."""

    index: int
    entry_id: str
    problem: str


def verify_chain(rows: Iterable[Row], row_hash: RowHash, start: str = GENESIS) -> Break | None:
    """Walk a chain and return its first break, or None.

    Args:
        rows: oldest first.
        row_hash: the formula the chain was made with.
        start: the hash the first row must link to.
    """
    previous = start
    for index, row in enumerate(rows):
        if row.prev_entry_hash != previous:
            return Break(index, row.entry_id, "prev_entry_hash does not equal the hash of the row before")
        if row_hash(row) != row.entry_hash:
            return Break(index, row.entry_id, "entry_hash does not equal the hash of the row's own content")
        previous = row.entry_hash
    return None


RowRender = Callable[[ActEntry, Row], Mapping[str, Any]]


FORMAT = "stack-emu-audit/1"
JOURNAL_FORMAT = "stack-emu-journal/1"
FORMATS = (FORMAT, JOURNAL_FORMAT)
"""Formats of logs in this form: of what happened, and of how it was asked for."""

ORDERS = ("commit", "content")


def canonical_lines(acts: Sequence[ActEntry], render: RowRender, *, order: str = "commit") -> Iterator[bytes]:
    """The canonical log as JSON lines without newlines: lanes by label bytes, a hash chain in each, then the head.

    Each line is the rendered row with ``lane``, ``act`` (number of the act in its lane), ``n`` (number of the row in
    its lane), ``prev`` and ``hash``, the SHA-256 of the canonical JSON of the line without ``hash``. The last line is
    ``{"format", "head", "lanes": {label: hash}, "order", "rows"}``, where ``head`` is the SHA-256 of the canonical JSON
    of that line without ``head``. ``docs/audit-format.md`` has test vectors.

    Args:
        acts: in commit order.
        render: what a row looks like in this log; called in the order of the log.
        order: ``commit`` keeps commit order inside a lane, ``content`` sorts by (depth, key, ordinal), which does not
            depend on how concurrent acts of one lane interleaved.

    Raises:
        ValueError: for another order.
    """
    return chained_lines(
        acts, lambda act: bool(act.rows), lambda act: (render(act, row) for row in act.rows), form=FORMAT, order=order
    )


def chained_lines(
    acts: Sequence[ActEntry],
    told: Callable[[ActEntry], bool],
    lines_of: Callable[[ActEntry], Iterable[Mapping[str, Any]]],
    *,
    form: str,
    order: str = "commit",
) -> Iterator[bytes]:
    """Lines about acts, in the order and with the chains and the head of ``canonical_lines``.

    Args:
        acts: in commit order; they are read as they are needed, each once or twice.
        told: whether there are lines about an act.
        lines_of: what an act's lines hold, apart from their chain; called in the order of the log.
        form: the ``format`` of the last line.
        order: as for ``canonical_lines``.

    Raises:
        ValueError: for another order.
    """
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {order}")
    known = acts if isinstance(acts, Acts) else Acts(acts)
    lanes = known.by_lane()
    heads: dict[str, str] = {}
    total = 0
    for lane in sorted(lanes, key=lambda label: label.encode("utf-8", "surrogatepass")):
        previous, number = GENESIS, 0
        for position, act in enumerate(filter(told, _ordered(known, lanes[lane], order))):
            for content in lines_of(act):
                line = {**content, "lane": lane, "act": position, "n": number, "prev": previous}
                previous, written = _with_hash(line)
                yield written
                number += 1
        if number:
            heads[lane] = previous
        total += number
    last = {"format": form, "lanes": heads, "order": order, "rows": total}
    yield canonical_json({**last, "head": hashlib.sha256(canonical_json(last)).hexdigest()})


def _with_hash(line: Mapping[str, Any]) -> tuple[str, bytes]:
    """The hash of a line, and the line with it; what stands on either side of it is written once for both."""
    before = canonical_json({name: value for name, value in line.items() if name < "hash"})[:-1]  # has at least "act"
    behind = canonical_json({name: value for name, value in line.items() if name > "hash"})[1:]  # has at least "lane"
    found = hashlib.sha256(b"%b,%b" % (before, behind)).hexdigest()
    return found, b'%b,"hash":"%b",%b' % (before, found.encode("ascii"), behind)


def _ordered(acts: Sequence[ActEntry], numbers: Iterable[int], order: str) -> Iterator[ActEntry]:
    if order == "content":
        keyed = ((number, acts[number]) for number in numbers)
        numbers = [number for *_, number in sorted((act.depth, act.key, act.ordinal, number) for number, act in keyed)]
    return (acts[number] for number in numbers)
