"""Killed at random moments under load: what was acknowledged is there at the next start, and the chain verifies.

`CRASHES=200 make crash` kills as often as that.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import getstack
import httpx
import pytest

from tests.state.conftest import SLACK, Running, Zygote

CRASHES = int(os.environ.get("CRASHES", "12"))
CLIENTS = 4
LONGEST_SECONDS = 0.4
GONE = (httpx.TransportError, getstack.StackError)


@dataclass
class Acknowledged:
    """What clients were told is done."""

    agents: dict[str, str] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: int = 0


def load(running: Running, number: int, round_number: int, passport: str, told: Acknowledged) -> None:
    """Do what agents do until the emulator is gone."""
    with running.stack() as stack:
        for turn in range(1000):
            name = f"bot-{round_number}-{number}-{turn}"
            try:
                agent = stack.agents.register(name, accountability_mode="logged")
                told.agents[agent.id] = name
                stack.services.grant_agent_access(agent.id, "scon_slack", ["chat:write"])
                started = stack.missions.start(
                    agent_id=agent.id,
                    mission={"intent_summary": name, "intent_services": ["slack"]},
                    passport={"intent": {"summary": name, "services": ["slack"]}},
                )
                text = f"said by {name}"
                body = {"channel": "C0ENGINEER", "text": text}
                reply = stack.proxy.post("slack", f"{SLACK}/chat.postMessage", body=body, passport_token=passport)
                assert reply.body["ok"], reply.body
                told.texts.append(text)
                stack.passports.revoke(started["passport"]["jti"], reason="done")
                told.revoked.append(started["passport"]["token"])
                told.calls += 5
            except GONE:
                return


def check(running: Running, told: Acknowledged, passport: str) -> int:
    """Everything acknowledged is there; returns how many rows the chain has."""
    with running.stack() as stack:
        there = {agent.id: agent.name for agent in stack.agents.list()}
        assert told.agents.items() <= there.items()
        said, cursor = set[str](), ""
        while True:
            url = f"{SLACK}/conversations.history?channel=C0ENGINEER&limit=999&cursor={cursor}"
            page = stack.proxy.get("slack", url, passport_token=passport).body
            said |= {message["text"] for message in page["messages"]}
            if not (cursor := page.get("response_metadata", {}).get("next_cursor", "")):
                break
        assert set(told.texts) <= said
        for token in told.revoked[-8:]:
            assert not stack.passports.verify(token)["valid"]
        verified = stack.audit.verify_chain()
    assert verified["valid"], verified
    return int(verified["checked"])


def test_no_acknowledged_write_is_lost(
    zygote: Zygote, scenario: Path, state: Path, record_property: pytest.RecordProperty
) -> None:
    chosen, told, rows = random.Random(20260101), Acknowledged(), 0
    running = zygote.up(scenario, "--state", state)
    passport = ""
    for round_number in range(CRASHES):
        if round_number % 12 == 0:  # a start costs as much as the log is long
            told, rows = Acknowledged(), 0
            httpx.post(f"{running.base_url}/_emu/reset", trust_env=False).raise_for_status()
            described = httpx.get(f"{running.base_url}/_emu/world", trust_env=False).json()
            passport = described["passports"]["PASSPORT"]
        arguments = [(running, number, round_number, passport, told) for number in range(CLIENTS)]
        threads = [threading.Thread(target=load, args=each) for each in arguments]
        for thread in threads:
            thread.start()
        time.sleep(chosen.uniform(0, LONGEST_SECONDS))
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        for thread in threads:
            thread.join()
        running = zygote.up(scenario, "--state", state)
        found = check(running, told, passport)
        assert found >= rows + 1 or not told.calls
        rows = found
        record_property("acknowledged_calls", told.calls)
    running.end(signal.SIGTERM)
    record_property("crashes", CRASHES)
