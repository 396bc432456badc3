"""The ways the scripted model is reached: the Messages API, the OpenAI API and the LLM gateway, each made on first use.

Most processes ask for one of them or for none, and together they take longer to import than to serve a hundred requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stack_emu.domain.llm_model import SETTING, ModelReply, ModelRequest

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld
    from stack_emu.kernel.world import World
    from stack_emu.surfaces.llm_model import GatewayModel
    from stack_emu.surfaces.messages import MessagesSurface
    from stack_emu.surfaces.openai import OpenAiSurface
    from stack_emu.surfaces.server import Server


class ModelApis:
    """The model's APIs over the worlds of a server.

    Args:
        server: whose worlds; the LLM gateway of each of them, those still to come included, asks this model.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        for hosted in server.hosting:
            self._give(hosted)
        server.hosting.on_create.append(self._give)

    @cached_property
    def messages(self) -> MessagesSurface:
        """The Messages API."""
        from stack_emu.surfaces.model_wiring import messages_surface

        return messages_surface(self._server)

    @cached_property
    def openai(self) -> OpenAiSurface:
        """The OpenAI API."""
        from stack_emu.surfaces.model_wiring import openai_surface

        return openai_surface(self._server)

    @cached_property
    def _gateway(self) -> GatewayModel:
        from stack_emu.surfaces.model_wiring import gateway_model

        return gateway_model(self._server)

    async def complete(self, world: World, request: ModelRequest) -> ModelReply:
        """Answer a request of the LLM gateway, see `domain.llm_model.Model`.

        Raises:
            ModelRefused: when there is no answer.
        """
        return await self._gateway.complete(world, request)

    def events(self, request: ModelRequest, body: Mapping[str, Any]) -> Iterable[bytes]:
        """An answer as server-sent events, see `domain.llm_model.Model`."""
        return self._gateway.events(request, body)

    async def aclose(self) -> None:
        """Stop replies that are under way and close the kept connections."""
        for name in ("messages", "openai"):
            if name in self.__dict__:
                await self.__dict__[name].aclose()

    def _give(self, hosted: HostedWorld) -> None:
        hosted.world.settings[SETTING] = self
