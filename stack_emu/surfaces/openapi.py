"""``/openapi.json``: the REST surface as an OpenAPI 3.1 document, derived from the declarations of the operations.

STACK publishes no such document. What this one says of an operation is what the emulator does; how well each part is
known stands in ``x-stack-emu-source`` and ``x-stack-emu-grade``.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from stack_emu.kernel.dispatch import Pending, Refused
from stack_emu.kernel.operations import WRITTEN_AS, Download, OpenCommand, Operation, Registry, Rest, Stream
from stack_emu.surfaces.mcp_schemas import plain, without_null

PATH = "/openapi.json"

_TAIL = re.compile(r"\{(\w+)\+\}")
_PARAM = re.compile(r"\{(\w+)\+?\}")
_BODIES = frozenset({"POST", "PUT", "PATCH"})
_NEGOTIATED = frozenset({"accept", "authorization", "content-type"})
"""Headers OpenAPI does not let a parameter stand for."""

_FORM, _REGISTER = "application/x-www-form-urlencoded", "/oauth/register"
"""OAuth's requests are forms, but for the registration of a client (RFC 7591)."""

_BEARERS = {
    "operator": "An operator's API key, sk_live_…",
    "member": "A team member's API key; its role is the requirement.",
    "agent": "A JWT signed with an enrolled agent's own key.",
    "passport": "A passport.",
    "oauth": "An OAuth access token; its scope is the requirement.",
    "session": "A dashboard session.",
    "ticket": "An enrollment ticket.",
}

_ERROR = {
    "type": "object",
    "description": "STACK's error envelope. Programs go by the code; details is always an object.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string", "description": "What happened, such as PASSPORT_REVOKED."},
                "message": {"type": "string", "description": "One sentence that says what would have worked."},
                "details": {"type": "object", "description": "More about it, by name."},
            },
        }
    },
}

_OAUTH_ERROR = {
    "type": "object",
    "description": "An error of OAuth 2.1. Programs go by the word in error.",
    "required": ["error", "error_description"],
    "properties": {
        "error": {"type": "string", "description": "What happened, such as invalid_grant."},
        "error_description": {"type": "string", "description": "One sentence that says what would have worked."},
    },
}


def document(registry: Registry, version: str) -> dict[str, Any]:
    """The document without ``servers``, which depend on the URL it is asked under.

    Args:
        registry: the operations.
        version: this package's version.
    """
    served = [declared for declared in registry if declared.rest is not None]
    replies, components = _replies(served)
    paths: dict[str, dict[str, Any]] = {}
    for declared in served:
        for number, template in enumerate((declared.rest.path, *declared.rest.aliases)):
            described = _operation(declared, template, replies[declared.name], is_alias=number > 0)
            paths.setdefault(_TAIL.sub(r"{\1}", template), {})[declared.rest.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "STACK, as stack-emu emulates it",
            "version": version,
            "description": "A local emulator for tests. Independent of STACK, not made by or affiliated with it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": family} for family in dict.fromkeys(_family(declared) for declared in served)],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR, "OAuthError": _OAUTH_ERROR},
            "securitySchemes": {
                kind: {"type": "http", "scheme": "bearer", "description": text} for kind, text in _BEARERS.items()
            },
            "responses": {
                "Error": {
                    "description": "A refusal or a failure.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
                "OAuthError": {
                    "description": "A refusal or a failure, as RFC 6749 words them; a page for whoever asks for HTML.",
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}},
                        "text/html": {},
                    },
                },
            },
        },
    }


