"""Worlds that outlive the process: every acknowledged write of ``up --state FILE`` is in an SQLite file."""

from stack_emu.state_file.database import Database, StateFileError
from stack_emu.state_file.keeping import StateFile

__all__ = ["Database", "StateFile", "StateFileError"]
