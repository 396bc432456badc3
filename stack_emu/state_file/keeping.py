"""Keeping worlds in a state file: what changed is written before a reply leaves, and read back when the emulator starts."""

from __future__ import annotations

import dataclasses
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack_emu.kernel.audit import AuditImage, verify_chain
from stack_emu.kernel.errors import Fault, FaultSpec
from stack_emu.kernel.record_json import RecordCodec, UnknownTable
from stack_emu.kernel.redactor import Learned
from stack_emu.kernel.store import Store
from stack_emu.kernel.world import ACT, LANE, MINTED, World, WorldImage
from stack_emu.state_file.database import TABLES, Database, StateFileError
from stack_emu.worlds.acts_json import dump_act, load_audit
from stack_emu.worlds.record_kinds import codec_of

STATE_NOT_WRITTEN = FaultSpec(
    "STATE_NOT_WRITTEN", 503, "{problem}; what this call did is kept in memory and written once it can be", "failure"
)
_log = logging.getLogger("stack_emu")


@dataclass(frozen=True)
class StoredWorld:
    """What a world is made from, as the file has it.

    Args:
        name: its name.
        scenario: its scenario as text.
        seed: its seed in hex.
        clock: ``real`` or ``virtual``.
        start_ms: when it began, in epoch milliseconds.
        moved_ms: how far its clock was moved, in milliseconds.
        strict: whether violations fail a run.
    """

    name: str
    scenario: str
    seed: str
    clock: str
    start_ms: int
    moved_ms: int
    strict: bool


