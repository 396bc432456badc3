"""The world of the LLM gateway's tests, and short ways to ask in it."""

from __future__ import annotations

from typing import Any

from stack_emu.domain.issuance import token_for
from stack_emu.domain.state import Passport
from tests.families.passport_world import START_MS as START_MS

OPERATOR, MEMBER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_other"
SONNET, GPT = "claude-sonnet-5", "gpt-5"

WORLD = f"""
stack_emu: 1
seed: 5
clock: {{mode: virtual, start: 2026-01-01T00:00:00Z}}
operators:
  - id: op_emu
    tier: free
    wallet_cents: 5000
    usage: {{proxy_calls: 4999}}
    keys:
      - {{key: {OPERATOR}}}
      - {{key: {MEMBER}, role: standard, member: dev@acme.test, allowed_connections: [scon_slack]}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agent_bot, name: bot, accountability_mode: logged}}
  - {{id: agent_bare, name: bare, accountability_mode: logged, llm_inject_system_prompt: false, llm_redact_pii: false}}
  - {{id: agent_foreign, name: foreign, accountability_mode: logged, operator: op_other}}
services:
  - {{id: scon_slack, provider: slack, scopes: [chat:write], upstream: slack, grants: [{{agent: bot}}]}}
  - id: scon_openai
    provider: openai
    grants: [{{agent: bot, constraints: [{{path: body.model, op: starts_with, value: gpt-}}]}}]
missions:
  - {{id: ms_bot, agent: agent_bot, intent: Answer support tickets, services: [slack], expires: 1h}}
  - {{id: ms_bare, agent: agent_bare, intent: Talk, expires: 1h}}
  - {{id: ms_foreign, agent: agent_foreign, intent: Elsewhere, expires: 1h}}
passports:
  - {{id: pp_bot, agent: agent_bot, mission: ms_bot, ttl: 30m}}
  - {{id: pp_slack, agent: agent_bot, mission: ms_bot, services: [slack], ttl: 30m}}
  - {{id: pp_bare, agent: agent_bare, mission: ms_bare, ttl: 30m}}
  - {{id: pp_foreign, agent: agent_foreign, mission: ms_foreign, ttl: 30m}}
upstreams:
  slack: {{pack: slack, seed: {{channels: [{{name: eng}}]}}}}
model:
  - when: {{system: "mission ms_bot", user: who sent you}}
    turns: [{{say: STACK did.}}]
  - when: {{user: weather}}
    turns:
      - {{say: Looking., call: {{tool: get_weather, input: {{city: Bern}}}}}}
      - {{say: "It is {{{{ result.sky }}}} in Bern, as I was told by the tool that was called for it."}}
  - when: {{user: hello, agent: bare}}
    turns: [{{say: Hello bare}}]
  - when: {{user: hello}}
    turns: [{{say: Hello}}]
"""


def token(served: Any, jti: str = "pp_bot") -> str:
    """The token of a passport of the world."""
    passport = served.world.store.get(Passport, jti)
    return served.call(lambda: token_for(served.world, passport))


def ask(text: str, model: str = SONNET, **more: Any) -> dict[str, Any]:
    """A body both shapes take."""
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


def events(client: Any, stream: Any) -> list[dict[str, Any]]:
    """Every event of a stream of the SDK's."""
    if not hasattr(stream, "__aiter__"):
        return list(stream)

    async def collect() -> list[dict[str, Any]]:
        return [event async for event in stream]

    return client._loop.run_until_complete(collect())


def seen(served: Any) -> list[Any]:
    """The journal entries of what the model was asked."""
    return list(served.world.journal.entries(surface="messages"))
