"""`up --state FILE`: the next start goes on where the last one ended."""

from __future__ import annotations

import signal
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.client import EmulatorClient
from stack_emu.domain.canonical_audit import parse, verify
from tests.state.conftest import KEY, SCENARIO, SLACK, Running, Zygote

NOBODY = 65534


def post(running: Running, text: str, passport: str, world: str = "") -> Any:
    body = {"channel": "C0ENGINEER", "text": text}
    with running.stack(world=world) as stack:
        return stack.proxy.post("slack", f"{SLACK}/chat.postMessage", body=body, passport_token=passport)


def history(running: Running, passport: str, world: str = "") -> list[str]:
    with running.stack(world=world) as stack:
        url = f"{SLACK}/conversations.history?channel=C0ENGINEER&limit=1000"
        reply = stack.proxy.get("slack", url, passport_token=passport)
    return [message["text"] for message in reply.body["messages"]]


def slow_call(running: Running, passport: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}", "X-Passport-Token": passport}
    body = {"service": "slow", "method": "GET", "url": "https://slow.test/slow"}
    return httpx.post(f"{running.base_url}/v1/proxy", headers=headers, json=body, trust_env=False, timeout=60)


def canonical(running: Running, world: str = "") -> bytes:
    return httpx.get(f"{running.base_url}{world}/_emu/audit/canonical", trust_env=False).content


def passport_of(running: Running, world: str = "") -> str:
    described = httpx.get(f"{running.base_url}{world}/_emu/world", trust_env=False).json()
    return str(described["passports"]["PASSPORT"])


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_everything_is_there_after_a_restart(zygote: Zygote, scenario: Path, state: Path, ended_by: int) -> None:
    first = zygote.up(scenario, "--state", state)
    passport = passport_of(first)
    with first.stack() as stack:
        agent = stack.agents.register("second-bot", accountability_mode="logged")
        stack.agents.update(agent.id, description="kept")
        started = stack.missions.start(
            agent_id="agt_one",
            mission={"intent_summary": "more", "intent_services": ["slack"]},
            passport={"intent": {"summary": "more", "services": ["slack"]}},
        )
        stack.passports.revoke(started["passport"]["jti"], reason="enough")
    posted = post(first, "before", passport)
    log = canonical(first)
    first.end(ended_by)

    again = zygote.up(scenario, "--state", state)
    assert canonical(again) == log
    with again.stack() as stack:
        assert stack.agents.get(agent.id).description == "kept"
        assert stack.audit.verify_chain()["valid"]
        with pytest.raises(getstack.StackError, match="revoked"):
            stack.proxy.get("slack", f"{SLACK}/auth.test", passport_token=started["passport"]["token"])
    assert history(again, passport) == ["before"]
    later = post(again, "before", passport)
    assert later.body["ts"] != posted.body["ts"], "an act like one before the restart has ids of its own"
    assert history(again, passport) == ["before", "before"]
    assert not verify(canonical(again))
    assert len(parse(canonical(again)).rows) > len(parse(log).rows)
    again.end()


def test_the_log_is_the_one_of_a_run_that_was_never_interrupted(zygote: Zygote, scenario: Path, tmp_path: Path) -> None:
    """Where a run is cut changes nothing: ids, order and bytes are those of a run in one piece."""

    def run(state: Path, cuts: set[int]) -> bytes:
        running = zygote.up(scenario, "--state", state)
        for number in range(6):
            with running.stack() as stack:
                agent = stack.agents.register(f"bot-{number}", accountability_mode="logged")
                stack.services.grant_agent_access(agent.id, "scon_slack", ["chat:write"])
                started = stack.missions.start(
                    agent_id=agent.id,
                    mission={"intent_summary": "tell", "intent_services": ["slack"]},
                    passport={"intent": {"summary": "tell", "services": ["slack"]}},
                )
            post(running, f"from {number}", started["passport"]["token"])
            if number in cuts:
                running.end()
                running = zygote.up(scenario, "--state", state)
        log = canonical(running)
        running.end()
        return log

    whole = run(tmp_path / "whole.db", set())
    assert run(tmp_path / "cut.db", {0, 3, 4}) == whole


