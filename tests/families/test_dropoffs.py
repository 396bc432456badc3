"""Drop-offs with the real SDK: left once, checked, collected once, gone when their time is over."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import OPERATOR, OTHER, READER, START_MS, WORLD, error, get, issue, post, row

SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def left(stack: Any, total: int = 7, **options: Any) -> Any:
    made = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA, **options)
    return stack.dropoffs.deposit(made["id"], {"total": total}, "agt_logged")


def test_a_drop_off_goes_from_agent_to_agent_once(stack: Any, served: Any) -> None:
    made = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA, ttl_seconds=600, on_expire="notify")
    assert (made["status"], made["from_agent_id"], made["to_agent_id"]) == ("created", "agt_logged", "agt_helper")
    assert made["expires_at"] == "2026-01-01T00:10:00.000Z"
    done = stack.dropoffs.deposit(made["id"], {"total": 7}, "agt_logged")
    assert (done["status"], done["deposited_bytes"]) == ("deposited", len('{"total":7}'))
    assert "payload" not in stack.dropoffs.get(made["id"])
    taken = stack.dropoffs.collect(made["id"], "agt_helper")
    assert (taken["status"], taken["payload"]) == ("collected", {"total": 7})
    with pytest.raises(getstack.StackError) as refused:
        stack.dropoffs.collect(made["id"], "agt_helper")
    assert (refused.value.status_code, refused.value.code) == (409, "DROPOFF_ALREADY_COLLECTED")
    assert stack.dropoffs.get(made["id"])["status"] == "collected"
    with pytest.raises(getstack.StackError):
        stack.dropoffs.deposit(made["id"], {"total": 8}, "agt_logged")


def test_what_is_left_must_meet_the_schema(stack: Any, served: Any, serve: Any) -> None:
    made = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA)
    for payload in ({"total": "seven"}, {}, []):
        with pytest.raises(getstack.StackError) as refused:
            stack.dropoffs.deposit(made["id"], payload, "agt_logged")
        assert (refused.value.status_code, refused.value.code) == (400, "SCHEMA_VALIDATION_FAILED")
        assert refused.value.details["fields"]
        assert "seven" not in str(refused.value)
    assert stack.dropoffs.get(made["id"])["status"] == "created"
    bad = {"from_agent": "agt_logged", "to_agent": "agt_helper", "schema": {"type": "nothing"}}
    assert error(post(served, "/v1/dropoffs", bad)) == (400, "INVALID_REQUEST")
    older = serve(WORLD.replace("stack_emu: 1\n", "stack_emu: 1\ncompat: docs-2026-05\n"))
    drop = post(older, "/v1/dropoffs", {**bad, "schema": SCHEMA}).json()["id"]
    wrong = post(older, f"/v1/dropoffs/{drop}/deposit", {"payload": {"total": "x"}})
    assert error(wrong) == (422, "SCHEMA_VALIDATION_FAILED")


def test_a_drop_off_expires_and_its_content_with_it(stack: Any, served: Any) -> None:
    done = left(stack, 4242, ttl_seconds=60)
    served.advance(60_000)
    assert stack.dropoffs.get(done["id"])["status"] == "expired"
    with pytest.raises(getstack.StackError) as refused:
        stack.dropoffs.collect(done["id"], "agt_helper")
    assert (refused.value.status_code, "expired" in str(refused.value)) == (409, True)
    found = row(served, "dropoff.expire")
    assert (found.timestamp, found.layer, found.metadata["dropoff"]) == (START_MS + 60_000, "dropoff", done["id"])
    assert "4242" not in repr(served.call(served.world.image))


def test_expiring_by_hand(stack: Any, served: Any) -> None:
    done = left(stack)
    assert stack.dropoffs.expire(done["id"])["status"] == "expired"
    assert stack.dropoffs.expire(done["id"])["status"] == "expired"
    taken = left(stack, 8)
    stack.dropoffs.collect(taken["id"], "agt_helper")
    with pytest.raises(getstack.StackError) as refused:
        stack.dropoffs.expire(taken["id"])
    assert refused.value.code == "DROPOFF_ALREADY_COLLECTED"


def test_only_its_own_agents_take_part(stack: Any, served: Any) -> None:
    made = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA)
    with pytest.raises(getstack.ForbiddenError):
        stack.dropoffs.deposit(made["id"], {"total": 1}, "agt_helper")
    stack.dropoffs.deposit(made["id"], {"total": 1}, "agt_logged")
    with pytest.raises(getstack.ForbiddenError):
        stack.dropoffs.collect(made["id"], "agt_logged")
    passport = issue(stack)
    assert error(post(served, f"/v1/dropoffs/{made['id']}/collect", {}, passport.token)) == (403, "FORBIDDEN")
    stranger = issue(stack, "standard")
    assert error(get(served, f"/v1/dropoffs/{made['id']}", stranger.token)) == (404, "NOT_FOUND")
    assert get(served, "/v1/dropoffs", stranger.token).json() == []
    assert [one["id"] for one in get(served, "/v1/dropoffs", passport.token).json()] == [made["id"]]


def test_under_a_passport_a_drop_off_belongs_to_its_mission(stack: Any, served: Any) -> None:
    passport = issue(stack)
    made = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA, passport_token=passport.token)
    assert made["mission_id"] == "ms_logged"
    done = stack.dropoffs.deposit(
        made["id"],
        {"total": 1},
        "agt_logged",
        passport_jti=passport.jti,
        mission_id="ms_logged",
        passport_token=passport.token,
    )
    assert done["mission_id"] == "ms_logged"
    assert row(served, "dropoff.deposit").passport_jti == passport.jti
    stack.passports.revoke(passport.jti)
    with pytest.raises(getstack.UnauthorizedError):
        stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA, passport_token=passport.token)


def test_a_mission_caps_what_is_left_in_it(stack: Any) -> None:
    mission = stack.missions.open("Hand over", agent_id="agt_logged", max_dropoff_bytes=20)["mission_id"]
    first = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA)
    stack.dropoffs.deposit(first["id"], {"total": 1}, "agt_logged", mission_id=mission)
    second = stack.dropoffs.create("agt_logged", "agt_helper", SCHEMA)
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.dropoffs.deposit(second["id"], {"total": 2}, "agt_logged", mission_id=mission)
    assert refused.value.code == "MISSION_LIMIT_EXCEEDED"
    stack.dropoffs.deposit(second["id"], {"total": 2}, "agt_logged")


def test_both_spellings_and_no_body_are_read(served: Any) -> None:
    body = {"from_agent_id": "agt_logged", "to_agent_id": "agt_helper", "schema": SCHEMA}
    made = post(served, "/v1/dropoffs", body).json()
    assert post(served, f"/v1/dropoffs/{made['id']}/deposit", {"payload": {"total": 3}}).json()["status"] == "deposited"
    assert post(served, f"/v1/dropoffs/{made['id']}/collect").json()["payload"] == {"total": 3}


def test_other_accounts_and_readers(stack: Any, served: Any) -> None:
    made = left(stack)
    for path, body in (("", None), ("/collect", {}), ("/deposit", {"payload": {}}), ("/expire", {})):
        url = f"/v1/dropoffs/{made['id']}{path}"
        answer = get(served, url, OTHER) if body is None else post(served, url, body, OTHER)
        assert error(answer) == (404, "NOT_FOUND")
    foreign = {"from_agent": "agt_foreign", "to_agent": "agt_helper", "schema": SCHEMA}
    assert error(post(served, "/v1/dropoffs", foreign)) == (404, "NOT_FOUND")
    assert error(post(served, f"/v1/dropoffs/{made['id']}/collect", {}, READER)) == (403, "FORBIDDEN")
    assert [one["id"] for one in stack.dropoffs.list()] == [made["id"]]


def test_what_is_left_is_kept_nowhere_else(stack: Any, served: Any) -> None:
    done = left(stack, 31337)
    assert "31337" not in httpx.get(f"{served.base_url}/_emu/journal").text
    assert "31337" not in httpx.get(f"{served.base_url}/_emu/audit").text
    found = row(served, "dropoff.deposit")
    assert (found.layer, len(found.payload_hash), found.agent_id) == ("dropoff", 64, "agt_logged")
    assert stack.dropoffs.collect(done["id"], "agt_helper")["payload"] == {"total": 31337}


def test_the_same_as_tools(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_create_dropoff", from_agent="agt_logged", to_agent="agt_helper", schema=SCHEMA)
    tools("stack_deposit_dropoff", dropoff_id=made["id"], payload={"total": 5})
    assert tools("stack_collect_dropoff", dropoff_id=made["id"])["payload"] == {"total": 5}
    refused, failed = tools.result("stack_collect_dropoff", dropoff_id=made["id"])
    assert (failed, refused["error"]["code"]) == (True, "DROPOFF_ALREADY_COLLECTED")
