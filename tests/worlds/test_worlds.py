"""Worlds as wholes: forked, compared, exported, imported, in numbers, and gone without a trace."""

from __future__ import annotations

import gc
import json
import subprocess
import weakref
from pathlib import Path
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.client import EmulatorClient, EmulatorError, WorldClient
from stack_emu.domain.canonical_audit import verify
from stack_emu.emulator import Emulator
from tests.cli.conftest import PROGRAM, plain_environment
from tests.worlds.conftest import SCENARIO, post, said


def live(world: WorldClient, *, speak: bool = True) -> None:
    """What an agent's test does to a world."""
    with world.stack() as stack:
        agent = stack.agents.register("second-bot", accountability_mode="logged")
        stack.services.grant_agent_access(agent.id, "scon_slack", ["chat:write"])
        started = stack.missions.start(
            agent_id=agent.id,
            mission={"intent_summary": "tell", "intent_services": ["slack"]},
            passport={"intent": {"summary": "tell", "services": ["slack"]}},
        )
        stack.passports.revoke(started["passport"]["jti"], reason="done")
        stack.services.connect_custom("Ours", credential="a-secret-of-the-run")
    if speak:
        post(world, "one")
    world.clock.advance("10m")


def test_a_fork_goes_on_by_itself(emulator: EmulatorClient, world: WorldClient) -> None:
    live(world)
    fork = world.fork("second")
    assert fork.diff("world:first")["same"]
    assert fork.audit.canonical() == world.audit.canonical()
    assert fork.clock.now_ms() == world.clock.now_ms()
    assert post(world, "same")["ts"] == post(fork, "same")["ts"], "equal acts have equal ids in both"
    post(fork, "only here")
    assert said(fork) == ["only here", "same", "one"]
    assert said(world) == ["same", "one"]
    assert not fork.diff("world:first")["same"]
    fork.reset()
    assert fork.diff()["same"]
    assert said(world) == ["same", "one"]


def test_a_fork_has_the_rules_that_were_added(emulator: EmulatorClient, world: WorldClient) -> None:
    world.model.script({"when": {"user": "bye"}, "turns": [{"say": "Bye."}]})
    world.faults.add(on={"operation": "agents.list"}, inject={"error": "TIER_LIMIT_EXCEEDED"})
    fork = world.fork("second")
    with fork.anthropic() as claude:
        reply = claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "bye"}])
    assert reply.content[0].text == "Bye."
    with fork.stack() as stack, pytest.raises(getstack.StackError):
        stack.agents.list()


def test_a_difference_is_told_in_words(emulator: EmulatorClient, world: WorldClient) -> None:
    assert world.diff() == {"same": True, "records": [], "acts": [0, 0], "clock_moved_ms": [0, 0], "text": ""}
    live(world)
    before = world.snapshot("before")
    with world.stack() as stack:
        stack.agents.update("agt_one", description="told")
        stack.passports.revoke("pp_one", reason="enough")
    found = world.diff(f"snapshot:{before}")
    assert found["acts"][1] - found["acts"][0] == 2
    changed = {(one["table"], one["id"]): one for one in found["records"]}
    assert changed["agents", "agt_one"]["fields"]["description"] == [None, "told"]
    assert changed["agents", "agt_one"]["label"] == "one-bot"
    assert changed["passports", "pp_one"]["change"] == "changed"
    assert "agents: agt_one (one-bot) changed: " in found["text"]
    assert "description None → told" in found["text"]
    seed = world.diff()
    assert "clock: moved by 0 ms → 600000 ms" in seed["text"]
    assert "a-secret-of-the-run" not in json.dumps(seed)
    assert world.snapshots == ["before"]
    world.forget_snapshot("before")
    assert world.snapshots == []


def test_an_export_is_stable_holds_no_secret_and_goes_on_elsewhere(
    emulator: EmulatorClient, world: WorldClient, scenario: Path
) -> None:
    live(world)
    document = world.export()
    text = json.dumps(document, sort_keys=True)
    assert "a-secret-of-the-run" not in text
    assert "<secret:scon_slack>" in text
    assert world.export() == document
    # The SDK makes the id of a proxied call anew each time, and the record of the call has it.
    silent = [emulator.create_world(name, scenario=scenario) for name in ("silent", "again")]
    for one in silent:
        live(one, speak=False)
    assert silent[0].connection.request("GET", "/w/silent/_emu/export") == silent[1].raw("GET", "/export")

    with Emulator() as elsewhere, EmulatorClient(elsewhere.base_url) as other:
        there = other.import_world("there", document, scenario=scenario)
        assert len(there.description["replaced_secrets"]) == 1
        assert there.audit.canonical() == world.audit.canonical()
        assert there.clock.now() == world.clock.now()
        assert post(there, "next")["ts"] == post(world, "next")["ts"]
        assert said(there) == said(world) == ["next", "one"]
        with there.stack() as stack:
            assert stack.audit.verify_chain()["valid"]
        there.reset()
        assert there.diff()["same"]


