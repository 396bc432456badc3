"""Connect with STACK, with the real SDK: an account made for a customer, one asked for consent, and grants taken back."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import error, get, post

PARTNER, OWNER, OTHER, PLAIN = (f"sk_live_emu_{name}" for name in ("partner", "owner", "other", "plain"))
WORLD = f"""
stack_emu: 1
clock: {{mode: virtual, start: 2026-01-01T00:00:00Z}}
operators:
  - {{id: op_partner, email: me@partner.test, partner: true, keys: [{{key: {PARTNER}}}]}}
  - {{id: op_owner, email: Owner@shop.test, keys: [{{key: {OWNER}}}]}}
  - {{id: op_other, partner: true, keys: [{{key: {OTHER}}}]}}
  - {{id: op_plain, keys: [{{key: {PLAIN}}}]}}
agents: [{{id: agt_own, name: own, operator: op_owner, accountability_mode: logged}}]
services: [{{id: scon_own, provider: slack, operator: op_owner, upstream: slack, grants: [{{agent: agt_own}}]}}]
missions: [{{id: ms_own, agent: agt_own, intent: The owner's own, expires: 2h}}]
upstreams: {{slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{name: eng}}]}}}}}}
"""


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, PARTNER)


def answer(served: Any, grant_id: str, approve: bool = True, key: str = OWNER) -> httpx.Response:
    return post(served, f"/v1/connect/grants/{grant_id}/consent", {"approve": approve}, key)


def test_a_new_address_gets_an_account_and_a_token_that_works_at_once(stack: Any, sdk: Any, served: Any) -> None:
    made = stack.partner_connect.connect("new@shop.test", external_customer_id="c1", providers=["slack"])
    assert (made["status"], made["account_created"]) == ("active", True)
    inside = sdk(served.base_url, made["grant_token"])
    agent = inside.agents.register(name="helper", accountability_mode="logged")
    assert agent.operator_id == made["operator_id"]
    connection = inside.services.connect("svc_slack", "xoxb-of-the-customer", ["chat:write"])
    inside.services.grant_agent_access(agent.id, connection["id"], ["chat:write"])
    mission = inside.missions.open("Post", agent_id=agent.id, intent_services=["slack"])
    passport = inside.passports.issue(agent.id, intent="Post", services=["slack"], mission_ids=[mission["mission_id"]])
    sent = inside.proxy.post(
        "slack",
        "https://slack.com/api/chat.postMessage",
        body={"channel": "#eng", "text": "hello"},
        passport_token=passport.token,
    )
    assert sent.body["ok"] is True
    [listed] = stack.partner_connect.list_connections()
    assert (listed["grant_id"], listed["external_customer_id"]) == (made["grant_id"], "c1")
    assert "grant_token" not in listed


def test_revoking_a_grant_takes_what_was_made_with_it(stack: Any, sdk: Any, served: Any) -> None:
    made = stack.partner_connect.connect("new@shop.test")
    inside = sdk(served.base_url, made["grant_token"])
    agent = inside.agents.register(name="helper", accountability_mode="logged")
    connection = inside.services.connect("svc_slack", "xoxb-of-the-customer", ["chat:write"])
    inside.services.grant_agent_access(agent.id, connection["id"], ["chat:write"])
    mission = inside.missions.open("Post", agent_id=agent.id)
    passport = inside.passports.issue(agent.id, intent="Post", services=["slack"], mission_ids=[mission["mission_id"]])
    done = stack.partner_connect.revoke_connection(made["grant_id"])
    assert (done["transitioned"], done["passports_revoked"], done["connections_disconnected"]) == (True, 1, 1)
    assert stack.passports.verify(passport.token)["code"] == "PASSPORT_REVOKED"
    with pytest.raises(getstack.UnauthorizedError):
        inside.agents.list()
    assert stack.partner_connect.revoke_connection(made["grant_id"])["transitioned"] is False
    assert stack.partner_connect.get_connection(made["grant_id"])["status"] == "revoked"


def test_an_existing_account_is_asked_and_lets_in_only_what_is_made_with_the_grant(
    stack: Any, sdk: Any, served: Any
) -> None:
    made = stack.partner_connect.connect("owner@SHOP.test")
    assert (made["status"], made["operator_id"]) == ("pending_consent", None)
    inside = sdk(served.base_url, made["grant_token"])
    with pytest.raises(getstack.UnauthorizedError) as refused:
        inside.agents.list()
    assert "consent" in str(refused.value)
    [asked] = get(served, "/v1/connect/grants", OWNER).json()["connections"]
    assert asked["grant_id"] == made["grant_id"]
    assert answer(served, made["grant_id"]).json()["status"] == "active"
    assert inside.agents.list() == []
    with pytest.raises(getstack.NotFoundError):
        inside.agents.get("agt_own")
    with pytest.raises(getstack.NotFoundError):
        inside.missions.get("ms_own")
    assert inside.services.list() == []
    mine = inside.agents.register(name="theirs", accountability_mode="logged")
    assert [agent.id for agent in inside.agents.list()] == [mine.id]
    owner = sdk(served.base_url, OWNER)
    assert {agent.id for agent in owner.agents.list()} == {"agt_own", mine.id}
    seen = {entry["agent_id"] for entry in inside.audit.list(limit=100)["entries"]}
    assert seen == {mine.id}


def test_an_account_can_refuse_or_take_back(stack: Any, served: Any) -> None:
    made = stack.partner_connect.connect("owner@shop.test")
    assert answer(served, made["grant_id"], approve=False).json()["status"] == "denied"
    assert error(answer(served, made["grant_id"])) == (409, "CONFLICT")
    assert error(get(served, "/v1/agents", made["grant_token"])) == (401, "UNAUTHORIZED")
    again = stack.partner_connect.connect("owner@shop.test")
    answer(served, again["grant_id"])
    gone = httpx.delete(
        f"{served.base_url}/v1/connect/grants/{again['grant_id']}", headers={"Authorization": f"Bearer {OWNER}"}
    )
    assert gone.json()["status"] == "revoked"
    assert error(get(served, "/v1/agents", again["grant_token"])) == (401, "UNAUTHORIZED")


def test_a_scenario_can_consent(serve: Any, sdk: Any) -> None:
    rule = "approvals: [{when: {operation: partner_connect.connect}, decide: approve, after: 5s}]\n"
    served = serve(WORLD + rule)
    stack = sdk(served.base_url, PARTNER)
    made = stack.partner_connect.connect("owner@shop.test")
    assert made["status"] == "pending_consent"
    served.advance(5000)
    assert stack.partner_connect.get_connection(made["grant_id"])["status"] == "active"
    assert sdk(served.base_url, made["grant_token"]).agents.list() == []


def test_scopes_limit_what_a_grant_may_do(stack: Any, served: Any) -> None:
    made = stack.partner_connect.connect("new@shop.test", scopes=["agents:read"])
    assert get(served, "/v1/agents", made["grant_token"]).json() == []
    refused = post(served, "/v1/agents/register", {"name": "helper"}, made["grant_token"])
    assert error(refused) == (403, "FORBIDDEN")
    assert refused.json()["error"]["details"]["missing_scope"] == "agents:write"
    assert error(post(served, "/v1/partner/connect", {"email": "a@b.test", "scopes": ["all"]}, PARTNER)) == (
        400,
        "INVALID_REQUEST",
    )


def test_rotating_a_token_kills_the_one_before(stack: Any, served: Any) -> None:
    made = stack.partner_connect.connect("new@shop.test")
    fresh = stack.partner_connect.rotate_token(made["grant_id"])["grant_token"]
    assert error(get(served, "/v1/agents", made["grant_token"])) == (401, "INVALID_API_KEY")
    assert get(served, "/v1/agents", fresh).json() == []
    stack.partner_connect.revoke_connection(made["grant_id"])
    with pytest.raises(getstack.StackError) as refused:
        stack.partner_connect.rotate_token(made["grant_id"])
    assert refused.value.status_code == 409
    assert fresh not in httpx.get(f"{served.base_url}/_emu/journal").text


def test_connections_that_cannot_be_are_refused(stack: Any, served: Any) -> None:
    stack.partner_connect.connect("new@shop.test")
    with pytest.raises(getstack.StackError) as refused:
        stack.partner_connect.connect("New@shop.test")
    assert refused.value.code == "CONFLICT"
    with pytest.raises(getstack.NotFoundError):
        stack.partner_connect.get_connection("grt_none")
    for body in ({"email": "nobody"}, {}):
        assert error(post(served, "/v1/partner/connect", body, PARTNER)) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/partner/connect", {"email": "me@partner.test"}, PARTNER)) == (409, "CONFLICT")
    assert error(post(served, "/v1/partner/connect", {"email": "a@b.test"}, PLAIN)) == (403, "FORBIDDEN")


def test_another_partners_grants_are_unknown(stack: Any, served: Any) -> None:
    made = stack.partner_connect.connect("owner@shop.test")
    path = f"/v1/partner/connections/{made['grant_id']}"
    assert error(get(served, path, OTHER)) == (404, "NOT_FOUND")
    assert error(post(served, path + "/rotate-token", {}, OTHER)) == (404, "NOT_FOUND")
    assert error(answer(served, made["grant_id"], key=PLAIN)) == (404, "NOT_FOUND")
    assert get(served, "/v1/partner/connections", OTHER).json() == {"connections": []}


def test_the_same_as_tools(served: Any) -> None:
    tools = McpTools(served.base_url, PARTNER)
    made = tools("stack_connect_customer", email="new@shop.test")
    assert tools("stack_get_customer_connection", grant_id=made["grant_id"])["status"] == "active"
    assert tools("stack_revoke_customer_connection", grant_id=made["grant_id"])["status"] == "revoked"
