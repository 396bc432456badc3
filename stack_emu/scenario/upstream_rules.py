"""Checks of the fake services, the gateway and the injected faults."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlsplit

from stack_emu.scenario.findings import Findings, Place
from stack_emu.scenario.rules import check_routes_reach
from stack_emu.scenario.upstream_models import MessagesError, OpenAiCode

EMULATED_HOSTS = ("api.getstack.run", "mcp.getstack.run", "getstack.run", "www.getstack.run", "api.anthropic.com")
"""Hosts the emulator itself answers for."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_OPENAI = ("chat.completions.create", "responses.create")
_STREAMED = ("messages.create", *_OPENAI)
_ANTHROPIC_ERRORS: tuple[str, ...] = get_args(MessagesError)
_OPENAI_ERRORS: tuple[str, ...] = get_args(OpenAiCode)

_BODIES = ("json", "text", "base64", "body")


def check_upstreams(root: Place, findings: Findings) -> None:
    """Report upstreams that cannot answer or claim the same host, and hosts the gateway must not let through."""
    claimed: dict[str, str] = {}
    for name, upstream in root.entries("upstreams"):
        if not isinstance(upstream.value, dict):
            continue
        _check_upstream(upstream, findings)
        for host in upstream.each("hosts"):
            _claim(host, name, claimed, findings)
        check_routes_reach(upstream, findings)
        for route in upstream.each("routes"):
            if isinstance(route.value, dict):
                _check_route(route, findings)
    for host in root.at("gateway").each("allow"):
        _check_allowed(host, claimed, findings)


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


def _check_upstream(upstream: Place, findings: Findings) -> None:
    keys = upstream.value
    if not keys.get("hosts") and not keys.get("pack"):
        findings.error(upstream, "the upstream answers for no host; add hosts: [name.example.com]")
    if keys.get("pack") is not None and keys.get("forward") is not None:
        findings.error(upstream.at("forward"), "an upstream has a pack or a forward, not both; remove one of them")
    if keys.get("seed") and keys.get("pack") is None:
        findings.error(upstream.at("seed"), "seed is for a pack's state; add pack: or remove seed")
    if isinstance(keys.get("forward"), str):
        _check_forward(upstream.at("forward"), findings)


def _check_route(route: Place, findings: Findings) -> None:
    has_reply, has_replies = route.value.get("reply") is not None, bool(route.value.get("replies"))
    if has_reply and has_replies:
        findings.error(route.at("replies"), "a route has one reply or several; remove reply or replies")
    if not has_reply and not has_replies:
        findings.error(route, "the route answers nothing; add reply: {json: …}, or replies: a list of them")
    if route.value.get("repeat") is not None and not has_replies:
        findings.error(
            route.at("repeat"), "repeat says what comes after the last of replies; add replies, or use times"
        )
    if route.value.get("per") == "world":
        sentence = "per: world counts in the order calls arrive, so concurrent runs may differ; per: lane repeats"
        findings.warn(route.at("per"), sentence)
    for reply in (route.at("reply"), *route.each("replies")):
        _one_body(reply, findings)
    for callback in route.each("callbacks"):
        _check_callback(callback, findings)


def _check_callback(callback: Place, findings: Findings) -> None:
    url = callback.at("url")
    if isinstance(url.value, str) and "{{" not in url.value:
        _check_forward(url, findings)
    if isinstance(callback.value, dict) and callback.value.get("json") is not None and callback.value.get("text"):
        findings.error(callback.at("text"), "a callback has one body; remove json or text")


def _check_forward(place: Place, findings: Findings) -> None:
    try:
        url = urlsplit(place.value)
        usable = url.scheme in ("http", "https") and url.hostname is not None and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        findings.error(place, "this is not a URL; write one like http://127.0.0.1:9000")
    elif url.hostname not in LOOPBACK and not str(url.hostname).startswith("127."):
        findings.error(place, f"{url.hostname} is not this machine; forward to a server on http://127.0.0.1:<port>")


def _claim(host: Place, name: str, claimed: dict[str, str], findings: Findings) -> None:
    if not isinstance(host.value, str):
        return
    if host.value in EMULATED_HOSTS:
        findings.error(host, f"{host.value} is answered by the emulator itself; remove it from the upstream")
    elif claimed.setdefault(host.value, name) != name:
        other = claimed[host.value]
        findings.error(host, f"{host.value} already belongs to the upstream {other}; a host has one upstream")


def _check_allowed(host: Place, claimed: dict[str, str], findings: Findings) -> None:
    if not isinstance(host.value, str):
        return
    emulated = [*EMULATED_HOSTS, *claimed]
    if any(_covers(host.value, known) or _covers(known, host.value) for known in emulated):
        sentence = f"{host.value} is emulated here and is never let through; remove it, or remove its upstream"
        findings.error(host, sentence)


def _covers(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _check_target(on: Place, findings: Findings) -> None:
    if not any(on.value.get(key) is not None for key in ("upstream", "operation", "tool")):
        findings.error(on, "a fault needs to know what it hits; add upstream, operation or tool")
    if on.value.get("nth") is not None and on.value.get("every") is not None:
        findings.error(on.at("every"), "nth is one call and every is many; remove one of them")
    if on.value.get("per") == "world":
        sentence = "per: world counts in the order calls arrive, so concurrent runs may differ; per: lane repeats"
        findings.warn(on.at("per"), sentence)


def _check_injection(inject: Place, on: Place, findings: Findings) -> None:
    given = {key for key, value in inject.value.items() if value is not None}
    given -= {key for key in ("malformed", "hide") if inject.value.get(key) is False}
    answers = given & {"status", "headers", "json", "body"}
    if not given - {"message"}:
        findings.error(inject, "nothing is injected; add status, error, delay or drop")
    _check_tool_faults(inject, on, given, findings)
    if "stream" in given:
        _check_stream(inject, on, given, findings)
    if "error" in given and answers:
        findings.error(inject.at(min(answers)), f"error brings its own answer; remove {' and '.join(sorted(answers))}")
    if "message" in given and "error" not in given:
        findings.error(inject.at("message"), "message goes with error; add error, or use json or body")
    if "drop" in given and given & {"status", "headers", "json", "body", "error"}:
        findings.error(inject.at("drop"), "a dropped connection carries no answer; remove drop or the answer")
    if "error" in given and isinstance(on.value, dict) and on.value.get("upstream") and not on.value.get("operation"):
        sentence = "error is an answer of STACK, and this fault hits an upstream; give a status, or name an operation"
        findings.error(inject.at("error"), sentence)
    _one_body(inject, findings)


def _check_stream(inject: Place, on: Place, given: set[str], findings: Findings) -> None:
    target = on.value if isinstance(on.value, dict) else {}
    stream = inject.at("stream")
    if target.get("operation") not in _STREAMED:
        findings.error(stream, "stream is for replies of the model; let on name the operation, such as messages.create")
    others = given & {"status", "headers", "json", "body", "error", "drop"}
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


def _one_body(reply: Place, findings: Findings) -> None:
    if not isinstance(reply.value, dict):
        return
    bodies = [key for key in reply.value if key in _BODIES and reply.value[key] is not None]
    if len(bodies) > 1:
        findings.error(reply.at(bodies[1]), f"a reply has one body; keep {bodies[0]} or {bodies[1]}")
