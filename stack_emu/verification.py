"""What must have happened: one vocabulary for a scenario's ``expect``, the control API, the client and the fixture.

Everything that is expected is compared with records of what happened, by the matching that routes use, so a failure can say
which record came nearest and what differed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from stack_emu.hosting import HostedWorld
from stack_emu.kernel.audit import ActEntry, Row
from stack_emu.kernel.clock import iso
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.matching import Difference, Pattern, json_differences
from stack_emu.kernel.near_miss import Candidate, nearest_of, recorded_side_by_side
from stack_emu.scenario.run_models import (
    CountRange,
    Expectation,
    Expected,
    ExpectedCall,
    ExpectedModelCall,
    ExpectedOperation,
    ExpectedRow,
    ExpectedSend,
    Within,
)
from stack_emu.scenario.values import format_duration

_PARTS = {"method", "host", "path", "query", "headers", "body", "jsonpath"}
_MODEL = ("messages", "openai")
_SENT = ("webhook", "callback")


@dataclass(frozen=True)
class Unmet:
    """An expectation that does not hold.

    Args:
        place: where it stands, such as ``upstream[0]``.
        sentence: what was expected and what was seen instead.
        near: the nearest records side by side with what was expected.
    """

    place: str
    sentence: str
    near: str | None = None


@dataclass(frozen=True)
class Record:
    """Something that happened.

    Args:
        number: its place in the journal or the audit log.
        at_ms: when, in epoch milliseconds on the world's clock.
        name: what tables call it.
        facts: what can be asked about it.
        request: the request, for what patterns of requests look at.
        moment: where it stands among everything that happened, whatever it is: how many exchanges had begun by then,
            and for a row, which stands behind the exchange that it was written in, its number.
    """

    number: int
    at_ms: int
    name: str
    facts: Mapping[str, Any]
    request: SeenCall | None = None
    moment: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class SeenCall:
    """A recorded request in the form patterns look at."""

    method: str
    path: str
    host: str = ""
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Any = None


@dataclass(frozen=True)
class _Kind:
    """How one section of expectations is checked: what happened, what is called what, and what facts are asked for."""

    section: str
    records: Callable[[HostedWorld, Any], list[Record]]
    describe: Callable[[Any], str]
    facts: Callable[[HostedWorld, Any], Mapping[str, Any]]


def unmet(hosted: HostedWorld, expect: Expectation) -> list[Unmet]:
    """The expectations that do not hold so far.

    Args:
        hosted: the world.
        expect: what must have happened.
    """
    return [found for _, found in checked(hosted, expect) if found is not None]


def checked(hosted: HostedWorld, expect: Expectation) -> Iterator[tuple[str, Unmet | None]]:
    """Every expectation with what it is called, and how it fails; None when it holds."""
    for kind in _KINDS:
        for index, wanted in enumerate(getattr(expect, kind.section)):
            place = f"{kind.section}[{index}]"
            yield f"{place}: {_times(wanted)} {kind.describe(wanted)}", _unmet(hosted, kind, wanted, place)
    if expect.order:
        yield "order", _out_of_order(hosted, expect)


def _unmet(hosted: HostedWorld, kind: _Kind, wanted: Expected, place: str) -> Unmet | None:
    records = kind.records(hosted, wanted)
    candidates = [_compared(hosted, kind, wanted, record) for record in records]
    count = sum(not candidate.differences for candidate in candidates)
    if _holds(count, wanted):
        return None
    sentence = f"expected {_times(wanted)} {kind.describe(wanted)}, saw {count}"
    if count:
        return Unmet(place, sentence, _listed(records, candidates))
    near = nearest_of(candidates)
    return Unmet(place, sentence + _closest(near), recorded_side_by_side(near) or None)


def _closest(near: Sequence[Candidate]) -> str:
    """What came nearest, as the end of a sentence; nothing when nothing did."""
    if not near:
        return ""
    reasons = "; ".join(str(difference) for difference in near[0].differences)
    return f"; the closest was {near[0].name.partition(' ')[2]}, but {reasons}"


def _listed(records: Sequence[Record], candidates: Sequence[Candidate]) -> str:
    """The records that did match, when there are more or fewer of them than expected."""
    matching = [record for record, candidate in zip(records, candidates, strict=True) if not candidate.differences]
    return "\n".join(f"{record.name} at {iso(record.at_ms)}" for record in matching[:10])


def _compared(hosted: HostedWorld, kind: _Kind, wanted: Expected, record: Record) -> Candidate:
    differences: list[Difference] = []
    given = wanted.model_dump(exclude_none=True, exclude_unset=True)
    if record.request is not None:
        pattern = Pattern.from_dict({key: value for key, value in given.items() if key in _PARTS})
        differences += pattern.difference(record.request)
    for name, value in kind.facts(hosted, wanted).items():
        differences += json_differences(value, record.facts.get(name), name)
    differences += _outside(hosted, wanted.within, record)
    return Candidate(record.name, tuple(differences))


def _outside(hosted: HostedWorld, within: Within | None, record: Record) -> Iterator[Difference]:
    if within is None:
        return
    elapsed = record.at_ms - hosted.world.clock.start_ms
    shown = f"+{format_duration(elapsed)}"
    if within.after is not None and elapsed < within.after:
        yield Difference("at", shown, f"+{format_duration(within.after)} or later")
    if within.before is not None and elapsed >= within.before:
        yield Difference("at", shown, f"before +{format_duration(within.before)}")


def _holds(count: int, wanted: Expected) -> bool:
    times = wanted.times
    if wanted.never:
        return count == 0
    if times is None:
        return count >= 1
    if isinstance(times, CountRange):
        least, most = times.at_least or 0, times.at_most
        return count >= least and (most is None or count <= most)
    return count == times


def _times(wanted: Expected) -> str:
    times = wanted.times
    if wanted.never:
        return "no"
    if times is None:
        return "at least one"
    if not isinstance(times, CountRange):
        return f"exactly {times}"
    if times.at_most is None:
        return f"at least {times.at_least}"
    return f"at most {times.at_most}" if times.at_least is None else f"{times.at_least} to {times.at_most}"


# --- order ----------------------------------------------------------------------------------------------------------


def _out_of_order(hosted: HostedWorld, expect: Expectation) -> Unmet | None:
    """The first step that nothing after the one before it fits."""
    last, after = (-1, 0), ""
    for index, step in enumerate(expect.order):
        kind, wanted = _step(step)
        records = kind.records(hosted, wanted)
        candidates = [_compared(hosted, kind, wanted, record) for record in records]
        fitting = [record for record, one in zip(records, candidates, strict=True) if not one.differences]
        later = [record for record in fitting if record.moment > last]
        if not later:
            where = f" after {after}" if after else ""
            sentence = f"expected {kind.describe(wanted)}{where}, but "
            if fitting:
                seen = f"it was seen before that, as {_numbered(kind, fitting[-1])}"
                return Unmet(f"order[{index}]", sentence + seen, _listed(records, candidates))
            near = nearest_of(candidates)
            sentence += f"it was never seen{_closest(near)}"
            return Unmet(f"order[{index}]", sentence, recorded_side_by_side(near) or None)
        first = min(later, key=lambda record: record.moment)
        last, after = first.moment, f"{kind.describe(wanted)} ({_numbered(kind, first)})"
    return None


def _numbered(kind: _Kind, record: Record) -> str:
    """How a sentence refers to a record: the audit log has numbers of its own."""
    return f"row {record.number}" if kind.section == "audit" else f"#{record.number}"


def _step(step: Any) -> tuple[_Kind, Any]:
    kind = next(kind for kind in _KINDS if getattr(step, kind.section, None) is not None)
    return kind, getattr(step, kind.section)


# --- what happened --------------------------------------------------------------------------------------------------


def _entries(hosted: HostedWorld, *surfaces: str) -> list[Entry]:
    return [entry for entry in hosted.world.journal.entries() if entry.surface in surfaces]


def _calls(hosted: HostedWorld, wanted: ExpectedCall) -> list[Record]:
    return [
        _record(hosted, entry, _seen(entry), credential=_credential(entry))
        for entry in _entries(hosted, "upstream")
        if entry.request.get("upstream") == wanted.to
    ]


def _seen(entry: Entry) -> SeenCall:
    sent = entry.request
    host = urlsplit(sent["url"]).hostname or ""
    return SeenCall(entry.method, entry.path, host, tuple(sent["query"].items()), sent["headers"], sent["body"])


def _credential(entry: Entry) -> str | None:
    """Whose credential a call carried; of one that carried another's, that it did."""
    foreign = entry.request.get("foreign")
    return entry.request["credential"] or (f"that of {', '.join(foreign)}" if foreign else None)


