"""What is wrong with a scenario: one `Problem` per mistake, all of them in one `ScenarioError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Part = str | int
Location = tuple[Part, ...]
"""Where a value stands: the keys and list positions on the way to it."""


@dataclass(frozen=True)
class Problem:
    """One mistake and where it is.

    Args:
        file: the file as the user named it, or what stands in for one.
        line: line counted from 1, or 0 when the problem has no place in a text.
        column: column counted from 1, or 0.
        path: the keys that lead to the value, such as `services[0].grants[1].agent`; empty for the file as a whole.
        sentence: what is wrong and what would have worked.
        severity: a warning does not stop the scenario from loading.
    """

    file: str
    line: int
    column: int
    path: str
    sentence: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """The line printed for it: `file:line:column: path: sentence`, leaving out what it does not have."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [place, "warning" if self.severity == "warning" else "", self.path, self.sentence]
        return ": ".join(part for part in parts if part)


class ScenarioError(Exception):
    """A scenario that cannot be loaded, with every problem found in it.

    Args:
        problems: the errors, in the order of the file; warnings are not among them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_text(location: Location) -> str:
    """How a location is written for people: `services[0].grants[1].agent`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{shortened(part)}" if text else shortened(part)
    return text


def shortened(word: str) -> str:
    """A word as messages show it."""
    return word if len(word) <= _LONGEST_SHOWN else word[:_LONGEST_SHOWN] + "…"


_LONGEST_SHOWN = 120


_LONGEST_WORD = 256
"""Characters of a word that is compared with others; nobody misspells a longer one."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word a misspelt one most likely stands for, if any is close."""
    if len(word) > _LONGEST_WORD:
        return None
    by_folded = {name.lower().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), sorted(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def suggestion(word: str, known: Iterable[str], what: str) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all of them.

    Args:
        word: what was written.
        known: what would have worked.
        what: the plural of the thing, for the case that there is none at all.
    """
    choices = sorted(set(known))
    close = nearest(word, choices)
    if close:
        return f"did you mean {close}?"
    if not choices:
        return f"there are no {what}"
    listed = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    return f"{what}: {listed}"
