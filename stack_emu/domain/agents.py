"""Agents: registering, reading, changing and deleting them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from stack_emu.domain import faults, governance, tiers
from stack_emu.domain.authentication import ACCOUNT, ACCOUNT_AND_AGENT, ANY_BEARER
from stack_emu.domain.state import Agent, Grant
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Caller, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*[a-z0-9]$", min_length=2, max_length=64)]
AccountabilityMode = Literal["enforced", "logged", "standard"]
CredentialAccess = Literal["direct", "proxy_preferred", "proxy_only"]
KeyMode = Literal["stack_managed", "customer_managed", "co_signed"]
Reaction = Literal["notify", "block"]
SkillAccessMode = Literal["any", "own", "none"]

PROFILES: dict[str, dict[str, Any]] = {
    "proxied-llm-bot": {
        "credential_access": "proxy_only",
        "accountability_mode": "logged",
        "key_mode": "stack_managed",
    }
}
TIER_AGENTS = tiers.COUNTS[tiers.AGENTS]


class RegisterAgent(Command):
    """What an agent is registered with."""

    name: AgentName = Field(description="Unique name: lower-case letters, digits and hyphens, 2 to 64 characters")
    description: str | None = Field(None, max_length=256, description="What the agent does")
    profile: str | None = Field(
        None,
        description="Preset such as proxied-llm-bot; explicit fields win over it",
        json_schema_extra=written_as(enum=list(PROFILES)),
    )
    accountability_mode: AccountabilityMode | None = Field(None, description="enforced (default), logged or standard")
    credential_access: CredentialAccess | None = Field(
        None, description="direct, proxy_preferred or proxy_only (default)"
    )
    key_mode: KeyMode | None = Field(None, description="Who holds the signing key; cannot be changed later")
    on_warning: Reaction = Field("notify", description="Reaction to warnings: notify or block")
    on_critical: Reaction = Field("notify", description="Reaction to critical signals: notify or block")
    icon_url: str | None = Field(None, max_length=100_000, description="URL or data URI of an icon")
    llm_inject_system_prompt: bool = Field(True, description="Whether the LLM gateway adds its system prompt")
    llm_redact_pii: bool = Field(True, description="Whether the LLM gateway redacts personal data")
    skill_access_mode: SkillAccessMode = Field(
        "any", description="Skills it may invoke: any, own (the account's own) or none"
    )
    allowed_skills: tuple[str, ...] | None = Field(
        None, max_length=256, description="Ids of the only skills it may invoke; * stands for every skill"
    )


class AgentReply(Reply):
    """An agent as the API shows it."""

    id: str
    operator_id: str
    name: str
    description: str | None
    status: str
    accountability_mode: str
    on_warning: str
    on_critical: str
    credential_access: str
    key_mode: str
    icon_url: str | None
    passport_blocked: bool
    passport_blocked_reason: str | None
    passport_blocked_at: str | None
    llm_inject_system_prompt: bool
    llm_redact_pii: bool
    skill_access_mode: str
    allowed_skills: list[str] | None
    enrolled: bool
    enrolled_at: str | None
    created_at: str
    updated_at: str


class AgentById(Command):
    """Names an agent."""

    agent_id: str = Field(description="Agent id (agt_…)")


def agent_reply(agent: Agent) -> AgentReply:
    """The public form of an agent."""
    return AgentReply(
        id=agent.id,
        operator_id=agent.operator_id,
        name=agent.name,
        description=agent.description,
        status=agent.status,
        accountability_mode=agent.accountability_mode,
        on_warning=agent.on_warning,
        on_critical=agent.on_critical,
        credential_access=agent.credential_access,
        key_mode=agent.key_mode,
        icon_url=agent.icon_url,
        passport_blocked=agent.passport_blocked,
        passport_blocked_reason=agent.passport_blocked_reason,
        passport_blocked_at=None if agent.passport_blocked_at is None else iso(agent.passport_blocked_at),
        llm_inject_system_prompt=agent.llm_inject_system_prompt,
        llm_redact_pii=agent.llm_redact_pii,
        skill_access_mode=agent.skill_access_mode,
        allowed_skills=None if agent.allowed_skills is None else list(agent.allowed_skills),
        enrolled=agent.public_key is not None,
        enrolled_at=None if agent.enrolled_at is None else iso(agent.enrolled_at),
        created_at=iso(agent.created_at),
        updated_at=iso(agent.updated_at),
    )


def require_agent(world: World, operator_id: str, agent_id: str) -> Agent:
    """The operator's agent.

    Raises:
        Fault: NOT_FOUND when there is none, it was deleted, or it is another operator's.
    """
    agent = world.store.get(Agent, agent_id)
    if agent is None or agent.deleted or agent.operator_id != operator_id:
        raise Fault(faults.NOT_FOUND, what="Agent", id=agent_id)
    return agent


def own_agent_only(world: World, caller: Caller, command: Any) -> None:
    """Narrow an agent's or passport's own credential to that agent.

    Raises:
        Fault: NOT_FOUND for any other agent, as for an unknown one.
    """
    if caller.agent_id is not None and command.agent_id != caller.agent_id:
        raise Fault(faults.NOT_FOUND, what="Agent", id=command.agent_id)


def subject_agent(world: World, command: Any) -> str | None:
    """The agent a command names in ``agent_id``, for its lane."""
    agent_id: str | None = command.agent_id
    return agent_id


def agents_of(world: World, operator_id: str) -> list[Agent]:
    """The account's agents that are not deleted, in the order they were registered."""
    return [agent for agent in world.store.find(Agent, operator_id=operator_id) if not agent.deleted]


