"""Which script answers a conversation, and why the nearest one does not."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stack_emu.kernel import text_patterns
from stack_emu.kernel.matching import Difference
from stack_emu.kernel.missing import MISSING
from stack_emu.kernel.near_miss import Candidate, side_by_side
from stack_emu.kernel.near_words import likeness

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import ModelMatch, ModelRule, ResultMatch

NO_RESULT: Final = object()
"""Stands for the result of the last call where none was made."""

_SHOWN = 120
_COMPARED = 2_000
_NEAREST = 3


class Unscripted(Exception):
    """The scenario has no turn for this conversation; the message says what is nearest and why it does not apply.

    Args:
        message: the sentence.
        nearest: the nearest rules, each with `rule`, `when` and `differs`, a list of `field` and `clause`.
        table: the nearest rules side by side.
    """

    def __init__(self, message: str, nearest: Sequence[Mapping[str, Any]] = (), table: str = "") -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)
        self.table = table


class NothingMatches(Unscripted):
    """No rule matches."""


@dataclass(frozen=True)
class Facts:
    """What a `when` is compared with.

    Args:
        user: the anchor's text.
        system: the system prompt.
        model: the requested model.
        tools: names of the tools on offer, the client's and those of MCP servers.
        key: the API key of the request.
        agents: ids and names of the agents behind the bearers of the MCP servers.
        output: properties of the JSON Schema the reply must have, or None where none is asked for.
        turn: how many turns the model has taken since the anchor.
        result: what the last call since the anchor returned, or `NO_RESULT`.
        side: whether only rules that name `output` count, because one of them answers a client's call for itself.
    """

    user: str
    system: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    key: str = ""
    agents: tuple[str, ...] = ()
    output: tuple[str, ...] | None = None
    turn: int = 0
    result: Any = NO_RESULT
    side: bool = False


@dataclass(frozen=True)
class Mismatch:
    """One part of a `when` that does not hold, as a clause that can follow a colon."""

    field: str
    clause: str


def difference(when: ModelMatch, facts: Facts) -> list[Mismatch]:
    """The parts of `when` that do not hold; empty when it matches."""
    checks = (_user, _regex, _system, _model, _tools, _key, _agent, _output, _turn)
    found = [mismatch for check in checks if (mismatch := check(when, facts)) is not None]
    return [*found, *result_difference(when, facts.result)]


def result_difference(when: ResultMatch, result: Any) -> list[Mismatch]:
    """The parts of `when` about the last call's result that do not hold; empty when it matches.

    Args:
        when: what is wanted.
        result: what the last call returned, or `NO_RESULT`.
    """
    checks = (_result, _result_regex, _error)
    return [mismatch for check in checks if (mismatch := check(when, result)) is not None]


def find_rule(rules: Sequence[ModelRule], facts: Facts) -> int:
    """The index of the first rule that matches.

    Raises:
        Unscripted: naming the nearest rule and every part of it that does not hold.
    """
    for index, rule in enumerate(rules):
        if not difference(rule.when, facts):
            return index
    raise near_miss(rules, facts)


def first_match(rules: Sequence[ModelRule], facts: Facts) -> int | None:
    """The index of the first rule that matches, or None."""
    return next((index for index, rule in enumerate(rules) if not difference(rule.when, facts)), None)


def error_code(result: Any) -> str | bool:
    """The code of the error a result holds; True for one without a code, False for none."""
    error = result.get("error") if isinstance(result, Mapping) else None
    if not error:
        return False
    code = error.get("code") if isinstance(error, Mapping) else error
    return code if isinstance(code, str) and code else True


def contains(wanted: Any, value: Any) -> bool:
    """Whether `value` has at least what `wanted` has: the fields of an object, otherwise the whole value."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and contains(part, value[name]) for name, part in wanted.items()
        )
    if isinstance(wanted, (list, tuple)):
        return isinstance(value, (list, tuple)) and list(wanted) == list(value)
    return (type(wanted) is type(value) and wanted == value) or _equal_numbers(wanted, value)


def _equal_numbers(wanted: Any, value: Any) -> bool:
    numbers = all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in (wanted, value))
    return bool(numbers and wanted == value)


def quote(text: str) -> str:
    """Text in quotes, its middle left out when it is long."""
    return repr(_shorten(text))


def shown(value: Any) -> str:
    """A JSON value in one line, its middle left out when it is long."""
    return _shorten(json.dumps(value, ensure_ascii=False))


