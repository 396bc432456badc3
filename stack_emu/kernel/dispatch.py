"""Running an operation: validate, authorise, find the lane, run the handler in its act, settle its I/O."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.faults import CallView, ConnectionDropped, Injection, Names, refusal
from stack_emu.kernel.operations import ROLE_RANK, Caller, Command, Operation
from stack_emu.kernel.world import World

INVALID_REQUEST = FaultSpec("INVALID_REQUEST", 400, "The request is not valid: {problem}")
UNAUTHORIZED = FaultSpec("UNAUTHORIZED", 401, "No valid credential was presented. {hint}")
FORBIDDEN = FaultSpec("FORBIDDEN", 403, "{reason}")
INTERNAL_ERROR = FaultSpec(
    "INTERNAL_ERROR", 500, "The emulator failed inside {operation}; nothing was changed", "failure"
)

MOST_PROBLEMS = 50
"""How many fields a refusal says something about, however many are wrong."""

T = TypeVar("T")
_log = logging.getLogger("stack_emu")


@dataclass
class Context:
    """What a handler works with.

    Args:
        world: the world.
        caller: who calls.
        operation: what is called.
        lane: lane label of this call.
        act: the act; reads have none.
        origin: scheme and authority the client used, for URLs in replies.
    """

    world: World
    caller: Caller
    operation: Operation
    lane: str
    maybe_act: Act | None = None
    origin: str = ""
    delays: dict[str, int] = field(default_factory=dict)

    @property
    def act(self) -> Act:
        """The act.

        Raises:
            RuntimeError: in a read, which is no act.
        """
        if self.maybe_act is None:
            raise RuntimeError(f"{self.operation.name} is a read: it declares no audit action")
        return self.maybe_act

    @property
    def row(self) -> RowDraft:
        """The act's principal row, to be filled in before anything can be refused."""
        return self.act.row

    @property
    def now_ms(self) -> int:
        """The instant deadlines are counted from."""
        return self.maybe_act.now_ms if self.maybe_act is not None else self.world.now_ms()

    @property
    def stamp_ms(self) -> int:
        """The instant to write into ``created_at`` and the like."""
        return self.maybe_act.stamp_ms if self.maybe_act is not None else self.world.now_ms()

    @property
    def operator_id(self) -> str:
        """The account the call belongs to."""
        return self.caller.operator_id


@dataclass
class Pending(Generic[T]):
    """I/O between planning and settling.

    Args:
        io: does it; runs outside any transaction.
        settle: called with (context, the I/O's result or the exception it raised) in a transaction; returns the reply.
    """

    io: Callable[[], Awaitable[T]]
    settle: Callable[[Context, T | Exception], Any]


@dataclass(frozen=True)
class Refused:
    """A refusal whose state changes are kept (a security event was noted, a passport was revoked)."""

    fault: Fault


@dataclass
class Call:
    """A request for an operation, however it came in.

    Args:
        operation: what.
        caller: who.
        raw: unvalidated input: path, query, headers and body fields merged.
        origin: scheme and authority the client used.
        lane_suffix: text the client asked to be appended to its lane.
        ticket: arrival ticket of ``World.lanes``; 0 when overlaps are not watched.
        tool: name of the MCP tool, when it came as one.
        lane: label of its lane, once that is known.
        act: name of its act, once that has begun.
        drops_reply: whether a fault rule takes the answer away, once that is known.
        spoils_reply: whether a fault rule spoils the answer, once that is known.
        request: what came in, for fault rules that look at it.
        injected: the fault rule that was injected into the call, once that is known.
        wire: what that rule does to the bytes of the answer, whatever the answer is.
    """

    operation: Operation
    caller: Caller
    raw: Mapping[str, Any]
    origin: str = ""
    lane_suffix: str = ""
    ticket: int = 0
    lane: str | None = None
    act: str | None = None
    tool: str | None = None
    drops_reply: bool = False
    spoils_reply: bool = False
    request: CallView | None = None
    injected: str | None = None
    wire: Injection | None = None


