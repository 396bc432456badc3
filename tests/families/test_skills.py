"""Skills: publishing, browsing, reading and changing them, as publisher and as everybody else."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import error, get, post
from tests.families.skill_world import (
    BUYER,
    DOCUMENT,
    OPEN_SKILL,
    PUBLISHER,
    PUBLISHER_READER,
    SEALED_SKILL,
    THIRD,
    WORLD,
)


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def publisher(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, PUBLISHER)


@pytest.fixture
def buyer(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, BUYER)


def row(served: Any, action: str, operator: str = "op_pub") -> Any:
    return [row for row in served.rows(operator) if row.action == action][-1]


def test_a_published_skill_is_on_the_marketplace_at_once(publisher: Any, buyer: Any, served: Any) -> None:
    made = publisher.skills.publish(**OPEN_SKILL, tags=["language"], trust_level_required="L1", price_per_invocation=5)
    assert made.id.startswith("skl_")
    assert (made.operator_id, made.status, made.execution_mode, made.version) == ("op_pub", "active", "open", "1.0.0")
    assert (made.trust_level_required, made.price_per_invocation, made.tags) == ("L1", 5, ["language"])
    seen = buyer.skills.get(made.id)
    assert (seen.name, seen.created_at) == ("translate-text", "2026-01-01T00:00:00.000Z")
    assert [skill.id for skill in buyer.skills.browse(query="translate languages")] == [made.id]
    found = row(served, "skill.publish")
    assert (found.layer, found.agent_id, found.metadata["skill"]) == ("skills", "agt_worker", made.id)


def test_browsing_filters_by_words_tags_level_and_page(buyer: Any, served: Any) -> None:
    def ids(**filters: Any) -> list[str]:
        return [skill.id for skill in buyer.skills.browse(**filters)]

    everything = ["skl_summary", "skl_totals", "skl_shout", "skl_priced", "skl_known", "skl_posting"]
    assert ids() == everything
    assert ids(query="KEY points") == ["skl_summary"]
    assert ids(tags="text,summaries") == ["skl_summary"]
    assert ids(tags="text,invoices") == []
    assert ids(trust_level="L1") == ["skl_known"]
    assert ids(limit=2, offset=1) == everything[1:3]
    assert ids(status="suspended") == []
    assert [item["id"] for item in get(served, "/v1/skills?search=invoice", BUYER).json()] == ["skl_totals"]
    assert error(get(served, "/v1/skills?trust_level=L9", BUYER)) == (400, "INVALID_REQUEST")


def test_the_publisher_sees_suspended_skills_and_steps_and_nobody_else_does(
    publisher: Any, buyer: Any, served: Any
) -> None:
    assert [skill.id for skill in publisher.skills.browse(status="suspended")] == ["skl_hidden"]
    assert publisher.skills.get("skl_hidden").status == "suspended"
    with pytest.raises(getstack.NotFoundError) as refused:
        buyer.skills.get("skl_hidden")
    assert refused.value.code == "SKILL_NOT_FOUND"
    own = get(served, "/v1/skills/skl_totals", PUBLISHER).json()
    assert own["execution_steps"][0]["system_prompt"] == "Extract the total as JSON"
    seen = get(served, "/v1/skills/skl_totals", BUYER)
    assert seen.json()["execution_steps"] is None
    assert "Extract the total" not in seen.text
    assert "Extract the total" not in get(served, "/v1/skills", BUYER).text
    assert get(served, "/v1/skills/skl_summary", PUBLISHER).json()["agent_id"] == "agt_worker"
    assert get(served, "/v1/skills/skl_summary", BUYER).json()["agent_id"] is None
    source = get(served, "/v1/skills/skl_shout", BUYER).json()
    assert source["execution_steps"] == [{"type": "template", "template": "$INPUT.word!"}]


def test_mine_lists_the_accounts_own_whatever_their_status(publisher: Any, buyer: Any) -> None:
    assert [skill.id for skill in publisher.skills.list_owned()][-2:] == ["skl_posting", "skl_hidden"]
    assert buyer.skills.list_owned() == []
    made = buyer.skills.publish(**SEALED_SKILL)
    assert [skill.id for skill in buyer.skills.list_owned()] == [made.id]


def test_an_update_is_seen_by_everybody_and_versions_only_rise(publisher: Any, buyer: Any, served: Any) -> None:
    changed = publisher.skills.update("skl_totals", version="2.2.0", description="Better", price_cents=7, tags=["new"])
    assert (changed.version, changed.price_per_invocation) == ("2.2.0", 7)
    seen = buyer.skills.get("skl_totals")
    assert (seen.description, seen.price_per_invocation, seen.tags) == ("Better", 7, ["new"])
    found = row(served, "skill.update")
    assert found.metadata["changed"] == ["description", "price_per_invocation", "tags", "version"]
    for changes in ({"version": "2.1.9"}, {"version": "2.2.0-beta"}, {"execution_mode": "open"}):
        with pytest.raises(getstack.StackError) as refused:
            publisher.skills.update("skl_totals", **changes)
        assert (refused.value.status_code, refused.value.code) == (400, "INVALID_REQUEST")
    with pytest.raises(getstack.StackError) as taken:
        publisher.skills.update("skl_totals", name="shout")
    assert taken.value.status_code == 409
    assert buyer.skills.get("skl_totals").version == "2.2.0"


def test_suspending_takes_a_skill_off_the_marketplace_and_activating_puts_it_back(publisher: Any, buyer: Any) -> None:
    assert publisher.skills.suspend("skl_summary").status == "suspended"
    assert "skl_summary" not in [skill.id for skill in buyer.skills.browse()]
    with pytest.raises(getstack.NotFoundError) as refused:
        buyer.skills.invoke("skl_summary", agent_id="agt_buyer", input=DOCUMENT)
    assert refused.value.code == "SKILL_NOT_FOUND"
    with pytest.raises(getstack.StackError) as own:
        publisher.skills.invoke("skl_summary", agent_id="agt_worker", input=DOCUMENT)
    assert own.value.status_code == 409
    assert publisher.skills.activate("skl_summary").status == "active"
    assert buyer.skills.invoke("skl_summary", agent_id="agt_buyer", input=DOCUMENT).status == "pending"


def test_activating_needs_the_agent_that_serves(publisher: Any) -> None:
    publisher.agents.delete("agt_worker")
    with pytest.raises(getstack.NotFoundError):
        publisher.skills.activate("skl_hidden")
    publisher.skills.update("skl_hidden", agent_id="agt_idle")
    assert publisher.skills.activate("skl_hidden").status == "active"


def test_writes_to_another_accounts_skill_find_nothing(buyer: Any, served: Any) -> None:
    for refuse in (
        lambda: buyer.skills.update("skl_summary", description="Mine now"),
        lambda: buyer.skills.suspend("skl_summary"),
        lambda: buyer.skills.activate("skl_summary"),
        lambda: buyer.skills.activate("skl_hidden"),
        lambda: buyer.skills.suspend("skl_nowhere"),
    ):
        with pytest.raises(getstack.NotFoundError) as refused:
            refuse()
        assert refused.value.code == "SKILL_NOT_FOUND"
    assert get(served, "/v1/skills/skl_summary", PUBLISHER).json()["description"].startswith("Summarize")
    assert row(served, "skill.suspend", "op_buy").agent_id is None


NOT_PUBLISHED: dict[str, tuple[dict[str, Any], int, str]] = {
    "name": ({"name": "Translate Text"}, 400, "INVALID_REQUEST"),
    "short name": ({"name": "t"}, 400, "INVALID_REQUEST"),
    "taken name": ({"name": "shout"}, 409, "CONFLICT"),
    "description": ({"description": ""}, 400, "INVALID_REQUEST"),
    "version": ({"version": "1.0"}, 400, "INVALID_REQUEST"),
    "input schema": ({"input_schema": {"type": "objekt"}}, 400, "INVALID_REQUEST"),
    "output schema": ({"output_schema": {"properties": 7}}, 400, "INVALID_REQUEST"),
    "remote schema": ({"input_schema": {"$ref": "https://elsewhere.test/s.json"}}, 400, "INVALID_REQUEST"),
    "schema of no draft": ({"input_schema": {"$schema": 7}}, 400, "INVALID_REQUEST"),
    "level": ({"trust_level_required": "L3"}, 400, "INVALID_REQUEST"),
    "no agent": ({"agent_id": None}, 400, "INVALID_REQUEST"),
    "unknown agent": ({"agent_id": "agt_nobody"}, 404, "NOT_FOUND"),
    "foreign agent": ({"agent_id": "agt_buyer"}, 404, "NOT_FOUND"),
    "price": ({"price_per_invocation": -1}, 400, "INVALID_REQUEST"),
    "two prices": ({"price_per_invocation": 1, "price_cents": 2}, 400, "INVALID_REQUEST"),
    "credentials": ({"credential_mode": "buyer_provides"}, 400, "INVALID_REQUEST"),
    "no steps": ({"execution_mode": "sealed"}, 400, "INVALID_REQUEST"),
    "unknown step": ({"execution_mode": "sealed", "execution_steps": [{"type": "sql"}]}, 400, "INVALID_REQUEST"),
    "first $PREV": (
        {"execution_mode": "sealed", "execution_steps": [{"type": "template", "template": "$PREV"}]},
        400,
        "INVALID_REQUEST",
    ),
    "empty template": ({"execution_mode": "sealed", "execution_steps": [{"type": "template"}]}, 400, "INVALID_REQUEST"),
    "script": (
        {"execution_mode": "sealed", "execution_steps": [{"type": "script", "code": "return 1"}]},
        501,
        "NOT_EMULATED",
    ),
}


@pytest.mark.parametrize("case", NOT_PUBLISHED)
def test_a_skill_that_could_not_be_used_is_not_published(publisher: Any, buyer: Any, case: str) -> None:
    changes, status, code = NOT_PUBLISHED[case]
    before = len(publisher.skills.list_owned())
    with pytest.raises(getstack.StackError) as refused:
        publisher.skills.publish(**{**OPEN_SKILL, **changes})
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert len(publisher.skills.list_owned()) == before


def test_a_script_step_is_refused_with_what_works_instead(publisher: Any) -> None:
    with pytest.raises(getstack.StackError) as refused:
        publisher.skills.update(
            "skl_totals", execution_steps=[{"type": "script", "runtime": "javascript", "code": "1"}]
        )
    assert refused.value.code == "NOT_EMULATED"
    assert "llm steps" in str(refused.value)
    assert "template steps" in str(refused.value)


def test_a_tier_allows_so_many_skills(sdk: Any, served: Any) -> None:
    third = sdk(served.base_url, THIRD)
    for number in range(3):
        third.skills.publish(**{**SEALED_SKILL, "name": f"echo-{number}"})
    with pytest.raises(getstack.ForbiddenError) as refused:
        third.skills.publish(**{**SEALED_SKILL, "name": "echo-more"})
    assert refused.value.code == "TIER_LIMIT_EXCEEDED"


def test_who_may_publish(served: Any) -> None:
    assert error(post(served, "/v1/skills", OPEN_SKILL, PUBLISHER_READER)) == (403, "FORBIDDEN")
    assert get(served, "/v1/skills/mine", PUBLISHER_READER).status_code == 200


def test_skills_are_tools(served: Any) -> None:
    tools = McpTools(served.base_url, PUBLISHER)
    made = tools("stack_publish_skill", **SEALED_SKILL)
    assert tools("stack_update_skill", skill_id=made["id"], description="Say it twice")["description"] == "Say it twice"
    assert tools("stack_suspend_skill", skill_id=made["id"])["status"] == "suspended"
    assert made["id"] in [skill["id"] for skill in tools("stack_list_my_skills")]
    shopping = McpTools(served.base_url, BUYER)
    assert [skill["id"] for skill in shopping("stack_browse_skills", search="document")] == ["skl_summary"]
    refused, failed = shopping.result("stack_get_skill", skill_id=made["id"])
    assert failed
    assert refused["error"]["code"] == "SKILL_NOT_FOUND"


@pytest.mark.parametrize(
    ("skill", "problem"),
    [
        ("{name: run-it, description: Runs, execution_mode: sealed, execution_steps: [{type: script}]}", "script step"),
        ("{name: run-it, description: Runs}", "agent_id"),
        ("{name: run-it, description: Runs, input_schema: {type: objekt}}", "input_schema"),
    ],
)
def test_a_scenario_with_a_skill_that_could_not_be_published_is_refused(skill: str, problem: str) -> None:
    from stack_emu.hosting import Hosting
    from stack_emu.kernel.errors import WorldError
    from stack_emu.scenario.loader import loads

    with pytest.raises(WorldError, match=problem):
        Hosting().create("default", loads(f"stack_emu: 1\nskills: [{skill}]\n", "skills"))
