"""The play: calls that together reach every public method of every published version of the SDK, in an order in which
each can succeed, with what each reply has to mean. Steps whose method a version does not have are left out there.

Standard library only: it runs inside the SDK's own virtual environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

GOVERNED = "governed"
"""Stands for the reply of a change that waits for an approval which the version has no way to send."""


@dataclass(frozen=True)
class Step:
    """One call.

    Args:
        label: ``service.method``; one that starts with ``~`` is done by ``arguments`` alone, outside the SDK.
        arguments: the stage → keyword arguments of all versions; each gets those it knows. ``**`` are its free keywords.
        keep: name the reply is kept under; the label when empty.
        check: (reply, stage) → whether the reply means what it should.
        refusal: text of the refusal that has to come instead of a reply.
        governed: whether it may need a human's approval.
        applies: whether the step belongs to this version and stage.
    """

    label: str
    arguments: Callable[[Any], dict[str, Any]]
    keep: str = ""
    check: Callable[[Any, Any], Any] | None = None
    refusal: str = ""
    governed: bool = False
    applies: Callable[[Any], bool] = lambda stage: True


def call(
    label: str,
    keep: str = "",
    check: Any = None,
    refusal: str = "",
    governed: bool = False,
    applies: Callable[[Any], bool] = lambda stage: True,
    **arguments: Any,
) -> Step:
    """A step whose arguments are values, or functions of the stage."""

    def given(stage: Any) -> dict[str, Any]:
        made = {name: value(stage) if callable(value) else value for name, value in arguments.items()}
        made.update(made.pop("more", {}))
        if "free" in made:
            made["**"] = made.pop("free")
        return made

    return Step(label, given, keep, check, refusal, governed, applies)


def aside(act: Callable[[Any], Any], service: str = "~") -> Step:
    """Something that is done outside the SDK: what a human, an upstream or a browser would do."""

    def done(stage: Any) -> dict[str, Any]:
        act(stage)
        return {}

    return Step(f"~{service}", done)


def ids(items: Any) -> list[Any]:
    """The ids of the records in a list."""
    return [item["id"] for item in items]


def steps() -> Iterator[Step]:
    """Every step, in order, each followed by the looks at what it did."""
    from play import authority, fleets, market, missions, partners, passports, settings, sweep, sweep_work, upkeep
    from play.looks import LOOKS

    for act in (passports, missions, settings, market, partners, fleets, authority, sweep, sweep_work, upkeep):
        for step in act.STEPS:
            yield step
            yield from LOOKS.get(step.keep or step.label, ())
