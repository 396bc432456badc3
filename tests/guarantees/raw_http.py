"""HTTP as bytes on a socket, for requests no client library would send."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.guarantees.wire import in_envelope


@dataclass(frozen=True)
class RawAnswer:
    """One HTTP response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error = in_envelope(self.json)
        assert set(error) == {"message", "code", "details"}, error
        assert isinstance(error["details"], dict), error
        return dict(error)


class Wire:
    """A connection to a server.

    Args:
        base_url: the server's.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        self.authority = f"{parts.hostname}:{parts.port}"
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """The bytes of a request. ``host=``, ``bearer=`` and ``content_type=`` are headers by other names."""
        sent = {"Host": headers.pop("host", self.authority)}
        if (bearer := headers.pop("bearer", None)) is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        if body is not None and "Transfer-Encoding" not in sent:
            sent.setdefault("Content-Length", str(len(body)))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return head.encode("latin-1") + b"\r\n" + (body or b"")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, *, head_only: bool = False) -> RawAnswer:
        """The next response."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if head_only or first.split(" ")[1] == "100" else int(headers.get("content-length", "0"))
        self._buffer = rest
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return RawAnswer(int(first.split(" ")[1]), headers, body)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> RawAnswer:
        """Send a request and read its response."""
        self.send(self.request(method, path, body, **headers))
        return self.read(head_only=method == "HEAD")

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed the connection after {self._buffer!r}")
        self._buffer += data


def ask(base_url: str, method: str, path: str, body: bytes | None = None, **headers: str) -> RawAnswer:
    """One request on a connection of its own."""
    with Wire(base_url) as wire:
        return wire.ask(method, path, body, **headers)
