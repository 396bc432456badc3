"""A server on this machine that keeps the bytes it was sent and answers with bytes of the test's choice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class RawServer:
    """Takes one request a connection, a head and a body of its Content-Length, and keeps what comes behind it too.

    Args:
        loop: where it runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.received: list[bytes] = []
        self.answer = OK
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self) -> bytes:
        """The only request since the last time; fails when there is none or another one."""
        [received] = self.received
        self.received.clear()
        return received

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._exchange, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            self.received.append(head + await reader.readexactly(length))
            writer.write(self.answer)
            writer.write_eof()
            if behind := await reader.read():
                self.received.append(behind)
        writer.close()


@contextmanager
def raw_server(loop: asyncio.AbstractEventLoop) -> Iterator[RawServer]:
    """A running ``RawServer``."""
    server = RawServer(loop)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(20)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
