"""A scenario that is edited while it is served: what it says anew holds, and what the run made stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.client import EmulatorError, WorldClient
from tests.cli.conftest import PROGRAM, plain_environment

KEY = "sk_live_emu_edited"
ORDER = "https://orders.example.com/orders/7"
PARTS = {
    "agents": "agents:\n  - {id: agt_one, name: one-bot, accountability_mode: logged, description: first}\n",
    "services": """services:
  - id: scon_orders
    provider: orders
    credential: canary
    upstream: orders
    scopes: [read]
    grants: [{agent: agt_one, scopes: [read]}]
""",
    "upstreams": """upstreams:
  orders:
    hosts: [orders.example.com]
    routes:
      - {when: {path: "/orders/{id}"}, reply: {json: {state: open}}}
      - {when: {path: /twice}, replies: [{json: {n: 1}}, {json: {n: 2}}, {json: {n: 3}}]}
  tickets: {hosts: [tickets.example.com], resources: {tickets: {id: T-}}}
""",
    "missions": "missions: [{id: ms_one, agent: agt_one, intent: Look up, services: [orders], expires: 24h}]\n",
    "passports": "passports: [{id: pp_one, agent: agt_one, mission: ms_one, ttl: 1h, env: PASSPORT}]\n",
    "model": "model: [{when: {user: hello}, turns: [{say: Hello.}]}]\n",
}


def text(**changes: str) -> str:
    head = f"stack_emu: 1\nname: edited\nseed: 4\noperator: {{id: op_edited, keys: [{{key: {KEY}}}]}}\n"
    return head + "".join({**PARTS, **changes}.values())


@dataclass
class Served:
    """A running `up` and the file it serves."""

    file: Path
    world: WorldClient
    log: Path

    def edit(self, said: str, **changes: str) -> str:
        """Write the scenario anew and wait until the emulator says something; what it said."""
        return self.write(text(**changes), said)

    def write(self, content: str, said: str) -> str:
        before = len(self.log.read_text())
        partial = self.file.with_suffix(".partial")
        partial.write_text(content)
        os.replace(partial, self.file)  # as editors save
        until = time.monotonic() + 30
        while said not in self.log.read_text()[before:]:
            assert time.monotonic() < until, f"{said!r} is not in {self.log.read_text()[before:]!r}"
            time.sleep(0.02)
        time.sleep(0.02)  # the sentences of one reload are written one after the other
        return self.log.read_text()[before:]

    def order(self, url: str = ORDER) -> Any:
        passport = self.world.description["passports"]["PASSPORT"]
        with self.world.stack() as stack:
            return stack.proxy.get("orders", url, passport_token=passport).body

    def asked(self, words: str) -> str:
        with self.world.anthropic(max_retries=0) as claude:
            said = claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": words}])
        return str(said.content[0].text)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("reload")
    file, log = folder / "scenario.yaml", folder / "stderr"
    file.write_text(text())
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [PROGRAM, "up", str(file), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=plain_environment(),
        )
    assert process.stdout is not None
    world = WorldClient.connect(json.loads(process.stdout.readline())["base_url"])
    yield Served(file, world, log)
    world.connection.close()
    process.send_signal(signal.SIGTERM)
    process.communicate()


@pytest.fixture
def served(up: Served) -> Served:
    """The emulator at its first scenario's seed."""
    if up.file.read_text() != text():
        up.edit("reloaded")
    up.world.reset()
    return up


def test_a_route_is_another_and_all_else_stays(served: Served) -> None:
    assert served.order() == {"state": "open"}
    with served.world.stack() as stack:
        agent = stack.agents.register("made-in-the-run", accountability_mode="logged")
    rows, journal = len(served.world.audit.entries()), len(served.world.journal)
    told = served.edit("changed: upstreams.orders", upstreams=PARTS["upstreams"].replace("open", "shut"))
    assert "reloaded; state, passports and the audit log stay" in told
    assert "changed: upstreams.orders: routes changed" in told
    assert served.order() == {"state": "shut"}, "with the passport from before"
    with served.world.stack() as stack:
        assert stack.agents.get(agent.id).name == "made-in-the-run"
    assert len(served.world.audit.entries()) > rows
    assert len(served.world.journal) > journal


