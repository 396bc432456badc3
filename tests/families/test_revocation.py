"""Revocation: one passport, an agent's, a session's, all; the cascade; and that it bites at once."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain.state import Passport
from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, READER, WORLD, claims, error, get, issue, post


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def tree(stack: Any) -> dict[str, Any]:
    """A root with two children, one of which has two of its own."""
    made = {"root": issue(stack)}
    made["left"] = stack.passports.delegate(made["root"].token, "agt_helper")
    made["right"] = stack.passports.delegate(made["root"].token, "agt_helper", scopes=["slack"])
    made["lower"] = stack.passports.delegate(made["left"].token, "agt_logged")
    made["lowest"] = stack.passports.delegate(made["lower"].token, "agt_helper")
    return made


def valid(stack: Any, passport: Any) -> bool:
    return stack.passports.verify(passport.token)["valid"]


def rows(served: Any) -> list[tuple[str, str | None]]:
    return [(found.action, found.passport_jti) for found in served.rows() if found.action.startswith("passport.revoke")]


def test_revoking_one_passport_takes_everything_delegated_from_it(stack: Any, served: Any) -> None:
    made, other = tree(stack), issue(stack, ttl_seconds=600)
    done = stack.passports.revoke(made["root"].jti, "leaked")
    second = sorted([made["left"].jti, made["right"].jti])
    below = [*second, made["lower"].jti, made["lowest"].jti]
    assert done == {
        "revoked": True,
        "type": "single",
        "jti": made["root"].jti,
        "agent_id": None,
        "session_id": None,
        "already_revoked": False,
        "revoked_count": 1,
        "cascaded_count": 4,
        "jtis": [made["root"].jti, *below],
        "cascaded": below,
        "reason": "leaked",
        "revoked_at": "2026-01-01T00:00:00.000Z",
    }
    assert not any(valid(stack, passport) for passport in made.values())
    assert valid(stack, other)
    assert rows(served) == [
        ("passport.revoke", made["root"].jti),
        *[("passport.revoke_cascade", jti) for jti in below],
    ]
    last = served.rows()[-1]
    assert (last.agent_id, last.metadata["subject"], last.metadata["root"], last.metadata["reason"]) == (
        "agt_helper",
        made["lowest"].jti,
        made["root"].jti,
        "leaked",
    )


def test_revoking_a_branch_leaves_the_rest_of_the_tree(stack: Any) -> None:
    made = tree(stack)
    assert stack.passports.revoke(made["left"].jti)["cascaded_count"] == 2
    alive = {name for name, passport in made.items() if valid(stack, passport)}
    assert alive == {"root", "right"}


def test_revoking_again_changes_nothing_and_says_so(stack: Any, served: Any) -> None:
    passport = issue(stack)
    first = stack.passports.revoke(passport.jti, "leaked")
    served.advance(1000)
    again = stack.passports.revoke(passport.jti, "another reason")
    assert (again["already_revoked"], again["revoked_count"], again["reason"]) == (True, 0, "leaked")
    assert again["revoked_at"] == first["revoked_at"]
    record = served.world.store.get(Passport, passport.jti)
    assert (record.revoked_reason, record.revocation) == ("leaked", "single")
    assert [found.outcome for found in served.rows()[-2:]] == ["success", "success"]


def test_a_null_reason_is_as_good_as_none(served: Any, stack: Any) -> None:
    for body in ({"reason": None}, {}):
        passport = issue(stack)
        assert post(served, "/v1/passports/revoke", {"jti": passport.jti, **body}).status_code == 200
        assert stack.passports.verify(passport.token)["code"] == "PASSPORT_REVOKED"
    assert error(post(served, "/v1/passports/revoke", {"reason": None})) == (400, "INVALID_REQUEST")


def test_revoking_an_agents_passports_cascades_to_other_agents(stack: Any, served: Any) -> None:
    made, enforced = tree(stack), issue(stack, "enforced")
    done = stack.passports.revoke_agent("agt_logged", "agent compromised")
    assert (done["type"], done["agent_id"]) == ("bulk_agent", "agt_logged")
    assert done["revoked_count"] + done["cascaded_count"] == 5
    assert not any(valid(stack, passport) for passport in made.values())
    assert valid(stack, enforced)
    assert [action for action, _ in rows(served)] == [
        "passport.revoke_agent",
        *["passport.revoke"] * done["revoked_count"],
        *["passport.revoke_cascade"] * done["cascaded_count"],
    ]
    assert stack.passports.revoke_agent("agt_logged")["already_revoked"] is True
    with pytest.raises(getstack.NotFoundError):
        stack.passports.revoke_agent("agt_none")


def test_revoking_a_session_takes_delegated_and_refreshed_passports(stack: Any, served: Any) -> None:
    made, other = tree(stack), issue(stack, ttl_seconds=600)
    made["refreshed"] = stack.passports.refresh(made["root"].token)
    session = claims(made["root"].token)["stk"]["session_id"]
    done = stack.passports.revoke_session(session)
    assert (done["type"], done["session_id"]) == ("bulk_session", session)
    assert set(done["jtis"]) == {passport.jti for passport in made.values()}
    assert not any(valid(stack, passport) for passport in made.values())
    assert valid(stack, other)
    assert stack.passports.revoke_session("ses_none")["revoked_count"] == 0
    assert served.world.audit.acts()[-2].lane == "agent:agt_logged"


def test_revoking_everything_spares_other_accounts(stack: Any, served: Any) -> None:
    made, enforced = tree(stack), issue(stack, "enforced")
    body = {"intent_summary": "x", "agent_id": "agt_foreign"}
    mission = post(served, "/v1/missions", body, OTHER).json()["mission_id"]
    body = {"agent_id": "agt_foreign", "intent": "x", "mission_ids": [mission]}
    foreign = post(served, "/v1/passports/issue", body, OTHER).json()
    done = stack.passports.revoke_all("drill")
    assert (done["type"], done["revoked_count"] + done["cascaded_count"]) == ("bulk_operator", 6)
    assert not any(valid(stack, passport) for passport in [*made.values(), enforced])
    assert stack.passports.verify(foreign["token"])["valid"] is True
    assert stack.passports.list_active() == []


def test_a_passport_expired_within_the_grace_is_revoked_too_so_that_it_cannot_be_refreshed(
    stack: Any, served: Any
) -> None:
    passport = issue(stack, ttl_seconds=60)
    served.advance(120_000)
    assert stack.passports.revoke_agent("agt_logged")["revoked_count"] == 1
    with pytest.raises(getstack.UnauthorizedError) as refused:
        stack.passports.refresh(passport.token)
    assert refused.value.code == "PASSPORT_REVOKED"


def test_a_revocation_bites_on_the_very_next_call_everywhere(stack: Any, served: Any) -> None:
    passport = issue(stack)
    assert get(served, "/v1/missions/ms_logged", passport.token).status_code == 200
    stack.passports.revoke(passport.jti, "leaked")
    refused = get(served, "/v1/missions/ms_logged", passport.token)
    assert error(refused) == (401, "PASSPORT_REVOKED")
    assert "leaked" in refused.json()["error"]["message"]
    listed = httpx.post(
        served.base_url + "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        headers={
            "Authorization": f"Bearer {passport.token}",
            "Accept": "application/json, text/event-stream",
        },
    )
    assert listed.status_code == 401


def test_who_may_revoke(stack: Any, served: Any) -> None:
    everything = issue(stack)
    slack_only = issue(stack, scopes=[{"service_connection_id": "scon_slack"}], ttl_seconds=600)
    for key, status in ((READER, 403), (OTHER, 404), (MEMBER, 404)):
        assert post(served, "/v1/passports/revoke", {"jti": everything.jti}, key).status_code == status
    assert post(served, "/v1/passports/revoke-agent/agt_logged", {}, OTHER).status_code == 404
    assert post(served, "/v1/passports/revoke-session/ses_x", {}, READER).status_code == 403
    assert post(served, "/v1/passports/revoke-all", {}, MEMBER).json()["jtis"] == [slack_only.jti]
    assert valid(stack, everything)
    assert all(found.agent_id is None for found in served.rows("op_other") if found.action == "passport.revoke")


def test_an_enrolled_agent_revokes_its_own_only(sdk: Any, served: Any, home: Any) -> None:
    agent = sdk(served.base_url, OPERATOR, agent_id="agt_logged")
    passport = issue(agent)
    assert agent.passports.revoke(passport.jti)["revoked_count"] == 1
    with pytest.raises(getstack.NotFoundError):
        agent.passports.revoke_agent("agt_enforced")
    with pytest.raises(getstack.ForbiddenError):
        agent.passports.revoke_all()


def test_a_critical_or_drifting_signal_revokes_an_enforced_passport_and_others_do_not(stack: Any, served: Any) -> None:
    from stack_emu.domain.signals import note
    from stack_emu.kernel.acts import RowDraft

    def fire(passport: Any, signal_type: str, severity: str) -> None:
        world = served.world
        record = world.store.get(Passport, passport.jti)
        given = {"signal": signal_type, "severity": severity, "jti": passport.jti}
        act = world.begin_act("test.signal", "op_emu", "test", given, RowDraft("test.signal", "system"))
        with world.transaction(act):
            note(
                world,
                act,
                agent_id=record.agent_id,
                passport=record,
                signal_type=signal_type,
                severity=severity,
                message="noticed",
                metadata={},
            )

    for agent, signal_type, severity, dies in (
        ("enforced", "credential_burst", "warning", False),
        ("enforced", "scope_drift", "warning", True),
        ("enforced", "credential_burst", "critical", True),
        ("logged", "credential_burst", "critical", False),
        ("standard", "scope_drift", "warning", False),
    ):
        passport = issue(stack, agent)
        served.call(lambda: fire(passport, signal_type, severity))
        assert valid(stack, passport) is not dies
        if dies:
            assert f"{signal_type}_fire: noticed" in stack.passports.verify(passport.token)["reason"]


def test_every_revocation_is_a_tool_and_revoking_all_needs_confirmation(stack: Any, served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    one, two, three, four = (issue(stack, ttl_seconds=ttl) for ttl in (600, 700, 800, 900))
    assert tools("stack_revoke_passport", jti=one.jti)["revoked_count"] == 1
    session = claims(two.token)["stk"]["session_id"]
    assert tools("stack_revoke_session", session_id=session)["jtis"] == [two.jti]
    refused, failed = tools.result("stack_revoke_all_passports")
    assert failed
    assert "confirm" in str(refused)
    assert valid(stack, three)
    assert tools("stack_revoke_agent_passports", agent_id="agt_logged")["revoked_count"] == 2
    issue(stack, "enforced")
    assert tools("stack_revoke_all_passports", confirm=True)["revoked_count"] == 1
    _, failed = tools.result("stack_revoke_passport", jti="pp_none")
    assert failed
    assert not valid(stack, four)
