"""Revoking passports: one, an agent's, a session's or all of them, with the cascade to delegated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pydantic import Field

from stack_emu.domain import notifications
from stack_emu.domain.agents import AgentById, own_agent_only, require_agent, subject_agent
from stack_emu.domain.authentication import ACCOUNT, ACCOUNT_AND_AGENT
from stack_emu.domain.issuance import SILENCE, is_visible, require_visible, subject_passport
from stack_emu.domain.state import Passport
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

REFRESH_GRACE_MS = 24 * 3_600_000
"""How long after its expiry a passport can still be refreshed, and so is still worth revoking (docs/mcp-tools)."""


@dataclass(frozen=True)
class _Step:
    passport: Passport
    root: str


def standing(world: World, operator_id: str, **equals: str) -> list[Passport]:
    """Passports that can still be used or refreshed, oldest issue first.

    Args:
        world: the world.
        operator_id: whose.
        **equals: fields to match, such as ``agent_id`` or ``session_id``.
    """
    now = world.now_ms()
    found = (
        passport
        for passport in world.store.find(Passport, **equals, operator_id=operator_id)
        if passport.revoked_at is None and passport.expires_at + REFRESH_GRACE_MS > now
    )
    return list(found)


def revoke(
    world: World,
    act: Act,
    passports: Iterable[Passport],
    *,
    revocation: str,
    reason: str | None,
    cascade: bool,
    first: RowDraft | None = None,
) -> tuple[list[Passport], list[Passport]]:
    """Revoke passports from the next check on, breadth-first, siblings by id.

    Every passport of the first level leaves a ``passport.revoke`` row, every one below it ``passport.revoke_cascade``
    (docs/api/audit); passports revoked before are passed over silently, but their children are not.

    Args:
        world: the world.
        act: the act that causes it.
        passports: what to revoke.
        revocation: type kept on the records: ``single``, ``bulk_agent``, ``mission`` …
        reason: text for whoever is refused later, or None.
        cascade: also revoke what was delegated from them.
        first: row to fill for the first passport instead of adding one.

    Returns:
        The passports revoked on the first level, and those below it, in the order of their rows.
    """
    revoked: list[Passport] = []
    cascaded: list[Passport] = []
    given = {passport.id: passport for passport in passports}
    for depth, step in _breadth_first(world, given, cascade):
        if step.passport.revoked_at is not None or (depth and _forgotten(world, step.passport)):
            continue
        kind = revocation if step.passport.id in given else "cascade"
        done = replace(step.passport, revoked_at=act.now_ms, revoked_reason=reason, revocation=kind)
        world.store.put(done)
        world.disarm(f"{SILENCE}/{done.id}")
        row = first if first is not None and not depth and not revoked else act.also(_ACTIONS[depth > 0], "vault")
        row.set(agent_id=done.agent_id, passport_jti=done.id, mission=done.mission_id, subject=done.id)
        row.set(revocation=kind, reason=reason, root=step.root if depth else None)
        (cascaded if depth else revoked).append(done)
    _tell(world, act, revocation, reason, revoked, cascaded)
    return revoked, cascaded


def _tell(
    world: World, act: Act, revocation: str, reason: str | None, revoked: list[Passport], cascaded: list[Passport]
) -> None:
    """One notification for all of them; that passports end with their mission is no warning."""
    done = [*revoked, *cascaded]
    if not done:
        return
    agents = list(dict.fromkeys(passport.agent_id for passport in done))
    data = {
        "message": f"{len(done)} passport{'s were' if len(done) > 1 else ' was'} revoked: {reason or revocation}",
        "revocation": revocation,
        "reason": reason,
        "agent_id": agents[0] if len(agents) == 1 else None,
        "agent_ids": agents,
        "jtis": [passport.id for passport in revoked],
        "cascaded": [passport.id for passport in cascaded],
    }
    severity = notifications.INFO if revocation == "mission" else notifications.WARNING
    notifications.emit(world, act, done[0].operator_id, "passport.revoked", severity, data)


_ACTIONS = ("passport.revoke", "passport.revoke_cascade")


def _forgotten(world: World, passport: Passport) -> bool:
    return passport.expires_at + REFRESH_GRACE_MS <= world.now_ms()


def _breadth_first(world: World, given: dict[str, Passport], cascade: bool) -> Iterator[tuple[int, _Step]]:
    level = [_Step(passport, passport.id) for passport in given.values() if passport.parent_id not in given]
    seen: set[str] = set()
    depth = 0
    while level:
        below: list[_Step] = []
        for step in sorted(level, key=lambda item: item.passport.id):
            if step.passport.id in seen:
                continue
            seen.add(step.passport.id)
            yield depth, step
            children = world.store.find(Passport, parent_id=step.passport.id)
            below.extend(_Step(child, step.root) for child in children if cascade or child.id in given)
        level = below
        depth += 1


class RevokePassport(Command):
    """Names the passport to revoke."""

    jti: str = Field(description="Passport id (pp_…)")
    reason: str | None = Field(None, max_length=1000, description="Why; shown to whoever uses the passport later")


class RevokeAgentPassports(AgentById):
    """Names the agent whose passports are revoked."""

    reason: str | None = Field(None, max_length=1000, description="Why; shown to whoever uses the passports later")


class RevokeSession(Command):
    """Names the session whose passports are revoked."""

    session_id: str = Field(description="Session id (ses_…): a passport with everything delegated or refreshed from it")
    reason: str | None = Field(None, max_length=1000, description="Why; shown to whoever uses the passports later")


class RevokeAll(Command):
    """Revokes every passport of the account."""

    reason: str | None = Field(None, max_length=1000, description="Why; shown to whoever uses the passports later")


class RevocationReply(Reply):
    """What a revocation did."""

    revoked: bool = Field(description="Always true: none of the named passports can be used any more")
    type: str = Field(description="single, bulk_agent, bulk_session or bulk_operator")
    jti: str | None = Field(None, description="The passport, for a single revocation")
    agent_id: str | None = None
    session_id: str | None = None
    already_revoked: bool = Field(False, description="Nothing was left to revoke")
    revoked_count: int
    cascaded_count: int
    jtis: list[str] = Field(description="Passports revoked by this call, in order, the cascaded ones included")
    cascaded: list[str] = Field(description="Those among them that were reached by the cascade")
    reason: str | None = None
    revoked_at: str


def _reply(
    ctx: Context, kind: str, done: tuple[list[Passport], list[Passport]], reason: str | None, **names: str
) -> RevocationReply:
    revoked, cascaded = done
    return RevocationReply(
        revoked=True,
        type=kind,
        already_revoked=not revoked and not cascaded,
        revoked_count=len(revoked),
        cascaded_count=len(cascaded),
        jtis=[passport.id for passport in (*revoked, *cascaded)],
        cascaded=[passport.id for passport in cascaded],
        reason=reason,
        revoked_at=iso(ctx.now_ms),
        **names,
    )


@operation(
    "passports.revoke",
    rest=Rest("POST", "/v1/passports/revoke"),
    tool=Tool("stack_revoke_passport", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("passport.revoke", layer="vault"),
    subject=subject_passport("jti"),
    source="sdk 4.0.0 passports.revoke; docs/concepts/revocation; the reply's shape is not published",
    grade="documented",
)
def revoke_passport(ctx: Context, command: RevokePassport) -> RevocationReply:
    """Revoke one passport and everything delegated from it; the next use of any of them is refused.

    Revoking a passport again changes nothing and says so.

    Raises:
        Fault: NOT_FOUND.
    """
    ctx.row.set(passport_jti=command.jti, revocation="single", reason=command.reason)
    passport = require_visible(ctx, command.jti)
    done = revoke(
        ctx.world,
        ctx.act,
        [passport],
        revocation="single",
        reason=command.reason,
        cascade=True,
        first=ctx.row,
    )
    reply = _reply(ctx, "single", done, command.reason, jti=passport.id)
    if passport.revoked_at is not None:
        return reply.model_copy(update={"revoked_at": iso(passport.revoked_at), "reason": passport.revoked_reason})
    return reply


def _bulk(
    ctx: Context, kind: str, reason: str | None, keep: Callable[[Passport], bool], **equals: str
) -> RevocationReply:
    targets = [passport for passport in standing(ctx.world, ctx.operator_id, **equals) if keep(passport)]
    cascade = kind == "bulk_agent"
    done = revoke(ctx.world, ctx.act, targets, revocation=kind, reason=reason, cascade=cascade)
    ctx.row.set(revocation=kind, reason=reason, revoked_count=len(done[0]), cascaded_count=len(done[1]))
    return _reply(ctx, kind, done, reason, **equals)


@operation(
    "passports.revoke_agent",
    rest=Rest("POST", "/v1/passports/revoke-agent/{agent_id}"),
    tool=Tool("stack_revoke_agent_passports", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard", narrow=own_agent_only),
    audit=Audit("passport.revoke_agent", layer="vault"),
    subject=subject_agent,
    source="sdk 4.0.0 passports.revoke_agent; docs/concepts/revocation (bulk_agent)",
    grade="documented",
)
def revoke_agent_passports(ctx: Context, command: RevokeAgentPassports) -> RevocationReply:
    """Revoke every passport of an agent and everything delegated from them.

    Raises:
        Fault: NOT_FOUND for an unknown agent.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    return _bulk(ctx, "bulk_agent", command.reason, lambda found: is_visible(ctx.caller, found), agent_id=agent.id)


