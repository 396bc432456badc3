"""What somebody probably meant: ``difflib`` over words a client sent, which may be as long as a client likes."""

from __future__ import annotations

import difflib
from collections.abc import Collection

LONGEST = 256
"""Characters that are compared: the time it takes grows with the product of the lengths, and no known word is longer."""


def likeness(one: str, other: str) -> float:
    """How like two texts are, from 0 to 1, by their beginnings."""
    return difflib.SequenceMatcher(None, one[:LONGEST], other[:LONGEST]).ratio()


def close_matches(word: str, known: Collection[str], n: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known words most like one, best first; none for a text too long to be a misspelt word.

    Args:
        word: what was written.
        known: what could have been meant.
        n: the most to return.
        cutoff: the least likeness.
    """
    return difflib.get_close_matches(word, known, n, cutoff) if len(word) <= LONGEST else []
