"""Reading the bodies of control requests: each field as what it must be, or one sentence that says what would work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from stack_emu.scenario.composition import Choices
from stack_emu.scenario.findings import Vocabulary
from stack_emu.scenario.models import Expectation, FaultRule, ModelRule, Scenario
from stack_emu.scenario.problems import ScenarioError
from stack_emu.scenario.upstream_models import SIGNAL_PATTERN
from stack_emu.scenario.values import MAX_INTEGER, parse_duration

WORLD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ControlError(Exception):
    """A control request that cannot be carried out; the message says what would have worked."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def world_name(body: Mapping[str, Any]) -> str:
    """The name of a world to be made.

    Raises:
        ControlError: when it is missing or could not stand in a URL.
    """
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise ControlError('name is missing: send {"name": …, "scenario": path} or {"scenario_yaml": text}.')
    if WORLD_NAME.fullmatch(name) is None:
        raise ControlError(
            f"{name!r} cannot name a world: use up to 64 letters, digits, _, . and -, a letter or digit first."
        )
    return name


def world_options(body: Mapping[str, Any]) -> dict[str, Any]:
    """Seed, clock and strictness of a world to be made; None where they are left to the scenario.

    Raises:
        ControlError: when one of them has the wrong form.
    """
    seed, clock, strict = body.get("seed"), body.get("clock"), body.get("strict")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_INTEGER):
        raise ControlError(f"seed must be a whole number from 0, not {seed!r}.")
    if clock not in (None, "real", "virtual"):
        raise ControlError(f"clock must be real or virtual, not {clock!r}.")
    if strict not in (None, True, False):
        raise ControlError(f"strict must be true or false, not {strict!r}.")
    return {"seed": seed, "clock": clock, "strict": strict}


def choices_of(body: Mapping[str, Any]) -> Choices:
    """The overlays and variables chosen for the scenario of a world to be made.

    Raises:
        ControlError: when one of them has the wrong form.
    """
    overlays, variables = body.get("overlays", []), body.get("variables", {})
    if not isinstance(overlays, list) or not all(isinstance(name, str) for name in overlays):
        raise ControlError('overlays must be a list of names, such as ["ci"].')
    if not isinstance(variables, dict) or any(isinstance(value, (dict, list)) for value in variables.values()):
        raise ControlError('variables must map names to text, numbers, true, false or null: {"channel": "random"}.')
    return Choices(tuple(overlays), variables)


def milliseconds(body: Mapping[str, Any], name: str) -> int:
    """A span of time: a duration such as ``15m`` or milliseconds.

    Raises:
        ControlError: when it is missing or no duration.
    """
    value = body.get(name)
    if value is None:
        raise ControlError(f'{name} is missing: send {{"{name}": "15m"}} or milliseconds.')
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return parse_duration(str(value).removeprefix("+"))
    except ValueError as error:
        raise ControlError(f"{name}: {error}") from None


def fault_of(body: Mapping[str, Any], upstreams: Iterable[str], vocabulary: Vocabulary) -> FaultRule:
    """A fault rule, checked as one in a scenario is.

    Args:
        body: the rule.
        upstreams: names of the world's upstreams, which it may be about.
        vocabulary: what else its words are checked against.

    Raises:
        ControlError: with every mistake.
    """
    known = {name: {"hosts": [f"u{number}.invalid"]} for number, name in enumerate(upstreams)}
    return _checked({"upstreams": known, "faults": [dict(body)]}, vocabulary).faults[0]


def expectation_of(body: Mapping[str, Any], upstreams: Iterable[str], vocabulary: Vocabulary) -> Expectation:
    """What must have happened, checked as a scenario's ``expect`` is.

    Args:
        body: the sections of ``expect``.
        upstreams: names of the world's upstreams.
        vocabulary: what else its words are checked against.

    Raises:
        ControlError: when nothing is expected, or with every mistake.
    """
    if not body:
        raise ControlError(
            'Nothing is expected: send sections of expect, such as {"upstream": [{"to": "slack", "times": 1}]}.'
        )
    known = {name: {"hosts": [f"u{number}.invalid"]} for number, name in enumerate(upstreams)}
    return _checked({"upstreams": known, "expect": dict(body)}, vocabulary).expect


def model_rules_of(body: Mapping[str, Any], vocabulary: Vocabulary) -> tuple[ModelRule, ...]:
    """Rules of the scripted model, checked as those of a scenario are.

    Raises:
        ControlError: when there are none, or with every mistake.
    """
    rules = body.get("rules")
    if not isinstance(rules, list) or not rules:
        raise ControlError('rules is missing: send {"rules": [{"when": …, "turns": […]}]} as in a scenario\'s model.')
    return _checked({"model": rules}, vocabulary).model


def signal_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A signal to raise, as the arguments of ``forced_signals.raise_on_demand``.

    Raises:
        ControlError: when a field is missing or has the wrong form.
    """
    for name in ("agent", "signal"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise ControlError(f'{name} is missing: send {{"agent": id or name, "signal": "scope_drift"}}.')
    if re.fullmatch(SIGNAL_PATTERN, body["signal"]) is None:
        raise ControlError(f"signal must be a name such as scope_drift, not {body['signal']!r}.")
    severity, metadata = body.get("severity", "warning"), body.get("metadata") or {}
    if severity not in ("info", "warning", "critical"):
        raise ControlError(f"severity must be info, warning or critical, not {severity!r}.")
    for name in ("passport", "message"):
        if not isinstance(body.get(name), (str, type(None))):
            raise ControlError(f"{name} must be a text, not {body[name]!r}.")
    if not isinstance(metadata, Mapping):
        raise ControlError(f"metadata must be an object, not {metadata!r}.")
    return {
        "agent": body["agent"],
        "signal": body["signal"],
        "severity": severity,
        "passport_jti": body.get("passport"),
        "message": body.get("message"),
        "metadata": metadata,
    }


def _checked(data: Mapping[str, Any], vocabulary: Vocabulary) -> Scenario:
    from stack_emu.scenario.loader import from_data

    try:
        return from_data({"stack_emu": 1, **data}, "request", vocabulary)
    except ScenarioError as error:
        raise ControlError("; ".join(f"{item.path}: {item.sentence}" for item in error.problems)) from None


def audit_order(body: Mapping[str, Any]) -> str:
    """The order inside a lane of a canonical log.

    Raises:
        ControlError: for another word.
    """
    order = str(body.get("order", "commit"))
    if order not in ("commit", "content"):
        raise ControlError(f"order must be commit or content, not {order}.")
    return order


def checkpoint_before(body: Mapping[str, Any]) -> str | None:
    """The checkpoint that a new one is to name as the one before it: the hex SHA-256 of its text, or None.

    Raises:
        ControlError: when it is no such hash.
    """
    previous = body.get("previous")
    if previous is not None and re.fullmatch("[0-9a-f]{64}", str(previous)) is None:
        raise ControlError("previous must be the hex SHA-256 of the text of the checkpoint before.")
    return None if previous is None else str(previous)
