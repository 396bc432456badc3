"""Routes made of what was recorded: secrets out, volatile values as templates, equal requests merged."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from stack_emu.kernel.matchers import is_matcher
from stack_emu.recording.exchanges import Recorded
from stack_emu.recording.secrets import Secrets, is_secret_name

KEPT_HEADERS = frozenset({"content-type", "location", "link", "retry-after", "www-authenticate", "cache-control"})
"""Headers of a reply that are written down; others change with every reply, or are the server's own business."""
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = re.compile(r"^[A-Za-z]+[_-]")


@dataclass
class _Route:
    when: dict[str, Any]
    replies: list[dict[str, Any]] = field(default_factory=list)


def routes_of(exchanges: Sequence[Recorded], secrets: Secrets) -> tuple[list[dict[str, Any]], list[str]]:
    """The routes that answer what was recorded, and for each a comment, which may be empty.

    Args:
        exchanges: in the order they came.
        secrets: what must not be written.
    """
    minted = _minted(exchanges)
    found: dict[str, _Route] = {}
    for number, exchange in enumerate(exchanges):
        known = {value for value, (first, _) in minted.items() if first < number}
        when, params = _when(exchange, secrets, {value: minted[value][1] for value in known})
        born = {value: name for value, (first, name) in minted.items() if first == number}
        reply = _reply(exchange, secrets, params, born)
        route = found.setdefault(json.dumps(when, sort_keys=True), _Route(when))
        route.replies.append(reply)
    ordered = sorted(found.values(), key=lambda route: _weight(route.when), reverse=True)
    routes = [{"when": route.when, **_answers(route)} for route in ordered]
    return routes, [_comment(route) for route in ordered]


def _answers(route: _Route) -> dict[str, Any]:
    """The reply of a route, or its replies in order when they differed; equal ones at the end are one, which stays."""
    replies = list(route.replies)
    while len(replies) > 1 and _alike(replies[-1], replies[-2]):
        replies.pop()
    return {"reply": replies[0]} if len(replies) == 1 else {"replies": replies}


def _comment(route: _Route) -> str:
    return f"seen {len(route.replies)} times" if len(route.replies) > 1 else ""


def _weight(when: Mapping[str, Any]) -> tuple[int, int]:
    """What asks for more comes first, and a path in full before one with a name in it."""
    path = str(when.get("path", ""))
    return (0 if "{" in path else 1, sum(len(json.dumps(when[part])) for part in ("query", "body") if part in when))


# --- values that are made by one call and used by a later one ---------------------------------------------------------


def _minted(exchanges: Sequence[Recorded]) -> dict[str, tuple[int, str]]:
    """Values that a reply brought and a later path holds: which reply it was, and what the value was called there."""
    found: dict[str, tuple[int, str]] = {}
    asked: set[str] = set()
    for number, exchange in enumerate(exchanges):
        segments = {unquote(segment) for segment in exchange.path.split("/") if segment}
        asked |= segments | {str(value) for _, value in _scalars(exchange.content)}
        if exchange.method in ("GET", "HEAD"):
            continue
        later = {unquote(part) for one in exchanges[number + 1 :] for part in one.path.split("/") if part}
        for name, value in _scalars(exchange.reply):
            text = str(value)
            if text in later and text not in asked and text not in found and not isinstance(value, bool):
                found[text] = (number, name if _NAME.fullmatch(name) else "id")
    return found


