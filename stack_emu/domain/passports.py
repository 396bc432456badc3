"""Passports: issuing, verifying, refreshing and listing them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from stack_emu.domain import authority_use, faults
from stack_emu.domain.agents import own_agent_only, require_agent, subject_agent
from stack_emu.domain.authentication import (
    ACCOUNT_AND_AGENT,
    ANY_BEARER,
    PUBLIC,
    live_passport,
    passport_record,
)
from stack_emu.domain.issuance import (
    SILENCE,
    Draft,
    PassportReply,
    arm_silence,
    claims,
    describe,
    is_visible,
    mint,
    passport_reply,
    presented,
    require_holder,
    require_passport,
    require_visible,
    scope_json,
    subject_passport,
    token_for,
)
from stack_emu.domain.missions import require_live_mission
from stack_emu.domain.passport_terms import PassportTerms, issue
from stack_emu.domain.revocation import REFRESH_GRACE_MS
from stack_emu.domain.state import Mission, Passport
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import TOKEN, Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World

__all__ = [
    "arm_silence",
    "passport_reply",
    "presented",
    "require_passport",
    "require_visible",
    "subject_passport",
    "token_for",
]


class IssuePassport(PassportTerms):
    """Who gets a passport, for which mission, with what."""

    agent_id: str = Field(description="Agent id (agt_…)")
    mission_ids: list[str] | None = Field(None, description="Exactly one id of a live mission (ms_…)")


@operation(
    "passports.issue",
    rest=Rest("POST", "/v1/passports/issue", status=201),
    tool=Tool("stack_issue_passport"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:write", role="standard", narrow=own_agent_only),
    audit=Audit("passport.issue", layer="vault"),
    subject=subject_agent,
    source="sdk 4.0.0 passports.issue, Stack.issue_passport; docs/api/passports",
    grade="documented",
)
def issue_passport(ctx: Context, command: IssuePassport) -> PassportReply:
    """Issue a passport: a signed token that lets an agent use services until it expires or is revoked.

    It is bound to exactly one live mission and never outlives it. Enforced and logged agents say what it is for; an
    enforced one's passport lives no longer than its checkpoint interval.

    Raises:
        Fault: ACCOUNTABILITY_REQUIRED, PASSPORT_BLOCKED, SCOPE_ESCALATION, NOT_FOUND, or the mission-ended wording.
    """
    ctx.row.set(mission=command.mission_ids[0] if command.mission_ids else None)
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    passport = issue(ctx, agent, _mission(ctx, command.mission_ids or []), command)
    ctx.row.set(passport_jti=passport.id, session=passport.session_id, **describe(passport))
    return passport_reply(ctx.world, passport)


def _mission(ctx: Context, mission_ids: list[str]) -> Mission | None:
    if not mission_ids and ctx.world.settings.get("compat") == "docs-2026-05":
        return None
    if len(mission_ids) != 1:
        raise Fault(faults.MISSION_MISSING)
    return require_live_mission(ctx.world, ctx.operator_id, mission_ids[0])


class VerifyPassport(Command):
    """A passport to check."""

    token: Annotated[str, TOKEN] = Field(description="The passport's token")
    service_id: str | None = Field(
        None, description="Also check that it covers this service (id, provider or connection)"
    )


class VerifyReply(Reply):
    """Whether a passport may be used now, and what it says."""

    valid: bool
    code: str | None = Field(None, description="Why it is not valid: the code its use would be refused with")
    reason: str | None = None
    jti: str | None = None
    agent_id: str | None = None
    operator_id: str | None = None
    session_id: str | None = None
    mission_id: str | None = None
    parent_passport_id: str | None = None
    delegation_depth: int | None = None
    accountability: str | None = None
    issued_at: str | None = None
    expires_at: str | None = None
    services: list[dict[str, Any]] | None = None
    claims: dict[str, Any] | None = None


@operation(
    "passports.verify",
    rest=Rest("POST", "/v1/passports/verify"),
    tool=Tool("stack_verify_passport", read_only=True, idempotent=True),
    auth=PUBLIC,
    source="sdk 4.0.0 passports.verify; docs/api/passports (needs no credential); the reply's shape is not published",
    grade="sdk-implied",
)
def verify_passport(ctx: Context, command: VerifyPassport) -> VerifyReply:
    """Check a passport's signature, expiry and revocation. No credential is needed.

    A passport that cannot be used is an answer, not an error: ``valid`` is false and ``code`` says why.
    """
    try:
        passport = live_passport(ctx.world, command.token)
    except Fault as fault:
        return VerifyReply(valid=False, code=fault.code, reason=fault.message, jti=fault.details.get("jti"))
    found = VerifyReply(
        valid=True,
        jti=passport.id,
        agent_id=passport.agent_id,
        operator_id=passport.operator_id,
        session_id=passport.session_id,
        mission_id=passport.mission_id,
        parent_passport_id=passport.parent_id,
        delegation_depth=passport.depth,
        accountability=passport.accountability,
        issued_at=iso(passport.issued_at),
        expires_at=iso(passport.expires_at),
        services=[scope_json(scope) for scope in passport.services],
        claims=claims(ctx.world, passport),
    )
    if command.service_id is None or _covers(found, command.service_id):
        return found
    covered = ", ".join(scope.service_name for scope in passport.services) or "no service"
    reason = f"The passport does not cover {command.service_id}; it covers {covered}"
    return found.model_copy(update={"valid": False, "code": faults.FORBIDDEN.code, "reason": reason})


def _covers(reply: VerifyReply, service: str) -> bool:
    signed = reply.claims["stk"]["services"] if reply.claims else []
    return any(service in (claim["service_id"], claim["service_name"], claim["connection_id"]) for claim in signed)


class RefreshPassport(Command):
    """The passport to replace."""

    token: Annotated[str, TOKEN] = Field(description="The passport's token; it may have expired up to 24 hours ago")
    ttl_seconds: int | None = Field(None, ge=60, le=3600, description="Life of the new one; as before when left out")


def own_passport_only(world: World, caller: Any, command: Any) -> None:
    """A passport used as the credential acts on itself only.

    Raises:
        Fault: FORBIDDEN when the command carries another passport's token.
    """
    if caller.passport_jti is None:
        return
    token = next(
        (
            value
            for name in ("token", "parent_passport_token", "parent_token")
            if (value := getattr(command, name, None))
        ),
        "",
    )
    if passport_record(world, token).id != caller.passport_jti:
        raise Fault(
            faults.FORBIDDEN, reason="A passport used as the bearer can do this for itself only; send its own token"
        )


@operation(
    "passports.refresh",
    rest=Rest("POST", "/v1/passports/refresh"),
    tool=Tool("stack_refresh_passport"),
    auth=Auth(bearers=ANY_BEARER, scope="passports:write", role="standard", narrow=own_passport_only),
    audit=Audit("passport.refresh", layer="vault"),
    presents=presented("token"),
    source="sdk 4.0.0 passports.refresh, PassportSession; docs/mcp-tools (24 hours of grace)",
    grade="documented",
)
def refresh_passport(ctx: Context, command: RefreshPassport) -> PassportReply:
    """Replace a passport by a new one of the same session, delegation chain, services and mission.

    It works until 24 hours after expiry and never outlives the mission; the old passport stays as it was.

    Raises:
        Fault: PASSPORT_EXPIRED after the grace, PASSPORT_REVOKED, PASSPORT_BLOCKED, or the mission-ended wording.
    """
    passport = require_presented(ctx, passport_record(ctx.world, command.token))
    if passport.expires_at + REFRESH_GRACE_MS <= ctx.now_ms:
        expired = iso(passport.expires_at)
        raise Fault(
            faults.PASSPORT_EXPIRED, jti=passport.id, expired_at=expired, hint="That is over 24 h ago: issue a new one."
        )
    # A mission that ended revoked its passports too; the client wants to hear of the mission.
    mission = require_live_mission(ctx.world, ctx.operator_id, passport.mission_id) if passport.mission_id else None
    if passport.revoked_at is not None:
        raise Fault(faults.PASSPORT_REVOKED, jti=passport.id, reason=passport.revoked_reason or passport.revocation)
    refuse_checked_out(passport)
    agent = require_agent(ctx.world, ctx.operator_id, passport.agent_id)
    require_holder(agent)
    renewed = mint(
        ctx,
        Draft(
            agent=agent,
            accountability=passport.accountability,
            services=passport.services,
            mission=mission,
            intent=passport.intent,
            ttl_seconds=command.ttl_seconds or passport.ttl_seconds,
            interval_seconds=passport.checkpoint_interval_seconds,
            refreshed_from=passport,
            not_after_ms=authority_use.end_of(ctx, agent, passport.authority_binding_ids),
            authority_binding_ids=passport.authority_binding_ids,
            identity_claim_ids=passport.identity_claim_ids,
        ),
    )
    ctx.world.disarm(f"{SILENCE}/{passport.id}")  # who refreshes is not silent
    ctx.row.set(subject=renewed.id)
    return passport_reply(ctx.world, renewed)


def require_presented(ctx: Context, passport: Passport) -> Passport:
    """A presented passport, its row filled in.

    Raises:
        Fault: UNAUTHORIZED when it is another account's, NOT_FOUND when the caller may not see it.
    """
    if passport.operator_id != ctx.operator_id:
        raise Fault(faults.PASSPORT_INVALID, problem="it belongs to another account")
    if not is_visible(ctx.caller, passport):
        raise Fault(faults.NOT_FOUND, what="Passport", id=passport.id)
    ctx.row.set(agent_id=passport.agent_id, passport_jti=passport.id, **describe(passport))
    return passport


def refuse_checked_out(passport: Passport) -> None:
    """Refuse a passport whose work was checked out.

    Raises:
        Fault: FORBIDDEN.
    """
    if passport.checked_out_at is not None:
        raise Fault(faults.PASSPORT_CHECKED_OUT, jti=passport.id, checked_out_at=iso(passport.checked_out_at))


class ListActive(Command):
    """Which passports to list."""

    agent_id: str | None = Field(None, description="Only this agent's")
    session_id: str | None = Field(None, description="Only this session's")


class ActivePassport(Reply):
    """A passport that can be used now."""

    jti: str
    id: str
    agent_id: str
    session_id: str
    mission_id: str | None
    parent_passport_id: str | None
    delegation_depth: int
    accountability: str
    intent_summary: str | None
    services: list[dict[str, Any]]
    checkpoint_interval_seconds: int | None
    issued_at: str
    expires_at: str


def active_reply(passport: Passport) -> ActivePassport:
    """A passport as lists and reports show it, without its token."""
    return ActivePassport(
        jti=passport.id,
        id=passport.id,
        agent_id=passport.agent_id,
        session_id=passport.session_id,
        mission_id=passport.mission_id,
        parent_passport_id=passport.parent_id,
        delegation_depth=passport.depth,
        accountability=passport.accountability,
        intent_summary=passport.intent_summary,
        services=[scope_json(scope) for scope in passport.services],
        checkpoint_interval_seconds=passport.checkpoint_interval_seconds,
        issued_at=iso(passport.issued_at),
        expires_at=iso(passport.expires_at),
    )


@operation(
    "passports.list_active",
    rest=Rest("GET", "/v1/passports/active"),
    tool=Tool("stack_list_active_passports"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="passports:read"),
    source="sdk 4.0.0 passports.list_active; docs/mcp-tools; the items' shape is not published",
    grade="sdk-implied",
)
def list_active_passports(ctx: Context, command: ListActive) -> list[ActivePassport]:
    """List the passports that can be used now, oldest issue first."""
    filters = {name: value for name in ("agent_id", "session_id") if (value := getattr(command, name)) is not None}
    now = ctx.now_ms
    found = [
        passport
        for passport in ctx.world.store.find(Passport, **filters, operator_id=ctx.operator_id)
        if passport.revoked_at is None
        and passport.checked_out_at is None
        and passport.expires_at > now
        and is_visible(ctx.caller, passport)
    ]
    return [active_reply(passport) for passport in found]
