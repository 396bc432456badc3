"""What to say when nothing answers: the nearest operations of the REST surface, the nearest tools of the MCP endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.domain.diagnosis import explanation
from stack_emu.domain.faults import MISSION_EXPIRED
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.matching import Difference, Pattern
from stack_emu.kernel.missing import MISSING
from stack_emu.kernel.near_miss import Candidate, nearest_of, side_by_side
from stack_emu.kernel.near_words import close_matches, likeness
from stack_emu.kernel.operations import Caller, Operation
from stack_emu.kernel.world import World

_ELSEWHERE = {
    "/v1/messages": "the Messages API is at {origin}/anthropic: give that as the client's base URL",
    "/v1/chat/completions": "the OpenAI API is at {origin}/openai/v1: give that as the client's base URL",
    "/v1/responses": "the OpenAI API is at {origin}/openai/v1: give that as the client's base URL",
    "/sse": "the MCP endpoint is {origin}/mcp and speaks Streamable HTTP",
    "/v1/mcp": "the MCP endpoint is {origin}/mcp",
}
"""Paths that clients of other surfaces ask for when they are given STACK's base URL."""

_LONGEST_PATH = 2000
_OF_SERVICES = "STACK has no tools of its services: call stack_proxy_request with service: {service}"


@dataclass(frozen=True)
class Miss:
    """A request that nothing answers.

    Args:
        sentence: what would have worked.
        candidates: the nearest, nearest first.
        sent: what was sent, as the first lines of the table.
    """

    sentence: str
    candidates: Sequence[Candidate]
    sent: Mapping[str, Any]

    def details(self) -> dict[str, Any]:
        """For the error's details: ``nearest``, ``candidates`` and ``side_by_side``, the lines of a table."""
        return {
            "nearest": self.candidates[0].name if self.candidates else None,
            "candidates": [candidate.as_json() for candidate in self.candidates],
            "side_by_side": self.table.splitlines(),
        }

    @property
    def table(self) -> str:
        """The candidates side by side."""
        return side_by_side(self.sent, self.candidates)


