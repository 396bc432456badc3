"""Stateful fakes: what a pack is, and how one is found.

A pack is a folder whose ``__init__`` has a stateless ``PACK``: one of this package, one in a user's project that the
scenario names by its path (``pack: ./packs/crm``), or one that an installed distribution offers under the entry point
group ``stack_emu.packs``. What it remembers is in the world's store.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from stack_emu.kernel.acts import Act
from stack_emu.kernel.matching import PathTemplate
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.upstreams.credentials import AcceptedCredential
from stack_emu.upstreams.errors import UpstreamSettingsError
from stack_emu.upstreams.model_door import ModelSaid
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
        near: out: the nearest operations side by side, when it was unmatched.
        hint: out: the sentence that says what would have worked.
        said: what the scripted model answers, for a pack that asked for it.
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
    near: str | None = None
    said: ModelSaid | None = None

    def lacks(self, what: str, scopes: Sequence[str]) -> None:
        """Say that a call is refused because the credential has none of the scopes, and where the scenario gives them.

        Args:
            what: the operation, as the service calls it.
            scopes: any one of them would have let the call in.
        """
        credential = self.credential
        if credential is None or credential.scopes is None:
            return
        needed, has = " or ".join(scopes), ", ".join(credential.scopes) or "none"
        connection, whole = credential.connection_id, credential.connection_scopes or ()
        if any(scope in whole for scope in scopes):
            where = f"the connection has it, this caller's grant only {has}; add it to the grant, under grants: of {connection}"
        else:
            where = f"the connection {connection} has {has}; add it to the scopes of that service in the scenario"
        self.hint = f"{what} needs the scope {needed}: {where}."


@dataclass(frozen=True)
class PackRow:
    """One operation of a pack, for tables and near misses.

    Args:
        name: how the service's documentation or SDK calls it.
        call: method and path template, for example ``POST /repos/{owner}/{repo}/issues``.
        summary: what it does.
        scopes: any one of these lets a credential in; all when empty.
        source: where the behaviour is known from.
    """

    name: str
    call: str
    summary: str
    scopes: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Declined:
    """Something the service has and a pack does not serve.

    Args:
        name: what it is.
        reason: why, in words that follow a colon.
        method: HTTP method it is called with; any when left out.
        path: path template it is called at; then a call of it is answered with the reason.
    """

    name: str
    reason: str
    method: str | None = None
    path: str | None = None

    def matches(self, request: UpstreamRequest) -> bool:
        """Whether a request asks for it."""
        if self.path is None or self.method not in (None, request.method):
            return False
        return PathTemplate(self.path).match(request.path) is not None


class Pack(Protocol):
    """A stateful fake. Everything is synchronous and without state of its own."""

    title: str
    """The service's name for people."""

    hosts: tuple[str, ...]
    """Host names it answers for when the scenario names none."""

    declined: Sequence[Declined]
    """What the service has and the pack does not, each with why."""

    clients: tuple[str, ...]
    """The real clients that drive it in the tests, with versions."""

    seed_keys: Mapping[str, str]
    """What ``seed`` in a scenario may hold: key to meaning."""

    @property
    def operations(self) -> Sequence[PackRow]:
        """What it serves."""
        ...

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


@runtime_checkable
class Configured(Protocol):
    """A pack whose operations follow from its settings: each upstream has one of its own."""

    def configured(self, seed: Mapping[str, Any]) -> Pack:
        """The pack that answers for an upstream with this seed; as stateless as any.

        Raises:
            ValueError: as :meth:`Pack.check`.
        """
        ...


def summary_of(handler: Callable[..., Any]) -> str:
    """The first paragraph of a handler's docstring on one line."""
    return " ".join((handler.__doc__ or "").strip().split("\n\n")[0].split())


ENTRY_POINTS = "stack_emu.packs"
"""The entry point group in which installed distributions offer packs."""


def find_pack(name: str) -> Pack:
    """The pack of that name, or in the folder of that path.

    Args:
        name: name of a bundled or installed pack, or the absolute path of a folder with a pack in it.

    Raises:
        UpstreamSettingsError: when there is none, naming those there are; when a folder holds no pack, or its code fails.
    """
    if is_folder(name):
        return _pack_in(Path(name))
    if name in _bundled():
        module = importlib.import_module(f"{__package__}.{name}")
        return _pack_of(module, f"the bundled pack {name}")
    installed = _installed()
    if name in installed:
        return _load_installed(installed[name])
    known = pack_names()
    near = close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
    raise UpstreamSettingsError(f"there is no pack {name!r}; {hint}")


def is_folder(name: str) -> bool:
    """Whether a pack is named by the path of its folder."""
    return "/" in name or "\\" in name


def pack_names() -> list[str]:
    """Names of the bundled and the installed packs."""
    return sorted({*_bundled(), *_installed()})


class PackNames(Collection[str]):
    """The names of all packs; installed distributions are only looked through when a name is not a bundled one."""

    def __contains__(self, name: object) -> bool:
        return name in _bundled() or name in _installed()

    def __iter__(self) -> Iterator[str]:
        return iter(pack_names())

    def __len__(self) -> int:
        return len(pack_names())


def pack_problem(name: str, seed: Mapping[str, Any]) -> str | None:
    """What is wrong with a pack and its seed, as one sentence, or None."""
    try:
        find_pack(name).check(seed)
    except (ValueError, UpstreamSettingsError) as error:
        return str(error)
    return None


def bundled_packs() -> dict[str, Pack]:
    """The bundled packs by name."""
    return {name: find_pack(name) for name in _bundled()}


def _bundled() -> list[str]:
    package = importlib.import_module(__package__ or "")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _load_installed(point: EntryPoint) -> Pack:
    try:
        pack: Pack = point.load()
    except Exception as error:
        raise UpstreamSettingsError(f"the pack {point.name} ({point.value}) cannot be loaded: {error}") from error
    return pack


def _pack_in(folder: Path) -> Pack:
    """The pack in a user's folder, loaded again when one of its files changed."""
    start = folder / "__init__.py"
    if not start.is_file():
        raise UpstreamSettingsError(
            f"{folder} is no pack: a pack is a folder with __init__.py in it, which sets PACK; see docs/upstreams.md."
        )
    files = sorted(folder.rglob("*.py"))
    version = sha256(repr([(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]).encode())
    name = f"stack_emu_pack_{sha256(str(folder).encode()).hexdigest()[:12]}_{version.hexdigest()[:12]}"
    module = sys.modules.get(name)
    if module is None:
        module = _import_folder(name, folder, start)
    return _pack_of(module, str(start))


def _import_folder(name: str, folder: Path, start: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise UpstreamSettingsError(
            f"the pack in {folder} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return module


def _pack_of(module: ModuleType, place: str) -> Pack:
    pack: Pack | None = getattr(module, "PACK", None)
    if pack is None:
        raise UpstreamSettingsError(f"{place} sets no PACK; end it with PACK = YourPack().")
    lacking = [name for name in ("handle", "check", "seed", "hosts", "operations") if not hasattr(pack, name)]
    if lacking:
        raise UpstreamSettingsError(
            f"the PACK of {place} has no {lacking[0]}; derive its class from stack_emu.packs.RestPack."
        )
    return pack
