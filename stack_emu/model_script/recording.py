"""What the model answered in a run, as the rules of a scenario that answer the same again.

A conversation becomes one script: its turns in order, templates rendered. Where the same question went on in several
ways, the results of the calls tell them apart in `branches`; where it was asked of several models or by several agents,
the `when` does.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.model_script.conversation import Conversation
from stack_emu.model_script.matching import Facts

SETTING = "model_recording"
"""Where a world keeps its recording."""

_LIMIT = 10_000
_TOLD_APART_BY = ("system", "model", "agent")

History = tuple[tuple[Any, ...], ...]
_Turn = Mapping[str, Any]


@dataclass(frozen=True)
class _Said:
    """One turn at one point of a conversation."""

    asked: Mapping[str, Any]
    history: History
    turn: _Turn


class Recording:
    """The turns the model took in one world, the oldest forgotten first."""

    def __init__(self) -> None:
        self._said: deque[_Said] = deque(maxlen=_LIMIT)

    def add(self, facts: Facts, conversation: Conversation, turns: Iterable[tuple[_Turn, Sequence[Any]]]) -> None:
        """Note the turns of one reply.

        Args:
            facts: what the script was matched with.
            conversation: where the conversation stood before the reply.
            turns: each turn, rendered, and what its connector calls returned.
        """
        asked = {
            "user": facts.user,
            "system": facts.system,
            "model": facts.model,
            "agent": facts.agents[-1] if facts.agents else "",
            "output": list(facts.output or ()),
        }
        history = conversation.history
        for turn, results in turns:
            self._said.append(_Said(asked, history, turn))
            history = (*history, tuple(results))

    def clear(self) -> None:
        """Forget everything."""
        self._said.clear()

    def rules(self) -> list[dict[str, Any]]:
        """The rules, those with the longest user text first, because a `when` matches text that contains it."""
        groups: dict[str, list[_Said]] = {}
        for said in self._said:
            groups.setdefault(_key([said.asked["user"], said.asked["output"]]), []).append(said)
        rules = [rule for group in groups.values() for rule in _rules_of(group)]
        return sorted(rules, key=lambda rule: (-len(rule["when"].get("user", "")), -len(rule["when"])))


def to_yaml(rules: Sequence[Mapping[str, Any]]) -> str:
    """The `model:` section of a scenario, as text."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes no anchors, which scenarios do not have."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    written = [{name: part for name, part in rule.items() if part != {}} for rule in rules]
    return yaml.dump({"model": written}, Dumper=Plain, allow_unicode=True, sort_keys=False, width=120)


def _rules_of(group: Sequence[_Said]) -> Iterator[dict[str, Any]]:
    """The rules for one question: one where all agree, else one for each asker that differs."""
    if _agree(group):
        yield from _scripts(group, ())
        return
    differing = [name for name in _TOLD_APART_BY if len({said.asked[name] for said in group}) > 1]
    parts: dict[str, list[_Said]] = {}
    for said in group:
        parts.setdefault(_key([said.asked[name] for name in differing]), []).append(said)
    for part in parts.values():
        yield from _scripts(part, differing)


def _agree(group: Sequence[_Said]) -> bool:
    turns: dict[str, str] = {}
    return all(turns.setdefault(_key(said.history), _key(said.turn)) == _key(said.turn) for said in group)


def _scripts(group: Sequence[_Said], told_apart_by: Sequence[str]) -> Iterator[dict[str, Any]]:
    tree = {_key(said.history): said for said in group}
    asked = group[0].asked
    when = {name: asked[name] for name in ("user", *told_apart_by, "output") if asked[name]}
    for said in tree.values():
        begins = not said.history
        if begins or _key(said.history[:-1]) not in tree:
            point = {} if begins else {"turn": len(said.history)}
            yield {"when": {**when, **point}, "turns": _turns(tree, said)}


def _turns(tree: Mapping[str, _Said], said: _Said) -> list[Any]:
    """The turns from one on, with branches where several came after it."""
    turns: list[Any] = [literal(said.turn)]
    ways = [
        other
        for other in tree.values()
        if len(other.history) == len(said.history) + 1 and other.history[:-1] == said.history
    ]
    scripts = [(way.history[-1], _turns(tree, way)) for way in ways]
    if not scripts:
        return turns
    if all(script == scripts[0][1] for _, script in scripts):
        return [*turns, *scripts[0][1]]
    ordered = sorted(scripts, key=lambda script: -len(_key(script[0])))
    branches = [{"when": _when_result(results), "turns": script} for results, script in ordered]
    branches.sort(key=lambda branch: not branch["when"])
    return [*turns, {"branches": [{k: v for k, v in branch.items() if v} for branch in branches]}]


def _when_result(results: Sequence[Any]) -> dict[str, Any]:
    return {"result": results[-1]} if results and results[-1] is not None else {}


def literal(value: Any) -> Any:
    """A value that is rendered to itself: text that would be a template becomes one that gives it."""
    from stack_emu.scenario.templates import has_expression

    if isinstance(value, str):
        return f"{{{{ {json.dumps(value, ensure_ascii=False)} }}}}" if has_expression(value) else value
    if isinstance(value, Mapping):
        return {name: literal(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [literal(part) for part in value]
    return value


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