@operation(
    "agents.register",
    rest=Rest("POST", "/v1/agents/register", status=201),
    tool=Tool("stack_register_agent"),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("agent.register"),
    creates=lambda reply: reply.id,
    source="sdk 4.0.0 agents.register; docs/api/agents",
    grade="documented",
)
def register_agent(ctx: Context, command: RegisterAgent) -> AgentReply:
    """Register an agent. Names are unique in an account; the reply is the whole agent.

    Raises:
        Fault: INVALID_REQUEST for an unknown profile, CONFLICT for a name in use, TIER_LIMIT_EXCEEDED.
    """
    profile = _profile(command.profile)
    check_name(ctx, command.name)
    check_tier(ctx)
    agent = Agent(
        id=ctx.act.new_id("agent", "agt_"),
        operator_id=ctx.operator_id,
        name=command.name,
        description=command.description,
        accountability_mode=command.accountability_mode or profile.get("accountability_mode", "enforced"),
        credential_access=command.credential_access or profile.get("credential_access", "proxy_only"),
        key_mode=command.key_mode or profile.get("key_mode", "stack_managed"),
        profile=command.profile,
        on_warning=command.on_warning,
        on_critical=command.on_critical,
        icon_url=command.icon_url,
        llm_inject_system_prompt=command.llm_inject_system_prompt,
        llm_redact_pii=command.llm_redact_pii,
        skill_access_mode=command.skill_access_mode,
        allowed_skills=command.allowed_skills,
        created_at=ctx.stamp_ms,
        updated_at=ctx.stamp_ms,
        made_by=ctx.caller.grant_id,
    )
    ctx.world.store.put(agent)
    ctx.row.set(agent_id=agent.id, name=agent.name)
    return agent_reply(agent)


