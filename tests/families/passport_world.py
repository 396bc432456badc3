"""The world of the mission and passport tests, and short ways to say things about it."""

from __future__ import annotations

import base64
import inspect
import json
from typing import Any

import httpx

OPERATOR, MEMBER, READER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_read", "sk_live_emu_other"
HEAD = "stack_emu: 1\nclock: {mode: virtual, start: 2026-01-01T00:00:00Z}\n"
BODY = f"""
operators:
  - id: op_emu
    keys:
      - {{key: {OPERATOR}}}
      - {{key: {MEMBER}, role: standard, member: dev@acme.test, allowed_connections: [scon_slack]}}
      - {{key: {READER}, role: readonly, member: read@acme.test}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agt_logged, name: logged, accountability_mode: logged}}
  - {{id: agt_enforced, name: enforced, accountability_mode: enforced}}
  - {{id: agt_second, name: second, accountability_mode: enforced}}
  - {{id: agt_standard, name: standard, accountability_mode: standard}}
  - {{id: agt_helper, name: helper, accountability_mode: logged}}
  - {{id: agt_foreign, name: foreign, operator: op_other, accountability_mode: logged}}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write, channels:read, files:write]
    grants:
      - agent: agt_logged
        scopes: [chat:write, channels:read]
        constraints: [{{path: body.channel, op: in, value: ["#eng"]}}]
      - {{agent: agt_enforced, scopes: [chat:write]}}
      - {{agent: agt_standard, scopes: [chat:write]}}
  - {{id: scon_github, provider: github, scopes: [repo, issues], grants: [{{agent: agt_logged, scopes: [repo]}}]}}
  - {{id: scon_stripe, provider: stripe, scopes: [charges]}}
missions:
  - {{id: ms_logged, agent: agt_logged, intent: Announce deploys, services: [slack], expires: 2h}}
  - {{id: ms_enforced, agent: agt_enforced, intent: Announce deploys, services: [slack], expires: 2h}}
  - {{id: ms_standard, agent: agt_standard, intent: Announce deploys, services: [slack], expires: 2h}}
"""
WORLD = HEAD + BODY
REAL = "stack_emu: 1\n" + BODY
DOCS = HEAD + "compat: docs-2026-05\n" + BODY
START_MS = 1767225600000


def bearer(token: str = OPERATOR) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def post(served: Any, path: str, body: Any = None, token: str = OPERATOR, **headers: str) -> httpx.Response:
    return httpx.post(served.base_url + path, json=body, headers={**bearer(token), **headers})


def get(served: Any, path: str, token: str = OPERATOR) -> httpx.Response:
    return httpx.get(served.base_url + path, headers=bearer(token))


def error(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal; its details are always an object."""
    body = response.json()["error"]
    assert isinstance(body["details"], dict)
    assert body["message"]
    return response.status_code, body["code"]


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def issue(client: Any, agent: str = "logged", **options: Any) -> Any:
    """A passport of one of the world's agents for its mission."""
    given = {"intent": "Announce", "services": ["slack"], "mission_ids": [f"ms_{agent}"], **options}
    return client.passports.issue(agent_id=f"agt_{agent}", **given)


def actions(served: Any, start: int = 0) -> list[tuple[str, str]]:
    return [(row.action, row.outcome) for row in served.rows()[start:]]


def row(served: Any, action: str) -> Any:
    """The last row of an action."""
    return next(found for found in reversed(served.rows()) if found.action == action)


def wait(client: Any, value: Any) -> Any:
    """What an SDK object gives back, waited for in the client's own loop when it is asynchronous."""
    return client._loop.run_until_complete(value) if inspect.isawaitable(value) else value
