"""Skills: publishing capabilities on the marketplace, finding and changing them.

An active skill is visible to every account; a suspended one, and what runs inside it, only to the account it belongs to
(docs/concepts/skills). The steps of a skill published as source are for everybody to see.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from stack_emu.domain import faults
from stack_emu.domain.authentication import ACCOUNT, ACCOUNT_AND_AGENT, ANY_BEARER
from stack_emu.domain.json_schemas import refuse_field
from stack_emu.domain.skill_records import ACTIVE, OPEN, SUSPENDED, Skill
from stack_emu.domain.skill_terms import (
    CHANGEABLE,
    VERSION,
    check_agent,
    check_terms,
    check_tier,
    price_of,
    version_key,
)
from stack_emu.domain.skill_views import SkillReply, skill_reply
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Rest, Tool, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

LAYER = "skills"
READ, WRITE = "skills:read", "skills:write"

SkillName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*[a-z0-9]$", min_length=2, max_length=64)]
Version = Annotated[str, StringConstraints(pattern=VERSION, max_length=128)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64)]
TrustLevel = Literal["L0", "L1", "L2"]
ExecutionMode = Literal["open", "sealed", "source"]
CredentialMode = Literal["none", "buyer_provides"]


class RequiredCredential(Command):
    """A service the buyer of a skill must have connected."""

    provider: str = Field(min_length=1, max_length=128, description="The provider's key, such as slack")
    scopes: list[str] = Field(default_factory=list, description="Scopes the connection must have")


class PublishSkill(Command):
    """A skill to publish."""

    name: SkillName = Field(description="Unique name: lower-case letters, digits and hyphens, 2 to 64 characters")
    description: str = Field(min_length=1, max_length=1000, description="What it does, 1 to 1000 characters")
    version: Version = Field("1.0.0", description="Semantic version, such as 1.0.0")
    input_schema: dict[str, Any] = Field(description="JSON Schema of the input")
    output_schema: dict[str, Any] = Field(description="JSON Schema of the output")
    trust_level_required: TrustLevel = Field("L0", description="L0 anybody, L1 verified_human, L2 verified_identity")
    tags: list[Tag] = Field(default_factory=list, max_length=32, description="Tags to be found by")
    price_per_invocation: int | None = Field(None, ge=0, le=1_000_000, description="Price in cents; free when left out")
    price_cents: int | None = Field(None, ge=0, le=1_000_000, description="The same as price_per_invocation")
    agent_id: str | None = Field(None, description="Agent that serves invocations; needed by an open skill")
    execution_mode: ExecutionMode = Field("open", description="open (an agent does it), sealed or source (steps run)")
    credential_mode: CredentialMode = Field("none", description="none or buyer_provides")
    required_credentials: list[RequiredCredential] = Field(
        default_factory=list, max_length=32, description="With buyer_provides: what the buyer must have connected"
    )
    execution_steps: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=32,
        description="Steps of a sealed or source skill: {type: llm, model, system_prompt, user_message} or "
        "{type: template, template}; $INPUT and $PREV stand for the input and the output of the step before",
    )


def visible_skill(world: World, operator_id: str, skill_id: str) -> Skill:
    """A skill an account may see: an active one, or its own.

    Raises:
        Fault: SKILL_NOT_FOUND.
    """
    skill = world.store.get(Skill, skill_id)
    if skill is None or (skill.status != ACTIVE and skill.operator_id != operator_id):
        raise Fault(faults.SKILL_NOT_FOUND, id=skill_id)
    return skill


def own_skill(world: World, operator_id: str, skill_id: str) -> Skill:
    """An account's own skill.

    Raises:
        Fault: SKILL_NOT_FOUND, for another account's skill as for an unknown one.
    """
    skill = world.store.get(Skill, skill_id)
    if skill is None or skill.operator_id != operator_id:
        raise Fault(faults.SKILL_NOT_FOUND, id=skill_id)
    return skill


def _serving_agent(world: World, command: Any) -> str | None:
    """The agent that serves the named skill, for the lane."""
    skill = world.store.get(Skill, command.skill_id)
    return skill.agent_id if skill is not None else None


@operation(
    "skills.publish",
    rest=Rest("POST", "/v1/skills", status=201),
    tool=Tool("stack_publish_skill"),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="standard"),
    audit=Audit("skill.publish", layer=LAYER),
    subject=lambda world, command: command.agent_id,
    source="sdk 4.0.0 skills.publish; docs/api/skills; docs/guides/sealed-skill",
    grade="documented",
)
def publish_skill(ctx: Context, command: PublishSkill) -> SkillReply:
    """Publish a skill; it is active at once. Names are unique in an account: a new version is an update.

    Raises:
        Fault: INVALID_REQUEST for a schema or step that is none, NOT_EMULATED for script steps, NOT_FOUND for the agent,
            CONFLICT for a name in use, TIER_LIMIT_EXCEEDED.
    """
    ctx.row.set(name=command.name, execution_mode=command.execution_mode)
    price = price_of(command.price_per_invocation, command.price_cents)
    skill = Skill(
        id=ctx.act.new_id("skill", "skl_"),
        operator_id=ctx.operator_id,
        name=command.name,
        description=command.description,
        version=command.version,
        input_schema=command.input_schema,
        output_schema=command.output_schema,
        trust_level_required=command.trust_level_required,
        tags=tuple(dict.fromkeys(command.tags)),
        price_per_invocation=price or 0,
        agent_id=command.agent_id if command.execution_mode == OPEN else None,
        execution_mode=command.execution_mode,
        credential_mode=command.credential_mode,
        required_credentials=tuple(item.model_dump() for item in command.required_credentials),
        execution_steps=tuple(command.execution_steps) if command.execution_mode != OPEN else (),
        created_at=ctx.stamp_ms,
        updated_at=ctx.stamp_ms,
    )
    check_terms(skill)
    check_agent(ctx, skill)
    _check_name(ctx, skill.name)
    check_tier(ctx.world, ctx.operator_id)
    ctx.world.store.put(skill)
    ctx.row.set(agent_id=skill.agent_id, skill=skill.id, skill_version=skill.version)
    return skill_reply(skill, ctx.operator_id)


def _check_name(ctx: Context, name: str) -> None:
    for other in ctx.world.store.find(Skill, operator_id=ctx.operator_id):
        if other.name == name:
            problem = f"A skill named {name} exists already ({other.id}); update it, or choose another name"
            raise Fault(faults.CONFLICT, problem=problem, details={"skill_id": other.id})


class SkillById(Command):
    """Names a skill."""

    skill_id: str = Field(description="Skill id (skl_…)")


@operation(
    "skills.get",
    rest=Rest("GET", "/v1/skills/{skill_id}"),
    tool=Tool("stack_get_skill"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.get; docs/api/skills",
    grade="documented",
)
def get_skill(ctx: Context, command: SkillById) -> SkillReply:
    """Read a skill of the marketplace, or one's own whatever its status.

    Raises:
        Fault: SKILL_NOT_FOUND.
    """
    return skill_reply(visible_skill(ctx.world, ctx.operator_id, command.skill_id), ctx.operator_id)


class BrowseSkills(Command):
    """Which skills to list."""

    query: str | None = Field(None, max_length=200, description="Words that occur in name, description or tags")
    search: str | None = Field(None, max_length=200, description="The same as query")
    tags: str | None = Field(None, max_length=500, description="Tags the skill has, separated by commas")
    trust_level: TrustLevel | None = Field(None, description="Trust level the skill asks for: L0, L1 or L2")
    status: Literal["active", "suspended", "all"] = Field("active", description="active, suspended (one's own) or all")
    limit: int = Field(20, ge=1, le=100, description="Skills in the reply, at most 100")
    offset: int = Field(0, ge=0, le=1_000_000, description="How many to pass over")


@operation(
    "skills.browse",
    rest=Rest("GET", "/v1/skills"),
    tool=Tool("stack_browse_skills"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.browse; docs/api/skills; docs/guides/invoking-skills (search)",
    grade="documented",
)
def browse_skills(ctx: Context, command: BrowseSkills) -> list[SkillReply]:
    """List the marketplace, oldest skill first: active skills of every account, and suspended ones of one's own."""
    found = [skill for skill in ctx.world.store.all(Skill) if _listed(skill, command, ctx.operator_id)]
    return [skill_reply(skill, ctx.operator_id) for skill in found[command.offset : command.offset + command.limit]]


