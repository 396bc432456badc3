"""Checks of the fake services and the gateway."""

from __future__ import annotations

from urllib.parse import urlsplit

from stack_emu.scenario.findings import Findings, Place
from stack_emu.scenario.rules import check_routes_reach

EMULATED_HOSTS = ("api.getstack.run", "mcp.getstack.run", "getstack.run", "www.getstack.run", "api.anthropic.com")
"""Hosts the emulator itself answers for."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

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


def _check_upstream(upstream: Place, findings: Findings) -> None:
    keys = upstream.value
    for short in ("resources", "openapi"):
        if keys.get(short) is not None:
            _check_short(short, upstream, findings)
    if not keys.get("hosts") and not keys.get("pack"):
        findings.error(upstream, "the upstream answers for no host; add hosts: [name.example.com]")
    if keys.get("pack") is not None and keys.get("forward") is not None:
        findings.error(upstream.at("forward"), "an upstream has a pack or a forward, not both; remove one of them")
    if keys.get("seed") and keys.get("pack") is None and keys.get("resources") is None and "openapi" not in keys:
        findings.error(upstream.at("seed"), "seed is for a pack's state; add pack: or remove seed")
    if isinstance(keys.get("forward"), str):
        _check_forward(upstream.at("forward"), findings)


def _check_short(short: str, upstream: Place, findings: Findings) -> None:
    if upstream.value.get("pack") not in (None, short):
        findings.error(upstream.at("pack"), f"{short}: is short for the pack {short}; remove one of them")
    if short == "openapi" and upstream.value.get("resources") is not None:
        findings.error(upstream.at("resources"), "an upstream has openapi or resources, not both; remove one of them")
    if upstream.value.get("forward") is not None:
        findings.error(upstream.at("forward"), f"an upstream has {short} or a forward, not both; remove one of them")


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
        one_body(reply, findings)
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


def one_body(reply: Place, findings: Findings) -> None:
    """Report a reply with more than one body."""
    if not isinstance(reply.value, dict):
        return
    bodies = [key for key in reply.value if key in _BODIES and reply.value[key] is not None]
    if len(bodies) > 1:
        findings.error(reply.at(bodies[1]), f"a reply has one body; keep {bodies[0]} or {bodies[1]}")
