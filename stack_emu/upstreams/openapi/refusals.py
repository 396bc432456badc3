"""Refusals in the words of the document where it has some, else in a plain form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.upstreams.openapi.document import Operation
from stack_emu.upstreams.openapi.mistakes import Mistake
from stack_emu.upstreams.openapi.schemas import Schemas
from stack_emu.upstreams.openapi.values import CannotMake, Maker, Origin, folded
from stack_emu.upstreams.requests import UpstreamReply

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    415: "unsupported_media_type",
    422: "unprocessable_content",
}
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
_SENTENCES = frozenset(
    {"message", "detail", "error", "errormessage", "errordescription", "description", "reason", "msg", "details"}
)
_LISTS = frozenset({"errors", "details", "fields", "violations", "issues", "invalidparams", "fielderrors", "detail"})
_FIELDS = frozenset({"field", "path", "name", "param", "pointer", "loc", "property", "location", "source"})


def status_for(operation: Operation, wrong_kind: bool) -> int:
    """The status of a mistaken request: 400, or 415 or 422 where the document declares only that."""
    if wrong_kind and "415" in operation.replies:
        return 415
    return 422 if "422" in operation.replies and "400" not in operation.replies else 400


def refusal(
    schemas: Schemas, operation: Operation | None, status: int, message: str, mistakes: Sequence[Mistake] = ()
) -> UpstreamReply:
    """A reply that refuses a call.

    Args:
        schemas: of replies.
        operation: what was called; None when that is not known.
        status: HTTP status.
        message: one sentence.
        mistakes: what is wrong with the request, field by field.
    """
    declared = operation.refusal(status) if operation is not None else None
    media = declared.json if declared is not None else None
    if media is not None and media.schema is not None:
        filled = _filled(schemas, media.schema, status, message, mistakes)
        if filled is not None:
            kind = media.kind if "*" not in media.kind else "application/json"
            return UpstreamReply.of_json(filled, status, {"Content-Type": kind})
    return UpstreamReply.of_json(plain(status, message, mistakes), status)


def plain(status: int, message: str, mistakes: Sequence[Mistake] = ()) -> dict[str, Any]:
    """The form of a refusal that no document describes."""
    body: dict[str, Any] = {"code": _CODES.get(status, f"http_{status}"), "message": message}
    if mistakes:
        body["errors"] = [{"field": one.field, "message": one.sentence} for one in mistakes]
    return body


def _filled(schemas: Schemas, schema: Any, status: int, message: str, mistakes: Sequence[Mistake]) -> Any:
    """The refusal in the declared form, or None when the form has no place for the sentence or cannot be filled."""
    origin = Origin(b"refusal", 0)
    form = schemas.forms(schema)[0]
    body = _object(schemas, form, status, message, mistakes)
    if message not in repr(body):
        return None
    maker = Maker(schemas, origin)
    for name in form.get("required") or []:
        if name not in body:
            try:
                body[name] = maker.make((form.get("properties") or {}).get(name, {}), name)
            except CannotMake:
                return None
    return body if schemas.valid(schema, body) else None


def _object(
    schemas: Schemas, form: Mapping[str, Any], status: int, message: str, mistakes: Sequence[Mistake], depth: int = 0
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    properties = form.get("properties") or {}
    has_message = any(folded(name) in ("message", "detail", "errormessage", "errordescription") for name in properties)
    for name, inner in properties.items():
        whole = schemas.merged(inner)
        for value in _values(schemas, folded(name), whole, status, message, mistakes, has_message, depth):
            if schemas.valid(inner, value):
                body[name] = value
                break
    return body


def _values(
    schemas: Schemas,
    name: str,
    whole: Mapping[str, Any],
    status: int,
    message: str,
    mistakes: Sequence[Mistake],
    has_message: bool,
    depth: int,
) -> list[Any]:
    """What a property of a refusal may hold, the likeliest first."""
    code = _CODES.get(status, "error")
    if name in ("code", "errorcode", "status", "statuscode"):
        return [status, code, str(status)]
    if name in ("type", "kind"):
        return ["about:blank", code] if str(whole.get("format", "")).startswith("uri") else [code]
    if name == "title":
        return [_TITLES.get(status, "Refused")]
    found: list[Any] = []
    if name in _LISTS:
        found.append([_entry(schemas, whole.get("items", {}), one) for one in mistakes])
        found.append({one.field: [one.sentence] for one in mistakes})
        found.append({one.field: one.sentence for one in mistakes})
        found = found if mistakes else []
    if "properties" in whole and depth < 3:
        inner = _object(schemas, whole, status, message, mistakes, depth + 1)
        found.insert(0, inner)
    if name == "error" and has_message:
        return [*found, code]
    if name in _SENTENCES:
        found.append(message)
    return found


def _entry(schemas: Schemas, items: Any, mistake: Mistake) -> Any:
    """One mistake as an element of a list of them."""
    whole = schemas.merged(items)
    if "properties" not in whole:
        return str(mistake)
    entry: dict[str, Any] = {}
    for name, inner in whole["properties"].items():
        values: list[Any] = []
        if folded(name) in _FIELDS:
            values = [mistake.field, mistake.field.split(".")]
        elif folded(name) in _SENTENCES | {"problem", "issue", "title"}:
            values = [mistake.sentence]
        elif folded(name) in ("code", "type"):
            values = ["invalid"]
        for value in values:
            if schemas.valid(inner, value):
                entry[name] = value
                break
    return entry
