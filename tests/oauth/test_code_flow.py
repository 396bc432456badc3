"""The code flow, step by step: what is let through, and how everything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stack_emu.kernel.audit import as_dict
from tests.oauth.dance import REDIRECT, STACK, VERIFIER, Dancer, back

WORLD = """
stack_emu: 1
clock: {mode: virtual, start: 2026-03-01T00:00:00Z}
oauth:
  clients:
    - {id: cli_demo, redirect_uris: ["http://127.0.0.1/callback"], scopes: [agents:read]}
    - {id: cli_kept, secret: a-secret-of-the-client, redirect_uris: ["https://app.example.com/cb"]}
"""
MINUTE = 60_000


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve(WORLD)


@pytest.fixture
def dancer(served: Any) -> Dancer:
    return Dancer(served.base_url, {"client_name": "Test"})


def actions(served: Any) -> list[tuple[str, str, str | None]]:
    return [(row.action, row.outcome, row.error_code) for row in served.rows()]


def test_a_code_becomes_tokens_that_let_their_holder_in(served: Any, dancer: Dancer) -> None:
    reply = dancer.authorize(scope="agents:read audit:read")
    sent = back(reply)
    assert reply.headers["Location"].startswith(f"{REDIRECT}?")
    assert (sent["state"], sent["iss"]) == ("the state", served.base_url)
    tokens = dancer.exchange(sent["code"])
    assert tokens.headers["Cache-Control"] == "no-store"
    body = tokens.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 300, "agents:read audit:read")
    assert dancer.get("/v1/agents", body["access_token"]).status_code == 200
    assert actions(served) == [
        ("oauth.register", "success", None),
        ("oauth.authorize", "success", None),
        ("oauth.token", "success", None),
    ]
    assert served.rows()[1].metadata["decision"] == "approved"


def test_a_scope_the_token_lacks_is_named(dancer: Dancer) -> None:
    tokens = dancer.sign_in(scope="agents:read")
    refused = dancer.get("/v1/audit", tokens["access_token"])
    assert refused.status_code == 403
    assert refused.json()["error"]["details"]["missing_scope"] == "audit:read"
    assert 'error="insufficient_scope", scope="audit:read"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "agents:read moon:walk"}, "invalid_scope"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "http://127.0.0.1:1/mcp"}, "invalid_target"),
    ],
)
def test_a_bad_request_goes_back_to_the_client_with_its_state(
    served: Any, dancer: Dancer, changed: dict[str, Any], error: str
) -> None:
    sent = back(dancer.authorize(**changed))
    assert (sent["error"], sent["state"], sent["iss"]) == (error, "the state", served.base_url)
    assert "code" not in sent
    assert actions(served)[-1] == ("oauth.authorize", "blocked", error)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5999/other",
        "http://127.0.0.1:5999/callback/",
        "http://127.0.0.1:5999/callback?x=1",
        "http://localhost:5999/callback",
        "http://127.0.0.1.example.com:5999/callback",
        "http://user@127.0.0.1:5999/callback",
        "https://127.0.0.1:5999/callback",
    ],
)
def test_a_redirect_that_is_not_registered_is_never_followed(served: Any, dancer: Dancer, uri: str) -> None:
    refused = dancer.authorize(redirect_uri=uri)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert "Location" not in refused.headers
    assert actions(served) == [("oauth.register", "success", None)]


def test_a_browser_is_shown_a_page_when_there_is_nowhere_to_go_back_to(served: Any, dancer: Dancer) -> None:
    url = f"{served.base_url}/oauth/authorize?client_id=cli_nobody"
    refused = dancer.http.get(url, headers={"Accept": "text/html,*/*"})
    assert refused.headers["Content-Type"].startswith("text/html")
    assert "frame-ancestors 'none'" in refused.headers["Content-Security-Policy"]


def test_any_port_does_on_loopback(served: Any, dancer: Dancer) -> None:
    sent = dancer.authorize(redirect_uri="http://127.0.0.1:6001/callback")
    assert sent.headers["Location"].startswith("http://127.0.0.1:6001/callback?code=")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:6001/callback"}, "invalid_grant"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"code": "oac_unknown"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"client_id": "cli_demo"}, "invalid_grant"),
        ({"client_id": "cli_nobody"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_good_for_its_client_and_verifier_only(dancer: Dancer, changed: dict[str, Any], error: str) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": back(dancer.authorize())["code"],
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **changed,
    }
    refused = dancer.token(**form)
    assert (refused.status_code, refused.json()["error"]) == (401 if error == "invalid_client" else 400, error)
    assert refused.json()["error_description"]


def test_a_missing_verifier_or_redirect_is_a_refusal(dancer: Dancer) -> None:
    code = back(dancer.authorize())["code"]
    for absent in ("code_verifier", "redirect_uri"):
        form = {"code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        form.pop(absent)
        assert dancer.token(grant_type="authorization_code", **form).json()["error"] == "invalid_grant"
    assert dancer.exchange(code).status_code == 200


def test_a_code_that_comes_twice_takes_back_what_it_gave(served: Any, dancer: Dancer) -> None:
    code = back(dancer.authorize())["code"]
    tokens = dancer.exchange(code).json()
    again = dancer.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert dancer.get("/v1/agents", tokens["access_token"]).status_code == 401
    assert dancer.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert ("oauth.code_reuse", "blocked", None) in actions(served)


def test_codes_and_tokens_expire_by_the_worlds_clock(served: Any, dancer: Dancer) -> None:
    late = back(dancer.authorize())["code"]
    tokens = dancer.sign_in()
    served.advance(5 * MINUTE - 1)
    assert dancer.get("/v1/agents", tokens["access_token"]).status_code == 200
    served.advance(1)
    refused = dancer.get("/v1/agents", tokens["access_token"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert "expired" in refused.json()["error"]["message"]
    assert "expired" in dancer.exchange(late).json()["error_description"]
    served.advance(30 * 24 * 60 * MINUTE)
    assert "expired" in dancer.refresh(tokens["refresh_token"]).json()["error_description"]


def test_a_refresh_token_is_replaced_and_its_reuse_ends_the_family(served: Any, dancer: Dancer) -> None:
    first = dancer.sign_in()
    second = dancer.refresh(first["refresh_token"], scope="agents:read").json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == "agents:read"
    served.advance(59_999)
    sibling = dancer.refresh(first["refresh_token"]).json()
    assert {dancer.get("/v1/agents", one["access_token"]).status_code for one in (first, second, sibling)} == {200}
    served.advance(1)
    assert dancer.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert ("oauth.refresh_reuse", "blocked", None) in actions(served)
    for one in (second, sibling):
        assert dancer.get("/v1/agents", one["access_token"]).status_code == 401
        assert dancer.refresh(one["refresh_token"]).json()["error"] == "invalid_grant"


def test_more_scopes_cannot_be_refreshed_into(dancer: Dancer) -> None:
    tokens = dancer.sign_in(scope="agents:read")
    refused = dancer.refresh(tokens["refresh_token"], scope="agents:read audit:read")
    assert (refused.json()["error"], "audit:read" in refused.json()["error_description"]) == ("invalid_scope", True)


def test_tokens_are_asked_about_and_taken_back(served: Any, dancer: Dancer) -> None:
    tokens = dancer.sign_in(scope="agents:read")

    def about(text: str, **form: Any) -> dict[str, Any]:
        asked = {"client_id": dancer.client_id, "token": text, **form}
        return dancer.http.post(f"{served.base_url}/oauth/introspect", data=asked).json()

    known = about(tokens["access_token"])
    assert (known["active"], known["scope"], known["sub"], known["aud"]) == (True, "agents:read", "op_emu", STACK)
    assert about(tokens["access_token"], client_id="cli_demo") == {"active": False}
    assert about("oat_unknown") == {"active": False}
    revoke = f"{served.base_url}/oauth/revoke"
    for who, still in (("cli_demo", True), (dancer.client_id, False)):
        done = dancer.http.post(revoke, data={"client_id": who, "token": tokens["access_token"]})
        assert (done.status_code, done.json()) == (200, {})
        assert about(tokens["access_token"])["active"] is still
    renewed = dancer.refresh(tokens["refresh_token"]).json()
    dancer.http.post(revoke, data={"client_id": dancer.client_id, "token": renewed["refresh_token"]})
    assert dancer.get("/v1/agents", renewed["access_token"]).status_code == 401
    assert about(renewed["refresh_token"]) == {"active": False}


def test_an_operator_key_may_ask_about_its_accounts_tokens(served: Any, dancer: Dancer) -> None:
    tokens = dancer.sign_in()
    headers = {"Authorization": "Bearer sk_live_emu_operator"}
    form = {"token": tokens["refresh_token"]}
    assert dancer.http.post(f"{served.base_url}/oauth/introspect", data=form, headers=headers).json()["active"] is True


def test_a_client_with_a_secret_has_to_prove_it(served: Any) -> None:
    client = Dancer(served.base_url)
    client.client_id, uri = "cli_kept", "https://app.example.com/cb"
    code = back(client.authorize(redirect_uri=uri))["code"]
    for secret in ({}, {"client_secret": "another-secret"}):
        refused = client.exchange(code, redirect_uri=uri, **secret)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": uri, "code_verifier": VERIFIER}
    basic = ("cli_kept", "a-secret-of-the-client")
    assert client.http.post(f"{served.base_url}/v1/oauth/token", data=form, auth=basic).status_code == 200


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": ["http://example.com/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example.com/cb#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"scope": "moon:walk"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
    ],
)
def test_metadata_that_cannot_be_is_refused_by_name(served: Any, metadata: dict[str, Any], error: str) -> None:
    client = Dancer(served.base_url)
    reply = client.http.post(f"{served.base_url}/oauth/register", json={"redirect_uris": [REDIRECT], **metadata})
    assert (reply.status_code, reply.json()["error"]) == (400, error)


def test_nothing_secret_is_in_journal_or_rows(served: Any, dancer: Dancer) -> None:
    code = back(dancer.authorize())["code"]
    tokens = dancer.exchange(code).json()
    dancer.refresh(tokens["refresh_token"])
    dancer.get(f"/v1/agents/{tokens['access_token']}", tokens["access_token"])
    kept = str([vars(one) for one in served.world.journal.entries()]) + str([as_dict(row) for row in served.rows()])
    for secret in (code, tokens["access_token"], tokens["refresh_token"], VERIFIER):
        assert secret not in kept


def test_state_returns_with_a_snapshot(served: Any, dancer: Dancer) -> None:
    tokens = dancer.sign_in()
    image = served.call(served.world.image)
    dancer.refresh(tokens["refresh_token"])
    served.advance(6 * MINUTE)
    served.call(lambda: served.world.restore(image))
    assert dancer.get("/v1/agents", tokens["access_token"]).status_code == 200
    served.call(served.hosted.reset)
    assert dancer.get("/v1/agents", tokens["access_token"]).status_code == 401
