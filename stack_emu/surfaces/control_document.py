"""``/_emu/openapi.json``: the control API as an OpenAPI 3.1 document. Every route of the API has an entry here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_INSTANT: Schema = {"type": "string", "description": "An instant, ISO 8601 with milliseconds, UTC."}
_SPAN: Schema = {"type": ["string", "integer"], "description": "A duration such as 15m, or milliseconds."}
_PARAM = re.compile(r"\{(\w+)\}")


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _choice(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object(required: str = "", **properties: Schema) -> Schema:
    """An object whose properties are all there but those that are not ``required``; ``*`` stands for all."""
    names = list(properties) if required == "*" else required.split()
    return {"type": "object", "properties": properties} | ({"required": names} if names else {})


_WORLD = _object(
    "name scenario base_url mcp_url anthropic_base_url anthropic_api_key openai_base_url openai_api_key api_key passports "
    "upstreams clock strict",
    name=_TEXT,
    scenario=_OPTIONAL_TEXT,
    base_url=_TEXT,
    mcp_url=_TEXT,
    anthropic_base_url=_TEXT,
    anthropic_api_key=_TEXT,
    openai_base_url=_TEXT,
    openai_api_key=_TEXT,
    gateway_url=_OPTIONAL_TEXT,
    ca_file=_OPTIONAL_TEXT,
    api_key=_TEXT,
    passports={"type": "object", "additionalProperties": _TEXT},
    upstreams=_list(_TEXT),
    clock=_choice("real", "virtual"),
    strict=_FLAG,
    replaced_secrets=_list(_TEXT),
)
_CLOCK = {
    "mode": _choice("real", "virtual"),
    "now": _INSTANT,
    "now_ms": _NUMBER,
    "elapsed_ms": _NUMBER,
    "next_timer_ms": {"type": ["integer", "null"]},
}
_TIMER = _object("*", at=_INSTANT, kind=_TEXT, lane=_TEXT, id=_TEXT)
_SCENARIO = {
    "scenario": {"type": "string", "description": "A file or folder on the emulator's machine."},
    "scenario_yaml": {"type": "string", "description": "The scenario's text instead."},
    "source": {"type": "string", "description": "What stands for the file in messages about the text."},
    "overlays": _list(_TEXT),
    "variables": _OBJECT,
}
_MAKING: Mapping[str, Schema] = {
    **_SCENARIO,
    "seed": {"type": "integer", "minimum": 0},
    "clock": _choice("real", "virtual"),
    "strict": _FLAG,
    "fork": {"type": "string", "description": "Name of the world to fork."},
    "import": {"type": "object", "description": "What GET /_emu/export answered with."},
}
_FINDING = _object("kind sentence", kind=_TEXT, sentence=_TEXT, near=_OPTIONAL_TEXT, place=_OPTIONAL_TEXT)
_STEP = _object("*", kind=_choice("added", "changed", "kept", "refused"), path=_TEXT, what=_TEXT)
_FAULT = _object(
    "*", rule=_TEXT, on=_OBJECT, inject=_OBJECT, seen={**_NUMBER, "minimum": 0}, fired={**_NUMBER, "minimum": 0}
)
_DIFFERENCE = _object(
    "*", table=_TEXT, id=_TEXT, change=_choice("added", "removed", "changed"), label=_TEXT, fields=_OBJECT
)


@dataclass(frozen=True)
class RouteDoc:
    """What the document says of a route.

    Args:
        summary: what it does.
        reply: schema of its reply; None for one that is not JSON.
        body: schema of its body, when it takes one.
        query: query parameters and their schemas.
    """

    summary: str
    reply: Schema | None
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)


_SNAPSHOTS = _object("*", snapshots=_list(_TEXT))
_DECIDE = _object("decide", decide=_choice("approve", "reject"))

ROUTES: Mapping[str, RouteDoc] = {
    "GET /_emu/health": RouteDoc(
        "What is running, and every route there is.",
        _object(
            "*",
            status=_choice("ok"),
            name=_TEXT,
            version=_TEXT,
            worlds=_list(_TEXT),
            operations=_NUMBER,
            tools=_NUMBER,
            control=_list(_TEXT),
        ),
    ),
    "GET /_emu/openapi.json": RouteDoc("This document.", _OBJECT),
    "GET /_emu/worlds": RouteDoc("Every world.", _object("*", worlds=_list(_WORLD))),
    "POST /_emu/worlds": RouteDoc(
        "Make a world: from a scenario, as a fork of another world, or from an export.",
        _WORLD,
        _object(
            "name",
            name={"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
            **_MAKING,
        ),
    ),
    "DELETE /_emu/worlds/{name}": RouteDoc("Drop a world.", _object("*", removed=_TEXT)),
    "GET /_emu/world": RouteDoc("The world: its URLs, key, passports and settings.", _WORLD),
    "PUT /_emu/world": RouteDoc(
        "Make the world that the URL names, as POST /_emu/worlds does: a load balancer that goes by the world sends it where the "
        "world's other requests go.",
        _WORLD,
        _object("", **_MAKING),
    ),
    "DELETE /_emu/world": RouteDoc("Drop the world that the URL names.", _object("*", removed=_TEXT)),
    "GET /_emu/export": RouteDoc(
        "The world as one JSON document without secrets, the same for the same world.",
        _object(
            "*",
            format=_TEXT,
            scenario=_TEXT,
            seed=_TEXT,
            clock=_OBJECT,
            records=_OBJECT,
            acts=_list(_OBJECT),
            counts=_OBJECT,
        ),
    ),
    "GET /_emu/diff": RouteDoc(
        "What differs in the world from its seed, a snapshot or another world.",
        _object(
            "*",
            same=_FLAG,
            records=_list(_DIFFERENCE),
            acts=_list(_NUMBER),
            clock_moved_ms=_list(_NUMBER),
            text={"type": "string", "description": "All of it in words, a line for each difference."},
        ),
        query={"against": {"type": "string", "pattern": "^(seed|snapshot:.+|world:.+)$", "default": "seed"}},
    ),
    "POST /_emu/reset": RouteDoc("Return to the scenario's seed.", _object("*", reset=_TEXT)),
    "POST /_emu/reload": RouteDoc(
        "Read the scenario again and take over what changed; what the run made stays.",
        _object("*", dry_run=_FLAG, steps=_list(_STEP)),
        _object(scenario_yaml=_SCENARIO["scenario_yaml"], source=_SCENARIO["source"], dry_run=_FLAG),
    ),
    "GET /_emu/clock": RouteDoc("The world's clock.", _object("*", **_CLOCK)),
    "POST /_emu/clock/advance": RouteDoc(
        "Move the clock forward, firing the timers on the way in order.",
        _object("*", **_CLOCK, fired=_NUMBER, timers=_list(_TIMER)),
        _object("by", by=_SPAN),
    ),
    "GET /_emu/journal": RouteDoc(
        "The last exchanges, oldest first, secrets masked; and acts that overlapped in a lane.",
        _object("*", entries=_list(_OBJECT), overlaps=_list(_OBJECT)),
        query={"surface": _TEXT},
    ),
    "DELETE /_emu/journal": RouteDoc("Forget the exchanges.", _object("*", cleared=_FLAG)),
    "GET /_emu/journal/canonical": RouteDoc(
        "The canonical journal, JSON Lines.",
        None,
        query={"order": {**_choice("commit", "content"), "default": "commit"}},
    ),
    "GET /_emu/audit": RouteDoc(
        "Every audit row in commit order, with its lane and operation.", _object("*", entries=_list(_OBJECT))
    ),
    "GET /_emu/audit/canonical": RouteDoc(
        "The canonical audit log, JSON Lines.",
        None,
        query={"order": {**_choice("commit", "content"), "default": "commit"}},
    ),
    "GET /_emu/audit/checkpoint": RouteDoc(
        "A signed checkpoint of the canonical log, or of an operator's raw chain, with the keys that verify it.",
        _object("*", checkpoint=_TEXT, keys=_OBJECT),
        query={"order": _choice("commit", "content"), "operator": _TEXT, "previous": _TEXT},
    ),
    "GET /_emu/faults": RouteDoc(
        "The fault rules, with how often each met a call and fired.",
        _object("*", rules=_NUMBER, unfired=_list(_OBJECT), each=_list(_FAULT)),
    ),
    "POST /_emu/faults": RouteDoc(
        "Add a fault rule, written as in a scenario.",
        _object("*", rules=_NUMBER),
        _object("on inject", on=_OBJECT, inject=_OBJECT),
    ),
    "DELETE /_emu/faults": RouteDoc("Drop all fault rules.", _object("*", rules=_NUMBER)),
    "GET /_emu/model": RouteDoc(
        "What the model answered so far, as rules of a scenario.", _object("*", rules=_list(_OBJECT))
    ),
    "POST /_emu/model": RouteDoc(
        "Add rules to the scripted model, before the others.",
        _object("*", rules=_NUMBER),
        _object("rules", rules={**_list(_OBJECT), "minItems": 1}),
    ),
    "GET /_emu/upstreams/{name}/requests": RouteDoc(
        "What an upstream received.", _object("*", requests=_list(_OBJECT))
    ),
    "PUT /_emu/upstreams/{name}/forward": RouteDoc(
        "Send what no route answers to a server on this machine; null ends that.",
        _object("*", forward=_OPTIONAL_TEXT),
        _object("url", url=_OPTIONAL_TEXT, hosts=_list(_TEXT)),
    ),
    "POST /_emu/passports": RouteDoc(
        "Mint a passport for an agent, in a mission of its own unless one is named.",
        _object("token jti", token=_TEXT, jti=_TEXT, mission_id=_TEXT),
        _object("agent", agent=_TEXT, services=_list(_TEXT), intent=_TEXT, ttl=_SPAN, mission=_TEXT),
    ),
    "GET /_emu/checkout/{session_id}": RouteDoc("What a checkout_url leads to: opening it pays.", _OBJECT),
    "POST /_emu/checkout/{session_id}": RouteDoc("Pay a checkout.", _OBJECT),
    "GET /_emu/approvals": RouteDoc("Every approval a person was asked for.", _object("*", approvals=_list(_OBJECT))),
    "POST /_emu/approvals/{approval_id}": RouteDoc(
        "Decide an approval as the person would.", _object("*", approval_id=_TEXT, decided=_TEXT), _DECIDE
    ),
    "GET /_emu/consents": RouteDoc(
        "Every sign-in that asked a person for consent.",
        _object(
            "*",
            consents=_list(
                _object(
                    "*",
                    id=_TEXT,
                    kind=_choice("authorization", "device", "enrollment"),
                    status=_TEXT,
                    client_id=_TEXT,
                    scopes=_list(_TEXT),
                    user_code=_OPTIONAL_TEXT,
                    agent_id=_OPTIONAL_TEXT,
                    created_at=_INSTANT,
                    expires_at=_INSTANT,
                )
            ),
        ),
    ),
    "POST /_emu/consents/{consent_id}": RouteDoc(
        "Decide a consent as the person on the page would.",
        _object("*", consent_id=_TEXT, decided=_TEXT, redirect=_OPTIONAL_TEXT),
        _object("decide", decide=_choice("approve", "deny"), operator=_TEXT),
    ),
    "POST /_emu/signals": RouteDoc(
        "Raise a signal as a detector would.",
        _OBJECT,
        _object(
            "agent signal",
            agent=_TEXT,
            signal=_TEXT,
            severity=_choice("info", "warning", "critical"),
            passport=_TEXT,
            message=_TEXT,
            metadata=_OBJECT,
        ),
    ),
    "POST /_emu/identity/{session_ref}": RouteDoc(
        "Decide an identity verification as the person at the provider's page would.",
        _object("*", session_ref=_TEXT, status=_TEXT),
        _object("decide", decide=_choice("approve", "deny")),
    ),
    "POST /_emu/team/{member_id}/accept": RouteDoc("Accept an invitation; the reply has the member's key.", _OBJECT),
    "GET /_emu/snapshots": RouteDoc("Names of the snapshots.", _SNAPSHOTS),
    "PUT /_emu/snapshots/{snapshot}": RouteDoc("Take a snapshot.", _SNAPSHOTS),
    "DELETE /_emu/snapshots/{snapshot}": RouteDoc("Forget a snapshot.", _SNAPSHOTS),
    "POST /_emu/snapshots/{snapshot}/restore": RouteDoc("Return to a snapshot.", _object("*", restored=_TEXT)),
    "GET /_emu/outbox": RouteDoc("What would have left this machine.", _object("*", messages=_list(_OBJECT))),
    "GET /_emu/deliveries": RouteDoc("What was sent to webhooks.", _object("*", deliveries=_list(_OBJECT))),
    "GET /_emu/received": RouteDoc("What inbound webhooks took in.", _object("*", messages=_list(_OBJECT))),
    "GET /_emu/verdict": RouteDoc(
        "Which expectations did not hold, and what a strict run fails for.",
        _object("*", ok=_FLAG, failures=_list(_FINDING), warnings=_list(_FINDING), unread=_list(_OBJECT)),
    ),
    "POST /_emu/verify": RouteDoc(
        "Check what must have happened so far, in the words of a scenario's expect.",
        _object("*", ok=_FLAG, unmet=_list(_OBJECT)),
        _OBJECT,
    ),
}

_ERROR = _object(
    "*",
    error=_object("*", code=_TEXT, message={**_TEXT, "description": "Says what would have worked."}, details=_OBJECT),
)
_REFUSALS = {
    "400": "The request has a mistake.",
    "403": "Not from this machine.",
    "404": "There is no such thing in this world.",
    "503": "The state file cannot be written.",
}


def control_document(version: str, routes: Iterable[str]) -> dict[str, Any]:
    """The document.

    Args:
        version: of stack-emu.
        routes: the routes that are served, as ``METHOD /path``.

    Raises:
        KeyError: for a route without an entry.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        method, _, path = route.partition(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, ROUTES[route])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stack-emu control API",
            "version": version,
            "description": "What tests and developers do to a world from outside. Paths act on the default world; put "
            "/w/{name} before them for another. Loopback only.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _operation(method: str, path: str, doc: RouteDoc) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in _PARAM.findall(path)]
    parameters += [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in doc.query.items()]
    answer = (
        {"application/x-ndjson": {"schema": _TEXT}}
        if doc.reply is None
        else {"application/json": {"schema": doc.reply}}
    )
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    made: dict[str, Any] = {
        "operationId": _name(method, path),
        "summary": doc.summary,
        "responses": {
            "200": {"description": doc.summary, "content": answer},
            **{status: {"description": text, "content": error} for status, text in _REFUSALS.items()},
        },
    }
    if parameters:
        made["parameters"] = parameters
    if doc.body is not None:
        content = {"application/json": {"schema": doc.body}}
        made["requestBody"] = {"required": bool(doc.body.get("required")), "content": content}
    return made


def _name(method: str, path: str) -> str:
    words = [part for part in re.split(r"\W+", path.removeprefix("/_emu/")) if part]
    return "_".join([method.lower(), *words])