class StateFile:
    """Follows worlds and writes what they change.

    Args:
        database: the open file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._worlds: dict[str, _Kept] = {}
        self._gone: set[str] = set()
        self._codec: RecordCodec | None = None
        self._trouble: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    @property
    def trouble(self) -> str | None:
        """Why the last write failed; None when it did not."""
        return self._trouble

    def stored(self) -> list[StoredWorld]:
        """The worlds in the file, by name.

        Raises:
            StateFileError: when it cannot be read.
        """
        found = self._database.rows(
            "SELECT name, scenario, seed, clock, start_ms, moved_ms, strict FROM worlds ORDER BY name"
        )
        return [
            StoredWorld(name, text, seed, clock, start_ms, moved_ms, bool(strict))
            for name, text, seed, clock, start_ms, moved_ms, strict in found
        ]

    def restore(self, world: World, stored: StoredWorld) -> None:
        """Bring a world made from the same scenario to where the file says it was.

        Raises:
            StateFileError: when the file does not fit the world, or a hash chain in it does not hold.
        """
        if stored.seed != world.seed.hex() or stored.clock != _clock(world):
            raise StateFileError(
                f"the state in {self.path} was made with another seed or kind of clock than the scenario has now, so its ids "
                "and tokens would not hold; start with the scenario it was made with, or choose another --state FILE"
            )
        self._codec = codec_of([world])
        image = self._image(stored)
        for operator_id, rows in image.audit.chains.items():
            broken = verify_chain(rows, world.audit.row_hash)
            if broken is not None:
                raise StateFileError(
                    f"the audit chain of {operator_id} in {self.path} breaks at row {broken.index + 1} ({broken.entry_id}): "
                    f"{broken.problem}; the file was changed by something else: restore a copy of it, or move it away"
                )
        secrets = self._database.rows("SELECT secret FROM secrets WHERE world=? ORDER BY number", (stored.name,))
        world.redactor.learn(Learned(**json.loads(text)) for (text,) in secrets)
        world.restore(image)
        world.clock.begin_at(stored.start_ms)
        world.clock.return_to(stored.moved_ms)

    def follow(self, world: World, scenario: str, *, strict: bool, written: bool) -> None:
        """Write what a world changes from now on.

        Args:
            world: the world.
            scenario: its scenario as text.
            strict: whether violations fail a run.
            written: whether the file has the world as it is now.
        """
        changes = world.track()
        kept = self._worlds[world.name] = _Kept(world, scenario, strict)
        if written:
            changes.written(len(world.audit.acts()))
            kept.written()
        self._gone.discard(world.name)
        self._codec = None
        world.save = self._save

    def scenario_changed(self, world: World, scenario: str) -> None:
        """Say that a world goes on with another scenario.

        Args:
            world: the world.
            scenario: its scenario as text.
        """
        kept = self._worlds.get(world.name)
        if kept is not None and kept.world is world and kept.scenario != scenario:
            kept.scenario, kept.moved_ms = scenario, -1

    def drop(self, world: World) -> None:
        """Forget a world that was removed; the next write takes it out of the file."""
        kept = self._worlds.get(world.name)
        if kept is not None and kept.world is world:
            del self._worlds[world.name]
            self._gone.add(world.name)
            world.save = lambda: None

    def _save(self) -> None:
        problem = self.write()
        if problem is not None:
            raise Fault(STATE_NOT_WRITTEN, problem=problem)

    def write(self) -> str | None:
        """Write everything that changed, in one transaction; returns why it could not be, or None."""
        changed = [kept for kept in self._worlds.values() if kept.changed()]
        if not changed and not self._gone:
            self._trouble = None
            return None
        if self._codec is None:
            self._codec = codec_of(kept.world for kept in self._worlds.values())
        try:
            with self._database.transaction() as connection:
                for name in self._gone:
                    _delete(connection, name)
                for kept in changed:
                    kept.write(connection, self._codec)
        except sqlite3.Error as error:
            return self._failed(f"the state file {self.path} cannot be written ({error})")
        self._gone.clear()
        for kept in changed:
            kept.world.track().written(len(kept.world.audit.acts()))
            kept.written()
        if self._trouble is not None:
            self._trouble = None
            _log.warning("the state file %s is written again", self.path)
        return None

    def _failed(self, problem: str) -> str:
        sentence = f"{problem}; free space on its disk, or make it writable again"
        if self._trouble != sentence:
            _log.error("%s; until then every call is answered 503", sentence)
        self._trouble = sentence
        return sentence

    def close(self) -> None:
        """Write what is left and close the file."""
        self.write()
        self._database.close()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _image(self, stored: StoredWorld) -> WorldImage:
        counts: dict[str, dict[str, int]] = {ACT: {}, LANE: {}, MINTED: {}}
        for of, name, value in self._database.rows("SELECT of, name, value FROM counts WHERE world=?", (stored.name,)):
            counts[of][json.loads(name)] = value
        return WorldImage(
            Store.picture(self._tables(stored.name)),
            self._audit(stored.name),
            counts[ACT],
            counts[LANE],
            counts[MINTED],
            stored.moved_ms,
        )

    def _tables(self, world: str) -> Mapping[type[Any], Iterable[tuple[Any, list[Any]]]]:
        assert self._codec is not None
        tables: dict[type[Any], list[tuple[Any, list[Any]]]] = {}
        for table, places, data in self._database.rows(
            "SELECT kind, places, data FROM records WHERE world=?", (world,)
        ):
            try:
                record = self._codec.load(table, json.loads(data))
            except UnknownTable:
                raise StateFileError(
                    f"{self.path} holds {table}, which no pack of this scenario keeps; start with the scenario the state was "
                    "made with, or choose another --state FILE"
                ) from None
            except ValueError as error:
                raise StateFileError(f"{self.path} cannot be read: {error}; restore a copy of it") from None
            tables.setdefault(type(record), []).append((record, json.loads(places)))
        return tables

    def _audit(self, world: str) -> AuditImage:
        rows = self._database.rows("SELECT act FROM acts WHERE world=? ORDER BY sequence", (world,))
        return load_audit(json.loads(text) for (text,) in rows)


@dataclass
class _Kept:
    """A world that is followed."""

    world: World
    scenario: str
    strict: bool
    moved_ms: int = -1
    learned: int = 0

    def changed(self) -> bool:
        """Whether anything of it is not in the file."""
        changes = self.world.track()
        return (
            changes.everything
            or bool(changes.records or changes.counts)
            or changes.acts != len(self.world.audit.acts())
            or self.moved_ms != self.world.clock.moved_ms
            or self.learned != len(self.world.redactor.learned)
        )

    def written(self) -> None:
        """All of it is in the file."""
        self.moved_ms = self.world.clock.moved_ms
        self.learned = len(self.world.redactor.learned)

    def write(self, connection: sqlite3.Connection, codec: RecordCodec) -> None:
        """Bring the file up to date."""
        changes, world = self.world.track(), self.world
        if changes.everything:
            _delete(connection, world.name)
            self._write_records(connection, codec, _all_records(world))
            self._write_counts(connection, world.counts())
            self._write_acts(connection, 0)
            self._write_secrets(connection, 0)
        else:
            self._write_records(connection, codec, changes.records)
            self._write_counts(connection, ((of, name, world.count(of, name)) for of, name in changes.counts))
            self._write_acts(connection, changes.acts)
            self._write_secrets(connection, self.learned)
        if changes.everything or self.moved_ms != world.clock.moved_ms:
            head = (world.name, self.scenario, world.seed.hex(), _clock(world), world.clock.start_ms)
            connection.execute(
                "INSERT OR REPLACE INTO worlds VALUES (?,?,?,?,?,?,?)", (*head, world.clock.moved_ms, self.strict)
            )

    def _write_records(
        self, connection: sqlite3.Connection, codec: RecordCodec, keys: Iterable[tuple[type[Any], str]]
    ) -> None:
        name = self.world.name
        for kind, key in keys:
            placed = self.world.store.placed(kind, key)
            if placed is None:
                connection.execute(
                    "DELETE FROM records WHERE world=? AND kind=? AND id=?", (name, kind.TABLE, _json(key))
                )
                continue
            record, places = placed
            values = (name, kind.TABLE, _json(key), _json(places), _json(codec.dump(record)))
            connection.execute("INSERT OR REPLACE INTO records VALUES (?,?,?,?,?)", values)

    def _write_counts(self, connection: sqlite3.Connection, counts: Iterable[tuple[str, str, int]]) -> None:
        connection.executemany(
            "INSERT OR REPLACE INTO counts VALUES (?,?,?,?)",
            ((self.world.name, of, _json(name), value) for of, name, value in counts),
        )

    def _write_acts(self, connection: sqlite3.Connection, first: int) -> None:
        acts = self.world.audit.acts()
        connection.executemany(
            "INSERT OR REPLACE INTO acts VALUES (?,?,?)",
            ((self.world.name, number, _json(dump_act(acts[number]))) for number in range(first, len(acts))),
        )

    def _write_secrets(self, connection: sqlite3.Connection, first: int) -> None:
        learned = self.world.redactor.learned
        connection.executemany(
            "INSERT OR REPLACE INTO secrets VALUES (?,?,?)",
            (
                (self.world.name, number, _json(dataclasses.asdict(learned[number])))
                for number in range(first, len(learned))
            ),
        )


def _all_records(world: World) -> Iterator[tuple[type[Any], str]]:
    for kind in world.store.kinds():
        for record in world.store.all(kind):
            yield kind, record.id


def _delete(connection: sqlite3.Connection, name: str) -> None:
    for table in TABLES:
        column = "name" if table == "worlds" else "world"
        connection.execute(f"DELETE FROM {table} WHERE {column}=?", (name,))  # noqa: S608 - the names are our own


def _clock(world: World) -> str:
    return "virtual" if world.clock.virtual else "real"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_as_plain)


def _as_plain(value: Any) -> Any:
    """JSON objects of rows may be any mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON data")
