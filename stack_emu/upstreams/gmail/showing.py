"""How messages, threads and drafts look in replies, and how raw messages come with requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.kernel import strict_json
from stack_emu.upstreams.gmail.mailbox import Message, raw_bytes
from stack_emu.upstreams.gmail.mime import headers_of, meaning, parsed, payload_of
from stack_emu.upstreams.gmail.scopes import METADATA
from stack_emu.upstreams.google_api import (
    bad_parameter,
    beyond_the_fake,
    decode,
    derive_anew,
    error_body,
    multipart,
    refuse,
)
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply

FORMATS = ("full", "metadata", "minimal", "raw")
"""How much of a message is shown."""


def only_metadata(call: RestCall) -> bool:
    """Whether the token may see headers and labels only: one with gmail.metadata may not, whatever else it has.

    That Gmail holds this scope against a token with wider ones is known from issue 582 of google-api-python-client.
    """
    credential = call.context.credential
    held = credential.scopes if credential is not None else None
    return METADATA in call.operation.scopes and METADATA in (held or ())


def refuse_for_metadata(what: str) -> None:
    """Refuse what a token for metadata may not have.

    Raises:
        PackRefusal: always.
    """
    body = error_body(403, "forbidden", f"Metadata scope {what}")
    raise PackRefusal(UpstreamReply.of_json(body, 403), f"gmail.metadata {what}; ask for gmail.readonly.")


def format_of(call: RestCall, known: Sequence[str] = FORMATS) -> str:
    """The ``format`` of a request.

    Raises:
        PackRefusal: for an unknown one, and for one a token for metadata may not ask for.
    """
    shape = (call.query("format") or "full").lower()
    if shape not in known:
        bad_parameter("format", f"Invalid value at 'format': {shape}")
    if shape in ("full", "raw") and only_metadata(call):
        refuse_for_metadata(f"doesn't allow format {shape.upper()}")
    return shape


def shown(call: RestCall, message: Message, shape: str) -> dict[str, Any]:
    """A message as one of the formats shows it."""
    wanted = [name.lower() for name in call.query_all("metadataHeaders")]
    data: dict[str, Any] = {
        "id": message["id"],
        "threadId": message["threadId"],
        "labelIds": message["labelIds"],
        "snippet": message["snippet"],
        "sizeEstimate": message["size"],
        "historyId": str(message["historyId"]),
        "internalDate": str(message["internalDate"]),
    }
    if not data["labelIds"]:
        del data["labelIds"]
    if shape == "raw":
        data["raw"] = message["raw"]
    elif shape == "full":
        data["payload"] = payload_of(parsed(raw_bytes(message)), message["id"])
    elif shape == "metadata":
        mail = parsed(raw_bytes(message)).message
        headers = [one for one in headers_of(mail) if not wanted or one["name"].lower() in wanted]
        data["payload"] = {"mimeType": mail.get_content_type(), "headers": headers}
    return data


def brief(message: Message) -> dict[str, Any]:
    """A message as changes answer with it."""
    data = {"id": message["id"], "threadId": message["threadId"], "labelIds": message["labelIds"]}
    return {name: value for name, value in data.items() if value}


def named(message: Message) -> dict[str, Any]:
    """A message as lists show it."""
    return {"id": message["id"], "threadId": message["threadId"]}


def sent_message(call: RestCall, *more: str, inside: str | None = None) -> tuple[bytes, Mapping[str, Any]]:
    """The raw message of a request, and the Message resource around it.

    It is the ``raw`` of the JSON body, or the media of an upload: ``uploadType=media`` has it as the body, ``multipart``
    after a part with the JSON.

    Args:
        call: the call.
        more: fields that count besides ``raw`` and ``threadId``.
        inside: the field the Message resource is in, when the body is a Draft.

    Raises:
        PackRefusal: 400 when there is none, or its base64 is none.
    """
    if call.request.path.startswith("/upload/"):
        fields, raw = _uploaded(call)
    else:
        names = [inside] if inside is not None else ["raw", "threadId", *more]
        fields, raw = {name: call.field(name) for name in names}, None
    message = fields.get(inside) if inside is not None else fields
    if message is None:
        message = {}
    if not isinstance(message, Mapping):
        refuse(400, "invalidArgument", f"Invalid value at '{inside}'")
    if raw is None and isinstance(message.get("raw"), str):
        try:
            raw = decode(message["raw"])
        except ValueError:
            refuse(400, "invalidArgument", "Invalid value at 'message.raw' (TYPE_BYTES), Base64 decoding failed")
    if not raw:
        refuse(
            400,
            "invalidArgument",
            "'raw' RFC822 payload message string or uploading message via /upload/* URL required",
            hint="raw is the whole RFC 822 message in URL-safe base64.",
        )
    rest = {name: value for name, value in fields.items() if name not in ("raw", inside)}
    said = {**rest, "message": {name: value for name, value in message.items() if name != "raw"}, "mail": meaning(raw)}
    derive_anew(call.context, f"gmail.{call.operation.name}", {**said, "draft": call.params.get("id")})
    return raw, message


def _uploaded(call: RestCall) -> tuple[Mapping[str, Any], bytes | None]:
    kind = call.query("uploadType") or "media"
    if kind == "media":
        return {}, call.request.body
    if kind != "multipart":
        beyond_the_fake(call, f"Gmail's fake takes no {kind} upload; use uploadType=media or multipart.")
    parts = multipart(call.request.headers.get("Content-Type", ""), call.request.body)
    if len(parts) != 2:
        refuse(400, "badRequest", "Missing part of a multipart/related upload")
    first, second = (content for _, content in parts)
    try:
        fields = strict_json.loads(first)
    except ValueError:
        refuse(400, "parseError", "The metadata of the upload is not JSON")
    return (fields if isinstance(fields, Mapping) else {}), second
