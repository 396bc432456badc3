"""White-label tenants with the real SDK: made, used with their own key, limited, and taken away."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest
from getstack.passport_header_verify import verify_passport_header

from tests.families.drivers import McpTools
from tests.families.passport_world import error, get, post

PARTNER, MEMBER, ADMIN, OTHER, PLAIN = (f"sk_live_emu_{name}" for name in ("partner", "dev", "admin", "other", "plain"))
TENANT = "sk_live_emu_tenant"
WORLD = f"""
stack_emu: 1
operators:
  - id: op_partner
    partner: {{tenants: 3, allowance: 3}}
    keys:
      - {{key: {PARTNER}}}
      - {{key: {MEMBER}, role: standard, member: dev@partner.test}}
      - {{key: {ADMIN}, role: admin, member: admin@partner.test}}
  - {{id: op_other, partner: true, keys: [{{key: {OTHER}}}]}}
  - {{id: op_plain, keys: [{{key: {PLAIN}}}]}}
  - {{id: op_tenant, tenant_of: op_partner, tier: partner, keys: [{{key: {TENANT}}}]}}
agents:
  - {{id: agt_tenant, name: tenant-bot, operator: op_tenant, accountability_mode: logged}}
  - {{id: agt_partner, name: partner-bot, operator: op_partner, accountability_mode: logged}}
services:
  - id: scon_mail
    provider: mail
    operator: op_tenant
    upstream: mail
    scopes: ["mail:send", "mail:read"]
    grants: [{{agent: agt_tenant}}]
  - {{id: scon_partner, provider: mail, operator: op_partner, upstream: mail}}
missions:
  - {{id: ms_tenant, agent: agt_tenant, intent: Answer mail, services: [mail], expires: 2h}}
  - {{id: ms_partner, agent: agt_partner, intent: Watch, expires: 2h}}