def describe_when(when: ResultMatch) -> str:
    """A `when` in one line, the key left out because it is a credential."""
    shown = when.model_dump(exclude_none=True)
    if "key" in shown:
        shown["key"] = "…"
    return ", ".join(f"{name}: {_plain(value)}" for name, value in shown.items()) or "any conversation"


def rule_name(rules: Sequence[ModelRule], number: int) -> str:
    """What a rule is called in messages: its place in the scenario, or what made it."""
    label = getattr(rules[number], "label", None)
    return str(label) if label else f"model[{number - sum(hasattr(rule, 'label') for rule in rules[:number])}]"


def near_miss(rules: Sequence[ModelRule], facts: Facts) -> Unscripted:
    """The error for a conversation no rule matches, with the nearest ones and what differs."""
    asked = f"No scripted turn answers this conversation, whose last user text is {quote(facts.user)}."
    if not rules:
        return NothingMatches(f"{asked} The scenario has no model: section; add one with a when: and turns:.")
    order = sorted(range(len(rules)), key=lambda number: _distance(rules[number].when, facts, number))
    nearest = []
    for index in order[:_NEAREST]:
        differs = [{"field": found.field, "clause": found.clause} for found in difference(rules[index].when, facts)]
        nearest.append({"rule": rule_name(rules, index), "when": describe_when(rules[index].when), "differs": differs})
    first, *others = nearest
    text = f"{asked} The nearest is {first['rule']} ({first['when']}), which does not match: {_reasons(first)}."
    if others:
        text += " Then " + " · ".join(f"{other['rule']} ({other['when']}): {_reasons(other)}" for other in others) + "."
    text += last_failure(facts.result)
    candidates = [_candidate(rules, index, facts) for index in order[:_NEAREST]]
    sent = {"user": facts.user, "model": facts.model, "turn": facts.turn}
    return NothingMatches(text, nearest, side_by_side(sent, candidates))


def _candidate(rules: Sequence[ModelRule], index: int, facts: Facts) -> Candidate:
    when, got = rules[index].when, _comparable(facts)
    named = [found.field for found in difference(when, facts)]
    differences = tuple(Difference(name, got.get(name, MISSING), _asked(when, name)) for name in named)
    return Candidate(rule_name(rules, index), differences)


def _comparable(facts: Facts) -> dict[str, Any]:
    """What a `when` names, as the conversation has it; keys are credentials and stay out."""
    got: dict[str, Any] = {"user": facts.user, "regex": facts.user, "system": facts.system, "model": facts.model}
    got |= {"tools": list(facts.tools), "key": "…", "agent": list(facts.agents), "turn": facts.turn}
    got["output"] = MISSING if facts.output is None else list(facts.output)
    last = MISSING if facts.result is NO_RESULT else facts.result
    return got | {"result": last, "result_regex": last, "error": MISSING if last is MISSING else error_code(last)}


def _asked(when: ModelMatch, name: str) -> Any:
    value = getattr(when, name)
    if name == "key":
        return "…"
    if name in ("regex", "result_regex"):
        return {"regex": value}
    return list(value) if isinstance(value, tuple) else value


def last_failure(result: Any) -> str:
    """What the emulator said about the last call, when it failed: often that is why no turn applies."""
    error = result.get("error") if isinstance(result, Mapping) else None
    if error is None and isinstance(result, Mapping) and isinstance(result.get("body"), Mapping):
        error = result["body"].get("error")  # of an upstream, in the proxy's envelope
    if not isinstance(error, Mapping) or not isinstance(error.get("code"), str):
        return ""
    details = error.get("details")
    hint = details.get("hint") if isinstance(details, Mapping) else None
    return f" The last call failed with {error['code']}: {hint or error.get('message')}"


def _reasons(near: Mapping[str, Any]) -> str:
    return "; ".join(f"{found['field']} {found['clause']}" for found in near["differs"])


def _distance(when: ModelMatch, facts: Facts, number: int) -> tuple[int, float, int]:
    """Fewest mismatches first, then the likest text, then the order of the scenario."""
    wanted = when.user or when.regex or ""
    like = likeness(wanted.lower(), facts.user[:_COMPARED].lower()) if wanted else 0.0
    return len(difference(when, facts)), -like, number


