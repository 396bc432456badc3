"""Reviews: the queue of flagged checkouts, and deciding on them."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, READER, WORLD, error, get, issue, post, row


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def flagged(stack: Any, services: tuple[str, ...] = ("stripe",), **options: Any) -> Any:
    return stack.passports.checkout(issue(stack, **options).jti, services_used=list(services), actions_count=1)


def approve(served: Any, approval_id: str) -> None:
    from stack_emu.domain import governance

    served.call(lambda: governance.decide(served.world, approval_id, True))


def test_the_queue_lists_flagged_checkouts_oldest_first(stack: Any) -> None:
    first = flagged(stack)
    clean = flagged(stack, services=("slack",), ttl_seconds=600)
    second = flagged(stack, ttl_seconds=1200)
    queue = stack.reviews.list()
    assert queue.total == 2
    assert [item.checkout_id for item in queue.items] == [first.checkout_id, second.checkout_id]
    item = queue.items[0]
    assert (item.passport_jti, item.agent_id, item.agent_name) == (first.passport_jti, "agt_logged", "logged")
    assert (item.intent_summary, item.review_status) == ("Announce", "flagged")
    assert item.flags[0]["type"] == "credential_outside_scope"
    assert item.submitted_at == "2026-01-01T00:00:00.000Z"
    assert [found.checkout_id for found in stack.reviews.list(status="clean").items] == [clean.checkout_id]
    page = stack.reviews.list(status="all", page=2, limit=2)
    assert ([found.checkout_id for found in page.items], page.total) == ([second.checkout_id], 3)


def test_approving_with_a_key_waits_for_a_human(stack: Any, served: Any) -> None:
    checkout = flagged(stack)
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.reviews.decide(checkout.checkout_id, "approved")
    assert refused.value.code == "GOVERNANCE_APPROVAL_REQUIRED"
    approval = refused.value.details["approval_id"]
    assert stack.reviews.list().total == 1
    approve(served, approval)
    done = stack.reviews.decide(checkout.checkout_id, "approved", notes="fine", governance_approval_id=approval)
    assert done.review_id.startswith("rev_")
    assert (done.agent_id, done.decision, done.passport_blocked) == ("agt_logged", "approved", False)
    assert stack.reviews.list().total == 0
    assert stack.passports.report(checkout.passport_jti).review["decision"] == "approved"
    found = row(served, "review.decide")
    assert (found.outcome, found.agent_id, found.metadata["decision"]) == ("success", "agt_logged", "approved")


def test_blocking_needs_no_human_and_may_block_the_agent(stack: Any) -> None:
    once = flagged(stack)
    assert stack.reviews.decide(once.checkout_id, "blocked").passport_blocked is False
    assert [item.checkout_id for item in stack.reviews.list(status="blocked").items] == [once.checkout_id]
    issue(stack, ttl_seconds=600)
    more = flagged(stack, ttl_seconds=1200)
    assert stack.reviews.decide(more.checkout_id, "blocked", notes="twice", block_future=True).passport_blocked is True
    agent = stack.agents.get("agt_logged")
    assert (agent.passport_blocked, agent.passport_blocked_reason) == (True, "twice")
    assert agent.passport_blocked_at == "2026-01-01T00:00:00.000Z"
    with pytest.raises(getstack.ForbiddenError) as refused:
        issue(stack)
    assert refused.value.code == "PASSPORT_BLOCKED"


def test_a_checkout_is_decided_once(stack: Any) -> None:
    checkout = flagged(stack)
    stack.reviews.decide(checkout.checkout_id, "blocked")
    with pytest.raises(getstack.StackError) as refused:
        stack.reviews.decide(checkout.checkout_id, "blocked")
    assert refused.value.status_code == 409


def test_decisions_that_cannot_be_are_refused(stack: Any, served: Any) -> None:
    path = f"/v1/passports/reviews/{flagged(stack).checkout_id}/decide"
    assert error(post(served, path, {"decision": "maybe"})) == (400, "INVALID_REQUEST")
    assert error(post(served, path, {"decision": "approved", "block_future": True})) == (400, "INVALID_REQUEST")
    assert error(post(served, path, {"decision": "approved"}, **{"X-Governance-Approval": "gvr_none"})) == (
        403,
        "GOVERNANCE_APPROVAL_REQUIRED",
    )
    unknown = "/v1/passports/reviews/co_none/decide"
    assert error(post(served, unknown, {"decision": "blocked"})) == (404, "NOT_FOUND")
    assert error(post(served, path, {"decision": "blocked"}, OTHER)) == (404, "NOT_FOUND")
    assert error(get(served, "/v1/passports/reviews?status=odd")) == (400, "INVALID_REQUEST")


def test_a_checkpoint_is_not_a_checkout_to_decide_on(stack: Any, served: Any) -> None:
    point = stack.passports.checkpoint(issue(stack).jti, services_used=["stripe"], actions_count=1)
    path = f"/v1/passports/reviews/{point.checkpoint_id}/decide"
    assert error(post(served, path, {"decision": "blocked"})) == (404, "NOT_FOUND")


def test_who_sees_the_queue(stack: Any, served: Any) -> None:
    checkout = flagged(stack)
    assert get(served, "/v1/passports/reviews", READER).json()["total"] == 1
    assert get(served, "/v1/passports/reviews", MEMBER).json() == {"items": [], "total": 0}
    assert get(served, "/v1/passports/reviews", OTHER).json() == {"items": [], "total": 0}
    path = f"/v1/passports/reviews/{checkout.checkout_id}/decide"
    assert error(post(served, path, {"decision": "blocked"}, READER)) == (403, "FORBIDDEN")
    assert error(post(served, path, {"decision": "blocked"}, MEMBER)) == (404, "NOT_FOUND")
    passport = issue(stack, ttl_seconds=600)
    assert error(get(served, "/v1/passports/reviews", passport.token)) == (403, "FORBIDDEN")


def test_reviews_are_tools(stack: Any, served: Any) -> None:
    checkout = flagged(stack)
    tools = McpTools(served.base_url, OPERATOR)
    assert tools("stack_list_reviews")["total"] == 1
    done = tools("stack_decide_review", checkout_id=checkout.checkout_id, decision="blocked", block_future=True)
    assert done["passport_blocked"] is True
    refused, failed = tools.result("stack_decide_review", checkout_id="co_none", decision="blocked")
    assert failed
    assert refused["error"]["code"] == "NOT_FOUND"
