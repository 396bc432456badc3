"""Passports: issue, verify, refresh, active; what their tokens say and what they may do themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import getstack
import httpx
import pytest
from getstack import MissionEndedError

from stack_emu.domain.state import Agent, Connection, NamedIntent, Passport
from tests.families.drivers import McpTools
from tests.families.passport_world import (
    DOCS,
    MEMBER,
    OPERATOR,
    OTHER,
    READER,
    REAL,
    START_MS,
    WORLD,
    actions,
    claims,
    error,
    get,
    issue,
    post,
    row,
    wait,
)

BODY = {"agent_id": "agt_logged", "mission_ids": ["ms_logged"], "intent": {"summary": "x", "services": ["slack"]}}


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def change(served: Any, agent_id: str, **fields: Any) -> None:
    store = served.world.store
    served.call(lambda: store.put(replace(store.get(Agent, agent_id), **fields)))


def test_a_passport_says_who_may_do_what_for_whom(stack: Any, served: Any) -> None:
    passport = stack.passports.issue(
        "agt_logged",
        intent="Announce",
        services=["slack"],
        will_delegate=True,
        estimated_duration="10m",
        ttl_seconds=600,
        mission_ids=["ms_logged"],
    )
    assert passport.jti.startswith("pp_")
    assert passport.accountability == "logged"
    assert passport.expires_at == "2026-01-01T00:10:00.000Z"
    said = claims(passport.token)
    stk = said.pop("stk")
    assert said == {
        "iss": "getstack.run",
        "aud": "stack:passport",
        "sub": "agt_logged",
        "jti": passport.jti,
        "iat": START_MS // 1000,
        "exp": START_MS // 1000 + 600,
    }
    services = stk.pop("services")
    assert stk.pop("session_id").startswith("ses_")
    assert stk == {
        "operator_id": "op_emu",
        "agent_id": "agt_logged",
        "agent_name": "logged",
        "identity_claims": [],
        "delegation_depth": 0,
        "accountability": "logged",
        "intent_summary": "Announce",
        "intent_services": ["slack"],
        "mission_ids": ["ms_logged"],
    }
    assert [service.pop("credential_ref")[:9] for service in services] == ["cred_ref_"] * 2
    assert services == [
        {
            "service_id": "svc_slack",
            "service_name": "slack",
            "connection_id": "scon_slack",
            "scopes": ["chat:write", "channels:read"],
            "constraints": [{"path": "body.channel", "op": "in", "value": ["#eng"]}],
        },
        {
            "service_id": "svc_github",
            "service_name": "github",
            "connection_id": "scon_github",
            "scopes": ["repo"],
        },
    ]
    found = row(served, "passport.issue")
    assert (found.agent_id, found.passport_jti, found.layer) == ("agt_logged", passport.jti, "vault")
    assert found.metadata["mission"] == "ms_logged"
    assert found.metadata["intent"] == "Announce"
    assert found.metadata["services"] == ["slack", "github"]
    assert found.metadata["scopes"] == ["slack:chat:write", "slack:channels:read", "github:repo"]


def test_the_reply_repeats_the_jti_as_id(served: Any) -> None:
    issued = post(served, "/v1/passports/issue", BODY)
    assert issued.status_code == 201
    reply = issued.json()
    assert reply["id"] == reply["jti"]
    assert {"token", "expires_at", "accountability", "session_id"} <= reply.keys()


@pytest.mark.parametrize("agent", ["logged", "enforced"])
def test_enforced_and_logged_agents_need_an_intent(stack: Any, served: Any, agent: str) -> None:
    for given in ({"intent": None, "services": None}, {"intent": None, "services": ["slack"]}):
        with pytest.raises(getstack.StackError) as refused:
            issue(stack, agent, **given)
        assert (refused.value.status_code, refused.value.code) == (400, "ACCOUNTABILITY_REQUIRED")
    assert actions(served) == [("passport.issue", "blocked")] * 2
    assert {found.agent_id for found in served.rows()} == {f"agt_{agent}"}


def test_a_standard_agent_needs_none(stack: Any) -> None:
    passport = stack.passports.issue("agt_standard", mission_ids=["ms_standard"])
    stk = claims(passport.token)["stk"]
    assert stk["accountability"] == "standard"
    assert "intent_summary" not in stk


def test_raw_http_may_send_the_intent_as_text(served: Any) -> None:
    issued = post(served, "/v1/passports/issue", {**BODY, "intent": "Announce deploys"})
    stk = claims(issued.json()["token"])["stk"]
    assert (stk["intent_summary"], stk["intent_services"]) == ("Announce deploys", [])


@pytest.mark.parametrize(
    ("ttl", "interval", "life"), [(None, None, 300), (900, "2m", 120), (60, None, 60), (3600, "1h", 3600)]
)
def test_an_enforced_passport_lives_no_longer_than_its_checkpoint_interval(
    stack: Any, ttl: int | None, interval: str | None, life: int
) -> None:
    passport = issue(stack, "enforced", ttl_seconds=ttl, checkpoint_interval=interval)
    said = claims(passport.token)
    assert said["exp"] - said["iat"] == life
    assert said["stk"]["checkpoint_interval"] == (300 if interval is None else {"2m": 120, "1h": 3600}[interval])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl_seconds", 59),
        ("ttl_seconds", 3601),
        ("checkpoint_interval_seconds", 59),
        ("checkpoint_interval_seconds", 3601),
        ("intent", {"summary": "x" * 501, "services": []}),
        ("accountability_mode", "lax"),
        ("scopes", [{"scopes": ["chat:write"]}]),
        ("scopes", [{"service_connection_id": "scon_slack"}, {"service_connection_id": "scon_slack"}]),
        ("scopes", [{"service_connection_id": "scon_slack", "allow_data_from": ["*"]}]),
        (
            "scopes",
            [{"service_connection_id": "scon_slack", "constraints": [{"path": "nowhere", "op": "eq", "value": 1}]}],
        ),
        (
            "scopes",
            [
                {
                    "service_connection_id": "scon_slack",
                    "constraints": [{"path": "method", "op": "matches", "value": "("}],
                }
            ],
        ),
        (
            "scopes",
            [
                {
                    "service_connection_id": "scon_slack",
                    "constraints": [{"path": f"body.p{number}", "op": "eq", "value": 1} for number in range(32)],
                }
            ],
        ),
        ("scopes", [{"service_connection_id": "scon_slack", "intents": ["slack.unknown"]}]),
        ("intents", ["slack.unknown"]),
    ],
)
def test_terms_that_cannot_be_are_refused_before_anything_is_made(served: Any, field: str, value: Any) -> None:
    assert error(post(served, "/v1/passports/issue", {**BODY, field: value})) == (400, "INVALID_REQUEST")
    assert served.world.store.count(Passport) == 0


@pytest.mark.parametrize(
    "item",
    [
        {"service_connection_id": "scon_slack", "scopes": ["files:write"]},
        {"service_connection_id": "scon_github", "scopes": ["repo", "issues"]},
        {"service_connection_id": "scon_stripe"},
    ],
)
def test_a_passport_cannot_have_more_than_the_agents_grants(stack: Any, item: Any) -> None:
    with pytest.raises(getstack.StackError) as refused:
        issue(stack, scopes=[item])
    assert (refused.value.status_code, refused.value.code) == (400, "SCOPE_ESCALATION")
    assert refused.value.details["parent"] == "the grants of agent agt_logged"


def test_an_unknown_connection_agent_or_mission_is_not_found(stack: Any) -> None:
    with pytest.raises(getstack.NotFoundError):
        issue(stack, scopes=[{"service_connection_id": "scon_none"}])
    for agent in ("agt_none", "agt_foreign"):
        with pytest.raises(getstack.NotFoundError):
            stack.passports.issue(agent, intent="x", mission_ids=["ms_logged"])


def test_scopes_narrow_and_constraints_only_grow(stack: Any) -> None:
    added = [{"path": "body.channel", "op": "not_eq", "value": "#random"}]
    kept = {"path": "body.channel", "op": "in", "value": ["#eng"]}
    item = {
        "service_connection_id": "scon_slack",
        "scopes": ["chat:write"],
        "constraints": [kept, *added],
        "allow_data_from": ["github"],
    }
    stk = claims(issue(stack, scopes=[item]).token)["stk"]
    (service,) = stk["services"]
    assert service["scopes"] == ["chat:write"]
    assert service["constraints"] == [kept, *added]
    assert service["allow_data_from"] == ["github"]


def test_services_may_be_named_by_provider_or_connection(served: Any) -> None:
    for services in (["slack"], ["scon_slack"], [{"service": "slack"}], [{"connection_id": "scon_slack"}]):
        issued = post(served, "/v1/passports/issue", {**BODY, "services": services})
        assert [one["connection_id"] for one in claims(issued.json()["token"])["stk"]["services"]] == ["scon_slack"]
    none = post(served, "/v1/passports/issue", {**BODY, "scopes": []})
    assert claims(none.json()["token"])["stk"]["services"] == []


def test_a_named_intent_adds_its_constraints(served: Any) -> None:
    from stack_emu.domain.state import Constraint

    intent = NamedIntent(
        id="scon_slack/slack.post",
        operator_id="op_emu",
        connection_id="scon_slack",
        provider="slack",
        name="slack.post",
        params=("channel",),
        constraints=(Constraint("body.channel", "in", "{{ params.channel }}"),),
    )
    served.call(lambda: served.world.store.put(intent))
    use = {"name": "slack.post", "params": {"channel": ["C1"]}}
    for body in ({"scopes": [{"service_connection_id": "scon_slack", "intents": [use]}]}, {"intents": [use]}):
        issued = post(served, "/v1/passports/issue", {**BODY, **body})
        service = claims(issued.json()["token"])["stk"]["services"][0]
        assert service["intents"] == ["slack.post"]
        assert {"path": "body.channel", "op": "in", "value": ["C1"]} in service["constraints"]
        assert {"path": "body.channel", "op": "in", "value": ["#eng"]} in service["constraints"]


def test_a_connection_that_was_disconnected_is_not_passed_on(stack: Any, served: Any) -> None:
    store = served.world.store
    served.call(lambda: store.put(replace(store.get(Connection, "scon_github"), status="disconnected")))
    stk = claims(issue(stack).token)["stk"]
    assert [service["connection_id"] for service in stk["services"]] == ["scon_slack"]


def test_a_blocked_or_suspended_agent_gets_no_passport(stack: Any, served: Any) -> None:
    passport = issue(stack)
    change(served, "agt_logged", passport_blocked=True, passport_blocked_reason="bad review")
    for attempt in (lambda: issue(stack), lambda: stack.passports.refresh(passport.token)):
        with pytest.raises(getstack.ForbiddenError) as refused:
            attempt()
        assert refused.value.code == "PASSPORT_BLOCKED"
        assert "bad review" in str(refused.value)
    change(served, "agt_logged", passport_blocked=False, status="suspended")
    with pytest.raises(getstack.ForbiddenError) as refused:
        issue(stack)
    assert "suspended" in str(refused.value)


def test_a_stricter_mode_may_be_asked_for_and_a_weaker_one_not(served: Any) -> None:
    strict = post(served, "/v1/passports/issue", {**BODY, "accountability_mode": "enforced"})
    assert strict.json()["accountability"] == "enforced"
    assert error(post(served, "/v1/passports/issue", {**BODY, "accountability_mode": "standard"})) == (
        400,
        "INVALID_REQUEST",
    )


def test_verify_needs_no_credential_and_tells_what_the_passport_says(stack: Any, served: Any) -> None:
    passport = issue(stack)
    assert stack.passports.verify(passport.token)["valid"] is True
    reply = httpx.post(served.base_url + "/v1/passports/verify", json={"token": passport.token})
    assert reply.status_code == 200
    said = reply.json()
    assert (said["valid"], said["code"], said["jti"], said["agent_id"]) == (True, None, passport.jti, "agt_logged")
    assert said["claims"] == claims(passport.token)
    assert len(served.rows()) == 1


def test_verify_says_why_a_passport_cannot_be_used(stack: Any, served: Any) -> None:
    passport, revoked = issue(stack), issue(stack, ttl_seconds=3600)
    stack.passports.revoke(revoked.jti, "no longer needed")
    head, body, signature = passport.token.split(".")
    forged = f"{head}.{body}.{signature[:-6]}AAAAAA"
    served.advance(900_000)
    for token, code, words in (
        (passport.token, "PASSPORT_EXPIRED", "expired at 2026-01-01T00:15:00.000Z"),
        (revoked.token, "PASSPORT_REVOKED", "no longer needed"),
        (forged, "UNAUTHORIZED", "signature"),
        ("not.a.jwt", "UNAUTHORIZED", "not valid"),
    ):
        said = stack.passports.verify(token)
        assert (said["valid"], said["code"]) == (False, code)
        assert words in said["reason"].lower() or words in said["reason"]
    assert error(post(served, "/v1/passports/verify", {})) == (400, "INVALID_REQUEST")


def test_verify_can_ask_for_a_service(stack: Any, served: Any) -> None:
    token = issue(stack).token
    for name in ("slack", "svc_slack", "scon_slack"):
        assert post(served, "/v1/passports/verify", {"token": token, "service_id": name}).json()["valid"] is True
    said = post(served, "/v1/passports/verify", {"token": token, "service_id": "stripe"}).json()
    assert (said["valid"], said["code"]) == (False, "FORBIDDEN")


def test_refresh_keeps_session_chain_and_services_and_leaves_the_old_passport(stack: Any, served: Any) -> None:
    passport = issue(stack, ttl_seconds=600)
    served.advance(300_000)
    renewed = stack.passports.refresh(passport.token)
    assert renewed.jti != passport.jti
    assert renewed.expires_at == "2026-01-01T00:15:00.000Z"
    before, after = claims(passport.token)["stk"], claims(renewed.token)["stk"]
    assert after == before
    assert stack.passports.verify(passport.token)["valid"] is True
    longer = stack.passports.refresh(renewed.token, ttl_seconds=3600)
    assert longer.expires_at == "2026-01-01T01:05:00.000Z"
    found = row(served, "passport.refresh")
    assert (found.passport_jti, found.metadata["subject"]) == (renewed.jti, longer.jti)


def test_refresh_works_for_a_day_after_expiry_and_not_a_moment_longer(serve: Any, sdk: Any) -> None:
    served = serve(DOCS)
    stack = sdk(served.base_url, OPERATOR)
    issued = post(served, "/v1/passports/issue", {"agent_id": "agt_logged", "intent": "x"}).json()
    served.advance(900_000 + 86_400_000 - 1)
    assert stack.passports.refresh(issued["token"]).jti != issued["jti"]
    served.advance(1)
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.passports.refresh(issued["token"])
    assert refused.value.code == "PASSPORT_EXPIRED"


def test_refresh_never_outlives_the_mission(stack: Any, served: Any) -> None:
    mission = stack.missions.open("Report", agent_id="agt_logged", expires_in_seconds=600)["mission_id"]
    passport = issue(stack, mission_ids=[mission], ttl_seconds=300)
    served.advance(200_000)
    assert stack.passports.refresh(passport.token, ttl_seconds=3600).expires_at == "2026-01-01T00:10:00.000Z"
    served.advance(400_000)
    with pytest.raises(MissionEndedError):
        stack.passports.refresh(passport.token)


def test_refresh_refuses_revoked_checked_out_and_foreign_passports(stack: Any, served: Any) -> None:
    revoked, finished = issue(stack), issue(stack, ttl_seconds=3600)
    stack.passports.revoke(revoked.jti)
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.passports.refresh(revoked.token)
    assert refused.value.code == "PASSPORT_REVOKED"
    stack.passports.checkout(finished.jti, services_used=["slack"], actions_count=1)
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.passports.refresh(finished.token)
    assert "checked out" in str(refused.value)
    assert error(post(served, "/v1/passports/refresh", {"token": finished.token}, OTHER)) == (401, "UNAUTHORIZED")
    assert error(post(served, "/v1/passports/refresh", {"token": "x"})) == (401, "UNAUTHORIZED")
    assert error(post(served, "/v1/passports/refresh", {"token": finished.token, "ttl_seconds": 10})) == (
        400,
        "INVALID_REQUEST",
    )


def test_active_lists_what_can_be_used_in_the_order_of_issue(stack: Any, served: Any) -> None:
    first, second = issue(stack), issue(stack, "enforced", ttl_seconds=60)
    third, gone = issue(stack, ttl_seconds=600), issue(stack, ttl_seconds=1200)
    finished = issue(stack, ttl_seconds=1800)
    stack.passports.revoke(gone.jti)
    stack.passports.checkout(finished.jti, services_used=[], actions_count=0)
    assert [item["jti"] for item in stack.passports.list_active()] == [first.jti, second.jti, third.jti]
    stack.passports.checkpoint(first.jti, services_used=[], actions_count=0)
    assert [item["jti"] for item in stack.passports.list_active(agent_id="agt_logged")] == [first.jti, third.jti]
    session = claims(third.token)["stk"]["session_id"]
    (only,) = stack.passports.list_active(session_id=session)
    assert (only["jti"], only["id"], only["mission_id"]) == (third.jti, third.jti, "ms_logged")
    assert "token" not in only
    served.advance(60_000)
    assert second.jti not in [item["jti"] for item in stack.passports.list_active()]
    assert get(served, "/v1/passports/active", OTHER).json() == []


def test_a_member_sees_and_gets_only_its_connections(served: Any, stack: Any) -> None:
    everything = issue(stack)
    narrow = post(served, "/v1/passports/issue", BODY, MEMBER)
    assert [one["connection_id"] for one in claims(narrow.json()["token"])["stk"]["services"]] == ["scon_slack"]
    refused = post(served, "/v1/passports/issue", {**BODY, "services": ["github"]}, MEMBER)
    assert error(refused) == (403, "FORBIDDEN")
    assert [item["jti"] for item in get(served, "/v1/passports/active", MEMBER).json()] == [narrow.json()["jti"]]
    assert error(get(served, f"/v1/passports/{everything.jti}/report", MEMBER)) == (404, "NOT_FOUND")
    assert error(post(served, "/v1/passports/revoke", {"jti": everything.jti}, MEMBER)) == (404, "NOT_FOUND")
    assert error(post(served, "/v1/passports/issue", BODY, READER)) == (403, "FORBIDDEN")
    assert len(get(served, "/v1/passports/active", READER).json()) == 2


def test_a_passport_refreshes_itself_and_nothing_else(stack: Any, served: Any) -> None:
    mine, other = issue(stack), issue(stack, ttl_seconds=3600)
    refreshed = post(served, "/v1/passports/refresh", {"token": mine.token}, mine.token)
    assert refreshed.status_code == 200
    for path, body in (
        ("/v1/passports/refresh", {"token": other.token}),
        ("/v1/passports/issue", BODY),
        ("/v1/passports/revoke", {"jti": mine.jti}),
        ("/v1/passports/revoke-all", {}),
    ):
        assert error(post(served, path, body, mine.token)) == (403, "FORBIDDEN")
    assert error(get(served, "/v1/passports/active", mine.token)) == (403, "FORBIDDEN")
    assert get(served, f"/v1/passports/{mine.jti}/report", mine.token).status_code == 200
    assert error(get(served, f"/v1/passports/{other.jti}/report", mine.token)) == (404, "NOT_FOUND")
    stack.passports.revoke(mine.jti)
    assert error(post(served, "/v1/passports/refresh", {"token": mine.token}, mine.token)) == (401, "PASSPORT_REVOKED")


def test_an_enrolled_agent_gets_its_own_passports_only(sdk: Any, served: Any, home: Any) -> None:
    agent = sdk(served.base_url, OPERATOR, agent_id="agt_logged")
    passport = issue(agent)
    assert agent.passports.refresh(passport.token).jti
    assert {item["agent_id"] for item in agent.passports.list_active()} == {"agt_logged"}
    with pytest.raises(getstack.NotFoundError):
        issue(agent, "enforced")
    assert row(served, "passport.issue").agent_id == "agt_logged"


def test_the_lane_of_a_refresh_is_the_presented_passports(stack: Any, served: Any) -> None:
    passport = issue(stack)
    stack.passports.refresh(passport.token)
    lanes = [act.lane for act in served.world.audit.acts()]
    assert lanes == ["agent:agt_logged", f"agent:agt_logged/passport:{passport.jti}"]


def test_the_same_calls_get_the_same_ids_whatever_other_agents_do(serve: Any) -> None:
    def run(noise: bool) -> list[str]:
        served = serve(WORLD)
        with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
            if noise:
                issue(stack, "enforced")
            first = issue(stack)
            if noise:
                issue(stack, "standard")
            return [first.token, issue(stack).token, stack.passports.refresh(first.token).token]

    assert run(noise=True) == run(noise=False)


def test_the_sdks_passport_session_refreshes_itself(serve: Any, sdk: Any) -> None:
    served = serve(REAL)
    stack = sdk(served.base_url, OPERATOR)
    body = {"agent_id": "agt_logged", "mission_ids": ["ms_logged"], "ttl_seconds": 60}
    session = stack.issue_passport(**body, intent={"summary": "x", "services": []}, services=["slack"])
    old = wait(stack, session.get_token(grace_seconds=0))
    assert [one["service_name"] for one in claims(old)["stk"]["services"]] == ["slack"]
    new = wait(stack, session.get_token(grace_seconds=120))
    assert claims(new)["jti"] != claims(old)["jti"]
    assert claims(new)["exp"] >= claims(old)["exp"]


@pytest.mark.parametrize("state", ["completed", "revoked", "expired"])
def test_the_sdks_passport_session_hears_of_the_missions_end(serve: Any, sdk: Any, state: str) -> None:
    served = serve(REAL)
    stack = sdk(served.base_url, OPERATOR)
    session = stack.issue_passport(
        agent_id="agt_logged", mission_ids=["ms_logged"], intent={"summary": "x", "services": []}
    )
    if state == "expired":
        served.advance(7_200_000)
    elif state == "completed":
        stack.missions.complete("ms_logged")
    else:
        stack.missions.revoke("ms_logged", reason="adversarial")
    with pytest.raises(MissionEndedError) as refused:
        wait(stack, session.get_token(grace_seconds=86_400))
    assert refused.value.mission_state == state


def test_every_passport_operation_is_a_tool(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    issued = tools("stack_issue_passport", **BODY)
    assert tools("stack_verify_passport", token=issued["token"])["valid"] is True
    refreshed = tools("stack_refresh_passport", token=issued["token"])
    assert refreshed["session_id"] == issued["session_id"]
    active = tools("stack_list_active_passports", agent_id="agt_logged")
    listed = active if isinstance(active, list) else active["items"]
    assert [item["jti"] for item in listed] == [issued["jti"], refreshed["jti"]]
    refused, failed = tools.result("stack_issue_passport", agent_id="agt_logged", mission_ids=["ms_logged"])
    assert failed
    assert refused["error"]["code"] == "ACCOUNTABILITY_REQUIRED"


def test_with_a_passport_as_the_mcp_bearer_the_caller_is_that_passport(stack: Any, served: Any) -> None:
    passport = issue(stack)
    tools = McpTools(served.base_url, passport.token)
    assert tools("stack_get_mission", mission_id="ms_logged")["mission_id"] == "ms_logged"
    assert tools("stack_refresh_passport", token=passport.token)["agent_id"] == "agt_logged"
    _, failed = tools.result("stack_issue_passport", **BODY)
    assert failed
