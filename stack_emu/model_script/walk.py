"""A script followed through a conversation: which turn stood at each point, and which one comes next.

At each point the rules are looked through in order. While the first that matches is the script in progress, it goes on
with its next turn. A rule about the point itself (`turn`, `result`, `result_regex`, `error`) takes over from its first
turn. A script that has nothing left hands over to the first rule that matches, from that rule's first turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stack_emu.model_script.matching import (
    NO_RESULT,
    Facts,
    Unscripted,
    describe_when,
    difference,
    first_match,
    last_failure,
    near_miss,
    result_difference,
    rule_name,
    shown,
)

if TYPE_CHECKING:
    from stack_emu.model_script.conversation import Conversation
    from stack_emu.scenario.model_rules import ModelRule, Turn


@dataclass(frozen=True)
class Taken:
    """A turn and where it stands in the scenario."""

    where: str
    turn: Turn


class Exhausted(Exception):
    """The script has no turn left at this point.

    Args:
        number: index of the rule.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class TurnCursor:
    """Goes through a list of turns and into the branches the results choose."""

    def __init__(self, turns: Sequence[Turn], where: str) -> None:
        self._frames: list[tuple[Iterator[tuple[int, Turn]], str]] = [(enumerate(turns), where)]
        self._ahead: Turn | None = None
        self._settle()

    @property
    def done(self) -> bool:
        """Whether no turn is left."""
        return self._ahead is None

    @property
    def chooses(self) -> bool:
        """Whether the next step depends on a result."""
        return self._ahead is not None and bool(self._ahead.branches)

    def take(self, result: Any) -> Taken | None:
        """The next turn, or None when none is left.

        Args:
            result: what the last call returned, or `NO_RESULT`; branches are chosen by it.

        Raises:
            Unscripted: when no branch matches.
        """
        while self._ahead is not None and self._ahead.branches:
            branches, where = self._ahead.branches, self._where
            number = next((n for n, way in enumerate(branches) if not result_difference(way.when, result)), None)
            if number is None:
                raise _no_branch(self._ahead, where, result)
            self._frames.append((enumerate(branches[number].turns), f"{where}.branches[{number}]"))
            self._settle()
        if self._ahead is None:
            return None
        taken = Taken(self._where, self._ahead)
        self._settle()
        return taken

    def _settle(self) -> None:
        """Look at the next turn, leaving lists that have none."""
        while self._frames:
            turns, where = self._frames[-1]
            index, turn = next(turns, (0, None))
            if turn is not None:
                self._where, self._ahead = f"{where}.turns[{index}]", turn
                return
            self._frames.pop()
        self._ahead = None


class Walk:
    """Follows the scripts through a conversation.

    Args:
        rules: the scenario's `model`.
        facts: what `when` is compared with; its `turn` and `result` are those of each point.
    """

    def __init__(self, rules: Sequence[ModelRule], facts: Facts) -> None:
        self._rules = rules
        self._facts = facts
        self._moving = any(rule.when.moves for rule in rules)
        self._number: int | None = None
        self._cursor: TurnCursor | None = None

    @property
    def depends_on_result(self) -> bool:
        """Whether the step after this one can only be known once the calls of this one have returned."""
        return self._moving or (self._cursor is not None and self._cursor.chooses)

    def step(self, turn: int, result: Any) -> Taken:
        """The turn at a point.

        Args:
            turn: how many were taken before.
            result: what the last call before returned, or `NO_RESULT`.

        Raises:
            Unscripted: when no rule matches, or no branch.
            Exhausted: when the script has no turn left.
        """
        facts = replace(self._facts, turn=turn, result=result)
        self._choose(facts)
        assert self._cursor is not None
        taken = self._cursor.take(result)
        if taken is None:
            assert self._number is not None
            raise Exhausted(self._number)
        return taken

    def _choose(self, facts: Facts) -> None:
        if self._cursor is not None and not self._moving:
            return
        found = first_match(self._rules, facts)
        if self._cursor is None or self._number is None:
            if found is None:
                raise near_miss(self._rules, facts)
            self._begin(found)
            return
        takes_over = found is not None and self._rules[found].when.moves and found != self._number
        starts_anew = found is not None and self._cursor.done and self._may_begin(found)
        if found is not None and (takes_over or starts_anew):
            self._begin(found)

    def _may_begin(self, found: int) -> bool:
        return found != self._number or self._rules[found].when.moves

    def _begin(self, number: int) -> None:
        self._number = number
        self._cursor = TurnCursor(self._rules[number].turns, rule_name(self._rules, number))


def last_result(conversation: Conversation, turns: int) -> Any:
    """What the last call within the first `turns` turns returned, or `NO_RESULT`."""
    results = [result for turn in conversation.history[:turns] for result in turn]
    return results[-1] if results else NO_RESULT


def others_that_match(rules: Sequence[ModelRule], facts: Facts) -> list[int]:
    """The rules behind the first match that match as well and are no more general than it.

    A more general rule behind a special one is meant as what is left; two rules side by side are probably not.
    """
    from stack_emu.scenario.model_checks import covers

    first = first_match(rules, facts)
    if first is None:
        return []
    rest = range(first + 1, len(rules))
    wanted = rules[first].when.model_dump(exclude_none=True)
    return [
        number
        for number in rest
        if not difference(rules[number].when, facts)
        and not covers(rules[number].when.model_dump(exclude_none=True), wanted)
    ]


def _no_branch(turn: Turn, where: str, result: Any) -> Unscripted:
    returned = "no call has returned anything yet" if result is NO_RESULT else f"the last call returned {shown(result)}"
    nearest: list[dict[str, Any]] = []
    listed: list[str] = []
    for number, way in enumerate(turn.branches):
        differs = [{"field": found.field, "clause": found.clause} for found in result_difference(way.when, result)]
        reasons = "; ".join(f"{found['field']} {found['clause']}" for found in differs)
        nearest.append({"rule": f"{where}.branches[{number}]", "when": describe_when(way.when), "differs": differs})
        listed.append(f"branches[{number}] ({describe_when(way.when)}): {reasons}")
    return Unscripted(
        f"{where} has no branch for this conversation: {returned}. {' · '.join(listed)}. "
        f"Add a branch without when: at its end for the rest.{last_failure(result)}",
        nearest,
    )
