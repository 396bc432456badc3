"""What every audit row says: agent, passport, mission, intent and scopes, also where an operation named only a few.

STACK's page on the audit log promises agent, passport, intent, scope and result for every call (docs/concepts/audit).
"""

from __future__ import annotations

from stack_emu.domain.issuance import describe
from stack_emu.domain.state import Agent, Mission, Passport
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.world import World


def complete_row(world: World, operator_id: str, draft: RowDraft) -> None:
    """Fill in from the passport, or else the mission, that a row names; what the operation said itself stays.

    A row says nothing of what belongs to another account than the one whose chain it goes on, and no secret, whatever
    words a caller chose.
    """
    passport = world.store.get(Passport, draft.passport_jti) if draft.passport_jti is not None else None
    if passport is not None and passport.operator_id == operator_id:
        draft.agent_id = draft.agent_id or passport.agent_id
        for name, value in describe(passport).items():
            if value:
                draft.metadata.setdefault(name, value)
    mission_id = draft.metadata.get("mission")
    mission = world.store.get(Mission, mission_id) if isinstance(mission_id, str) else None
    if mission is not None and mission.operator_id == operator_id:
        draft.agent_id = draft.agent_id or mission.agent_id
        draft.metadata.setdefault("intent", mission.intent_summary)
    draft.metadata = world.redactor.value(draft.metadata)
    if draft.passport_jti is not None:
        draft.passport_jti = world.redactor.text(draft.passport_jti)


def owns_agent(world: World, operator_id: str, agent_id: str) -> bool:
    """Whether an agent is the account's, deleted or not: only then do the account's calls stand in the agent's lane."""
    agent = world.store.get(Agent, agent_id)
    return agent is not None and agent.operator_id == operator_id


def names_of_agent(world: World, agent_id: str) -> tuple[str, ...]:
    """What a scenario may call an agent: its id and, when there is such an agent, its name."""
    agent = world.store.get(Agent, agent_id)
    return (agent_id,) if agent is None else (agent_id, agent.name)