@dataclass(frozen=True)
class _Asked:
    """A method and a path in the form patterns look at."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    content: Any = None
    host: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        return {}


def operation_miss(
    templates: Iterable[tuple[str, str, Operation]], method: str, path: str, origin: str, served: Sequence[str] = ()
) -> Miss:
    """What to say about a method and path that name no operation.

    Args:
        templates: method, path template and operation of everything served.
        method: HTTP method.
        path: raw path inside the world.
        origin: scheme, authority and world prefix the client used.
        served: methods the path is served for, when only the method is wrong.
    """
    if len(path) > _LONGEST_PATH:
        told = f"The path has {len(path)} characters, and no operation's is longer than {_LONGEST_PATH}."
        return Miss(told, (), {"method": method, "path": path})
    asked = _Asked(method, path)
    known = [(verb, template.replace("+}", "}"), declared) for verb, template, declared in templates]
    near = nearest_of(_operation(verb, template, declared, asked) for verb, template, declared in known)
    sentence = _reason(known, asked, origin)
    if sentence is None:
        sentence = f"The nearest operation is {near[0].name}." if near else "No operation is served."
    if served:
        sentence = f"This path is served for {', '.join(served)}."
    return Miss(sentence, near, {"method": method, "path": path})


def _operation(verb: str, template: str, declared: Operation, asked: _Asked) -> Candidate:
    return Candidate(f"{verb} {template} ({declared.name})", tuple(Pattern(verb, template).difference(asked)))


def _reason(known: Sequence[tuple[str, str, Operation]], asked: _Asked, origin: str) -> str | None:
    """The likely mistake behind a path, when it is one that people make."""

    def serves(path: str) -> bool:
        return any(not Pattern(verb, template).difference(_Asked(asked.method, path)) for verb, template, _ in known)

    path = asked.path
    elsewhere = next(
        (text for start, text in _ELSEWHERE.items() if path == start or path.startswith(f"{start}/")), None
    )
    if elsewhere is not None:
        return f"This is no path of STACK's: {elsewhere.format(origin=origin)}."
    if path.startswith("/v1/v1/") and serves(path[3:]):
        return f"The path has /v1 twice: give the client {origin} as its base URL, without /v1."
    if serves(f"/v1{path}"):
        return f"STACK's paths begin with /v1: ask for /v1{path}."
    if path.endswith("/") and serves(path.rstrip("/")):
        return f"The path ends in a slash: ask for {path.rstrip('/')}."
    if path != path.lower() and serves(path.lower()):
        return f"Paths are told apart by case: ask for {path.lower()}."
    return None


def tool_miss(
    definitions: Mapping[str, Mapping[str, Any]],
    visible: Sequence[str],
    name: str,
    arguments: Mapping[str, Any],
    services: Iterable[str] = (),
) -> Miss:
    """What to say about a tool that does not exist.

    Args:
        definitions: every tool by name, as ``tools/list`` describes it.
        visible: names of those the caller may call.
        name: what was asked for.
        arguments: what it was to be called with.
        services: providers of the account's connections.
    """
    bare = name.split("__", 2)[2] if name.startswith("mcp__") and name.count("__") >= 2 else name
    pool = list(visible) or list(definitions)
    candidates = [_tool(definitions[known], bare, arguments, known in visible) for known in definitions]
    seen = [one for one in candidates if one.name in pool]
    near = nearest_of(seen)
    sentence = None
    if bare != name and bare in definitions:
        sentence = f"mcp__<server>__ is how some clients name tools to a model; on the wire this one is called {bare}."
    service = next(
        (one for one in sorted(services) if name.lower().startswith((f"{one}_", f"{one}.", f"{one}-"))), None
    )
    if sentence is None and service is not None:
        sentence = _OF_SERVICES.format(service=service) + "."
    hidden = [one for one in nearest_of(candidates, 1) if one.name not in pool]
    if sentence is None and hidden and _ratio(bare, hidden[0].name) > max(_ratio(bare, one.name) for one in near):
        sentence = (
            f"{hidden[0].name} exists, but this credential may not call it; of those it may, {near[0].name} is nearest."
        )
    if sentence is None:
        sentence = f"The nearest is {near[0].name}." if visible else "This credential may call none."
    sent = {"tool": name, **{f"arguments.{key}": value for key, value in list(arguments.items())[:5]}}
    return Miss(sentence, near if visible else [], sent)


def _tool(definition: Mapping[str, Any], name: str, arguments: Mapping[str, Any], callable_: bool) -> Candidate:
    schema = definition["inputSchema"]
    known, required = schema.get("properties", {}), schema.get("required", [])
    tool = str(definition["name"])
    differences = [] if tool == name else [Difference("tool", name, tool)]
    for key in arguments:
        if key not in known and schema.get("additionalProperties") is False:
            near = close_matches(key, known, 1)
            differences.append(
                Difference(f"arguments.{key}", arguments[key], f"no such argument{f'; {near[0]}?' if near else ''}")
            )
    differences += [Difference(f"arguments.{key}", MISSING, "required") for key in required if key not in arguments]
    return Candidate(
        tool, tuple(differences), None if callable_ else "not for this credential", 12 * (1 - _ratio(name, tool))
    )


def _ratio(one: str, other: str) -> float:
    return likeness(one, other)


def explain_refusal(world: World, caller: Caller, fault: Fault, entry: Entry) -> None:
    """Say in a refusal's details, in the journal and in the log what only this world knows about it, if anything.

    Args:
        world: the world.
        caller: who was refused.
        fault: the refusal; its details get the ``hint``.
        entry: the exchange.
    """
    hint = explanation(world, caller, fault)
    if hint is not None and entry.hint is None:
        fault.details["hint"] = world.journal.explain(entry, hint)
        if fault.code == MISSION_EXPIRED.code:  # SDK 3.0.0 and later keep nothing of this refusal but its message
            fault.message = f"{fault.message}. {hint}"