def test_a_route_that_moves_keeps_its_count(served: Served) -> None:
    twice = "https://orders.example.com/twice"
    assert served.order(twice) == {"n": 1}
    more = PARTS["upstreams"].replace("    routes:\n", "    routes:\n      - {when: {path: /new}, reply: {json: {}}}\n")
    served.edit("routes changed", upstreams=more)
    assert served.order(twice) == {"n": 2}
    served.edit("routes changed")
    assert served.order(twice) == {"n": 3}


def test_a_fake_keeps_what_it_remembers(served: Served) -> None:
    made = httpx.post(
        f"{served.world.base_url}/v1/proxy",
        headers={"Authorization": f"Bearer {KEY}"},
        json={"service": "tickets", "method": "GET", "url": "https://tickets.example.com/tickets"},
        trust_env=False,
    )
    assert made.status_code >= 400, "nothing is connected yet"
    services = (
        PARTS["services"] + "  - {id: scon_tickets, provider: tickets, upstream: tickets, grants: [{agent: agt_one}]}\n"
    )
    missions = PARTS["missions"].replace("[orders]", "[orders, tickets]")
    told = served.edit("scon_tickets", services=services, missions=missions)
    assert "connections: scon_tickets" in told
    with served.world.stack() as stack:
        started = stack.missions.start(
            agent_id="agt_one",
            mission={"intent_summary": "write", "intent_services": ["tickets"]},
            passport={"intent": {"summary": "write", "services": ["tickets"]}},
        )
        token, url = started["passport"]["token"], "https://tickets.example.com/tickets"
        ticket = stack.proxy.post("tickets", url, body={"subject": "leak"}, passport_token=token).body
        served.edit(
            "upstreams.tickets",
            services=services,
            missions=missions,
            upstreams=PARTS["upstreams"].replace("{id: T-}", "{id: T-}, notes: {id: N-}"),
        )
        assert stack.proxy.get("tickets", f"{url}/{ticket['id']}", passport_token=token).body == ticket
        notes = "https://tickets.example.com/notes"
        assert stack.proxy.post("tickets", notes, body={"text": "x"}, passport_token=token).status == 201


def test_agents_are_added_changed_and_kept(served: Served) -> None:
    agents = PARTS["agents"].replace("first", "second")
    agents += "  - {id: agt_two, name: two-bot, accountability_mode: logged}\n"
    told = served.edit("agt_two", agents=agents)
    assert "added: agents: agt_two (two-bot) added" in told
    assert "changed: agents: agt_one (one-bot) changed: description first → second" in told
    with served.world.stack() as stack:
        assert {agent.id for agent in stack.agents.list()} == {"agt_one", "agt_two"}
        stack.agents.update("agt_one", description="by the run")
    told = served.edit("agt_one", agents=agents.replace("second", "third"))
    assert (
        "kept: agents: agt_one (one-bot) changed: description second → third; the run has changed description" in told
    )
    told = served.edit("agt_two")
    assert "kept: agents: agt_two (two-bot) removed from the scenario; it stays until a reset" in told
    with served.world.stack() as stack:
        assert stack.agents.get("agt_one").description == "by the run"
        assert stack.agents.get("agt_two").name == "two-bot"
    served.world.reset()
    with served.world.stack() as stack:
        assert [(agent.id, agent.description) for agent in stack.agents.list()] == [("agt_one", "first")]


def test_a_key_that_is_added_works_and_a_grant_that_is_narrowed_holds(served: Served) -> None:
    keys = f"{{key: {KEY}}}, {{key: sk_live_emu_more, role: standard}}"
    told = served.write(text().replace(f"{{key: {KEY}}}", keys), "members:")
    assert "sk_live_emu_more" not in told
    with served.world.stack(api_key="sk_live_emu_more") as stack:
        assert [agent.id for agent in stack.agents.list()] == ["agt_one"]
    narrow = PARTS["services"].replace("agent: agt_one, scopes: [read]", "agent: agt_one, scopes: []")
    assert "scopes ['read'] → []" in served.edit("changed: grants:", services=narrow)
    with served.world.stack() as stack:
        started = stack.missions.start(
            agent_id="agt_one",
            mission={"intent_summary": "look", "intent_services": ["orders"]},
            passport={"intent": {"summary": "look", "services": ["orders"]}},
        )
        claims = stack.passports.verify(started["passport"]["token"])
    assert "read" not in json.dumps(claims, default=str)


