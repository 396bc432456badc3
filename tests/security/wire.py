"""Bytes to a port, and everything that comes back until the server closes or has answered what was asked."""

from __future__ import annotations

import socket
from dataclasses import dataclass

PATIENCE = 20
"""Seconds until a test gives up on a server that should answer or close."""


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int
    head: bytes
    body: bytes


def exchange(port: int, data: bytes, *, half_close: bool = True, host: str = "127.0.0.1") -> bytes:
    """Send bytes, close the sending half, and read to the end."""
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = b""
        try:
            while piece := connection.recv(65_536):
                received += piece
        except ConnectionResetError:
            pass
        return received


def replies(received: bytes) -> list[Reply]:
    """The responses in what came back, by their Content-Length."""
    found = []
    while received.startswith(b"HTTP/"):
        head, _, rest = received.partition(b"\r\n\r\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        status = int(head.split(b" ", 2)[1])
        length = 0 if status < 200 else int(fields.get(b"content-length", b"0"))
        found.append(Reply(status, head, rest[:length]))
        received = rest[length:]
    assert received == b"", received
    return found


def ask(port: int, data: bytes) -> list[Reply]:
    """Send requests whose last one says ``Connection: close``, and read what is answered."""
    return replies(exchange(port, data, half_close=False))


def request(method: str, target: str, host: str, *lines: str, body: bytes = b"", close: bool = True) -> bytes:
    """A request; ``lines`` are header lines as they are sent."""
    sent = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *(["Connection: close"] if close else [])]
    return "\r\n".join(sent).encode("latin-1") + b"\r\n\r\n" + body
