"""Verifying: a session at a provider, a person who decides, and the claims that come of it.

Who decides is the scenario's ``identity.verification``: auto approves at once, deny refuses at once, page leaves it to
the page behind ``authorization_url`` or to the control API.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from stack_emu.domain import faults
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.identity_claims import WRITE, ClaimReply, claim_reply, keep, life_ms, reference
from stack_emu.domain.identity_providers import LAYER_OF, PROVIDERS, Provider, find
from stack_emu.domain.identity_records import (
    APPROVED,
    COMPLETED,
    DENIED,
    EXPIRED,
    PENDING,
    IdentityClaim,
    VerificationSession,
)
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

SETTING = "identity_verification"
"""The setting of a world that says who decides: auto, page or deny."""
RETURN_ORIGINS = "identity_return_origins"
"""The setting of a world that names the origins, besides those on loopback, its page may lead back to."""
PAGE = "/identity/verify/"
LIFETIME_MS = 15 * 60_000
# No control characters: the URL goes into a header of the page's answer.
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f\\@<>\"'/?#]+([/?#][^\s\x00-\x1f\x7f\\<>\"']*)?")


class InitiateVerification(Command):
    """At which provider to verify what."""

    provider_key: str = Field(
        description="Key of an identity provider, such as bankid_se",
        json_schema_extra=written_as(enum=[provider.key for provider in PROVIDERS]),
    )
    requested_claims: Annotated[list[str], Field(min_length=1, max_length=16)] | None = Field(
        None, description="Types of the claims to verify; the provider's main ones when left out"
    )
    return_url: str | None = Field(
        None, max_length=2048, description="Where the browser goes afterwards, with session_ref and status in the query"
    )

    @field_validator("return_url")
    @classmethod
    def _is_a_page(cls, url: str | None) -> str | None:
        if url is not None and (not _URL.fullmatch(url) or not _host(url)):
            raise ValueError("must be an absolute http or https URL without user information")
        return url


class SessionReply(Reply):
    """A verification that was begun."""

    session_ref: str
    authorization_url: str = Field(description="The page on which the person decides")
    status: str = Field(description="pending: the person has not been asked when this is answered")
    provider_key: str
    requested_claims: list[str]
    expires_at: str


class CompleteVerification(Command):
    """The verification to complete."""

    provider_key: str = Field(description="Key of the provider it was begun at")
    session_ref: str = Field(description="Reference the verification was begun with (ivs_…)")


class CompletedReply(Reply):
    """A verification that is complete, with its claims."""

    session_ref: str
    provider_key: str
    status: str
    claims: list[ClaimReply]


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.port != 0 else None
    except ValueError:
        return None


@operation(
    "identity.initiate_verification",
    rest=Rest("POST", "/v1/identity/verify/initiate", status=201),
    tool=Tool("stack_start_identity_verification"),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="standard"),
    audit=Audit("identity.verify_initiate"),
    source="sdk 4.0.0 identity.initiate_verification; docs/api/identity",
    grade="documented",
)
def initiate_verification(ctx: Context, command: InitiateVerification) -> SessionReply:
    """Begin a verification. The person decides on the page behind authorization_url, within 15 minutes.

    Raises:
        Fault: INVALID_REQUEST for a provider there is not, a claim it does not verify, or a return_url that is no page.
    """
    ctx.row.set(provider=command.provider_key)
    provider = _provider(command.provider_key)
    wanted = tuple(dict.fromkeys(command.requested_claims or provider.default))
    unknown = [name for name in wanted if name not in provider.claim_types]
    if unknown:
        can = ", ".join(provider.claim_types)
        raise _invalid("requested_claims", f"{provider.key} does not verify {', '.join(unknown)}; it verifies {can}")
    session = VerificationSession(
        id=ctx.act.new_id("identity-verification", "ivs_"),
        operator_id=ctx.operator_id,
        provider_key=provider.key,
        claim_types=wanted,
        csrf=text_id(ctx.act.new_bytes("csrf"), 32),
        created_at=ctx.stamp_ms,
        expires_at=ctx.now_ms + LIFETIME_MS,
        return_url=command.return_url,
    )
    foreseen = {"auto": APPROVED, "deny": DENIED}.get(ctx.world.settings.get(SETTING, "auto"))
    if foreseen is not None:
        session = replace(session, status=foreseen, decided_at=ctx.stamp_ms)
    ctx.world.store.put(session)
    ctx.row.set(verification=session.id, claim_types=list(wanted), decision=foreseen)
    return SessionReply(
        session_ref=session.id,
        authorization_url=f"{ctx.origin}{PAGE}{session.id}",
        status=PENDING,
        provider_key=provider.key,
        requested_claims=list(wanted),
        expires_at=iso(session.expires_at),
    )


def _provider(key: str) -> Provider:
    provider = find(key)
    if provider is None:
        known = ", ".join(one.key for one in PROVIDERS)
        raise _invalid("provider_key", f"there is no identity provider {key}; there are {known}")
    return provider


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, problem=f"{field}: {problem}", details={"fields": {field: problem}})


@operation(
    "identity.complete_verification",
    rest=Rest("POST", "/v1/identity/verify/complete"),
    tool=Tool("stack_complete_identity_verification"),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="standard"),
    audit=Audit("identity.verify_complete"),
    source="sdk 4.0.0 identity.complete_verification; docs/api/identity; the reply's shape is not published",
    grade="documented",
)
def complete_verification(ctx: Context, command: CompleteVerification) -> CompletedReply:
    """Complete a verification the person agreed to: its claims are the account's from here on.

    Completing it again answers with the same claims.

    Raises:
        Fault: NOT_FOUND, INVALID_REQUEST for another provider, CONFLICT while it is undecided or after it expired,
            FORBIDDEN when the person denied it.
    """
    ctx.row.set(verification=command.session_ref)
    session = ctx.world.store.get(VerificationSession, command.session_ref)
    if session is None or session.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Verification", id=command.session_ref)
    ctx.row.set(provider=session.provider_key)
    if command.provider_key != session.provider_key:
        raise _invalid("provider_key", f"{session.id} is a verification at {session.provider_key}")
    status = status_at(session, ctx.now_ms)
    if status == COMPLETED:
        ctx.row.set(repeated=True)
        found = (ctx.world.store.get(IdentityClaim, claim_id) for claim_id in session.claim_ids)
        return _completed(session, [claim for claim in found if claim is not None])
    _refuse_undecided(session, status)
    claims = [keep(ctx, _claim(ctx, session, name)) for name in session.claim_types]
    ids = tuple(claim.id for claim in claims)
    session = ctx.world.store.put(replace(session, status=COMPLETED, claim_ids=ids))
    ctx.row.set(identity_claims=list(ids), claim_types=list(session.claim_types))
    return _completed(session, claims)


def _refuse_undecided(session: VerificationSession, status: str) -> None:
    if status == PENDING:
        problem = f"Verification {session.id} is pending: the person decides at its authorization_url first"
        raise Fault(faults.CONFLICT, problem=problem, details={"status": status})
    if status == EXPIRED:
        problem = f"Verification {session.id} expired at {iso(session.expires_at)}; initiate another one"
        raise Fault(faults.CONFLICT, problem=problem, details={"status": status})
    if status == DENIED:
        reason = f"Verification {session.id} was denied by the person; initiate another one to ask again"
        raise Fault(faults.FORBIDDEN, reason=reason, details={"status": status})


def _claim(ctx: Context, session: VerificationSession, name: str) -> IdentityClaim:
    return IdentityClaim(
        id=ctx.act.new_id("identity-claim", "clm_"),
        operator_id=session.operator_id,
        provider_key=session.provider_key,
        layer=LAYER_OF[name],
        claim_type=name,
        claim_ref=reference(ctx),
        assurance_level=_provider(session.provider_key).assurance,
        verified_at=ctx.stamp_ms,
        expires_at=ctx.now_ms + life_ms(ctx.world, session.operator_id),
    )


def _completed(session: VerificationSession, claims: list[IdentityClaim]) -> CompletedReply:
    return CompletedReply(
        session_ref=session.id,
        provider_key=session.provider_key,
        status=COMPLETED,
        claims=[claim_reply(claim) for claim in claims],
    )


def status_at(session: VerificationSession, now_ms: int) -> str:
    """The status of a verification at an instant: what is not completed within its life expires."""
    overdue = session.status in (PENDING, APPROVED) and session.expires_at <= now_ms
    return EXPIRED if overdue else session.status


def decide(world: World, session_ref: str, approve: bool, *, csrf: str | None = None) -> VerificationSession:
    """Decide a verification as the person would, on the page or by the control API; an act of its own.

    Args:
        world: the world.
        session_ref: ``ivs_…``.
        approve: True to agree, False to deny.
        csrf: what the page's form carried; None for the control API, which needs none.

    Raises:
        Fault: NOT_FOUND; CONFLICT when it is not pending; FORBIDDEN for a form that was not the page's own.
    """
    session = world.store.get(VerificationSession, session_ref)
    if session is None:
        raise Fault(faults.NOT_FOUND, what="Verification", id=session_ref)
    if csrf is not None and not hmac.compare_digest(csrf.encode(), session.csrf.encode()):
        raise Fault(faults.FORBIDDEN, reason="This form is not the page's own; open the page again and decide there")
    status = status_at(session, world.now_ms())
    if status != PENDING:
        raise Fault(faults.CONFLICT, problem=f"Verification {session_ref} is {status}; only a pending one is decided")
    decision = APPROVED if approve else DENIED
    row = RowDraft("identity.verify_decide", "system")
    given: Mapping[str, object] = {"session_ref": session_ref, "decision": decision}
    act = world.begin_act("control.identity.decide", session.operator_id, "control", given, row)
    with world.transaction(act):
        row.set(verification=session_ref, provider=session.provider_key, decision=decision)
        return world.store.put(replace(session, status=decision, decided_at=act.stamp_ms))
