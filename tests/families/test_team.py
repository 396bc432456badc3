"""The team with the real SDK: members are invited, work with keys of their own, are limited, and are revoked."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import BODY, HEAD, MEMBER, OPERATOR, OTHER, READER, actions, error, get, post, row

ADMIN, NARROW = "sk_live_emu_admin", "sk_live_emu_narrow"
KEYS = f"""      - {{key: {ADMIN}, role: admin, member: admin@acme.test}}
      - {{key: {NARROW}, role: admin, member: narrow@acme.test, allowed_connections: [scon_slack]}}
"""
WORLD = HEAD + BODY.replace(f"      - {{key: {READER}", KEYS + f"      - {{key: {READER}").replace(
    "  - id: op_emu\n", "  - id: op_emu\n    email: boss@acme.test\n"
)


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(getstack.StackError) as caught:
        call()
    return caught.value.status_code, caught.value.code


def accept(served: Any, member_id: str) -> str:
    """The key of an invited member, as the person gets it."""
    answer = httpx.post(f"{served.base_url}/_emu/team/{member_id}/accept", trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()["api_key"]


def test_an_invited_member_works_with_a_key_of_its_own(stack: Any, sdk: Any, served: Any) -> None:
    invited = stack.team.invite("new@acme.test", "New Hand", role="readonly")
    assert (invited["status"], invited["role"], invited["allowed_connections"]) == ("invited", "readonly", None)
    assert "api_key" not in invited
    key = accept(served, invited["id"])
    assert key.startswith("sk_live_")
    member = sdk(served.base_url, key)
    assert [agent.id for agent in member.agents.list()] == [agent.id for agent in stack.agents.list()]
    assert refused(lambda: member.agents.register(name="mine")) == (403, "FORBIDDEN")
    listed = {one["id"]: one for one in stack.team.list()}
    assert (listed[invited["id"]]["status"], listed[invited["id"]]["name"]) == ("active", "New Hand")
    assert listed[invited["id"]]["accepted_at"] is not None
    answer = httpx.post(f"{served.base_url}/_emu/team/{invited['id']}/accept", trust_env=False)
    assert answer.status_code == 409
    assert httpx.post(f"{served.base_url}/_emu/team/mem_nobody/accept", trust_env=False).status_code == 404
    assert ("team.invite", "success") in actions(served)


def test_the_members_of_the_scenarios_keys_are_the_team(stack: Any) -> None:
    listed = [(one["email"], one["role"], one["status"]) for one in stack.team.list()]
    assert listed == [
        ("dev@acme.test", "standard", "active"),
        ("admin@acme.test", "admin", "active"),
        ("narrow@acme.test", "admin", "active"),
        ("read@acme.test", "readonly", "active"),
    ]


def test_older_sdks_invite_without_a_name_and_accept_over_rest(served: Any) -> None:
    invited = post(served, "/v1/team/members", {"email": "old@acme.test"})
    assert (invited.status_code, invited.json()["role"], invited.json()["name"]) == (201, "standard", None)
    path = f"/v1/team/members/{invited.json()['id']}/accept"
    accepted = post(served, path)
    assert accepted.json()["status"] == "active"
    key = accepted.json()["api_key"]
    assert get(served, "/v1/agents", key).status_code == 200
    assert error(post(served, path)) == (409, "CONFLICT")
    assert error(post(served, "/v1/team/members/mem_nobody/accept")) == (404, "NOT_FOUND")
    kept = get(served, "/_emu/journal").text + get(served, "/_emu/audit").text + repr(served.call(served.world.image))
    assert key not in kept


def test_viewer_is_another_name_of_readonly(stack: Any, served: Any) -> None:
    invited = stack.team.invite("viewer@acme.test", "Viewer", role="viewer")
    assert invited["role"] == "readonly"
    key = accept(served, invited["id"])
    assert error(post(served, "/v1/agents/register", {"name": "not-allowed"}, key)) == (403, "FORBIDDEN")
    assert get(served, "/v1/agents", key).status_code == 200
    stack.team.update(invited["id"], role="admin")
    assert stack.team.update(invited["id"], role="viewer")["role"] == "readonly"


def test_addresses_and_names_are_in_no_row_journal_or_refusal(stack: Any, served: Any) -> None:
    stack.team.invite("private@acme.test", "Private Person")
    with pytest.raises(getstack.StackError) as caught:
        stack.team.invite("Private@acme.test", "Private Person")
    assert (caught.value.status_code, caught.value.code) == (409, "CONFLICT")
    kept = get(served, "/_emu/journal").text + get(served, "/_emu/audit").text + str(caught.value)
    assert "rivate@acme.test" not in kept
    assert "Private Person" not in kept


def test_an_update_holds_from_the_next_call_on(stack: Any, sdk: Any, served: Any) -> None:
    invited = stack.team.invite("hand@acme.test", "Hand", role="readonly")
    member = sdk(served.base_url, accept(served, invited["id"]))
    assert refused(lambda: member.agents.register(name="one")) == (403, "FORBIDDEN")
    assert stack.team.update(invited["id"], role="standard", name="Right Hand")["name"] == "Right Hand"
    member.agents.register(name="one")
    assert {one["id"] for one in member.services.list()} == {"scon_slack", "scon_github", "scon_stripe"}
    assert stack.team.update(invited["id"], allowed_connections=["scon_slack"])["role"] == "standard"
    assert [one["id"] for one in member.services.list()] == ["scon_slack"]
    stack.team.update(invited["id"], allowed_connections=["*"])
    assert len(member.services.list()) == 3
    assert row(served, "team.update").metadata["changed"] == ["allowed_connections"]
    assert refused(lambda: stack.team.update(invited["id"], role="operator")) == (400, "INVALID_REQUEST")
    assert refused(lambda: stack.team.update(invited["id"], name="")) == (400, "INVALID_REQUEST")
    assert refused(lambda: stack.team.update("mem_nobody", role="admin")) == (404, "NOT_FOUND")


def test_a_key_of_the_scenario_follows_its_member(stack: Any, sdk: Any, served: Any) -> None:
    reader = next(one for one in stack.team.list() if one["email"] == "read@acme.test")
    member = sdk(served.base_url, READER)
    assert refused(lambda: member.agents.register(name="one")) == (403, "FORBIDDEN")
    stack.team.update(reader["id"], role="standard")
    member.agents.register(name="one")
    stack.team.revoke(reader["id"])
    assert refused(member.agents.list) == (401, "INVALID_API_KEY")


def test_a_revoked_members_key_is_refused(stack: Any, sdk: Any, served: Any) -> None:
    invited = stack.team.invite("gone@acme.test", "Gone")
    member = sdk(served.base_url, accept(served, invited["id"]))
    assert member.agents.list()
    done = stack.team.revoke(invited["id"])
    assert (done["revoked"], done["revoked_keys"]) == (True, 1)
    assert refused(member.agents.list) == (401, "INVALID_API_KEY")
    assert invited["id"] not in [one["id"] for one in stack.team.list()]
    for again in (lambda: stack.team.revoke(invited["id"]), lambda: stack.team.update(invited["id"], role="admin")):
        assert refused(again) == (404, "NOT_FOUND")
    assert stack.team.invite("gone@acme.test", "Gone Again")["id"] != invited["id"]


def test_an_invitation_can_be_taken_back(stack: Any, served: Any) -> None:
    invited = stack.team.invite("late@acme.test", "Late")
    assert stack.team.revoke(invited["id"])["revoked_keys"] == 0
    assert httpx.post(f"{served.base_url}/_emu/team/{invited['id']}/accept", trust_env=False).status_code == 404


def test_only_the_operator_and_admins_manage_the_team(stack: Any, sdk: Any, served: Any) -> None:
    for key in (MEMBER, READER):
        client = sdk(served.base_url, key)
        assert refused(lambda client=client: client.team.invite("x@acme.test", "X")) == (403, "FORBIDDEN")
        assert refused(client.team.list) == (403, "FORBIDDEN")
    admin = sdk(served.base_url, ADMIN)
    invited = admin.team.invite("second@acme.test", "Second", role="admin")
    me = next(one for one in admin.team.list() if one["email"] == "admin@acme.test")
    assert invited["invited_by"] == me["id"]
    assert stack.team.invite("third@acme.test", "Third")["invited_by"] == "op_emu"
    assert refused(lambda: admin.team.revoke("op_emu")) == (404, "NOT_FOUND")
    for one in admin.team.list():
        stack.team.revoke(one["id"])
    assert stack.team.list() == []  # the operator's own key is no member's


def test_an_invitation_is_refused_with_what_would_work(stack: Any) -> None:
    invite = stack.team.invite
    assert refused(lambda: invite("no address", "X")) == (400, "INVALID_REQUEST")
    assert refused(lambda: invite("x@acme.test", "")) == (400, "INVALID_REQUEST")
    assert refused(lambda: invite("x@acme.test", "x" * 101)) == (400, "INVALID_REQUEST")
    assert refused(lambda: invite("x@acme.test", "X", role="operator")) == (400, "INVALID_REQUEST")
    assert refused(lambda: invite("x@acme.test", "X", allowed_connections=["scon_nowhere"])) == (404, "NOT_FOUND")
    assert refused(lambda: invite("DEV@acme.test", "X")) == (409, "CONFLICT")
    assert refused(lambda: invite("boss@acme.test", "X")) == (409, "CONFLICT")


def test_a_limited_admin_gives_no_more_than_it_has(sdk: Any, stack: Any, served: Any) -> None:
    narrow = sdk(served.base_url, NARROW)
    assert refused(lambda: narrow.team.invite("x@acme.test", "X")) == (403, "FORBIDDEN")
    wide = {"allowed_connections": ["scon_slack", "scon_github"]}
    assert refused(lambda: narrow.team.invite("x@acme.test", "X", **wide)) == (403, "FORBIDDEN")
    mine = narrow.team.invite("x@acme.test", "X", allowed_connections=["scon_slack"])
    assert refused(lambda: narrow.team.update(mine["id"], allowed_connections=["*"])) == (403, "FORBIDDEN")
    theirs = stack.team.invite("y@acme.test", "Y", **wide)
    assert refused(lambda: narrow.team.update(theirs["id"], role="admin")) == (403, "FORBIDDEN")
    assert refused(lambda: narrow.team.revoke(theirs["id"])) == (403, "FORBIDDEN")
    assert error(post(served, f"/v1/team/members/{theirs['id']}/accept", token=NARROW)) == (403, "FORBIDDEN")
    shown = {one["id"]: one["allowed_connections"] for one in narrow.team.list()}
    assert (shown[mine["id"]], shown[theirs["id"]]) == (["scon_slack"], ["scon_slack"])


@pytest.mark.parametrize(("tier", "limit"), [("free", 1), ("developer", 5), ("studio", 25), ("enterprise", None)])
def test_tiers_limit_the_team(serve: Any, sdk: Any, tier: str, limit: int | None) -> None:
    world = f"stack_emu: 1\noperator: {{id: op_emu, tier: {tier}, keys: [{{key: {OPERATOR}}}]}}\n"
    client = sdk(serve(world).base_url, OPERATOR)
    made = [client.team.invite(f"m{number}@acme.test", "M") for number in range(limit or 30)]
    if limit is None:
        return
    assert refused(lambda: client.team.invite("more@acme.test", "M")) == (403, "TIER_LIMIT_EXCEEDED")
    client.team.revoke(made[0]["id"])
    client.team.invite("more@acme.test", "M")


def test_tiers_limit_services(serve: Any, sdk: Any) -> None:
    world = f"stack_emu: 1\noperator: {{id: op_emu, tier: free, keys: [{{key: {OPERATOR}}}]}}\n"
    client = sdk(serve(world).base_url, OPERATOR)
    for number in range(10):
        client.services.connect_custom(f"svc {number}", "secret")
    assert refused(lambda: client.services.connect_custom("one more", "secret")) == (403, "TIER_LIMIT_EXCEEDED")


def test_teams_of_accounts_do_not_know_each_other(stack: Any, sdk: Any, served: Any) -> None:
    invited = stack.team.invite("x@acme.test", "X")
    other = sdk(served.base_url, OTHER)
    assert other.team.list() == []
    assert refused(lambda: other.team.update(invited["id"], role="admin")) == (404, "NOT_FOUND")
    assert refused(lambda: other.team.revoke(invited["id"])) == (404, "NOT_FOUND")
    assert error(post(served, f"/v1/team/members/{invited['id']}/accept", token=OTHER)) == (404, "NOT_FOUND")
    wanted = {"allowed_connections": ["scon_slack"]}
    assert refused(lambda: other.team.invite("x@acme.test", "X", **wanted)) == (404, "NOT_FOUND")
    assert other.team.invite("x@acme.test", "X")["operator_id"] == "op_other"


def test_the_tools_do_the_same(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    invited = tools("stack_invite_member", email="tool@acme.test", name="Tool", role="readonly")
    accepted = tools("stack_accept_invite", member_id=invited["id"])
    assert get(served, "/v1/agents", accepted["api_key"]).status_code == 200
    tools("stack_update_member", member_id=invited["id"], role="admin")
    assert get(served, "/v1/team/members", accepted["api_key"]).status_code == 200
    assert invited["id"] in [one["id"] for one in tools("stack_list_members")]
    tools("stack_revoke_member", member_id=invited["id"])
    assert error(get(served, "/v1/agents", accepted["api_key"])) == (401, "INVALID_API_KEY")