async def perform(world: World, call: Call, spawn: Callable[[Awaitable[Any]], asyncio.Task[Any]]) -> Any:
    """Run a call to its end and return the handler's reply.

    The I/O of a pending call and its settling run in a task of their own: a client that hangs up loses only the reply.

    Args:
        world: the world.
        call: what is asked.
        spawn: starts a task and keeps a reference to it.

    Raises:
        Fault: the refusal.
        ConnectionDropped: a fault rule breaks the connection off, before the call takes effect or after.
    """
    command, context = begin(world, call)
    watched = bool(call.ticket and context.maybe_act is not None)
    # What creates an agent is recorded in the agent's lane, so only equal acts can be in each other's way.
    apart = context.act.key if watched and call.operation.creates is not None else ""
    if watched:
        world.lanes.enter(context.lane, call.ticket, call.operation.name, apart)
    try:
        outcome = await _inject_then_run(world, context, command, call)
        if isinstance(outcome, Pending):
            outcome = await asyncio.shield(spawn(_finish(world, context, outcome)))
            if isinstance(outcome, Fault):
                raise outcome
    except Fault as fault:
        world.save()
        if call.drops_reply:
            raise ConnectionDropped(fault, reset=_resets(call)) from None
        raise
    else:
        world.save()
        if call.drops_reply:
            raise ConnectionDropped(outcome, reset=_resets(call))
        return outcome
    finally:
        if watched:
            world.lanes.leave(context.lane, call.ticket, apart)
        if apart and context.act.lane == context.lane:  # refused: its row stands in its credential's lane after all
            world.lanes.enter(context.lane, call.ticket, call.operation.name)
            world.lanes.leave(context.lane, call.ticket)


async def _inject_then_run(world: World, context: Context, command: Command, call: Call) -> Any:
    injected = _take_fault(world, context, command, call) if len(world.faults) else None
    if injected is None:
        return run(world, context, command)
    call.injected, call.wire = injected.rule, injected.wire
    if delay := injected.get("delay"):
        await _hold(world, context, delay / 1000)
    if injected.get("drop") == "request":
        if context.maybe_act is not None:
            world.abandon(context.maybe_act)
        raise ConnectionDropped(reset=_resets(call))
    call.drops_reply = injected.get("drop") == "reply"
    call.spoils_reply = bool(injected.get("malformed"))
    fault = refusal(injected, world.settings.get("fault_catalogue", {}))
    if fault is None:
        return run(world, context, command)
    if context.maybe_act is not None:
        with world.transaction(context.maybe_act):
            raise fault
    raise fault


def _resets(call: Call) -> bool:
    return call.wire is not None and call.wire.get("transport") == "connection_reset_by_peer"


def _take_fault(world: World, context: Context, command: Command, call: Call) -> Injection | None:
    about: dict[str, Names] = {"operation": call.operation.name}
    if call.tool is not None:
        about["tool"] = call.tool
    if context.maybe_act is not None and context.maybe_act.row.agent_id:
        about["agent"] = world.names_of(context.maybe_act.row.agent_id)
    elapsed = world.now_ms() - world.clock.start_ms
    identity = _identity(context, command)
    return world.faults.take(context.lane, elapsed, request=call.request, identity=identity, **about)


def _identity(context: Context, command: Command) -> str:
    """What a call is, whenever it comes: its act, or for a read its lane and what it asks."""
    act = context.maybe_act
    if act is not None:
        return act.name
    asked = {
        "operation": context.operation.name,
        "lane": context.lane,
        "input": logical_input(context.operation, command),
    }
    return digest(asked)


async def _hold(world: World, context: Context, seconds: float) -> None:
    """Wait before the handler runs; a client that hangs up meanwhile has asked for nothing."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if context.maybe_act is not None:
            world.abandon(context.maybe_act)
        raise


async def _finish(world: World, context: Context, pending: Pending[Any]) -> Any:
    result: Any
    try:
        world.save()  # what is planned must be known after a crash: the other side may have done its part
        result = await pending.io()
    except Exception as error:  # settling decides what a failed exchange means
        result = error
    try:
        outcome = _settle(world, context, pending, result)
    except Exception as error:  # what was set aside for the call must not outlive it: settle it as a failed one
        _log.error("%s failed while it settled\n%s", context.operation.name, world.redactor.traceback())
        outcome = _settle(world, context, pending, error)
    try:
        return _conclude(world, context, outcome)
    except Fault as fault:  # raised by whoever waits, if anybody still does
        return fault


def _settle(world: World, context: Context, pending: Pending[Any], result: Any) -> Any:
    with world.transaction(context.act, first=False, last=False):
        return pending.settle(context, result)


def begin(world: World, call: Call) -> tuple[Command, Context]:
    """Validate and authorise a call and open its context; a known caller who is refused leaves a row.

    Raises:
        Fault: the refusal.
    """
    command = validate(call.operation, call.raw)
    if call.operation.auth.identify is not None:
        call.caller = call.operation.auth.identify(world, command)
    if call.caller.kind == "anonymous":
        authorise(world, call, command)
    context = open_context(world, call, command)
    try:
        authorise(world, call, command)
    except Fault:
        if context.maybe_act is not None:
            with world.transaction(context.maybe_act):
                raise
        raise
    return command, context


def does_io(declared: Operation) -> bool:
    """Whether an operation's handler may answer with I/O that is still to do."""
    return any(typing.get_origin(part) is Pending for part in typing.get_args(declared.reply))


