"""The eight checks of the proxy: each refuses for its own reason, in the documented order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import getstack
import pytest

from stack_emu.domain.meters import MeterMonth
from stack_emu.domain.state import Agent, Connection, Mission, Passport, SecurityEvent
from tests.families.proxy_world import (
    ECHO,
    OPERATOR,
    POST_MESSAGE,
    WORLD,
    last_row,
    mission,
    operations,
    raw_proxy,
    token,
)


def change(served: Any, kind: type[Any], key: str, **fields: Any) -> None:
    store = served.world.store
    served.call(lambda: store.put(replace(store.get(kind, key), **fields)))


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(getstack.StackError) as caught:
        call()
    return caught.value.status_code, caught.value.code


def test_a_revoked_passport_is_refused_on_the_very_next_call(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    assert client.proxy.get("echo", ECHO, passport_token=passport).status == 200
    client.passports.revoke("pp_one")
    with pytest.raises(getstack.UnauthorizedError) as caught:
        client.proxy.get("echo", ECHO, passport_token=passport)
    assert caught.value.code == "PASSPORT_REVOKED"
    row = last_row(served)
    assert (row.outcome, row.error_code, row.agent_id, row.passport_jti) == (
        "blocked",
        "PASSPORT_REVOKED",
        "agent_bot",
        "pp_one",
    )
    assert refusal(lambda: sdk(served.base_url, passport).proxy.get("echo", ECHO)) == (401, "PASSPORT_REVOKED")


def test_a_revocation_reaches_the_proxy_after_the_propagation_time(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD + "revocation: {propagation: 45s}\n")
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    client.passports.revoke("pp_one")
    served.advance(44_999)
    assert client.proxy.get("echo", ECHO, passport_token=passport).status == 200
    served.advance(1)
    assert refusal(lambda: client.proxy.get("echo", ECHO, passport_token=passport)) == (401, "PASSPORT_REVOKED")


def test_an_expired_passport_and_a_token_of_elsewhere_are_unauthorized(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    forged = passport[:-6] + ("AAAAAA" if not passport.endswith("AAAAAA") else "BBBBBB")
    assert refusal(lambda: client.proxy.get("echo", ECHO, passport_token=forged)) == (401, "UNAUTHORIZED")
    served.advance(900_000)
    assert refusal(lambda: client.proxy.get("echo", ECHO, passport_token=passport)) == (401, "PASSPORT_EXPIRED")


def test_a_passport_of_another_account_is_refused(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    assert refusal(lambda: client.proxy.get("echo", ECHO, passport_token=token(served, "pp_foreign"))) == (
        403,
        "FORBIDDEN",
    )
    assert (last_row(served).agent_id, last_row(served).passport_jti) == (None, None)


def test_a_passport_bearer_acts_under_itself_only(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, token(served))
    assert client.proxy.get("echo", ECHO, passport_token=token(served)).status == 200
    other = token(served, "pp_strict")
    assert refusal(lambda: client.proxy.get("echo", ECHO, passport_token=other)) == (403, "FORBIDDEN")


def test_an_agent_jwt_proxies_with_a_passport_of_its_own_agent_only(
    serve: Callable[..., Any], sdk: Any, home: Any
) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR, agent_id="agent_bot")
    assert client.proxy.get("echo", ECHO, passport_token=token(served)).status == 200
    assert last_row(served).passport_jti == "pp_one"
    assert refusal(lambda: client.proxy.get("echo", ECHO)) == (401, "UNAUTHORIZED")
    assert refusal(lambda: client.proxy.get("slack", ECHO, passport_token=token(served, "pp_strict"))) == (
        403,
        "FORBIDDEN",
    )


@pytest.mark.parametrize(
    ("kind", "key", "fields", "expected"),
    [
        (Agent, "agent_bot", {"status": "suspended"}, (403, "FORBIDDEN")),
        (Agent, "agent_bot", {"deleted": True}, (403, "FORBIDDEN")),
        (Agent, "agent_bot", {"passport_blocked": True}, (403, "PASSPORT_BLOCKED")),
        (Passport, "pp_one", {"checked_out_at": 1}, (403, "FORBIDDEN")),
        (Mission, "ms_one", {"status": "completed"}, (403, "MISSION_ENDED")),
        (Mission, "ms_one", {"status": "revoked"}, (403, "MISSION_ENDED")),
        (Connection, "scon_echo", {"status": "disconnected"}, (403, "FORBIDDEN")),
        (Connection, "scon_echo", {"credential_expires_at": 1}, (409, "CONFLICT")),
    ],
)
def test_what_a_passport_rests_on_must_be_alive(
    serve: Callable[..., Any], sdk: Any, kind: type[Any], key: str, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    served = serve(WORLD)
    passport = token(served)
    change(served, kind, key, **fields)
    client = sdk(served.base_url, OPERATOR)
    assert refusal(lambda: client.proxy.get("echo", ECHO, passport_token=passport)) == expected
    assert last_row(served).outcome == "blocked"
    assert not operations(served)


def test_the_tiers_monthly_calls_run_out_and_come_back_with_the_month(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD.replace("- id: op_emu\n", "- id: op_emu\n    tier: free\n") + "", clock="virtual")
    client = sdk(served.base_url, OPERATOR)
    period = client.proxy.usage()["period"]
    served.call(lambda: served.world.store.put(MeterMonth(f"op_emu/proxy_calls/{period}", 4_999)))
    assert client.proxy.get("echo", ECHO).status == 200
    usage = client.proxy.usage()
    assert usage == {"tier": "free", "limit": 5000, "used": 5000, "remaining": 0, "period": period}
    assert refusal(lambda: client.proxy.get("echo", ECHO)) == (403, "TIER_LIMIT_EXCEEDED")
    served.advance(31 * 86_400_000)
    assert client.proxy.get("echo", ECHO).status == 200


@pytest.mark.parametrize(
    ("limits", "what"),
    [({"max_actions": 1}, "actions"), ({"max_actions_per_service": {"echo": 1}}, "actions on echo")],
)
def test_a_missions_caps_stop_the_call_after_the_last_one_allowed(
    serve: Callable[..., Any], sdk: Any, limits: dict[str, Any], what: str
) -> None:
    served = serve(WORLD)
    change(served, Mission, "ms_one", limits=limits)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    assert client.proxy.get("echo", ECHO, passport_token=passport).status == 200
    with pytest.raises(getstack.ForbiddenError, match=what) as caught:
        client.proxy.get("echo", ECHO, passport_token=passport)
    assert (caught.value.code, caught.value.details["limit"]) == ("MISSION_LIMIT_EXCEEDED", 1)
    assert mission(served).actions == 1


def test_a_cap_on_actions_at_once_counts_calls_under_way(serve: Callable[..., Any]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    served = serve(WORLD)
    change(served, Mission, "ms_one", limits={"max_concurrent_actions": 1})
    passport = token(served)
    payload = {"service": "echo", "url": f"{ECHO}/slow"}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: raw_proxy(served, payload, X_Passport_Token=passport), range(4)))
    assert sorted(reply.status_code for reply in replies) == [200, 403, 403, 403]
    assert raw_proxy(served, payload, X_Passport_Token=passport).status_code == 200


@pytest.mark.parametrize(("jti", "severity"), [("pp_one", "warning"), ("pp_strict", "critical")])
def test_a_service_outside_the_passport_is_refused_and_leaves_a_signal(
    serve: Callable[..., Any], sdk: Any, jti: str, severity: str
) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served, jti)
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.proxy.get("github", "https://api.github.com/user", passport_token=passport)
    assert caught.value.code == "FORBIDDEN"
    assert "slack" in caught.value.details["granted_providers"]
    assert caught.value.details["missing_grant"]["service"] == "github"
    [event] = served.world.store.all(SecurityEvent)
    assert (event.signal_type, event.severity, event.passport_id) == ("credential_outside_scope", severity, jti)
    assert event.message == "Proxy request for github not in passport scope"
    assert set(event.metadata) == {"intent_services", "granted_providers"}
    actions = [row.action for row in served.rows()]
    assert actions[:2] == ["credential.proxy", "security.signal"]
    assert served.rows()[0].outcome == "blocked"

    def post() -> Any:
        return client.proxy.post("slack", POST_MESSAGE, body={"channel": "#eng", "text": "x"}, passport_token=passport)

    if severity == "warning":
        assert post().body["ok"] is True
        return
    # In enforced mode a critical signal revokes the passport.
    assert "passport.revoke" in actions
    assert refusal(post) == (401, "PASSPORT_REVOKED")


def test_a_service_the_intent_declares_without_a_grant_is_refused_without_a_signal(
    serve: Callable[..., Any], sdk: Any
) -> None:
    served = serve(WORLD)
    change(served, Passport, "pp_one", intent={"summary": "x", "services": ["slack", "github"]})
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.ForbiddenError, match="grant"):
        client.proxy.get("github", "https://api.github.com/user", passport_token=token(served))
    assert not list(served.world.store.all(SecurityEvent))


def test_a_constraint_that_fails_names_path_operator_expected_and_actual(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.proxy.post("slack", POST_MESSAGE, body={"channel": "#general"}, passport_token=token(served))
    assert caught.value.details["constraint"] == {
        "path": "body.channel",
        "op": "in",
        "expected": ["#eng", "#ops"],
        "got": "#general",
        "missing": False,
    }
    assert not served.world.settings["upstreams"].requests(served.world, "slack")
    assert not operations(served)


def test_the_grants_scopes_bind_the_call_even_when_the_connection_has_more(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD.replace('constraints: [{path: body.channel, op: in, value: ["#eng", "#ops"]}]', ""))
    client = sdk(served.base_url, OPERATOR)
    url = "https://slack.com/api/conversations.list"
    denied = client.proxy.get("slack", url, passport_token=token(served))
    assert (denied.status, denied.body["error"], denied.body["provided"]) == (200, "missing_scope", "chat:write")
    assert client.proxy.get("slack", url).body["ok"] is True


def test_two_connections_of_one_provider_are_told_apart_by_id(serve: Callable[..., Any], sdk: Any) -> None:
    second = "  - {id: scon_echo2, provider: echo, upstream: echo, grants: [{agent: bot}]}\n"
    served = serve(WORLD.replace("  - {id: scon_github", second + "  - {id: scon_github"))
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    with pytest.raises(getstack.StackError, match="scon_echo2") as caught:
        client.proxy.get("echo", ECHO, passport_token=passport)
    assert (caught.value.status_code, caught.value.code) == (409, "CONFLICT")
    for given in (passport, None):
        assert client.proxy.get("scon_echo2", ECHO, passport_token=given).status == 200
        assert last_row(served).metadata["connection"] == "scon_echo2"


def test_an_account_without_that_service_is_told_so(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    assert refusal(lambda: sdk(served.base_url, OPERATOR).proxy.get("notion", ECHO)) == (404, "NOT_FOUND")


def test_the_first_check_that_fails_is_the_one_that_answers(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD.replace("- id: op_emu\n", "- id: op_emu\n    tier: free\n"))
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    period = client.proxy.usage()["period"]

    def attempt() -> tuple[int, str]:
        # Also outside the passport, against the constraint, with an expired credential and without the placeholder.
        return refusal(
            lambda: client.proxy.post(
                "slack", "https://slack.com/{{account_id}}", body={"channel": "#no"}, passport_token=passport
            )
        )

    change(served, Connection, "scon_slack", credential_expires_at=1)
    served.call(lambda: served.world.store.put(MeterMonth(f"op_emu/proxy_calls/{period}", 5_000)))
    change(served, Passport, "pp_one", revoked_at=1, revoked_reason="drill", services=())
    assert attempt() == (401, "PASSPORT_REVOKED")
    change(served, Passport, "pp_one", revoked_at=None)
    assert attempt() == (403, "TIER_LIMIT_EXCEEDED")
    served.call(lambda: served.world.store.put(MeterMonth(f"op_emu/proxy_calls/{period}", 0)))
    assert attempt() == (403, "FORBIDDEN")
    scopes = served.world.store.get(Passport, "pp_strict").services
    change(served, Passport, "pp_one", services=scopes)
    assert attempt() == (409, "CONFLICT")
    change(served, Connection, "scon_slack", credential_expires_at=None)
    assert attempt() == (400, "INVALID_REQUEST")
    change(served, Connection, "scon_slack", account_id="A1")
    reply = client.proxy.post("slack", "https://slack.com/{{account_id}}", body={}, passport_token=passport)
    assert reply.status != 0
