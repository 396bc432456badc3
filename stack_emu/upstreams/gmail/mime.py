"""Messages as RFC 822 bytes: read into Gmail's payloads, indexed for the search, written from a seed.

Gmail's payload numbers its parts ``0``, ``1``, ``1.0``; text comes as UTF-8 in URL-safe base64, and a part with a file
name comes as an ``attachmentId`` (the Message resource of the Gmail reference).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import format_datetime, getaddresses, parsedate_to_datetime
from hashlib import sha256
from html import escape, unescape
from typing import Any

from stack_emu.upstreams.google_api import encode

_SNIPPET = 200
_TAG = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A part of a message with its number: empty for the message itself, then ``0``, ``0.1`` and so on."""

    number: str
    message: Message

    @property
    def filename(self) -> str:
        """The file name; empty when it has none."""
        return decoded(self.message.get_filename() or "")

    @property
    def content(self) -> bytes:
        """The content without transfer encoding; text is UTF-8. Empty for a container."""
        if self.message.get_content_type() == "message/rfc822":
            inner = self.message.get_payload()
            return (
                b"".join(one.as_bytes() for one in inner if isinstance(one, Message))
                if isinstance(inner, list)
                else b""
            )
        content = self.message.get_payload(decode=True)
        if not isinstance(content, bytes):
            return b""
        if self.message.get_content_maintype() != "text" or self.filename:
            return content
        return _text(content, self.message.get_content_charset()).encode()

    def attachment_id(self, message_id: str) -> str:
        """The id its content is fetched by."""
        return "ANGj" + encode(sha256(f"{message_id}/{self.number}".encode()).digest() * 2).rstrip("=")

    def children(self) -> Iterator[Part]:
        """The parts in it."""
        inner = self.message.get_payload()
        if self.message.get_content_maintype() == "multipart" and isinstance(inner, list):
            for index, one in enumerate(inner):
                if isinstance(one, Message):
                    yield Part(f"{self.number}.{index}" if self.number else str(index), one)

    def walk(self) -> Iterator[Part]:
        """Itself and every part below it, in order."""
        yield self
        for child in self.children():
            yield from child.walk()


def parsed(raw: bytes) -> Part:
    """The message that bytes spell."""
    return Part("", message_from_bytes(raw, policy=policy.compat32))


def decoded(value: Any) -> str:
    """A header's value on one line, its encoded words decoded."""
    text = re.sub(r"\r?\n[ \t]+", " ", str(value)).strip()
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError):
        return text


def headers_of(message: Message) -> list[dict[str, str]]:
    """Headers in their order as Gmail shows them."""
    return [{"name": name, "value": decoded(value)} for name, value in message.items()]


def payload_of(part: Part, message_id: str) -> dict[str, Any]:
    """A part and what is below it as Gmail shows it."""
    data: dict[str, Any] = {
        "partId": part.number,
        "mimeType": part.message.get_content_type(),
        "filename": part.filename,
        "headers": headers_of(part.message),
    }
    children = [payload_of(child, message_id) for child in part.children()]
    content = b"" if children else part.content
    body: dict[str, Any] = {"size": len(content)}
    if part.filename:
        body["attachmentId"] = part.attachment_id(message_id)
    elif content:
        body["data"] = encode(content)
    data["body"] = body
    if children:
        data["parts"] = children
    return data


def index_of(raw: bytes) -> dict[str, Any]:
    """What the search looks at: addresses, subject, text, names of attachments, message ids, and the snippet."""
    root = parsed(raw)
    head = root.message
    plain = [part.content.decode() for part in root.walk() if _is_text(part, "text/plain")]
    marked = [part.content.decode() for part in root.walk() if _is_text(part, "text/html")]
    text = "\n".join(plain) if plain else unescape(_TAG.sub(" ", "\n".join(marked)))
    words = {name: decoded(", ".join(map(str, head.get_all(name, [])))) for name in ("from", "to", "cc", "bcc")}
    references = f"{head.get('In-Reply-To', '')} {head.get('References', '')}"
    return {
        **words,
        "subject": decoded(head.get("Subject", "")),
        "list": decoded(head.get("List-Id", "")),
        "text": text,
        "files": [part.filename for part in root.walk() if part.filename],
        "message_id": decoded(head.get("Message-ID", "")),
        "references": re.findall(r"<[^<>\s]+>", references),
        "snippet": escape(" ".join(text.split())[:_SNIPPET]).replace("&#x27;", "&#39;"),
        "size": len(raw),
    }


