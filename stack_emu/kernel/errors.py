"""Faults: the refusals an operation can answer with, kept as a table of specifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FaultSpec:
    """One row of a fault catalogue.

    Args:
        code: the machine-readable contract, for example ``NOT_FOUND``.
        status: HTTP status the fault is answered with.
        template: message with ``str.format`` fields, filled from the details given when it is raised.
        outcome: audit outcome of a refusal with this code (``blocked`` or ``failure``).
    """

    code: str
    status: int
    template: str
    outcome: str = "blocked"


class Fault(Exception):
    """A refusal. The state of the act is undone, its audit row is kept.

    Args:
        spec: the catalogue row.
        message: replaces the formatted template when given.
        details: an object for the reply; clients drop anything that is not an object.
        **fields: values for the template; all but ``hint`` and ``problem``, which only make sentences, join the
            details.
    """

    def __init__(
        self,
        spec: FaultSpec,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        self.spec = spec
        self.message = message if message is not None else spec.template.format(**fields)
        sentences = ("hint", "problem", spec.template.strip("{}"))
        data = {name: value for name, value in fields.items() if name not in sentences}
        self.details: dict[str, Any] = {**data, **(details or {})}
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The machine-readable code."""
        return self.spec.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.spec.status


class KernelError(Exception):
    """A mistake in how the emulator itself is put together (a programming error, never a client's fault)."""


class WorldError(Exception):
    """A description of a world that reads well but cannot be built; the message says what would work."""
