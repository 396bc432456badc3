"""Security events: reading and resolving what the detectors noticed."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, READER, START_MS, WORLD, error, get, issue, post, row


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def noticed(stack: Any, agent: str = "logged", **options: Any) -> str:
    """A passport whose checkpoint names a service its intent does not."""
    passport = issue(stack, agent, **options)
    stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1)
    return str(passport.jti)


def test_events_are_listed_newest_first_until_they_are_resolved(stack: Any, served: Any) -> None:
    assert stack.security_events.list() == {"events": [], "unresolved_count": 0, "page": 1, "limit": 50}
    first = noticed(stack)
    second = noticed(stack, "enforced")
    page = stack.security_events.list()
    assert [event["passport_jti"] for event in page["events"]] == [second, first]
    assert page["unresolved_count"] == 2
    newest, oldest = page["events"]
    assert (newest["severity"], oldest["severity"]) == ("critical", "warning")
    assert oldest == {
        "id": oldest["id"],
        "operator_id": "op_emu",
        "agent_id": "agt_logged",
        "passport_jti": first,
        "signal_type": "credential_outside_scope",
        "severity": "warning",
        "message": "Reported services outside the declared scope: stripe",
        "metadata": {
            "services_used": ["stripe"],
            "intent_services": ["slack"],
            "granted_providers": ["slack", "github"],
        },
        "resolved": False,
        "resolved_at": None,
        "created_at": oldest["created_at"],
    }
    assert oldest["id"].startswith("sev_")
    assert oldest["created_at"] == "2026-01-01T00:00:00.000Z"
    served.advance(5_000)
    done = stack.security_events.resolve(oldest["id"])
    assert (done["resolved"], done["resolved_at"]) == (True, "2026-01-01T00:00:05.000Z")
    assert [event["id"] for event in stack.security_events.list()["events"]] == [newest["id"]]
    assert stack.security_events.get(oldest["id"]) == done
    found = row(served, "security.resolve")
    assert (found.outcome, found.agent_id, found.passport_jti) == ("success", "agt_logged", first)
    assert found.metadata["event_id"] == oldest["id"]


def test_resolving_again_changes_nothing(stack: Any, served: Any) -> None:
    noticed(stack)
    (event,) = stack.security_events.list()["events"]
    done = stack.security_events.resolve(event["id"])
    served.advance(60_000)
    assert stack.security_events.resolve(event["id"]) == done
    assert served.world.now_ms() >= START_MS


def test_pages_and_agents(stack: Any, served: Any) -> None:
    jtis = [noticed(stack, ttl_seconds=600 + number) for number in range(3)]
    enforced = noticed(stack, "enforced")
    assert [one["passport_jti"] for one in stack.security_events.list(limit=2)["events"]] == [enforced, jtis[2]]
    second = stack.security_events.list(page=2, limit=2)
    assert [one["passport_jti"] for one in second["events"]] == [jtis[1], jtis[0]]
    assert (second["page"], second["limit"], second["unresolved_count"]) == (2, 2, 4)
    mine = stack.security_events.list(agent_id="agt_enforced")
    assert ([one["passport_jti"] for one in mine["events"]], mine["unresolved_count"]) == ([enforced], 1)
    assert stack.security_events.list(agent_id="agt_none")["events"] == []
    with pytest.raises(getstack.StackError) as refused:
        stack.security_events.list(limit=101)
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_REQUEST")
    assert error(get(served, "/v1/security-events?page=0")) == (400, "INVALID_REQUEST")


def test_only_the_accounts_operator_may_look(stack: Any, served: Any) -> None:
    noticed(stack)
    (event,) = stack.security_events.list()["events"]
    for key in (MEMBER, READER, issue(stack, ttl_seconds=700).token):
        assert error(get(served, "/v1/security-events", key)) == (403, "FORBIDDEN")
        assert error(get(served, f"/v1/security-events/{event['id']}", key)) == (403, "FORBIDDEN")
        assert error(post(served, f"/v1/security-events/{event['id']}/resolve", None, key)) == (403, "FORBIDDEN")
    assert get(served, "/v1/security-events", OTHER).json()["events"] == []
    assert error(get(served, f"/v1/security-events/{event['id']}", OTHER)) == (404, "NOT_FOUND")
    assert error(post(served, f"/v1/security-events/{event['id']}/resolve", None, OTHER)) == (404, "NOT_FOUND")
    with pytest.raises(getstack.NotFoundError):
        stack.security_events.resolve("sev_none")
    assert stack.security_events.list()["unresolved_count"] == 1


def test_events_are_tools(stack: Any, served: Any) -> None:
    noticed(stack)
    tools = McpTools(served.base_url, OPERATOR)
    (event,) = tools("stack_list_security_events")["events"]
    assert tools("stack_get_security_event", event_id=event["id"]) == event
    assert tools("stack_resolve_security_event", event_id=event["id"])["resolved"] is True
    assert tools("stack_list_security_events")["unresolved_count"] == 0
    refused, failed = McpTools(served.base_url, OTHER).result("stack_get_security_event", event_id=event["id"])
    assert (failed, refused["error"]["code"]) == (True, "NOT_FOUND")