def note_refusal(world: World, call: Call, fault: Fault) -> None:
    """Write the row of a call whose credential was refused before anything else was looked at; reads leave none.

    Args:
        world: the world.
        call: what was asked, with the holder of the refused credential as its caller.
        fault: the refusal.
    """
    declared, caller = call.operation, call.caller
    if declared.audit is None:
        return
    try:
        logical = logical_input(declared, validate(declared, call.raw))
    except Fault:
        logical = {}
    row = RowDraft(
        declared.audit.action, declared.audit.layer, agent_id=caller.agent_id, passport_jti=caller.passport_jti
    )
    suffix = f"/{call.lane_suffix}" if call.lane_suffix else ""
    act = world.begin_act(declared.name, caller.operator_id, caller.lane, logical, row, suffix)
    call.lane, call.act = act.lane, act.name
    world.close_refused(act, fault)


def validate(declared: Operation, raw: Mapping[str, Any]) -> Command:
    """Build the command.

    Raises:
        Fault: INVALID_REQUEST with ``details.fields`` = {field path: problem}.
    """
    try:
        return declared.command.model_validate(raw)
    except ValidationError as error:
        fields = {
            ".".join(map(str, issue["loc"])) or "body": _sentence(issue) + _as_header(declared, issue)
            for issue in error.errors(include_url=False)[:MOST_PROBLEMS]
        }
        problem = "; ".join(f"{name}: {text}" for name, text in fields.items())
        raise Fault(INVALID_REQUEST, details={"fields": fields}, problem=problem) from None


def _as_header(declared: Operation, issue: Any) -> str:
    """Where on REST a field that is missing belongs, when that is a header."""
    headers = declared.rest.headers if declared.rest is not None else {}
    named = next((header for header, field in headers.items() if issue["loc"] == (field,)), None)
    return f"; over REST it is the header {named}" if named is not None and issue["type"] == "missing" else ""


def _sentence(issue: Any) -> str:
    text = str(issue["msg"]).removeprefix("Value error, ")
    return text[0].lower() + text[1:] if text else "is not valid"


def authorise(world: World, call: Call, command: Command) -> None:
    """Refuse callers the operation does not declare, with the credential that would have worked.

    Raises:
        Fault: UNAUTHORIZED or FORBIDDEN.
    """
    auth, caller = call.operation.auth, call.caller
    if not auth.bearers:
        return
    if caller.kind == "anonymous":
        raise Fault(UNAUTHORIZED, hint=f"Send Authorization: Bearer with {_or(auth.bearers)}.")
    if caller.kind not in auth.bearers:
        raise Fault(
            FORBIDDEN,
            reason=f"{call.operation.name} cannot be called with {_article(caller.kind)}; use {_or(auth.bearers)}",
            details={"needs": sorted(auth.bearers), "presented": caller.kind},
        )
    if caller.scopes is not None and auth.scope is not None and auth.scope not in caller.scopes:
        raise Fault(
            FORBIDDEN,
            reason=f"{call.operation.name} needs the OAuth scope {auth.scope}, which this token does not have",
            details={"missing_scope": auth.scope},
        )
    if ROLE_RANK[caller.role] < ROLE_RANK[auth.role]:
        raise Fault(
            FORBIDDEN,
            reason=f"{call.operation.name} needs role {auth.role}; this key's role is {caller.role}",
            details={"needs_role": auth.role, "role": caller.role},
        )
    if auth.narrow is not None:
        auth.narrow(world, caller, command)
    world.limit(caller, command)


