"""Requests checked against what the document declares: parameters, body and credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from stack_emu.kernel import strict_json
from stack_emu.upstreams.openapi.document import Media, Need, Operation, Parameter
from stack_emu.upstreams.openapi.mistakes import Mistake, mistakes
from stack_emu.upstreams.openapi.schemas import Schemas
from stack_emu.upstreams.requests import UpstreamRequest

_SEPARATORS = {"spaceDelimited": " ", "pipeDelimited": "|"}
_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})


@dataclass
class Checked:
    """A request, read by what its operation declares.

    Args:
        parameters: values of the parameters it has, by place and name.
        body: the body as JSON data, the fields of a form, text, or None when there is none.
        mistakes: what is wrong with it.
        wrong_kind: whether the content type is what is wrong.
        unread: fields of the body that the document does not know.
    """

    parameters: dict[tuple[str, str], Any] = field(default_factory=dict)
    body: Any = None
    mistakes: list[Mistake] = field(default_factory=list)
    wrong_kind: bool = False
    unread: tuple[str, ...] = ()

    def query(self, name: str) -> Any:
        """The value of a query parameter, or None."""
        return self.parameters.get(("query", name))


def check_request(
    schemas: Schemas, operation: Operation, captured: Mapping[str, str], request: UpstreamRequest
) -> Checked:
    """Read a request and note what is wrong with it.

    Args:
        schemas: of requests.
        operation: what it is a call of.
        captured: what its path captured.
        request: the request.
    """
    checked = Checked()
    for parameter in operation.parameters:
        value, there = _parameter(schemas, parameter, captured, request)
        place = f"{parameter.where}.{parameter.name}"
        if not there:
            if parameter.required:
                checked.mistakes.append(Mistake(place, "is missing; it is required"))
            continue
        checked.parameters[(parameter.where, parameter.name)] = value
        if parameter.schema is not None and not (value == "" and parameter.empty):
            checked.mistakes += mistakes(schemas, parameter.schema, value, place)
    _check_body(schemas, operation, request, checked)
    return checked


def unmet(
    operation: Operation, request: UpstreamRequest, scopes: Sequence[str] | None
) -> tuple[str, tuple[str, ...]] | None:
    """What a request lacks of the operation's security: which credentials would do, and the scopes it has too few of.

    Args:
        operation: what it is a call of.
        request: the request.
        scopes: what its credential is good for; None when for everything.

    Returns:
        None when it lacks nothing; no scopes when it carries no credential the document asks for.
    """
    if not operation.security:
        return None
    lacking: tuple[str, ...] = ()
    for alternative in operation.security:
        if all(_carries(need, request) for need in alternative):
            wanted = [scope for need in alternative for scope in need.scopes]
            missing = tuple(one for one in wanted if scopes is not None and one not in scopes)
            if not missing:
                return None
            lacking = lacking or missing
    ways = " or ".join(" and ".join(map(_way, alternative)) for alternative in operation.security)
    return ways, lacking


def public(operation: Operation) -> bool:
    """Whether the document says that an operation needs no credential."""
    return operation.security is not None and (not operation.security or () in operation.security)


def _carries(need: Need, request: UpstreamRequest) -> bool:
    if need.kind == "mutualTLS":
        return True  # nothing of it can be seen here
    if need.kind != "apiKey":
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == need.name and bool(rest.strip())
    if need.where == "query":
        return bool(request.query_map.get(need.name))
    if need.where == "cookie":
        return need.name in _cookies(request)
    return bool(request.headers.get(need.name))


def _way(need: Need) -> str:
    if need.kind == "apiKey":
        return f"the {'parameter' if need.where == 'query' else need.where} {need.name}"
    return f"Authorization: {need.name.capitalize()} …" if need.kind != "mutualTLS" else "a client certificate"


# --- parameters -----------------------------------------------------------------------------------------------------


def _parameter(
    schemas: Schemas, parameter: Parameter, captured: Mapping[str, str], request: UpstreamRequest
) -> tuple[Any, bool]:
    """The value of a parameter as JSON data, and whether it is there."""
    kinds = types_of(schemas, parameter.schema)
    if parameter.where == "query" and "object" in kinds and not parameter.json:
        return _object_in_query(schemas, parameter, request)
    given = _given(parameter, captured, request)
    if given is None:
        return None, False
    if parameter.json:
        try:
            return strict_json.loads(given[-1]), True
        except ValueError:
            return given[-1], True
    if "array" in kinds:
        separator = _SEPARATORS.get(parameter.style, ",")
        spread = parameter.where == "query" and parameter.explode and parameter.style == "form"
        parts = given if spread else [part for text in given for part in text.split(separator)]
        parts = [] if parts == [""] else parts
        items = schemas.merged(parameter.schema).get("items", {})
        return [typed(schemas, items, part) for part in parts], True
    if "object" in kinds:
        return _object_of(schemas, parameter, given[-1]), True
    return typed(schemas, parameter.schema, given[-1]), True


def _given(parameter: Parameter, captured: Mapping[str, str], request: UpstreamRequest) -> list[str] | None:
    if parameter.where == "path":
        text = captured[parameter.name]
        return [_without_style(text, parameter)]
    if parameter.where == "query":
        return [value for name, value in request.query if name in (parameter.name, f"{parameter.name}[]")] or None
    if parameter.where == "header":
        text_or_none = request.headers.get(parameter.name)
        return None if text_or_none is None else [", ".join(part.strip() for part in text_or_none.split(","))]
    cookie = _cookies(request).get(parameter.name)
    return None if cookie is None else [cookie]


def _without_style(text: str, parameter: Parameter) -> str:
    if parameter.style == "label":
        return text.removeprefix(".").replace(".", ",") if parameter.explode else text.removeprefix(".")
    if parameter.style == "matrix":
        return text.removeprefix(f";{parameter.name}=").replace(f";{parameter.name}=", ",")
    return text


def _object_in_query(schemas: Schemas, parameter: Parameter, request: UpstreamRequest) -> tuple[Any, bool]:
    """An object whose properties are parameters of their own, ``filter[state]=open`` or ``state=open``."""
    properties = schemas.merged(parameter.schema).get("properties") or {}
    found: dict[str, Any] = {}
    for name, value in request.query:
        inner = re.fullmatch(re.escape(parameter.name) + r"\[([^\]]+)\]", name)
        key = inner[1] if inner else name
        if (inner and parameter.style == "deepObject") or (key in properties and parameter.style == "form"):
            found[key] = typed(schemas, properties.get(key), value)
    if not found and not parameter.explode and parameter.name in request.query_map:
        return _object_of(schemas, parameter, request.query_map[parameter.name]), True
    return found, bool(found)


def _object_of(schemas: Schemas, parameter: Parameter, text: str) -> dict[str, Any]:
    """An object written in one value: ``R,100,G,200``, or exploded ``R=100,G=200``."""
    properties = schemas.merged(parameter.schema).get("properties") or {}
    parts = text.split(",")
    if parameter.explode:
        pairs = [tuple(part.partition("=")[::2]) for part in parts]
    else:
        pairs = list(zip(parts[::2], parts[1::2], strict=False))
    return {name: typed(schemas, properties.get(name), value) for name, value in pairs}


def _cookies(request: UpstreamRequest) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(request.headers.get("Cookie", "")).items()}
    except CookieError:
        return {}


def types_of(schemas: Schemas, schema: Any) -> frozenset[str]:
    """The types a value may have, over all its forms; those its other keywords imply when it names none."""
    found: set[str] = set()
    for form in schemas.forms(schema) if schema is not None else ():
        kind = form.get("type")
        if kind is None:
            kind = "object" if "properties" in form else ("array" if "items" in form else ())
        found.update([kind] if isinstance(kind, str) else kind)
    return frozenset(found)


def typed(schemas: Schemas, schema: Any, text: str) -> Any:
    """A text as a value of the type its schema names, or as it is when it cannot be."""
    kinds = types_of(schemas, schema)
    if "integer" in kinds and re.fullmatch(r"[-+]?\d{1,30}", text):
        return int(text)
    if "number" in kinds and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", text):
        return int(text) if re.fullmatch(r"[-+]?\d{1,30}", text) else float(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    if "null" in kinds and "string" not in kinds and text in ("", "null"):
        return None
    return text


# --- body -----------------------------------------------------------------------------------------------------------


def _check_body(schemas: Schemas, operation: Operation, request: UpstreamRequest, checked: Checked) -> None:
    if operation.body is None:
        return
    kinds = ", ".join(media.kind for media in operation.body)
    if not request.body:
        if operation.body_required:
            checked.mistakes.append(Mistake("body", f"is missing; send one as {kinds}"))
        return
    media = media_for(operation.body, request.content_type)
    if media is None:
        checked.wrong_kind = True
        sent = request.content_type or "no content type"
        checked.mistakes.append(Mistake("header.Content-Type", f"is {sent}; send {kinds}"))
        return
    checked.body, readable = _read_body(schemas, media, request)
    if not readable:
        checked.mistakes.append(Mistake("body", "is no JSON; send a JSON value"))
    elif media.schema is not None and is_checked(schemas, media):
        checked.mistakes += mistakes(schemas, media.schema, checked.body, "body")
        checked.unread = tuple(_unknown(schemas, media.schema, checked.body))


def media_for(known: Sequence[Media], kind: str) -> Media | None:
    """The declared body for a content type: the type itself before its range before any; the only one for none."""
    if not kind:
        return known[0] if len(known) == 1 else next((one for one in known if one.is_json), None)
    for wanted in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        for one in known:
            if one.kind == wanted:
                return one
    return None


def is_checked(schemas: Schemas, media: Media) -> bool:
    """Whether bodies of a content type are checked: JSON, text, and forms whose fields are texts, numbers or lists of them."""
    if media.schema is None or media.is_json:
        return True
    if media.is_form:
        properties = schemas.merged(media.schema).get("properties") or {}
        return bool(properties) and all(_is_simple(schemas, one) for one in properties.values())
    return media.kind.startswith("text/") and types_of(schemas, media.schema) <= {"string"}


def _is_simple(schemas: Schemas, schema: Any) -> bool:
    kinds = types_of(schemas, schema)
    if "array" in kinds:
        return kinds <= {"array", "null"} and types_of(schemas, schemas.merged(schema).get("items", {})) <= _SCALARS
    return kinds <= _SCALARS


def _read_body(schemas: Schemas, media: Media, request: UpstreamRequest) -> tuple[Any, bool]:
    """The body as data, and whether it could be read."""
    if media.is_form and "form" in (request.content_type or media.kind):
        return _form(schemas, media, request), True
    if media.is_json and (not request.content_type or "json" in request.content_type):
        try:
            return strict_json.loads(request.body), True
        except (ValueError, json.JSONDecodeError):
            return None, False
    return request.text, True


def _form(schemas: Schemas, media: Media, request: UpstreamRequest) -> dict[str, Any]:
    properties = schemas.merged(media.schema).get("properties") or {} if media.schema is not None else {}
    if request.parts:
        pairs = [(part.name, part.content.decode("utf-8", "replace")) for part in request.parts]
    else:
        pairs = parse_qsl(request.text, keep_blank_values=True)
    found: dict[str, Any] = {}
    for name, value in pairs:
        name = name.removesuffix("[]") if name not in properties else name
        schema = properties.get(name)
        if "array" in types_of(schemas, schema):
            items = schemas.merged(schema).get("items", {})
            found.setdefault(name, []).append(typed(schemas, items, value))
        else:
            found[name] = typed(schemas, schema, value)
    return found


def _unknown(schemas: Schemas, schema: Any, body: Any) -> Iterator[str]:
    """Fields of a body that its schema does not know, where it says what it knows."""
    if not isinstance(body, dict):
        return
    forms = schemas.forms(schema)
    if any("additionalProperties" in form or not form.get("properties") for form in forms):
        return
    known = {name for form in forms for name in form["properties"]}
    yield from (name for name in body if name not in known)
