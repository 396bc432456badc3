"""One fake service, compiled from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.errors import UpstreamSettingsError
from stack_emu.upstreams.forward import require_loopback
from stack_emu.upstreams.packs import Configured, Pack, find_pack
from stack_emu.upstreams.requests import UpstreamRequest
from stack_emu.upstreams.routes import RouteRule, compile_routes

if TYPE_CHECKING:
    from stack_emu.scenario.upstream_models import Upstream


@dataclass(frozen=True)
class Fake:
    """An upstream, ready to answer: by its routes first, then by its pack or its forward.

    Args:
        name: its name in the scenario.
        rules: canned answers.
        pack: the stateful fake behind it.
        forward: base URL of a server on this machine.
        seed: what the pack's state begins with; part of ``state`` in templates.
        states: the states its routes begin with.
    """

    name: str
    rules: tuple[RouteRule, ...] = ()
    pack: Pack | None = None
    forward: str | None = None
    seed: Mapping[str, Any] = field(default_factory=dict)
    states: Mapping[str, Any] = field(default_factory=dict)

    def host_names(self, upstream: Upstream) -> tuple[str, ...]:
        """The hosts it answers for: those of the settings, else its pack's own."""
        if upstream.hosts or self.pack is None:
            return upstream.hosts
        return self.pack.hosts

    def presigned(self, world: World, request: UpstreamRequest) -> bool:
        """Whether the request's URL is its own permission."""
        return self.pack is not None and self.pack.presigned(world, self.name, request)


def compile_fake(name: str, upstream: Upstream) -> Fake:
    """An upstream from its settings.

    Raises:
        UpstreamSettingsError: when it cannot work, naming it and what to write instead.
    """
    try:
        if upstream.forward is not None:
            require_loopback(upstream.forward)
        named, seed = upstream.pack, upstream.seed
        if upstream.resources is not None:
            named, seed = "resources", {**seed, "resources": upstream.resources}
        if upstream.openapi is not None:
            named, seed = "openapi", {"document": upstream.openapi, "items": seed}
        pack = find_pack(named) if named is not None else None
        if isinstance(pack, Configured):
            pack = pack.configured(seed)
        elif pack is not None:
            pack.check(seed)
    except (ValueError, UpstreamSettingsError) as error:
        raise UpstreamSettingsError(f"upstream {name}: {error}") from None
    rules = compile_routes(name, upstream.routes)
    return Fake(name, rules, pack, upstream.forward, seed, upstream.state)
