"""Stateful fakes: what a pack is, and how one is found.

A pack is a folder of this package whose ``__init__`` has a stateless ``PACK``. What it remembers is in the world's
store.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stack_emu.kernel.acts import Act
from stack_emu.kernel.world import World
from stack_emu.upstreams.credentials import AcceptedCredential
from stack_emu.upstreams.errors import UpstreamSettingsError
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest


@dataclass
class PackContext:
    """One call to a pack: what it may use, and what it says about the call besides the reply.

    Args:
        world: its store holds the pack's records; a transaction is open.
        upstream: name of the upstream, part of every record's key, so that two upstreams can use one pack.
        act: ids, numbers and the instant come from it.
        request: the request.
        credential: the accepted credential it carries; None for a presigned request.
        owns: whether this upstream answers for a host name.
        route: out: the route it was taken for.
        unread: out: names of fields nobody looked at.
        discard: out: undo what was written; the reply is sent all the same.
        problem: out: the violation it was, for example ``unmatched``.
        hint: out: the sentence that says what would have worked.
    """

    world: World
    upstream: str
    act: Act
    request: UpstreamRequest
    credential: AcceptedCredential | None
    owns: Callable[[str], bool]
    route: str | None = None
    unread: tuple[str, ...] = ()
    discard: bool = False
    problem: str | None = None
    hint: str | None = None


class Pack(Protocol):
    """A bundled stateful fake. Everything is synchronous and without state of its own."""

    hosts: tuple[str, ...]
    """Host names it answers for when the scenario names none."""

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work.

        Raises:
            ValueError: one sentence that says which part is wrong and what to write.
        """
        ...

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the state that the upstream ``name`` begins with."""
        ...

    def presigned(self, world: World, name: str, request: UpstreamRequest) -> bool:
        """Whether the request's URL is its own permission, like an upload address handed out earlier."""
        ...

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """What the service answers when a request carries no credential, or one it does not know."""
        ...

    def injected(self, status: int) -> Any:
        """The JSON body the service sends with a bare failure status; None when it sends none."""
        ...

    def handle(self, context: PackContext) -> UpstreamReply:
        """Answer a request. What it writes is kept when it returns and undone when it raises."""
        ...


def find_pack(name: str) -> Pack:
    """The bundled pack called ``name``.

    Raises:
        UpstreamSettingsError: when there is none, naming those there are.
    """
    known = pack_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
        raise UpstreamSettingsError(f"there is no bundled pack {name!r}; {hint}")
    pack: Pack = importlib.import_module(f"{__package__}.{name}").PACK
    return pack


def pack_names() -> list[str]:
    """Names of the bundled packs."""
    package = importlib.import_module(__package__ or "")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)
