"""What a skill must be to stand on the marketplace: its schemas, price, steps and the agent that serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from stack_emu.domain import faults, tiers
from stack_emu.domain.agents import require_agent
from stack_emu.domain.json_schemas import check_schema, refuse_field
from stack_emu.domain.skill_records import OPEN, Skill
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.world import World

SERVED_STEPS = ("llm", "template")
VERSION = r"^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]{1,64})?(\+[0-9A-Za-z.-]{1,64})?$"
VARIABLE = re.compile(r"\$(INPUT|PREV)((?:\.[A-Za-z0-9_-]+)*)")
"""A variable in a step, and the path into it."""


def price_of(price_per_invocation: int | None, price_cents: int | None) -> int | None:
    """The price in cents from its two names.

    Raises:
        Fault: INVALID_REQUEST when they differ.
    """
    if None not in (price_per_invocation, price_cents) and price_per_invocation != price_cents:
        refuse_field("price_cents", "it is another name of price_per_invocation and differs from it; send one of them")
    return price_per_invocation if price_per_invocation is not None else price_cents


def check_terms(skill: Skill) -> None:
    """Refuse a skill that could not be used.

    Raises:
        Fault: INVALID_REQUEST naming the field, NOT_EMULATED for script steps.
    """
    check_schema("input_schema", skill.input_schema)
    check_schema("output_schema", skill.output_schema)
    if skill.execution_mode == OPEN and skill.agent_id is None:
        refuse_field("agent_id", "an open skill names the agent that serves its invocations")
    if skill.execution_mode != OPEN:
        check_steps(skill.execution_mode, skill.execution_steps)
    if skill.credential_mode == "buyer_provides" and not skill.required_credentials:
        refuse_field("required_credentials", "credential_mode buyer_provides lists what the buyer is to provide")


def check_agent(ctx: Context, skill: Skill) -> None:
    """Refuse an open skill whose agent is not one of the account.

    Raises:
        Fault: NOT_FOUND.
    """
    if skill.execution_mode == OPEN and skill.agent_id is not None:
        require_agent(ctx.world, ctx.operator_id, skill.agent_id)


def check_steps(mode: str, steps: Sequence[Mapping[str, Any]]) -> None:
    """Refuse steps that cannot be run.

    Raises:
        Fault: NOT_EMULATED for a script step, INVALID_REQUEST for any other fault.
    """
    if not steps:
        refuse_field("execution_steps", f"a {mode} skill has at least one step of type {' or '.join(SERVED_STEPS)}")
    for number, step in enumerate(steps):
        where = f"execution_steps.{number}"
        kind = step.get("type")
        if kind == "script":
            raise Fault(
                faults.NOT_EMULATED,
                what=f"{where}: running a script step",
                hint="Use llm steps, which the scenario's model: rules answer, and template steps, which build text or JSON "
                "from $INPUT and $PREV; or publish the skill as open and let an agent do the work.",
                details={"step": number, "served": list(SERVED_STEPS)},
            )
        if kind not in SERVED_STEPS:
            refuse_field(f"{where}.type", f"must be {' or '.join(SERVED_STEPS)}")
        if kind == "template" and "template" not in step:
            refuse_field(f"{where}.template", "a template step holds the text or JSON it builds here")
        if kind == "llm":
            _check_texts(where, step)
        if number == 0 and any(name == "PREV" for name, _ in variables(step)):
            refuse_field(where, "$PREV is the output of the step before, and this is the first; use $INPUT")


def _check_texts(where: str, step: Mapping[str, Any]) -> None:
    for name in ("model", "system_prompt", "user_message", "llm_provider", "llm_model"):
        if not isinstance(step.get(name, ""), str):
            refuse_field(f"{where}.{name}", "must be text")
    config = step.get("llm_config", {})
    if not isinstance(config, Mapping) or not isinstance(config.get("system_prompt", ""), str):
        refuse_field(f"{where}.llm_config", "must be an object whose system_prompt is text")


def variables(value: Any) -> list[tuple[str, str]]:
    """The variables a step names: (INPUT or PREV, path such as ``.text``)."""
    if isinstance(value, str):
        return [(match[1], match[2]) for match in VARIABLE.finditer(value)]
    if isinstance(value, Mapping):
        return [found for part in value.values() for found in variables(part)]
    if isinstance(value, (list, tuple)):
        return [found for part in value for found in variables(part)]
    return []


def version_key(version: str) -> tuple[tuple[int, ...], bool, str]:
    """What versions are ordered by: the three numbers, then pre-releases before the release."""
    core, _, _ = version.partition("+")
    numbers, _, pre = core.partition("-")
    return tuple(map(int, numbers.split("."))), not pre, pre


def check_tier(world: World, operator_id: str) -> None:
    """Refuse a skill beyond what the account's tier allows.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED.
    """
    used = sum(1 for _ in world.store.find(Skill, operator_id=operator_id))
    tiers.check(world, operator_id, tiers.SKILLS, used)


CHANGEABLE = frozenset(item.name for item in fields(Skill)) - {
    "id",
    "operator_id",
    "created_at",
    "updated_at",
    "status",
    "invocation_count",
}
"""Fields an update may change."""
