"""The whole way inside one server: the model's calls run on the emulated STACK's own MCP endpoint."""

from __future__ import annotations

import anthropic
import pytest

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


def test_other_hosts_are_refused(serve):
    with pytest.raises(anthropic.BadRequestError, match="cannot be reached from this emulator"):
        ask(serve(SCENARIO), "sk_live_emu_acme", url="https://mcp.example.com/mcp")