def broken(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**document, **changes}


def test_an_export_that_does_not_fit_is_refused(emulator: EmulatorClient, world: WorldClient, scenario: Path) -> None:
    live(world)
    document = world.export()

    def refusal(changed: Any, **options: Any) -> str:
        with pytest.raises(EmulatorError) as caught:
            emulator.import_world("no", changed, **{"scenario": scenario, **options})
        return str(caught.value)

    assert "its format should be stack-emu-world/1, not None" in refusal({})
    assert "it lacks acts" in refusal({name: part for name, part in document.items() if name != "acts"})
    assert "made from another scenario" in refusal(document, scenario=None, scenario_yaml=SCENARIO + "strict: true\n")
    edited = json.loads(json.dumps(document))
    edited["acts"][1]["rows"][0]["outcome"] = "blocked"
    assert "breaks at row 2" in refusal(edited)
    unknown = broken(document, records={**document["records"], "spoons": [{"places": [1], "record": {"id": "s"}}]})
    assert "holds spoons, which no pack of the scenario keeps" in refusal(unknown)
    odd = json.loads(json.dumps(document))
    odd["records"]["agents"][0]["record"]["colour"] = "blue"
    assert "a record of agents cannot be read" in refusal(odd)
    assert [one.name for one in emulator.worlds()] == ["default", "first"], "nothing was made"


def test_a_thousand_worlds_in_one_process(emulator: EmulatorClient, scenario: Path) -> None:
    names = [f"w{number:04}" for number in range(1000)]
    for name in names:
        emulator.create_world(name, scenario=scenario)
    with httpx.Client(trust_env=False, headers={"Authorization": "Bearer sk_live_emu_whole"}) as client:
        base = emulator.connection.url
        for name in names:
            body = {"name": f"bot-{name}"}
            assert client.post(f"{base}/w/{name}/v1/agents/register", json=body).status_code == 201
        for name in (*names[::97], names[-1]):
            agents = client.get(f"{base}/w/{name}/v1/agents").json()
            assert {agent["name"] for agent in agents} == {"one-bot", f"bot-{name}"}
    assert len(emulator.worlds()) == 1001


def test_a_removed_world_leaves_nothing_behind(running: Emulator, emulator: EmulatorClient, scenario: Path) -> None:
    made = emulator.create_world("short", scenario=scenario)
    live(made)
    with made.anthropic() as claude:
        claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
    there = weakref.ref(running.hosted("short").world)
    emulator.remove_world("short")
    running.call(gc.collect)
    assert there() is None
    reply = httpx.get(f"{emulator.connection.url}/w/short/v1/agents", trust_env=False)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "WORLD_NOT_FOUND")


def test_the_command_line_does_all_of_it(emulator: EmulatorClient, scenario: Path, tmp_path: Path) -> None:
    url = emulator.connection.url

    def run(*arguments: object, code: int = 0) -> str:
        command = [PROGRAM, "world", *map(str, arguments), "--url", url]
        done = subprocess.run(
            command, capture_output=True, text=True, env=plain_environment(), cwd=tmp_path, timeout=60, check=False
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    assert run("create", "cli", scenario) == f"{url}/w/cli\n"
    live(emulator.world("cli"))
    assert run("fork", "--world", "cli", "cli-fork") == f"{url}/w/cli-fork\n"
    assert f"cli-fork\twhole\tvirtual\t{url}/w/cli-fork\n" in run("list")
    assert run("diff", "--world", "cli-fork", "--against", "world:cli") == ""
    assert "agents: agt_" in run("diff", "--world", "cli", code=1)
    run("export", "--world", "cli", "--out", "cli.json")
    told = run("import", "cli-import", "cli.json", scenario)
    assert "secrets with new values: " in told
    assert verify(emulator.world("cli-import").audit.canonical()) == []
    assert run("diff", "--world", "cli-import", "--against", "seed", code=1).count("second-bot") >= 1
    run("snapshot", "--world", "cli", "here")
    run("reset", "--world", "cli")
    assert run("diff", "--world", "cli") == ""
    assert run("snapshots", "--world", "cli") == "here\n"
    run("restore", "--world", "cli", "here")
    assert "second-bot" in run("diff", "--world", "cli", code=1)
    run("remove", "cli-fork")
    assert "There is no world nowhere" in run("diff", "--against", "world:nowhere", code=2)
    assert "is no JSON" in run("import", "x", scenario, code=2)
