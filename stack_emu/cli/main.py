"""The command line: one file for each command, found by name and imported only when it is used."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "init": "put a scenario, an agent, its test and a CI workflow into a project",
    "up": "serve a scenario while you build an agent",
    "exec": "run a command against a scenario and judge the run",
    "check": "read scenarios and list their mistakes",
    "schema": "print the JSON Schema of the scenario format",
    "env": "print the variables of a running emulator, for eval",
    "demo": "run the bundled deploy-bot scenario and show what happened",
    "record": "write down what a service on this machine answers, as an upstream with routes",
    "world": "make, fork, compare, export and import worlds of a running emulator",
    "audit": "verify, sign, compare, show, export or tamper with audit logs",
    "coverage": "list operations, tools and what drives them",
}
_WITH_COMMAND = ("exec", "record")
USAGE_ERROR = 2
INTERRUPTED = 130


class UsageError(Exception):
    """A command that cannot be carried out as given; the message is the one sentence the user sees."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` when left out.

    Returns:
        The exit code: 2 for bad usage or a bad scenario.
    """
    _print_anything()
    given, cmd = _split_command(list(sys.argv[1:] if arguments is None else arguments))
    parser = argparse.ArgumentParser(
        prog="stack-emu",
        description=(
            "A local emulator of STACK for testing agents offline. Independent of STACK, not affiliated with it."
        ),
    )
    from stack_emu import __version__

    parser.add_argument("--version", action="version", version=f"stack-emu {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chosen = next((item for item in given if not item.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            module = importlib.import_module(f"stack_emu.cli.{'run_' + name if name == 'exec' else name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    options, unknown = parser.parse_known_args(given)
    options.cmd = cmd
    if unknown:
        commands.choices.get(options.command, parser).error(_unknown(options.command, unknown))
    if options.command is None:
        parser.print_help()
        return USAGE_ERROR
    return _guarded(options)


def _print_anything() -> None:
    """Keep a terminal that cannot show a character from ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _unknown(command: str | None, arguments: Sequence[str]) -> str:
    given = f"unrecognized arguments: {' '.join(arguments)}"
    return f"{given}; put -- before the command to run" if command in _WITH_COMMAND else given


def _split_command(given: list[str]) -> tuple[list[str], list[str]]:
    """What stands before the first ``--`` of ``exec`` or ``record`` and the command that follows it."""
    chosen = next((item for item in given if not item.startswith("-")), None)
    if "--" not in given or chosen not in _WITH_COMMAND:
        return given, []
    position = given.index("--")
    return given[:position], given[position + 1 :]


def _guarded(options: argparse.Namespace) -> int:
    from stack_emu.client import EmulatorError
    from stack_emu.kernel.errors import WorldError
    from stack_emu.scenario.problems import ScenarioError

    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except (UsageError, EmulatorError, WorldError) as error:
        print(f"stack-emu: {error}", file=sys.stderr)
        return USAGE_ERROR
    except ScenarioError as error:
        print(str(error), file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"stack-emu: {error.filename}: {error.strerror}", file=sys.stderr)
        return USAGE_ERROR
    return code


if __name__ == "__main__":
    # As a script this module is a second copy of itself, whose UsageError nobody raises.
    from stack_emu.cli.main import main as imported

    sys.exit(imported())
