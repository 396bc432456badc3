"""What ``up`` and ``exec`` share: a server with its gateway for one scenario, and the audit file at the end."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack_emu.cli.main import UsageError
from stack_emu.surfaces.server import Server

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld, Hosting
    from stack_emu.scenario.composition import Choices
    from stack_emu.surfaces.host_gateway import HostGateway


@dataclass
class Serving:
    """A running server and gateway."""

    server: Server
    gateway: HostGateway

    @property
    def hosted(self) -> HostedWorld:
        """The default world."""
        hosted = self.server.hosting.get("default")
        assert hosted is not None
        return hosted

    def client_environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """The environment in which a client finds this emulator, real host names included."""
        from stack_emu.cli.environment import client_environment

        described = self.server.describe(self.hosted)
        environment = client_environment(
            base_url=described["base_url"],
            mcp_url=described["mcp_url"],
            api_key=described["api_key"],
            anthropic_base_url=described["anthropic_base_url"],
            anthropic_key=described["anthropic_api_key"],
            openai_base_url=described["openai_base_url"],
            openai_key=described["openai_api_key"],
            dashboard_url=described["base_url"],
            gateway_url=self.gateway.url(),
            ca_file=self.gateway.ca_file,
            emulator_url=self.server.base_url,
            inherited=inherited,
        )
        environment.update(described["passports"])
        return environment


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that serves a scenario."""
    parser.add_argument(
        "scenario", nargs="?", type=Path, help="file or folder; one operator with one key when left out"
    )
    add_choices(parser)
    parser.add_argument("--seed", type=int, help="instead of the scenario's seed")
    parser.add_argument("--audit", type=Path, metavar="FILE", help="write the canonical audit log here at the end")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="write the canonical journal here at the end")
    parser.add_argument("--order", choices=("commit", "content"), default="commit", help="order inside a lane")
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="also write FILE.checkpoint, signed, and FILE.jwks, the key it is signed with",
    )
    parser.add_argument(
        "--checkpoint-key", type=Path, metavar="KEY", help="sign with this key instead of the one derived from the seed"
    )
    parser.add_argument("--allow-host", action="append", default=[], metavar="HOST", help="tunnel this host untouched")


