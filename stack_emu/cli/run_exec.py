"""``stack-emu exec``: run a command against a scenario, then judge the run."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from stack_emu.cli.main import UsageError
from stack_emu.cli.serving import Serving, add_scenario_arguments, serving, write_audit
from stack_emu.verdict import Verdict, verdict

FAILED = 70
NOT_FOUND = 127
_FAR_MS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_scenario_arguments(parser)
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML")
    parser.add_argument("--docs-client", action="store_true", help="let getstack have the shape STACK's page shows")
    parser.add_argument("--keep-going", action="store_true", help="report violations without failing the run for them")
    parser.usage = "stack-emu exec [SCENARIO] [options] -- COMMAND [ARGUMENT ...]"
    parser.epilog = "What follows -- is run as it stands, without a shell."


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code, or 70 when only the verdict is bad, 127 when there is no such command.

    Raises:
        UsageError: when no command was given.
    """
    if not options.cmd:
        raise UsageError("exec needs a command: stack-emu exec [SCENARIO] -- python agent.py")
    if shutil.which(options.cmd[0]) is None:
        print(f"stack-emu: there is no command {options.cmd[0]}; check the name or give its path", file=sys.stderr)
        return NOT_FOUND
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    strict = not options.keep_going
    async with serving(options, host="127.0.0.1", port=0, strict=strict) as now:
        _warn_about_clock(now)
        started = time.monotonic()
        code = await _child(options, now)
        judged = verdict(now.hosted)
        write_audit(now, options)
        if options.junit is not None:
            from stack_emu.cli.junit import write_junit

            write_junit(options.junit, options.cmd, code, judged, time.monotonic() - started)
    _report(judged)
    if code != 0:
        return code
    return 0 if judged.ok else FAILED


def _warn_about_clock(now: Serving) -> None:
    clock = now.hosted.world.clock
    if clock.virtual and abs(clock.now_ms() - time.time_ns() // 1_000_000) > _FAR_MS:
        print(
            "stack-emu: the virtual clock starts far from now; clients that check token times themselves would refuse "
            "this world's passports (use clock: {mode: real}, or freeze the client's clock)",
            file=sys.stderr,
        )


async def _child(options: argparse.Namespace, now: Serving) -> int:
    environment = now.client_environment(dict(os.environ))
    if options.docs_client:
        from stack_emu.docs_client.launch import prepare

        prepare(options.cmd, environment)
    process = await asyncio.create_subprocess_exec(*options.cmd, env=environment)
    loop = asyncio.get_running_loop()
    # The terminal sends SIGINT to the child as well: wait for what it makes of it. SIGTERM comes to us alone.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    code = await process.wait()
    return 128 - code if code < 0 else code


def _report(judged: Verdict) -> None:
    for finding in judged.failures:
        print(f"stack-emu: {finding.kind}: {finding.sentence}", file=sys.stderr)
    for finding in judged.warnings:
        print(f"stack-emu: warning: {finding.kind}: {finding.sentence}", file=sys.stderr)