@operation(
    "passports.revoke_session",
    rest=Rest("POST", "/v1/passports/revoke-session/{session_id}"),
    tool=Tool("stack_revoke_session", destructive=True, idempotent=True),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard"),
    audit=Audit("passport.revoke_session", layer="vault"),
    subject=lambda world, command: _session_agent(world, command.session_id),
    source="sdk 4.0.0 passports.revoke_session; docs/concepts/revocation (bulk_session)",
    grade="documented",
)
def revoke_session(ctx: Context, command: RevokeSession) -> RevocationReply:
    """Revoke every passport of a session: a root passport with all that was delegated or refreshed from it.

    A session that holds no standing passport is no error: nothing is left to revoke.
    """
    ctx.row.set(session=command.session_id)
    return _bulk(
        ctx, "bulk_session", command.reason, lambda found: is_visible(ctx.caller, found), session_id=command.session_id
    )


def _session_agent(world: World, session_id: str) -> str | None:
    found = [passport for passport in world.store.find(Passport, session_id=session_id) if passport.parent_id is None]
    return found[0].agent_id if found else None


@operation(
    "passports.revoke_all",
    rest=Rest("POST", "/v1/passports/revoke-all"),
    tool=Tool("stack_revoke_all_passports", destructive=True, idempotent=True, confirm=True),
    auth=Auth(bearers=ACCOUNT, scope="passports:write", role="standard"),
    audit=Audit("passport.revoke_all", layer="vault"),
    source="sdk 4.0.0 passports.revoke_all; docs/concepts/revocation (bulk_operator); docs/mcp-tools (confirm)",
    grade="documented",
)
def revoke_all_passports(ctx: Context, command: RevokeAll) -> RevocationReply:
    """Revoke every passport of the account. As a tool it needs confirm: true."""
    return _bulk(ctx, "bulk_operator", command.reason, lambda found: is_visible(ctx.caller, found))
