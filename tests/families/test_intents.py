"""Intents with the real SDK: simulated, submitted, decided by a person, a scenario or nobody, and used once."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import (
    MEMBER,
    OPERATOR,
    OTHER,
    READER,
    REAL,
    WORLD,
    error,
    get,
    issue,
    post,
    row,
)

SLACK = "https://slack.com/api/chat.postMessage"
POST = {"service": "slack", "method": "POST", "url": SLACK}
UPSTREAM = "upstreams: {slack: {hosts: [slack.com], pack: slack, seed: {channels: [{name: eng}]}}}\n"


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD + UPSTREAM)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def write(stack: Any, passport: Any, approval: str | None = None, text: str = "hi") -> Any:
    body = {"channel": "#eng", "text": text}
    return stack.proxy.post("slack", SLACK, body=body, passport_token=passport.token, approval_id=approval)


def submitted(stack: Any, passport: Any, intent: Any = POST, **options: Any) -> str:
    return stack.intents.submit(intent, passport.token, **options)["approval_id"]


def refusal(call: Any) -> Any:
    with pytest.raises(getstack.ForbiddenError) as refused:
        call()
    assert refused.value.code == "INTENT_APPROVAL_REQUIRED"
    return refused.value


def test_an_enforced_write_needs_an_approved_intent_and_uses_it_up(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    needed = refusal(lambda: write(stack, passport))
    assert needed.details["submit"] == {"type": "proxy", "service": "slack", "method": "POST"}
    approval = submitted(stack, passport)
    assert "waits" in str(refusal(lambda: write(stack, passport, approval)))
    assert stack.intents.approve(approval, notes="ok")["status"] == "approved"
    assert write(stack, passport, approval).status == 200
    assert row(served, "credential.proxy").metadata["approval"] == approval
    assert "used" in str(refusal(lambda: write(stack, passport, approval)))
    assert stack.intents.get(approval)["used_at"] is not None
    read = stack.proxy.get("slack", "https://slack.com/api/conversations.list", passport_token=passport.token)
    assert read.status == 200


def test_other_modes_and_an_optional_world_need_none(stack: Any, sdk: Any, serve: Any) -> None:
    assert write(stack, issue(stack, "logged")).status == 200
    optional = serve(WORLD + UPSTREAM + "intent_approvals: optional\n")
    free = sdk(optional.base_url, OPERATOR)
    assert write(free, issue(free, "enforced")).status == 200


@pytest.mark.parametrize(
    ("intent", "differs"),
    [
        ({**POST, "method": "DELETE"}, "method"),
        ({**POST, "url": "https://slack.com/api/chat.delete"}, "url"),
        ({**POST, "body": {"text": "something else"}}, "body"),
        ({"service": "github"}, "service"),
        ({"type": "skill", "skill_id": "skl_1"}, "type"),
        ({"target": "github"}, "target"),
        ({"target": "slack", "action": "chat.delete"}, "action"),
        ({"target": "slack", "action": "chat.postMessage", "parameters": {"channel": "#all"}}, "parameters"),
    ],
)
def test_an_approval_is_good_for_the_call_it_describes(stack: Any, intent: Any, differs: str) -> None:
    passport = issue(stack, "enforced")
    approval = submitted(stack, passport, intent)
    stack.intents.approve(approval)
    assert differs in str(refusal(lambda: write(stack, passport, approval)))
    assert stack.intents.get(approval)["used_at"] is None


def test_the_sdks_own_names_of_an_intent_are_compared_too(stack: Any) -> None:
    passport = issue(stack, "enforced")
    words = {"target": "slack", "action": "chat.postMessage", "parameters": {"channel": "#eng"}, "reason": "deploy"}
    approval = submitted(stack, passport, {**words, "submitted_at": "2026-01-01T00:00:00Z"})
    stack.intents.approve(approval)
    assert "submitted_at" not in stack.intents.get(approval)["intent"]
    assert write(stack, passport, approval).status == 200


def test_an_approval_is_good_for_its_passport_only(stack: Any, served: Any) -> None:
    first, second = issue(stack, "enforced"), issue(stack, "enforced", ttl_seconds=120)
    approval = submitted(stack, first, {"type": "intent"})
    stack.intents.approve(approval)
    assert "not one of passport" in str(refusal(lambda: write(stack, second, approval)))
    assert "not one of passport" in str(refusal(lambda: write(stack, second, "iap_unknown")))
    assert write(stack, first, approval).status == 200


def test_rejecting_revokes_the_passport_and_may_suspend_the_agent(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    done = stack.intents.reject(submitted(stack, passport), notes="no")
    assert (done["status"], done["passport_revoked"], done["agent_suspended"]) == ("rejected", True, False)
    assert stack.passports.verify(passport.token)["code"] == "PASSPORT_REVOKED"
    other = issue(stack, "enforced", ttl_seconds=120)
    assert stack.intents.reject(submitted(stack, other), block_future=True)["agent_suspended"] is True
    assert stack.agents.get("agt_enforced").status == "suspended"
    with pytest.raises(getstack.StackError) as refused:
        stack.intents.approve(done["approval_id"])
    assert refused.value.status_code == 409


def test_intents_nobody_decides_or_uses_expire(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    waiting = submitted(stack, passport, expires_in_seconds=60)
    approved = submitted(stack, passport, {"type": "intent"}, expires_in_seconds=60)
    stack.intents.approve(approved)
    served.advance(60_000)
    assert [stack.intents.get(one)["status"] for one in (waiting, approved)] == ["expired", "expired"]
    assert "expired" in str(refusal(lambda: write(stack, passport, approved)))
    assert stack.intents.list_pending()["items"] == []


def test_pending_intents_are_listed_oldest_first_until_decided(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    made = [submitted(stack, passport, {**POST, "body": {"text": str(number)}}) for number in range(3)]
    assert [one["approval_id"] for one in stack.intents.list_pending()["items"]] == made
    stack.intents.approve(made[0])
    assert [one["approval_id"] for one in stack.intents.list_pending()["items"]] == made[1:]
    page = stack.intents.list_pending(page=2, limit=1)
    assert ([one["approval_id"] for one in page["items"]], page["total"]) == (made[2:], 2)


@pytest.mark.parametrize(("decide", "final"), [("approve", "approved"), ("reject", "rejected"), ("expire", "expired")])
@pytest.mark.parametrize("after", ["0s", "200ms"])
def test_a_scenario_decides_while_the_sdk_waits(serve: Any, sdk: Any, decide: str, final: str, after: str) -> None:
    rule = f"approvals: [{{when: {{operation: proxy.request, agent: enforced}}, decide: {decide}, after: {after}}}]\n"
    served = serve(REAL + UPSTREAM + rule)
    stack = sdk(served.base_url, OPERATOR)
    passport = issue(stack, "enforced")
    outcome = stack.intents.submit_and_wait(POST, passport.token, timeout_seconds=10, poll_interval_seconds=0.05)
    assert (outcome["timed_out"], outcome["initial"]["status"], outcome["final"]["status"]) == (False, "pending", final)
    if final == "approved":
        assert write(stack, passport, outcome["final"]["approval_id"]).status == 200


def test_a_scenario_may_never_answer(serve: Any, sdk: Any) -> None:
    served = serve(REAL + UPSTREAM + "approvals: [{decide: never}]\n")
    stack = sdk(served.base_url, OPERATOR)
    passport = issue(stack, "enforced")
    outcome = stack.intents.submit_and_wait(POST, passport.token, timeout_seconds=0.2, poll_interval_seconds=0.05)
    assert (outcome["timed_out"], outcome["final"]["status"]) == (True, "pending")


def test_the_control_api_lists_and_decides_intents_too(stack: Any, served: Any) -> None:
    import httpx

    passport = issue(stack, "enforced")
    approval = submitted(stack, passport)
    listed = httpx.get(f"{served.base_url}/_emu/approvals").json()["approvals"]
    assert [(one["id"], one["operation"], one["status"]) for one in listed] == [(approval, "proxy.request", "pending")]
    httpx.post(f"{served.base_url}/_emu/approvals/{approval}", json={"decide": "approve"}).raise_for_status()
    assert write(stack, passport, approval).status == 200
    again = httpx.post(f"{served.base_url}/_emu/approvals/{approval}", json={"decide": "reject"})
    assert again.status_code == 409


def test_simulating_says_what_each_check_says(stack: Any, served: Any) -> None:
    passport = issue(stack)
    good = stack.intents.simulate({**POST, "body": {"channel": "#eng"}}, passport.token, persist=False)
    assert (good["allowed"], good["needs_approval"], good["denial_reasons"]) == (True, False, [])
    assert [check["verdict"] for check in good["diagnostics"]] == ["passed"] * 6
    wrong = stack.intents.simulate({**POST, "body": {"channel": "#all"}}, passport.token, persist=True)
    assert (wrong["allowed"], wrong["code"]) == (False, "FORBIDDEN")
    assert "body.channel" in wrong["denial_reasons"][0]
    assert [check["verdict"] for check in wrong["diagnostics"]][3:] == ["failed", "skipped", "skipped"]
    assert wrong["claim_id"].startswith("pc_")
    assert good["claim_id"] is None
    nothing = stack.intents.simulate({"service": "stripe"}, passport.token)
    assert "not stripe" in nothing["denial_reasons"][0]
    assert nothing["predicted_detector_fires"] == ["credential_outside_scope"]
    assert [found for found in served.rows() if found.action == "security.signal"] == []
    assert stack.intents.simulate(POST, issue(stack, "enforced").token)["needs_approval"] is True
    stack.passports.revoke(passport.jti)
    assert stack.intents.simulate(POST, passport.token)["code"] == "PASSPORT_REVOKED"


def test_intents_that_cannot_be_submitted(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    assert error(post(served, "/v1/intents/submit", {"intent": POST})) == (401, "UNAUTHORIZED")
    assert error(post(served, "/v1/intents/submit", {}, **{"X-Passport-Token": passport.token})) == (
        400,
        "INVALID_REQUEST",
    )
    assert error(
        post(served, "/v1/intents/submit", {"intent": POST}, OTHER, **{"X-Passport-Token": passport.token})
    ) == (
        403,
        "FORBIDDEN",
    )
    stack.passports.revoke(passport.jti)
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.intents.submit(POST, passport.token)
    assert refused.value.code == "PASSPORT_REVOKED"


def test_who_decides_and_who_sees(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    approval = submitted(stack, passport)
    path = f"/v1/intents/{approval}"
    for key in (OTHER,):
        assert error(get(served, path, key)) == (404, "NOT_FOUND")
        assert error(post(served, path + "/approve", {}, key)) == (404, "NOT_FOUND")
    assert error(post(served, path + "/approve", {}, READER)) == (403, "FORBIDDEN")
    assert error(post(served, path + "/approve", {}, passport.token)) == (403, "FORBIDDEN")
    assert get(served, path, passport.token).json()["status"] == "pending"
    assert post(served, path + "/approve", {}, MEMBER).json()["decided_by"] == "dev@acme.test"
    found = row(served, "intent.approve")
    assert (found.agent_id, found.passport_jti, found.metadata["decision"]) == (
        "agt_enforced",
        passport.jti,
        "approved",
    )
    assert error(post(served, "/v1/intents/iap_none/reject", {})) == (404, "NOT_FOUND")


def test_the_same_as_tools(stack: Any, served: Any) -> None:
    passport = issue(stack, "enforced")
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_submit_intent", intent=POST, passport_token=passport.token)
    assert tools("stack_list_pending_intents")["total"] == 1
    assert tools("stack_approve_intent", approval_id=made["approval_id"])["status"] == "approved"
    sent = tools(
        "stack_proxy_request",
        **POST,
        body={"channel": "#eng", "text": "x"},
        passport_token=passport.token,
        intent_approval_id=made["approval_id"],
    )
    assert sent["status"] == 200
    refused, failed = tools.result("stack_get_intent", approval_id="iap_none")
    assert (failed, refused["error"]["code"]) == (True, "NOT_FOUND")
