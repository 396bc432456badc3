"""Which script answers a conversation, and why the nearest one does not."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack_emu.scenario.model_rules import ModelMatch, ModelRule

_SHOWN = 120
_COMPARED = 2_000


class Unscripted(Exception):
    """The scenario has no turn for this conversation; the message says what is nearest and why it does not apply."""


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
    """

    user: str
    system: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    key: str = ""
    agents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mismatch:
    """One part of a `when` that does not hold, as a clause that can follow a colon."""

    field: str
    clause: str


def difference(when: ModelMatch, facts: Facts) -> list[Mismatch]:
    """The parts of `when` that do not hold; empty when it matches."""
    checks = (_user, _regex, _system, _model, _tools, _key, _agent)
    return [mismatch for check in checks if (mismatch := check(when, facts)) is not None]


def find_rule(rules: Sequence[ModelRule], facts: Facts) -> int:
    """The index of the first rule that matches.

    Raises:
        Unscripted: naming the nearest rule and every part of it that does not hold.
    """
    for index, rule in enumerate(rules):
        if not difference(rule.when, facts):
            return index
    raise Unscripted(_near_miss(rules, facts))


def quote(text: str) -> str:
    """Text in quotes, its middle left out when it is long."""
    return repr(_shorten(text))


def shown(value: Any) -> str:
    """A JSON value in one line, its middle left out when it is long."""
    return _shorten(json.dumps(value, ensure_ascii=False))


def describe_when(when: ModelMatch) -> str:
    """A `when` in one line, the key left out because it is a credential."""
    shown = when.model_dump(exclude_none=True)
    if "key" in shown:
        shown["key"] = "…"
    return ", ".join(f"{name}: {_plain(value)}" for name, value in shown.items()) or "any conversation"


def _near_miss(rules: Sequence[ModelRule], facts: Facts) -> str:
    asked = f"No scripted turn answers this conversation, whose last user text is {quote(facts.user)}."
    if not rules:
        return f"{asked} The scenario has no model: section; add one with a when: and turns:."
    index = min(range(len(rules)), key=lambda number: _distance(rules[number].when, facts, number))
    when = rules[index].when
    reasons = "; ".join(f"{found.field} {found.clause}" for found in difference(when, facts))
    return f"{asked} The nearest is model[{index}] ({describe_when(when)}), which does not match: {reasons}."


def _distance(when: ModelMatch, facts: Facts, number: int) -> tuple[int, float, int]:
    """Fewest mismatches first, then the likest text, then the order of the scenario."""
    wanted = when.user or when.regex or ""
    likeness = difflib.SequenceMatcher(None, wanted.lower(), facts.user[:_COMPARED].lower()).ratio() if wanted else 0.0
    return len(difference(when, facts)), -likeness, number


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
        found = re.search(when.regex, facts.user)
    except re.error as error:
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
    if when.key is None or when.key == facts.key:
        return None
    return Mismatch("key", "differs from the API key of the request")


def _agent(when: ModelMatch, facts: Facts) -> Mismatch | None:
    if when.agent is None or when.agent in facts.agents:
        return None
    shown = ", ".join(facts.agents) or "no agent"
    return Mismatch("agent", f"is {when.agent}, behind the MCP bearer stands {shown}")


def bare_name(name: str) -> str:
    """The MCP tool a client tool named `mcp__<server>__<tool>` stands for; any other name unchanged."""
    parts = name.split("__", 2)
    return parts[2] if len(parts) == 3 and parts[0] == "mcp" and parts[1] else name


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else repr(value)
