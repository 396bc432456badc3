"""The board of skill requests: posting, reading, what answers a request and how skills can be chained."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import error, get, post
from tests.families.skill_world import BUYER, PUBLISHER, PUBLISHER_READER, THIRD, WORLD


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def buyer(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, BUYER)


@pytest.fixture
def publisher(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, PUBLISHER)


def takes(**properties: str) -> dict[str, Any]:
    described = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": described, "required": list(properties)}


def publish(client: Any, name: str, given: dict[str, Any], made: dict[str, Any], **options: Any) -> str:
    return client.skills.publish(
        **{
            "name": name,
            "description": f"The {name} step",
            "version": "1.0.0",
            "input_schema": given,
            "output_schema": made,
            "agent_id": "agt_worker",
            **options,
        }
    ).id


def test_a_request_is_on_the_board_for_everybody(buyer: Any, sdk: Any, served: Any) -> None:
    made = buyer.skills.post_request(description="Summaries of documents", tags=["text"], max_price_cents=10)
    assert made.id.startswith("sreq_")
    assert (made.operator_id, made.status, made.tags, made.max_price_cents) == ("op_buy", "open", ["text"], 10)
    third = sdk(served.base_url, THIRD)
    assert [item.id for item in third.skills.list_requests()] == [made.id]
    assert third.skills.get_request(made.id).description == "Summaries of documents"
    second = buyer.skills.post_request(description="Something else", desired_input_schema=takes(x="string"))
    assert [item.id for item in third.skills.list_requests(limit=1, offset=1)] == [second.id]
    assert third.skills.list_requests(status="closed") == []
    assert third.skills.get_request(second.id).desired_input_schema == takes(x="string")
    found = [row for row in served.rows("op_buy") if row.action == "skill_request.post"]
    assert [row.metadata["skill_request"] for row in found] == [made.id, second.id]


def test_requests_that_say_nothing_are_refused(buyer: Any, served: Any) -> None:
    for body in ({}, {"description": ""}, {"description": "x", "desired_output_schema": {"type": "objekt"}}):
        assert error(post(served, "/v1/skill-requests", body, BUYER)) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/skill-requests", {"description": "x"}, PUBLISHER_READER)) == (403, "FORBIDDEN")
    for call in (buyer.skills.get_request, buyer.skills.get_request_matches, buyer.skills.suggest_composition):
        with pytest.raises(getstack.NotFoundError) as refused:
            call("sreq_none")
        assert refused.value.code == "NOT_FOUND"
    assert error(get(served, "/v1/skill-requests?status=odd", BUYER)) == (400, "INVALID_REQUEST")
    assert buyer.skills.list_requests() == []


def test_matches_are_scored_by_tags_words_and_schemas(buyer: Any, publisher: Any) -> None:
    made = buyer.skills.post_request(
        description="Summarize a document",
        tags=["text", "summaries"],
        desired_input_schema=takes(document="string"),
        desired_output_schema={"type": "object", "properties": {"summary": {"type": "array"}}},
    )
    found = buyer.skills.get_request_matches(made.id)
    best = found["matches"][0]
    assert (best["skill_id"], best["score"]) == ("skl_summary", 100)
    assert len(best["reasons"]) == 4
    scores = [match["score"] for match in found["matches"]]
    assert scores == sorted(scores, reverse=True)
    publisher.skills.suspend("skl_summary")
    left = [match["skill_id"] for match in buyer.skills.get_request_matches(made.id)["matches"]]
    assert "skl_summary" not in left
    assert buyer.skills.get_request_matches(made.id) == buyer.skills.get_request_matches(made.id)


def test_matches_keep_to_the_price(buyer: Any) -> None:
    costs = buyer.skills.post_request(description="Whatever costs something", max_price_cents=25)
    cheap = buyer.skills.post_request(description="Whatever costs something", max_price_cents=24)
    assert buyer.skills.get_request_matches(costs.id)["matches"][0]["skill_id"] == "skl_priced"
    assert buyer.skills.get_request_matches(cheap.id)["total"] == 0


def test_a_composition_feeds_each_skill_with_the_output_of_the_one_before(buyer: Any, publisher: Any) -> None:
    reads = publish(publisher, "read-page", takes(url="string"), takes(page="string"), price_cents=3)
    translates = publish(
        publisher, "translate-page", takes(page="string"), takes(german="string"), trust_level_required="L2"
    )
    publish(publisher, "wrong-type", takes(page="integer"), takes(german="string"))
    made = buyer.skills.post_request(
        description="German versions",
        desired_input_schema=takes(url="string"),
        desired_output_schema=takes(german="string"),
    )
    (only,) = buyer.skills.suggest_composition(made.id)["suggestions"]
    assert [step["skill_id"] for step in only["steps"]] == [reads, translates]
    assert (only["summary"], only["total_price_cents"]) == ("read-page → translate-page", 3)
    assert only["trust_level_required"] == "L2"
    direct = publish(publisher, "direct", takes(url="string"), takes(german="string"), price_cents=9)
    first, second = buyer.skills.suggest_composition(made.id)["suggestions"]
    assert [step["skill_id"] for step in first["steps"]] == [direct]
    assert len(second["steps"]) == 2
    poor = buyer.skills.post_request(
        description="German versions",
        desired_input_schema=takes(url="string"),
        desired_output_schema=takes(german="string"),
        max_price_cents=2,
    )
    assert buyer.skills.suggest_composition(poor.id)["suggestions"] == []


def test_without_schemas_the_skills_that_match_are_suggested(buyer: Any) -> None:
    made = buyer.skills.post_request(description="invoice totals")
    found = buyer.skills.suggest_composition(made.id)["suggestions"]
    assert [step["skill_id"] for step in found[0]["steps"]] == ["skl_totals"]


def test_requests_are_tools(served: Any) -> None:
    tools = McpTools(served.base_url, BUYER)
    made = tools("stack_post_skill_request", description="Summarize a document")
    assert [item["id"] for item in tools("stack_list_skill_requests")] == [made["id"]]
    assert tools("stack_get_skill_request", request_id=made["id"]) == made
    assert tools("stack_get_skill_request_matches", request_id=made["id"])["matches"][0]["skill_id"] == "skl_summary"
    assert tools("stack_suggest_skill_composition", request_id=made["id"])["total"] >= 1
