"""Starting with a state file: every world that is in it is made again and goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stack_emu.hosting import DEFAULT_WORLD, HostedWorld, Hosting
from stack_emu.reloading import reload
from stack_emu.scenario.loader import inspect_text
from stack_emu.scenario.models import Scenario
from stack_emu.state_file.database import Database, StateFileError
from stack_emu.state_file.keeping import StateFile, StoredWorld

if TYPE_CHECKING:
    from stack_emu.scenario.findings import Vocabulary

Given = tuple[Scenario, Callable[[], str]]


def bring_back(
    hosting: Hosting, path: Path, given: Given | None, vocabulary: Callable[[], Vocabulary], seed: int | None
) -> list[str]:
    """Open a state file, bring back its worlds and keep what they and later worlds change.

    Args:
        hosting: where the worlds go; it holds none yet.
        path: the file; made when there is none.
        given: the scenario to serve and its text; the one in the file when left out.
        vocabulary: what the words of a scenario are checked against.
        seed: the seed asked for; the one in the file when left out.

    Returns:
        Sentences that tell what was done.

    Raises:
        StateFileError: when the file cannot be used, or does not fit the scenario or the seed.
    """
    state = StateFile(Database(path))
    told = []
    for stored in state.stored():
        scenario, text = _kept(stored, path, vocabulary)
        asked = given if stored.name == DEFAULT_WORLD else None
        made = hosting.bring_back(scenario, stored, state, text, seed if stored.name == DEFAULT_WORLD else None)
        acts = len(made.world.audit.acts())
        told.append(
            f"world {stored.name} goes on from {path}: {acts} act{'' if acts == 1 else 's'}, the chain verifies"
        )
        if asked is not None and asked[1]() != stored.scenario:
            told += _take_over(hosting, made, asked)
            state.scenario_changed(made.world, asked[1]())
    problem = state.write()
    if problem is not None:
        raise StateFileError(problem)
    hosting.state = state
    return told


def _kept(stored: StoredWorld, path: Path, vocabulary: Callable[[], Vocabulary]) -> Given:
    text = stored.scenario
    if not text:
        return Scenario.default(), lambda: text
    inspected = inspect_text(text, f"{path}:{stored.name}", vocabulary())
    if inspected.scenario is None:
        problems = "\n".join(str(problem) for problem in inspected.problems if problem.severity == "error")
        raise StateFileError(
            f"the scenario of world {stored.name} in {path} cannot be read by this stack-emu; name the scenario's file, or "
            f"choose another --state FILE\n{problems}"
        )
    return inspected.scenario, lambda: text


def _take_over(hosting: Hosting, made: HostedWorld, asked: Given) -> list[str]:
    """Lay what changed in the scenario since over the world that was kept."""
    scenario, text = asked
    steps = reload(hosting, made, scenario)
    made.text = text
    return ["the scenario has changed since", *(f"  {step.kind}: {step.sentence}" for step in steps)]
