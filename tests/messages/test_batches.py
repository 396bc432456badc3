"""Message batches, driven by the real SDK: made, looked at, cancelled, deleted and read on the world's clock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import httpx
import pytest

from stack_emu.hosting import fault_rule
from stack_emu.kernel.faults import FaultRule
from stack_emu.scenario.loader import loads

HEADERS = {"x-api-key": "sk-ant-emu", "anthropic-version": "2023-06-01"}
SCRIPT = """
model:
  - {when: {user: hi}, turns: [{say: Hello.}]}
  - {when: {user: ünï}, turns: [{say: "dø\u2028ne"}]}
  - {when: {user: call}, turns: [{call: {tool: echo, input: {n: 1}}}, {say: "got {{ result.n }}"}]}
"""
HOUR = 3_600_000


def request(custom_id: str, content: str = "hi", **more: Any) -> dict[str, Any]:
    params = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": content}], **more}
    return {"custom_id": custom_id, "params": params}


def slow(emulated: Any, nth: int, delay: str) -> None:
    on = f"{{operation: messages.batches.process, nth: {nth}}}"
    rule = loads(f"stack_emu: 1\nfaults: [{{on: {on}, inject: {{delay: {delay}}}}}]").faults[0]
    emulated.world.faults.add(fault_rule(rule))


def counts(batch: Any) -> dict[str, int]:
    return {name: count for name, count in batch.request_counts.to_dict().items() if count}


@pytest.mark.parametrize("api", ["messages", "beta.messages"])
def test_a_batch_is_made_waited_for_and_read(emulate, client, api):
    emulated = emulate(SCRIPT)
    sdk = client(emulated)
    batches = (sdk.messages if api == "messages" else sdk.beta.messages).batches
    made = batches.create(requests=[request("a"), request("b", "ünï"), request("c", "unknown"), request("d", "hi")])
    assert made.id.startswith("msgbatch_")
    assert (made.processing_status, counts(made)) == ("in_progress", {"processing": 4})
    assert (made.expires_at - made.created_at).total_seconds() == 86_400
    assert (made.ended_at, made.results_url, made.archived_at, made.cancel_initiated_at) == (None,) * 4
    with pytest.raises(anthropic.AnthropicError, match="Has it finished processing"):
        batches.results(made.id)
    emulated.world.clock.move(1_000)
    ended = batches.retrieve(made.id)
    assert (ended.processing_status, counts(ended)) == ("ended", {"succeeded": 3, "errored": 1})
    assert (ended.ended_at - ended.created_at).total_seconds() == 1
    assert ended.results_url == f"{emulated.base_url}/v1/messages/batches/{made.id}/results"
    results = list(batches.results(made.id))
    assert [one.custom_id for one in results] == ["a", "b", "c", "d"]
    assert [one.result.type for one in results] == ["succeeded", "succeeded", "errored", "succeeded"]
    assert results[0].result.message.content[0].text == "Hello."
    assert results[0].result.message.usage.service_tier == "batch"
    assert results[1].result.message.content[0].text == "dø\u2028ne"
    assert results[2].result.error.error.type == "invalid_request_error"
    assert "No scripted turn" in results[2].result.error.error.message
    assert results[0].result.message.id != results[3].result.message.id
    assert emulated.entries()[-1].operation == "messages.batches.results"
    [problem] = [entry for entry in emulated.entries() if entry.problem]
    assert (problem.problem, problem.operation, problem.request["custom_id"]) == (
        "unscripted",
        "messages.batches.process",
        "c",
    )


def test_the_async_sdk_does_all_of_it(emulate):
    emulated = emulate(SCRIPT)

    async def run() -> tuple[Any, ...]:
        async with anthropic.AsyncAnthropic(base_url=emulated.base_url, api_key="k", max_retries=0) as sdk:
            batches = sdk.messages.batches
            made = await batches.create(requests=[request("a")])
            emulated.world.clock.move(1_000)
            ended = await batches.retrieve(made.id)
            results = [one async for one in await batches.results(made.id)]
            listed = [one.id async for one in batches.list(limit=1)]
            deleted = await batches.delete(made.id)
            beta = await sdk.beta.messages.batches.create(requests=[request("b")])
            cancelled = await sdk.beta.messages.batches.cancel(beta.id)
            return ended, results, listed, deleted, cancelled

    ended, results, listed, deleted, cancelled = asyncio.run(run())
    assert ended.processing_status == "ended"
    assert results[0].result.message.content[0].text == "Hello."
    assert listed == [ended.id]
    assert (deleted.id, deleted.type) == (ended.id, "message_batch_deleted")
    assert cancelled.processing_status == "canceling"


def test_a_cancelled_batch_runs_nothing_more(emulate, client, mcp_server, entry):
    emulated = emulate(SCRIPT)
    batches = client(emulated).messages.batches
    slow(emulated, 2, "1h")
    made = batches.create(requests=[request("a"), request("b", "call")])
    emulated.world.clock.move(HOUR // 2)
    assert batches.retrieve(made.id).processing_status == "in_progress"
    cancelled = batches.cancel(made.id)
    assert cancelled.processing_status == "canceling"
    assert cancelled.cancel_initiated_at is not None
    ended = batches.retrieve(made.id)
    assert (ended.processing_status, counts(ended)) == ("ended", {"succeeded": 1, "canceled": 1})
    assert [one.result.type for one in batches.results(made.id)] == ["succeeded", "canceled"]
    with pytest.raises(anthropic.BadRequestError, match="has ended; only a batch in progress can be cancelled"):
        batches.cancel(made.id)


def test_what_takes_longer_than_a_day_expires(emulate, client):
    emulated = emulate(SCRIPT)
    batches = client(emulated).messages.batches
    slow(emulated, 2, "25h")
    made = batches.create(requests=[request("a"), request("b")])
    emulated.world.clock.move(24 * HOUR)
    ended = batches.retrieve(made.id)
    assert (ended.processing_status, counts(ended)) == ("ended", {"succeeded": 1, "expired": 1})
    assert ended.ended_at == ended.expires_at


def test_a_fault_fails_one_request(emulate, client):
    emulated = emulate(SCRIPT)
    emulated.world.faults.add(
        FaultRule(on={"operation": "messages.batches.process"}, inject={"error": "overloaded_error"}, nth=2)
    )
    batches = client(emulated).messages.batches
    made = batches.create(requests=[request("a"), request("b"), request("c")])
    emulated.world.clock.move(1_000)
    results = list(batches.results(made.id))
    assert [one.result.type for one in results] == ["succeeded", "errored", "succeeded"]
    assert results[1].result.error.error.type == "overloaded_error"
    assert results[1].result.error.request_id.startswith("req_")


def test_what_is_wrong_with_a_request_shows_in_its_result(emulate, client):
    emulated = emulate(SCRIPT)
    batches = client(emulated).messages.batches
    wrong = {
        "stream": request("stream", stream=True),
        "max_tokens": request("max_tokens", max_tokens=0),
        "temperature": request("temperature", temperature=3),
        "colour": request("colour", colour=1),
        "thread": request("thread", thread={"type": "create"}),
    }
    made = batches.create(requests=list(wrong.values()))
    emulated.world.clock.move(1_000)
    for one in batches.results(made.id):
        assert one.result.error.error.message.startswith(f"{one.custom_id}: ")


@pytest.mark.parametrize("beta", ["mcp-client-2025-04-04", "mcp-client-2025-11-20"])
def test_the_connector_works_in_batches_and_runs_once(emulate, client, mcp_server, entry, beta):
    emulated = emulate(SCRIPT)
    batches = client(emulated).beta.messages.batches
    more: dict[str, Any] = {"mcp_servers": [entry(mcp_server)]}
    if beta.endswith("11-20"):
        more["tools"] = [{"type": "mcp_toolset", "mcp_server_name": "stack"}]
    made = batches.create(requests=[request("a", "call", **more)], betas=[beta])
    assert mcp_server.calls == []
    emulated.world.clock.move(1_000)
    for _ in range(3):
        assert batches.retrieve(made.id).processing_status == "ended"
    [one] = batches.results(made.id)
    assert [block.type for block in one.result.message.content] == ["mcp_tool_use", "mcp_tool_result", "text"]
    assert one.result.message.content[-1].text == "got 1"
    assert mcp_server.calls == [("echo", {"n": 1})]


def test_batches_are_listed_newest_first_in_pages_of_their_key(emulate, client):
    emulated = emulate(SCRIPT)
    batches = client(emulated).messages.batches
    ids = [batches.create(requests=[request("a")]).id for _ in range(5)]
    assert len(set(ids)) == 5, "equal batches are batches of their own"
    newest = ids[::-1]
    assert [one.id for one in batches.list(limit=2)] == newest
    first = batches.list(limit=2)
    assert ([one.id for one in first.data], first.has_more) == (newest[:2], True)
    assert [one.id for one in batches.list(after_id=newest[2], limit=2).data] == newest[3:]
    back = batches.list(before_id=newest[3], limit=2)
    assert ([one.id for one in back.data], back.has_more) == (newest[1:3], True)
    assert client(emulated, api_key="other").messages.batches.list().data == []
    with pytest.raises(anthropic.NotFoundError):
        client(emulated, api_key="other").messages.batches.retrieve(ids[0])
    for wrong in ({"after_id": "nope"}, {"limit": 0}, {"after_id": ids[0], "before_id": ids[1]}):
        with pytest.raises(anthropic.BadRequestError):
            batches.list(**wrong)


def test_only_what_has_ended_is_deleted_and_results_are_archived(emulate, client):
    emulated = emulate(SCRIPT)
    batches = client(emulated).messages.batches
    made = batches.create(requests=[request("a")])
    with pytest.raises(anthropic.BadRequestError, match="is still in progress; cancel it first"):
        batches.delete(made.id)
    url = f"{emulated.base_url}/v1/messages/batches/{made.id}/results"
    early = httpx.get(url, headers=HEADERS, trust_env=False)
    assert (early.status_code, early.json()["error"]["type"]) == (404, "not_found_error")
    emulated.world.clock.move(1_000)
    results = httpx.get(url, headers=HEADERS, trust_env=False)
    assert results.headers["content-type"].startswith("application/x-jsonl")
    assert [json.loads(line)["custom_id"] for line in results.text.strip().split("\n")] == ["a"]
    emulated.world.clock.move(29 * 24 * HOUR)
    archived = batches.retrieve(made.id)
    assert (archived.archived_at is not None, archived.results_url) == (True, None)
    assert httpx.get(url, headers=HEADERS, trust_env=False).status_code == 404
    assert batches.delete(made.id).id == made.id
    with pytest.raises(anthropic.NotFoundError, match=f"There is no batch {made.id}"):
        batches.retrieve(made.id)


def test_ids_and_results_repeat_after_a_reset(emulate, client):
    emulated = emulate(SCRIPT)
    seed = emulated.world.image()
    batches = client(emulated).messages.batches
    runs = []
    for _ in range(2):
        emulated.world.restore(seed)
        assert batches.list().data == []
        made = [batches.create(requests=[request("a")]).id for _ in range(2)]
        emulated.world.clock.move(1_000)
        runs.append((made, [one.to_json() for one in batches.results(made[1])]))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], "The body must be a JSON object with requests."),
        ({}, "requests: must be a list of 1 to 100000 requests."),
        ({"requests": []}, "requests: must be a list of 1 to 100000 requests."),
        ({"requests": ["x"]}, "requests.0: must be an object with custom_id and params."),
        ({"requests": [{"custom_id": "a b", "params": {}}]}, "requests.0.custom_id: must be 1 to 64 letters"),
        ({"requests": [{"custom_id": "a" * 65, "params": {}}]}, "requests.0.custom_id: must be 1 to 64 letters"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: must be an object"),
        ({"requests": [{"custom_id": "a", "params": {}}] * 2}, "requests.1.custom_id: a is used twice"),
        ({"requests": [{"custom_id": "a", "params": {}, "body": 1}]}, "requests.0.body: the Messages API has no such"),
        ({"request": []}, "request: the Messages API has no such field; did you mean requests?"),
    ],
)
def test_what_is_no_batch_is_refused(emulate, body, expected):
    reply = httpx.post(emulate(SCRIPT).base_url + "/v1/messages/batches", json=body, headers=HEADERS, trust_env=False)
    assert reply.status_code == 400
    assert expected in reply.json()["error"]["message"]


@pytest.mark.parametrize("operation", ["create", "list", "get", "cancel", "delete", "results"])
def test_every_operation_on_batches_can_fail(emulate, client, operation):
    emulated = emulate(SCRIPT)
    batches = client(emulated).messages.batches
    made = batches.create(requests=[request("a")]).id
    emulated.world.clock.move(1_000)
    emulated.world.faults.add(FaultRule(on={"operation": f"messages.batches.{operation}"}, inject={"status": 500}))
    calls = {
        "create": lambda: batches.create(requests=[request("a")]),
        "list": lambda: batches.list(),
        "get": lambda: batches.retrieve(made),
        "cancel": lambda: batches.cancel(made),
        "delete": lambda: batches.delete(made),
        "results": lambda: batches.results(made),
    }
    with pytest.raises(anthropic.InternalServerError):
        calls[operation]()
