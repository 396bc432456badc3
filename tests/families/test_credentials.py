"""Credentials: who is handed a secret, who is refused, and what the detectors make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain.state import Connection, Passport, SecurityEvent
from tests.families.drivers import McpTools, SdkFactory

KEY, MEMBER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_other"
WORLD = f"""
stack_emu: 1
clock: {{mode: virtual}}
operators:
  - id: op_emu
    keys:
      - {{key: {KEY}}}
      - {{key: {MEMBER}, role: readonly, member: dev@acme.test, allowed_connections: [scon_slack]}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agt_proxy, name: proxy, accountability_mode: logged}}
  - {{id: agt_direct, name: direct, accountability_mode: logged, credential_access: direct}}
  - {{id: agt_strict, name: strict, accountability_mode: enforced, credential_access: proxy_preferred}}
services:
  - id: scon_slack
    provider: slack
    credential: xoxb-slack-secret
    scopes: [chat:write]
    grants: [{{agent: proxy}}, {{agent: direct}}, {{agent: strict}}]
  - id: scon_datadog
    provider: datadog
    credential: {{fields: {{api_key: dd-api-secret, app_key: canary}}}}
    grants: [{{agent: direct}}]
  - id: scon_stripe
    provider: stripe
    credential: {{text: sk_stripe_secret, expires: +10m}}
    grants: [{{agent: direct}}]
  - {{id: scon_hub_one, provider: github, grants: [{{agent: direct}}]}}
  - {{id: scon_hub_two, provider: github, grants: [{{agent: direct}}]}}
  - {{id: scon_deep, provider: a.b_c}}
missions:
  - {{id: ms_direct, agent: direct, intent: Look}}
  - {{id: ms_strict, agent: strict, intent: Look}}
  - {{id: ms_proxy, agent: proxy, intent: Look}}
passports:
  - {{id: pp_slack, agent: direct, mission: ms_direct, services: [slack], env: P1}}
  - {{id: pp_hub, agent: direct, mission: ms_direct, services: [scon_hub_two], env: P2}}
  - {{id: pp_strict, agent: strict, mission: ms_strict, ttl: 5m, env: P3}}
  - {{id: pp_proxy, agent: proxy, mission: ms_proxy, env: P4}}
