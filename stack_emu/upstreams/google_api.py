"""What Google's JSON APIs have in common: their errors, their scopes, partial responses, typed parameters and page tokens.

Known from the error pages of the Gmail and Calendar guides, AIP-193, and how google-api-python-client 2.202 reads replies.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from email import message_from_bytes
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from stack_emu.upstreams.google_fields import masked, parse_mask
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.packs import PackContext
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack

T = TypeVar("T")

STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The canonical word that goes with an HTTP status (AIP-193)."""

_INJECTED: Mapping[int, tuple[str, str]] = {
    400: ("badRequest", "Bad Request"),
    401: ("authError", "Invalid Credentials"),
    403: ("forbidden", "Forbidden"),
    404: ("notFound", "Not Found"),
    409: ("conflict", "Conflict"),
    412: ("conditionNotMet", "Precondition Failed"),
    429: ("rateLimitExceeded", "Rate Limit Exceeded"),
}
_REALM = 'Bearer realm="https://accounts.google.com/"'
_COMMON = ("alt", "prettyPrint", "quotaUser", "userIp", "key", "access_token", "oauth_token", "$.xgafv")


def error_body(
    code: int,
    reason: str,
    message: str,
    *,
    status: bool = True,
    location: tuple[str, str] | None = None,
    summary: str | None = None,
    domain: str = "global",
    details: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The body of a failure.

    Args:
        code: HTTP status.
        reason: such as ``notFound``.
        message: for people.
        status: whether the canonical word of AIP-193 is there; APIs from before it send none.
        location: what is wrong and of which kind it is, such as ``("timeMax", "parameter")``.
        summary: the message inside ``errors``, when it is not the same.
        domain: of the reason.
        details: further typed details.
    """
    entry: dict[str, Any] = {"message": summary or message, "domain": domain, "reason": reason}
    if location is not None:
        entry.update(location=location[0], locationType=location[1])
    error: dict[str, Any] = {"code": code, "message": message, "errors": [entry]}
    if status and code in STATUSES:
        error["status"] = STATUSES[code]
    if details:
        error["details"] = list(details)
    return {"error": error}


def refuse(code: int, reason: str, message: str, *, hint: str | None = None, **more: Any) -> NoReturn:
    """Refuse a call in Google's words.

    Args:
        code: HTTP status.
        reason: such as ``notFound``.
        message: for people.
        hint: the sentence for the journal.
        more: as for :func:`error_body`.

    Raises:
        PackRefusal: always.
    """
    raise PackRefusal(UpstreamReply.of_json(error_body(code, reason, message, **more), code), hint)


def derive_anew(context: PackContext, operation: str, logical: Mapping[str, Any]) -> None:
    """Derive the ids of a call from what it means, where its bytes are different on every run.

    Clients choose the boundaries of multipart bodies at random, and the Date and Message-ID of mail.

    Args:
        context: the call; its act is replaced by one that keeps the old one's place in its lane.
        operation: what is done, in words of its own.
        logical: what is meant, as JSON data.
    """
    old = context.act
    act = context.world.begin_act(operation, old.operator_id, old.lane, logical, old.row)
    act.minted, act.depth = old.minted, max(act.depth, old.depth)
    context.act = act


def beyond_the_fake(call: RestCall, sentence: str) -> NoReturn:
    """Answer 501 to what the service has and the pack does not, and count it as unmatched.

    Raises:
        PackRefusal: always.
    """
    call.context.problem = "unmatched"
    error = {"code": "UPSTREAM_UNMATCHED", "message": sentence, "details": {"upstream": call.context.upstream}}
    raise PackRefusal(UpstreamReply.of_json({"error": call.context.world.redactor.value(error)}, 501), sentence)


class GooglePack(RestPack):
    """A stateful fake of one of Google's JSON APIs."""

    rpc_status: bool = True
    """Whether errors carry the canonical word in ``status``."""

    service: str = ""
    """The service's name in error details."""

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """401 with a challenge; ``required`` without a token, ``authError`` with one that is not known."""
        location = ("Authorization", "header")
        if "Authorization" in request.headers or "access_token" in request.query_map:
            body = error_body(
                401,
                "authError",
                "Request had invalid authentication credentials.",
                summary="Invalid Credentials",
                location=location,
            )
            return UpstreamReply.of_json(body, 401, {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'})
        body = error_body(401, "required", "Login Required.", location=location)
        return UpstreamReply.of_json(body, 401, {"WWW-Authenticate": _REALM})

    def injected(self, status: int) -> Any:
        """Google's error body for a bare status."""
        known = ("backendError", "Backend Error") if status >= 500 else ("badRequest", "Bad Request")
        reason, message = _INJECTED.get(status, known)
        domain = "usageLimits" if status == 429 else "global"
        return error_body(status, reason, message, status=self.rpc_status, domain=domain)

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """403 ``insufficientPermissions`` with the ErrorInfo that names the missing scope as the reason."""
        return self.insufficient(call, "Request had insufficient authentication scopes.")

    def insufficient(self, call: RestCall, message: str) -> UpstreamReply:
        """The 403 for a token without the scopes."""
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "domain": "googleapis.com",
            "metadata": {"service": self.service, "method": call.operation.name},
        }
        body = error_body(403, "insufficientPermissions", message, summary="Insufficient Permission", details=[info])
        scope = " ".join(call.operation.scopes)
        challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
        return UpstreamReply.of_json(body, 403, {"WWW-Authenticate": challenge})

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """400 ``parseError``."""
        body = error_body(400, "parseError", sentence, status=self.rpc_status)
        return UpstreamReply.of_json(body, 400)

    def handle(self, context: PackContext) -> UpstreamReply:
        """Answer a request; a long GET may come as a POST that says so, its query in the body."""
        request = context.request
        method = request.headers.get("X-HTTP-Method-Override")
        if method is not None and request.method == "POST":
            form = request.content_type == "application/x-www-form-urlencoded"
            query = [*request.query, *(parse_qsl(request.text, keep_blank_values=True) if form else ())]
            body = b"" if form else request.body
            context.request = UpstreamRequest(method, request.url, request.headers, query, body)
        return super().handle(context)

    def before(self, call: RestCall) -> None:
        """Read the parameters that every method has."""
        call.ignore(*(f"query.{name}" for name in _COMMON))
        alt = call.request.query_map.get("alt", "json")
        if alt != "json":
            beyond_the_fake(call, f"{self.title}'s fake answers with JSON only, not alt={alt}; leave alt out.")
        fields = call.query("fields")
        if fields is not None:
            _read_mask(fields, self.rpc_status)

    def after(self, call: RestCall, reply: UpstreamReply) -> UpstreamReply:
        """Leave of a success what ``fields`` asks for."""
        fields = call.request.query_map.get("fields")
        if not fields or reply.status >= 300 or not reply.body:
            return reply
        return UpstreamReply.of_json(masked(reply.json(), parse_mask(fields)), reply.status, reply.headers)


def _read_mask(fields: str, status: bool) -> None:
    try:
        parse_mask(fields)
    except ValueError as error:
        message = f"Invalid field selection {error}"
        refuse(400, "invalidParameter", message, status=status, location=("fields", "parameter"))


def bad_parameter(name: str, message: str, *, status: bool = True) -> NoReturn:
    """Refuse the value of a query parameter.

    Raises:
        PackRefusal: always.
    """
    reason = "invalidArgument" if status else "invalidParameter"
    refuse(400, reason, message, status=status, location=(name, "parameter"))


def boolean(call: RestCall, name: str, default: bool = False, *, status: bool = True) -> bool:
    """A query parameter that is true or false."""
    text = call.query(name)
    if text is None:
        return default
    if text.lower() not in ("true", "false", "1", "0"):
        bad_parameter(name, f"Invalid value for Boolean: {text}", status=status)
    return text.lower() in ("true", "1")


def page_size(call: RestCall, default: int, most: int, *, status: bool = True) -> int:
    """``maxResults``: at least 1; more than ``most`` counts as ``most``."""
    text = call.query("maxResults")
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        bad_parameter("maxResults", f"Invalid value for maxResults: {text}", status=status)
    return min(int(text), most)


def page_of(
    call: RestCall,
    items: Sequence[T],
    key: Callable[[T], list[Any]],
    size: int,
    *,
    descending: bool = False,
    status: bool = True,
) -> tuple[Sequence[T], str | None]:
    """One page of a sorted list, and the token of the next one.

    A token holds the sort key of the last item seen, so pages neither repeat nor skip what was there all the time.

    Args:
        call: its ``pageToken`` says where to go on.
        items: sorted by ``key``.
        key: sort key as JSON data, different for every item.
        size: items on a page.
        descending: whether the list is sorted from the largest key to the smallest.
        status: as for :func:`error_body`.
    """
    token = call.query("pageToken")
    if token is not None:
        last = _open_token(token, status)
        try:
            items = [one for one in items if (key(one) < last if descending else key(one) > last)]
        except TypeError:
            bad_parameter("pageToken", "Invalid pageToken", status=status)
    page = items[:size]
    more = len(items) > size
    return page, token_of(key(page[-1])) if more else None


def token_of(data: Any) -> str:
    """JSON data as an opaque token."""
    return encode(json.dumps(data, separators=(",", ":")).encode()).rstrip("=")


def open_token(token: str) -> Any:
    """The JSON data in a token.

    Raises:
        ValueError: when it is no token.
    """
    return json.loads(decode(token))


def _open_token(token: str, status: bool) -> list[Any]:
    try:
        data = open_token(token)
    except ValueError:
        data = None
    if not isinstance(data, list):
        bad_parameter("pageToken", "Invalid pageToken", status=status)
    return data


def encode(content: bytes) -> str:
    """Base64 with Google's URL-safe letters, padded."""
    return base64.urlsafe_b64encode(content).decode()


def decode(text: str) -> bytes:
    """The bytes of base64 in either alphabet, padded or not.

    Raises:
        ValueError: when it is not base64.
    """
    plain = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def multipart(content_type: str, body: bytes) -> list[tuple[bytes, bytes]]:
    """The parts of a multipart body, each its header lines and its content, byte for byte; empty when it is none."""
    head = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode())
    boundary = head.get_boundary()
    if boundary is None:
        return []
    mark = rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:$|(?=\r?\n))"
    marks = list(re.finditer(mark, body))
    between = itertools.pairwise(marks)
    pieces = [body[one.end() : other.start()] for one, other in between if one[1] is None]
    return [halves(re.sub(rb"^\r?\n", b"", piece, count=1)) for piece in pieces]


def halves(text: bytes) -> tuple[bytes, bytes]:
    """Header lines, and what follows the empty line, byte for byte."""
    found = re.search(rb"(?:^|\n)\r?\n", text)
    return (text, b"") if found is None else (text[: found.start() + 1], text[found.end() :])
