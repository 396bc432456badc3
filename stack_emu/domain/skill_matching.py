"""Which skills answer a request, and which can be chained to do so. A function of what is published: no chance, no ties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from stack_emu.domain.json_schemas import feeds
from stack_emu.domain.skill_records import ACTIVE, LEVELS, Skill, SkillRequest
from stack_emu.kernel.world import World

TAG_POINTS, WORD_POINTS, SCHEMA_POINTS = 40, 30, 15
MAX_CHAIN, MAX_SUGGESTIONS, MAX_CONSIDERED, MAX_OPEN = 3, 5, 100, 200
_WORD = re.compile(r"[a-z0-9]+")
_COMMON = frozenset(("and", "are", "for", "from", "into", "our", "that", "the", "this", "with"))


@dataclass(frozen=True)
class Match:
    """A skill that answers a request, with points out of 100 and what they were given for."""

    skill: Skill
    score: int
    reasons: tuple[str, ...] = field(default=())


def words(text: str) -> frozenset[str]:
    """The words of a text that say something, without plural s."""
    found = (word.removesuffix("s") if len(word) > 3 else word for word in _WORD.findall(text.lower()) if len(word) > 2)
    return frozenset(found) - _COMMON


def matches(world: World, request: SkillRequest) -> list[Match]:
    """Active skills that answer a request, best first, then cheapest, then oldest."""
    found = [match for skill in _offered(world, request) if (match := _match(skill, request)).score]
    return sorted(found, key=lambda match: (-match.score, match.skill.price_per_invocation))


def _offered(world: World, request: SkillRequest) -> list[Skill]:
    limit = request.max_price_cents
    return [
        skill
        for skill in world.store.all(Skill)
        if skill.status == ACTIVE and (limit is None or skill.price_per_invocation <= limit)
    ]


def _match(skill: Skill, request: SkillRequest) -> Match:
    score, reasons = 0, []
    wanted, has = {tag.lower() for tag in request.tags}, {tag.lower() for tag in skill.tags}
    if shared := sorted(wanted & has):
        score += TAG_POINTS * len(shared) // len(wanted)
        reasons.append(f"tags: {', '.join(shared)}")
    asked = words(request.description)
    if common := sorted(asked & words(f"{skill.name} {skill.description}")):
        score += max(1, WORD_POINTS * len(common) // len(asked))
        reasons.append(f"words: {', '.join(common)}")
    if request.desired_input_schema is not None and feeds(request.desired_input_schema, skill.input_schema):
        score += SCHEMA_POINTS
        reasons.append("input: takes what the request gives")
    if request.desired_output_schema is not None and feeds(skill.output_schema, request.desired_output_schema):
        score += SCHEMA_POINTS
        reasons.append("output: gives what the request asks for")
    return Match(skill, score, tuple(reasons))


@dataclass(frozen=True)
class Composition:
    """Skills to invoke one after the other, each fed by the output of the one before."""

    skills: tuple[Skill, ...]

    @property
    def price(self) -> int:
        """What all of it costs, in cents."""
        return sum(skill.price_per_invocation for skill in self.skills)

    @property
    def trust_level(self) -> str:
        """The highest trust level any of it asks for."""
        return max((skill.trust_level_required for skill in self.skills), key=LEVELS.index)


def compositions(world: World, request: SkillRequest) -> list[Composition]:
    """Chains of up to three skills from what the request gives to what it asks for: shortest first, then cheapest.

    Where the request has no schema for an end, only skills that match it otherwise stand at that end.
    """
    fitting = [match.skill for match in matches(world, request)]
    fits = {skill.id for skill in fitting}
    others = [skill for skill in _offered(world, request) if skill.id not in fits]
    offered = (fitting + others)[:MAX_CONSIDERED]
    given, asked = request.desired_input_schema, request.desired_output_schema
    starts = [skill for skill in offered if (skill.id in fits if given is None else feeds(given, skill.input_schema))]
    ends = {skill.id for skill in offered if (skill.id in fits if asked is None else feeds(skill.output_schema, asked))}
    followers = {skill.id: [other for other in offered if _follows(skill, other)] for skill in offered}
    chains: list[tuple[Skill, ...]] = [(skill,) for skill in starts]
    found: list[Composition] = []
    for _ in range(MAX_CHAIN):
        found += [Composition(chain) for chain in chains if chain[-1].id in ends]
        # What answers already needs no further step.
        open_ended = [chain for chain in chains if chain[-1].id not in ends][:MAX_OPEN]
        chains = [(*chain, after) for chain in open_ended for after in followers[chain[-1].id] if after not in chain]
    limit = request.max_price_cents
    affordable = [item for item in found if limit is None or item.price <= limit]
    return sorted(affordable, key=lambda item: (len(item.skills), item.price))[:MAX_SUGGESTIONS]


def _follows(skill: Skill, other: Skill) -> bool:
    """Whether a skill can come next: what takes anything is fed by nothing in particular."""
    takes = bool(other.input_schema.get("properties"))
    return takes and skill.id != other.id and feeds(skill.output_schema, other.input_schema)


def names(chain: Sequence[Skill]) -> str:
    """A chain in one line."""
    return " → ".join(skill.name for skill in chain)