def _profile(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    if name not in PROFILES:
        raise Fault(
            faults.INVALID_REQUEST,
            details={"fields": {"profile": f"must be one of {', '.join(PROFILES)}"}},
            problem=f"profile: {name} is not known; use one of {', '.join(PROFILES)}",
        )
    return PROFILES[name]


def check_name(ctx: Context, name: str) -> None:
    """Refuse a name another agent of the account has.

    Raises:
        Fault: CONFLICT.
    """
    if any(agent.name == name for agent in agents_of(ctx.world, ctx.operator_id)):
        raise Fault(faults.CONFLICT, problem=f"An agent named {name} exists already; names are unique")


def check_tier(ctx: Context) -> None:
    """Refuse one more agent than the account's tier allows.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED.
    """
    tiers.check(ctx.world, ctx.operator_id, tiers.AGENTS, len(agents_of(ctx.world, ctx.operator_id)))


@operation(
    "agents.get",
    rest=Rest("GET", "/v1/agents/{agent_id}"),
    tool=Tool("stack_get_agent"),
    auth=Auth(bearers=ANY_BEARER, scope="agents:read", narrow=own_agent_only),
    source="sdk 4.0.0 agents.get",
    grade="documented",
)
def get_agent(ctx: Context, command: AgentById) -> AgentReply:
    """Read one agent.

    Raises:
        Fault: NOT_FOUND.
    """
    return agent_reply(require_agent(ctx.world, ctx.operator_id, command.agent_id))


@operation(
    "agents.list",
    rest=Rest("GET", "/v1/agents"),
    tool=Tool("stack_list_agents"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="agents:read"),
    source="sdk 4.0.0 agents.list",
    grade="documented",
)
def list_agents(ctx: Context, command: Command) -> list[AgentReply]:
    """List the account's agents, oldest first. An agent's own credential sees only that agent."""
    own, grant = ctx.caller.agent_id, ctx.caller.grant_id
    return [
        agent_reply(agent)
        for agent in agents_of(ctx.world, ctx.operator_id)
        if own in (None, agent.id) and grant in (None, agent.made_by)
    ]


class UpdateAgent(Command):
    """What to change about an agent; fields left out stay as they are."""

    agent_id: str = Field(description="Agent id (agt_…)")
    name: AgentName | None = Field(None, description="New unique name")
    description: str | None = Field(None, max_length=256, description="What the agent does")
    status: Literal["active", "suspended"] | None = Field(None, description="active or suspended")
    accountability_mode: AccountabilityMode | None = Field(None, description="enforced, logged or standard")
    credential_access: CredentialAccess | None = Field(None, description="direct, proxy_preferred or proxy_only")
    key_mode: KeyMode | None = Field(None, description="Cannot be changed: anything but the present mode is refused")
    on_warning: Reaction | None = Field(None, description="Reaction to warnings: notify or block")
    on_critical: Reaction | None = Field(None, description="Reaction to critical signals: notify or block")
    icon_url: str | None = Field(None, max_length=100_000, description="URL or data URI of an icon")
    llm_inject_system_prompt: bool | None = Field(None, description="Whether the LLM gateway adds its system prompt")
    llm_redact_pii: bool | None = Field(None, description="Whether the LLM gateway redacts personal data")
    skill_access_mode: SkillAccessMode | None = Field(None, description="any, own (the account's own skills) or none")
    allowed_skills: tuple[str, ...] | None = Field(
        None, max_length=256, description="Ids of the only skills it may invoke; * stands for every skill"
    )


@operation(
    "agents.update",
    rest=Rest("PATCH", "/v1/agents/{agent_id}"),
    tool=Tool("stack_update_agent", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("agent.update"),
    subject=subject_agent,
    source="sdk 4.0.0 agents.update, suspend, activate; docs/guides/enforced-mode",
    grade="documented",
)
def update_agent(ctx: Context, command: UpdateAgent) -> AgentReply:
    """Change an agent. Passports issued before keep the mode they were issued in.

    Raises:
        Fault: NOT_FOUND, CONFLICT for a name in use, INVALID_REQUEST for another key_mode.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    if command.key_mode not in (None, agent.key_mode):
        problem = f"key_mode: it is {agent.key_mode} since registration and cannot be changed; register another agent"
        raise Fault(faults.INVALID_REQUEST, details={"fields": {"key_mode": "cannot be changed"}}, problem=problem)
    if command.name not in (None, agent.name):
        check_name(ctx, str(command.name))
    given = command.model_dump(exclude_unset=True, exclude={"agent_id", "key_mode"})
    changes = {name: value for name, value in given.items() if value != getattr(agent, name)}
    ctx.row.set(agent_id=agent.id, changed=sorted(changes))
    if changes:
        agent = ctx.world.store.put(replace(agent, **changes, updated_at=ctx.stamp_ms))
    return agent_reply(agent)


class DeletedAgent(Reply):
    """What a deletion took away."""

    id: str
    deleted: bool
    revoked_passports: int


@operation(
    "agents.delete",
    rest=Rest("DELETE", "/v1/agents/{agent_id}"),
    tool=Tool("stack_delete_agent", destructive=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("agent.delete"),
    subject=subject_agent,
    source="sdk 4.0.0 agents.delete; docs/concepts/revocation (reason Agent deleted)",
    grade="documented",
)
def delete_agent(ctx: Context, command: AgentById) -> DeletedAgent:
    """Delete an agent. Its passports are revoked with everything delegated from them, its grants and its key are gone.

    Raises:
        Fault: NOT_FOUND, also when it was deleted before.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    revoked = revoke_passports_of(ctx, agent.id, "Agent deleted")
    for grant in list(ctx.world.store.find(Grant, agent_id=agent.id)):
        ctx.world.store.delete(Grant, grant.id)
    ctx.world.store.put(replace(agent, deleted=True, public_key=None, updated_at=ctx.stamp_ms))
    ctx.row.set(agent_id=agent.id, name=agent.name, revoked_passports=revoked)
    return DeletedAgent(id=agent.id, deleted=True, revoked_passports=revoked)


def revoke_passports_of(ctx: Context, agent_id: str, reason: str) -> int:
    """Revoke an agent's passports and what was delegated from them; returns how many there were in all."""
    from stack_emu.domain import revocation

    standing = revocation.standing(ctx.world, ctx.operator_id, agent_id=agent_id)
    done = revocation.revoke(ctx.world, ctx.act, standing, revocation="bulk_agent", reason=reason, cascade=True)
    return len(done[0]) + len(done[1])


class UnblockAgent(Command):
    """Which agent to unblock, and the approval for it."""

    agent_id: str = Field(description="Agent id (agt_…)")
    governance_approval_id: str | None = Field(None, description="Approval id (gvr_…) a refused call was answered with")


@operation(
    "agents.unblock",
    rest=Rest("POST", "/v1/agents/{agent_id}/unblock", headers={governance.HEADER: "governance_approval_id"}),
    tool=Tool("stack_unblock_agent", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope="agents:write", role="standard"),
    audit=Audit("agent.unblock"),
    subject=subject_agent,
    source="sdk 4.0.0 agents.unblock; docs/sdk/javascript",
    grade="sdk-implied",
)
def unblock_agent(ctx: Context, command: UnblockAgent) -> AgentReply | Refused:
    """Let a blocked agent hold passports again. Without a human at the dashboard it needs a governance approval.

    Raises:
        Fault: NOT_FOUND, GOVERNANCE_APPROVAL_REQUIRED.
    """
    agent = require_agent(ctx.world, ctx.operator_id, command.agent_id)
    ctx.row.set(agent_id=agent.id)
    if not agent.passport_blocked:
        return agent_reply(agent)
    refused = governance.gate(
        ctx,
        subject=agent.id,
        change=f"Unblocking agent {agent.id}",
        approval_id=command.governance_approval_id,
        agent_id=agent.id,
    )
    if refused is not None:
        return refused
    free = replace(
        agent,
        passport_blocked=False,
        passport_blocked_reason=None,
        passport_blocked_at=None,
        updated_at=ctx.stamp_ms,
    )
    return agent_reply(ctx.world.store.put(free))