def _listed(skill: Skill, command: BrowseSkills, operator_id: str) -> bool:
    if skill.status != ACTIVE and skill.operator_id != operator_id:
        return False
    if command.status not in ("all", skill.status):
        return False
    if command.trust_level not in (None, skill.trust_level_required):
        return False
    wanted = {tag.strip().lower() for tag in (command.tags or "").split(",") if tag.strip()}
    if not wanted <= {tag.lower() for tag in skill.tags}:
        return False
    text = " ".join((skill.name, skill.description, *skill.tags)).lower()
    return all(word in text for word in (command.query or command.search or "").lower().split())


@operation(
    "skills.list_owned",
    rest=Rest("GET", "/v1/skills/mine"),
    tool=Tool("stack_list_my_skills"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope=READ),
    source="sdk 4.0.0 skills.list_owned; docs/api/skills",
    grade="documented",
)
def list_owned_skills(ctx: Context, command: Command) -> list[SkillReply]:
    """List the account's own skills whatever their status, oldest first."""
    owned = ctx.world.store.find(Skill, operator_id=ctx.operator_id)
    return [skill_reply(skill, ctx.operator_id) for skill in owned]


class UpdateSkill(Command):
    """What to change about a skill; fields left out stay as they are."""

    skill_id: str = Field(description="Skill id (skl_…)")
    name: SkillName | None = Field(None, description="New unique name")
    description: str | None = Field(None, min_length=1, max_length=1000, description="What it does")
    version: Version | None = Field(None, description="Semantic version, not lower than the present one")
    input_schema: dict[str, Any] | None = Field(None, description="JSON Schema of the input")
    output_schema: dict[str, Any] | None = Field(None, description="JSON Schema of the output")
    trust_level_required: TrustLevel | None = Field(None, description="L0, L1 or L2")
    tags: list[Tag] | None = Field(None, max_length=32, description="Tags to be found by")
    price_per_invocation: int | None = Field(None, ge=0, le=1_000_000, description="Price in cents")
    price_cents: int | None = Field(None, ge=0, le=1_000_000, description="The same as price_per_invocation")
    agent_id: str | None = Field(None, description="Agent that serves an open skill")
    execution_mode: ExecutionMode | None = Field(None, description="Cannot be changed: publish another skill")
    credential_mode: CredentialMode | None = Field(None, description="none or buyer_provides")
    required_credentials: list[RequiredCredential] | None = Field(
        None, max_length=32, description="What the buyer must have connected"
    )
    execution_steps: list[dict[str, Any]] | None = Field(
        None, max_length=32, description="Steps of a sealed or source skill"
    )


