"""Answers as event streams: progress on the way, what a broken stream still owes, and calls that are taken back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from tests.mcp.conftest import KEY, STREAMS, Raw, connected, payload, run

SLOW = STREAMS + "faults: [{on: {tool: stack_register_agent, nth: 1}, inject: {delay: 900ms}}]\n"
LOST = STREAMS + "faults: [{on: {tool: stack_register_agent, nth: 1}, inject: {drop: reply}}]\n"
ARGUMENTS = {"name": "deploy-bot"}


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    """(id, message) of every event of a stream; the message of a priming event is None."""
    found = []
    for block in response.text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "id" in fields:
            found.append((fields["id"], json.loads(fields["data"]) if fields.get("data") else None))
    return found


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_long_call_tells_of_its_progress(serve: Callable[..., Any], mode: str) -> None:
    served = serve(SLOW)
    heard: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async def work() -> Any:
        async with connected(f"{served.base_url}/mcp", KEY, mode) as client:
            return await client.call_tool("stack_register_agent", ARGUMENTS, progress_callback=note)

    assert payload(run(work()))["name"] == "deploy-bot"
    assert heard[:3] == [1, 2, 3]


def test_a_client_gets_the_answer_of_a_broken_stream_when_it_comes_back(serve: Callable[..., Any]) -> None:
    """The connection breaks off after the call took effect; the client of mcp 2.x resumes by itself."""
    served = serve(LOST)

    async def work() -> Any:
        async with connected(f"{served.base_url}/mcp", KEY, "legacy") as client:
            return await client.call_tool("stack_register_agent", ARGUMENTS)

    assert payload(run(work()))["name"] == "deploy-bot"
    assert [row.action for row in served.rows()] == ["agent.register"]


def opened(served: Any) -> Raw:
    client = Raw(f"{served.base_url}/mcp", headers={"MCP-Protocol-Version": "2025-11-25"})
    client.initialize()
    return client


def first_event(client: Raw) -> tuple[str, httpx.Response | None]:
    """Id of the event that primes the stream of a call that breaks off."""
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {KEY}", **client.headers}
    headers["Mcp-Session-Id"] = str(client.session)
    body = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "stack_register_agent", "arguments": ARGUMENTS},
    }
    seen = ""
    with (
        pytest.raises(httpx.HTTPError),
        httpx.stream("POST", client.url, json=body, headers=headers, timeout=20) as response,
    ):
        for piece in response.iter_text():
            seen += piece
    return seen.replace("\r\n", "\n").split("id: ")[1].split("\n")[0], None


def resume(client: Raw, event: str) -> list[tuple[str, Any]]:
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {KEY}",
        "Mcp-Session-Id": str(client.session),
        "Last-Event-ID": event,
        **client.headers,
    }
    seen = ""
    with httpx.stream("GET", client.url, headers=headers, timeout=20) as response:
        assert response.status_code == 200
        try:
            for piece in response.iter_text():
                seen += piece
                if '"result"' in seen:
                    break
        except httpx.ReadTimeout:
            pass
    return events(httpx.Response(200, text=seen))


def test_last_event_id_brings_what_the_client_has_not_seen(serve: Callable[..., Any]) -> None:
    client = opened(serve(LOST))
    primed, _ = first_event(client)
    answers = [message for _, message in resume(client, primed) if message is not None]
    assert [answer["id"] for answer in answers] == [7]
    assert json.loads(answers[0]["result"]["content"][0]["text"])["name"] == "deploy-bot"


def test_another_session_gets_nothing_of_it(serve: Callable[..., Any]) -> None:
    """Also one of the same credential: streams are numbered alike in every session."""
    served = serve(LOST)
    primed, _ = first_event(opened(served))
    stranger = opened(served)
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {KEY}",
        "Mcp-Session-Id": str(stranger.session),
        "Last-Event-ID": primed,
        **stranger.headers,
    }
    with httpx.stream("GET", stranger.url, headers=headers, timeout=2) as response:
        try:
            seen = "".join(response.iter_text())
        except httpx.ReadTimeout:
            seen = ""
    assert "deploy-bot" not in seen


@pytest.mark.parametrize("answers", ["json", "streams"])
def test_a_cancelled_call_that_has_not_begun_never_happens(serve: Callable[..., Any], answers: str) -> None:
    served = serve(SLOW.replace("streams", answers))

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", KEY, "legacy") as client:
            with anyio.move_on_after(0.2):
                await client.call_tool("stack_register_agent", ARGUMENTS)
            done = await client.call_tool("stack_list_agents", {})
            assert payload(done) == []
            await asyncio.sleep(1)
            assert payload(await client.call_tool("stack_list_agents", {})) == []

    run(work())
    assert served.rows() == []
    hints = [entry.hint for entry in served.world.journal.entries(surface="mcp")]
    assert "The client took the call back before it was answered." in hints


def test_a_call_that_reached_an_upstream_is_settled_though_it_is_cancelled(serve: Callable[..., Any]) -> None:
    served = serve(
        STREAMS
        + """
agents: [{id: agent_deploy_bot, name: deploy-bot, accountability_mode: logged}]
services:
  - {id: scon_x, provider: tracker, upstream: tracker, grants: [{agent: agent_deploy_bot, scopes: []}]}
missions: [{id: ms_deploy, agent: agent_deploy_bot, intent: Announce, services: [tracker], expires: 1h}]
passports: [{id: pp_deploy, agent: agent_deploy_bot, mission: ms_deploy, ttl: 15m, env: STACK_PASSPORT}]
upstreams:
  tracker: {hosts: [tracker.example.com], routes: [{when: {path: /items}, reply: {json: {ok: true}}}]}
faults: [{on: {upstream: tracker}, inject: {delay: 500ms}}]
"""
    )
    passport = served.server.describe(served.hosted)["passports"]["STACK_PASSPORT"]
    ask = {"service": "tracker", "method": "GET", "url": "https://tracker.example.com/items"}

    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", passport, "legacy") as client:
            with anyio.move_on_after(0.2):
                await client.call_tool("stack_proxy_request", ask)

    run(work())
    deadline = time.monotonic() + 10
    while [row.outcome for row in served.rows()] != ["success"]:
        assert time.monotonic() < deadline, [(row.action, row.outcome, row.details) for row in served.rows()]
        time.sleep(0.02)
