"""The part of the control API about worlds as wholes: made, forked, compared, exported, imported, removed; snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack_emu.hosting import DEFAULT_WORLD, HostedWorld
from stack_emu.kernel.world import WorldImage
from stack_emu.scenario.models import Scenario
from stack_emu.surfaces.control_fields import ControlError, choices_of, world_name, world_options

if TYPE_CHECKING:
    from stack_emu.surfaces.server import Server

SEED = "seed"


class WorldRoutes:
    """Answers requests about whole worlds.

    Args:
        server: whose worlds to control.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def worlds(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Every world, described."""
        return {"worlds": [self._server.describe(item, params["authority"]) for item in self._server.hosting]}

    def world(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """The world the request is for, described."""
        return self._server.describe(hosted, params["authority"])

    async def put(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Make the world the URL names: as ``create``, for whoever must find the right process by the URL alone."""
        name = params["world"]
        if body.get("name", name) != name:
            raise ControlError(
                f"The URL names the world {name}, the body {body['name']!r}; leave name out of the body."
            )
        return await self.create(hosted, {**body, "name": name}, params)

    async def create(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Make a world, from a scenario, as a fork of another, or from an export."""
        name, options = world_name(body), world_options(body)
        if "fork" in body:
            return self._server.describe(await self._fork(name, body), params["authority"])
        scenario, text = self._scenario(body)
        if "import" in body:
            return await self._import(name, scenario, text, body, params["authority"])
        made = self._server.hosting.create(name, scenario, text=text, **options)
        if body.get("scenario"):
            path, choices = Path(str(body["scenario"])), choices_of(body)
            made.reread = lambda: self._server.scenarios.inspect(path, choices)
        return self._server.describe(made, params["authority"])

    def _scenario(self, body: Mapping[str, Any]) -> tuple[Scenario, Callable[[], str]]:
        from stack_emu.scenario.loader import inspect_text

        choices = choices_of(body)
        if "scenario_yaml" in body and body.get("scenario"):
            raise ControlError("Send scenario (a path) or scenario_yaml (a text), not both.")
        if "scenario_yaml" in body:
            source = str(body.get("source", "<request>"))
            vocabulary = self._server.scenarios.vocabulary()
            inspected = inspect_text(str(body["scenario_yaml"]), source, vocabulary, choices)
        elif body.get("scenario"):
            path = Path(str(body["scenario"]))
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise ControlError(f"{path} is no file and no folder; the server would wait for it.")
            inspected = self._server.scenarios.inspect(path, choices)
        else:
            return Scenario.default(), str
        return inspected.require(), inspected.text

    async def _fork(self, name: str, body: Mapping[str, Any]) -> HostedWorld:
        more = sorted(body.keys() - {"name", "fork"})
        if more:
            raise ControlError(f"A fork is as its origin is; leave {', '.join(more)} out.")
        source = self._there(str(body["fork"]))
        if name == source.world.name:
            raise ControlError(f"{name} cannot be a fork of itself; give the fork another name.")
        await self._server.hosting.sender.drain(source.world)
        return self._server.hosting.fork(source, name)

    async def _import(
        self, name: str, scenario: Scenario, text: Callable[[], str], body: Mapping[str, Any], authority: str
    ) -> dict[str, Any]:
        from stack_emu.worlds.exports import import_world, require_export
        from stack_emu.worlds.record_kinds import codec_of

        document = body["import"]
        if not isinstance(document, dict):
            raise ControlError("import must be the JSON document that GET /_emu/export answered with.")
        require_export(document)
        hosting = self._server.hosting
        options = {"seed": bytes.fromhex(document["seed"]), "clock": document["clock"]["mode"]}
        made = hosting.make(name, scenario, strict=world_options(body)["strict"], text=text, **options)
        replaced = import_world(made.world, document, codec_of([made.world]), text())
        hosting.host(made)
        return {**self._server.describe(made, authority), "replaced_secrets": replaced}

    async def reload(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Read the scenario again and take over what changed; state stays."""
        dry_run = body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            raise ControlError(f"dry_run must be true or false, not {dry_run!r}.")
        if "scenario_yaml" in body:
            from stack_emu.scenario.loader import inspect_text

            source = str(body.get("source", "<request>"))
            inspected = inspect_text(str(body["scenario_yaml"]), source, self._server.scenarios.vocabulary())
        elif hosted.reread is not None:
            inspected = hosted.reread()
        else:
            raise ControlError(
                f"World {hosted.world.name} was not made from a file; send its scenario as scenario_yaml."
            )
        steps = await self._server.reload(hosted, inspected, dry_run=dry_run)
        return {"dry_run": dry_run, "steps": [step.as_json() for step in steps]}

    def _there(self, name: str) -> HostedWorld:
        found = self._server.hosting.get(name)
        if found is None:
            there = ", ".join(sorted(item.world.name for item in self._server.hosting))
            raise ControlError(f"There is no world {name}; there is {there}.", 404)
        return found

    async def remove(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Drop a world."""
        if params["name"] == DEFAULT_WORLD:
            raise ControlError("The default world cannot be removed; reset it with POST /_emu/reset.")
        removed = self._server.hosting.get(params["name"])
        self._server.hosting.remove(params["name"])
        if removed is not None:
            await removed.world.settings["upstreams"].aclose()
        return {"removed": params["name"]}

    async def remove_this(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Drop the world the URL names."""
        return await self.remove(hosted, body, {"name": params["world"]})

    async def export(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """The world as one JSON document without secrets."""
        from stack_emu.worlds.exports import export_world
        from stack_emu.worlds.record_kinds import codec_of

        await self._server.hosting.sender.drain(hosted.world)
        image = hosted.world.image()
        return export_world(hosted.world, image, codec_of([hosted.world]), hosted.text())

    async def diff(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """What is different in the world from what it is compared with: its seed, a snapshot or another world."""
        from stack_emu.worlds.differences import compare
        from stack_emu.worlds.record_kinds import codec_of

        await self._server.hosting.sender.drain(hosted.world)
        before = self._picture(hosted, str(body.get("against", SEED)))
        codec = codec_of(item.world for item in self._server.hosting)
        return compare(before, hosted.world.image(), codec, hosted.world.redactor).as_json()

    def _picture(self, hosted: HostedWorld, against: str) -> WorldImage:
        kind, _, name = against.partition(":")
        if against == SEED:
            return hosted.seed_image
        if kind == "snapshot":
            return _snapshot(hosted, name)
        if kind == "world":
            return self._there(name).world.image()
        raise ControlError(f"against must be seed, snapshot:NAME or world:NAME, not {against}.")

    async def take_snapshot(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Take a picture; what is being delivered to webhooks belongs into it with its outcome."""
        await self._server.hosting.sender.drain(hosted.world)
        hosted.snapshots[params["snapshot"]] = hosted.world.image()
        return {"snapshots": sorted(hosted.snapshots)}


def snapshots(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Names of the snapshots of the world."""
    return {"snapshots": sorted(hosted.snapshots)}


def restore_snapshot(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Return to a snapshot."""
    hosted.world.restore(_snapshot(hosted, params["snapshot"]))
    return {"restored": params["snapshot"]}


def remove_snapshot(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Forget a snapshot."""
    _snapshot(hosted, params["snapshot"])
    del hosted.snapshots[params["snapshot"]]
    return {"snapshots": sorted(hosted.snapshots)}


def _snapshot(hosted: HostedWorld, name: str) -> WorldImage:
    image = hosted.snapshots.get(name)
    if image is None:
        known = ", ".join(sorted(hosted.snapshots)) or "none"
        raise ControlError(f"There is no snapshot {name}; there is {known}.", 404)
    return image