def add_choices(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose overlays and give values to variables."""
    parser.add_argument(
        "--overlay", action="append", default=[], metavar="NAME", help="lay this overlay of the scenario over it"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="give a variable of the scenario this value"
    )


def choices_of(options: argparse.Namespace) -> Choices:
    """The overlays and variables chosen: those of ``STACK_EMU_OVERLAY``, comma-separated, when no option names any.

    Raises:
        UsageError: when a setting is no ``name=value``.
    """
    from stack_emu.scenario.composition import Choices, read_setting

    named = os.environ.get("STACK_EMU_OVERLAY", "").split(",")
    overlays = options.overlay or [name.strip() for name in named if name.strip()]
    try:
        return Choices(tuple(overlays), dict(read_setting(text) for text in options.set))
    except ValueError as error:
        raise UsageError(f"--set: {error}") from None


def require_checkpoint(options: argparse.Namespace) -> None:
    """Refuse a checkpoint of no log, and a key that could not sign in the end, before anything runs.

    Raises:
        UsageError: when ``--audit`` is missing or the key cannot be used.
    """
    if options.checkpoint_key is not None:
        from stack_emu.cli.audit.checkpoint import read_key

        options.checkpoint = True
        read_key(options.checkpoint_key)
    if options.checkpoint and options.audit is None:
        raise UsageError("a checkpoint is about the audit log; name its file with --audit FILE")


def require_folders(*files: Path | None) -> None:
    """Refuse files that could not be written at the end, before anything runs.

    Raises:
        UsageError: when the folder of one does not exist.
    """
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"{file} cannot be written: there is no folder {file.parent}; make it first")
        if file is not None and file.is_dir():
            raise UsageError(f"{file} is a folder; give the name of a file in it")


@asynccontextmanager
async def serving(
    options: argparse.Namespace,
    *,
    host: str,
    port: int,
    strict: bool,
    keep_going: bool = False,
    names: Collection[str] = (),
) -> AsyncIterator[Serving]:
    """Serve a scenario for the time of a block.

    Args:
        options: scenario, seed and allowed hosts.
        host: address to bind.
        port: port to bind; 0 picks one.
        strict: whether violations fail the run when the scenario does not say.
        keep_going: whether they do not, whatever the scenario says.
        names: further host names the server answers to.

    Raises:
        UsageError: when the scenario does not exist or the port is taken.
        ScenarioError: when the scenario has mistakes.
    """
    if options.scenario is not None and not options.scenario.exists():
        raise UsageError(
            f"there is no scenario at {options.scenario}; give a file or a folder with scenario.yaml in it"
        )
    choices = choices_of(options)
    if options.scenario is None and (choices.variables or options.overlay):
        raise UsageError("--overlay and --set change a scenario; name its file or folder")
    gc.disable()  # what is loaded now stays: collecting meanwhile costs a tenth of the start
    server = Server(lambda: _load(server, options, choices, strict, keep_going))
    server.allowed_hosts.update(name.lower() for name in names)
    try:
        await server.start(host, port)
    except OSError as error:
        raise UsageError(_bind_problem(error, host, port)) from None
    gateway: HostGateway | None = None
    try:
        await server.preload()
        gc.enable()
        gateway = await _start_gateway(server, options, host)
        yield Serving(server, gateway)
    finally:
        if gateway is not None:
            await gateway.stop()
        await server.stop()
        if server.state is not None:
            server.state.close()


def _load(server: Server, options: argparse.Namespace, choices: Choices, strict: bool, keep_going: bool) -> Hosting:
    from stack_emu.hosting import DEFAULT_WORLD, Hosting
    from stack_emu.scenario.models import Scenario

    scenario = Scenario.default()
    text: Callable[[], str] = str
    if options.scenario is not None:
        inspected = server.scenarios.inspect(options.scenario, choices)
        scenario, text = inspected.require(), inspected.text
        for problem in inspected.problems:
            print(problem, file=sys.stderr, flush=True)
    hosting = Hosting()
    if (file := getattr(options, "state", None)) is not None:
        from stack_emu.state_file.starting import bring_back

        given = None if options.scenario is None else (scenario, text)
        told = bring_back(hosting, file, given, server.scenarios.vocabulary, options.seed)
        for sentence in told:
            print(f"stack-emu: {sentence}", file=sys.stderr, flush=True)
    hosted = hosting.get(DEFAULT_WORLD)
    if hosted is None:
        chosen = scenario.strict if scenario.strict is not None else strict
        strictly = chosen and not keep_going
        hosted = hosting.create(DEFAULT_WORLD, scenario, seed=options.seed, strict=strictly, text=text)
    if options.scenario is not None:
        hosted.reread = lambda: server.scenarios.inspect(options.scenario, choices)
    return hosting


async def _start_gateway(server: Server, options: argparse.Namespace, host: str) -> HostGateway:
    from stack_emu.surfaces.host_gateway import HostGateway

    try:
        gateway = await asyncio.to_thread(HostGateway, server, options.allow_host, _tell)
    except ValueError as error:
        raise UsageError(str(error)) from None
    await gateway.start(host)
    return gateway


def _tell(sentence: str) -> None:
    print(f"stack-emu: gateway: {sentence}", file=sys.stderr, flush=True)


def _bind_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop what listens there or choose another with --port (0 picks a free one)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be bound by this user; choose one above 1023 with --port"
    return f"{host}:{port} cannot be bound: {error.strerror or error}; use --host 127.0.0.1"


def write_audit(serving_now: Serving, options: argparse.Namespace) -> None:
    """Write the canonical log to ``--audit`` and the canonical journal to ``--journal``, each whole or not at all.

    Raises:
        UsageError: when a file cannot be written, or the journal has dropped what should stand in it.
    """
    world = serving_now.hosted.world
    if options.audit is not None:
        from stack_emu.domain.canonical_audit import canonical_pieces

        _write_whole(options.audit, canonical_pieces(world, order=options.order), "audit log")
        if options.checkpoint:
            _write_checkpoint(serving_now, options)
    if options.journal is not None:
        from stack_emu.domain.canonical_journal import canonical_journal
        from stack_emu.kernel.errors import WorldError

        try:
            lines = canonical_journal(world, options.order)
        except WorldError as error:
            raise UsageError(f"--journal: {error}") from None
        _write_whole(options.journal, [lines], "journal")


def _write_checkpoint(serving_now: Serving, options: argparse.Namespace) -> None:
    if options.checkpoint_key is not None:
        from stack_emu.cli.audit.checkpoint import sign_file

        text, keys = sign_file(options.audit, options.checkpoint_key, None)
    else:
        from stack_emu.domain.audit_checkpoints import canonical_checkpoint, checkpoint_keys

        world = serving_now.hosted.world
        text, keys = canonical_checkpoint(world, options.order), json.dumps(checkpoint_keys(world)) + "\n"
    name = options.audit.name
    _write_whole(options.audit.with_name(name + ".checkpoint"), [text.encode("ascii"), b"\n"], "checkpoint")
    _write_whole(options.audit.with_name(name + ".jwks"), [keys.encode("utf-8")], "key set")


def write_model(serving_now: Serving, options: argparse.Namespace) -> None:
    """Write what the model answered to ``--record-model``, whole or not at all.

    Raises:
        UsageError: when the file cannot be written.
    """
    if options.record_model is None:
        return
    from stack_emu.hosting import recorded_rules
    from stack_emu.model_script.recording import to_yaml

    text = to_yaml(recorded_rules(serving_now.hosted))
    _write_whole(options.record_model, [text.encode()], "recorded model")


def _write_whole(file: Path, pieces: Iterable[bytes], what: str) -> None:
    partial = file.with_name(file.name + ".partial")
    try:
        with partial.open("wb") as out:
            out.writelines(pieces)
        os.replace(partial, file)
    except OSError as error:
        raise UsageError(f"the {what} cannot be written to {file}: {error.strerror}") from None


def ready_line(serving_now: Serving) -> dict[str, Any]:
    """What ``up --json`` prints once everything answers."""
    described = serving_now.server.describe(serving_now.hosted)
    return {
        "base_url": described["base_url"],
        "mcp_url": described["mcp_url"],
        "anthropic_base_url": described["anthropic_base_url"],
        "openai_base_url": described["openai_base_url"],
        "gateway_url": serving_now.gateway.url(),
        "ca_file": serving_now.gateway.ca_file,
        "ui_url": None,
        "api_key": described["api_key"],
        "pid": os.getpid(),
    }
