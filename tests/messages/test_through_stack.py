"""The whole way inside one server: the model's calls run on the emulated STACK's own MCP endpoint."""

from __future__ import annotations

import re

import anthropic
import pytest
from pytest_httpserver import HTTPServer as PytestServer

SCENARIO = """
stack_emu: 1
operator: {keys: [{key: sk_live_emu_acme}]}
agents: [{id: agent_deploy_bot, name: deploy-bot}]
model:
  - when: {user: who is there}
    turns:
      - call: {tool: stack_list_agents}
      - say: "{{ result.agents[0].name if result.agents is defined else result }}"
"""


def ask(served, token: str, url: str = "https://mcp.getstack.run/mcp"):
    with anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="sk-ant-emu", max_retries=0) as sdk:
        return sdk.beta.messages.create(
            model="claude-opus-5-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "who is there?"}],
            mcp_servers=[{"type": "url", "url": url, "name": "stack", "authorization_token": token}],
            extra_headers={"anthropic-beta": "mcp-client-2025-04-04"},
        )


def test_stack_s_real_mcp_url_means_this_world(serve):
    message = ask(serve(SCENARIO), "sk_live_emu_acme")
    assert [block.type for block in message.content] == ["mcp_tool_use", "mcp_tool_result", "text"]
    assert message.content[1].is_error is False
    assert "deploy-bot" in message.content[2].text


def test_a_wrong_bearer_is_refused_by_the_endpoint_and_named(serve):
    with pytest.raises(anthropic.BadRequestError, match=r"the server stack cannot be used: .*answered HTTP 401"):
        ask(serve(SCENARIO), "sk_live_emu_nobody")


def test_the_endpoint_s_own_reason_is_passed_on_without_the_bearer(serve):
    with pytest.raises(anthropic.BadRequestError, match=r"token: This API key belongs to no operator") as caught:
        ask(serve(SCENARIO), "sk_live_emu_nobody")
    assert "sk_live_emu_nobody" not in caught.value.message


def test_a_bearer_a_server_repeats_is_masked(serve):
    with PytestServer("127.0.0.1", 0) as elsewhere:
        elsewhere.expect_request(re.compile(".*")).respond_with_json(
            {"error": {"message": "no sk_of_somebody here."}}, status=401
        )
        with pytest.raises(anthropic.BadRequestError, match=r"authorization_token: no <masked> here\.") as caught:
            ask(serve(SCENARIO), "sk_of_somebody", url=elsewhere.url_for("/mcp"))
    assert "sk_of_somebody" not in caught.value.message


def test_other_hosts_are_refused(serve):
    with pytest.raises(anthropic.BadRequestError, match="cannot be reached from this emulator"):
        ask(serve(SCENARIO), "sk_live_emu_acme", url="https://mcp.example.com/mcp")


SMALL = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "who is there?"}]}
VIRTUAL = """
stack_emu: 1
clock: {mode: virtual, start: 2026-01-01T00:00:00Z}
model: [{turns: [{say: Nobody.}]}]
"""


@pytest.mark.parametrize("below", ["", "/w/default/~night"])
def test_a_batch_waits_for_the_virtual_clock_and_its_results_are_where_the_client_is(serve, below):
    served = serve(VIRTUAL)
    base_url = f"{served.base_url}{below}/anthropic"
    with anthropic.Anthropic(base_url=base_url, api_key="sk-ant-emu", max_retries=0) as sdk:
        batches = sdk.messages.batches
        made = batches.create(requests=[{"custom_id": "a", "params": SMALL}])
        assert made.created_at.isoformat() == "2026-01-01T00:00:00+00:00"
        assert [batches.retrieve(made.id).processing_status for _ in range(2)] == ["in_progress"] * 2
        served.advance(60_000)
        ended = batches.retrieve(made.id)
        assert ended.processing_status == "ended"
        assert ended.ended_at.isoformat() == "2026-01-01T00:00:01+00:00"
        assert ended.results_url == f"{base_url}/v1/messages/batches/{made.id}/results"
        [result] = batches.results(made.id)
        assert result.result.message.content[0].text == "Nobody."
        served.call(served.hosted.reset)
        with pytest.raises(anthropic.NotFoundError):
            batches.retrieve(made.id)


def test_a_stream_fault_of_a_scenario_strikes_once_and_again_after_a_reset(serve):
    rule = (
        "faults: [{on: {operation: messages.create, nth: 1}, inject: {stream: {error: overloaded_error, after: 0}}}]\n"
    )
    served = serve(VIRTUAL + rule)

    def run(sdk) -> str:
        with sdk.messages.stream(**SMALL) as stream:
            return stream.get_final_text()

    with anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="k", max_retries=0) as sdk:
        for _ in range(2):
            with pytest.raises(anthropic.APIStatusError) as caught:
                run(sdk)
            assert caught.value.type == "overloaded_error"
            assert run(sdk) == "Nobody."
            served.call(served.hosted.reset)
