"""Consent: what a person is asked, and what comes of the answer.

Who answers is the scenario's ``oauth.consent``: auto agrees at once, deny refuses at once, page leaves it to the page at
``/oauth/consent/<id>``. Three things are asked for: a client with a redirect (authorization), a device, and the enrollment
of an agent's key (``/sdk-bootstrap``).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from stack_emu.domain import faults
from stack_emu.domain.authentication import key_digest
from stack_emu.domain.enrollment import issue_ticket
from stack_emu.domain.oauth_clients import first_operator, lane_of, new_secret, terms_of
from stack_emu.domain.oauth_records import (
    APPROVED,
    AUTHORIZATION,
    DENIED,
    DEVICE,
    ENROLLMENT,
    PENDING,
    AuthorizationCode,
    ConsentRequest,
    DeviceCode,
    OAuthGrant,
)
from stack_emu.domain.oauth_urls import with_query
from stack_emu.kernel.acts import Act, RowDraft
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.operations import Redirect
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

PAGE = "/oauth/consent/"
LIFETIME_MS = 10 * 60_000
CODE_MS = 5 * 60_000
EXPIRED = "expired"
ACTIONS = {AUTHORIZATION: "oauth.consent", DEVICE: "oauth.consent", ENROLLMENT: "agent.enrollment_consent"}


def ask(ctx: Context, asked: Mapping[str, Any]) -> ConsentRequest:
    """Put a question to the person, or answer it at once where the scenario says so. The row says what became of it.

    Args:
        ctx: the call; its act asks.
        asked: fields of the ``ConsentRequest``, ``kind`` among them.
    """
    terms = terms_of(ctx.world)
    request = ConsentRequest(
        id=ctx.act.new_id("oauth-consent", "ocr_"),
        csrf=text_id(ctx.act.new_bytes("csrf"), 32),
        created_at=ctx.stamp_ms,
        **{"operator_id": terms.operator_id, "expires_at": ctx.now_ms + LIFETIME_MS, **asked},
    )
    status = {"auto": APPROVED, "deny": DENIED}.get(terms.consent, PENDING)
    if status != PENDING:
        request = replace(request, operator_id=request.operator_id or first_operator(ctx.world), status=status)
    ctx.row.set(consent=request.id, decision={PENDING: "asked"}.get(status, status))
    return ctx.world.store.put(request)


def outcome(world: World, act: Act, request: ConsentRequest) -> str | None:
    """What an answered question leads to: a code, a ticket or a device's grant. Returns where the browser goes, if anywhere.

    Args:
        world: the world; a transaction is open.
        act: the act of the answer.
        request: the question, approved or denied, its account chosen.
    """
    approved = request.status == APPROVED
    if not approved:
        act.row.outcome, act.row.error_code = "blocked", "access_denied"
    if request.kind == ENROLLMENT:
        return _enrollment(world, act, request, approved)
    grant = _grant(world, act, request) if approved else None
    if request.kind == DEVICE:
        for device in list(world.store.find(DeviceCode, consent_id=request.id)):
            world.store.put(replace(device, grant_id=grant.id if grant is not None else None))
        return None
    if grant is None:
        return with_query(
            request.redirect_uri,
            error="access_denied",
            error_description="The person denied this client access",
            state=request.state,
            iss=request.issuer,
        )
    code = new_secret(world, act, "oac_", "oauth-code")
    world.store.put(
        AuthorizationCode(
            id=key_digest(code),
            grant_id=grant.id,
            client_id=request.client_id,
            redirect_uri=request.redirect_uri,
            redirect_given=request.redirect_given,
            challenge=request.challenge,
            expires_at=act.now_ms + CODE_MS,
        )
    )
    return with_query(request.redirect_uri, code=code, state=request.state, iss=request.issuer)


def _grant(world: World, act: Act, request: ConsentRequest) -> OAuthGrant:
    assert request.operator_id is not None, "a question is answered for an account"
    grant = OAuthGrant(
        id=act.new_id("oauth-grant", "ogr_"),
        operator_id=request.operator_id,
        client_id=request.client_id,
        scopes=request.scopes,
        resource=request.resource,
        created_at=act.stamp_ms,
    )
    act.row.set(oauth_grant=grant.id)
    return world.store.put(grant)


def _enrollment(world: World, act: Act, request: ConsentRequest, approved: bool) -> str:
    if not approved:
        return with_query(request.redirect_uri, error="access_denied", state=request.state)
    assert request.operator_id is not None, "an agent has an account"
    assert request.agent_id is not None, "an enrollment is an agent's"
    ticket = issue_ticket(world, act, request.operator_id, request.agent_id)
    return with_query(request.redirect_uri, ticket=ticket, state=request.state)


def leads_to(ctx: Context, request: ConsentRequest) -> Redirect:
    """Where the browser goes that asked: to the page while the question is open, else to what came of it."""
    if request.status == PENDING:
        return Redirect(f"{request.issuer}{PAGE}{request.id}")
    target = outcome(ctx.world, ctx.act, request)
    assert target is not None, "who came with a browser is sent somewhere"
    return Redirect(target)


def status_at(request: ConsentRequest, now_ms: int) -> str:
    """The status of a question at an instant."""
    return EXPIRED if request.status == PENDING and request.expires_at <= now_ms else request.status


def decide(world: World, request_id: str, approve: bool, *, csrf: str, operator_id: str | None) -> str | None:
    """Answer a question on its page; an act of its own. Returns where the browser goes, None when it stays.

    Args:
        world: the world.
        request_id: ``ocr_…``.
        approve: True to agree, False to deny.
        csrf: what the page's form carried.
        operator_id: the account chosen on the page, where several could answer.

    Raises:
        Fault: NOT_FOUND; FORBIDDEN for a form that was not the page's own; CONFLICT when it is not open any more;
            INVALID_REQUEST for an account that cannot answer.
    """
    request = world.store.get(ConsentRequest, request_id)
    if request is None:
        raise Fault(faults.NOT_FOUND, what="Consent request", id=request_id)
    if not hmac.compare_digest(csrf.encode(), request.csrf.encode()):
        raise Fault(faults.FORBIDDEN, reason="This form is not the page's own; open the page again and decide there")
    status = status_at(request, world.now_ms())
    if status != PENDING:
        raise Fault(faults.CONFLICT, problem=f"This request is {status}; ask for another one in the application")
    chosen = _chosen(world, request, operator_id)
    request = replace(request, operator_id=chosen, status=APPROVED if approve else DENIED)
    return answered(world, request)


def _chosen(world: World, request: ConsentRequest, operator_id: str | None) -> str:
    if request.operator_id is not None:
        return request.operator_id
    choices = terms_of(world).operators
    if operator_id not in choices:
        problem = f"operator: choose the account that is meant, one of {', '.join(choices)}"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"operator": problem}})
    return operator_id


def answered(world: World, request: ConsentRequest) -> str | None:
    """Keep the answer to a question and do what follows from it, in an act of its own."""
    assert request.operator_id is not None, "a question is answered for an account"
    enrollment = request.kind == ENROLLMENT
    row = RowDraft(ACTIONS[request.kind], "system", agent_id=request.agent_id)
    lane = f"agent:{request.agent_id}" if enrollment else lane_of(request.client_id)
    given = {"consent": request.id, "decision": request.status, "operator": request.operator_id}
    act = world.begin_act("control.oauth.decide", request.operator_id, lane, given, row)
    with world.transaction(act):
        row.set(
            consent=request.id,
            decision=request.status,
            oauth_client=request.client_id or None,
            scopes=list(request.scopes) or None,
        )
        world.store.put(request)
        return outcome(world, act, request)


def expiry_text(request: ConsentRequest) -> str:
    """Until when a question is open, for people."""
    return iso(request.expires_at)
