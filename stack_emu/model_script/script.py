"""The turns one reply runs: found, counted and checked before the first of them is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stack_emu.model_script.conversation import Conversation
from stack_emu.model_script.matching import Facts, NothingMatches, Unscripted, describe_when, quote, rule_name, shown
from stack_emu.model_script.routing import Offer, Route, route_call
from stack_emu.model_script.walk import Exhausted, TurnCursor, Walk, last_result

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import Call, ModelRule, Turn
    from stack_emu.scenario.templates import Templates


@dataclass(frozen=True)
class PlannedTurn:
    """A turn that is about to be taken, with the way of each of its calls."""

    where: str
    turn: Turn
    calls: tuple[tuple[Call, Route], ...]

    @property
    def ends_reply(self) -> bool:
        """Whether the reply ends here: the client has to act, the script says so, or nothing was called."""
        if self.turn.stop is not None or self.turn.refusal is not None or not self.calls:
            return True
        return any(route.server is None for _, route in self.calls)

    @property
    def stop_reason(self) -> str:
        """Why the model stops after this turn."""
        if self.turn.refusal is not None:
            return "refusal"
        if self.turn.stop is not None:
            return self.turn.stop
        return "tool_use" if self.calls else "end_turn"


def plan_reply(
    rules: Sequence[ModelRule], facts: Facts, conversation: Conversation, offer: Offer
) -> tuple[PlannedTurn, ...]:
    """The turns one reply runs, up to the first that ends without a connector call.

    Where what comes after a connector call depends on its result, the plan ends with that call; the reply goes on with
    a further plan, of the conversation with the results (`Conversation.followed_by`).

    Args:
        rules: the scenario's `model`.
        facts: what `when` is compared with.
        conversation: where the conversation stands.
        offer: the tools on offer.

    Raises:
        Unscripted: when no rule matches, the rule has no turn left, or a call goes nowhere.
    """
    if rules and getattr(rules[0], "answers_now", False):
        return (_at_once(rules[0], conversation, offer),)
    return tuple(_walk(rules, facts, conversation, offer))


def template_variables(results: Sequence[Any], facts: Facts) -> dict[str, Any]:
    """What templates of a turn can name: `results`, `result` (the last one, when there is one), `user` and `model`."""
    variables: dict[str, Any] = {"results": list(results), "user": facts.user, "model": facts.model}
    if results:
        variables["result"] = results[-1]
    return variables


def render_part(templates: Templates, value: Any, variables: dict[str, Any], where: str) -> Any:
    """Render the templates in a part of a turn.

    Raises:
        Unscripted: when a template names something that is not there, showing what the last call returned.
    """
    from stack_emu.scenario.templates import TemplateError

    try:
        return templates.render(value, variables)
    except TemplateError as error:
        seen = f"result is {shown(variables['result'])}" if "result" in variables else "no call has been made yet"
        raise Unscripted(f"{where}: {error} ({seen}).") from None


def _at_once(rule: ModelRule, conversation: Conversation, offer: Offer) -> PlannedTurn:
    """The one turn of a rule that was made for this very point of the conversation."""
    label = rule_name([rule], 0)
    taken = TurnCursor(rule.turns, label).take(last_result(conversation, conversation.turns_done))
    assert taken is not None
    return _planned(label, taken.turn, offer)


def _walk(rules: Sequence[ModelRule], facts: Facts, conversation: Conversation, offer: Offer) -> Iterator[PlannedTurn]:
    walk = Walk(rules, facts)
    done = point = _catch_up(walk, conversation)
    result = last_result(conversation, conversation.turns_done)
    try:
        while True:
            # What calls of this plan return is not known; the plan has ended before anything depends on it.
            taken = walk.step(point, result)
            planned = _planned(taken.where, taken.turn, offer)
            yield planned
            if planned.ends_reply or walk.depends_on_result:
                return
            point += 1
    except Exhausted as error:
        raise Unscripted(_exhausted(rules, error.number, conversation, asked=point > done)) from None


def _catch_up(walk: Walk, conversation: Conversation) -> int:
    """Follow the scripts to where the conversation stands; returns how many turns were taken."""
    point = 0
    for index in range(conversation.turns_done):
        result = last_result(conversation, index)
        paused = _pass(walk, point, result)
        point += 1
        if paused and index in conversation.seams:
            _pass(walk, point, result)
            point += 1
    return point


def _pass(walk: Walk, point: int, result: Any) -> bool:
    """Take a turn that was taken before; returns whether it paused after some text.

    Who spoke at an earlier point does not matter as long as someone does now.
    """
    try:
        turn = walk.step(point, result).turn
    except (Exhausted, NothingMatches):
        return False
    return not turn.calls and turn.stop is not None


def _planned(where: str, turn: Turn, offer: Offer) -> PlannedTurn:
    planned = PlannedTurn(where, turn, tuple((call, route_call(call, offer, where)) for call in turn.calls))
    if planned.stop_reason == "pause_turn":
        handed = [route.name for _, route in planned.calls if route.server is None]
        if handed:
            raise Unscripted(
                f"{where} pauses while the client has to run {', '.join(handed)}, whose results no client sends with a "
                "paused reply; leave stop: pause_turn out."
            )
    return planned


def _exhausted(rules: Sequence[ModelRule], number: int, conversation: Conversation, *, asked: bool) -> str:
    name, count = rule_name(rules, number), len(rules[number].turns)
    script = f"{name} ({describe_when(rules[number].when)}) has {count} turn{'s' if count > 1 else ''}"
    if asked:
        return (
            f"{script} and the last one makes an MCP call, after which the model speaks again; "
            f"add a turn after {name}.turns[{count - 1}], for example with say:."
        )
    return (
        f"{script} and all of them stand in this conversation after {quote(conversation.anchor)}; "
        f"add {name}.turns[{count}], or end the loop one turn earlier."
    )
