"""Approvals of intents: what a human let one passport do once, and the check of calls against it.

In enforced mode a proxied write, an invocation of a skill and a call of the LLM gateway need an approved intent in
``X-Intent-Approval-Id`` (sdk 4.0.0 intents.py, proxy.py). The intent is a free object: of the fields known here, those it
has must be the call's. A scenario's ``intent_approvals: optional`` lifts the demand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from stack_emu.domain import faults
from stack_emu.domain.state import Agent, Mission, Passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

HEADER = "X-Intent-Approval-Id"
PROXY, SKILL, LLM = "proxy", "skill", "llm"
OPERATIONS = {PROXY: "proxy.request", SKILL: "skills.invoke", LLM: "llm.create"}
"""What a scenario's rules call the operation an intent is for."""
_FIELDS = {
    PROXY: ("service", "method", "url", "host", "path", "body", "query"),
    SKILL: ("skill_id", "agent_id", "input"),
    LLM: ("provider", "model"),
}
_SAME = {"provider": "service"}


@dataclass(frozen=True)
class IntentApproval:
    """An intent a human decides on. ``status`` is pending, approved, rejected or expired; ``used_at`` is set by its one use.

    ``intent`` is what was submitted, ``simulation`` what the checks said then, ``lane`` whose request it was.
    """

    TABLE: ClassVar[str] = "intent_approvals"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "passport_id")
    id: str
    operator_id: str
    passport_id: str
    agent_id: str
    intent: Mapping[str, Any]
    intent_claim_id: str
    lane: str
    created_at: int
    expires_at: int
    mission_id: str | None = None
    simulated_claim_id: str | None = None
    simulation: Mapping[str, Any] | None = None
    status: str = "pending"
    decided_at: int | None = None
    decided_by: str | None = None
    notes: str | None = None
    used_at: int | None = None


@dataclass(frozen=True)
class IntentClaim:
    """A simulation that was kept; ``id`` is its claim id."""

    TABLE: ClassVar[str] = "intent_claims"
    INDEXES: ClassVar[tuple[str, ...]] = ("passport_id",)
    id: str
    operator_id: str
    passport_id: str
    intent: Mapping[str, Any]
    simulation: Mapping[str, Any]
    created_at: int
    about: str | None = None


def kind_of(intent: Mapping[str, Any]) -> str:
    """What sort of call an intent is for, as its fields tell: a proxied one unless it names a skill or a model."""
    named = str(intent.get("type", "")).partition(".")[0]
    if named in (PROXY, SKILL, LLM):
        return named
    if "skill_id" in intent:
        return SKILL
    return LLM if "model" in intent else PROXY


def service_of(intent: Mapping[str, Any]) -> str | None:
    """The service an intent names, or None."""
    named = intent.get("service", intent.get("provider"))
    return named if isinstance(named, str) else None


def status_at(approval: IntentApproval, now_ms: int) -> str:
    """The status of an approval at an instant: what nobody used in its time expires."""
    overdue = approval.status in ("pending", "approved") and approval.used_at is None and approval.expires_at <= now_ms
    return "expired" if overdue else approval.status


def approvals(world: World) -> Iterator[IntentApproval]:
    """Every intent submitted, oldest first."""
    return world.store.all(IntentApproval)


def as_json(world: World, approval: IntentApproval) -> dict[str, Any]:
    """An approval as JSON data, in the form the control API shows governance approvals in as well."""
    return {
        "id": approval.id,
        "operation": OPERATIONS[kind_of(approval.intent)],
        "subject": approval.passport_id,
        "agent_id": approval.agent_id,
        "change": "An intent of " + approval.agent_id,
        "status": status_at(approval, world.now_ms()),
        "created_at": iso(approval.created_at),
        "expires_at": iso(approval.expires_at),
        "decided_at": None if approval.decided_at is None else iso(approval.decided_at),
        "notes": approval.notes,
        "intent": dict(approval.intent),
    }


def required(world: World) -> bool:
    """Whether this world asks for approved intents at all."""
    return bool(world.settings.get("intent_approvals", "required") == "required")


