"""The gateway of a server: real host names lead to the worlds' surfaces and fake upstreams."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from stack_emu.surfaces import host_faults
from stack_emu.surfaces.broken_replies import WIRE_KEY, deliver
from stack_emu.surfaces.gateway import Gateway, GatewayTarget
from stack_emu.surfaces.gateway_tls import CertificateAuthority
from stack_emu.surfaces.http_connection import PATIENCE_SECONDS
from stack_emu.surfaces.transparent_listener import THIS_TEST, TransparentListener

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld
    from stack_emu.surfaces.server import Server

API_HOST = "api.getstack.run"
MCP_HOST = "mcp.getstack.run"
MODEL_HOST = "api.anthropic.com"
OPENAI_HOST = "api.openai.com"
"""Answered by the scripted model, unless an upstream of the world has this host."""
DASHBOARD_HOSTS = ("getstack.run", "www.getstack.run")
OWN_HOSTS = frozenset({API_HOST, MCP_HOST, MODEL_HOST, *DASHBOARD_HOSTS})


class HostGateway:
    """A gateway bound to a server, with its CA written to a file clients can be pointed at.

    Args:
        server: whose worlds it leads to.
        allow: hosts tunnelled untouched, beside those of the worlds' scenarios.
        tell: given one sentence for each refusal, for the user to see; clients tend to hide them.
        patience: seconds a client may take for the head of a request, and then for its body.
    """

    def __init__(
        self,
        server: Server,
        allow: Iterable[str] = (),
        tell: Callable[[str], None] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="stack-emu-")
        self.authority = CertificateAuthority.create()
        self.ca_file = str(Path(self._folder.name) / "ca-bundle.pem")
        allowed = {*allow, *(host for hosted in server.hosting for host in hosted.scenario.gateway.allow)}
        self._gateway = Gateway(
            self._answer,
            self.emulates,
            token=secrets.token_urlsafe(18),
            ca=self.authority,
            allow=sorted(allowed),
            tell=tell,
            open_world=THIS_TEST,
            patience=patience,
        )
        self.transparent = TransparentListener(self._gateway)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the gateway's port and write the CA bundle."""
        self.authority.write_bundle(self.ca_file, dict(os.environ))
        await self._gateway.start(host, port)
        self.transparent.start()
        self._server.gateway_url = self._gateway.url
        self._server.gateway_ca_file = self.ca_file

    async def stop(self) -> None:
        """Close the port, its tunnels, and remove the CA file."""
        await self.transparent.stop()
        await self._gateway.stop()
        self._server.gateway_url = self._server.gateway_ca_file = None
        self._folder.cleanup()

    def url(self, world: str = "default") -> str:
        """Proxy URL with the world as its user."""
        return self._gateway.url(world)

    def emulates(self, world: str, host: str, port: int) -> bool:
        """Whether a host is one of STACK's, Anthropic's, OpenAI's or an upstream's in a world."""
        hosted = self._hosted(world)
        if hosted is None:
            # A client that outlived a transparent test must not reach the real STACK with what it learnt there.
            return world == THIS_TEST and host.lower() in (*OWN_HOSTS, OPENAI_HOST)
        if host.lower() in (*OWN_HOSTS, OPENAI_HOST):
            return True
        return hosted.world.settings["upstreams"].host_owner(host, port) is not None

    def hosts_of(self, world: str) -> list[str]:
        """The host names and ``*.suffix`` patterns a world emulates."""
        hosted = self._hosted(world)
        return [*OWN_HOSTS, OPENAI_HOST, *(hosted.world.settings["upstreams"].hosts if hosted is not None else ())]

    def _hosted(self, world: str) -> HostedWorld | None:
        name = self.transparent.world if world == THIS_TEST else world
        return self._server.hosting.get(name) if name is not None else None

    async def _answer(self, request: web.BaseRequest, target: GatewayTarget) -> web.StreamResponse:
        hosted = self._hosted(target.world)
        if hosted is None:
            return web.json_response(_NO_TEST, status=502, headers={"x-should-retry": "false"})
        path = request.rel_url.raw_path
        host = target.host.lower()
        origin = f"{target.scheme}://{target.host}"
        if len(hosted.world.faults):
            broken = await host_faults.answer_fault(hosted.world, request, host, path)
            if broken is not None:
                return broken
        response = await self._lead(hosted, request, path, host, origin)
        return await deliver(request, response) if WIRE_KEY in request else response

    async def _lead(
        self, hosted: HostedWorld, request: web.BaseRequest, path: str, host: str, origin: str
    ) -> web.StreamResponse:
        if host == MODEL_HOST:
            return await self._server.answer(hosted, request, f"/anthropic{path}", origin)
        if host in OWN_HOSTS:
            # A checkout is a page STACK's reply leads to, wherever the client reached STACK.
            if path.startswith("/_emu") and not path.startswith("/_emu/checkout/"):
                return web.json_response(_NO_CONTROL, status=404)
            return await self._server.answer(hosted, request, path, origin)
        if host == OPENAI_HOST and hosted.world.settings["upstreams"].host_owner(host, None) is None:
            return await self._server.answer(hosted, request, f"/openai{path}", origin)
        url = f"{origin}{request.rel_url.raw_path_qs}"
        return await self._server.answer_upstream(hosted, request, url)


_NO_CONTROL = {
    "error": {
        "code": "NOT_FOUND",
        "message": "The control API answers on the emulator's own URL (STACK_EMU_URL), not under a real host name.",
        "details": {},
    }
}

_NO_TEST = {
    "error": {
        "code": "HOST_NOT_EMULATED",
        "message": "This client was made in a test with transparent=True and is used outside of it; make it anew.",
        "details": {},
    }
}
