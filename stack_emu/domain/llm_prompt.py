"""What happens to a prompt on its way through the gateway: STACK's system prompt goes in, personal data comes out.

Both are switched off by an agent's ``llm_inject_system_prompt`` and ``llm_redact_pii``. The words of STACK's own prompt
are not published; these are ours. They name what the passport allows and never hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.domain import pii_redaction
from stack_emu.domain.llm_model import ANTHROPIC
from stack_emu.domain.state import Agent, Mission, Passport
from stack_emu.kernel.world import World

PROMPT_FIELDS = ("system", "messages")


@dataclass(frozen=True)
class Prepared:
    """A body that is ready to go out.

    Args:
        body: the body.
        injected: whether a system prompt was added.
        redacted: how much personal data was taken out, by kind.
    """

    body: dict[str, Any]
    injected: bool
    redacted: Mapping[str, int]


def prepare(
    world: World, provider: str, body: Mapping[str, Any], agent: Agent, passport: Passport, mission: Mission | None
) -> Prepared:
    """Make the body the model gets of the one the caller sent, as the agent's settings say."""
    ready = dict(body)
    if agent.llm_inject_system_prompt:
        ready = _with_system(provider, ready, system_prompt(agent, passport, mission))
    redacted: Mapping[str, int] = {}
    if agent.llm_redact_pii:
        prompt = {name: ready[name] for name in PROMPT_FIELDS if name in ready}
        clean, redacted = _redact(world, agent.operator_id, prompt)
        ready.update(clean)
    return Prepared(ready, agent.llm_inject_system_prompt, redacted)


def system_prompt(agent: Agent, passport: Passport, mission: Mission | None) -> str:
    """What the gateway tells the model: whose work this is, what it is for and how far it goes."""
    purpose = passport.intent_summary or (mission.intent_summary if mission is not None else None)
    work = f"mission {mission.id}" if mission is not None else f"passport {passport.id}"
    allowed = "; ".join(
        f"{scope.service_name} ({', '.join(scope.scopes) or 'all scopes'})" for scope in passport.services
    )
    return "\n".join(
        (
            f"[STACK] This conversation is part of {work}, carried out by the agent {agent.name}.",
            f"Purpose: {purpose or 'not stated'}.",
            f"Services within this passport: {allowed or 'none'}.",
            "Anything beyond this purpose or these services is out of scope.",
            "Credentials stay in STACK's vault: call services through its proxy; neither ask for a secret nor repeat one.",
        )
    )


def _with_system(provider: str, body: dict[str, Any], text: str) -> dict[str, Any]:
    if provider != ANTHROPIC:
        messages = body.get("messages")
        return {**body, "messages": [{"role": "system", "content": text}, *(messages or ())]}
    own = body.get("system")
    if own is None:
        return {**body, "system": text}
    if isinstance(own, list):
        return {**body, "system": [{"type": "text", "text": text}, *own]}
    return {**body, "system": f"{text}\n\n{own}"}


def _redact(world: World, operator_id: str, prompt: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, int]]:
    # Base64 data and the ids that tie results to calls are no text.
    skip = frozenset({"data", "id", "tool_use_id", "tool_call_id", "role", "type", "name"})
    clean, counts = pii_redaction.redact_json(world, operator_id, prompt, skip=skip)
    return clean, counts
