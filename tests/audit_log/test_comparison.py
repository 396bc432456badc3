"""What differs between two logs, in words: between real runs of two programs, and each kind of difference by itself."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import getstack
import pytest

from stack_emu.audit_log.canonical_file import chained, content_of, read_canonical
from stack_emu.audit_log.comparison import compare
from stack_emu.client import WorldClient
from stack_emu.domain.canonical_audit import diff
from tests.audit_log.logs import GOLDENS
from tests.conftest import Served

WORLD = """
stack_emu: 1
name: bots
seed: 5
clock: {mode: virtual}
operator: {id: op_emu, keys: [{key: sk_live_emu_operator}]}
agents: [{id: agent_deploy_bot, name: deploy-bot, accountability_mode: logged}]
services:
  - {id: scon_slack, provider: slack, scopes: [chat:write], grants: [{agent: agent_deploy_bot}]}
  - {id: scon_github, provider: github, scopes: [repo], grants: [{agent: agent_deploy_bot}]}
upstreams:
  slack:
    hosts: [slack.com]
    routes:
      - {when: {path: /broken}, reply: {status: 500}}
      - {when: {}, reply: {json: {ok: true}}}
  github: {hosts: [api.github.com], routes: [{when: {}, reply: {json: {}}}]}
"""
SLACK, BROKEN, GITHUB = "https://slack.com/ok", "https://slack.com/broken", "https://api.github.com/user"
OP = "sk_live_emu_operator"


@pytest.fixture
def program(serve: Callable[..., Served]) -> Callable[..., list[Mapping[str, Any]]]:
    """Run a mission of the bot with proxied calls, then return the rows: ``program("Announce", [SLACK, ...])``."""

    def run(intent: str, urls: list[str], world: str = WORLD, wait: int = 0) -> Any:
        served, services = serve(world), ["slack", "github"]
        with getstack.Stack(base_url=served.base_url, api_key=OP) as stack:
            started = stack.missions.start(
                agent_id="agent_deploy_bot",
                mission={"intent_summary": intent, "intent_services": services},
                passport={"intent": {"summary": intent, "services": services}},
            )
            token = started["passport"]["token"]
            served.advance(wait)
            for url in urls:
                service = "github" if "github" in url else "slack"
                with contextlib.suppress(getstack.StackError):
                    stack.proxy.get(service, url, passport_token=token)
        client = WorldClient.connect(served.base_url)
        rows = read_canonical(client.audit.canonical()).rows
        client.connection.close()
        return rows

    return run


def told(old: Any, new: Any) -> list[str]:
    """The sentences, with ids as they are."""
    return [one.sentence for one in compare(old, new)]


def passport_of(rows: Any) -> str:
    return next(row["passport"] for row in rows if row["action"] == "credential.proxy")


def test_two_runs_of_two_programs_are_told_apart_in_words(program: Callable[..., Any]) -> None:
    base = program("Announce deploys", [SLACK, SLACK, GITHUB])
    who = f"agent agent_deploy_bot, passport {passport_of(base)}"
    assert told(base, program("Announce deploys", [SLACK, SLACK, GITHUB])) == []
    assert told(base, program("Announce deploys", [SLACK, BROKEN, GITHUB])) == [
        f"{who}: the 2nd credential.proxy to slack failed (upstream 500) where A has success"
    ]
    assert told(base, program("Announce deploys", [SLACK, SLACK])) == [
        f"{who}: 1 act only in A: credential.proxy to github (success)"
    ]
    assert told(base, program("Announce deploys", [SLACK, SLACK, SLACK, GITHUB])) == [
        f"{who}: 1 act only in B: credential.proxy to slack (success)"
    ]
    [order] = told(base, program("Announce deploys", [GITHUB, SLACK, SLACK]))
    assert order.startswith(f"{who}: the same acts in another order: credential.proxy to github is act 1, in A 3")
    late = told(base, program("Announce deploys", [SLACK, SLACK, GITHUB], wait=1500))
    assert late == [f"{who}: 3 acts at another time, first credential.proxy to slack: 1500 ms where A has 0 ms"]


def test_another_word_in_a_request_is_told_once_and_not_with_every_row_that_names_what_came_of_it(
    program: Callable[..., Any],
) -> None:
    base = program("Announce deploys", [SLACK, GITHUB])
    other = program("Announce releases", [SLACK, GITHUB])
    assert passport_of(base) != passport_of(other)
    found = compare(base, other)
    assert {one.kind for one in found} == {"field", "ids"}
    assert all("Announce releases where A has Announce deploys" in one.sentence for one in found[:-1])
    assert found[-1].sentence.startswith("ids that derive from what was asked differ: ")
    ungranted = WORLD.replace("scopes: [repo], grants: [{agent: agent_deploy_bot}]", "scopes: [repo]")
    sentences = told(base, program("Announce deploys", [SLACK, GITHUB], world=ungranted))
    [refused] = [one for one in sentences if "where A has success" in one]
    assert refused.startswith(
        f"agent agent_deploy_bot, passport {passport_of(base)}: the 1st credential.proxy to github was "
    )
    assert "refused (FORBIDDEN) where A has success" in refused


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.parent.name)
def test_whatever_differs_is_told_and_nothing_else(golden: Any) -> None:
    """Fields changed, rows taken out and lanes shuffled at random places; the same bytes say nothing."""
    log, chance = read_canonical(golden.read_bytes()), random.Random(3)
    assert compare(log.rows, log.rows) == []
    for _ in range(40):
        rows = [dict(row) for row in log.rows]
        at = chance.randrange(len(rows))
        match chance.randrange(4):
            case 0:
                del rows[at]
            case 1:
                rows[at]["outcome"] = "pending"
            case 2:
                name = chance.choice(sorted(content_of(rows[at])))
                rows[at][name] = "something else"
            case _:
                rows[at]["reason"] = "something new"
        changed = read_canonical(chained(rows, log.head)).rows
        found = compare(log.rows, changed)
        assert bool(found) == bool(diff(golden.read_bytes(), chained(rows, log.head))), rows[at - 1]
        lanes = {one.lane for one in found if one.lane}
        assert len(lanes) <= 1
        assert all(one.sentence.count("\n") == 0 for one in found)


def test_sentences_stay_short_whatever_stands_in_a_log() -> None:
    row = {
        "lane": "key:0",
        "act": 0,
        "n": 0,
        "action": "agent.register",
        "outcome": "success",
        "operation": "agents.register",
    }
    many = [{**row, "act": number, "n": number, "name": f"bot {number}"} for number in range(500)]
    [only] = compare([], many)
    assert (only.kind, len(only.lines[1])) == ("only_in_b", 500)
    assert only.sentence.startswith("lane key:0: 500 acts only in B: agent.register of bot 0 (success), ")
    assert only.sentence.endswith(", and 488 more")
    [field] = compare([{**row, "intent": "a"}], [{**row, "intent": "b" * 9000}])
    assert len(field.sentence) < 300