def _sends(hosted: HostedWorld, wanted: ExpectedSend) -> list[Record]:
    return [
        _record(hosted, entry, SeenCall(entry.method, _path(entry), _host(entry), (), *_content(entry)))
        for entry in _entries(hosted, *_SENT)
    ]


def _path(entry: Entry) -> str:
    return urlsplit(entry.path).path or "/"


def _host(entry: Entry) -> str:
    return urlsplit(entry.path).hostname or ""


def _content(entry: Entry) -> tuple[Mapping[str, str], Any]:
    return entry.request.get("headers", {}), entry.request.get("body")


def _operations(hosted: HostedWorld, wanted: ExpectedOperation) -> list[Record]:
    return [_record(hosted, entry) for entry in _entries(hosted, "rest", "mcp") if entry.operation is not None]


def _model_calls(hosted: HostedWorld, wanted: ExpectedModelCall) -> list[Record]:
    return [_record(hosted, entry) for entry in _entries(hosted, *_MODEL)]


def _record(hosted: HostedWorld, entry: Entry, request: SeenCall | None = None, **more: Any) -> Record:
    what = entry.operation if request is None and entry.operation else entry.path
    facts = {
        "operation": entry.operation,
        "tool": entry.route if entry.surface == "mcp" else None,
        "over": entry.surface,
        "request": entry.request,
        "status": entry.status,
        "code": entry.code,
        "lane": entry.lane,
        "caller": entry.caller,
        **more,
    }
    name, moment = f"#{entry.number} {entry.method} {what}", (hosted.world.journal.moment(entry), 0)
    return Record(entry.number, entry.at_ms, name, facts, request, moment)


