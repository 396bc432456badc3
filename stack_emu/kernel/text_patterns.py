r"""Regular expressions that others wrote, run by RE2: in a time that grows with the text, whatever the expression.

RE2 has no look-around and no back-references, and its ``\d``, ``\w`` and ``\b`` are of ASCII.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """An expression of RE2's, which has ``search`` and ``fullmatch`` as those of ``re`` do.

    Raises:
        ValueError: when it is no expression of RE2's.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason: Any = error.args[0] if error.args else error
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None


def problem(pattern: str) -> str | None:
    """Why a text is no regular expression here, as the end of a sentence; None when it is one."""
    try:
        compiled(pattern)
    except ValueError as error:
        return f"this is not a regular expression: {error}; RE2 has no look-around and no back-references"
    return None


def found(pattern: str, text: str) -> bool:
    """Whether an expression is found in a text.

    Raises:
        ValueError: when it is no expression of RE2's.
    """
    return compiled(pattern).search(text) is not None
