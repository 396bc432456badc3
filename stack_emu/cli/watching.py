"""Watching the files of a scenario while it is served, and taking over what changes in them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stack_emu.kernel.errors import WorldError

if TYPE_CHECKING:
    from stack_emu.hosting import HostedWorld
    from stack_emu.reloading import Step
    from stack_emu.scenario.loader import Inspection
    from stack_emu.surfaces.server import Server

PAUSE_SECONDS = 0.3
_log = logging.getLogger("stack_emu")
_Stamp = tuple[int, int]


async def watch(server: Server, hosted: HostedWorld, reread: Callable[[], Inspection]) -> None:
    """Look at a scenario's files again and again, and take a change over; what was done is told on stderr.

    A scenario with mistakes changes nothing: they are told, and the old one goes on.

    Args:
        server: who serves the world.
        hosted: the world.
        reread: reads the scenario.
    """
    seen = _stamps(reread().files)
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        now = _stamps(tuple(seen))
        if now == seen:
            continue
        await asyncio.sleep(PAUSE_SECONDS / 3)  # an editor may be at it still
        inspected = await asyncio.to_thread(reread)
        seen = _stamps(inspected.files)
        for problem in inspected.problems:
            _tell(str(problem))
        if inspected.scenario is None:
            _tell("stack-emu: the scenario has mistakes; the one from before is served until they are put right")
            continue
        try:
            steps = await server.reload(hosted, inspected)
        except WorldError as error:
            _tell(f"stack-emu: {error}; the scenario from before is served until that is put right")
            continue
        except Exception:  # watching goes on whatever a scenario holds
            _log.error("a changed scenario could not be taken over\n%s", hosted.world.redactor.traceback())
            continue
        _tell_steps(steps)


def _tell_steps(steps: list[Step]) -> None:
    if not steps:
        _tell("stack-emu: reloaded; nothing is different")
        return
    _tell("stack-emu: reloaded; state, passports and the audit log stay")
    for step in steps:
        _tell(f"  {step.kind}: {step.sentence}")


def _stamps(files: tuple[Path, ...]) -> dict[Path, _Stamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
