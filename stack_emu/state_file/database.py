"""The SQLite file that holds worlds: opening, refusing, migrating, and one transaction for each step."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack_emu.kernel.errors import WorldError

FORMAT = 1
"""The format this version writes. What an older one wrote is migrated, a copy of it kept beside it."""

APPLICATION_ID = 0x5354454D
"""Marks an SQLite file as one of ours (``STEM``)."""

_SCHEMA = """
CREATE TABLE worlds(
  name TEXT PRIMARY KEY, scenario TEXT NOT NULL, seed TEXT NOT NULL, clock TEXT NOT NULL,
  start_ms INTEGER NOT NULL, moved_ms INTEGER NOT NULL, strict INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE records(
  world TEXT, kind TEXT, id TEXT, places TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY(world, kind, id)
) WITHOUT ROWID;
CREATE TABLE acts(world TEXT, sequence INTEGER, act TEXT NOT NULL, PRIMARY KEY(world, sequence)) WITHOUT ROWID;
CREATE TABLE counts(
  world TEXT, of TEXT, name TEXT, value INTEGER NOT NULL, PRIMARY KEY(world, of, name)
) WITHOUT ROWID;
CREATE TABLE secrets(world TEXT, number INTEGER, secret TEXT NOT NULL, PRIMARY KEY(world, number)) WITHOUT ROWID;
"""

TABLES = ("worlds", "records", "acts", "counts", "secrets")

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: Mapping[int, Migration] = {}
"""How a file of a format becomes one of the next, by the format it has."""


class StateFileError(WorldError):
    """A state file that cannot be used or written; the message says why and what to do."""


class Database:
    """An open state file. Only one process can have it open.

    Args:
        path: the file; made when there is none, readable by its owner only.
        migrations: how older formats are brought up to date.
        version: the format to write.

    Raises:
        StateFileError: when it cannot be used.
    """

    def __init__(self, path: Path, migrations: Mapping[int, Migration] = MIGRATIONS, version: int = FORMAT) -> None:
        self.path = path
        self._version = version
        self._connection = self._connect()
        try:
            self._prepare(migrations)
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        _require_place(self.path)
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        try:
            if fresh:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            # Loaded in a thread, used in the event loop; never by two at a time.
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StateFileError(f"the state file {self.path} cannot be opened: {_reason(error)}") from None
        return connection

    def _prepare(self, migrations: Mapping[int, Migration]) -> None:
        try:
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("BEGIN EXCLUSIVE")
            found = self._connection.execute("PRAGMA application_id").fetchone()[0]
            written = self._connection.execute("PRAGMA user_version").fetchone()[0]
            objects = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StateFileError(self._unusable(error)) from None
        if objects and found != APPLICATION_ID:
            raise StateFileError(
                f"{self.path} is a database, but no state file of stack-emu; choose another --state FILE"
            )
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            # A write survives the end of the process, however it ends; only the machine's own end may take the last ones.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            if not objects:
                self._create()
            elif written != self._version:
                self._migrate(written, migrations)
            problem = self._connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.Error as error:
            raise StateFileError(self._unusable(error)) from None
        if problem != "ok":
            raise StateFileError(
                f"the state file {self.path} is damaged ({problem}); move it away to begin anew, or restore a copy of it"
            )

    def _create(self) -> None:
        with self.transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={self._version}")

    def _migrate(self, written: int, migrations: Mapping[int, Migration]) -> None:
        steps = range(written, self._version)
        if written > self._version or any(step not in migrations for step in steps):
            newer = written > self._version
            raise StateFileError(
                f"the state file {self.path} has format {written}, and this stack-emu reads up to format {self._version}; "
                + ("use a newer stack-emu, or another --state FILE" if newer else "choose another --state FILE")
            )
        copy = self.path.with_name(f"{self.path.name}.format-{written}")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try:
            shutil.copy2(self.path, copy)
        except OSError as error:
            raise StateFileError(
                f"{self.path} has the older format {written}, and no copy of it can be made at {copy}: {error.strerror}"
            ) from None
        with self.transaction() as connection:
            for step in steps:
                migrations[step](connection)
            connection.execute(f"PRAGMA user_version={self._version}")

    def _unusable(self, error: sqlite3.Error) -> str:
        text = str(error)
        if "locked" in text:
            return f"the state file {self.path} is in use by another emulator; stop that one, or choose another --state FILE"
        if "not a database" in text:
            return f"{self.path} is no state file of stack-emu; choose another --state FILE"
        if "malformed" in text:
            return (
                f"the state file {self.path} is damaged ({text}); move it away to begin anew, or restore a copy of it"
            )
        return f"the state file {self.path} cannot be used: {_reason(error)}"

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is in the file when the block is left normally, and nothing of it otherwise.

        Raises:
            sqlite3.Error: when it cannot be written.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a query finds.

        Raises:
            StateFileError: when the file cannot be read.
        """
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StateFileError(self._unusable(error)) from None

    def close(self) -> None:
        """Close the file; what is in its write-ahead log moves into it."""
        self._connection.close()


def _require_place(path: Path) -> None:
    if path.is_dir():
        raise StateFileError(f"{path} is a folder; give the name of a file in it to --state")
    if not path.absolute().parent.is_dir():
        raise StateFileError(f"{path} cannot be made: there is no folder {path.parent}; make it first")
    if path.exists() and not os.access(path, os.W_OK):
        raise StateFileError(f"the state file {path} is read-only; make it writable, or choose another --state FILE")
    if not os.access(path.absolute().parent, os.W_OK):
        raise StateFileError(
            f"the folder of {path} is read-only, and SQLite needs to write beside the file; choose another --state FILE"
        )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
