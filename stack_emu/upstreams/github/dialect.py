"""How GitHub speaks: refusals, pages, fields of a body, and the headers of every reply."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply

DOCS = "https://docs.github.com/rest"
PER_PAGE, MOST_PER_PAGE = 30, 100
LIMIT = 5000
HOUR_MS = 3_600_000

SENTENCES = {
    400: "Problems parsing JSON",
    401: "Bad credentials",
    403: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "This issue was deleted",
    422: "Validation Failed",
    429: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    500: "Server Error",
    502: "Server Error",
    503: "Service unavailable",
}
"""The message that goes with a bare status."""


def failure(status: int, message: str | None = None, errors: Sequence[Any] = ()) -> UpstreamReply:
    """A failure as GitHub words it: ``{message, errors?, documentation_url, status}``."""
    body: dict[str, Any] = {"message": message or SENTENCES.get(status, "Error")}
    if errors:
        body["errors"] = list(errors)
    return UpstreamReply.of_json({**body, "documentation_url": DOCS, "status": str(status)}, status)


def refused(
    status: int, message: str | None = None, errors: Sequence[Any] = (), hint: str | None = None
) -> PackRefusal:
    """The refusal to raise for :func:`failure`."""
    return PackRefusal(failure(status, message, errors), hint)


def invalid(resource: str, field: str, code: str, **more: Any) -> PackRefusal:
    """The refusal of one field: 422 with ``errors: [{resource, field, code}]``."""
    return refused(422, "Validation Failed", [{**more, "resource": resource, "field": field, "code": code}])


def custom(resource: str, message: str) -> PackRefusal:
    """The refusal of what is said in words: 422 with the code ``custom``."""
    return refused(422, "Validation Failed", [{"resource": resource, "code": "custom", "message": message}])


def text(call: RestCall, name: str, default: str | None = None, *, required: bool = False) -> str | None:
    """A text field of the body.

    Raises:
        PackRefusal: when it is required and absent, or no text.
    """
    value = call.field(name)
    if value is None:
        if required:
            raise refused(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return default
    if not isinstance(value, str):
        raise refused(422, f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not a string.")
    return value


def texts(call: RestCall, name: str) -> list[str] | None:
    """A list of texts of the body; None when it is absent. Labels may be ``{name}``.

    Raises:
        PackRefusal: when it is no such list.
    """
    value = call.field(name)
    if value is None:
        return None
    if isinstance(value, str):
        value = [value]
    found = [one.get("name") if isinstance(one, dict) else one for one in value] if isinstance(value, list) else [None]
    if not all(isinstance(one, str) for one in found):
        raise refused(422, f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not an array of strings.")
    return [str(one) for one in found]


def one_of(call: RestCall, name: str, known: Sequence[str], resource: str) -> str | None:
    """A text field of the body that has few values; None when it is absent.

    Raises:
        PackRefusal: when it is another.
    """
    value = text(call, name)
    if value is not None and value not in known:
        raise invalid(resource, name, "invalid", value=value)
    return value


def choice(call: RestCall, name: str, known: Sequence[str], default: str) -> str:
    """A query parameter that has few values; another counts as the default."""
    value = call.query(name, default) or default
    return value if value in known else default


def page_of(call: RestCall, items: Sequence[Any]) -> list[Any]:
    """The page the caller asked for; sets ``Link`` when there are several."""
    size = min(max(_whole(call.query("per_page"), PER_PAGE), 1), MOST_PER_PAGE)
    page = max(_whole(call.query("page"), 1), 1)
    last = max(-(-len(items) // size), 1)
    links = []
    if page > 1:
        links += [("prev", min(page - 1, last))]
    if page < last:
        links += [("next", page + 1), ("last", last)]
    if page > 1:
        links += [("first", 1)]
    if links and last > 1:
        call.headers["Link"] = ", ".join(f'<{_at(call, number)}>; rel="{name}"' for name, number in links)
    return list(items[(page - 1) * size : page * size])


def dressed(call: RestCall, reply: UpstreamReply) -> UpstreamReply:
    """The reply with the headers of every one of GitHub's; 304 when the caller has it already.

    ``X-RateLimit-*`` say what a first call of the hour would be told: counting calls would let lanes see each other.
    """
    headers = reply.headers.copy()
    reset = (call.instant_ms // HOUR_MS + 1) * HOUR_MS // 1000
    resource = "search" if call.operation.name.startswith("search.") else "core"
    limit = 30 if resource == "search" else LIMIT
    headers.update(
        {
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": call.request.headers.get("X-GitHub-Api-Version", "2022-11-28"),
            "X-GitHub-Request-Id": _request_id(call),
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - 1),
            "X-RateLimit-Used": "1",
            "X-RateLimit-Reset": str(reset),
            "X-RateLimit-Resource": resource,
            "X-Accepted-OAuth-Scopes": ", ".join(call.operation.scopes),
        }
    )
    credential = call.context.credential
    if credential is not None and credential.scopes is not None:
        headers["X-OAuth-Scopes"] = ", ".join(credential.scopes)
    if call.request.method != "GET" or reply.status != 200:
        return UpstreamReply(reply.status, headers, reply.body)
    tag = f'W/"{sha256(reply.body).hexdigest()}"'
    headers.update({"ETag": tag, "Cache-Control": "private, max-age=60, s-maxage=60"})
    asked = call.request.headers.get("If-None-Match", "")
    if tag.removeprefix("W/") in [one.strip().removeprefix("W/") for one in asked.split(",")]:
        headers.pop("Content-Type", None)
        return UpstreamReply(304, headers)
    return UpstreamReply(reply.status, headers, reply.body)


def _request_id(call: RestCall) -> str:
    digits = call.act.new_bytes("github.request").hex().upper()
    return ":".join((digits[:4], digits[4:8], digits[8:15], digits[15:22], digits[22:30]))


def _whole(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isdecimal() and len(value) < 10 else default


def _at(call: RestCall, page: int) -> str:
    others = [(name, value) for name, value in call.request.query if name != "page"]
    return f"{call.request.url}?{urlencode([*others, ('page', str(page))])}"