def _user(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.user is None or when.user in facts.user:
        return None
    if when.user.lower() in facts.user.lower():
        return Mismatch("user", f"{quote(when.user)} stands in the last user text only in other letter case")
    return Mismatch("user", f"{quote(when.user)} is not in the last user text {quote(facts.user)}")


def _regex(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.regex is None:
        return None
    try:
        found = text_patterns.found(when.regex, facts.user)
    except ValueError as error:
        return Mismatch("regex", f"{quote(when.regex)} is not a regular expression ({error})")
    return None if found else Mismatch("regex", f"{quote(when.regex)} finds nothing in {quote(facts.user)}")


def _system(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.system is None or when.system in facts.system:
        return None
    shown = quote(facts.system) if facts.system else "which is empty"
    return Mismatch("system", f"{quote(when.system)} is not in the system prompt, {shown}")


def _model(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.model is None:
        return None
    if when.model.endswith("*") and facts.model.startswith(when.model[:-1]):
        return None
    if when.model == facts.model:
        return None
    return Mismatch("model", f"is {when.model}, the request asks for {facts.model}")


def _tools(when: ModelMatch, facts: Facts) -> Mismatch | None:
    offered = {*facts.tools, *(bare_name(name) for name in facts.tools)}
    missing = [name for name in when.tools or () if name not in offered]
    if not missing:
        return None
    shown = ", ".join(sorted(facts.tools)[:8]) or "none"
    return Mismatch("tools", f"{', '.join(missing)} not on offer (on offer: {shown})")


def _key(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.key is None or hmac.compare_digest(when.key.encode(), facts.key.encode("utf-8", "surrogateescape")):
        return None
    return Mismatch("key", "differs from the API key of the request")


def _agent(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.agent is None or when.agent in facts.agents:
        return None
    shown = ", ".join(facts.agents) or "no agent"
    return Mismatch("agent", f"is {when.agent}, behind the MCP bearer stands {shown}")


def _output(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.output is None:
        return Mismatch("output", "is not named, and another script names it") if facts.side else None
    if facts.output is None:
        return Mismatch("output", f"{', '.join(when.output)} is wanted, and the request asks for no JSON")
    missing = [name for name in when.output if name not in facts.output]
    if not missing:
        return None
    shown = ", ".join(facts.output) or "none"
    return Mismatch("output", f"{', '.join(missing)} not in the schema the request asks for (properties: {shown})")


def _turn(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.turn is None or when.turn == facts.turn:
        return None
    return Mismatch("turn", f"is {when.turn}, the model has taken {facts.turn} since the last user text")


def _result(when: ResultMatch, result: Any) -> Mismatch | None:
    if when.result is None:
        return None
    if result is NO_RESULT:
        return Mismatch("result", f"{shown(when.result)} is wanted, and no call has returned anything yet")
    if contains(when.result, result):
        return None
    return Mismatch("result", f"{shown(when.result)} is not in what the last call returned, {shown(result)}")


def _result_regex(when: ResultMatch, result: Any) -> Mismatch | None:
    if when.result_regex is None:
        return None
    if result is NO_RESULT:
        return Mismatch("result_regex", f"{quote(when.result_regex)} is wanted, and no call has returned anything yet")
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    try:
        found = text_patterns.found(when.result_regex, text)
    except ValueError as error:
        return Mismatch("result_regex", f"{quote(when.result_regex)} is not a regular expression ({error})")
    return None if found else Mismatch("result_regex", f"{quote(when.result_regex)} finds nothing in {quote(text)}")


def _error(when: ResultMatch, result: Any) -> Mismatch | None:
    if when.error is None:
        return None
    wanted = {True: "any", False: "none"}[when.error] if isinstance(when.error, bool) else when.error
    if result is NO_RESULT:
        return Mismatch("error", f"is {wanted}, and no call has returned anything yet")
    code = error_code(result)
    if when.error == code or (when.error is True and code is not False):
        return None
    got = (
        {True: "failed without a code", False: "did not fail"}[code]
        if isinstance(code, bool)
        else f"failed with {code}"
    )
    return Mismatch("error", f"is {wanted}, the last call {got}")


def bare_name(name: str) -> str:
    """The MCP tool a client tool named `mcp__<server>__<tool>` stands for; any other name unchanged."""
    parts = name.split("__", 2)
    return parts[2] if len(parts) == 3 and parts[0] == "mcp" and parts[1] else name


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else repr(value)
