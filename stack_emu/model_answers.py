"""The scripted model's answers for what runs inside STACK: steps of sealed skills.

The rules are those of the Messages API, a scenario's ``model:`` section. Inside STACK the model has no tools, so only turns
that say something can answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stack_emu.domain.sealed_skills import ModelDeclined, ModelQuestion
from stack_emu.model_script.conversation import read_conversation
from stack_emu.model_script.matching import Facts, Unscripted
from stack_emu.model_script.routing import Offer
from stack_emu.model_script.script import PlannedTurn, plan_reply, render_part, template_variables
from stack_emu.surfaces.messages_errors import ApiError
from stack_emu.surfaces.model_exchange import model_leaks, note_leaks
from stack_emu.surfaces.model_reply import remember
from stack_emu.surfaces.model_wiring import scripted_by

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld
    from stack_emu.scenario.templates import Templates

MAX_TOKENS = 4096


def answer(hosted: HostedWorld, question: ModelQuestion) -> str:
    """What the scripted model says; the exchange stands in the journal as one with the Messages API.

    Raises:
        ModelDeclined: when no rule answers; a strict run fails for it, as for any unscripted turn.
    """
    world = hosted.world
    body = {
        "model": question.model,
        "max_tokens": MAX_TOKENS,
        "system": question.system,
        "messages": [{"role": "user", "content": question.user}],
    }
    entry = world.journal.add(
        world.now_ms(),
        "messages",
        "POST",
        f"/v1/messages ({question.where})",
        operation="messages.create",
        request={"model": question.model, "system": question.system, "user": question.user},
    )
    try:
        said = _say(hosted, body, question)
    except Unscripted as error:
        entry.status, entry.problem, entry.hint = 400, "unscripted", world.redactor.text(str(error))
        raise ModelDeclined(str(error)) from None
    entry.status, entry.response = 200, world.redactor.value({"text": said})
    note_leaks(world, entry, model_leaks(world, {"system": question.system, "user": question.user}, said))
    return said


def _say(hosted: HostedWorld, body: dict[str, object], question: ModelQuestion) -> str:
    from stack_emu.scenario.templates import Templates

    try:
        rules = [*scripted_by(hosted.model_function, body), *hosted.model_rules]
    except ApiError as error:
        raise Unscripted(error.message) from None
    facts = Facts(user=question.user, system=question.system, model=question.model)
    conversation = read_conversation([{"role": "user", "content": question.user}], question.system)
    turns = plan_reply(rules, facts, conversation, Offer())
    variables = template_variables((), facts)
    said = [_rendered(Templates(), turn, variables) for turn in turns]
    remember(hosted.world, facts, conversation, [({"say": text}, ()) for text in said])
    return "\n".join(said)


def _rendered(templates: Templates, planned: PlannedTurn, variables: dict[str, Any]) -> str:
    turn = planned.turn
    if turn.json_ is not None:
        return json.dumps(render_part(templates, turn.json_, variables, f"{planned.where}.json"), ensure_ascii=False)
    return str(render_part(templates, turn.say or "", variables, f"{planned.where}.say"))