upstreams: {{mail: {{hosts: [mail.test], routes: [{{when: {{path: /send}}, reply: {{json: {{sent: true}}}}}}]}}}}
"""


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, PARTNER)


def delete(served: Any, path: str, key: str) -> httpx.Response:
    return httpx.delete(served.base_url + path, headers={"Authorization": f"Bearer {key}"})


def test_a_tenant_is_an_account_of_its_own(stack: Any, sdk: Any, served: Any) -> None:
    made = stack.partner_tenants.create(external_customer_id="cust-1")
    assert (made["tier"], made["billing"], made["status"]) == ("partner", "partner", "active")
    inside = sdk(served.base_url, made["api_key"])
    agent = inside.agents.register(name="helper", accountability_mode="logged")
    assert agent.operator_id == made["operator_id"]
    assert [one.id for one in inside.agents.list()] == [agent.id]
    assert agent.id not in [one.id for one in stack.agents.list()]
    with pytest.raises(getstack.NotFoundError):
        stack.agents.get(agent.id)
    listed = stack.partner_tenants.list()
    assert [one["operator_id"] for one in listed] == ["op_tenant", made["operator_id"]]
    assert "api_key" not in listed[1]
    one = stack.partner_tenants.get(made["operator_id"])
    assert (one["external_customer_id"], one["usage"]["actions"]) == ("cust-1", 0)


def test_a_tenants_key_is_kept_nowhere(stack: Any, served: Any) -> None:
    key = stack.partner_tenants.create()["api_key"]
    kept = httpx.get(f"{served.base_url}/_emu/journal").text + httpx.get(f"{served.base_url}/_emu/audit").text
    assert key not in kept
    assert key not in repr(served.call(served.world.image))


def test_limits_of_the_partners_terms(stack: Any, served: Any) -> None:
    for number in range(2):
        stack.partner_tenants.create(external_customer_id=f"c{number}")
    with pytest.raises(getstack.StackError) as refused:
        stack.partner_tenants.create()
    assert (refused.value.status_code, refused.value.code) == (409, "TENANT_LIMIT_REACHED")
    stack.partner_tenants.revoke("op_tenant")
    with pytest.raises(getstack.StackError) as refused:
        stack.partner_tenants.create(external_customer_id="c1")
    assert refused.value.code == "CONFLICT"
    stack.partner_tenants.create(external_customer_id="c2")
    assert error(post(served, "/v1/partner/tenants", {"tier": "pro"}, PARTNER)) == (400, "TENANT_TIER_NOT_ALLOWED")


def test_all_tenants_draw_from_one_pool(stack: Any, sdk: Any, served: Any) -> None:
    tenant = sdk(served.base_url, TENANT)
    for _ in range(2):
        assert tenant.proxy.get("mail", "https://mail.test/send").status == 200
    assert stack.partner_tenants.get("op_tenant")["usage"]["actions"] == 2
    assert stack.proxy.get("mail", "https://mail.test/send").status == 200
    for client in (tenant, stack):
        with pytest.raises(getstack.StackError) as refused:
            client.proxy.get("mail", "https://mail.test/send")
        assert (refused.value.status_code, refused.value.code) == (402, "ALLOWANCE_EXHAUSTED")


def test_passports_for_a_tenants_agent_verify_offline(stack: Any, sdk: Any, served: Any) -> None:
    made = stack.partner_tenants.mint_outbound_passport(
        "op_tenant", "agt_tenant", ["mail:send"], mission_id="ms_tenant"
    )
    claims = verify_passport_header(made["header_value"], base_url=served.base_url)
    assert (claims["sub"], claims["stk"]["operator_id"]) == ("agt_tenant", "op_tenant")
    assert claims["stk"]["accountability"] == "enforced"
    [scope] = claims["stk"]["services"]
    assert (scope["connection_id"], scope["scopes"]) == ("scon_mail", ["mail:send"])
    assert claims["stk"]["intent_summary"] == "Answer mail"
    wider = stack.partner_tenants.issue_passport("op_tenant", "agt_tenant", mission_ids=["ms_tenant"], ttl_seconds=120)
    assert wider["jti"] == wider["passport_id"]
    tenant = sdk(served.base_url, TENANT)
    active = [one["jti"] for one in tenant.passports.list_active()]
    assert {made["passport_id"], wider["jti"]} == set(active)
    assert stack.passports.list_active() == []
    sent = tenant.proxy.get("mail", "https://mail.test/send", passport_token=wider["token"])
    assert sent.body == {"sent": True}
    found = row_of(served, "op_partner", "tenant.passport.issue")
    assert (found.outcome, found.metadata["tenant"]) == ("success", "op_tenant")


def row_of(served: Any, operator_id: str, action: str) -> Any:
    return next(found for found in reversed(served.rows(operator_id)) if found.action == action)


def test_passports_that_a_tenant_cannot_have_are_refused(stack: Any, served: Any) -> None:
    issue = stack.partner_tenants.issue_passport
    with pytest.raises(getstack.NotFoundError):
        issue("op_tenant", "agt_partner", mission_ids=["ms_tenant"])
    with pytest.raises(getstack.NotFoundError):
        issue("op_tenant", "agt_tenant", mission_ids=["ms_partner"])
    with pytest.raises(getstack.NotFoundError):
        issue("op_other", "agt_tenant", mission_ids=["ms_tenant"])
    with pytest.raises(getstack.StackError) as refused:
        issue("op_tenant", "agt_tenant", mission_ids=["ms_tenant"], services=[{"scopes": ["mail:delete"]}])
    assert refused.value.code == "SCOPE_ESCALATION"
    path = "/v1/partner/tenants/op_tenant/passports/issue"
    assert error(post(served, path, {"agent_id": "agt_tenant"}, PARTNER)) == (403, "MISSION_REQUIRED")


def test_revoking_a_tenant_ends_what_it_had_and_can_be_repeated(stack: Any, served: Any) -> None:
    passport = stack.partner_tenants.issue_passport("op_tenant", "agt_tenant", mission_ids=["ms_tenant"])
    done = stack.partner_tenants.revoke("op_tenant")
    assert (done["transitioned"], done["passports_revoked"]) == (True, 1)
    assert stack.passports.verify(passport["token"])["code"] == "PASSPORT_REVOKED"
    assert error(get(served, "/v1/agents", TENANT)) == (401, "INVALID_API_KEY")
    assert stack.partner_tenants.get("op_tenant")["status"] == "revoked"
    again = stack.partner_tenants.revoke("op_tenant")
    assert (again["transitioned"], again["passports_revoked"]) == (False, 0)
    with pytest.raises(getstack.ForbiddenError):
        stack.partner_tenants.issue_passport("op_tenant", "agt_tenant", mission_ids=["ms_tenant"])
    assert row_of(served, "op_partner", "tenant.revoke").metadata["tenant"] == "op_tenant"


def test_who_manages_tenants(served: Any) -> None:
    assert error(post(served, "/v1/partner/tenants", {}, MEMBER)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/partner/tenants", {}, PLAIN)) == (403, "FORBIDDEN")
    assert post(served, "/v1/partner/tenants", {}, ADMIN).status_code == 201
    assert get(served, "/v1/partner/tenants", PLAIN).json() == {"tenants": []}
    for key in (OTHER,):
        assert error(get(served, "/v1/partner/tenants/op_tenant", key)) == (404, "NOT_FOUND")
        assert error(delete(served, "/v1/partner/tenants/op_tenant", key)) == (404, "NOT_FOUND")


def test_a_suspended_partner_and_its_tenants_do_not_work(serve: Any) -> None:
    served = serve(WORLD.replace("{tenants: 3, allowance: 3}", "{active: false}"))
    assert error(post(served, "/v1/partner/tenants", {}, PARTNER)) == (403, "BILLING_ACCOUNT_INACTIVE")
    call = {"service": "mail", "url": "https://mail.test/send"}
    assert error(post(served, "/v1/proxy", call, TENANT)) == (403, "BILLING_ACCOUNT_INACTIVE")


def test_a_tenant_pays_for_nothing_itself(served: Any) -> None:
    for path, body in (("topup", {"amount_cents": 1000}), ("subscribe", {"tier": "studio"})):
        assert error(post(served, f"/v1/billing/{path}", body, TENANT)) == (403, "TENANT_BILLED_BY_PARTNER")
    assert get(served, "/v1/billing/balance", TENANT).status_code == 200
    assert post(served, "/v1/billing/topup", {"amount_cents": 1000}, PARTNER).status_code < 300


def test_the_same_as_tools(served: Any) -> None:
    tools = McpTools(served.base_url, PARTNER)
    made = tools("stack_create_tenant", external_customer_id="over-mcp")
    assert made["operator_id"] in [one["operator_id"] for one in tools("stack_list_tenants")["tenants"]]
    assert tools("stack_revoke_tenant", tenant_id=made["operator_id"])["status"] == "revoked"
    refused, failed = tools.result("stack_get_tenant", tenant_id="op_other")
    assert (failed, refused["error"]["code"]) == (True, "NOT_FOUND")