def test_the_model_says_something_else_and_rules_of_the_run_stay(served: Served) -> None:
    served.world.model.script({"when": {"user": "extra"}, "turns": [{"say": "Added."}]})
    assert served.asked("hello") == "Hello."
    told = served.edit("model:", model="model: [{when: {user: hello}, turns: [{say: Hi.}]}, {turns: [{say: What?}]}]\n")
    assert "changed: model: 2 rules, before 1" in told
    assert [served.asked(words) for words in ("hello", "extra", "else")] == ["Hi.", "Added.", "What?"]


def test_mistakes_change_nothing_and_are_told(served: Served) -> None:
    told = served.write(text(agents="agents: [{nme: x}]\n"), "until they are put right")
    assert f"{served.file}:5:" in told
    assert "nme" in told
    assert served.order() == {"state": "open"}
    with pytest.raises(EmulatorError, match="nme"):
        served.world.reload()
    told = served.write(text(model="model: [\n"), "until they are put right")
    assert served.asked("hello") == "Hello."
    served.file.unlink()
    with pytest.raises(EmulatorError, match=r"scenario\.yaml"):
        served.world.reload()
    served.edit("reloaded; nothing is different")


def test_what_cannot_be_taken_over_is_said(served: Served) -> None:
    told = served.write(text().replace("seed: 4", "seed: 5"), "needs a restart")
    assert "refused: seed changed, which needs a restart: every id and key comes from it" in told
    assert served.order() == {"state": "open"}
    served.write(text(), "reloaded")


def test_the_control_api_reloads_other_worlds_and_can_try_first(served: Served, tmp_path: Path) -> None:
    from stack_emu.client import EmulatorClient

    file = tmp_path / "other.yaml"
    file.write_text(text())
    with EmulatorClient(served.world.connection.url) as emulator:
        world = emulator.create_world("other", scenario=file, clock="virtual")
        world.clock.advance("10m")
        faults = "faults: [{on: {operation: agents.list}, inject: {error: TIER_LIMIT_EXCEEDED}}]\n"
        file.write_text(text() + faults)
        steps = world.reload(dry_run=True)
        assert [(step["kind"], step["path"]) for step in steps] == [("changed", "faults")]
        with world.stack() as stack:
            stack.agents.list()
            assert world.reload() == steps
            with pytest.raises(getstack.StackError):
                stack.agents.list()
        file.write_text(
            text() + faults + "timeline: [{at: +5m, operation: agents.delete, input: {agent_id: agt_one}}]\n"
        )
        (step,) = world.reload()
        assert (step["kind"], "its instant is over" in step["what"]) == ("kept", True)
        assert world.faults.list()[0]["seen"] == 1, "a rule that stays keeps its count"
        assert world.reload(text(), dry_run=True)[0]["path"] == "faults"
        unnamed = emulator.create_world("text", scenario_yaml=text())
        with pytest.raises(EmulatorError, match="was not made from a file; send its scenario as scenario_yaml"):
            unnamed.reload()
        emulator.remove_world("other")
        emulator.remove_world("text")


def test_it_can_be_switched_off(tmp_path: Path, up_once: Callable[..., subprocess.Popen[str]]) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text())
    process = up_once(file, "--no-reload")
    assert process.stdout is not None
    world = WorldClient.connect(json.loads(process.stdout.readline())["base_url"])
    file.write_text(text(model="model: [{turns: [{say: Other.}]}]\n"))
    time.sleep(1.2)
    assert world.reload(dry_run=True), "it has not been taken over"
    world.connection.close()
    process.terminate()
    _, told = process.communicate()
    assert "reloaded" not in told


@pytest.fixture
def up_once() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        made.append(
            subprocess.Popen(
                [PROGRAM, "up", *map(str, arguments), "--port", "0", "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=plain_environment(),
            )
        )
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.communicate()
