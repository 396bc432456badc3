"""What a report shows of a log: lanes over causal order, summary counts, refusals explained, and whether it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.audit_log.acts import LoggedAct, actor, acts_of, brief, title_of
from stack_emu.audit_log.canonical_file import CHAIN_FIELDS, CanonicalFile, canonical
from stack_emu.audit_log.chains import label_bytes
from stack_emu.audit_log.raw_rows import RawFile
from stack_emu.audit_log.refusals import explained
from stack_emu.audit_log.verdicts import Verdict

SHOWN_ROWS = 5_000
"""Most rows that lanes show; counts cover all."""
_ISSUING = ("issue", "delegate", "start", "refresh")


@dataclass(frozen=True)
class ShownRow:
    """A row as the report shows it.

    Args:
        line: where it stands in the file.
        agent: the agent it is about, or empty.
        action: what was done.
        title: the same and to what.
        outcome: how it ended, one of the log's words.
        ended: the same with the code.
        explained: what a refusal means.
        fields: everything it says.
        text: all of it, lower-case, for searching.
    """

    line: int
    agent: str
    action: str
    title: str
    outcome: str
    ended: str
    explained: str
    fields: tuple[tuple[str, str], ...]
    text: str


@dataclass(frozen=True)
class Cell:
    """What stands in a lane at one place: an act, or a gap of some width."""

    width: int
    rows: tuple[ShownRow, ...] = ()


@dataclass(frozen=True)
class Lane:
    """A lane: its label, whose it is, and its cells from left to right."""

    label: str
    actor: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Timeline:
    """Lanes over columns, each of which is a step in causal order, with the instant where a new one begins."""

    columns: tuple[str, ...]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True)
class Report:
    """One log.

    Args:
        name: what it is called.
        verdict: whether it holds.
        timeline: its lanes.
        counts: rows, acts, lanes and agents, by name.
        outcomes: rows by outcome.
        actions: rows by action and outcome, the most frequent action first.
        refusals: rows that did not succeed: how often, what, how it ended, what that means.
        left_out: how many rows the lanes do not show.
    """

    name: str
    verdict: Verdict
    timeline: Timeline
    counts: tuple[tuple[str, int], ...]
    outcomes: tuple[tuple[str, int], ...]
    actions: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    refusals: tuple[tuple[int, str, str, str, str], ...]
    left_out: int


def rows_of(log: CanonicalFile | RawFile) -> list[Mapping[str, Any]]:
    """The rows of either kind of log, as rows of a canonical one."""
    return _raw_rows(log) if isinstance(log, RawFile) else log.rows


def _raw_rows(log: RawFile) -> list[Mapping[str, Any]]:
    """Raw rows with lanes: a passport's, an agent's, or an account's; rows of one trace are one act."""
    traces: dict[str, dict[str, int]] = {}
    stamps = [entry["timestamp"] for entry in log.entries if type(entry.get("timestamp")) is int]
    start = min(stamps, default=0)
    rows: list[Mapping[str, Any]] = []
    for entry in log.entries:
        agent, passport = entry.get("agent_id"), entry.get("passport_jti")
        lane = f"agent:{agent}" if agent else f"operator:{entry.get('operator_id')}"
        lane += f"/passport:{passport}" if agent and passport else ""
        acts = traces.setdefault(lane, {})
        metadata = entry.get("metadata")
        shown = {**metadata} if isinstance(metadata, dict) else {}
        shown.update({name: value for name, value in entry.items() if name != "metadata" and value is not None})
        shown.update(
            lane=lane, act=acts.setdefault(str(entry.get("trace_id")), len(acts)), agent=agent, passport=passport
        )
        shown["code"] = entry.get("error_code")
        if type(entry.get("timestamp")) is int:
            shown["at_ms"] = entry["timestamp"] - start
        rows.append({name: value for name, value in shown.items() if value is not None})
    return rows


def report(name: str, log: CanonicalFile | RawFile, verdict: Verdict) -> Report:
    """Everything a report shows of a log, broken or not.

    Args:
        name: what to call it.
        log: the log.
        verdict: what verifying it said.
    """
    rows = rows_of(log)
    lines = list(log.lines) if isinstance(log, RawFile) else list(range(1, len(rows) + 1))
    shown = acts_of(rows[:SHOWN_ROWS])
    every = acts_of(rows)
    agents = {str(row["agent"]) for row in rows if row.get("agent")}
    actions: dict[str, Counter[str]] = {}
    for row in rows:
        actions.setdefault(str(row.get("action")), Counter())[str(row.get("outcome"))] += 1
    refused = Counter(
        (title_of(row), str(row.get("agent") or ""), brief(row), explained(row))
        for row in rows
        if row.get("outcome") != "success"
    )
    return Report(
        name,
        verdict,
        _timeline(shown, lines),
        (("rows", len(rows)), ("acts", sum(map(len, every.values()))), ("lanes", len(every)), ("agents", len(agents))),
        tuple(Counter(str(row.get("outcome")) for row in rows).most_common()),
        tuple(
            (action, tuple(counts.most_common()))
            for action, counts in sorted(actions.items(), key=lambda item: (-item[1].total(), item[0]))
        ),
        tuple((count, *what) for what, count in refused.most_common()),
        max(0, len(rows) - SHOWN_ROWS),
    )


