"""Consent pages, the device flow, and the page that enrolls an agent's key: pressed by a person, or answered by the scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.oauth.dance import DEVICE_GRANT, EXCHANGE_GRANT, JWT_TYPE, Dancer, back

PAGE = "stack_emu: 1\nclock: {mode: virtual, start: 2026-03-01T00:00:00Z}\noauth: {consent: page}\n"
AGENT = "agents: [{id: agt_one, name: one}]\n"
TWO = """
operators:
  - {id: op_north, keys: [{key: sk_live_emu_north}]}
  - {id: op_south, keys: [{key: sk_live_emu_south}]}
agents: [{id: agt_south, name: south, operator: op_south}]
"""
DEVICE = {"grant_types": [DEVICE_GRANT, "refresh_token"], "client_name": "<b>Box</b>"}
CALLBACK = "http://127.0.0.1:5998/cb"


def page_of(dancer: Dancer, **asked: Any) -> httpx.Response:
    sent = dancer.authorize(**asked)
    page = dancer.http.get(sent.headers["Location"])
    assert page.status_code == 200, page.text
    return page


def test_the_page_says_in_words_what_is_asked_and_approves_it(serve: Callable[..., Any]) -> None:
    served = serve(PAGE)
    dancer = Dancer(served.base_url, {"client_name": "<b>Sneaky</b>"})
    page = page_of(dancer, scope="agents:read credentials:read")
    assert "read the credentials of connected services" in page.text
    assert "issue, refresh" not in page.text
    assert "<b>Sneaky</b>" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:5999" in policy
    assert "script" not in page.text
    sent = back(dancer.submit(page, "approve"))
    assert (sent["state"], sent["iss"]) == ("the state", served.base_url)
    assert dancer.exchange(sent["code"]).json()["scope"] == "agents:read credentials:read"
    again = dancer.submit(page, "deny")
    assert again.status_code == 409
    assert [(row.action, row.metadata.get("decision")) for row in served.rows()][1:3] == [
        ("oauth.authorize", "asked"),
        ("oauth.consent", "approved"),
    ]


def test_denying_sends_the_browser_back_with_access_denied(serve: Callable[..., Any]) -> None:
    served = serve(PAGE)
    dancer = Dancer(served.base_url, {})
    sent = back(dancer.submit(page_of(dancer), "deny"))
    assert (sent["error"], sent["state"]) == ("access_denied", "the state")
    row = served.rows()[-1]
    assert (row.action, row.outcome, row.error_code) == ("oauth.consent", "blocked", "access_denied")


def test_a_scenario_can_deny_at_once(serve: Callable[..., Any]) -> None:
    dancer = Dancer(serve("stack_emu: 1\noauth: {consent: deny}\n").base_url, {})
    assert back(dancer.authorize())["error"] == "access_denied"


def test_a_form_of_another_page_or_origin_decides_nothing(serve: Callable[..., Any]) -> None:
    served = serve(PAGE)
    dancer = Dancer(served.base_url, {})
    page = page_of(dancer)
    assert dancer.submit(page, "approve", csrf="made-up").status_code == 403
    url = str(page.url)
    for origin in ("http://127.0.0.1:1", "https://evil.example", "null"):
        refused = dancer.http.post(url, data={"decision": "approve"}, headers={"Origin": origin})
        assert refused.status_code == 403
    assert [row.action for row in served.rows()] == ["oauth.register", "oauth.authorize"]
    assert dancer.submit(page, "maybe").status_code == 400
    assert dancer.submit(page, "approve").status_code == 303


def test_a_request_that_waited_too_long_is_over(serve: Callable[..., Any]) -> None:
    served = serve(PAGE)
    dancer = Dancer(served.base_url, {})
    page = page_of(dancer)
    served.advance(10 * 60_000)
    assert "expired" in dancer.http.get(str(page.url)).text
    assert dancer.submit(page, "approve").status_code == 409


def test_the_account_is_chosen_on_the_page_where_there_are_several(serve: Callable[..., Any]) -> None:
    served = serve(PAGE + TWO)
    dancer = Dancer(served.base_url, {})
    page = page_of(dancer)
    assert all(f'value="{one}"' in page.text for one in ("op_north", "op_south"))
    assert dancer.submit(page, "approve").status_code == 400
    assert dancer.submit(page, "approve", operator="op_else").status_code == 400
    tokens = dancer.exchange(back(dancer.submit(page, "approve", operator="op_south"))["code"]).json()
    agents = dancer.get("/v1/agents", tokens["access_token"]).json()
    assert [agent["id"] for agent in agents] == ["agt_south"]
    assert [row.action for row in served.rows("op_south")] == ["oauth.consent", "oauth.token"]


def test_the_account_can_be_fixed_in_the_scenario(serve: Callable[..., Any]) -> None:
    served = serve(f"stack_emu: 1\noauth: {{operator: op_south}}\n{TWO}")
    dancer = Dancer(served.base_url, {})
    tokens = dancer.sign_in()
    assert [agent["id"] for agent in dancer.get("/v1/agents", tokens["access_token"]).json()] == ["agt_south"]


# --- devices ----------------------------------------------------------------------------------------------------------


def begin(dancer: Dancer, **form: str) -> dict[str, Any]:
    reply = dancer.http.post(f"{dancer.base}/oauth/device_authorization", data={"client_id": dancer.client_id, **form})
    assert reply.status_code == 200, reply.text
    return reply.json()


def poll(dancer: Dancer, codes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    reply = dancer.token(grant_type=DEVICE_GRANT, device_code=codes["device_code"])
    return reply.status_code, reply.json()


def test_a_device_polls_until_the_person_approved(serve: Callable[..., Any]) -> None:
    served = serve(PAGE)
    dancer = Dancer(served.base_url, DEVICE)
    codes = begin(dancer, scope="agents:read")
    assert codes["verification_uri"] == f"{served.base_url}/oauth/device"
    assert (codes["interval"], codes["expires_in"]) == (5, 600)
    assert poll(dancer, codes)[1]["error"] == "authorization_pending"
    assert poll(dancer, codes)[1]["error"] == "slow_down"
    served.advance(9_999)
    assert poll(dancer, codes)[1]["error"] == "slow_down"
    served.advance(15_000)
    assert poll(dancer, codes)[1]["error"] == "authorization_pending"
    assert "user_code" in dancer.http.get(codes["verification_uri"]).text
    assert dancer.http.get(codes["verification_uri"], params={"user_code": "BBBB-BBBB"}).status_code == 404
    typed = codes["user_code"].lower().replace("-", " ")
    page = dancer.http.get(codes["verification_uri"], params={"user_code": typed})
    assert codes["user_code"] in page.text
    assert "&lt;b&gt;Box&lt;/b&gt;" in page.text
    assert "You approved" in dancer.submit(page, "approve").text
    status, tokens = poll(dancer, codes)
    assert (status, tokens["scope"]) == (200, "agents:read")
    assert dancer.get("/v1/agents", tokens["access_token"]).status_code == 200
    assert poll(dancer, codes)[1]["error"] == "invalid_grant"
    assert [row.action for row in served.rows()] == [
        "oauth.register",
        "oauth.device_authorization",
        "oauth.consent",
        "oauth.token",
    ]


def test_a_device_is_told_that_it_was_denied_and_that_it_waited_too_long(serve: Callable[..., Any]) -> None:
    served = serve(PAGE)
    dancer = Dancer(served.base_url, DEVICE)
    denied, late = begin(dancer), begin(dancer)
    dancer.submit(dancer.http.get(denied["verification_uri_complete"]), "deny")
    assert poll(dancer, denied)[1]["error"] == "access_denied"
    served.advance(10 * 60_000)
    assert poll(dancer, late)[1]["error"] == "expired_token"


def test_devices_need_a_client_that_registered_for_them(serve: Callable[..., Any]) -> None:
    dancer = Dancer(serve(PAGE).base_url, {})
    refused = dancer.http.post(f"{dancer.base}/oauth/device_authorization", data={"client_id": dancer.client_id})
    assert refused.json()["error"] == "unauthorized_client"


# --- the enrollment page ----------------------------------------------------------------------------------------------


def bootstrap(dancer: Dancer, **changed: str) -> httpx.Response:
    asked = {"agent_id": "agt_one", "callback": CALLBACK, "state": "s1", "machine": "<i>box</i>", "process": "python"}
    return dancer.http.get(f"{dancer.base}/sdk-bootstrap", params={**asked, **changed})


@pytest.mark.parametrize("consent", ["auto", "page"])
def test_a_ticket_is_good_for_the_enrollment_of_its_agent_only(serve: Callable[..., Any], consent: str) -> None:
    served = serve(PAGE.replace("page", consent) + AGENT + "  # one agent\n")
    dancer = Dancer(served.base_url)
    reply = bootstrap(dancer)
    if consent == "page":
        page = dancer.http.get(reply.headers["Location"])
        assert "<i>box</i>" not in page.text
        assert "agt_one" in page.text
        reply = dancer.submit(page, "approve")
    sent = back(reply)
    assert sent["state"] == "s1"
    url = f"{dancer.base}/v1/agents/agt_one/enrollment-challenge"
    headers = {"Authorization": f"Bearer {sent['ticket']}"}
    assert dancer.http.post(url, headers=headers).status_code == 200
    assert dancer.http.post(url.replace("agt_one", "agt_two"), headers=headers).status_code == 404
    assert dancer.http.get(f"{dancer.base}/v1/agents", headers=headers).status_code == 403
    served.advance(5 * 60_000)
    assert dancer.http.post(url, headers=headers).status_code == 401
    assert sent["ticket"] not in str([vars(one) for one in served.world.journal.entries()])


def test_an_enrollment_is_refused_to_the_person_or_to_the_program(serve: Callable[..., Any]) -> None:
    dancer = Dancer(serve(PAGE + AGENT).base_url)
    page = dancer.http.get(bootstrap(dancer).headers["Location"])
    assert back(dancer.submit(page, "deny")) == {"error": "access_denied", "state": "s1"}
    assert back(bootstrap(dancer, agent_id="agt_nobody")) == {"error": "unknown_agent", "state": "s1"}
    for callback in ("https://evil.example/cb", "http://evil.example/cb", "http://127.0.0.1@evil.example/cb", "x"):
        refused = bootstrap(dancer, callback=callback)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
        assert "Location" not in refused.headers


# --- token exchange ---------------------------------------------------------------------------------------------------

PASSPORT = """
stack_emu: 1
agents: [{id: agt_one, name: one, accountability_mode: standard}]
missions: [{id: ms_one, agent: one, intent: Look}]
"""


def test_a_passport_is_exchanged_for_its_successor(serve: Callable[..., Any]) -> None:
    served = serve(PASSPORT)
    dancer = Dancer(served.base_url)
    key = {"Authorization": "Bearer sk_live_emu_operator"}
    issue = {"agent_id": "agt_one", "mission_ids": ["ms_one"]}
    passport = dancer.http.post(f"{dancer.base}/v1/passports/issue", json=issue, headers=key).json()
    form = {"grant_type": EXCHANGE_GRANT, "subject_token": passport["token"], "subject_token_type": JWT_TYPE}
    renewed = dancer.http.post(f"{dancer.base}/oauth/token", data=form)
    assert renewed.status_code == 200, renewed.text
    assert (renewed.json()["issued_token_type"], "refresh_token" in renewed.json()) == (JWT_TYPE, False)
    assert 0 < renewed.json()["expires_in"] <= 900
    assert dancer.get("/v1/agents/agt_one", renewed.json()["access_token"]).status_code == 200
    assert [row.action for row in served.rows()] == ["passport.issue", "oauth.token", "passport.refresh"]
    for changed, error in (
        ({"subject_token": "a.b.c"}, "invalid_request"),
        ({"subject_token_type": "x"}, "invalid_request"),
    ):
        refused = dancer.http.post(f"{dancer.base}/oauth/token", data={**form, **changed})
        assert refused.json()["error"] == error, refused.text