def _replies(served: list[Operation]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The schema of every operation's JSON reply, and the models they refer to."""
    inputs = [
        (declared.name, "serialization", TypeAdapter(wanted))
        for declared in served
        if (wanted := _json_reply(declared.reply)) is not None
    ]
    by_key, shared = TypeAdapter.json_schemas(
        inputs,  # type: ignore[arg-type]
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    found = {str(name): dict(schema) for (name, _), schema in by_key.items()}
    return {declared.name: found.get(declared.name, {}) for declared in served}, shared.get("$defs", {})


def _json_reply(declared: Any) -> Any:
    """What of a handler's return type reaches the client as JSON; None when nothing does."""
    kept = [item for item in _alternatives(declared) if not _is_internal(item)]
    return typing.Union[tuple(kept)] if kept else None  # noqa: UP007 - the parts are known only now


def _is_internal(item: Any) -> bool:
    return item in (Refused, Download, Stream, Pending) or typing.get_origin(item) is Pending


def _alternatives(declared: Any) -> tuple[Any, ...]:
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return typing.get_args(declared)
    return (declared,)


def _operation(declared: Operation, template: str, reply: Mapping[str, Any], *, is_alias: bool) -> dict[str, Any]:
    rest = declared.rest
    assert rest is not None, f"{declared.name} has no route"
    described: dict[str, Any] = {
        **({"deprecated": True} if is_alias else {"operationId": declared.name}),
        "tags": [_family(declared)],
        "summary": declared.summary,
        "description": declared.description,
        "parameters": list(_parameters(declared, rest, template)),
        "responses": {
            str(rest.status): _success(declared, reply),
            "default": {"$ref": f"#/components/responses/{'Error' if rest.errors == 'envelope' else 'OAuthError'}"},
        },
        "security": _security(declared),
        "x-stack-emu-source": declared.source,
        "x-stack-emu-grade": declared.grade,
    }
    if declared.tool is not None:
        described["x-stack-emu-tool"] = declared.tool.name
    if rest.method in _BODIES and (body := _body(declared, rest, template)) is not None:
        described["requestBody"] = body
    return described


def _family(declared: Operation) -> str:
    return declared.name.partition(".")[0]


def _fields(declared: Operation) -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """Every field of a command: its name, its name on the wire, its schema, whether it is required."""
    schema = plain(declared.command.model_json_schema(mode="validation"))
    required = schema.get("required", ())
    for name, info in declared.command.model_fields.items():
        alias = info.validation_alias or info.alias
        wire = alias if isinstance(alias, str) else name
        described = without_null(schema["properties"][wire])
        described.update(described.pop(WRITTEN_AS, {}))
        yield name, wire, described, wire in required


def _parameters(declared: Operation, rest: Rest, template: str) -> Iterator[dict[str, Any]]:
    in_path, in_header = set(_PARAM.findall(template)), {name: header for header, name in rest.headers.items()}
    tails = set(_TAIL.findall(template))
    for name, wire, schema, required in _fields(declared):
        text = schema.pop("description", "")
        described = {"description": text, "schema": schema} if text else {"schema": schema}
        if name in in_path:
            more = {"x-stack-emu-tail": True} if name in tails else {}
            yield {"name": name, "in": "path", "required": True, **described, **more}
        elif name in in_header:
            if in_header[name].lower() not in _NEGOTIATED:
                yield {"name": in_header[name], "in": "header", "required": required, **described}
        elif rest.method not in _BODIES:
            yield {"name": wire, "in": "query", "required": required, **described}


def _body(declared: Operation, rest: Rest, template: str) -> dict[str, Any] | None:
    elsewhere = {*_PARAM.findall(template), *rest.headers.values()}
    fields = [field for field in _fields(declared) if field[0] not in elsewhere]
    if not fields:
        return None
    required = [wire for _, wire, _, needed in fields if needed]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {wire: schema if needed else _or_null(schema) for _, wire, schema, needed in fields},
    }
    if required:
        schema["required"] = required
    else:  # a null is an empty body
        schema["type"] = ["object", "null"]
    if issubclass(declared.command, OpenCommand):
        schema["additionalProperties"] = True
    media = "application/json" if rest.errors == "envelope" or rest.path == _REGISTER else _FORM
    return {"required": bool(required), "content": {media: {"schema": schema}}}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a body's optional field: a null counts as absent."""
    described = dict(schema)
    text: dict[str, Any] = {key: described.pop(key) for key in ("description", "default") if key in described}
    if not described:
        return text  # anything goes
    options = described.pop("anyOf") if described.keys() == {"anyOf"} else [described]
    return {**text, "anyOf": [*options, {"type": "null"}]}


def _success(declared: Operation, reply: Mapping[str, Any]) -> dict[str, Any]:
    assert declared.rest is not None
    described: dict[str, Any] = {"description": "Done."}
    if declared.rest.status == 204:
        return described
    described["content"] = {"application/json": {"schema": dict(reply)}}
    if Download in _alternatives(declared.reply):
        described["content"].update({media: {} for media in declared.rest.media})
    if Stream in _alternatives(declared.reply):
        described["content"]["text/event-stream"] = {}
    return described


def _security(declared: Operation) -> list[dict[str, list[str]]]:
    needs: dict[str, list[str]] = {
        "oauth": [declared.auth.scope] if declared.auth.scope else [],
        "member": [declared.auth.role],
    }
    return [{kind: needs.get(kind, [])} for kind in _BEARERS if kind in declared.auth.bearers]
