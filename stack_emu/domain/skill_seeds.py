"""The skills of a scenario, put on the marketplace when its world starts."""

from __future__ import annotations

from collections.abc import Mapping

from stack_emu.domain.skill_records import OPEN, Skill
from stack_emu.domain.state import Agent
from stack_emu.kernel.errors import Fault, WorldError
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.world import World
from stack_emu.scenario.models import Scenario


class SkillSeedError(WorldError):
    """A skill of the scenario that could not be published; the message says what would work."""


def provision_skills(world: World, scenario: Scenario, agents: Mapping[str, Agent]) -> None:
    """Put the scenario's skills into the store, checked as publishing checks them.

    Args:
        world: the world.
        scenario: what it is made from.
        agents: its agents by id and by name.

    Raises:
        SkillSeedError: for a schema or step that could not be published, or two skills of one account with one name.
    """
    if not scenario.skills:
        return
    from stack_emu.domain.skill_terms import check_terms

    now, taken = world.now_ms(), set[tuple[str, str]]()
    for declared in scenario.skills:
        operator_id = declared.operator or scenario.operators[0].id
        if (operator_id, declared.name) in taken:
            raise SkillSeedError(f"{operator_id} has two skills named {declared.name}; names are unique in an account")
        taken.add((operator_id, declared.name))
        opened = declared.execution_mode == OPEN
        fields = declared.model_dump(exclude={"id", "operator", "agent", "execution_steps"})
        skill = Skill(
            id=declared.id or "skl_" + text_id(world.key_bytes("skill", f"{operator_id}/{declared.name}")),
            operator_id=operator_id,
            agent_id=agents[declared.agent].id if declared.agent is not None and opened else None,
            execution_steps=() if opened else declared.execution_steps,
            created_at=now,
            updated_at=now,
            **fields,
        )
        try:
            check_terms(skill)
        except Fault as fault:
            raise SkillSeedError(f"skill {declared.name}: {fault.message}") from None
        world.store.put(skill)
