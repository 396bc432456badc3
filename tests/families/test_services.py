"""Services: the catalogue, connecting in every form the SDK has used, verifying, listing and disconnecting."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import service_catalogue
from stack_emu.domain.state import Connection, Grant, NamedIntent, Passport
from tests.families.drivers import McpTools, SdkFactory

KEY, MEMBER, READER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_read", "sk_live_emu_other"
SECRET = "xoxb-very-secret-token"
WORLD = f"""
stack_emu: 1
clock: {{mode: virtual}}
operators:
  - id: op_emu
    keys:
      - {{key: {KEY}}}
      - {{key: {MEMBER}, role: standard, member: dev@acme.test, allowed_connections: [scon_slack]}}
      - {{key: {READER}, role: readonly, member: read@acme.test}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agt_bot, name: bot, accountability_mode: logged}}
  - {{id: agt_helper, name: helper, accountability_mode: logged}}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write]
    grants: [{{agent: bot}}, {{agent: helper}}]
    intents: [{{name: slack.post, constraints: [{{path: method, op: eq, value: POST}}]}}]
  - id: scon_github
    provider: github
    scopes: [repo]
    credential: {{text: ghp_secret_text, expires: +1h}}
    grants: [{{agent: bot}}]
missions:
  - {{id: ms_bot, agent: bot, intent: Announce}}
  - {{id: ms_helper, agent: helper, intent: Help}}
passports:
  - {{id: pp_slack, agent: bot, mission: ms_bot, services: [slack], env: P1}}
  - {{id: pp_github, agent: bot, mission: ms_bot, services: [github], env: P2}}
  - {{id: pp_helper, agent: helper, mission: ms_helper, env: P3}}
upstreams:
  slack: {{hosts: [slack.com]}}
  incidents: {{hosts: [incidents.example.com]}}
