"""Grants: giving an agent a connection, with scopes, constraints and named intents, and taking everything back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain.state import Constraint, Grant, Passport
from tests.families.drivers import McpTools, SdkFactory

KEY, MEMBER, READER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_read", "sk_live_emu_other"
WORLD = f"""
stack_emu: 1
clock: {{mode: virtual}}
operators:
  - id: op_emu
    keys:
      - {{key: {KEY}}}
      - {{key: {MEMBER}, role: standard, member: dev@acme.test, allowed_connections: [scon_slack]}}
      - {{key: {READER}, role: readonly, member: read@acme.test}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agt_bot, name: bot, accountability_mode: logged}}
  - {{id: agt_child, name: child, accountability_mode: logged}}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write, channels:read]
    grants: [{{agent: bot}}]
    intents:
      - name: slack.post
        description: Post to channels
        params: [channels]
        constraints:
          - {{path: url.pathname, op: eq, value: /api/chat.postMessage}}
          - {{path: body.channel, op: in, value: "{{{{ params.channels }}}}"}}
      - {{name: slack.read, constraints: [{{path: method, op: eq, value: GET}}]}}
  - {{id: scon_github, provider: github, scopes: [repo], grants: [{{agent: bot}}]}}
  - {{id: scon_custom, provider: custom_crm}}
