"""``stack-emu env``: print the variables of a running emulator as shell exports."""

from __future__ import annotations

import argparse
import os
import shlex

from stack_emu.cli.main import UsageError
from stack_emu.client import WorldClient, split_url

DEFAULT_URL = "http://127.0.0.1:4747"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_world_arguments(parser)
    parser.add_argument("--gateway", action="store_true", help="also what leads clients of the real hosts here")


def add_world_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that talks to a running emulator."""
    parser.add_argument("--world", metavar="NAME", help="name of the world; the URL's own when left out")
    parser.add_argument("--url", help=f"the emulator's URL; STACK_EMU_URL or {DEFAULT_URL} when left out")


def connect(options: argparse.Namespace) -> WorldClient:
    """The world a command is about.

    Raises:
        EmulatorError: when nothing answers there or there is no such world.
    """
    url = options.url or os.environ.get("STACK_EMU_URL") or DEFAULT_URL
    if options.world is not None:
        parts = split_url(url)
        path = "" if options.world == "default" else f"/w/{options.world}"
        url = f"{parts.scheme}://{parts.netloc}{path}"
    return WorldClient.connect(url)


def run(options: argparse.Namespace) -> int:
    """Print one ``export NAME=value`` a line; returns 0.

    Raises:
        UsageError: when the gateway's variables are asked for and there is none.
    """
    world = connect(options)
    world.connection.close()
    variables = {**world.env, **(_gateway_variables(world) if options.gateway else {})}
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _gateway_variables(world: WorldClient) -> dict[str, str]:
    from stack_emu.cli.environment import gateway_environment

    described = world.description
    if described["gateway_url"] is None:
        raise UsageError("this emulator has no gateway; start it with stack-emu up.")
    return gateway_environment(described["gateway_url"], described["ca_file"])
