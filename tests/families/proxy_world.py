"""The world the proxy tests share, and short ways to act in it."""

from __future__ import annotations

from typing import Any

import httpx

from stack_emu.domain.state import Mission, Passport, ProxyOperation

OPERATOR, MEMBER, READER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_read", "sk_live_emu_other"
SECRET = "sup3r/s3cret+t0ken=="
ECHO = "https://echo.example.com"
POST_MESSAGE = "https://slack.com/api/chat.postMessage"

WORLD = f"""
stack_emu: 1
seed: 3
clock: {{mode: virtual}}
operators:
  - id: op_emu
    keys:
      - {{key: {OPERATOR}}}
      - {{key: {MEMBER}, role: standard, member: dev@acme.test, allowed_connections: [scon_slack]}}
      - {{key: {READER}, role: readonly, member: read@acme.test}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agent_bot, name: bot, accountability_mode: logged}}
  - {{id: agent_strict, name: strict, accountability_mode: enforced}}
  - {{id: agent_foreign, name: foreign, accountability_mode: logged, operator: op_other}}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write, channels:read]
    upstream: slack
    grants:
      - agent: bot
        scopes: [chat:write]
        constraints: [{{path: body.channel, op: in, value: ["#eng", "#ops"]}}]
      - {{agent: strict, scopes: [chat:write]}}
  - {{id: scon_echo, provider: echo, upstream: echo, credential: "{SECRET}", grants: [{{agent: bot}}]}}
  - {{id: scon_github, provider: github, upstream: hub}}
missions:
  - {{id: ms_one, agent: agent_bot, intent: Announce deploys, services: [slack, echo], expires: 1h}}
  - {{id: ms_strict, agent: agent_strict, intent: Watch, services: [slack], expires: 1h}}
  - {{id: ms_foreign, agent: agent_foreign, intent: Elsewhere, expires: 1h}}
passports:
  - {{id: pp_one, agent: agent_bot, mission: ms_one, env: P1}}
  - {{id: pp_strict, agent: agent_strict, mission: ms_strict, env: P2}}
  - {{id: pp_foreign, agent: agent_foreign, mission: ms_foreign, env: P3}}
upstreams:
  slack: {{pack: slack, seed: {{channels: [{{name: eng}}, {{name: ops}}]}}}}
  hub: {{hosts: [api.github.com], routes: [{{when: {{path: /user}}, reply: {{json: {{login: octo}}}}}}]}}
  echo:
    hosts: [echo.example.com]
    routes:
      - when: {{path: /status/404}}
        reply: {{status: 404, json: {{error: gone}}}}
      - when: {{path: /text}}
        reply:
          text: "token {{{{ request.headers.authorization }}}}"
          headers: {{Set-Cookie: a=1, X-Seen: "{{{{ request.headers.authorization }}}}"}}
      - when: {{path: /bytes}}
        reply: {{base64: "/wD/", headers: {{Content-Type: image/png}}}}
      - when: {{path: /empty}}
        reply: {{status: 204}}
      - when: {{path: /slow}}
        reply: {{delay: 300ms, json: {{ok: true}}}}
      - when: {{path: /hangs}}
        reply: {{delay: 60s, json: {{ok: true}}}}
      - reply:
          json:
            method: "{{{{ request.method }}}}"
            path: "{{{{ request.path }}}}"
            query: "{{{{ request.query | tojson }}}}"
            headers: "{{{{ request.headers | tojson }}}}"
            text: "{{{{ request.text }}}}"
"""


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def token(served: Any, jti: str = "pp_one") -> str:
    from stack_emu.domain.passports import token_for

    made: str = served.call(lambda: token_for(served.world, served.world.store.get(Passport, jti)))
    return made


def raw_proxy(served: Any, payload: dict[str, Any], key: str = OPERATOR, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{served.base_url}/v1/proxy", json=payload, headers={**bearer(key), **named}, timeout=20)


def echoed(reply: Any) -> dict[str, Any]:
    """What the echo upstream received, from the envelope or the SDK's response."""
    import json

    body = reply.body if hasattr(reply, "operation_id") else reply.json()["body"]
    return {**body, "headers": json.loads(body["headers"]), "query": json.loads(body["query"])}


def last_row(served: Any, operator_id: str = "op_emu") -> Any:
    return served.rows(operator_id)[-1]


def operations(served: Any) -> list[ProxyOperation]:
    return list(served.world.store.all(ProxyOperation))


def mission(served: Any, mission_id: str = "ms_one") -> Mission:
    found = served.world.store.get(Mission, mission_id)
    assert isinstance(found, Mission)
    return found
