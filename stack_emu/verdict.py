"""The verdict on a run: which expectations did not hold, what a strict run fails for, and what is worth a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stack_emu.hosting import HostedWorld
from stack_emu.kernel.acts import Overlap
from stack_emu.kernel.audit import ActEntry, Row
from stack_emu.kernel.matching import Pattern
from stack_emu.scenario.models import ExpectedCall, ExpectedRow


@dataclass(frozen=True)
class Finding:
    """One thing that did not hold: its kind (``expectation``, or a violation's name) and a sentence."""

    kind: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a run.

    Args:
        failures: expectations that did not hold, and violations when the world is strict.
        warnings: violations of a world that is not strict, and overlapping acts.
    """

    failures: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "ok": self.ok,
            "failures": [asdict(item) for item in self.failures],
            "warnings": [asdict(item) for item in self.warnings],
        }


def verdict(hosted: HostedWorld) -> Verdict:
    """Judge a world's run so far against its scenario."""
    shown = hosted.world.redactor.thorough
    failures = [Finding("expectation", shown(sentence)) for sentence in _unmet(hosted)]
    violations = _violations(hosted)
    overlaps = [
        Finding("overlap", _overlap(item, count)) for item, count in Counter(hosted.world.lanes.overlaps).items()
    ]
    if hosted.strict:
        return Verdict(failures + violations, overlaps)
    return Verdict(failures, violations + overlaps)


def _overlap(item: Overlap, count: int) -> str:
    times = f" ({count} times)" if count > 1 else ""
    together = f"{item.first} and {item.second} were in flight together in lane {item.lane}{times}"
    return f"{together}; name lanes to order them"


def _violations(hosted: HostedWorld) -> list[Finding]:
    found = [
        Finding(entry.problem or "", f"{entry.method} {entry.path}: {entry.hint or entry.problem}")
        for entry in hosted.world.journal.violations()
        if not (entry.problem == "leak" and hosted.scenario.expect.leaks == "none")
    ]
    for rule in hosted.world.faults.unfired():
        where = ", ".join(f"{name} {value}" for name, value in rule.on.items())
        found.append(Finding("unfired_fault", f"the fault on {where} never fired"))
    return found


def _unmet(hosted: HostedWorld) -> list[str]:
    expect = hosted.scenario.expect
    unmet = [sentence for wanted in expect.upstream if (sentence := _unmet_call(hosted, wanted))]
    unmet += [sentence for row in expect.audit if (sentence := _unmet_row(hosted, row))]
    if expect.leaks == "none":
        leaks = [entry for entry in hosted.world.journal.violations() if entry.problem == "leak"]
        unmet += [f"expected no leaks: {entry.hint}" for entry in leaks]
    return unmet


def _unmet_call(hosted: HostedWorld, wanted: ExpectedCall) -> str | None:
    pattern = Pattern.from_dict(wanted.model_dump(exclude_none=True, exclude={"to", "times", "credential"}))
    seen = [_Seen(request) for request in hosted.world.settings["upstreams"].requests(hosted.world, wanted.to)]
    matching = [request for request in seen if not pattern.difference(request)]
    count = sum(wanted.credential in (None, request.credential) for request in matching)
    if _count_holds(count, wanted.times):
        return None
    what = " ".join(filter(None, [wanted.method, wanted.path])) or "call"
    if wanted.credential is not None:
        what = f"{what} with the credential of {wanted.credential}"
    hint = ""
    if matching and count < len(matching):
        wrong = next(request for request in reversed(matching) if request.credential != wanted.credential)
        hint = f"; {wrong.method} {wrong.path} came with {wrong.carried()}"
    elif count == 0 and seen:
        closest = min(seen, key=lambda request: len(pattern.difference(request)))
        differences = "; ".join(str(item) for item in pattern.difference(closest))
        hint = f"; the closest was {closest.method} {closest.path}, but {differences}"
    return f"expected {_times(wanted.times)} {what} to {wanted.to}, saw {count}{hint}"


class _Seen:
    """A request an upstream received, in the form patterns look at."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.method: str = request["method"]
        self.path: str = request["path"]
        self.query: Sequence[tuple[str, str]] = tuple(request["query"].items())
        self.headers: Mapping[str, str] = request["headers"]
        self.content: Any = request["body"]
        self.credential: str | None = request["credential"]
        self._foreign: Sequence[str] = request.get("foreign", ())

    def carried(self) -> str:
        """Whose credential it came with, in words."""
        if self.credential is not None:
            return f"the credential of {self.credential}"
        return f"that of {', '.join(self._foreign)}" if self._foreign else "none"


def _unmet_row(hosted: HostedWorld, wanted: ExpectedRow) -> str | None:
    rows = [(act, row) for act in hosted.world.audit.acts() for row in act.rows]
    matching = [row for act, row in rows if not _row_differs(hosted, wanted, act, row)]
    if _count_holds(len(matching), wanted.times):
        return None
    named = wanted.model_dump(exclude_none=True, exclude={"times"})
    same_action = [row for _, row in rows if row.action == wanted.action]
    hint = ""
    if not matching and same_action:
        last = same_action[-1]
        hint = f"; the last {wanted.action} row was {last.outcome}" + (
            f" ({last.error_code})" if last.error_code else ""
        )
    return f"expected {_times(wanted.times)} audit row {named}, saw {len(matching)}{hint}"


def _row_differs(hosted: HostedWorld, wanted: ExpectedRow, act: ActEntry, row: Row) -> bool:
    agent = hosted.scenario.find_agent(wanted.agent) if wanted.agent else None
    meta: Mapping[str, Any] = row.metadata
    checks: list[tuple[Any, tuple[Any, ...]]] = [
        (wanted.action, (row.action,)),
        (wanted.outcome, (row.outcome,)),
        (
            agent.id if agent is not None and agent.id else wanted.agent,
            (row.agent_id, _agent_name(hosted, row.agent_id)),
        ),
        (wanted.passport, (row.passport_jti,)),
        (wanted.mission, (meta.get("mission"),)),
        (wanted.service, (meta.get("service"), meta.get("connection"))),
        (wanted.code, (row.error_code,)),
    ]
    return any(value is not None and value not in got for value, got in checks)


def _agent_name(hosted: HostedWorld, agent_id: str | None) -> str | None:
    from stack_emu.domain.state import Agent

    agent = hosted.world.store.get(Agent, agent_id) if agent_id else None
    return agent.name if agent is not None else None


def _count_holds(count: int, times: int | None) -> bool:
    return count >= 1 if times is None else count == times


def _times(times: int | None) -> str:
    return "at least one" if times is None else f"exactly {times}"
