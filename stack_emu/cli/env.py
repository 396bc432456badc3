"""``stack-emu env``: print the variables of a running emulator as shell exports."""

from __future__ import annotations

import argparse
import os
import shlex

from stack_emu.client import WorldClient

DEFAULT_URL = "http://127.0.0.1:4747"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--world", default="default", help="name of the world (default)")
    parser.add_argument("--url", help=f"the emulator's URL; STACK_EMU_URL or {DEFAULT_URL} when left out")


def run(options: argparse.Namespace) -> int:
    """Print one ``export NAME=value`` a line; returns 0."""
    url = options.url or os.environ.get("STACK_EMU_URL") or DEFAULT_URL
    path = "" if options.world == "default" else f"/w/{options.world}"
    world = WorldClient.connect(url.rstrip("/") + path)
    for name, value in world.env.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
