"""The exit codes of ``exec`` that are not the command's own; those of shells, where shells have one."""

from __future__ import annotations

FAILED = 70
"""An expectation did not hold, or a strict run was violated."""
NOT_EXECUTABLE = 126
"""The command is there and cannot be run."""
NOT_FOUND = 127
"""There is no such command."""
SIGNALLED = 128
"""To this the number of the signal is added that ended the command."""
