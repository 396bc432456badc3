"""The connection to a running emulator's control API."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit


class EmulatorError(Exception):
    """The emulator refused a control request, or could not be reached; the message says what would have worked."""


class ControlConnection:
    """Keep-alive connections to one emulator, one for each thread. Proxies of the environment are not used.

    Args:
        url: base URL of the emulator, such as ``http://127.0.0.1:4747``.
    """

    def __init__(self, url: str) -> None:
        parts = split_url(url)
        self.url = url.rstrip("/")
        self._address = (str(parts.hostname), parts.port or 80)
        self._prefix = parts.path.rstrip("/")
        self._local = threading.local()
        self._open: list[http.client.HTTPConnection] = []

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Send one control request and return the reply's bytes.

        Raises:
            EmulatorError: when it is refused or nothing answers.
        """
        payload = None if body is None else json.dumps(body).encode("utf-8")
        headers = {"Content-Type": "application/json"} if payload is not None else {}
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, self._prefix + path, payload, headers)
                reply = connection.getresponse()
                data = reply.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if attempt == 2 or isinstance(error, ConnectionRefusedError):
                    reason = getattr(error, "strerror", None) or error
                    raise EmulatorError(
                        f"no emulator answers at {self.url} ({reason}); start one with: stack-emu up"
                    ) from None
        if reply.status >= 400:
            raise EmulatorError(_message(data, reply.status))
        return data

    def _connection(self) -> http.client.HTTPConnection:
        known: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if known is None:
            known = self._local.connection = http.client.HTTPConnection(*self._address, timeout=60)
            self._open.append(known)
        return known

    def json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """As ``request``, with the reply parsed."""
        data = self.request(method, path, body)
        try:
            return json.loads(data)
        except ValueError:
            raise EmulatorError(f"what listens at {self.url} does not answer as an emulator; check the port") from None

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open:
            connection.close()


def split_url(url: str) -> SplitResult:
    """The parts of an emulator's URL.

    Raises:
        EmulatorError: when it is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        usable = False
    if not usable:
        raise EmulatorError(f"{url} is not the URL of an emulator; it looks like http://127.0.0.1:4747")
    return parts


def _message(data: bytes, status: int) -> str:
    try:
        return str(json.loads(data)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the emulator answered {status}: {data[:200].decode('utf-8', 'replace')}"