def test_worlds_made_by_the_control_api_come_back_with_their_clocks(
    zygote: Zygote, scenario: Path, state: Path
) -> None:
    first = zygote.up(scenario, "--state", state)
    with EmulatorClient(first.base_url) as emulator:
        world = emulator.create_world("other", scenario=scenario, clock="virtual", seed=9)
        world.clock.advance("2h")
        now = world.clock.now_ms()
        emulator.create_world("gone", scenario_yaml=SCENARIO)
        emulator.create_world("empty")
        emulator.remove_world("gone")
    with first.stack(world="/w/other") as stack:
        agent = stack.agents.register("there", accountability_mode="logged")
    first.end()

    again = zygote.up(scenario, "--state", state)
    with EmulatorClient(again.base_url) as emulator:
        assert [world.name for world in emulator.worlds()] == ["default", "empty", "other"]
        assert emulator.world("other").clock.now_ms() == now
    with again.stack(world="/w/other") as stack:
        assert stack.agents.get(agent.id).name == "there"
    with again.stack() as stack, pytest.raises(getstack.StackError, match="was not found"):
        stack.agents.get(agent.id)
    again.end()


def test_reset_begins_anew_and_stays_so(zygote: Zygote, scenario: Path, state: Path) -> None:
    first = zygote.up(scenario, "--state", state)
    with first.stack() as stack:
        stack.agents.register("short-lived", accountability_mode="logged")
    httpx.post(f"{first.base_url}/_emu/reset", trust_env=False).raise_for_status()
    first.end()
    again = zygote.up(scenario, "--state", state)
    with again.stack() as stack:
        assert [agent.id for agent in stack.agents.list()] == ["agt_one"]
    assert parse(canonical(again)).rows == []
    again.end()


def test_without_a_scenario_the_one_in_the_file_is_served(zygote: Zygote, scenario: Path, state: Path) -> None:
    zygote.up(scenario, "--state", state, "--seed", "77").end(signal.SIGTERM)
    scenario.unlink()
    again = zygote.up("--state", state)
    with again.stack() as stack:
        assert [agent.id for agent in stack.agents.list()] == ["agt_one"]
    assert "world default goes on from" in again.told()
    again.end()


def test_a_scenario_that_changed_is_taken_over_and_nothing_lost(zygote: Zygote, scenario: Path, state: Path) -> None:
    first = zygote.up(scenario, "--state", state)
    with first.stack() as stack:
        agent = stack.agents.register("kept-bot", accountability_mode="logged")
    first.end()
    changed = SCENARIO.replace("agents: [", "agents: [{id: agt_new, name: new-bot, accountability_mode: logged}, ")
    scenario.write_text(changed + "model: [{turns: [{say: hi}]}]\n")
    again = zygote.up(scenario, "--state", state)
    assert "the scenario has changed since" in again.told()
    assert "added: agents: agt_new (new-bot) added" in again.told()
    again.end()
    third = zygote.up(scenario, "--state", state)
    assert "has changed" not in third.told()
    with third.stack() as stack:
        assert {one.id for one in stack.agents.list()} == {"agt_one", "agt_new", agent.id}
    third.end()


def test_what_was_under_way_is_settled_as_unknown(zygote: Zygote, scenario: Path, state: Path) -> None:
    first = zygote.up(scenario, "--state", state)
    passport = passport_of(first)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(slow_call, first, passport)
        until = time.monotonic() + 30
        with EmulatorClient(first.base_url) as emulator:
            while not emulator.world().upstream("slow").requests:
                assert time.monotonic() < until
                time.sleep(0.01)
        first.end()
        with pytest.raises(httpx.TransportError):
            call.result()
    again = zygote.up(scenario, "--state", state)
    with again.stack() as stack:
        rows = [row for row in stack.audit.list()["entries"] if row["action"] == "credential.proxy"]
        assert [(row["outcome"], row["error_code"]) for row in rows] == [("failure", "INTERRUPTED")]
        assert stack.audit.verify_chain()["valid"]
    again.end()


def test_secrets_stay_masked_after_a_restart(zygote: Zygote, scenario: Path, state: Path) -> None:
    first = zygote.up(scenario, "--state", state)
    with first.stack() as stack:
        stack.services.connect_custom("Ours", credential="a-secret-of-the-run")
    first.end()
    again = zygote.up(scenario, "--state", state)
    httpx.get(f"{again.base_url}/v1/a-secret-of-the-run", trust_env=False)
    journal = httpx.get(f"{again.base_url}/_emu/journal", trust_env=False).text
    assert "a-secret-of-the-run" not in journal
    assert "<secret:" in journal
    again.end()


def test_the_file_is_for_its_owner_only(zygote: Zygote, scenario: Path, state: Path) -> None:
    running = zygote.up(scenario, "--state", state)
    for file in state.parent.glob("world.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    running.end()
