"""Skill requests: the board of what accounts wish for, the skills that answer, and chains of skills that would.

The board is public, as the marketplace is: a wish is there for publishers to read (docs/concepts/skills).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT, ANY_BEARER
from stack_emu.domain.json_schemas import check_schema
from stack_emu.domain.skill_matching import Composition, Match, compositions, matches, names
from stack_emu.domain.skill_records import SkillRequest
from stack_emu.domain.skills import LAYER, READ, WRITE, Tag
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation


class PostRequest(Command):
    """A wish for a skill."""

    description: str = Field(
        min_length=1, max_length=1000, description="What the skill should do, 1 to 1000 characters"
    )
    desired_input_schema: dict[str, Any] | None = Field(None, description="JSON Schema of what it would be given")
    desired_output_schema: dict[str, Any] | None = Field(None, description="JSON Schema of what it should give")
    max_price_cents: int | None = Field(None, ge=0, le=1_000_000, description="Most to pay for an invocation, in cents")
    tags: list[Tag] = Field(default_factory=list, max_length=32, description="Tags the skill should have")


class RequestReply(Reply):
    """A wish on the board."""

    id: str
    operator_id: str
    description: str
    desired_input_schema: dict[str, Any] | None
    desired_output_schema: dict[str, Any] | None
    max_price_cents: int | None
    tags: list[str]
    status: str
    created_at: str


def request_reply(request: SkillRequest) -> RequestReply:
    """The public form of a request."""
    given, asked = request.desired_input_schema, request.desired_output_schema
    return RequestReply(
        id=request.id,
        operator_id=request.operator_id,
        description=request.description,
        desired_input_schema=dict(given) if given is not None else None,
        desired_output_schema=dict(asked) if asked is not None else None,
        max_price_cents=request.max_price_cents,
        tags=list(request.tags),
        status=request.status,
        created_at=iso(request.created_at),
    )


@operation(
    "skills.post_request",
    rest=Rest("POST", "/v1/skill-requests", status=201),
    tool=Tool("stack_post_skill_request"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope=WRITE, role="standard"),
    audit=Audit("skill_request.post", layer=LAYER),
    source="sdk 4.0.0 skills.post_request; docs/concepts/skills",
    grade="documented",
)
def post_request(ctx: Context, command: PostRequest) -> RequestReply:
    """Put a wish on the board, where every account reads it.

    Raises:
        Fault: INVALID_REQUEST for a schema that is none.
    """
    check_schema("desired_input_schema", command.desired_input_schema)
    check_schema("desired_output_schema", command.desired_output_schema)
    request = SkillRequest(
        id=ctx.act.new_id("skill_request", "sreq_"),
        operator_id=ctx.operator_id,
        description=command.description,
        desired_input_schema=command.desired_input_schema,
        desired_output_schema=command.desired_output_schema,
        max_price_cents=command.max_price_cents,
        tags=tuple(dict.fromkeys(command.tags)),
        created_at=ctx.stamp_ms,
    )
    ctx.world.store.put(request)
    ctx.row.set(skill_request=request.id)
    return request_reply(request)


class ListRequests(Command):
    """Which wishes to list."""

    status: Literal["open", "fulfilled", "closed", "all"] = Field(
        "open", description="open, fulfilled, closed or all; here requests stay open"
    )
    limit: int = Field(20, ge=1, le=100, description="Requests in the reply, at most 100")
    offset: int = Field(0, ge=0, le=1_000_000, description="How many to pass over")


@operation(
    "skills.list_requests",
    rest=Rest("GET", "/v1/skill-requests"),
    tool=Tool("stack_list_skill_requests"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.list_requests",
    grade="documented",
)
def list_requests(ctx: Context, command: ListRequests) -> list[RequestReply]:
    """List the wishes on the board, of every account, oldest first."""
    found = [item for item in ctx.world.store.all(SkillRequest) if command.status in ("all", item.status)]
    return [request_reply(item) for item in found[command.offset : command.offset + command.limit]]


class RequestById(Command):
    """Names a request."""

    request_id: str = Field(description="Skill request id (sreq_…)")


def _request(ctx: Context, request_id: str) -> SkillRequest:
    request = ctx.world.store.get(SkillRequest, request_id)
    if request is None:
        raise Fault(faults.SKILL_REQUEST_NOT_FOUND, id=request_id)
    return request


@operation(
    "skills.get_request",
    rest=Rest("GET", "/v1/skill-requests/{request_id}"),
    tool=Tool("stack_get_skill_request"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.get_request",
    grade="documented",
)
def get_request(ctx: Context, command: RequestById) -> RequestReply:
    """Read a wish on the board.

    Raises:
        Fault: NOT_FOUND.
    """
    return request_reply(_request(ctx, command.request_id))


class SkillMatch(Reply):
    """A skill that answers a request; ``score`` is out of 100."""

    skill_id: str
    name: str
    description: str
    version: str
    execution_mode: str
    trust_level_required: str
    price_per_invocation: int
    score: int
    reasons: list[str]


class MatchesReply(Reply):
    """The skills that answer a request, best first."""

    request_id: str
    matches: list[SkillMatch]
    total: int


@operation(
    "skills.get_request_matches",
    rest=Rest("GET", "/v1/skill-requests/{request_id}/matches"),
    tool=Tool("stack_get_skill_request_matches"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.get_request_matches; docs/concepts/skills",
    grade="sdk-implied",
)
def get_request_matches(ctx: Context, command: RequestById) -> MatchesReply:
    """List the active skills that answer a wish within its price, by shared tags and words and by their schemas.

    Raises:
        Fault: NOT_FOUND.
    """
    request = _request(ctx, command.request_id)
    found = [_match_reply(match) for match in matches(ctx.world, request)]
    return MatchesReply(request_id=request.id, matches=found, total=len(found))


def _match_reply(match: Match) -> SkillMatch:
    skill = match.skill
    return SkillMatch(
        skill_id=skill.id,
        name=skill.name,
        description=skill.description,
        version=skill.version,
        execution_mode=skill.execution_mode,
        trust_level_required=skill.trust_level_required,
        price_per_invocation=skill.price_per_invocation,
        score=match.score,
        reasons=list(match.reasons),
    )


class CompositionStep(Reply):
    """One skill of a chain."""

    skill_id: str
    name: str
    version: str
    price_per_invocation: int


class Suggestion(Reply):
    """Skills to invoke one after the other; the buyer's agent passes the outputs on."""

    summary: str
    steps: list[CompositionStep]
    total_price_cents: int
    trust_level_required: str


