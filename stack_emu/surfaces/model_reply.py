"""One reply of the scripted model, whoever asks: rules found, turns planned and taken, the outcome written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.world import World
from stack_emu.model_script.asking import Asked
from stack_emu.model_script.conversation import Conversation
from stack_emu.model_script.matching import Facts, difference, rule_name
from stack_emu.model_script.recording import SETTING, Recording
from stack_emu.model_script.routing import Offer
from stack_emu.model_script.script import PlannedTurn, plan_reply
from stack_emu.model_script.walk import last_result, others_that_match
from stack_emu.surfaces.connector import Connections
from stack_emu.surfaces.messages_output import output_check, properties_of
from stack_emu.surfaces.messages_request import MessagesRequest
from stack_emu.surfaces.messages_turns import ReplyWriter

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import ModelRule
    from stack_emu.scenario.templates import Templates

ScriptFor = Callable[[World, Mapping[str, Any]], "Sequence[ModelRule]"]


@dataclass(frozen=True)
class Question:
    """What a reply answers.

    Args:
        world: where it was asked.
        body: the request as sent.
        messages: its conversation, in the blocks of the Messages API.
        facts: what `when` is compared with.
        conversation: where the conversation stands.
        offer: the tools on offer.
    """

    world: World
    body: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]
    facts: Facts
    conversation: Conversation
    offer: Offer


@dataclass(frozen=True)
class Manner:
    """How a request wants its reply.

    Args:
        thinking: `summarized` or `omitted`; None for no thinking.
        max_tokens: where a turn that stops at `max_tokens` is cut.
        stop_sequences: where text is cut.
        output_schema: the JSON Schema the reply must hold to.
        check_output: refuses a text that is not as asked for, given it and its turn; made of the schema when left out.
        check_plan: refuses turns the request does not allow, before the first of them is taken.
    """

    thinking: str | None = None
    max_tokens: int | None = None
    stop_sequences: Sequence[str] = ()
    output_schema: Mapping[str, Any] | None = None
    check_output: Callable[[str, str], None] | None = None
    check_plan: Callable[[Sequence[PlannedTurn]], None] | None = None


def manner_of(request: MessagesRequest) -> Manner:
    """How a request of the Messages API wants its reply."""
    return Manner(request.thinking, request.max_tokens, request.stop_sequences, request.output_schema)


@dataclass(frozen=True)
class Answer:
    """How a reply came out.

    Args:
        stop_reason: why the model stopped.
        stop_sequence: the sequence it stopped at, if it was that.
        stop_details: about a refusal.
        blocks: what it said and called.
        where: the turns it took.
        also: further rules that match and would have been meant as well as the one that answered.
    """

    stop_reason: str
    stop_sequence: str | None
    stop_details: dict[str, Any] | None
    blocks: Sequence[dict[str, Any]]
    where: Sequence[str]
    also: Sequence[str] = ()


async def write_reply(
    question: Question,
    script_for: ScriptFor,
    *,
    digest: str,
    templates: Templates,
    emit: Callable[[dict[str, Any]], None],
    connections: Connections | None = None,
    manner: Manner | None = None,
    shown: Iterable[dict[str, Any]] = (),
) -> Answer:
    """Answer a question.

    Args:
        question: what is asked.
        script_for: the rules of a world for a request.
        digest: hex digest of the request, which ids depend on.
        templates: renders templates.
        emit: is given every block once it is complete.
        connections: the MCP servers that were dialled, if any.
        manner: how the request wants its reply.
        shown: blocks that stand before what the model says.

    Raises:
        Unscripted: when no rule answers, or what it says cannot be said here.
        ApiError: when the function that scripts the model fails.
    """
    manner = manner or Manner()
    facts = replace(question.facts, output=properties_of(manner.output_schema))

    def plan(conversation: Conversation) -> tuple[tuple[PlannedTurn, ...], Sequence[ModelRule]]:
        rules = script_for(question.world, Asked(question.body, facts, conversation, question.messages))
        return plan_reply(rules, facts, conversation, question.offer), rules

    writer = ReplyWriter(
        seed=question.world.seed,
        digest=digest,
        facts=facts,
        results=list(question.conversation.results),
        connections=connections or Connections(()),
        templates=templates,
        emit=emit,
        thinking=manner.thinking,
        max_tokens=manner.max_tokens,
        stop_sequences=manner.stop_sequences,
        check_output=manner.check_output or output_check(manner.output_schema),
    )
    planned, rules = plan(question.conversation)
    if manner.check_plan is not None:
        manner.check_plan(planned)
    writer.show(shown)
    reason = await writer.take(planned, lambda turns: plan(question.conversation.followed_by(turns))[0])
    remember(question.world, facts, question.conversation, [(taken.turn, taken.results) for taken in writer.taken])
    return Answer(
        reason,
        writer.stop_sequence,
        writer.stop_details,
        writer.blocks,
        [turn.where for turn in writer.plan],
        _also(rules, facts, question.conversation),
    )


def remember(
    world: World,
    facts: Facts,
    conversation: Conversation,
    turns: Sequence[tuple[Mapping[str, Any], Sequence[Any]]],
) -> None:
    """Add turns to the world's recording, where it has one."""
    recording = world.settings.get(SETTING)
    if isinstance(recording, Recording):
        recording.add(facts, conversation, turns)


def answered_aside(rules: Sequence[ModelRule], facts: Facts) -> bool:
    """Whether a script that names the properties of the JSON asked for answers."""
    return any(rule.when.output is not None and not difference(rule.when, facts) for rule in rules)


def _also(rules: Sequence[ModelRule], facts: Facts, conversation: Conversation) -> list[str]:
    if rules and hasattr(rules[0], "label"):
        return []  # a test that gives a function means it to come first
    turn = conversation.turns_done
    here = replace(facts, turn=turn, result=last_result(conversation, turn))
    return [rule_name(rules, number) for number in others_that_match(rules, here)]
