"""Reading and rewriting the heads of proxy requests, in the bytes they came in."""

from __future__ import annotations

import base64
import binascii
import re

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})")


def read_authority(text: str) -> tuple[str, int] | None:
    """Read ``host:port`` (IPv6 in brackets); return the host in lower case without a trailing dot, or None."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536:
        return None
    host = normal_host(match[1] or match[2])
    return (host, int(match[3])) if host else None


def normal_host(host: str) -> str:
    """Return a host name as the gateway compares them: lower case, no trailing dot, no brackets."""
    return host.strip("[]").lower().rstrip(".")


def read_header(head: bytes, name: bytes) -> str | None:
    """Return the first value of a header (name in lower case) in a raw head, or None."""
    for line in head.split(b"\r\n")[1:]:
        field, colon, value = line.partition(b":")
        if colon and field.lower() == name:
            return value.strip().decode("latin-1")
    return None


def read_absolute_form(head: bytes) -> tuple[str, int] | None:
    """Return host and port of a plain ``http://`` request target, or None when it has another form."""
    parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    match = re.match(r"(?i)http://([^/?#]*)", parts[1]) if len(parts) == 3 else None
    if match is None:
        return None
    authority = match[1].rpartition("@")[2]
    return read_authority(authority) or read_authority(f"{authority}:80")


def origin_form(head: bytes) -> bytes:
    """Rewrite the head of a proxy request for the server it names: path only, no proxy headers, one request."""
    line, *fields = head[:-4].split(b"\r\n")
    method, target, version = line.split(b" ")
    path = re.sub(rb"(?i)^http://[^/?#]*", b"", target)
    if not path.startswith(b"/"):
        path = b"/" + path
    kept = [field for field in fields if not field.lower().startswith((b"proxy-", b"connection:"))]
    # The next request may be for another host, and this connection now belongs to one: so it ends after the answer.
    return b"\r\n".join([b" ".join([method, path, version]), *kept, b"Connection: close", b"", b""])


def single_use_answer(data: bytes) -> tuple[bytes, bytes | None]:
    """Split an answer's first bytes into what can go to the client and what must wait for more.

    Interim answers (1xx) pass as they are. The head of the final one is told to say ``Connection: close``: the server
    may close without a word, and a client that pools the connection would lose its next request.

    Returns:
        What to send, and what to keep until more comes: None when the final head is sent and the rest may pass unread.
    """
    passed = b""
    while (end := data.find(b"\r\n\r\n")) >= 0:
        head, data = data[: end + 4], data[end + 4 :]
        if not re.match(rb"HTTP/1\.\d 1\d\d", head):
            first, *fields = head[:-4].split(b"\r\n")
            kept = [field for field in fields if not field.lower().startswith((b"connection:", b"keep-alive:"))]
            return passed + b"\r\n".join([first, *kept, b"Connection: close", b"", b""]) + data, None
        passed += head
    return passed, data


def read_basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Read ``Basic <base64 of user:password>``; return user and password, or None when it is anything else."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, colon, password = decoded.partition(":")
    return (user, password) if colon else None