def _timeline(lanes: Mapping[str, Sequence[LoggedAct]], lines: Sequence[int]) -> Timeline:
    places = _places(lanes)
    keys = sorted(set(places.values()))
    column = {key: number for number, key in enumerate(keys)}
    heads: list[str] = []
    before: int | None = None
    for instant, _ in keys:
        heads.append("" if instant is None or instant == before else f"+{_duration(instant)}")
        before = instant
    shown: list[Lane] = []
    for label in sorted(lanes, key=label_bytes):
        at: dict[int, list[ShownRow]] = {}
        for act in lanes[label]:
            cell = at.setdefault(column[places[id(act)]], [])
            cell += [_shown(row, lines[line - 1]) for line, row in zip(act.lines, act.rows, strict=True)]
        cells: list[Cell] = []
        free = 0
        for number in sorted(at):
            if number > free:
                cells.append(Cell(number - free))
            cells.append(Cell(1, tuple(at[number])))
            free = number + 1
        if free < len(keys):
            cells.append(Cell(len(keys) - free))
        shown.append(Lane(label, actor(label), tuple(cells)))
    return Timeline(tuple(heads), tuple(shown))


def _places(lanes: Mapping[str, Sequence[LoggedAct]]) -> dict[int, tuple[int, int]]:
    """Where each act stands: its instant, and inside one its step, behind all it is known to follow."""
    follows = _follows(lanes)
    steps: dict[int, int] = {}
    places: dict[int, tuple[int, int]] = {}
    for acts in lanes.values():
        for act in acts:
            at = act.row.get("at_ms")
            places[id(act)] = (at if type(at) is int else 0, _step(act, follows, steps))
    return places


def _follows(lanes: Mapping[str, Sequence[LoggedAct]]) -> dict[int, list[LoggedAct]]:
    """What each act is known to come after.

    That is the act before it in its lane; what issued a passport, for all acts that name it; what revoked it, for those
    refused for that; and the last use of it, for what revoked it. A log says nothing more about the order of lanes.
    """
    issued, revoked = _issued_and_revoked(lanes)
    follows: dict[int, list[LoggedAct]] = {}
    for acts in lanes.values():
        last: LoggedAct | None = None
        for act in acts:
            known = follows.setdefault(id(act), [])
            if last is not None:
                known.append(last)
            last = act
            own = act.lane.partition("/passport:")[2].partition("/")[0]
            named = {passport for row in act.rows for passport in _passports(row)} | {own}
            known += [issued[name] for name in sorted(named) if name in issued and issued[name] is not act]
            if own in revoked:
                if act.row.get("code") == "PASSPORT_REVOKED":
                    known.append(revoked[own])
                else:
                    follows.setdefault(id(revoked[own]), []).append(act)
    return follows


def _issued_and_revoked(
    lanes: Mapping[str, Sequence[LoggedAct]],
) -> tuple[dict[str, LoggedAct], dict[str, LoggedAct]]:
    """The acts that issued and that revoked a passport, by its id."""
    issued: dict[str, LoggedAct] = {}
    revoked: dict[str, LoggedAct] = {}
    for act in (act for acts in lanes.values() for act in acts):
        for row in (row for row in act.rows if row.get("outcome") == "success"):
            for passport in (name for name in _passports(row) if f"/passport:{name}" not in act.lane):
                if str(row.get("action")).endswith(_ISSUING):
                    issued.setdefault(passport, act)
                elif str(row.get("action")).startswith("passport.revoke"):
                    revoked.setdefault(passport, act)
    return issued, revoked


def _passports(row: Mapping[str, Any]) -> list[str]:
    return [value for name in ("passport", "subject") if isinstance(value := row.get(name), str)]


def _step(act: LoggedAct, follows: Mapping[int, list[LoggedAct]], steps: dict[int, int]) -> int:
    """The step of an act: one behind the last of those it follows. Walked without recursion; a circle is cut."""
    waiting: list[LoggedAct] = [act]
    entered: set[int] = set()
    while waiting:
        now = waiting[-1]
        if id(now) in steps:
            waiting.pop()
            continue
        missing = [one for one in follows[id(now)] if id(one) not in steps and id(one) not in entered]
        if missing and id(now) not in entered:
            entered.add(id(now))
            waiting += missing
            continue
        steps[id(now)] = 1 + max((steps.get(id(one), -1) for one in follows[id(now)]), default=-1)
        waiting.pop()
    return steps[id(act)]


def _shown(row: Mapping[str, Any], line: int) -> ShownRow:
    fields = [(name, _text(value)) for name, value in sorted(row.items()) if name not in CHAIN_FIELDS]
    fields += [(name, _text(row[name])) for name in CHAIN_FIELDS if name in row]
    title, ended, meaning = title_of(row), brief(row), explained(row)
    text = " ".join([title, ended, *(value for _, value in fields)]).lower()
    return ShownRow(
        line,
        str(row.get("agent") or ""),
        str(row.get("action")),
        title,
        str(row.get("outcome")),
        ended,
        meaning,
        tuple(fields),
        text,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode("utf-8")


def _duration(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds, rest = divmod(milliseconds, 1000)
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    said = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(said + ([f"{rest} ms"] if rest else []))
