"""State files that cannot be used or written: every refusal says what to do, and nothing is damaged."""

from __future__ import annotations

import resource
import signal
import sqlite3
from pathlib import Path

import getstack
import httpx
import pytest

from stack_emu.state_file import Database, StateFileError
from tests.state.conftest import KEY, Running, Zygote


def refused(zygote: Zygote, *arguments: object, obeys_modes: bool = False) -> str:
    """Start an emulator that does not; what it says."""
    running = zygote.spawn("up", *arguments, "--port", "0", "--json", obeys_modes=obeys_modes)
    assert running.wait() == 2, running.told()
    assert running.stdout.read_text() == ""
    return running.told()


def register(running: Running, name: str) -> str:
    with running.stack() as stack:
        return str(stack.agents.register(name, accountability_mode="logged").id)


def test_a_full_disk_refuses_calls_until_there_is_space_and_loses_nothing(
    zygote: Zygote, scenario: Path, state: Path
) -> None:
    """The size a process may write is limited; SQLite sees what it sees on a full disk, an incomplete write."""
    running = zygote.up(scenario, "--state", state, file_limit=400_000)
    names: list[str] = []
    with running.stack() as stack, pytest.raises(getstack.StackError) as full:
        for number in range(10_000):
            stack.agents.register(f"bot-{number}", description="x" * 200, accountability_mode="logged")
            names.append(f"bot-{number}")
    assert full.value.code == "STATE_NOT_WRITTEN"
    assert "free space on its disk, or make it writable again" in str(full.value)
    assert str(state) in str(full.value)
    assert len(names) > 5
    for path in ("/v1/agents", "/_emu/health"):
        reply = httpx.get(running.base_url + path, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "STATE_NOT_WRITTEN")
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with running.stack() as stack:
        there = [agent.name for agent in stack.agents.list()]
    assert set(names) <= set(there)
    assert "is written again" in running.told()
    running.end(signal.SIGKILL)

    again = zygote.up(scenario, "--state", state)
    with again.stack() as stack:
        assert [agent.name for agent in stack.agents.list()] == there
        assert stack.audit.verify_chain()["valid"]
    again.end()


def test_after_a_crash_on_a_full_disk_the_file_is_whole(zygote: Zygote, scenario: Path, state: Path) -> None:
    running = zygote.up(scenario, "--state", state, file_limit=400_000)
    names: list[str] = []
    with running.stack() as stack, pytest.raises(getstack.StackError):
        while True:
            agent = stack.agents.register(f"bot-{len(names)}", description="x" * 200, accountability_mode="logged")
            names.append(agent.id)
    running.end(signal.SIGKILL)
    again = zygote.up(scenario, "--state", state)
    with again.stack() as stack:
        assert set(names) <= {agent.id for agent in stack.agents.list()}
        assert stack.audit.verify_chain()["valid"]
    again.end()


def test_a_file_in_use_is_refused(zygote: Zygote, scenario: Path, state: Path) -> None:
    running = zygote.up(scenario, "--state", state)
    assert f"the state file {state} is in use by another emulator; stop that one" in refused(
        zygote, scenario, "--state", state
    )
    register(running, "still-there")
    running.end()


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_read_only_file_is_refused(zygote: Zygote, scenario: Path, state: Path, mode: int) -> None:
    zygote.up(scenario, "--state", state).end(signal.SIGTERM)
    before = state.read_bytes()
    state.chmod(mode)
    said = refused(zygote, scenario, "--state", state, obeys_modes=True)
    assert f"the state file {state} is read-only; make it writable" in said
    state.chmod(0o600)
    assert state.read_bytes() == before


def test_a_read_only_folder_is_refused(zygote: Zygote, scenario: Path, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    said = refused(zygote, scenario, "--state", folder / "world.db", obeys_modes=True)
    assert f"the folder of {folder / 'world.db'} is read-only" in said


def test_what_is_no_state_file_is_refused_and_left_alone(zygote: Zygote, scenario: Path, tmp_path: Path) -> None:
    text, other, folder = tmp_path / "notes.txt", tmp_path / "other.db", tmp_path / "folder"
    text.write_text("these are notes, and no database at all" * 50)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine(a)")
    connection.close()
    folder.mkdir()
    before = text.read_bytes(), other.read_bytes()
    assert f"{text} is no state file of stack-emu; choose another" in refused(zygote, scenario, "--state", text)
    assert f"{other} is a database, but no state file of stack-emu" in refused(zygote, scenario, "--state", other)
    assert f"{folder} is a folder" in refused(zygote, scenario, "--state", folder)
    assert "there is no folder" in refused(zygote, scenario, "--state", tmp_path / "nowhere" / "world.db")
    assert (text.read_bytes(), other.read_bytes()) == before


def test_another_seed_is_refused(zygote: Zygote, scenario: Path, state: Path) -> None:
    zygote.up(scenario, "--state", state).end(signal.SIGTERM)
    assert "was made with another seed" in refused(zygote, scenario, "--state", state, "--seed", "8")
    zygote.up(scenario, "--state", state).end()


def test_a_row_that_was_changed_is_found_at_the_start(zygote: Zygote, scenario: Path, state: Path) -> None:
    running = zygote.up(scenario, "--state", state)
    register(running, "one-more")
    register(running, "two-more")
    running.end(signal.SIGTERM)
    with sqlite3.connect(state) as connection:
        changed = 'UPDATE acts SET act=replace(act, \'"outcome":"success"\', \'"outcome":"blocked"\') WHERE sequence=1'
        assert connection.execute(changed).rowcount == 1
    connection.close()
    said = refused(zygote, scenario, "--state", state)
    assert "the audit chain of op_kept" in said
    assert "breaks at row 2" in said


def test_a_damaged_file_is_refused(zygote: Zygote, scenario: Path, state: Path) -> None:
    running = zygote.up(scenario, "--state", state)
    for number in range(30):
        register(running, f"bot-{number}")
    running.end(signal.SIGTERM)
    content = bytearray(state.read_bytes())
    content[8192:12288] = bytes(4096)
    state.write_bytes(content)
    said = refused(zygote, scenario, "--state", state)
    assert "is damaged" in said
    assert "move it away to begin anew" in said


def test_a_newer_format_is_refused_and_an_older_one_migrated(tmp_path: Path) -> None:
    path = tmp_path / "world.db"
    Database(path, version=7).close()
    with pytest.raises(StateFileError, match=r"has format 7, and this stack-emu reads up to format 1; use a newer"):
        Database(path)
    with pytest.raises(StateFileError, match=r"has format 7, and this stack-emu reads up to format 9; choose another"):
        Database(path, {8: lambda connection: None}, version=9)
    before = path.read_bytes()

    def add(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE added(a)")

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half(a)")
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(StateFileError, match="disk is full"):
        Database(path, {7: add, 8: fail}, version=9)
    migrated = Database(path, {7: add}, version=8)
    assert migrated.rows("SELECT count(*) FROM added") == [(0,)]
    with pytest.raises(StateFileError):
        migrated.rows("SELECT * FROM half")
    migrated.close()
    assert (tmp_path / "world.db.format-7").read_bytes() == before
    Database(path, {7: add}, version=8).close()
