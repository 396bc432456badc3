"""Asking for authorization: the code flow with PKCE (OAuth 2.1, RFC 7636), resource indicators (RFC 8707), ``iss`` (RFC 9207).

A request whose client or redirect_uri is wrong is answered on the spot; every other refusal goes back to the client.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from stack_emu.domain import oauth_consent
from stack_emu.domain import oauth_faults as faults
from stack_emu.domain.oauth_clients import CODE, asking, known_client, require_grant_type
from stack_emu.domain.oauth_records import AUTHORIZATION, ENROLLMENT, OAuthClient
from stack_emu.domain.oauth_scopes import split, unknown
from stack_emu.domain.oauth_urls import (
    is_loopback_callback,
    issuer_of,
    mcp_resource_of,
    names_world,
    redirect_matches,
    with_query,
)
from stack_emu.domain.state import Agent
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.operations import VOLATILE, Audit, Auth, Caller, Command, Redirect, Rest, operation
from stack_emu.kernel.world import World

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Authorize(Command):
    """A client's request to be let in, as the browser carries it."""

    client_id: str = Field(description="The client")
    response_type: str | None = Field(None, description="code")
    redirect_uri: Annotated[str | None, VOLATILE] = Field(
        None, description="One of the client's, to the letter but for the port on loopback; may be left out of one"
    )
    scope: str | None = Field(None, max_length=2000, description="Scopes asked for; all of the client's when left out")
    resource: Annotated[str | None, VOLATILE] = Field(
        None, description="https://api.getstack.run, this world's URL, or its MCP endpoint"
    )
    code_challenge: Annotated[str | None, VOLATILE] = Field(None, description="SHA-256 of the verifier, base64url")
    code_challenge_method: str | None = Field(None, description="S256")
    state: Annotated[str | None, VOLATILE] = Field(None, max_length=2000, description="Comes back as it is")


def _asks(world: World, command: Authorize) -> Caller:
    redirect_of(known_client(world, command.client_id), command.redirect_uri)
    return asking(world, command.client_id)


def redirect_of(client: OAuthClient, asked: str | None) -> str:
    """Where a client wants its answer.

    Raises:
        Fault: invalid_request when that is none of its redirect URIs.
    """
    if asked is None and len(client.redirect_uris) == 1:
        return client.redirect_uris[0]
    if asked is not None and any(redirect_matches(one, asked) for one in client.redirect_uris):
        return asked
    registered = ", ".join(client.redirect_uris) or "none"
    problem = f"redirect_uri is not one this client registered, to the letter; registered: {registered}"
    raise Fault(faults.INVALID_REQUEST, problem=problem)


@operation(
    "oauth.authorize",
    rest=Rest("GET", "/oauth/authorize", status=302, errors="page"),
    auth=Auth(bearers=frozenset(), identify=_asks),
    audit=Audit("oauth.authorize"),
    source="sdk 4.0.0 browser_bootstrap; docs/integrations/mcp; RFC 6749, 7636, 8707, 9207",
    grade="documented",
)
def authorize(ctx: Context, command: Authorize) -> Redirect:
    """Ask a person to let a client in. The browser is sent back with a code, or with an error, or to the consent page.

    Raises:
        Fault: invalid_client or invalid_request, when there is nobody to send the browser back to.
    """
    client = known_client(ctx.world, command.client_id)
    redirect_uri = redirect_of(client, command.redirect_uri)
    issuer = issuer_of(ctx.origin)
    ctx.row.set(oauth_client=client.id)
    try:
        scopes = _require_sound(ctx, client, command)
    except Fault as fault:
        ctx.row.set(reason=fault.message)
        ctx.row.outcome, ctx.row.error_code = "blocked", fault.code
        back = with_query(
            redirect_uri, error=fault.code, error_description=fault.message, state=command.state, iss=issuer
        )
        return Redirect(back)
    ctx.row.set(scopes=list(scopes))
    request = oauth_consent.ask(
        ctx,
        {
            "kind": AUTHORIZATION,
            "client_id": client.id,
            "scopes": scopes,
            "resource": command.resource or mcp_resource_of(ctx.origin),
            "redirect_uri": redirect_uri,
            "redirect_given": command.redirect_uri is not None,
            "challenge": command.code_challenge,
            "state": command.state,
            "issuer": issuer,
        },
    )
    return oauth_consent.leads_to(ctx, request)