@operation(
    "skills.update",
    rest=Rest("PATCH", "/v1/skills/{skill_id}"),
    tool=Tool("stack_update_skill", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="standard"),
    audit=Audit("skill.update", layer=LAYER),
    subject=_serving_agent,
    source="sdk 4.0.0 skills.update; docs/api/skills",
    grade="documented",
)
def update_skill(ctx: Context, command: UpdateSkill) -> SkillReply:
    """Change one's own skill. Invocations under way keep the version, price and output they were made for.

    Raises:
        Fault: SKILL_NOT_FOUND, INVALID_REQUEST for a lower version, another execution_mode or what publishing would refuse,
            NOT_EMULATED, NOT_FOUND for the agent, CONFLICT for a name in use.
    """
    ctx.row.set(skill=command.skill_id)
    skill = own_skill(ctx.world, ctx.operator_id, command.skill_id)
    changes = _changes(command, skill)
    ctx.row.set(agent_id=skill.agent_id, name=skill.name, changed=sorted(changes))
    if "name" in changes:
        _check_name(ctx, changes["name"])
    if changes:
        skill = replace(skill, **changes, updated_at=ctx.stamp_ms)
        check_terms(skill)
        check_agent(ctx, skill)
        ctx.world.store.put(skill)
    ctx.row.set(skill_version=skill.version)
    return skill_reply(skill, ctx.operator_id)


def _changes(command: UpdateSkill, skill: Skill) -> dict[str, Any]:
    if command.execution_mode not in (None, skill.execution_mode):
        refuse_field("execution_mode", f"it is {skill.execution_mode} since publication; publish another skill")
    if command.version is not None and version_key(command.version) < version_key(skill.version):
        refuse_field("version", f"{command.version} is lower than {skill.version}, the present one")
    given = command.model_dump(exclude_unset=True, exclude={"skill_id", "price_cents"})
    price = price_of(command.price_per_invocation, command.price_cents)
    if price is not None:
        given["price_per_invocation"] = price
    for name, value in given.items():
        given[name] = tuple(value) if isinstance(value, list) else value
    if skill.execution_mode == OPEN:
        given.pop("execution_steps", None)
    else:
        given.pop("agent_id", None)
    return {name: value for name, value in given.items() if name in CHANGEABLE and value != getattr(skill, name)}


@operation(
    "skills.suspend",
    rest=Rest("POST", "/v1/skills/{skill_id}/suspend"),
    tool=Tool("stack_suspend_skill", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="standard"),
    audit=Audit("skill.suspend", layer=LAYER),
    subject=_serving_agent,
    source="sdk 4.0.0 skills.suspend; docs/api/skills",
    grade="documented",
)
def suspend_skill(ctx: Context, command: SkillById) -> SkillReply:
    """Take one's own skill off the marketplace; what was invoked before can still be completed.

    Raises:
        Fault: SKILL_NOT_FOUND.
    """
    return _set_status(ctx, command.skill_id, SUSPENDED)


@operation(
    "skills.activate",
    rest=Rest("POST", "/v1/skills/{skill_id}/activate"),
    tool=Tool("stack_activate_skill", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="standard"),
    audit=Audit("skill.activate", layer=LAYER),
    subject=_serving_agent,
    source="sdk 4.0.0 skills.activate; docs/api/skills",
    grade="documented",
)
def activate_skill(ctx: Context, command: SkillById) -> SkillReply:
    """Put one's own skill back on the marketplace.

    Raises:
        Fault: SKILL_NOT_FOUND, NOT_FOUND when the agent that serves it was deleted.
    """
    return _set_status(ctx, command.skill_id, ACTIVE)


def _set_status(ctx: Context, skill_id: str, status: str) -> SkillReply:
    ctx.row.set(skill=skill_id)
    skill = own_skill(ctx.world, ctx.operator_id, skill_id)
    ctx.row.set(agent_id=skill.agent_id, name=skill.name)
    if status == ACTIVE:
        check_agent(ctx, skill)
    if skill.status != status:
        skill = ctx.world.store.put(replace(skill, status=status, updated_at=ctx.stamp_ms))
    return skill_reply(skill, ctx.operator_id)