class SuggestionsReply(Reply):
    """Chains that would answer a request, shortest first, then cheapest."""

    request_id: str
    suggestions: list[Suggestion]
    total: int


@operation(
    "skills.suggest_composition",
    rest=Rest("GET", "/v1/skill-requests/{request_id}/suggest"),
    tool=Tool("stack_suggest_skill_composition"),
    auth=Auth(bearers=ANY_BEARER, scope=READ),
    source="sdk 4.0.0 skills.suggest_composition; docs/concepts/skills",
    grade="sdk-implied",
)
def suggest_composition(ctx: Context, command: RequestById) -> SuggestionsReply:
    """Suggest chains of up to three active skills where the output of each feeds the next, for what a wish gives and asks.

    Raises:
        Fault: NOT_FOUND.
    """
    request = _request(ctx, command.request_id)
    found = [_suggestion(item) for item in compositions(ctx.world, request)]
    return SuggestionsReply(request_id=request.id, suggestions=found, total=len(found))


def _suggestion(composition: Composition) -> Suggestion:
    return Suggestion(
        summary=names(composition.skills),
        steps=[
            CompositionStep(
                skill_id=skill.id,
                name=skill.name,
                version=skill.version,
                price_per_invocation=skill.price_per_invocation,
            )
            for skill in composition.skills
        ],
        total_price_cents=composition.price,
        trust_level_required=composition.trust_level,
    )