_NOUNS = {
    "operator": "an operator key",
    "member": "a member key",
    "agent": "an agent JWT",
    "passport": "a passport",
    "oauth": "an OAuth access token",
    "session": "a dashboard session",
    "ticket": "an enrollment ticket",
    "fleet": "a fleet session",
}


def _article(kind: str) -> str:
    return _NOUNS.get(kind, kind)


def _or(kinds: frozenset[str]) -> str:
    names = [_NOUNS[kind] for kind in _NOUNS if kind in kinds]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def open_context(world: World, call: Call, command: Command) -> Context:
    """Find the lane of a call and, when the operation leaves a row, begin its act."""
    declared = call.operation
    agent_id, jti = _principal(world, call, command)
    lane = call.caller.lane
    if jti is not None:
        lane = f"agent:{agent_id}/passport:{jti}"
    elif agent_id is not None and call.caller.agent_id is None:
        lane = f"agent:{agent_id}"
    suffix = f"/{call.lane_suffix}" if call.lane_suffix else ""
    context = Context(world, call.caller, declared, lane + suffix, origin=call.origin)
    call.lane = context.lane
    if declared.audit is None:
        return context
    row = RowDraft(declared.audit.action, declared.audit.layer, agent_id=agent_id, passport_jti=jti)
    logical = logical_input(declared, command)
    context.maybe_act = world.begin_act(declared.name, call.caller.operator_id, lane, logical, row, suffix)
    call.act = context.maybe_act.name
    return context


def _principal(world: World, call: Call, command: Command) -> tuple[str | None, str | None]:
    declared, caller = call.operation, call.caller
    presented = declared.presents(world, command) if declared.presents is not None else None
    if presented is not None and world.owns(caller.operator_id, presented[0]):
        return presented
    if caller.passport_jti is not None or caller.agent_id is not None:
        return caller.agent_id, caller.passport_jti
    subject = declared.subject(world, command) if declared.subject is not None else None
    # What is not the account's is refused as unknown, and its row must not tell the one from the other.
    return (subject if subject is not None and world.owns(caller.operator_id, subject) else None), None


def logical_input(declared: Operation, command: Command) -> dict[str, Any]:
    """The command as it counts in the act key: set fields, tokens by their jti, volatile fields left out."""
    data = command.model_dump(mode="json", exclude_unset=True, exclude=set(declared.volatile_fields))
    for name in declared.token_fields & data.keys():
        data[name] = token_name(data[name])
    return data


def token_name(token: Any) -> str:
    """What stands for a token where its text must not: its ``jti``, or a digest when it has none."""
    try:
        payload = str(token).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        jti = str(claims["jti"])
        jti.encode("utf-8")  # nobody has checked the token yet: what cannot be hashed is no name
    except (IndexError, ValueError, binascii.Error, KeyError, TypeError, RecursionError):
        return "token:" + digest(str(token))[:16]
    return jti


def run(world: World, context: Context, command: Command) -> Any:
    """Run a handler: in a transaction when it is an act, directly when it is a read.

    Returns:
        The reply, or the ``Pending`` whose I/O is still to do.

    Raises:
        Fault: the refusal, its row written.
    """
    handler, act = context.operation.handler, context.maybe_act
    if act is None:
        return handler(context, command)
    with world.transaction(act, last=False):
        outcome = handler(context, command)
        if not isinstance(outcome, Refused):
            for listener in world.on_handled:
                listener(context)
    if isinstance(outcome, Pending):
        return outcome
    return _conclude(world, context, outcome)


def _conclude(world: World, context: Context, outcome: Any) -> Any:
    act = context.act
    if isinstance(outcome, Refused):
        world.close_refused(act, outcome.fault)
        raise outcome.fault
    if context.operation.creates is not None:
        agent_id = context.operation.creates(outcome)
        act.row.agent_id = act.row.agent_id or agent_id
        act.lane = f"agent:{agent_id}{act.lane_suffix}"
    world.close(act)
    return outcome


def dump(reply: Any) -> Any:
    """A reply as JSON data."""
    if isinstance(reply, BaseModel):
        return reply.model_dump(mode="json", by_alias=True)
    if isinstance(reply, (list, tuple)):
        return [dump(item) for item in reply]
    return reply