def _rows(hosted: HostedWorld, wanted: ExpectedRow) -> list[Record]:
    found: list[Record] = []
    for act, moment in zip(hosted.world.audit.acts(), hosted.world.act_moments, strict=True):
        for row in act.rows:
            found.append(_row(act, row, len(found) + 1, moment))
    return found


def _row(act: ActEntry, row: Row, number: int, moment: int) -> Record:
    meta: Mapping[str, Any] = row.metadata
    facts = {
        "action": row.action,
        "outcome": row.outcome,
        "agent": row.agent_id,
        "passport": row.passport_jti,
        "mission": meta.get("mission"),
        "service": meta.get("service"),
        "code": row.error_code,
        "lane": act.lane,
        "metadata": dict(meta),
    }
    return Record(number, act.now_ms, f"#{number} {row.action} {row.outcome}", facts, None, (moment, number))


# --- what is expected -----------------------------------------------------------------------------------------------


def _call_facts(hosted: HostedWorld, wanted: ExpectedCall) -> Mapping[str, Any]:
    return _given(wanted, "status", "lane", "credential")


def _row_facts(hosted: HostedWorld, wanted: ExpectedRow) -> Mapping[str, Any]:
    facts = dict(_given(wanted, "action", "outcome", "passport", "mission", "service", "code", "lane", "metadata"))
    if wanted.agent is not None:
        facts["agent"] = {"one_of": _agent_ids(hosted, wanted.agent)}
    if wanted.service is not None:
        facts["service"] = {"one_of": _providers(hosted, wanted.service)}
    return facts


def _agent_ids(hosted: HostedWorld, named: str) -> list[str]:
    """The ids an agent may go by: the one given, or those of agents of that name."""
    from stack_emu.domain.state import Agent

    return [named, *(agent.id for agent in hosted.world.store.all(Agent) if agent.name == named and agent.id != named)]


def _providers(hosted: HostedWorld, named: str) -> list[str]:
    """The names of a service: the one given, and the provider of a connection given by its id."""
    from stack_emu.domain.state import Connection

    connection = hosted.world.store.get(Connection, named)
    return [named] if connection is None else [named, connection.provider]


def _operation_facts(hosted: HostedWorld, wanted: ExpectedOperation) -> Mapping[str, Any]:
    return _given(wanted, "operation", "tool", "over", "request", "status", "code", "lane", "caller")


def _model_facts(hosted: HostedWorld, wanted: ExpectedModelCall) -> Mapping[str, Any]:
    return _given(wanted, "request", "status", "code", "over")


def _send_facts(hosted: HostedWorld, wanted: ExpectedSend) -> Mapping[str, Any]:
    return _given(wanted, "status", "over")


def _given(wanted: Expected, *names: str) -> dict[str, Any]:
    data = wanted.model_dump(exclude_none=True)
    return {name: data[name] for name in names if name in data}


def _call_name(wanted: ExpectedCall) -> str:
    return f"{_target(wanted)} to {wanted.to}"


def _target(wanted: ExpectedCall | ExpectedSend) -> str:
    pattern = Pattern.from_dict(wanted.model_dump(exclude_none=True, include={"method", "path"}))
    if pattern.method is None and pattern.path is None:
        return "call"
    return str(pattern).replace("any method ", "").replace(" any path", "")


def _row_name(wanted: ExpectedRow) -> str:
    named = wanted.model_dump(exclude_none=True, exclude={"times", "never", "within"}, exclude_defaults=True)
    return f"audit row {named}"


def _operation_name(wanted: ExpectedOperation) -> str:
    return f"call of {wanted.operation or wanted.tool or 'an operation'}"


def _model_name(wanted: ExpectedModelCall) -> str:
    return f"request to the model {wanted.request}" if wanted.request is not None else "request to the model"


def _send_name(wanted: ExpectedSend) -> str:
    return f"{_target(wanted)} to a receiver"


_KINDS = (
    _Kind("upstream", _calls, _call_name, _call_facts),
    _Kind("audit", _rows, _row_name, _row_facts),
    _Kind("operations", _operations, _operation_name, _operation_facts),
    _Kind("model", _model_calls, _model_name, _model_facts),
    _Kind("sent", _sends, _send_name, _send_facts),
)