missions: [{{id: ms_bot, agent: bot, intent: Announce}}]
passports: [{{id: pp_bot, agent: bot, mission: ms_bot, env: P1}}]
"""


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def grant(served: Any, key: str = KEY, **body: Any) -> httpx.Response:
    given = {"agent_id": "agt_child", "service_connection_id": "scon_slack", **body}
    return httpx.post(f"{served.base_url}/v1/services/grant", json=given, headers=bearer(key))


def test_a_grant_lets_an_agent_use_a_connection(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    reply = client.services.grant_agent_access("agt_child", "scon_slack", ["chat:write"])
    assert (reply["agent_id"], reply["service_connection_id"], reply["provider"]) == (
        "agt_child",
        "scon_slack",
        "slack",
    )
    assert client.services.get_agent_permissions("agt_child")["grants"][0]["scopes"] == ["chat:write"]
    row = served.rows()[-1]
    assert (row.action, row.agent_id, row.outcome) == ("service.grant", "agt_child", "success")
    assert (row.metadata["connection"], row.metadata["scopes"]) == ("scon_slack", ["chat:write"])


def test_a_grant_for_the_same_pair_replaces_the_one_before(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    assert grant(served, scopes=["chat:write", "channels:read"]).status_code == 201
    assert grant(served, scopes=["channels:read"]).status_code == 201
    (kept,) = served.world.store.find(Grant, agent_id="agt_child")
    assert kept.scopes == ("channels:read",)


def test_without_scopes_a_grant_has_the_connections(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    assert grant(served).json()["scopes"] == ["chat:write", "channels:read"], "sdk 0.14 to 0.19.0 send none"


def test_a_connection_that_declares_no_scopes_limits_none(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    assert grant(served, service_connection_id="scon_custom", scopes=["anything"]).json()["scopes"] == ["anything"]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"scopes": ["chat:write", "admin"]}, 400, "SCOPE_ESCALATION", "scope admin is beyond"),
        ({"scopes": []}, 400, "INVALID_REQUEST", "scopes"),
        ({"scopes": "chat:write"}, 400, "INVALID_REQUEST", "scopes"),
        ({"agent_id": "agt_none"}, 404, "NOT_FOUND", "Agent agt_none"),
        ({"service_connection_id": "svc_slack"}, 404, "NOT_FOUND", "Connection svc_slack"),
        ({"constraints": [{"path": "cookie", "op": "eq", "value": 1}]}, 400, "INVALID_REQUEST", "no part of a request"),
        ({"constraints": [{"path": "method", "op": "like", "value": 1}]}, 400, "INVALID_REQUEST", "no operator"),
        ({"constraints": [{"path": "method", "op": "matches", "value": "(?=x)"}]}, 400, "INVALID_REQUEST", "RE2"),
        ({"constraints": [{"path": "method", "op": "eq", "value": "GET"}] * 33}, 400, "INVALID_REQUEST", "at most 32"),
        ({"intents": [{"name": "slack.delete"}]}, 400, "INVALID_REQUEST", "it offers: slack.post, slack.read"),
        ({"intents": [{"name": "slack.post"}]}, 400, "INVALID_REQUEST", "takes the parameters: channels"),
        ({"intents": [{"name": "slack.read", "params": {"x": 1}}]}, 400, "INVALID_REQUEST", "parameters: none"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_when_it_is_made(
    serve: Callable[..., Any], body: dict[str, Any], status: int, code: str, said: str
) -> None:
    served = serve(WORLD)
    response = grant(served, **{"scopes": ["chat:write"], **body})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert said in error["message"]
    assert isinstance(error["details"], dict)
    assert not list(served.world.store.find(Grant, agent_id="agt_child"))


def test_constraints_and_intents_become_the_grants_constraints(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    own = {"path": "query.limit", "op": "not_in", "value": ["1000"]}
    uses = [{"name": "slack.post", "params": {"channels": ["C1", "C2"]}}, {"name": "slack.read"}]
    reply = grant(served, scopes=["chat:write"], constraints=[own], intents=uses, allow_data_from=["github"]).json()
    assert reply["intents"] == ["slack.post", "slack.read"]
    assert reply["allow_data_from"] == ["github"]
    (kept,) = served.world.store.find(Grant, agent_id="agt_child")
    assert kept.constraints == (
        Constraint("query.limit", "not_in", ["1000"]),
        Constraint("url.pathname", "eq", "/api/chat.postMessage"),
        Constraint("body.channel", "in", ["C1", "C2"]),
        Constraint("method", "eq", "GET"),
    )


def test_a_member_grants_only_allowed_connections(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, MEMBER)
    assert client.services.grant_agent_access("agt_child", "scon_slack", ["chat:write"])["provider"] == "slack"
    with pytest.raises(getstack.ForbiddenError, match="allowed_connections"):
        client.services.grant_agent_access("agt_child", "scon_github", ["repo"])
    with pytest.raises(getstack.ForbiddenError, match="allowed_connections"):
        client.services.revoke_agent_access("agt_bot")
    assert len(list(served.world.store.find(Grant, agent_id="agt_bot"))) == 2
    with pytest.raises(getstack.ForbiddenError, match="role"):
        sdk(served.base_url, READER).services.grant_agent_access("agt_child", "scon_slack", ["chat:write"])
    with pytest.raises(getstack.NotFoundError):
        sdk(served.base_url, OTHER).services.grant_agent_access("agt_child", "scon_slack", ["chat:write"])


def test_revoking_access_takes_all_grants_and_live_passports(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    reply = client.services.revoke_agent_access("agt_bot")
    assert reply == {"agent_id": "agt_bot", "revoked_grants": 2, "revoked_passports": 1}
    assert client.services.get_agent_permissions("agt_bot")["grants"] == []
    assert served.world.store.get(Passport, "pp_bot").revocation == "bulk_agent"
    assert [row.action for row in served.rows()] == ["service.revoke", "passport.revoke"]
    assert client.services.revoke_agent_access("agt_bot")["revoked_grants"] == 0
    with pytest.raises(getstack.NotFoundError):
        client.services.revoke_agent_access("agt_none")


def test_a_passport_issued_after_a_revocation_carries_no_grant(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    client.services.revoke_agent_access("agt_bot")
    issued = client.passports.issue("agt_bot", "Announce", services=[], mission_ids=["ms_bot"])
    assert served.world.store.get(Passport, issued.jti).services == ()


def test_the_tools_do_what_the_routes_do(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    tools = McpTools(served.base_url, KEY)
    intents = json.dumps(tools("stack_list_intents"))
    assert "slack.post" in intents
    assert "slack.read" in intents
    assert "slack.post" not in json.dumps(tools("stack_list_intents", service="github"))
    use = {"name": "slack.post", "params": {"channels": ["C1"]}}
    made = tools(
        "stack_grant_agent_access",
        agent_id="agt_child",
        service_connection_id="scon_slack",
        scopes=["chat:write"],
        intents=[use],
    )
    assert made["constraints"][1] == {"path": "body.channel", "op": "in", "value": ["C1"]}
    assert tools("stack_revoke_agent_access", agent_id="agt_child")["revoked_grants"] == 1
    refusal, failed = tools.result("stack_revoke_agent_access", agent_id="agt_none")
    assert failed
    assert refusal["error"]["code"] == "NOT_FOUND"
