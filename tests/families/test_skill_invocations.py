"""Invoking skills: open ones end to end, the steps of sealed ones, who may invoke what, and what it costs."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from stack_emu.domain import wallet
from stack_emu.domain.issuance import token_for
from stack_emu.domain.state import Passport
from tests.families.drivers import McpTools
from tests.families.passport_world import error, get, post
from tests.families.skill_world import (
    BUYER,
    BUYER_LIMITED,
    DOCUMENT,
    PUBLISHER,
    PUBLISHER_READER,
    SUMMARY,
    THIRD,
    WORLD,
)

MINUTE = 60_000
KEY = "a-stable-request-identifier-1"


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def publisher(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, PUBLISHER)


@pytest.fixture
def buyer(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, BUYER)


def passport(served: Any, jti: str = "pp_buyer") -> str:
    return served.call(lambda: token_for(served.world, served.world.store.get(Passport, jti)))


def row(served: Any, action: str, operator: str = "op_buy") -> Any:
    return [row for row in served.rows(operator) if row.action == action][-1]


def invoke(client: Any, skill: str = "skl_summary", given: Any = None, **options: Any) -> Any:
    return client.skills.invoke(skill, agent_id="agt_buyer", input=DOCUMENT if given is None else given, **options)


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(getstack.StackError) as found:
        call()
    return found.value.status_code, found.value.code


# --- open skills -----------------------------------------------------------------------------------------------------


def test_an_open_invocation_goes_from_buyer_to_publisher_and_back(publisher: Any, buyer: Any, served: Any) -> None:
    made = invoke(buyer)
    assert made.id.startswith("sinv_")
    assert (made.skill_id, made.status, made.output) == ("skl_summary", "pending", None)
    assert (made.created_at, made.expires_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:10:00.000Z")
    assert [item.id for item in publisher.skills.list_pending_invocations("skl_summary")] == [made.id]
    assert publisher.skills.list_pending_invocations("skl_priced") == []
    waiting = get(served, "/v1/skills/invocations/pending", PUBLISHER).json()[0]
    assert (waiting["input"], waiting["agent_id"]) == (DOCUMENT, None)
    served.advance(MINUTE)
    assert publisher.skills.claim_invocation(made.id)["status"] == "claimed"
    assert publisher.skills.list_pending_invocations() == []
    assert buyer.skills.get_invocation(made.id).started_at == "2026-01-01T00:01:00.000Z"
    served.advance(MINUTE)
    assert publisher.skills.complete_invocation(made.id, SUMMARY)["status"] == "completed"
    done = buyer.skills.poll(made.id, interval_seconds=0.01, timeout_seconds=5)
    assert (done.status, done.output, done.error) == ("completed", SUMMARY, None)
    assert (done.completed_at, done.execution_duration_ms) == ("2026-01-01T00:02:00.000Z", MINUTE)
    assert [item.id for item in buyer.skills.list_invocations()] == [made.id]
    assert publisher.skills.list_invocations() == []
    assert buyer.skills.get("skl_summary").invocation_count == 1
    bought, sold = row(served, "skill.invoke"), row(served, "skill.complete", "op_pub")
    assert (bought.layer, bought.agent_id, bought.metadata["invocation"]) == ("skills", "agt_buyer", made.id)
    assert (sold.layer, sold.agent_id, sold.metadata["invocation"]) == ("skills", "agt_worker", made.id)
    assert "A long story" not in str([bought, sold])


def test_an_invocation_is_claimed_and_ended_once(publisher: Any, buyer: Any) -> None:
    made = invoke(buyer)
    publisher.skills.claim_invocation(made.id)
    assert refused(lambda: publisher.skills.claim_invocation(made.id)) == (409, "CONFLICT")
    publisher.skills.complete_invocation(made.id, SUMMARY)
    assert refused(lambda: publisher.skills.complete_invocation(made.id, SUMMARY)) == (409, "CONFLICT")
    assert refused(lambda: publisher.skills.fail_invocation(made.id, code="LATE", message="Too late")) == (
        409,
        "CONFLICT",
    )
    assert buyer.skills.get_invocation(made.id).status == "completed"


def test_an_output_that_does_not_fit_is_refused_and_can_be_sent_again(publisher: Any, buyer: Any) -> None:
    made = invoke(buyer)
    with pytest.raises(getstack.StackError) as wrong:
        publisher.skills.complete_invocation(made.id, {"summary": [7]})
    assert (wrong.value.status_code, wrong.value.code) == (400, "SCHEMA_VALIDATION_FAILED")
    assert wrong.value.details["fields"] == {"$.summary[0]": 'must be of type "string"'}
    assert publisher.skills.complete_invocation(made.id, SUMMARY)["status"] == "completed"


def test_a_failure_tells_the_buyer_why(publisher: Any, buyer: Any, served: Any) -> None:
    made = invoke(buyer)
    assert publisher.skills.fail_invocation(made.id, code="NO_TEXT", message="There is no text")["status"] == "failed"
    seen = buyer.skills.get_invocation(made.id)
    assert (seen.status, seen.error) == ("failed", {"code": "NO_TEXT", "message": "There is no text"})
    assert row(served, "skill.fail", "op_pub").metadata["reason"] == "NO_TEXT"
    body = {"error": {"code": "NO_TEXT"}}
    assert error(post(served, f"/v1/skills/invocations/{made.id}/fail", body, PUBLISHER)) == (400, "INVALID_REQUEST")


def test_what_nobody_answers_expires_after_ten_minutes(publisher: Any, buyer: Any, served: Any) -> None:
    waiting, taken = invoke(buyer), invoke(buyer, given={"document": "Another"})
    publisher.skills.claim_invocation(taken.id)
    served.advance(10 * MINUTE - 1)
    assert buyer.skills.get_invocation(waiting.id).status == "pending"
    served.advance(1)
    assert [item.status for item in buyer.skills.list_invocations()] == ["expired", "expired"]
    assert publisher.skills.list_pending_invocations() == []
    assert refused(lambda: publisher.skills.complete_invocation(taken.id, SUMMARY)) == (409, "CONFLICT")
    found = row(served, "skill.expire")
    assert (found.layer, found.agent_id) == ("skills", "agt_buyer")
    assert buyer.skills.poll(waiting.id, interval_seconds=0.01, timeout_seconds=5).status == "expired"


def test_an_invocation_belongs_to_two_accounts_and_to_nobody_else(
    publisher: Any, buyer: Any, sdk: Any, served: Any
) -> None:
    made, third = invoke(buyer), sdk(served.base_url, THIRD)
    nothing = (404, "INVOCATION_NOT_FOUND")
    assert publisher.skills.get_invocation(made.id).id == made.id
    for client in (third, buyer):
        assert refused(lambda client=client: client.skills.claim_invocation(made.id)) == nothing
        assert refused(lambda client=client: client.skills.complete_invocation(made.id, SUMMARY)) == nothing
        assert refused(lambda client=client: client.skills.fail_invocation(made.id, code="x", message="y")) == nothing
        assert client.skills.list_pending_invocations() == []
    assert refused(lambda: third.skills.get_invocation(made.id)) == nothing
    assert refused(lambda: third.skills.get_invocation("sinv_none")) == nothing
    assert row(served, "skill.claim").agent_id is None
    path = f"/v1/skills/invocations/{made.id}/claim"
    assert error(post(served, path, None, PUBLISHER_READER)) == (403, "FORBIDDEN")
    assert publisher.skills.list_pending_invocations()[0].id == made.id


# --- sealed and source skills ----------------------------------------------------------------------------------------


def test_a_sealed_skill_runs_at_once_against_the_scripted_model(buyer: Any, publisher: Any, served: Any) -> None:
    done = invoke(buyer, "skl_totals", {"text": "455"})
    assert (done.status, done.output) == ("completed", {"total": 455, "source": "of 455"})
    assert (done.llm_tokens_input, done.llm_tokens_output, done.execution_duration_ms) == (10, 4, 140)
    assert (done.started_at, done.completed_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z")
    assert buyer.skills.get_invocation(done.id).output == done.output
    assert refused(lambda: publisher.skills.get_invocation(done.id)) == (404, "INVOCATION_NOT_FOUND")
    assert publisher.skills.list_pending_invocations() == []
    assert row(served, "skill.invoke").outcome == "success"


def test_a_source_skill_runs_too(buyer: Any) -> None:
    assert invoke(buyer, "skl_shout", {"word": "loud"}).output == "loud!"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("words", "STEP_FAILED"),
        ("text total", "SCHEMA_VALIDATION_FAILED"),
        ("nobody scripted this", "MODEL_UNAVAILABLE"),
    ],
)
def test_a_run_that_fails_is_a_failed_invocation(buyer: Any, served: Any, text: str, code: str) -> None:
    done = invoke(buyer, "skl_totals", {"text": text})
    assert (done.status, done.output, done.error["code"]) == ("failed", None, code)
    assert "Extract" not in done.error["message"]
    found = row(served, "skill.invoke")
    assert (found.outcome, found.error_code) == ("failure", code)
    unscripted = [entry.hint for entry in served.world.journal.violations()]
    assert bool(unscripted) == (code == "MODEL_UNAVAILABLE")


def test_a_test_can_answer_for_the_model(served: Any, buyer: Any) -> None:
    served.hosted.model_function = lambda body: (
        {"say": '{"total": 1}'} if body["model"] == "openai/gpt-4o-mini" else None
    )
    assert invoke(buyer, "skl_totals", {"text": "nobody scripted this"}).output["total"] == 1


def test_a_credential_that_reaches_the_model_is_a_leak(served: Any, buyer: Any) -> None:
    from stack_emu.domain.state import Connection

    secret = served.world.store.get(Connection, "scon_slack").credential
    served.hosted.model_function = lambda body: {"say": '{"total": 1}'}
    invoke(buyer, "skl_totals", {"text": f"with {secret}"})
    found = served.world.journal.violations()
    assert "messages" in {entry.surface for entry in found}
    for entry in found:
        assert (entry.problem, "scon_slack" in entry.hint, secret in str(entry)) == ("leak", True, False)


def test_variables_lead_into_objects_and_lists(publisher: Any, buyer: Any) -> None:
    made = publisher.skills.publish(
        name="shape",
        description="Shapes its input",
        version="1.0.0",
        input_schema={"type": "object"},
        output_schema={"type": "object"},
        execution_mode="sealed",
        execution_steps=[
            {"type": "template", "template": {"first": "$INPUT.items.0", "all": "$INPUT", "text": "<$INPUT.items>"}},
            {"type": "template", "template": {"again": "$PREV.first", "text": "$PREV.text"}},
        ],
    )
    done = invoke(buyer, made.id, {"items": [{"a": 1}, 2]})
    assert done.output == {"again": {"a": 1}, "text": '<[{"a": 1}, 2]>'}
    failed = invoke(buyer, made.id, {"items": []})
    assert (failed.status, failed.error["code"]) == ("failed", "STEP_FAILED")


# --- who may ---------------------------------------------------------------------------------------------------------


def test_an_input_that_does_not_fit_is_refused_with_its_paths(buyer: Any, publisher: Any, served: Any) -> None:
    with pytest.raises(getstack.StackError) as wrong:
        invoke(buyer, given={"max_points": "many secrets"})
    assert (wrong.value.status_code, wrong.value.code) == (400, "SCHEMA_VALIDATION_FAILED")
    assert set(wrong.value.details["fields"]) == {"$", "$.max_points"}
    assert "many secrets" not in str(row(served, "skill.invoke"))
    assert buyer.skills.list_invocations() == []
    assert publisher.skills.list_pending_invocations() == []
    assert buyer.skills.get("skl_summary").invocation_count == 0


@pytest.mark.parametrize("schema", [{"$ref": "#/nowhere"}, {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}])
def test_a_schema_that_leads_nowhere_fits_nothing(buyer: Any, publisher: Any, schema: dict[str, Any]) -> None:
    publisher.skills.update("skl_summary", input_schema=schema)
    assert refused(lambda: invoke(buyer)) == (400, "SCHEMA_VALIDATION_FAILED")


def test_who_invokes_is_an_agent_of_the_account(buyer: Any, served: Any) -> None:
    given = {"input": DOCUMENT}
    path = "/v1/skills/skl_summary/invoke"
    assert error(post(served, path, given, BUYER)) == (400, "INVALID_REQUEST")
    assert error(post(served, path, {**given, "agent_id": "agt_worker"}, BUYER)) == (404, "NOT_FOUND")
    assert error(post(served, path, {**given, "agent_id": "agt_nobody"}, BUYER)) == (404, "NOT_FOUND")
    assert error(post(served, path, {"agent_id": "agt_buyer"}, BUYER)) == (400, "INVALID_REQUEST")
    assert refused(lambda: invoke(buyer, "skl_nowhere")) == (404, "SKILL_NOT_FOUND")
    buyer.agents.update("agt_buyer", status="suspended")
    assert refused(lambda: invoke(buyer)) == (403, "FORBIDDEN")


def test_a_passport_invokes_for_its_agent(buyer: Any, sdk: Any, served: Any) -> None:
    holder = sdk(served.base_url, passport(served))
    made = holder.skills.invoke("skl_summary", input=DOCUMENT)
    found = row(served, "skill.invoke")
    assert (found.agent_id, found.passport_jti, found.metadata["mission"]) == ("agt_buyer", "pp_buyer", "ms_buyer")
    assert holder.skills.get_invocation(made.id).id == made.id
    other = sdk(served.base_url, passport(served, "pp_other"))
    assert refused(lambda: other.skills.get_invocation(made.id)) == (404, "INVOCATION_NOT_FOUND")
    assert other.skills.list_invocations() == []
    assert refused(lambda: other.skills.invoke("skl_summary", agent_id="agt_buyer", input=DOCUMENT)) == (
        404,
        "NOT_FOUND",
    )
    assert refused(lambda: other.skills.invoke("skl_summary", input=DOCUMENT, passport_id="pp_buyer")) == (
        404,
        "NOT_FOUND",
    )
    buyer.passports.revoke("pp_buyer")
    assert refused(lambda: holder.skills.invoke("skl_summary", input=DOCUMENT)) == (401, "PASSPORT_REVOKED")


def test_an_account_invokes_under_a_passport_it_names(buyer: Any, served: Any) -> None:
    made = buyer.skills.invoke("skl_summary", input=DOCUMENT, passport_id="pp_buyer")
    found = row(served, "skill.invoke")
    assert (found.agent_id, found.passport_jti) == ("agt_buyer", "pp_buyer")
    assert get(served, f"/v1/skills/invocations/{made.id}", BUYER).json()["passport_id"] == "pp_buyer"
    assert get(served, f"/v1/skills/invocations/{made.id}", PUBLISHER).json()["passport_id"] is None
    limited = get(served, f"/v1/skills/invocations/{made.id}", BUYER_LIMITED)
    assert error(limited) == (404, "INVOCATION_NOT_FOUND")
    assert get(served, "/v1/skills/invocations/mine", BUYER_LIMITED).json() == []
    assert refused(lambda: invoke(buyer, passport_id="pp_other")) == (403, "FORBIDDEN")
    assert refused(lambda: invoke(buyer, passport_id="pp_nobody")) == (404, "NOT_FOUND")
    buyer.passports.checkout("pp_buyer", services_used=[], actions_count=0)
    assert refused(lambda: invoke(buyer, passport_id="pp_buyer")) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        ({"skill_access_mode": "none"}, False),
        ({"skill_access_mode": "own"}, False),
        ({"allowed_skills": ["skl_shout"]}, False),
        ({"allowed_skills": []}, False),
        ({"allowed_skills": ["skl_shout", "skl_summary"]}, True),
        ({"allowed_skills": ["*"]}, True),
        ({"skill_access_mode": "any"}, True),
    ],
)
def test_an_agent_invokes_the_skills_it_is_allowed(
    buyer: Any, served: Any, limits: dict[str, Any], reached: bool
) -> None:
    buyer.agents.update("agt_buyer", **limits)
    shown = get(served, "/v1/agents/agt_buyer", BUYER).json()
    assert {name: shown[name] for name in limits} == limits
    if reached:
        assert invoke(buyer).status == "pending"
    else:
        assert refused(lambda: invoke(buyer)) == (403, "UNAUTHORIZED_SKILL_ACCESS")
        assert buyer.skills.list_invocations() == []


def test_own_means_the_accounts_own(publisher: Any) -> None:
    publisher.agents.update("agt_idle", skill_access_mode="own")
    done = publisher.skills.invoke("skl_shout", agent_id="agt_idle", input={"word": "own"})
    assert done.status == "completed"


def test_a_skill_may_ask_for_a_trust_level(buyer: Any, served: Any) -> None:
    asked = buyer.skills.check_trust("skl_known")
    assert (asked["trust_level_required"], asked["trust_level"]) == ("L1", "L0")
    assert (asked["meets_requirement"], asked["missing_claim"]) == (False, "verified_human")
    assert buyer.skills.check_trust("skl_summary")["meets_requirement"] is True
    assert refused(lambda: buyer.skills.check_trust("skl_hidden")) == (404, "SKILL_NOT_FOUND")
    assert refused(lambda: invoke(buyer, "skl_known")) == (403, "TRUST_LEVEL_INSUFFICIENT")
    path = "/v1/skills/skl_known/check-trust"
    assert error(post(served, path, {"passport_id": "pp_nobody"}, BUYER)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(("claim", "level"), [("verified_human", "L1"), ("verified_identity", "L2")])
def test_a_claim_gives_the_trust_level(buyer: Any, publisher: Any, claim: str, level: str) -> None:
    session = buyer.identity.initiate_verification("persona", requested_claims=[claim])
    buyer.identity.complete_verification("persona", session.session_ref)
    told = buyer.skills.check_trust("skl_known")
    assert (told["trust_level"], told["meets_requirement"], told["claims"]) == (level, True, [claim])
    assert invoke(buyer, "skl_known").status == "pending"
    publisher.skills.update("skl_known", trust_level_required="L2")
    assert buyer.skills.check_trust("skl_known")["meets_requirement"] is (level == "L2")
    assert publisher.skills.check_trust("skl_known")["trust_level"] == "L0"


def test_an_enforced_agent_needs_an_approved_intent(buyer: Any) -> None:
    held = {"agent_id": "agt_held", "input": DOCUMENT}
    assert refused(lambda: buyer.skills.invoke("skl_summary", **held)) == (403, "FORBIDDEN")
    mission = buyer.missions.open("Summarise", agent_id="agt_held")["mission_id"]
    passport = buyer.passports.issue("agt_held", intent="Summarise", services=[], mission_ids=[mission])
    held["passport_id"] = passport.jti
    needed = (403, "INTENT_APPROVAL_REQUIRED")
    assert refused(lambda: buyer.skills.invoke("skl_summary", **held)) == needed
    assert refused(lambda: buyer.skills.invoke("skl_summary", **held, approval_id="iap_unknown")) == needed
    intent = {"type": "skill", "skill_id": "skl_summary", "input": DOCUMENT}
    approval = buyer.intents.submit(intent, passport.token)["approval_id"]
    assert refused(lambda: buyer.skills.invoke("skl_summary", **held, approval_id=approval)) == needed
    buyer.intents.approve(approval)
    assert buyer.skills.invoke("skl_summary", **held, approval_id=approval).status == "pending"
    assert refused(lambda: buyer.skills.invoke("skl_summary", **held, approval_id=approval)) == needed


def test_a_skill_may_need_a_credential_of_the_buyer(buyer: Any, served: Any) -> None:
    assert invoke(buyer, "skl_posting", {}).output == "posted"
    with pytest.raises(getstack.ForbiddenError) as missing:
        buyer.skills.invoke("skl_posting", agent_id="agt_other", input={})
    assert missing.value.details["missing_credential"] == {"provider": "slack", "scopes": ["chat:write"]}
    path, given = "/v1/skills/skl_posting/invoke", {"agent_id": "agt_buyer", "input": {}}
    assert error(post(served, path, given, BUYER_LIMITED)) == (403, "FORBIDDEN")


# --- retries and money -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"idempotency_key": "once"}, {"authority_request_id": KEY}])
def test_an_unchanged_retry_gets_the_first_reply(buyer: Any, publisher: Any, given: dict[str, str]) -> None:
    first = invoke(buyer, **given)
    assert invoke(buyer, **given).id == first.id
    assert len(publisher.skills.list_pending_invocations()) == 1
    conflict = refused(lambda: invoke(buyer, given={"document": "Another"}, **given))
    assert conflict == (409, "IDEMPOTENCY_CONFLICT")
    assert invoke(buyer).id != first.id


def top_up(served: Any, cents: int) -> None:
    from stack_emu.kernel.store import replace

    held = served.world.store.get(wallet.Wallet, "op_buy") or wallet.Wallet("op_buy")
    served.call(lambda: served.world.store.put(replace(held, balance_cents=cents)))


def balances(served: Any) -> tuple[int, int]:
    return served.call(lambda: (wallet.balance(served.world, "op_buy"), wallet.balance(served.world, "op_pub")))


def test_the_price_is_taken_at_once_and_earned_on_completion(buyer: Any, publisher: Any, served: Any) -> None:
    assert refused(lambda: invoke(buyer, "skl_priced", {})) == (402, "INSUFFICIENT_CREDITS")
    assert buyer.skills.list_invocations() == []
    top_up(served, 60)
    made = invoke(buyer, "skl_priced", {})
    assert balances(served) == (35, 0)
    publisher.skills.update("skl_priced", price_per_invocation=1000)
    publisher.skills.complete_invocation(made.id, {"any": "thing"})
    assert balances(served) == (35, 25)
    assert row(served, "skill.invoke").metadata["price_cents"] == 25


def test_what_fails_or_expires_is_refunded(buyer: Any, publisher: Any, served: Any) -> None:
    top_up(served, 50)
    failing, expiring = invoke(buyer, "skl_priced", {"n": 1}), invoke(buyer, "skl_priced", {"n": 2})
    assert balances(served) == (0, 0)
    publisher.skills.fail_invocation(failing.id, code="BUSY", message="Not today")
    assert balances(served) == (25, 0)
    served.advance(10 * MINUTE)
    assert balances(served) == (50, 0)
    assert buyer.skills.get_invocation(expiring.id).status == "expired"
    types = [item.type for item in wallet.transactions(served.world, "op_buy")]
    assert types == ["refund", "refund", "invocation", "invocation"]


def test_a_retry_is_paid_once(buyer: Any, served: Any) -> None:
    top_up(served, 30)
    first = invoke(buyer, "skl_priced", {}, idempotency_key="paid")
    assert invoke(buyer, "skl_priced", {}, idempotency_key="paid").id == first.id
    assert balances(served) == (5, 0)
    found = row(served, "skill.invoke")
    assert (found.outcome, found.metadata["repeated"]) == ("success", True)


def test_a_key_of_one_agent_is_not_another_agents(buyer: Any) -> None:
    first = invoke(buyer, idempotency_key="shared")
    second = buyer.skills.invoke("skl_summary", agent_id="agt_other", input=DOCUMENT, idempotency_key="shared")
    assert second.id != first.id


def test_a_sealed_run_that_fails_costs_nothing(buyer: Any, publisher: Any, served: Any) -> None:
    publisher.skills.update("skl_totals", price_cents=10)
    top_up(served, 10)
    assert invoke(buyer, "skl_totals", {"text": "words"}).status == "failed"
    assert balances(served) == (10, 0)
    assert invoke(buyer, "skl_totals", {"text": "455"}).status == "completed"
    assert balances(served) == (0, 10)


def test_invocations_are_tools(served: Any) -> None:
    shopping, work = McpTools(served.base_url, passport(served)), McpTools(served.base_url, PUBLISHER)
    assert shopping("stack_check_trust_level", skill_id="skl_summary")["meets_requirement"] is True
    made = shopping("stack_invoke_skill", skill_id="skl_summary", input=DOCUMENT)
    assert [item["id"] for item in work("stack_list_pending_invocations")] == [made["id"]]
    assert work("stack_claim_invocation", invocation_id=made["id"])["status"] == "claimed"
    assert work("stack_complete_invocation", invocation_id=made["id"], output=SUMMARY)["status"] == "completed"
    assert shopping("stack_get_invocation", invocation_id=made["id"])["output"] == SUMMARY
    second = shopping("stack_invoke_skill", skill_id="skl_summary", input={"document": "Another"})
    reason = {"code": "BUSY", "message": "Not today"}
    assert work("stack_fail_invocation", invocation_id=second["id"], error=reason)["status"] == "failed"
    assert len(shopping("stack_list_invocations")) == 2
    answer, failed = work.result("stack_complete_invocation", invocation_id=second["id"], output=SUMMARY)
    assert failed
    assert answer["error"]["code"] == "CONFLICT"
