"""A step of the tour, and the usual ways to build its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Replies = Mapping[str, Any]
Input = Callable[[Replies], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One call.

    Args:
        operation: name of the operation.
        raw: its input.
        keep: name under which the reply is found by later steps.
        code: code of the refusal that is meant to come, for what the next steps need; None for a success.
        rest_only: the input has a part that is no tool argument.
    """

    operation: str
    raw: Input
    keep: str = ""
    code: str | None = None
    rest_only: bool = False

    @property
    def name(self) -> str:
        return self.keep or self.operation


def fixed(**raw: Any) -> Input:
    return lambda replies: dict(raw)


def of(name: str, **fields: str) -> Input:
    """Input whose fields are taken from the reply kept under ``name``."""
    return lambda replies: {field: replies[name][source] for field, source in fields.items()}
