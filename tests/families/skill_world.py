"""The world of the skill tests: a publisher, a buyer and a marketplace that is there from the start."""

from __future__ import annotations

from typing import Any

PUBLISHER, PUBLISHER_READER = "sk_live_emu_pub", "sk_live_emu_pub_read"
BUYER, BUYER_LIMITED, THIRD = "sk_live_emu_buy", "sk_live_emu_buy_limited", "sk_live_emu_third"
WORLD = f"""
stack_emu: 1
clock: {{mode: virtual, start: 2026-01-01T00:00:00Z}}
operators:
  - id: op_pub
    keys:
      - {{key: {PUBLISHER}}}
      - {{key: {PUBLISHER_READER}, role: readonly, member: read@pub.test}}
  - id: op_buy
    keys:
      - {{key: {BUYER}}}
      - {{key: {BUYER_LIMITED}, role: standard, member: dev@buy.test, allowed_connections: [scon_tracker]}}
  - {{id: op_third, tier: free, keys: [{{key: {THIRD}}}]}}
agents:
  - {{id: agt_worker, name: worker, operator: op_pub, accountability_mode: logged}}
  - {{id: agt_idle, name: idle, operator: op_pub, accountability_mode: logged}}
  - {{id: agt_buyer, name: buyer, operator: op_buy, accountability_mode: logged}}
  - {{id: agt_other, name: other, operator: op_buy, accountability_mode: logged}}
  - {{id: agt_held, name: held, operator: op_buy, accountability_mode: enforced}}
services:
  - {{id: scon_slack, provider: slack, operator: op_buy, scopes: [chat:write],
      grants: [{{agent: agt_buyer}}, {{agent: agt_held}}]}}
  - {{id: scon_tracker, provider: tracker, operator: op_buy}}
missions:
  - {{id: ms_buyer, agent: agt_buyer, intent: Have it done, services: [slack]}}
  - {{id: ms_other, agent: agt_other, intent: Have it done}}
passports:
  - {{id: pp_buyer, agent: agt_buyer, mission: ms_buyer, ttl: 60m}}
  - {{id: pp_other, agent: agt_other, mission: ms_other, ttl: 60m}}
skills:
  - id: skl_summary
    operator: op_pub
    name: summarize-document
    description: Summarize a document into key points
    tags: [Text, summaries]
    agent: worker
    input_schema:
      {{type: object, properties: {{document: {{type: string}}, max_points: {{type: integer}}}}, required: [document]}}
    output_schema: {{type: object, properties: {{summary: {{type: array, items: {{type: string}}}}}}, required: [summary]}}
  - id: skl_totals
    operator: op_pub
    name: invoice-totals
    description: Read an invoice and return its total
    version: 2.1.0
    tags: [invoices]
    execution_mode: sealed
    input_schema: {{type: object, properties: {{text: {{type: string}}}}, required: [text]}}
    output_schema: {{type: object, properties: {{total: {{type: number}}, source: {{type: string}}}}, required: [total]}}
    execution_steps:
      - {{type: llm, model: openai/gpt-4o-mini, system_prompt: Extract the total as JSON, user_message: "Invoice: $INPUT.text"}}
      - {{type: template, template: {{total: $PREV.total, source: "of $INPUT.text"}}}}
  - id: skl_shout
    operator: op_pub
    name: shout
    description: Say it louder
    execution_mode: source
    input_schema: {{type: object, properties: {{word: {{type: string}}}}, required: [word]}}
    execution_steps: [{{type: template, template: "$INPUT.word!"}}]
  - id: skl_priced
    operator: op_pub
    name: priced
    description: Costs something
    agent: worker
    price_per_invocation: 25
  - id: skl_known
    operator: op_pub
    name: for-verified-humans
    description: For people only
    agent: worker
    trust_level_required: L1
  - id: skl_posting
    operator: op_pub
    name: posting
    description: Post with the credentials of the buyer
    execution_mode: sealed
    credential_mode: buyer_provides
    required_credentials: [{{provider: slack, scopes: [chat:write]}}]
    execution_steps: [{{type: template, template: posted}}]
  - {{id: skl_hidden, operator: op_pub, name: hidden, description: Not yet, agent: worker, status: suspended}}
model:
  - {{when: {{user: "Invoice: 455", model: openai/*, system: Extract}}, turns: [{{say: '{{"total": 455}}'}}]}}
  - {{when: {{user: "Invoice: words"}}, turns: [{{say: no numbers here}}]}}
  - {{when: {{user: "Invoice: text total"}}, turns: [{{say: '{{"total": "many"}}'}}]}}
"""

DOCUMENT = {"document": "A long story"}
SUMMARY = {"summary": ["short"]}
OPEN_SKILL: dict[str, Any] = {
    "name": "translate-text",
    "description": "Translate text between languages",
    "version": "1.0.0",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "output_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "agent_id": "agt_worker",
}
SEALED_SKILL: dict[str, Any] = {
    "name": "echo",
    "description": "Say it again",
    "version": "1.0.0",
    "input_schema": {"type": "object"},
    "output_schema": {},
    "execution_mode": "sealed",
    "execution_steps": [{"type": "template", "template": "$INPUT"}],
}