def _require_sound(ctx: Context, client: OAuthClient, command: Authorize) -> tuple[str, ...]:
    if command.response_type != "code":
        problem = f"response_type {command.response_type} is not served; it has to be code"
        raise Fault(faults.UNSUPPORTED_RESPONSE_TYPE, problem=problem)
    require_grant_type(client, CODE)
    if command.code_challenge is None or command.code_challenge_method != "S256":
        problem = "PKCE is needed: send code_challenge and code_challenge_method=S256"
        raise Fault(faults.INVALID_REQUEST, problem=problem)
    if not _CHALLENGE.fullmatch(command.code_challenge):
        problem = "code_challenge has to be the SHA-256 of the verifier in base64url, 43 characters"
        raise Fault(faults.INVALID_REQUEST, problem=problem)
    require_target(ctx, command.resource)
    return require_scopes(command.scope, client)


def require_target(ctx: Context, resource: str | None) -> None:
    """Refuse a resource that is not this world.

    Raises:
        Fault: invalid_target.
    """
    if resource is not None and not names_world(resource, ctx.origin):
        problem = (
            f"resource {resource} is not this world; it is https://api.getstack.run, {ctx.origin} or "
            f"{mcp_resource_of(ctx.origin)}"
        )
        raise Fault(faults.INVALID_TARGET, problem=problem)


def require_scopes(text: str | None, client: OAuthClient) -> tuple[str, ...]:
    """The scopes a client asks for; all it may have when it names none.

    Raises:
        Fault: invalid_scope.
    """
    scopes = split(text) or client.scopes
    strange = unknown(scopes, client.scopes)
    if strange:
        problem = f"This client cannot have {', '.join(strange)}; it can have {' '.join(client.scopes)}"
        raise Fault(faults.INVALID_SCOPE, problem=problem)
    return scopes


# --- the enrollment of an agent's key ---------------------------------------------------------------------------------


class SdkBootstrap(Command):
    """An agent's program that asks for its key to be enrolled, as the browser carries it."""

    agent_id: str = Field(description="Agent id (agt_…)")
    callback: Annotated[str, VOLATILE] = Field(max_length=2048, description="The program's own listener on loopback")
    state: Annotated[str, VOLATILE] = Field(max_length=2000, description="Comes back as it is")
    machine: Annotated[str | None, VOLATILE] = Field(None, max_length=200, description="Name of the machine")
    process: Annotated[str | None, VOLATILE] = Field(None, max_length=200, description="Name of the program")


def _bootstraps(world: World, command: SdkBootstrap) -> Caller:
    if not is_loopback_callback(command.callback):
        problem = (
            "callback has to be http on loopback, such as http://127.0.0.1:4000/cb: a ticket stays on this machine"
        )
        raise Fault(faults.INVALID_REQUEST, problem=problem)
    agent = world.store.get(Agent, command.agent_id)
    if agent is None or agent.deleted:
        return asking(world, "sdk")
    return Caller("anonymous", agent.operator_id, f"agent:{agent.id}")


UNKNOWN_AGENT = FaultSpec("NOT_FOUND", 404, "{problem}")


@operation(
    "oauth.sdk_bootstrap",
    rest=Rest("GET", "/sdk-bootstrap", status=302, errors="page"),
    auth=Auth(bearers=frozenset(), identify=_bootstraps),
    audit=Audit("agent.enrollment_request"),
    subject=lambda world, command: command.agent_id,
    source="sdk 4.0.0 agent_auth; what the page looks like and its error codes are not published",
    grade="sdk-implied",
)
def sdk_bootstrap(ctx: Context, command: SdkBootstrap) -> Redirect:
    """Ask a person to let an agent's program enroll its key. The browser is sent back with a ticket or an error.

    Raises:
        Fault: invalid_request when the callback is not on loopback.
    """
    agent = ctx.world.store.get(Agent, command.agent_id)
    if agent is None or agent.deleted:
        ctx.row.outcome, ctx.row.error_code = "blocked", UNKNOWN_AGENT.code
        return Redirect(with_query(command.callback, error="unknown_agent", state=command.state))
    request = oauth_consent.ask(
        ctx,
        {
            "kind": ENROLLMENT,
            "operator_id": agent.operator_id,
            "agent_id": agent.id,
            "redirect_uri": command.callback,
            "state": command.state,
            "machine": command.machine,
            "process": command.process,
            "issuer": ctx.origin,
        },
    )
    return oauth_consent.leads_to(ctx, request)
