"""Retries: what the SDK repeats, and what an idempotency key keeps from happening twice."""

from __future__ import annotations

import anthropic
import httpx
import pytest

from stack_emu.kernel.faults import FaultRule

HELLO = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CALL = "model: [{turns: [{call: {tool: echo, input: {n: 1}}}, {say: 'got {{ result.n }}'}]}]"
DROP = FaultRule(on={"operation": "messages.create"}, inject={"drop": "reply"}, times=1)
KEY = {"Idempotency-Key": "order-17"}


def create(sdk, mcp_server, entry, **more):
    return sdk.beta.messages.create(
        **{**HELLO, **more}, mcp_servers=[entry(mcp_server)], betas=["mcp-client-2025-04-04"]
    )


def test_the_sdk_sends_no_key_so_a_retry_runs_calls_again_with_the_same_ids(emulate, client, mcp_server, entry):
    emulated = emulate(CALL)
    seen = [create(client(emulated), mcp_server, entry).id]
    emulated.world.faults.add(DROP)
    mcp_server.calls.clear()
    seen.append(create(client(emulated, max_retries=1), mcp_server, entry).id)
    assert seen[0] == seen[1]
    assert len(mcp_server.calls) == 2
    assert emulated.last.request["retry"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_keeps_calls_from_running_twice(emulate, client, mcp_server, entry, stream):
    emulated = emulate(CALL)
    emulated.world.faults.add(DROP)
    sdk = client(emulated, max_retries=1, default_headers=KEY)
    if stream:
        with pytest.raises(Exception, match=r"peer closed|incomplete|[Rr]ead|reset"):
            list(create(sdk, mcp_server, entry, stream=True))
        events = list(create(sdk, mcp_server, entry, stream=True))
        assert events[-1].type == "message_stop"
        assert events[0].message.id == emulated.last.response["id"]
    else:
        message = create(sdk, mcp_server, entry)
        assert message.content[-1].text == "got 1"
    assert len(mcp_server.calls) == 1
    assert emulated.last.response["replayed"] is True
    assert [entry.operation for entry in emulated.entries()] == ["messages.create"] * 2


def post(emulated, *, key="order-17", api_key="k", **more):
    headers = {"x-api-key": api_key, "anthropic-version": "2023-06-01", "Idempotency-Key": key}
    return httpx.post(emulated.base_url + "/v1/messages", json={**HELLO, **more}, headers=headers, trust_env=False)


def test_a_key_stands_for_one_request_of_one_client_for_a_day(emulate):
    emulated = emulate("model: [{turns: [{say: one}]}]")
    first = post(emulated)
    assert "idempotent-replayed" not in first.headers
    again = post(emulated)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    other = post(emulated, max_tokens=8)
    assert other.status_code == 400
    assert other.json()["error"]["type"] == "invalid_request_error"
    assert "idempotency-key: this key was sent with another body" in other.json()["error"]["message"]
    assert "idempotent-replayed" not in post(emulated, api_key="other").headers
    assert "idempotent-replayed" not in post(emulated, key="order-18").headers
    emulated.world.clock.move(86_400_000)
    assert "idempotent-replayed" not in post(emulated).headers
    assert post(emulated, key="x" * 256).status_code == 400


def test_a_failure_is_not_kept(emulate):
    emulated = emulate("model: [{when: {user: nothing}, turns: [{say: one}]}]")
    assert post(emulated).status_code == 400
    emulated.script = emulate("model: [{turns: [{say: now}]}]").script
    assert post(emulated).json()["content"][0]["text"] == "now"


def test_a_reset_forgets_keys(emulate):
    emulated = emulate("model: [{turns: [{say: one}]}]")
    seed = emulated.world.image()
    post(emulated)
    emulated.world.restore(seed)
    assert "idempotent-replayed" not in post(emulated).headers


def test_a_key_keeps_a_batch_from_being_made_twice(emulate, client):
    emulated = emulate("model: [{turns: [{say: one}]}]")
    requests = [{"custom_id": "a", "params": HELLO}]
    with anthropic.Anthropic(base_url=emulated.base_url, api_key="k", default_headers=KEY) as sdk:
        first = sdk.messages.batches.create(requests=requests)
        assert sdk.messages.batches.create(requests=requests).id == first.id
    plain = client(emulated, api_key="k")
    assert plain.messages.batches.create(requests=requests).id != first.id
