"""Authority bindings: drafted, approved, activated, delegated, carried by passports, revoked and erased."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families import proxy_world
from tests.families.drivers import McpTools
from tests.families.passport_world import OPERATOR, OTHER, WORLD, claims, issue, row
from tests.families.test_authority import JWK, key, person, refusal

APPROVALS = "approvals: [{when: {operation: authority.create_approval_requests}, decide: approve, after: 10m}]\n"


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def draft(authority: Any, agent: str = "agt_logged", **terms: Any) -> Any:
    principal = person(authority)
    return authority.create_binding(principal_id=principal["id"], agent_id=agent, **terms, **key())


def active(authority: Any, agent: str = "agt_logged", **terms: Any) -> Any:
    return authority.activate_binding(draft(authority, agent, **terms)["id"], **key())


def decide(served: Any, request_id: str, approve: bool) -> None:
    from stack_emu.domain import authority_approvals

    served.call(lambda: authority_approvals.decide(served.world, request_id, approve))


def test_a_binding_is_drafted_and_activated_in_versions(stack: Any) -> None:
    authority = stack.authority
    made = draft(authority, services=["slack"], note="kept")
    assert made["id"].startswith("abn_")
    assert made["claim_id"].startswith("pc_")
    assert (made["status"], made["version"], made["services"], made["note"]) == ("draft", 1, ["slack"], "kept")
    assert refusal(authority.activate_binding, made["id"], version=2, **key()) == (409, "CONFLICT")
    done = authority.activate_binding(made["id"], version=1, **key())
    assert (done["status"], done["version"]) == ("active", 2)
    assert len(done["digest"]) == 64
    assert done["digest"] != made["digest"]
    assert authority.get_binding(made["id"]) == done
    assert authority.get_binding(made["id"], version=1) == made
    assert authority.list_bindings() == [done]
    assert refusal(authority.get_binding, made["id"], version=9) == (404, "NOT_FOUND")
    assert refusal(authority.activate_binding, made["id"], **key()) == (409, "CONFLICT")


def test_what_a_binding_names_must_be_there(stack: Any) -> None:
    authority = stack.authority
    principal, other = person(authority)["id"], person(authority)["id"]
    proof = authority.import_proof(principal_id=other, proof_kind="mandate", **key())["id"]
    terms = {"principal_id": principal, "agent_id": "agt_logged"}
    for wrong in (
        {"principal_id": "prn_none"},
        {"agent_id": "agt_foreign"},
        {"proof_ids": ["prf_none"]},
        {"receiver_id": "rcv_none"},
        {"receiver_profile_version_id": "apv_none"},
    ):
        assert refusal(authority.create_binding, **{**terms, **wrong}, **key()) == (404, "NOT_FOUND")
    for wrong in ({"proof_ids": [proof]}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "soon"}):
        assert refusal(authority.create_binding, **{**terms, **wrong}, **key()) == (400, "INVALID_REQUEST")


def test_activation_waits_for_every_approval(stack: Any, served: Any) -> None:
    authority = stack.authority
    made = draft(authority)
    asked = authority.create_approval_requests(made["id"], approver_ids=["usr_1", "usr_2"], **key())
    assert [(one["approver_id"], one["status"]) for one in asked] == [("usr_1", "pending"), ("usr_2", "pending")]
    with pytest.raises(getstack.StackError) as refused:
        authority.activate_binding(made["id"], **key())
    assert refused.value.status_code == 409
    assert len(refused.value.details["missing"]) == 2
    decide(served, asked[0]["id"], True)
    with pytest.raises(getstack.StackError) as refused:
        authority.activate_binding(made["id"], **key())
    assert asked[1]["id"] in refused.value.details["missing"][0]
    decide(served, asked[1]["id"], True)
    assert [one["status"] for one in authority.list_approval_requests(made["id"])] == ["approved", "approved"]
    assert authority.activate_binding(made["id"], **key())["status"] == "active"
    assert refusal(authority.create_approval_requests, made["id"], **key()) == (409, "CONFLICT")


def test_the_control_api_lists_and_decides(stack: Any, served: Any) -> None:
    import httpx

    made = draft(stack.authority)
    asked = stack.authority.create_approval_requests(made["id"], **key())[0]
    listed = httpx.get(served.base_url + "/_emu/approvals").json()["approvals"]
    assert [(one["id"], one["status"], one["subject"]) for one in listed] == [(asked["id"], "pending", made["id"])]
    url = f"{served.base_url}/_emu/approvals/{asked['id']}"
    assert httpx.post(url, json={"decide": "reject"}).status_code == 200
    assert httpx.post(url, json={"decide": "approve"}).status_code == 409
    assert stack.authority.list_approval_requests(made["id"])[0]["status"] == "rejected"
    assert refusal(stack.authority.activate_binding, made["id"], **key()) == (409, "CONFLICT")


def test_a_scenario_decides_after_its_delay(sdk: Any, serve: Any) -> None:
    served = serve(WORLD + APPROVALS)
    authority = sdk(served.base_url, OPERATOR).authority
    made = draft(authority)
    assert authority.create_approval_requests(made["id"], **key())[0]["status"] == "pending"
    served.call(lambda: served.world.advance(600_000))
    assert authority.list_approval_requests(made["id"])[0]["status"] == "approved"
    assert row(served, "authority.decide").metadata["decision"] == "approved"


def test_activation_waits_for_the_receiver_and_its_profile(stack: Any) -> None:
    authority = stack.authority
    receiver = authority.create_receiver(name="Tax office", **key())["id"]
    profile = authority.create_profile_version(profile_kind="receiver", **key())["id"]
    made = draft(authority, receiver_id=receiver, receiver_profile_version_id=profile)
    with pytest.raises(getstack.StackError) as refused:
        authority.activate_binding(made["id"], **key())
    assert len(refused.value.details["missing"]) == 2
    authority.add_receiver_key(receiver, public_key=JWK, **key())
    authority.create_receiver_verification_challenge(receiver, **key())
    authority.verify_receiver(receiver, **key())
    authority.activate_profile_version(profile, profile_kind="receiver", **key())
    done = authority.activate_binding(made["id"], **key())
    assert (done["receiver_id"], done["receiver_profile_version_id"]) == (receiver, profile)


def test_delegation_only_narrows(stack: Any) -> None:
    authority = stack.authority
    top = active(authority, services=["slack", "github"], expires_at="2026-01-10T00:00:00Z")
    child = authority.delegate_binding(top["id"], agent_id="agt_helper", services=["slack"], **key())
    assert (child["parent_binding_id"], child["agent_id"], child["status"]) == (top["id"], "agt_helper", "draft")
    assert (child["services"], child["expires_at"]) == (["slack"], top["expires_at"])
    delegate = authority.delegate_binding
    more = {"agent_id": "agt_helper"}
    assert refusal(delegate, top["id"], **more, services=["stripe"], **key()) == (400, "SCOPE_ESCALATION")
    later = "2026-01-11T00:00:00Z"
    assert refusal(delegate, top["id"], **more, expires_at=later, **key()) == (400, "SCOPE_ESCALATION")
    assert refusal(delegate, child["id"], **more, **key()) == (409, "CONFLICT")


def test_a_passport_refers_to_its_bindings_and_is_presented(stack: Any) -> None:
    authority = stack.authority
    bound = active(authority)
    passport = issue(stack, authority_binding_ids=[bound["id"]])
    refs = claims(passport.token)["stk"]["authority_refs"]
    assert refs == [
        {
            "binding_id": bound["id"],
            "binding_version": 2,
            "binding_claim_id": bound["claim_id"],
            "binding_digest": bound["digest"],
            "receiver_id": "",
            "receiver_profile_version_id": "",
            "expires_at": 1767225600 + 30 * 86_400,
        }
    ]
    shown = authority.list_presentations()
    assert [(one["passport_id"], one["authority_refs"]) for one in shown] == [(passport.jti, refs)]
    assert authority.get_presentation(shown[0]["id"]) == shown[0]
    assert authority.erase_presentation(shown[0]["id"], **key())["kind"] == "presentation"
    left = authority.get_presentation(shown[0]["id"])
    assert (left["status"], left["authority_refs"]) == ("erased", [])
    assert refusal(authority.get_presentation, "prs_none") == (404, "NOT_FOUND")
    assert refusal(authority.erase_presentation, "prs_none", **key()) == (404, "NOT_FOUND")
    assert refusal(authority.get_use, "use_none") == (404, "NOT_FOUND")


def test_only_an_agents_own_active_bindings_are_carried(stack: Any) -> None:
    authority = stack.authority
    waiting, others = draft(authority), active(authority, "agt_helper")
    for wrong, refused in (
        ("abn_none", (404, "NOT_FOUND")),
        (waiting["id"], (409, "CONFLICT")),
        (others["id"], (400, "INVALID_REQUEST")),
    ):
        assert refusal(issue, stack, authority_binding_ids=[wrong]) == refused
        opened = {"intent_summary": "x", "agent_id": "agt_logged", "authority_binding_ids": [wrong]}
        assert refusal(stack.missions.open, **opened) == refused
    assert authority.list_presentations() == []


def test_a_passport_ends_with_its_binding(stack: Any, served: Any) -> None:
    bound = active(stack.authority, expires_at="2026-01-01T00:05:00Z")
    passport = issue(stack, authority_binding_ids=[bound["id"]])
    assert passport.expires_at == "2026-01-01T00:05:00.000Z"
    served.call(lambda: served.world.advance(300_000))
    assert stack.authority.get_binding(bound["id"])["status"] == "expired"
    assert refusal(issue, stack, authority_binding_ids=[bound["id"]]) == (409, "CONFLICT")


def test_revoking_reaches_delegated_bindings_and_passports(stack: Any, served: Any) -> None:
    authority = stack.authority
    top = active(authority)
    child = authority.delegate_binding(top["id"], agent_id="agt_helper", **key())
    passport, free = issue(stack, authority_binding_ids=[top["id"]]), issue(stack, ttl_seconds=600)
    gone = authority.revoke_binding(top["id"], reason_code="over", **key())
    assert (gone["status"], gone["reason_code"], gone["version"]) == ("revoked", "over", 3)
    assert authority.get_binding(child["id"])["status"] == "revoked"
    assert [one["jti"] for one in stack.passports.list_active()] == [free.jti]
    assert row(served, "authority.revoke_binding").metadata["revoked_passports"] == [passport.jti]
    assert refusal(authority.revoke_binding, top["id"], reason_code="over", **key()) == (409, "CONFLICT")


def test_a_write_under_a_binding_is_a_use_of_it(sdk: Any, serve: Any) -> None:
    served = serve(proxy_world.WORLD)
    stack = sdk(served.base_url, proxy_world.OPERATOR)
    slack, other = (
        active(stack.authority, "agent_bot", services=["slack", "echo"]),
        active(stack.authority, "agent_bot", services=["github"]),
    )
    passport = stack.passports.issue(
        agent_id="agent_bot",
        mission_ids=["ms_one"],
        intent="Announce",
        services=["slack", "echo"],
        authority_binding_ids=[slack["id"], other["id"]],
    )
    call = {"service": "slack", "passport_token": passport.token}
    stack.proxy.request("echo", proxy_world.ECHO + "/anything", passport_token=passport.token)
    assert stack.authority.list_uses() == []
    stack.proxy.request(url=proxy_world.POST_MESSAGE, method="POST", body={"channel": "#eng", "text": "hello"}, **call)
    (use,) = stack.authority.list_uses()
    assert (use["binding_id"], use["passport_id"]) == (slack["id"], passport.jti)
    assert (use["agent_id"], use["service"], use["method"]) == ("agent_bot", "slack", "POST")
    assert stack.authority.get_use(use["id"]) == use
    stranger = sdk(served.base_url, proxy_world.OTHER).authority
    assert refusal(stranger.get_use, use["id"]) == (404, "NOT_FOUND")


def test_an_active_binding_is_revoked_before_it_is_erased(stack: Any) -> None:
    authority = stack.authority
    bound = active(authority, note="about Ada")
    assert refusal(authority.erase_binding, bound["id"], **key()) == (409, "CONFLICT")
    authority.revoke_binding(bound["id"], reason_code="over", **key())
    assert authority.erase_binding(bound["id"], **key())["status"] == "erased"
    left = authority.get_binding(bound["id"])
    assert left["status"] == "erased"
    assert "note" not in left
    assert refusal(authority.get_binding, bound["id"], version=1) == (404, "NOT_FOUND")


def test_an_enterprise_confirms_a_role(stack: Any, served: Any) -> None:
    authority = stack.authority
    terms = {"organisation_name": "Ex AB", "role_name": "CFO", "agent_id": "agt_logged"}
    asked = authority.create_enterprise_oidc_request(**terms, **key())
    assert (asked["status"], asked["organisation_name"]) == ("pending", "Ex AB")
    assert asked["approval_url"].endswith(asked["id"])
    assert authority.get_enterprise_oidc_request(asked["id"]) == asked
    decide(served, asked["id"], True)
    assert authority.get_enterprise_oidc_request(asked["id"])["status"] == "approved"
    wrong = {**terms, "agent_id": "agt_none"}
    assert refusal(authority.create_enterprise_oidc_request, **wrong, **key()) == (404, "NOT_FOUND")
    assert refusal(authority.get_enterprise_oidc_request, "aor_none") == (404, "NOT_FOUND")


def test_what_another_account_has_is_not_there(stack: Any, sdk: Any, served: Any) -> None:
    bound = active(stack.authority)
    asked = stack.authority.create_enterprise_oidc_request(agent_id="agt_logged", **key())
    issue(stack, authority_binding_ids=[bound["id"]])
    shown = stack.authority.list_presentations()[0]
    stranger = sdk(served.base_url, OTHER).authority
    calls = [
        (stranger.get_binding, {}),
        (stranger.activate_binding, key()),
        (stranger.delegate_binding, {"agent_id": "agt_foreign", **key()}),
        (stranger.revoke_binding, {"reason_code": "r", **key()}),
        (stranger.erase_binding, key()),
        (stranger.create_approval_requests, key()),
        (stranger.list_approval_requests, {}),
    ]
    assert {refusal(call, bound["id"], **named) for call, named in calls} == {(404, "NOT_FOUND")}
    assert refusal(stranger.get_enterprise_oidc_request, asked["id"]) == (404, "NOT_FOUND")
    assert refusal(stranger.get_presentation, shown["id"]) == (404, "NOT_FOUND")
    assert (stranger.list_bindings(), stranger.list_presentations(), stranger.list_uses()) == ([], [], [])


def test_the_tools_do_the_same(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    principal = tools("stack_create_authority_principal", principal_kind="individual", idempotency_key="a")["principal"]
    terms = {"principal_id": principal["id"], "agent_id": "agt_logged"}
    made = tools("stack_create_authority_binding", **terms, idempotency_key="b")["binding"]
    done = tools("stack_activate_authority_binding", binding_id=made["id"], idempotency_key="c")["binding"]
    assert done["status"] == "active"
    assert tools("stack_list_authority_bindings") == {"bindings": [done]}
