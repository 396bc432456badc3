"""``stack-emu world``: make, fork, compare, export, import, reset and remove worlds of a running emulator."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from stack_emu.cli.env import add_world_arguments, connect
from stack_emu.cli.main import UsageError
from stack_emu.cli.serving import add_choices, choices_of
from stack_emu.client import EmulatorClient, WorldClient

DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_world_arguments(sub)
        sub.set_defaults(act=globals()[f"_{name}"])
        return sub

    action("list", "list the worlds")
    create = action("create", "make a world")
    create.add_argument("name")
    create.add_argument(
        "scenario", nargs="?", type=Path, help="file or folder; one operator with one key when left out"
    )
    create.add_argument("--seed", type=int, help="instead of the scenario's seed")
    create.add_argument("--clock", choices=("real", "virtual"), help="instead of the scenario's")
    create.add_argument("--strict", action="store_true", default=None, help="fail the verdict for violations")
    add_choices(create)
    action("fork", "make a world that is where this one is now").add_argument("name")
    action("remove", "drop a world").add_argument("name")
    action("reset", "return to the scenario's seed")
    for name, summary in (("snapshot", "keep a picture under a name"), ("restore", "return to a picture")):
        action(name, summary).add_argument("name", nargs="?", default="snapshot")
    action("snapshots", "list the pictures that are kept")
    diff = action("diff", "say what is different from the seed, a picture or another world; exit 1 when anything is")
    diff.add_argument("--against", default="seed", metavar="WHAT", help="seed (default), snapshot:NAME or world:NAME")
    diff.add_argument("--json", action="store_true", help="as JSON")
    export = action("export", "print the world as one JSON document without secrets")
    export.add_argument("--out", type=Path, metavar="FILE", help="write here instead of to the standard output")
    imported = action("import", "make a world from an export")
    imported.add_argument("name")
    imported.add_argument("file", type=Path)
    imported.add_argument("scenario", nargs="?", type=Path, help="the scenario the exported world was made from")
    add_choices(imported)


def run(options: argparse.Namespace) -> int:
    """Carry out one action.

    Returns:
        0, or 1 when diff found a difference.

    Raises:
        UsageError: when a file cannot be read or written.
        EmulatorError: when the emulator refuses or does not answer.
    """
    world = connect(options)
    try:
        code: int = options.act(options, world)
    finally:
        world.connection.close()
    return code


def _list(options: argparse.Namespace, world: WorldClient) -> int:
    with EmulatorClient(world.connection.url) as emulator:
        for one in emulator.worlds():
            print(f"{one.name}\t{one.description['scenario'] or '-'}\t{one.description['clock']}\t{one.base_url}")
    return 0


def _create(options: argparse.Namespace, world: WorldClient) -> int:
    chosen = choices_of(options)
    with EmulatorClient(world.connection.url) as emulator:
        made = emulator.create_world(
            options.name,
            scenario=options.scenario,
            seed=options.seed,
            clock=options.clock,
            strict=options.strict,
            overlays=chosen.overlays,
            variables=chosen.variables,
        )
    print(made.base_url)
    return 0


def _fork(options: argparse.Namespace, world: WorldClient) -> int:
    print(world.fork(options.name).base_url)
    return 0


def _remove(options: argparse.Namespace, world: WorldClient) -> int:
    with EmulatorClient(world.connection.url) as emulator:
        emulator.remove_world(options.name)
    return 0


def _reset(options: argparse.Namespace, world: WorldClient) -> int:
    world.reset()
    return 0


def _snapshot(options: argparse.Namespace, world: WorldClient) -> int:
    world.snapshot(options.name)
    return 0


def _restore(options: argparse.Namespace, world: WorldClient) -> int:
    world.restore(options.name)
    return 0


def _snapshots(options: argparse.Namespace, world: WorldClient) -> int:
    for name in world.snapshots:
        print(name)
    return 0


def _diff(options: argparse.Namespace, world: WorldClient) -> int:
    found = world.diff(options.against)
    sys.stdout.write(_document(found) if options.json else found["text"])
    return 0 if found["same"] else DIFFERENT


def _export(options: argparse.Namespace, world: WorldClient) -> int:
    text = _document(world.export())
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.write_text(text, encoding="utf-8")
    return 0


def _import(options: argparse.Namespace, world: WorldClient) -> int:
    try:
        document = json.loads(options.file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{options.file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{options.file} is no JSON: {error}.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{options.file} is no export of a world; make one with stack-emu world export.")
    chosen = choices_of(options)
    with EmulatorClient(world.connection.url) as emulator:
        made = emulator.import_world(
            options.name, document, scenario=options.scenario, overlays=chosen.overlays, variables=chosen.variables
        )
    replaced = made.description["replaced_secrets"]
    if replaced:
        print(f"stack-emu: secrets with new values: {', '.join(replaced)}", file=sys.stderr)
    print(made.base_url)
    return 0


def _document(data: object) -> str:
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