def _scalars(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _scalars(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _scalars(item, name)
    elif isinstance(value, (str, int)):
        yield name, value


# --- requests ---------------------------------------------------------------------------------------------------------


def _when(exchange: Recorded, secrets: Secrets, known: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The pattern of a request, and the values its path names."""
    segments: list[str] = []
    params: dict[str, str] = {}
    for segment in exchange.path.split("/"):
        value = unquote(segment)
        if value in known and value not in params:
            name = known[value] if known[value] not in params.values() else f"{known[value]}_{len(params) + 1}"
            params[value] = name
            segments.append(f"{{{name}}}")
        else:
            segments.append(secrets.text(segment))
    when: dict[str, Any] = {"method": exchange.method, "path": "/".join(segments)}
    named = {name: value for name, value in exchange.query if not is_secret_name(name, parameter=True)}
    query = _stable(named, secrets)
    if query:
        when["query"] = _literal(query)
    body = exchange.content
    if isinstance(body, Mapping):
        body = _stable(body, secrets)
    if body and not isinstance(body, bytes) and not (isinstance(body, str) and secrets.text(body) != body):
        when["body"] = _literal(body)
    return when, params


def _literal(value: Any) -> Any:
    """A value in which no object is taken for a matcher."""
    if isinstance(value, Mapping):
        inner = {key: _literal(item) for key, item in value.items()}
        return {"equals": dict(value)} if is_matcher(value) else inner
    return [_literal(item) for item in value] if isinstance(value, list) else value


def _stable(fields: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """The fields of a request that it would have again another time."""
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        volatile = isinstance(value, str) and (_DATE.fullmatch(value) or _UUID.fullmatch(value))
        if is_secret_name(name) or volatile or secrets.value(value) != value or secrets.text(name) != name:
            continue
        if isinstance(value, Mapping):
            inner = _stable(value, secrets)
            if inner:
                kept[name] = inner
        elif not isinstance(value, list) or not any(isinstance(item, (dict, list)) for item in value):
            kept[name] = value
    return kept


# --- replies ----------------------------------------------------------------------------------------------------------


def _reply(exchange: Recorded, secrets: Secrets, params: Mapping[str, str], born: Mapping[str, str]) -> dict[str, Any]:
    reply: dict[str, Any] = {"status": exchange.status}
    headers = {
        "".join(name): secrets.text(value).replace("{{", "{ {")
        for name, value in exchange.reply_headers.items()
        if name.lower() in KEPT_HEADERS
    }
    for value, name in params.items():
        headers = {key: text.replace(value, f"{{{{ request.params.{name} }}}}") for key, text in headers.items()}
    body = exchange.reply
    if isinstance(body, bytes):
        return {**reply, "headers": headers, "base64": base64.b64encode(body).decode("ascii"), "template": False}
    if body is None:
        return {**reply, **({"headers": headers} if headers else {})}
    if isinstance(body, str):
        return {**reply, "headers": headers, "text": _plain(secrets.text(body))}
    headers = {name: value for name, value in headers.items() if name.lower() != "content-type" or "json" not in value}
    asked = dict(_echoes(exchange.content))
    echo = "request.form" if "form" in exchange.headers.get("Content-Type", "").lower() else "request.json"
    filled = _templates(secrets.value(body), "", _Known(params, born, asked, echo))
    return {**reply, **({"headers": headers} if headers else {}), "json": filled}


@dataclass(frozen=True)
class _Known:
    params: Mapping[str, str]
    born: Mapping[str, str]
    asked: Mapping[str, Any]
    echo: str


def _echoes(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            if isinstance(value, (str, int, float)) and not isinstance(value, bool) and _NAME.fullmatch(str(name)):
                yield str(name), value


def _templates(value: Any, name: str, known: _Known) -> Any:
    """A reply's JSON with a template wherever another run would have another value."""
    if isinstance(value, Mapping):
        return {key: _templates(item, str(key), known) for key, item in value.items()}
    if isinstance(value, list):
        return [_templates(item, name, known) for item in value]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return value
    text = str(value)
    if text in known.params:
        param = f"request.params.{known.params[text]}"
        return f"{{{{ {param} | int }}}}" if isinstance(value, int) else f"{{{{ {param} }}}}"
    if text in known.born:
        return _new_id(value, name)
    if name in known.asked and known.asked[name] == value and value != "":
        return f"{{{{ {known.echo}.{name} }}}}"
    if isinstance(value, int):
        return value
    if _DATE.fullmatch(value):
        return "{{ now }}"
    return "{{ id('') }}" if _UUID.fullmatch(value) else _plain(value)


def _new_id(value: str | int, name: str) -> str:
    if isinstance(value, int) or value.isdigit():
        return f"{{{{ counter('{name or 'id'}') }}}}"
    prefix = _PREFIX.match(value)
    return f"{{{{ id('{prefix.group() if prefix else ''}') }}}}"


def _plain(text: str) -> str:
    """Text in which nothing is taken for a template."""
    return text.replace("{{", "{{ '{{' }}") if "{{" in text else text


def _alike(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
