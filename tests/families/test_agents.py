"""Agents: list, update, delete, unblock, permissions, and the governance approval an unblock waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import governance
from stack_emu.domain.state import Agent, Passport
from stack_emu.kernel.errors import Fault
from tests.families.drivers import McpTools

OPERATOR, MEMBER, READER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_read", "sk_live_emu_other"
WORLD = f"""
stack_emu: 1
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
  - {{id: agent_helper, name: helper, accountability_mode: logged}}
  - {{id: agent_foreign, name: foreign, operator: op_other}}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write, channels:read]
    grants:
      - {{agent: bot, scopes: [chat:write], constraints: [{{path: body.channel, op: in, value: ["#eng"]}}]}}
  - {{id: scon_github, provider: github, scopes: [repo], grants: [{{agent: bot}}]}}
missions: [{{id: ms_one, agent: agent_bot, intent: Announce, services: [slack]}}]
passports: [{{id: pp_one, agent: agent_bot, mission: ms_one, env: P1}}]
"""
AGENT_KEYS = {
    "id",
    "operator_id",
    "name",
    "description",
    "status",
    "accountability_mode",
    "on_warning",
    "on_critical",
    "credential_access",
    "key_mode",
    "icon_url",
    "passport_blocked",
    "passport_blocked_reason",
    "passport_blocked_at",
    "llm_inject_system_prompt",
    "llm_redact_pii",
    "created_at",
    "updated_at",
}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def passport_token(served: Any, jti: str = "pp_one") -> str:
    from stack_emu.domain.passports import token_for

    return served.call(lambda: token_for(served.world, served.world.store.get(Passport, jti)))


def block(served: Any, agent_id: str = "agent_bot") -> None:
    store = served.world.store
    agent = store.get(Agent, agent_id)
    blocked = replace(agent, passport_blocked=True, passport_blocked_reason="bad review", passport_blocked_at=1)
    served.call(lambda: store.put(blocked))


def test_the_list_is_a_bare_array_of_the_accounts_agents(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    listed = sdk(served.base_url, OPERATOR).agents.list()
    assert [(agent.id, agent.name) for agent in listed] == [("agent_bot", "bot"), ("agent_helper", "helper")]
    raw = httpx.get(f"{served.base_url}/v1/agents", headers=bearer(READER)).json()
    assert isinstance(raw, list)
    assert set(raw[0]) >= AGENT_KEYS
    assert not [row for row in served.rows() if row.action.startswith("agent.")]


def test_a_tier_has_room_for_so_many_agents(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD.replace("- id: op_emu\n", "- id: op_emu\n    tier: free\n"))
    client = sdk(served.base_url, OPERATOR)
    there = len(client.agents.list())
    for number in range(5 - there):
        client.agents.register(f"bot-{number}")
    with pytest.raises(getstack.StackError) as caught:
        client.agents.register("one-too-many")
    assert caught.value.code == "TIER_LIMIT_EXCEEDED"
    assert len(client.agents.list()) == 5


def test_an_update_changes_only_what_it_names_and_leaves_a_row(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    served.advance(5000)
    updated = client.agents.update("agent_bot", description="posts", accountability_mode="enforced", key_mode=None)
    assert (updated.description, updated.accountability_mode, updated.status) == ("posts", "enforced", "active")
    assert updated.credential_access == "proxy_only"
    assert updated.updated_at != updated.created_at
    row = served.rows()[-1]
    assert (row.action, row.agent_id, row.outcome) == ("agent.update", "agent_bot", "success")
    assert row.metadata["changed"] == ["accountability_mode", "description"]


def test_suspend_and_activate_change_the_status(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    assert client.agents.suspend("agent_bot").status == "suspended"
    assert client.agents.activate("agent_bot").status == "active"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key_mode": "customer_managed"}, "key_mode"),
        ({"status": "asleep"}, "status"),
        ({"name": "Not Allowed"}, "name"),
        ({"description": "x" * 257}, "description"),
    ],
)
def test_an_update_that_cannot_be_names_the_field(
    serve: Callable[..., Any], sdk: Any, change: dict[str, str], field: str
) -> None:
    served = serve(WORLD)
    with pytest.raises(getstack.StackError) as caught:
        sdk(served.base_url, OPERATOR).agents.update("agent_bot", **change)
    assert (caught.value.status_code, caught.value.code) == (400, "INVALID_REQUEST")
    assert field in caught.value.details["fields"]


def test_the_present_key_mode_may_be_repeated(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    updated = sdk(served.base_url, OPERATOR).agents.update("agent_bot", key_mode="stack_managed", icon_url="https://i")
    assert updated.key_mode == "stack_managed"


def test_a_name_in_use_is_a_conflict_but_a_deleted_agents_name_is_free(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.StackError) as caught:
        client.agents.update("agent_helper", name="bot")
    assert caught.value.status_code == 409
    client.agents.delete("agent_bot")
    assert client.agents.update("agent_helper", name="bot").name == "bot"


def test_deleting_an_agent_revokes_its_passports_and_a_second_time_finds_nothing(
    serve: Callable[..., Any], sdk: Any
) -> None:
    served = serve(WORLD)
    token = passport_token(served)
    client = sdk(served.base_url, OPERATOR)
    client.agents.delete("agent_bot")
    rows = [row for row in served.rows() if row.action.startswith(("agent.", "passport."))]
    assert [row.action for row in rows] == ["agent.delete", "passport.revoke"]
    assert (rows[1].metadata["revocation"], rows[1].metadata["reason"]) == ("bulk_agent", "Agent deleted")
    assert rows[1].trace_id == rows[0].trace_id
    refused = httpx.get(f"{served.base_url}/v1/agents/agent_bot", headers=bearer(token))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "PASSPORT_REVOKED")
    with pytest.raises(getstack.NotFoundError):
        client.agents.get("agent_bot")
    with pytest.raises(getstack.NotFoundError):
        client.agents.delete("agent_bot")
    assert [agent.id for agent in client.agents.list()] == ["agent_helper"]


def test_agents_of_another_account_are_not_found(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OTHER)
    for attempt in (
        lambda: client.agents.get("agent_bot"),
        lambda: client.agents.update("agent_bot", description="x"),
        lambda: client.agents.delete("agent_bot"),
        lambda: client.agents.unblock("agent_bot"),
        lambda: client.services.get_agent_permissions("agent_bot"),
    ):
        with pytest.raises(getstack.NotFoundError) as caught:
            attempt()
        assert caught.value.code == "NOT_FOUND"
    row = served.rows("op_other")[-1]
    assert (row.action, row.outcome, row.error_code) == ("agent.unblock", "blocked", "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v1/agents/agent_bot"),
        ("DELETE", "/v1/agents/agent_bot"),
        ("POST", "/v1/agents/agent_bot/unblock"),
    ],
)
def test_writes_need_a_key_of_the_account_with_a_role_that_writes(
    serve: Callable[..., Any], method: str, path: str
) -> None:
    served = serve(WORLD)
    answers = {
        "none": httpx.request(method, served.base_url + path, json={}),
        "reader": httpx.request(method, served.base_url + path, json={}, headers=bearer(READER)),
        "passport": httpx.request(method, served.base_url + path, json={}, headers=bearer(passport_token(served))),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "none": 401,
        "reader": 403,
        "passport": 403,
    }
    assert "needs role standard" in answers["reader"].json()["error"]["message"]


def test_unblocking_waits_for_an_approval_that_works_once(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    block(served)
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.agents.unblock("agent_bot")
    assert caught.value.code == "GOVERNANCE_APPROVAL_REQUIRED"
    approval = caught.value.details["approval_id"]
    assert approval.startswith("gvr_")
    assert approval in str(caught.value)
    row = served.rows()[-1]
    assert (row.action, row.outcome, row.error_code) == ("agent.unblock", "blocked", "GOVERNANCE_APPROVAL_REQUIRED")

    with pytest.raises(getstack.ForbiddenError) as waiting:
        client.agents.unblock("agent_bot", governance_approval_id=approval)
    assert waiting.value.details == {**caught.value.details, "status": "pending"}

    decided = served.call(lambda: governance.decide(served.world, approval, True, notes="looked at it"))
    assert decided.status == "approved"
    assert client.agents.unblock("agent_bot", governance_approval_id=approval)["passport_blocked"] is False
    assert client.agents.get("agent_bot").passport_blocked_reason is None

    block(served)
    with pytest.raises(getstack.ForbiddenError, match="was used") as spent:
        client.agents.unblock("agent_bot", governance_approval_id=approval)
    assert spent.value.details["status"] == "used"
    actions = [row.action for row in served.rows()]
    assert actions == ["agent.unblock", "agent.unblock", "governance.decide", "agent.unblock", "agent.unblock"]


def test_an_approval_is_for_one_agent_and_one_account(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD + "approvals: [{when: {operation: agents.unblock, agent: bot}, decide: approve}]\n")
    block(served)
    block(served, "agent_helper")
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.agents.unblock("agent_bot")
    approval = caught.value.details["approval_id"]
    with pytest.raises(getstack.ForbiddenError, match=r"is for agents\.unblock of agent_bot"):
        client.agents.unblock("agent_helper", governance_approval_id=approval)
    with pytest.raises(getstack.ForbiddenError, match="is not known in this account"):
        client.agents.unblock("agent_bot", governance_approval_id="gvr_unheard")
    assert client.agents.unblock("agent_bot", governance_approval_id=approval)["id"] == "agent_bot"


def test_the_scenario_decides_after_its_delay(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD + "approvals: [{when: {nth: 1}, decide: reject, after: 5s}, {decide: approve, after: 5s}]\n")
    block(served)
    client = sdk(served.base_url, OPERATOR)

    def ask(approval: str | None = None) -> Any:
        with pytest.raises(getstack.ForbiddenError) as caught:
            client.agents.unblock("agent_bot", governance_approval_id=approval)
        return caught.value.details

    first = ask()["approval_id"]
    assert ask()["approval_id"] == first, "the same change waits for the same approval"
    served.advance(5000)
    assert ask(first)["status"] == "rejected"
    second = ask()["approval_id"]
    assert second != first
    assert ask(second)["status"] == "pending"
    served.advance(5000)
    assert client.agents.unblock("agent_bot", governance_approval_id=second)["passport_blocked"] is False
    decisions = [row.metadata["decision"] for row in served.rows() if row.action == "governance.decide"]
    assert decisions == ["rejected", "approved"]


def test_an_approval_that_is_never_decided_expires_after_a_day(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD + "approvals: [{decide: never}]\n")
    block(served)
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.agents.unblock("agent_bot")
    approval = caught.value.details["approval_id"]
    served.advance(governance.LIFETIME_MS)
    with pytest.raises(getstack.ForbiddenError, match="has expired"):
        client.agents.unblock("agent_bot", governance_approval_id=approval)
    with pytest.raises(Fault, match="only a pending one"):
        served.call(lambda: governance.decide(served.world, approval, True))
    with pytest.raises(Fault, match="gvr_none was not found"):
        served.call(lambda: governance.decide(served.world, "gvr_none", True))
    listed = served.call(lambda: [governance.as_json(item) for item in governance.approvals(served.world, "expired")])
    assert [item["id"] for item in listed] == [approval]


def test_unblocking_an_agent_that_is_not_blocked_changes_nothing(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    assert sdk(served.base_url, OPERATOR).agents.unblock("agent_bot")["passport_blocked"] is False


def test_permissions_show_grants_with_scopes_and_constraints(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    permissions = sdk(served.base_url, OPERATOR).services.get_agent_permissions("agent_bot")
    assert permissions["agent_id"] == "agent_bot"
    assert permissions["agent"]["credential_access"] == "proxy_only"
    slack, github = permissions["grants"]
    assert (slack["service_connection_id"], slack["provider"], slack["scopes"]) == (
        "scon_slack",
        "slack",
        ["chat:write"],
    )
    assert slack["constraints"] == [{"path": "body.channel", "op": "in", "value": ["#eng"]}]
    assert github["scopes"] == ["repo"]


def test_permissions_are_narrowed_to_what_the_caller_may_see(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    member = sdk(served.base_url, MEMBER).services.get_agent_permissions("agent_bot")
    assert [grant["provider"] for grant in member["grants"]] == ["slack"]
    own = httpx.get(f"{served.base_url}/v1/agents/agent_bot/permissions", headers=bearer(passport_token(served)))
    assert own.status_code == 200
    other = httpx.get(f"{served.base_url}/v1/agents/agent_helper/permissions", headers=bearer(passport_token(served)))
    assert other.status_code == 404


def test_the_tools_do_what_the_routes_do(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    block(served)
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_register_agent", name="third", accountability_mode="standard")
    listed = tools("stack_list_agents")
    listed = listed["items"] if isinstance(listed, dict) else listed
    assert [agent["name"] for agent in listed] == ["bot", "helper", "third"]
    assert tools("stack_get_agent", agent_id=made["id"])["name"] == "third"
    assert tools("stack_update_agent", agent_id=made["id"], status="suspended")["status"] == "suspended"
    assert tools("stack_get_agent_permissions", agent_id="agent_bot")["grants"][0]["provider"] == "slack"
    assert tools("stack_delete_agent", agent_id=made["id"])["deleted"] is True
    refusal, failed = tools.result("stack_unblock_agent", agent_id="agent_bot")
    assert failed
    assert refusal["error"]["code"] == "GOVERNANCE_APPROVAL_REQUIRED"
    approval = refusal["error"]["details"]["approval_id"]
    served.call(lambda: governance.decide(served.world, approval, True))
    free = tools("stack_unblock_agent", agent_id="agent_bot", governance_approval_id=approval)
    assert free["passport_blocked"] is False
