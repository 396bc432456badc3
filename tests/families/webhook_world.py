"""The world of the notification and webhook tests, its control client, and a receiver on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.families.passport_world import WORLD as PASSPORT_WORLD

BOSS = "boss@acme.test"
WORLD = PASSPORT_WORLD.replace("- id: op_emu\n", f"- id: op_emu\n    email: {BOSS}\n").replace(
    "keys: [{key: sk_live_emu_other}]", "email: rival@other.test, keys: [{key: sk_live_emu_other}]"
)
START_S = 1767225600


class Receiver:
    """A server that keeps what it is sent and answers with the statuses given, the last one for ever."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.statuses, self.headers, self.body = list(statuses) or [200], headers or {}, body
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.arrived = threading.Event()

    def next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @contextmanager
    def running(self, wait: Callable[[], Any] | None = None) -> Iterator[Receiver]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                receiver.arrived.set()
                if wait is not None:
                    wait()
                self.send_response(receiver.next_status())
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body)

            def log_message(self, *arguments: Any) -> None:
                return None

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False  # so that closing waits for the requests under way
        server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # a client hung up
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)
