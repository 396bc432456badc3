"""Batches of calls in one request: ``multipart/mixed`` with an HTTP request in each part.

Known from the batching guides of Gmail and Calendar and from ``BatchHttpRequest`` of google-api-python-client 2.202: a
part's ``Content-ID`` comes back with ``response-`` in front, and every part is answered by itself, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from http import HTTPStatus

from stack_emu.kernel.ids import text_id
from stack_emu.upstreams.google_api import GooglePack, derive_anew, error_body, halves, multipart, refuse
from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.packs import PackContext
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest


def run_batch(pack: GooglePack, call: RestCall, most: int) -> UpstreamReply:
    """Answer the calls of a batch one after the other.

    Args:
        pack: answers each of them.
        call: the batch.
        most: how many calls a batch may have.

    Raises:
        PackRefusal: 400 when it is no batch, or too large a one.
    """
    parts = multipart(call.request.headers.get("Content-Type", ""), call.request.body)
    if not parts:
        refuse(
            400, "badRequest", "Failed to parse batch request", hint="a batch is multipart/mixed, a call in each part."
        )
    if len(parts) > most:
        message = f"The batch request has {len(parts)} calls, which exceeds the limit of {most}."
        refuse(400, "badRequest", message, status=pack.rpc_status)
    unread: list[str] = []
    answers = []
    for lines, content in parts:
        request = _request(call.request, content)
        context = replace(call.context, request=request or call.request, unread=(), problem=None, hint=None)
        reply = _bad_part(pack) if request is None else _reply(pack, context, request)
        answers.append(_part(message_from_bytes(lines + b"\r\n\r\n").get("Content-ID"), reply))
        unread += [f"{request.method} {request.path} {name}" for name in context.unread] if request is not None else []
        if context.problem is not None:
            call.context.problem, call.context.hint = context.problem, context.hint
    call.fields = dict.fromkeys(unread)
    boundary = f"batch_{text_id(call.act.new_bytes('google.batch'), 24)}"
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + answer + b"\r\n" for answer in answers)
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    return UpstreamReply(200, headers, body + f"--{boundary}--\r\n".encode())


def _reply(pack: GooglePack, context: PackContext, request: UpstreamRequest) -> UpstreamReply:
    logical = {"method": request.method, "url": request.full_url, "body": request.content}
    derive_anew(context, "google.batch.part", logical)
    return pack.handle(context)


def _request(batch: UpstreamRequest, content: bytes) -> UpstreamRequest | None:
    """The call in a part; None when there is none. Its credential is the batch's."""
    line, _, rest = content.lstrip().partition(b"\n")
    words = line.decode("latin-1").split()
    if len(words) < 2 or not words[1].startswith("/") or words[1].startswith("/batch"):
        return None
    head, body = halves(rest)
    given = {name: str(value) for name, value in message_from_bytes(head).items()}
    headers: Mapping[str, str] = {"Authorization": batch.headers.get("Authorization", ""), **given}
    return UpstreamRequest(words[0], batch.origin + words[1], headers, body=body if body.strip() else b"")


def _bad_part(pack: GooglePack) -> UpstreamReply:
    body = error_body(400, "badRequest", "Failed to parse a call of the batch", status=pack.rpc_status)
    return UpstreamReply.of_json(body, 400)


def _part(key: str | None, reply: UpstreamReply) -> bytes:
    head = ["Content-Type: application/http"]
    if key:
        head.append(f"Content-ID: <response-{key.strip().removeprefix('<')}")
    phrase = HTTPStatus(reply.status).phrase
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in reply.headers.items())]
    lines.append(f"Content-Length: {len(reply.body)}")
    return "\r\n".join([*head, "", *lines, "", ""]).encode() + reply.body