"""


def token_of(served: Any, jti: str) -> str:
    from stack_emu.domain.passports import token_for

    return str(served.call(lambda: token_for(served.world, served.world.store.get(Passport, jti))))


def test_a_credential_of_one_text_and_one_of_fields_have_their_own_shapes(
    serve: Callable[..., Any], sdk: SdkFactory
) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    slack = client.credentials.get("slack")
    assert (slack.provider, slack.credential, slack.credentials) == ("slack", "xoxb-slack-secret", None)
    datadog = client.credentials.get_by_connection("scon_datadog")
    assert datadog.credential is None
    assert datadog.credentials["api_key"] == "dd-api-secret"
    assert datadog.credentials["app_key"].startswith("canary-")
    assert served.world.store.get(Connection, "scon_slack").retrieved is True
    assert served.world.store.get(Connection, "scon_stripe").retrieved is False
    row = served.rows()[0]
    assert (row.action, row.layer, row.outcome) == ("credential.retrieve", "vault", "success")
    assert row.metadata == {"service": "slack", "connection": "scon_slack"}
    kept = json.dumps([[row.metadata for row in served.rows()], [vars(one) for one in served.world.journal.entries()]])
    assert "xoxb-slack-secret" not in kept
    assert "dd-api-secret" not in kept


def test_an_absent_form_is_null_in_the_reply(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    headers = {"Authorization": f"Bearer {KEY}"}
    reply = httpx.get(f"{served.base_url}/v1/credentials/slack", headers=headers).json()
    assert reply == {"provider": "slack", "credential": "xoxb-slack-secret", "credentials": None}


def test_a_provider_shared_by_several_connections_is_ambiguous(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    with pytest.raises(getstack.StackError) as caught:
        client.credentials.get("github")
    assert (caught.value.status_code, caught.value.code) == (409, "CONFLICT")
    assert caught.value.details["connection_ids"] == ["scon_hub_one", "scon_hub_two"]
    assert "scon_hub_one, scon_hub_two" in str(caught.value)
    assert client.credentials.get_by_connection("scon_hub_two").provider == "github"
    chosen = client.credentials.get("github", passport_token=token_of(served, "pp_hub"))
    assert chosen.provider == "github"
    assert served.rows()[-1].metadata["connection"] == "scon_hub_two", "the passport's connection wins"


def test_what_is_not_there_or_anothers_is_not_found(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    for attempt in (
        lambda: sdk(served.base_url, KEY).credentials.get("gitlab"),
        lambda: sdk(served.base_url, KEY).credentials.get("custom/with/slashes"),
        lambda: sdk(served.base_url, KEY).credentials.get_by_connection("scon_none"),
        lambda: sdk(served.base_url, OTHER).credentials.get("slack"),
        lambda: sdk(served.base_url, OTHER).credentials.get_by_connection("scon_slack"),
    ):
        with pytest.raises(getstack.NotFoundError):
            attempt()
    rows = served.rows()
    assert [row.error_code for row in rows] == ["NOT_FOUND"] * 3
    assert rows[1].metadata["service"] == "custom/with/slashes"


def test_a_readonly_member_retrieves_allowed_connections_only(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, MEMBER)
    assert client.credentials.get("slack").credential == "xoxb-slack-secret"
    for attempt in (
        lambda: client.credentials.get("stripe"),
        lambda: client.credentials.get_by_connection("scon_stripe"),
    ):
        with pytest.raises(getstack.ForbiddenError, match="allowed_connections are: scon_slack"):
            attempt()
    with pytest.raises(getstack.UnauthorizedError):
        sdk(served.base_url, "sk_live_nobody").credentials.get("slack")


def test_an_expired_credential_is_not_handed_out(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    assert client.credentials.get("stripe").credential == "sk_stripe_secret"
    served.advance(600_000)
    with pytest.raises(getstack.StackError, match="connect stripe again") as caught:
        client.credentials.get("stripe")
    assert caught.value.status_code == 409


def test_a_proxy_only_agent_never_gets_a_credential(serve: Callable[..., Any], sdk: SdkFactory, home: Any) -> None:
    served = serve(WORLD)
    agent = sdk(served.base_url, KEY, agent_id="agt_proxy")
    operator = sdk(served.base_url, KEY)
    for attempt in (
        lambda: agent.credentials.get("slack"),
        lambda: agent.credentials.get_by_connection("scon_slack"),
        lambda: operator.credentials.get("slack", passport_token=token_of(served, "pp_proxy")),
    ):
        with pytest.raises(getstack.ForbiddenError, match="proxy_only") as caught:
            attempt()
        assert "through the proxy" in str(caught.value)
        assert caught.value.details["credential_access"] == "proxy_only"
    assert served.world.store.get(Connection, "scon_slack").retrieved is False
    row = served.rows()[-1]
    assert (row.agent_id, row.passport_jti, row.outcome) == ("agt_proxy", "pp_proxy", "blocked")


def test_a_direct_agent_gets_what_it_was_granted(serve: Callable[..., Any], sdk: SdkFactory, home: Any) -> None:
    served = serve(WORLD)
    agent = sdk(served.base_url, KEY, agent_id="agt_direct")
    assert agent.credentials.get("slack").credential == "xoxb-slack-secret"
    assert agent.credentials.get("slack", passport_token=token_of(served, "pp_slack")).provider == "slack"
    with pytest.raises(getstack.ForbiddenError, match="has no grant"):
        agent.credentials.get_by_connection("scon_deep")
    row = served.rows()[-2]
    assert (row.agent_id, row.passport_jti, row.metadata["mission"]) == ("agt_direct", "pp_slack", "ms_direct")


def test_an_agent_cannot_present_another_agents_passport(serve: Callable[..., Any], sdk: SdkFactory, home: Any) -> None:
    served = serve(WORLD)
    agent = sdk(served.base_url, KEY, agent_id="agt_direct")
    with pytest.raises(getstack.ForbiddenError, match="is not one of agent agt_direct"):
        agent.credentials.get("slack", passport_token=token_of(served, "pp_proxy"))
    with pytest.raises(getstack.ForbiddenError, match="is not one of this account"):
        sdk(served.base_url, OTHER).credentials.get("slack", passport_token=token_of(served, "pp_slack"))


def test_a_passport_is_no_bearer_for_credentials(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    with pytest.raises(getstack.ForbiddenError, match="cannot be called with a passport"):
        sdk(served.base_url, token_of(served, "pp_slack")).credentials.get("slack")


def test_a_dead_or_broken_passport_is_refused(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    token = token_of(served, "pp_slack")
    with pytest.raises(getstack.UnauthorizedError):
        client.credentials.get("slack", passport_token=token[:-4] + "AAAA")
    client.passports.revoke("pp_slack")
    with pytest.raises(getstack.UnauthorizedError) as caught:
        client.credentials.get("slack", passport_token=token)
    assert caught.value.code == "PASSPORT_REVOKED"


def test_a_credential_outside_the_passport_is_refused_and_noted(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    with pytest.raises(getstack.ForbiddenError, match="Passport pp_slack does not reach scon_stripe"):
        client.credentials.get("stripe", passport_token=token_of(served, "pp_slack"))
    (event,) = served.world.store.all(SecurityEvent)
    assert (event.signal_type, event.severity, event.passport_id) == ("credential_outside_scope", "warning", "pp_slack")
    assert event.metadata == {"intent_services": ["slack"], "granted_providers": ["slack"]}
    assert [(row.action, row.outcome) for row in served.rows()] == [
        ("credential.retrieve", "blocked"),
        ("security.signal", "success"),
    ]
    assert served.world.store.get(Connection, "scon_stripe").retrieved is False


def test_reaching_outside_the_passport_costs_an_enforced_agent_its_passport(
    serve: Callable[..., Any], sdk: SdkFactory
) -> None:
    deep = "{id: scon_deep, provider: deep, grants: [{agent: strict}]}"
    served = serve(
        WORLD.replace("{id: scon_deep, provider: a.b_c}", deep).replace(
            "mission: ms_strict, ttl: 5m", "mission: ms_strict, ttl: 5m, services: [slack]"
        )
    )
    client = sdk(served.base_url, KEY)
    token = token_of(served, "pp_strict")
    assert client.credentials.get("slack", passport_token=token).provider == "slack"
    with pytest.raises(getstack.ForbiddenError):
        client.credentials.get("deep", passport_token=token)
    assert served.world.store.get(Passport, "pp_strict").revocation == "detector"
    with pytest.raises(getstack.UnauthorizedError):
        client.credentials.get("slack", passport_token=token)


def test_more_than_ten_retrievals_in_a_minute_are_a_burst(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    token = token_of(served, "pp_slack")

    def retrieve(times: int) -> int:
        for _ in range(times):
            client.credentials.get("slack", passport_token=token)
        return int(served.world.store.count(SecurityEvent))

    assert retrieve(10) == 0
    served.advance(60_000)
    assert retrieve(10) == 0, "the window has moved on"
    assert retrieve(1) == 1
    (event,) = served.world.store.all(SecurityEvent)
    assert (event.signal_type, event.severity, event.agent_id) == ("credential_burst", "warning", "agt_direct")
    assert event.message == "Agent retrieved 11 credentials within 60 seconds"
    assert event.metadata == {"credential_count": 11, "time_window_seconds": 60}
    assert retrieve(10) == 1, "counting starts again after a burst"
    assert retrieve(1) == 2


def test_an_operator_retrieving_for_itself_is_no_burst(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    for _ in range(12):
        client.credentials.get("slack")
    assert served.world.store.count(SecurityEvent) == 0


def test_the_tools_do_what_the_routes_do(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    tools = McpTools(served.base_url, KEY)
    assert tools("stack_get_credential", provider="slack")["credential"] == "xoxb-slack-secret"
    fields = tools("stack_get_credential_by_connection", connection_id="scon_datadog")["credentials"]
    assert fields["api_key"] == "dd-api-secret"
    refusal, failed = tools.result(
        "stack_get_credential", provider="slack", passport_token=token_of(served, "pp_proxy")
    )
    assert failed
    assert refusal["error"]["code"] == "FORBIDDEN"
