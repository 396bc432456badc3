"""Credentials: handing a connection's secret to whoever may hold it.

An agent in ``proxy_only`` never gets one (SDK 4.0.0 agents.register). A passport in ``X-Passport-Token`` narrows the
call to what that passport may use and feeds the detectors (docs/api/credentials).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stack_emu.domain import detectors, faults, signals
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT, live_passport
from stack_emu.domain.identity_records import require_met_by
from stack_emu.domain.issuance import presented
from stack_emu.domain.proxy_checks import post_checkout
from stack_emu.domain.services import find_reachable, require_connection
from stack_emu.domain.state import Agent, Connection, Grant, Passport, RetrievalWindow
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import TOKEN, Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace

_AUTH = Auth(bearers=ACCOUNT_AND_AGENT, scope="credentials:read")
_HEADERS = {"X-Passport-Token": "passport_token"}


class CredentialByProvider(Command):
    """Names the service by its provider."""

    provider: str = Field(description="Provider key, such as slack")
    passport_token: Annotated[str | None, TOKEN] = Field(None, description="Passport the credential is retrieved for")


class CredentialByConnection(Command):
    """Names the service by its connection."""

    connection_id: str = Field(description="Connection id (scon_…)")
    passport_token: Annotated[str | None, TOKEN] = Field(None, description="Passport the credential is retrieved for")


class CredentialReply(Reply):
    """A credential: one text, or several fields."""

    provider: str
    credential: str | None = None
    credentials: dict[str, str] | None = None


@operation(
    "credentials.get",
    rest=Rest("GET", "/v1/credentials/{provider+}", headers=_HEADERS),
    tool=Tool("stack_get_credential"),
    auth=_AUTH,
    audit=Audit("credential.retrieve", layer="vault"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 credentials.get; docs/api/credentials",
    grade="documented",
)
def get_credential(ctx: Context, command: CredentialByProvider) -> CredentialReply | Refused:
    """Retrieve the credential of a service by its provider. Agents in proxy_only use the proxy instead.

    Raises:
        Fault: NOT_FOUND, CONFLICT when several connections share the provider or the credential has expired, FORBIDDEN,
            IDENTITY_REQUIREMENTS_NOT_MET.
    """
    ctx.row.set(service=command.provider)
    passport, agent = _holder(ctx, command.passport_token)
    prefer = [scope.connection_id for scope in passport.services] if passport is not None else []
    return _retrieve(ctx, find_reachable(ctx.world, ctx.caller, command.provider, prefer), passport, agent)


@operation(
    "credentials.get_by_connection",
    rest=Rest("GET", "/v1/credentials/by-connection/{connection_id}", headers=_HEADERS),
    tool=Tool("stack_get_credential_by_connection"),
    auth=_AUTH,
    audit=Audit("credential.retrieve", layer="vault"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 credentials.get_by_connection; docs/api/credentials",
    grade="documented",
)
def get_credential_by_connection(ctx: Context, command: CredentialByConnection) -> CredentialReply | Refused:
    """Retrieve the credential of one connection. Agents in proxy_only use the proxy instead.

    Raises:
        Fault: NOT_FOUND, CONFLICT when the credential has expired, FORBIDDEN, IDENTITY_REQUIREMENTS_NOT_MET.
    """
    passport, agent = _holder(ctx, command.passport_token)
    return _retrieve(ctx, require_connection(ctx.world, ctx.caller, command.connection_id), passport, agent)


def _holder(ctx: Context, token: str | None) -> tuple[Passport | None, Agent | None]:
    """The passport presented and the agent the credential is for, when it is for one at all."""
    passport = live_passport(ctx.world, token) if token is not None else None
    agent_id = ctx.caller.agent_id
    if passport is not None:
        if passport.operator_id != ctx.operator_id or agent_id not in (None, passport.agent_id):
            caller = f"agent {agent_id}" if agent_id is not None else "this account"
            raise Fault(faults.FORBIDDEN, reason=f"Passport {passport.id} is not one of {caller}; present its own")
        agent_id = passport.agent_id
        ctx.row.set(agent_id=agent_id, passport_jti=passport.id, mission=passport.mission_id)
        ctx.row.set(intent=passport.intent_summary)
    return passport, require_agent(ctx.world, ctx.operator_id, agent_id) if agent_id is not None else None


def _retrieve(
    ctx: Context, connection: Connection, passport: Passport | None, agent: Agent | None
) -> CredentialReply | Refused:
    ctx.row.set(service=connection.provider, connection=connection.id)
    if passport is not None and passport.checked_out_at is not None:
        return post_checkout(ctx, passport, passport.checked_out_at, connection.provider)
    if agent is not None:
        _check_agent(ctx, agent, connection)
    if passport is not None:
        outside = _outside(ctx, passport, connection)
        if outside is not None:
            return outside
    require_met_by(ctx.world, ctx.operator_id, passport, connection)
    expires = connection.credential_expires_at
    if expires is not None and expires <= ctx.now_ms:
        problem = f"The credential of {connection.id} expired at {iso(expires)}; connect {connection.provider} again"
        raise Fault(faults.CONFLICT, problem=problem)
    if agent is not None:
        _count(ctx, agent, passport)
    ctx.world.store.put(replace(connection, retrieved=True))
    return _reply(connection)


def _reply(connection: Connection) -> CredentialReply:
    if isinstance(connection.credential, str):
        return CredentialReply(provider=connection.provider, credential=connection.credential)
    fields = {name: str(value) for name, value in connection.credential.items()}
    return CredentialReply(provider=connection.provider, credentials=fields)


def _check_agent(ctx: Context, agent: Agent, connection: Connection) -> None:
    if agent.credential_access == "proxy_only":
        reason = (
            f"Agent {agent.id} is proxy_only and never holds credentials; call {connection.provider} through the proxy "
            "(POST /v1/proxy), or set its credential_access to proxy_preferred or direct"
        )
        raise Fault(faults.FORBIDDEN, reason=reason, details={"credential_access": agent.credential_access})
    if ctx.world.store.get(Grant, f"{agent.id}/{connection.id}") is None:
        reason = f"Agent {agent.id} has no grant for {connection.id}; grant it access first"
        raise Fault(faults.FORBIDDEN, reason=reason)


def _outside(ctx: Context, passport: Passport, connection: Connection) -> Refused | None:
    """The refusal when a passport does not reach a connection; the attempt is noted as a signal."""
    if any(scope.connection_id == connection.id for scope in passport.services):
        return None
    signals.note(
        ctx.world,
        ctx.act,
        agent_id=passport.agent_id,
        passport=passport,
        signal_type=detectors.OUTSIDE_SCOPE,
        severity=signals.WARNING if passport.accountability == "logged" else signals.CRITICAL,
        message=f"Credential retrieval for {connection.provider} not in passport scope",
        metadata={
            "intent_services": list(passport.intent_services),
            "granted_providers": sorted({scope.service_name for scope in passport.services}),
        },
    )
    allowed = ", ".join(sorted({scope.connection_id for scope in passport.services})) or "no connection"
    reason = f"Passport {passport.id} does not reach {connection.id}; it is for {allowed}"
    return Refused(Fault(faults.FORBIDDEN, reason=reason))


def _count(ctx: Context, agent: Agent, passport: Passport | None) -> None:
    """Count a retrieval; more than ``count`` by an agent within the window are a burst, and counting starts again."""
    settings = detectors.settings_of(ctx.world, agent.operator_id, detectors.BURST)
    seconds = int(settings.threshold("window_seconds"))
    known = ctx.world.store.get(RetrievalWindow, agent.id)
    recent = tuple(at for at in (known.times if known else ()) if at > ctx.now_ms - seconds * 1000)
    times = (*recent, ctx.now_ms)
    if len(times) > settings.threshold("count"):
        signals.note(
            ctx.world,
            ctx.act,
            agent_id=agent.id,
            passport=passport,
            signal_type=detectors.BURST,
            severity=signals.WARNING,
            message=f"Agent retrieved {len(times)} credentials within {seconds} seconds",
            metadata={"credential_count": len(times), "time_window_seconds": seconds},
        )
        times = ()
    ctx.world.store.put(RetrievalWindow(agent.id, times))
