"""``stack-emu record``: write down what a service on this machine answers, as an upstream with routes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from stack_emu.cli.main import UsageError

_NOT_FOUND = 127


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--to", required=True, metavar="URL", help="the service, on this machine: http://127.0.0.1:9000"
    )
    parser.add_argument("--host", default="recorded.example.com", metavar="NAME", help="the real host it stands for")
    parser.add_argument("--port", type=int, default=0, help="port of the recorder; a free one when left out")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="where the scenario is written"
    )
    parser.usage = "stack-emu record --to URL -o FILE [--host NAME] [--port N] [-- COMMAND [ARGUMENT ...]]"
    parser.epilog = (
        "Point a client at the recorder's address, which is printed and stands in STACK_EMU_RECORDER for COMMAND. The file "
        "is written when COMMAND ends, or on Ctrl-C. Secrets never get into it: they are replaced by canaries."
    )


def run(options: argparse.Namespace) -> int:
    """Record until the command ends or Ctrl-C; returns the command's exit code, or 0.

    Raises:
        UsageError: when the target is not on this machine, a host name or a folder is none, or a secret would be written.
    """
    import re

    from stack_emu.scenario.values import HOST_PATTERN
    from stack_emu.upstreams.errors import UpstreamSettingsError
    from stack_emu.upstreams.forward import require_loopback

    try:
        require_loopback(options.to)
    except UpstreamSettingsError as error:
        raise UsageError(f"only a service on this machine is recorded: {error}") from None
    if re.fullmatch(HOST_PATTERN[1:-1], options.host) is None or options.host.startswith("*"):
        raise UsageError(f"--host {options.host} is no host name; write one in lower case, such as api.example.com")
    if not options.output.parent.is_dir():
        raise UsageError(f"there is no folder {options.output.parent}; make it first")
    if options.cmd and shutil.which(options.cmd[0]) is None:
        print(f"stack-emu: there is no command {options.cmd[0]}; check the name or give its path", file=sys.stderr)
        return _NOT_FOUND
    return asyncio.run(_record(options))


async def _record(options: argparse.Namespace) -> int:
    from stack_emu.recording.reverse_proxy import Recorder
    from stack_emu.recording.scenario_file import scenario_text
    from stack_emu.recording.secrets import SecretLeft

    recorder = Recorder(options.to, options.host)
    try:
        await recorder.start(options.port)
    except OSError:
        raise UsageError(f"port {options.port} cannot be bound; choose another with --port") from None
    print(f"stack-emu: recording {options.to} at {recorder.url}", file=sys.stderr, flush=True)
    try:
        code = await _command(options.cmd, recorder.url) if options.cmd else await _until_interrupted()
    finally:
        await recorder.stop()
    try:
        text = scenario_text(recorder.exchanges, options.host)
    except SecretLeft as error:
        raise UsageError(str(error)) from None
    options.output.write_text(text, encoding="utf-8")
    print(f"stack-emu: {len(recorder.exchanges)} exchanges written to {options.output}", file=sys.stderr)
    return code


async def _until_interrupted() -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    return 0


async def _command(command: list[str], url: str) -> int:
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "STACK_EMU_RECORDER": url})
    loop = asyncio.get_running_loop()

    def pass_on(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pass_on, number)
    code = await process.wait()
    return code if code >= 0 else 128 - code
