"""``stack-emu exec``: run a command against a scenario, then judge the run."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from stack_emu.cli.exit_codes import FAILED, NOT_EXECUTABLE, NOT_FOUND, SIGNALLED
from stack_emu.cli.main import UsageError
from stack_emu.cli.serving import (
    Serving,
    add_scenario_arguments,
    require_checkpoint,
    require_folders,
    serving,
    write_audit,
    write_model,
)
from stack_emu.verdict import Verdict, verdict

GRACE_SECONDS = 5.0
"""How long a command may take to end once it was asked to; then it is killed, so that the verdict is still given."""

_FAR_MS = 10_000
_LAST_CALLS_SECONDS = 2.0  # a command that ended waits for nothing more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_scenario_arguments(parser)
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML")
    parser.add_argument(
        "--record-model", type=Path, metavar="FILE", help="write what the model answered as a scenario's model: section"
    )
    parser.add_argument("--docs-client", action="store_true", help="let getstack have the shape STACK's page shows")
    parser.add_argument("--keep-going", action="store_true", help="report violations without failing the run for them")
    parser.usage = "stack-emu exec [SCENARIO] [options] -- COMMAND [ARGUMENT ...]"
    parser.epilog = (
        "What follows -- is run as it stands, without a shell. The exit code is the command's; 70 when it is 0 and an "
        "expectation did not hold or a strict run was violated; 127 when there is no such command, 126 when it cannot "
        "be run, 128+n when signal n ended it."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code, or 70 when only the verdict is bad, 127 when there is no such command.

    Raises:
        UsageError: when no command was given, or a file could not be written in the end.
    """
    if not options.cmd:
        raise UsageError("exec needs a command: stack-emu exec [SCENARIO] -- python agent.py")
    require_checkpoint(options)
    require_folders(options.audit, options.journal, options.junit, options.record_model)
    if shutil.which(options.cmd[0]) is None:
        return _no_command(options.cmd[0])
    return asyncio.run(_run(options, Child()))


def _no_command(name: str) -> int:
    if os.path.isfile(name) and os.sep in name:
        print(f"stack-emu: {name} may not be executed; chmod +x it, or name its interpreter first", file=sys.stderr)
        return NOT_EXECUTABLE
    print(f"stack-emu: there is no command {name}; check the name or give its path", file=sys.stderr)
    return NOT_FOUND


class Child:
    """The command, and what becomes of the signals this process gets while it runs."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._main: asyncio.Task[int] | None = None
        self.stopped_by: int | None = None

    def watch_signals(self) -> None:
        """Pass on what asks this process to end, from now on."""
        self._main = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_end, number)

    def _asked_to_end(self, number: int) -> None:
        if self._process is None:
            self.stopped_by = number
            if self._main is not None:
                self._main.cancel()
            return
        if number == signal.SIGINT:  # the terminal sends it to the command as well, which may live on
            return
        again, self.stopped_by = self.stopped_by is not None, number
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL if again else number)
        if not again:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            print(
                f"stack-emu: the command did not end within {GRACE_SECONDS:g} s of being asked to; it was killed",
                file=sys.stderr,
            )
            self._process.kill()

    async def run(self, command: list[str], environment: dict[str, str]) -> int:
        """Run the command to its end; returns its exit code, 128+n when signal n ended it."""
        try:
            self._process = await asyncio.create_subprocess_exec(*command, env=environment)
        except OSError as error:
            print(
                f"stack-emu: {command[0]} cannot be run: {error.strerror}; name its interpreter first", file=sys.stderr
            )
            return NOT_EXECUTABLE
        code = await self._process.wait()
        return SIGNALLED - code if code < 0 else code


async def _run(options: argparse.Namespace, child: Child) -> int:
    child.watch_signals()
    try:
        async with serving(options, host="127.0.0.1", port=0, strict=True, keep_going=options.keep_going) as now:
            _warn_about_clock(now)
            started = time.monotonic()
            code = await child.run(options.cmd, _environment(options, now))
            await now.server.end_calls(_LAST_CALLS_SECONDS)
            judged = verdict(now.hosted)
            write_audit(now, options)
            write_model(now, options)
            if options.junit is not None:
                from stack_emu.cli.junit import write_junit

                shown = [now.hosted.world.redactor.thorough(part) for part in options.cmd]
                write_junit(
                    options.junit,
                    shown,
                    code,
                    judged,
                    time.monotonic() - started,
                    scenario=options.scenario,
                    seed=now.hosted.scenario.seed if options.seed is None else options.seed,
                )
    except asyncio.CancelledError:
        if child.stopped_by is None:
            raise
        return SIGNALLED + child.stopped_by
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


def _environment(options: argparse.Namespace, now: Serving) -> dict[str, str]:
    environment = now.client_environment(dict(os.environ))
    if options.docs_client:
        from stack_emu.docs_client.launch import prepare

        prepare(options.cmd, environment)
    return environment


def _report(judged: Verdict) -> None:
    for word, findings in (("", judged.failures), ("warning: ", judged.warnings)):
        for finding in findings:
            print(f"stack-emu: {word}{finding.kind}: {finding.sentence}", file=sys.stderr)
            for line in (finding.near or "").splitlines():
                print(f"    {line}", file=sys.stderr)
    for unread in judged.unread:
        print(f"stack-emu: unread: {unread}", file=sys.stderr)