def require_approval(
    ctx: Context, passport: Passport | None, approval_id: str | None, *, kind: str, call: Mapping[str, Any]
) -> None:
    """Let a call of an enforced passport through on an approved intent, which it uses up; other passports need none.

    Args:
        ctx: the call's context; it must be an act.
        passport: the passport the call is made under, or None.
        approval_id: what the caller sent in ``X-Intent-Approval-Id``.
        kind: ``proxy``, ``skill`` or ``llm``.
        call: what is called, by the names an intent may have: of a proxied call ``service`` (provider or connection ids, a
            tuple of names), ``method``, ``url``, ``body``, ``query``; of a skill ``skill_id``, ``agent_id``, ``input``; of a
            model ``provider``, ``model``.

    Raises:
        Fault: INTENT_APPROVAL_REQUIRED with what to submit, or what is wrong with the approval presented.
    """
    if passport is None or passport.accountability != "enforced" or not required(ctx.world):
        return
    if _of_a_fleet(ctx.world, passport):
        return
    if approval_id is None:
        raise _refused(
            kind, call, f"Passport {passport.id} is enforced and this call writes: it needs an approved intent"
        )
    ctx.row.set(approval=approval_id)
    approval = ctx.world.store.get(IntentApproval, approval_id)
    if approval is None or approval.operator_id != ctx.operator_id or approval.passport_id != passport.id:
        raise _refused(kind, call, f"Intent approval {approval_id} is not one of passport {passport.id}")
    status = status_at(approval, ctx.now_ms)
    if approval.used_at is not None:
        raise _refused(
            kind, call, f"Intent approval {approval_id} was used at {iso(approval.used_at)}; it is good once"
        )
    if status != "approved":
        waits = "waits for a decision" if status == "pending" else f"is {status}"
        raise _refused(kind, call, f"Intent approval {approval_id} {waits}")
    differing = mismatch(approval.intent, kind, call)
    if differing is not None:
        raise _refused(kind, call, f"Intent approval {approval_id} is for another call: {differing}")
    ctx.world.store.put(replace(approval, used_at=ctx.stamp_ms))


def _of_a_fleet(world: World, passport: Passport) -> bool:
    """Whether a passport's mission comes from a fleet policy: activating that was the approval of what it allows.

    The SDK's own fleet example (sdk 4.0.0) writes under such a mission, and asks nobody once more.
    """
    mission = world.store.get(Mission, passport.mission_id or "")
    return mission is not None and mission.fleet_policy_id is not None


def mismatch(intent: Mapping[str, Any], kind: str, call: Mapping[str, Any]) -> str | None:
    """Which field of an intent is not the call's, in words; None when the call is within the intent.

    Bodies, queries and inputs may have more than the intent names; a URL is compared without its query.
    """
    if str(intent.get("type", "")).partition(".")[0] in (PROXY, SKILL, LLM) and kind_of(intent) != kind:
        return f"type is {intent['type']}"
    for name in _FIELDS[kind]:
        other = next((old for old, new in _SAME.items() if new == name and old not in _FIELDS[kind]), None)
        wanted = intent.get(name, intent.get(other) if other is not None else None)
        if wanted is not None and not _fits(name, wanted, _part(name, call)):
            return f"its {name} is not the call's"
    return _mismatch_in_words(intent, kind, call)


def _mismatch_in_words(intent: Mapping[str, Any], kind: str, call: Mapping[str, Any]) -> str | None:
    """The fields the SDK itself names.

    ``target`` is any name of what is called, ``action`` a method or part of the path, ``parameters`` part of what is sent.
    """
    names = call.get("service") or (call.get("skill_id"), call.get("provider"), call.get("model"))
    known = {*names, call.get("url"), _part("host", call)}
    target, action, parameters = intent.get("target"), intent.get("action"), intent.get("parameters")
    if isinstance(target, str) and target not in known and _bare(target) != _bare(str(call.get("url", ""))):
        return "its target is not what is called"
    if kind == PROXY and isinstance(action, str):
        in_path = action in str(_part("path", call))
        if action.upper() != call.get("method") and not in_path:
            return "its action is neither the call's method nor in its path"
    sent = [call.get(name) for name in ("body", "query", "input")]
    if isinstance(parameters, Mapping) and parameters and not any(_within(parameters, part) for part in sent):
        return "its parameters are not sent"
    return None


def _part(name: str, call: Mapping[str, Any]) -> Any:
    if name in ("host", "path") and isinstance(call.get("url"), str):
        parts = urlsplit(call["url"])
        return parts.hostname if name == "host" else (parts.path.rstrip("/") or "/")
    return call.get(name)


def _fits(name: str, wanted: Any, actual: Any) -> bool:
    if name == "service":
        return bool(wanted in actual if isinstance(actual, tuple) else wanted == actual)
    if name == "method":
        return bool(str(wanted).upper() == actual)
    if name == "url":
        return _bare(str(wanted)) == _bare(str(actual))
    if name in ("body", "query", "input"):
        return _within(wanted, actual)
    return bool(wanted == actual)


def _bare(url: str) -> str:
    return url.partition("#")[0].partition("?")[0].rstrip("/")


def _within(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(_within(part, actual.get(name)) for name, part in wanted.items())
    return bool(wanted == actual)


def _refused(kind: str, call: Mapping[str, Any], problem: str) -> Fault:
    named = {name: call[name] for name in ("service", "method", "skill_id", "provider", "model") if call.get(name)}
    if isinstance(named.get("service"), tuple):
        named["service"] = named["service"][0]
    details = {"submit": {"type": kind, **named}}
    return Fault(faults.INTENT_APPROVAL_REQUIRED, problem=problem, header=HEADER, details=details)


def holder(world: World, approval: IntentApproval) -> tuple[Passport | None, Agent | None]:
    """The passport and the agent an approval is about."""
    return world.store.get(Passport, approval.passport_id), world.store.get(Agent, approval.agent_id)
