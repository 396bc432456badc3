"""Checks of the injected faults."""

from __future__ import annotations

from typing import get_args

from stack_emu.scenario.fault_models import MessagesError, OpenAiCode
from stack_emu.scenario.findings import Findings, Place
from stack_emu.scenario.upstream_rules import one_body

_OPENAI = ("chat.completions.create", "responses.create")
_MODEL_OPERATIONS = ("messages.create", "messages.batches.process", *_OPENAI)
_RESET = "connection_reset_by_peer"
_STREAMED = ("messages.create", *_OPENAI)
_ANTHROPIC_ERRORS: tuple[str, ...] = get_args(MessagesError)
_OPENAI_ERRORS: tuple[str, ...] = get_args(OpenAiCode)


def check_faults(root: Place, findings: Findings) -> None:
    """Report faults that hit nothing, do nothing, or contradict themselves; warn about those that depend on order."""
    for rule in root.each("faults"):
        on, inject = rule.at("on"), rule.at("inject")
        if root.at("strict").value is True and isinstance(inject.value, dict) and inject.value.get("malformed"):
            sentence = "a malformed result is no answer of STACK's, and strict: true allows none; remove one of them"
            findings.error(inject.at("malformed"), sentence)
        if isinstance(on.value, dict):
            _check_target(on, findings)
        if isinstance(inject.value, dict):
            _check_injection(inject, on, findings)


def _check_target(on: Place, findings: Findings) -> None:
    if not any(on.value.get(key) is not None for key in ("upstream", "operation", "tool", "host")):
        findings.error(on, "a fault needs to know what it hits; add upstream, operation, tool or host")
    if on.value.get("nth") is not None and on.value.get("every") is not None:
        findings.error(on.at("every"), "nth is one call and every is many; remove one of them")
    if on.value.get("host") is not None:
        others = [
            key
            for key in ("upstream", "operation", "tool", "agent", "service", "model")
            if on.value.get(key) is not None
        ]
        if others:
            sentence = f"host is about what goes through the gateway, whatever is behind it; remove host or {others[0]}"
            findings.error(on.at("host"), sentence)
    named = next((key for key in ("model", "turn", "user") if on.value.get(key) is not None), None)
    if named is not None and str(on.value.get("operation")) not in _MODEL_OPERATIONS:
        findings.error(
            on.at(named), f"{named} is for operations of the model; let operation be messages.create or the like"
        )
    if on.value.get("per") == "world":
        sentence = "per: world counts in the order calls arrive, so concurrent runs may differ; per: lane repeats"
        findings.warn(on.at("per"), sentence)


def _check_injection(inject: Place, on: Place, findings: Findings) -> None:
    given = {key for key, value in inject.value.items() if value is not None}
    given -= {key for key in ("malformed", "hide") if inject.value.get(key) is False}
    answers = given & {"status", "headers", "json", "body"}
    if not given - {"message"}:
        findings.error(inject, "nothing is injected; add status, error, delay, drop or transport")
    _check_tool_faults(inject, on, given, findings)
    if "stream" in given:
        _check_stream(inject, on, given, findings)
    if "error" in given and answers:
        findings.error(inject.at(min(answers)), f"error brings its own answer; remove {' and '.join(sorted(answers))}")
    if "message" in given and "error" not in given:
        findings.error(inject.at("message"), "message goes with error; add error, or use json or body")
    wire = given & {"transport", "dribble", "content_type"}
    if "drop" in given and wire and not (inject.value["drop"] == "request" and inject.value.get("transport") == _RESET):
        sentence = f"a dropped connection carries no answer that {min(wire)} could be about; remove drop or {min(wire)}"
        findings.error(inject.at("drop"), sentence)
    if "transport" in given and "dribble" in given:
        findings.error(inject.at("dribble"), "a body breaks or comes slowly; remove transport or dribble")
    if "drop" in given and given & {"status", "headers", "json", "body", "error"}:
        findings.error(inject.at("drop"), "a dropped connection carries no answer; remove drop or the answer")
    if "error" in given and isinstance(on.value, dict) and on.value.get("upstream") and not on.value.get("operation"):
        sentence = "error is an answer of STACK, and this fault hits an upstream; give a status, or name an operation"
        findings.error(inject.at("error"), sentence)
    one_body(inject, findings)


def _check_stream(inject: Place, on: Place, given: set[str], findings: Findings) -> None:
    target = on.value if isinstance(on.value, dict) else {}
    stream = inject.at("stream")
    if target.get("operation") not in _STREAMED:
        findings.error(stream, "stream is for replies of the model; let on name the operation, such as messages.create")
    others = given & {"status", "headers", "json", "body", "error", "drop", "transport", "dribble"}
    if others:
        findings.error(stream, f"a stream does not begin with {min(others)}; remove it, or remove stream")
    if not isinstance(stream.value, dict):
        return
    theirs = _OPENAI_ERRORS if str(target.get("operation")) in _OPENAI else _ANTHROPIC_ERRORS
    error = stream.value.get("error")
    if error in _ANTHROPIC_ERRORS + _OPENAI_ERRORS and error not in theirs:
        sentence = f"{target.get('operation')} has no {error}; use one of {', '.join(theirs)}"
        findings.error(stream.at("error"), sentence)
    inside = {key for key, value in stream.value.items() if value is not None}
    if not inside & {"first_token", "pace", "error", "cut"}:
        findings.error(stream, "nothing happens to the stream; add first_token, pace, error or cut")
    if {"error", "cut"} <= inside:
        findings.error(stream.at("cut"), "a stream ends in one way; remove error or cut")
    if "message" in inside and "error" not in inside:
        findings.error(stream.at("message"), "message goes with error; add error")
    for key in ("after", "after_blocks"):
        if key in inside and not inside & {"error", "cut"}:
            findings.error(stream.at(key), f"{key} says when the stream breaks off; add error or cut")
    if {"after", "after_blocks"} <= inside:
        findings.error(stream.at("after_blocks"), "a stream breaks off once; remove after or after_blocks")


def _check_tool_faults(inject: Place, on: Place, given: set[str], findings: Findings) -> None:
    target = on.value if isinstance(on.value, dict) else {}
    for key in ("malformed", "hide"):
        if key in given and target.get("tool") is None:
            findings.error(inject.at(key), f"{key} is for MCP tools; add tool to on")
    if "malformed" in given and given & {"status", "headers", "json", "body", "error", "drop"}:
        findings.error(inject.at("malformed"), "a call has one answer; remove malformed or the other one")
    if "hide" in given and len(given) > 1:
        findings.error(inject.at("hide"), "a tool that is not there does nothing else; remove hide or the rest")
    if "hide" in given and any(
        target.get(key) is not None for key in target.keys() - {"tool", "after", "until", "per"}
    ):
        findings.error(inject.at("hide"), "hide stands whatever is called; leave only tool, after and until in on")