def date_of(raw: bytes) -> int | None:
    """The instant of the Date header in epoch milliseconds; None when there is none that can be read."""
    value = parsed(raw).message.get("Date")
    try:
        moment = parsedate_to_datetime(str(value)) if value else None
    except ValueError:
        return None
    if moment is None:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def mail_date(ms: int) -> str:
    """An instant as a Date header spells it."""
    return format_datetime(datetime.fromtimestamp(ms // 1000, timezone.utc))


def addresses(*values: str) -> list[str]:
    """The addresses in header values, in lower case; entries that are none are left out."""
    return [address.lower() for _, address in getaddresses(values) if "@" in address]


def stripped_subject(subject: str) -> str:
    """A subject without the marks of replies, for telling whether two messages are of one thread."""
    return re.sub(r"^(\s*(re|fwd?|aw|antw)\s*:)+\s*", "", subject, flags=re.IGNORECASE).strip().lower()


def with_header(raw: bytes, name: str, value: str) -> bytes:
    """The message with one header set, in front of the others; every other byte stays."""
    return f"{name}: {value}\r\n".encode() + without_header(raw, name)


def without_header(raw: bytes, name: str) -> bytes:
    """The message without a header; every other byte stays."""
    bare = re.compile(rb"(?im)^" + re.escape(name.encode()) + rb":.*\r?\n(?:[ \t].*\r?\n)*")
    head, separator, body = _split(raw)
    return bare.sub(b"", head) + separator + body


def meaning(raw: bytes) -> str:
    """What a message says, as a digest that does not see what clients choose at random or by the clock.

    Those are the boundaries of its parts, its Date and its Message-ID.
    """
    for name in ("Date", "Message-ID"):
        raw = without_header(raw, name)
    parts = [part.message.get_boundary() for part in parsed(raw).walk()]
    for number, boundary in enumerate(one for one in parts if one):
        raw = raw.replace(boundary.encode(), f"boundary {number}".encode())
    return sha256(raw).hexdigest()


def compose(fields: Mapping[str, Any], *, date_ms: int, key: str) -> bytes:
    """A message from the words of a seed.

    Args:
        fields: ``from``, ``to``, ``cc``, ``bcc``, ``subject``, ``body``, ``html``, ``headers``, ``attachments``.
        date_ms: its Date.
        key: what its Message-ID and boundaries are derived from.
    """
    message = EmailMessage(policy=policy.SMTP)
    for name in ("from", "to", "cc", "bcc", "subject"):
        value = fields.get(name)
        if value:
            message[name.title()] = ", ".join(value) if isinstance(value, list) else value
    message["Date"] = mail_date(date_ms)
    given = fields.get("headers") or {}
    if "message-id" not in {name.lower() for name in given}:
        message["Message-ID"] = f"<{sha256(key.encode()).hexdigest()[:24]}@mail.gmail.com>"
    for name, value in given.items():
        del message[name]
        message[name] = str(value)
    _fill(message, fields, key)
    return message.as_bytes()


def _fill(message: EmailMessage, fields: Mapping[str, Any], key: str) -> None:
    if fields.get("html") and not fields.get("body"):
        message.set_content(str(fields["html"]), subtype="html")
    else:
        message.set_content(str(fields.get("body", "")))
        if fields.get("html"):
            message.add_alternative(str(fields["html"]), subtype="html")
    attachments: Sequence[Mapping[str, Any]] = fields.get("attachments") or ()
    for one in attachments:
        kind, _, subtype = str(one.get("type", "application/octet-stream")).partition("/")
        content = str(one.get("content", "")).encode()
        message.add_attachment(content, maintype=kind, subtype=subtype, filename=str(one["filename"]))
    for number, part in enumerate(message.walk()):
        if part.is_multipart():
            part.set_boundary(sha256(f"{key}/{number}".encode()).hexdigest()[:28])


def _is_text(part: Part, kind: str) -> bool:
    return part.message.get_content_type() == kind and not part.filename and not list(part.children())


def _text(content: bytes, charset: str | None) -> str:
    try:
        return content.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return content.decode("utf-8", "replace")


def _split(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Header lines (each ending its line), the empty line, and the body."""
    if raw.startswith((b"\r\n", b"\n")):
        return b"", b"", raw
    found = re.search(rb"(?<=\n)\r?\n", raw)
    if found is None:
        return (raw if raw.endswith(b"\n") or not raw else raw + b"\r\n"), b"\r\n", b""
    return raw[: found.start()], found.group(), raw[found.end() :]
