"""The recorder: a reverse proxy in front of a service on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from stack_emu.recording.exchanges import Recorded
from stack_emu.surfaces.hosts_and_origins import LOOPBACK, refusal
from stack_emu.upstreams.errors import UpstreamError
from stack_emu.upstreams.forward import Forwarder, require_loopback
from stack_emu.upstreams.requests import UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_BODY = 32 * 1024 * 1024
_TIMEOUT_S = 120.0
_DROPPED = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding"})


class Recorder:
    """Forwards everything to a service on this machine and keeps what passed.

    Args:
        target: its base URL.
        host: the real host name it stands for, in absolute URLs of requests.

    Raises:
        UpstreamSettingsError: when the target is not on this machine.
    """

    def __init__(self, target: str, host: str) -> None:
        require_loopback(target)
        self._target = target.rstrip("/")
        self._host = host
        self._exchanges: list[Recorded] = []
        self._forwarder = Forwarder(_TIMEOUT_S, _MAX_BODY)
        self._runner: web.ServerRunner | None = None
        self.port = 0

    @property
    def exchanges(self) -> Sequence[Recorded]:
        """What passed, oldest first."""
        return tuple(self._exchanges)

    @property
    def url(self) -> str:
        """Where the recorder listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on this machine; port 0 picks a free one.

        Raises:
            OSError: when the port cannot be bound.
        """
        server = web.Server(self._answer, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and the connections to the service."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._forwarder.aclose()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        refused = refusal(request, LOOPBACK, self.url)
        if refused is not None:
            return refused
        body = await request.read() if request.can_read_body else b""
        asked = UpstreamRequest(
            request.method,
            f"https://{self._host}{request.rel_url.raw_path_qs}",
            tuple(request.headers.items()),
            body=body,
        )
        try:
            reply = await self._forwarder.send(self._target, asked)
        except UpstreamError as error:  # nothing to record: the service gave no answer
            return web.json_response({"error": {"code": "RECORDER", "message": str(error), "details": {}}}, status=502)
        recorded = Recorded(
            asked.method, asked.path, asked.query, asked.headers, body, reply.status, reply.headers, reply.body
        )
        self._exchanges.append(recorded)
        headers = [(name, value) for name, value in reply.headers.items() if name.lower() not in _DROPPED]
        return web.Response(status=reply.status, headers=headers, body=reply.body)