"""


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def everything_kept(served: Any) -> str:
    """All text the world keeps outside the vault: journal and audit rows."""
    entries = [vars(entry) for entry in served.world.journal.entries()]
    return json.dumps([entries, [row.metadata for row in served.rows()]], default=str)


def test_the_catalogue_and_the_templates_are_bare_arrays(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    client = sdk(serve(WORLD).base_url, KEY)
    available = {entry["provider"]: entry for entry in client.services.list_available()}
    assert (available["slack"]["id"], available["slack"]["auth_type"], available["slack"]["connected"]) == (
        "svc_slack",
        "oauth",
        True,
    )
    assert available["stripe"]["connected"] is False
    assert "incidents" in available, "the scenario's own upstreams can be connected"
    templates = {entry["provider"]: entry for entry in client.services.list_templates()}
    assert [field["name"] for field in templates["twilio"]["fields"]] == ["account_sid", "auth_token"]
    assert "slack" not in templates


def test_connected_services_show_no_credential(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    listed = sdk(served.base_url, KEY).services.list()
    assert [one["id"] for one in listed] == ["scon_slack", "scon_github"]
    assert (listed[0]["scopes"], listed[0]["intents"], listed[0]["verified"]) == (["chat:write"], ["slack.post"], True)
    assert "credential" not in listed[0]
    text = httpx.get(f"{served.base_url}/v1/services/connections", headers=bearer()).text
    assert json.loads(text) == listed, "the path of sdk 0.13 is an alias"
    assert "ghp_secret_text" not in text
    assert "canary" not in text


def test_a_member_sees_only_allowed_connections(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    assert [one["id"] for one in sdk(served.base_url, MEMBER).services.list()] == ["scon_slack"]
    assert sdk(served.base_url, OTHER).services.list() == []


def test_an_enrolled_agent_sees_only_what_it_was_granted(serve: Callable[..., Any], sdk: SdkFactory, home: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY, agent_id="agt_helper")
    assert [one["id"] for one in client.services.list()] == ["scon_slack"]
    with pytest.raises(getstack.ForbiddenError):
        client.services.disconnect("scon_slack")


def test_connecting_stores_the_secret_and_shows_it_nowhere(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    made = client.services.connect("svc_slack", SECRET, ["chat:write", "chat:write", "users:read"])
    assert made["id"].startswith("scon_")
    assert (made["service_id"], made["provider"], made["scopes"]) == (
        "svc_slack",
        "slack",
        ["chat:write", "users:read"],
    )
    assert SECRET not in json.dumps(made)
    kept = served.world.store.get(Connection, made["id"])
    assert (kept.credential, kept.upstream, kept.connected_by) == (SECRET, "slack", "op_emu")
    row = served.rows()[-1]
    assert (row.action, row.outcome, row.metadata["connection"]) == ("service.connect", "success", made["id"])
    assert SECRET not in everything_kept(served)
    assert served.world.redactor.names_in(SECRET) == [made["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"service_id": "svc_github", "provider": "github", "credential": SECRET},
        {"provider": "github", "credential": SECRET, "scopes": ["repo"]},
        {"service_id": "svc_twilio", "credential": {"account_sid": "AC1", "auth_token": SECRET}},
        {"provider": "incidents", "credential": SECRET},
    ],
)
def test_older_forms_of_connect_work(serve: Callable[..., Any], body: dict[str, Any]) -> None:
    served = serve(WORLD)
    response = httpx.post(f"{served.base_url}/v1/services/connect", json=body, headers=bearer())
    assert response.status_code == 201, response.text
    assert served.world.store.get(Connection, response.json()["id"]).credential == body["credential"]
    assert SECRET not in everything_kept(served)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"oauth_token": SECRET, "scopes": ["a"]}, 400, "service_id"),
        ({"service_id": "svc_slack", "scopes": ["a"]}, 400, "consent pages are not emulated"),
        ({"service_id": "svc_slack", "oauth_token": SECRET}, 400, "at least one scope"),
        ({"service_id": "svc_slack", "oauth_token": SECRET, "scopes": []}, 400, "scopes"),
        ({"service_id": "svc_slack", "provider": "github", "oauth_token": SECRET, "scopes": ["a"]}, 400, "github"),
        ({"provider": "slack", "oauth_token": SECRET, "credential": SECRET, "scopes": ["a"]}, 400, "not both"),
        ({"provider": "slack", "credential": {}}, 400, "credential"),
        ({"service_id": "svc_nowhere", "oauth_token": SECRET, "scopes": ["a"]}, 404, "connect it as a custom service"),
    ],
)
def test_a_connect_that_cannot_be_says_why_and_keeps_no_secret(
    serve: Callable[..., Any], body: dict[str, Any], status: int, said: str
) -> None:
    served = serve(WORLD)
    response = httpx.post(f"{served.base_url}/v1/services/connect", json=body, headers=bearer())
    assert response.status_code == status
    assert said in response.json()["error"]["message"]
    assert SECRET not in response.text + everything_kept(served)
    assert served.world.store.count(Connection) == 2


def test_a_custom_service_gets_a_provider_key_from_its_name(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    crm = client.services.connect_custom("Internal CRM", SECRET, description="Customers")
    assert (crm["provider"], crm["name"], crm["description"]) == ("custom_internal_crm", "Internal CRM", "Customers")
    pair = {"username": "emu-user", "password": "emu-password"}
    incidents = client.services.connect_custom("Incidents!", pair, scopes=["read"])
    kept = served.world.store.get(Connection, incidents["id"])
    assert (kept.provider, kept.upstream, kept.credential) == ("custom_incidents", "incidents", pair)
    assert service_catalogue.injected(kept.provider, kept.credential)[0]["Authorization"].startswith("Basic ")
    assert "emu-password" not in everything_kept(served)


def test_connecting_needs_a_role_and_a_key_without_connection_limits(
    serve: Callable[..., Any], sdk: SdkFactory
) -> None:
    served = serve(WORLD)
    with pytest.raises(getstack.ForbiddenError, match="needs role standard"):
        sdk(served.base_url, READER).services.connect_custom("mine", SECRET)
    with pytest.raises(getstack.ForbiddenError, match="limited to its allowed_connections"):
        sdk(served.base_url, MEMBER).services.connect_custom("mine", SECRET)
    with pytest.raises(getstack.UnauthorizedError):
        sdk(served.base_url, "sk_live_nobody").services.connect_custom("mine", SECRET)
    assert SECRET not in everything_kept(served)


def test_verifying_says_whether_the_credential_has_expired(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    assert client.services.verify("scon_github")["verified"] is True
    served.advance(3_600_000)
    expired = client.services.verify("scon_github")
    assert (expired["verified"], expired["status"]) == (False, "expired")
    assert client.services.list()[1]["verified"] is False
    assert [row.metadata["verified"] for row in served.rows() if row.action == "service.verify"] == [True, False]
    with pytest.raises(getstack.NotFoundError):
        client.services.verify("scon_none")
    with pytest.raises(getstack.ForbiddenError, match="its allowed_connections are: scon_slack"):
        sdk(served.base_url, MEMBER).services.verify("scon_github")


@pytest.mark.parametrize("path", ["/v1/services/scon_slack/disconnect", "/v1/services/connections/scon_slack"])
def test_disconnecting_takes_credential_grants_and_the_passports_that_use_it(
    serve: Callable[..., Any], path: str
) -> None:
    served = serve(WORLD)
    reply = httpx.delete(served.base_url + path, headers=bearer()).json()
    assert (reply["revoked_grants"], reply["revoked_passports"]) == (2, 2)
    store = served.world.store
    assert store.get(Connection, "scon_slack") is None
    assert [grant.id for grant in store.all(Grant)] == ["agt_bot/scon_github"]
    assert store.count(NamedIntent) == 0
    revoked = {passport.id: passport.revocation for passport in store.all(Passport)}
    assert revoked == {"pp_slack": "service", "pp_github": None, "pp_helper": "service"}
    rows = [(row.action, row.metadata.get("subject")) for row in served.rows()]
    assert rows == [("service.disconnect", None), ("passport.revoke", "pp_helper"), ("passport.revoke", "pp_slack")]
    assert httpx.delete(served.base_url + path, headers=bearer()).status_code == 404


def test_the_sdk_disconnects(serve: Callable[..., Any], sdk: SdkFactory) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY)
    assert client.services.disconnect("scon_github")["disconnected"] is True
    with pytest.raises(getstack.NotFoundError):
        client.services.disconnect("scon_github")
    with pytest.raises(getstack.NotFoundError):
        sdk(served.base_url, OTHER).services.disconnect("scon_slack")


def test_the_tools_do_what_the_routes_do(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    tools = McpTools(served.base_url, KEY)
    assert "svc_slack" in json.dumps(tools("stack_list_available_services"))
    assert "auth_token" in json.dumps(tools("stack_list_credential_templates"))
    made = tools("stack_connect_service", service_id="svc_slack", oauth_token=SECRET, scopes=["chat:write"])
    custom = tools("stack_connect_custom_service", name="My Own", credential={"token": SECRET})
    assert custom["provider"] == "custom_my_own"
    listed = json.dumps(tools("stack_list_services"))
    assert made["id"] in listed
    assert tools("stack_verify_connection", connection_id=made["id"])["verified"] is True
    assert tools("stack_disconnect_service", connection_id=made["id"])["disconnected"] is True
    assert SECRET not in everything_kept(served)


@pytest.mark.parametrize(
    ("provider", "credential", "headers", "query"),
    [
        ("slack", "tok", {"Authorization": "Bearer tok"}, {}),
        ("anthropic", "key", {"x-api-key": "key"}, {}),
        ("trello", {"api_key": "k", "token": "t"}, {}, {"key": "k", "token": "t"}),
        ("twilio", {"account_sid": "a", "auth_token": "b"}, {"Authorization": "Basic YTpi"}, {}),
        ("custom_x", {"token": "t"}, {"Authorization": "Bearer t"}, {}),
        ("custom_x", {"X-One": "1", "X-Two": "2"}, {"X-One": "1", "X-Two": "2"}, {}),
        ("datadog", "one-key", {"Authorization": "Bearer one-key"}, {}),
        ("slack", {"username": "u", "password": "p"}, {"Authorization": "Basic dTpw"}, {}),
    ],
)
def test_the_catalogue_says_how_a_credential_is_sent(
    provider: str, credential: Any, headers: dict[str, str], query: dict[str, str]
) -> None:
    assert service_catalogue.injected(provider, credential) == (headers, query)


def test_every_provider_is_listed_once_and_can_be_injected() -> None:
    slugs = [provider.slug for provider in service_catalogue.PROVIDERS]
    assert slugs == sorted(set(slugs))
    for provider in service_catalogue.PROVIDERS:
        credential = {name: f"<{name}>" for name in provider.fields} or "<credential>"
        headers, query = service_catalogue.injected(provider.slug, credential)
        assert headers or query
        assert not [value for value in (*headers.values(), *query.values()) if "{" in value]
