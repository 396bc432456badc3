"""The page behind authorization_url: a person agrees or denies in a browser, and nobody else does it for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.families.passport_world import OPERATOR, error, post

WORLD = """
stack_emu: 1
clock: {mode: virtual, start: 2026-01-01T00:00:00Z}
operators: [{id: op_emu, keys: [{key: sk_live_emu_op}]}]
identity: {verification: page, return_origins: ["https://app.test"]}
"""
BACK = "http://127.0.0.1:9/back?next=%2Fhome"


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def browser(served: Any) -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, follow_redirects=False) as client:
        yield client


def begin(served: Any, **more: Any) -> dict[str, Any]:
    answer = post(served, "/v1/identity/verify/initiate", {"provider_key": "persona", **more})
    assert answer.status_code == 201
    return answer.json()


def complete(served: Any, begun: dict[str, Any]) -> httpx.Response:
    body = {"provider_key": "persona", "session_ref": begun["session_ref"]}
    return post(served, "/v1/identity/verify/complete", body)


def csrf(page: httpx.Response) -> str:
    return re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]


def test_approving_on_the_page_leads_back_and_gives_the_claims(served: Any, browser: httpx.Client) -> None:
    begun = begin(served, return_url=BACK)
    page = browser.get(begun["authorization_url"])
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "Verify with Persona" in page.text
    assert "verified_identity" in page.text
    assert complete(served, begun).status_code == 409
    decided = browser.post(begun["authorization_url"], data={"csrf": csrf(page), "decision": "approve"})
    assert decided.status_code == 303
    target = urlsplit(decided.headers["location"])
    assert (target.netloc, target.path) == ("127.0.0.1:9", "/back")
    assert parse_qs(target.query) == {
        "next": ["/home"],
        "session_ref": [begun["session_ref"]],
        "status": ["approved"],
    }
    assert [one["claim_type"] for one in complete(served, begun).json()["claims"]] == [
        "verified_human",
        "verified_identity",
    ]
    assert "complete" in browser.get(begun["authorization_url"]).text
    assert [row.action for row in served.rows()] == [
        "identity.verify_initiate",
        "identity.verify_complete",
        "identity.verify_decide",
        "identity.verify_complete",
    ]


def test_denying_on_the_page_gives_none(served: Any, browser: httpx.Client) -> None:
    begun = begin(served)
    page = browser.get(begun["authorization_url"])
    decided = browser.post(begun["authorization_url"], data={"csrf": csrf(page), "decision": "deny"})
    assert (decided.status_code, "You denied" in decided.text) == (200, True)
    refused = complete(served, begun)
    assert (refused.status_code, refused.json()["error"]["details"]) == (403, {"status": "denied"})
    again = browser.post(begun["authorization_url"], data={"csrf": csrf(page), "decision": "approve"})
    assert again.status_code == 409


def test_a_form_that_is_not_the_pages_own_decides_nothing(served: Any, browser: httpx.Client) -> None:
    begun, other = begin(served), begin(served, return_url=BACK)
    url, foreign = begun["authorization_url"], csrf(browser.get(other["authorization_url"]))
    for form in ({}, {"csrf": ""}, {"csrf": "guessed"}, {"csrf": foreign}, {"csrf": "é"}):
        assert browser.post(url, data={**form, "decision": "approve"}).status_code == 403
    assert browser.post(url, data={"csrf": csrf(browser.get(url))}).status_code == 400
    mine = {"csrf": csrf(browser.get(url)), "decision": "approve"}
    assert browser.post(url, data=mine, headers={"Origin": "https://evil.test"}).status_code == 403
    assert browser.post(url, data=mine, headers={"Host": "evil.test"}).status_code == 421
    assert complete(served, begun).status_code == 409
    assert browser.put(url).status_code == 405
    assert browser.get(url.replace("ivs_", "ivs_x")).status_code == 404


@pytest.mark.parametrize(
    ("url", "leads"),
    [
        ("https://app.test/cb", True),
        ("http://localhost:3000/cb", True),
        ("http://[::1]:3000/cb", True),
        ("https://app.test.evil.test/cb", False),
        ("https://app.test:8443/cb", False),
        ("http://127.0.0.1.evil.test/", False),
    ],
)
def test_the_page_leads_only_to_loopback_and_listed_origins(
    served: Any, browser: httpx.Client, url: str, leads: bool
) -> None:
    begun = begin(served, return_url=url)
    page = browser.get(begun["authorization_url"])
    assert ("does not lead back" in page.text) is not leads
    decided = browser.post(begun["authorization_url"], data={"csrf": csrf(page), "decision": "approve"})
    assert decided.status_code == (303 if leads else 200)
    assert decided.headers.get("location", url).startswith(url.partition("?")[0])


@pytest.mark.parametrize(
    "url", ["http://localhost/\0", "http://localhost/\x01", "http://localhost/\x7f", "javascript:x"]
)
def test_a_return_url_that_fits_no_header_is_refused(served: Any, url: str) -> None:
    answer = post(served, "/v1/identity/verify/initiate", {"provider_key": "persona", "return_url": url})
    assert error(answer) == (400, "INVALID_REQUEST")


def test_what_the_page_shows_is_escaped_and_runs_nothing(served: Any, browser: httpx.Client) -> None:
    begun = begin(served, return_url="http://127.0.0.1/?a=&amp;b=&#39;")
    page = browser.get(begun["authorization_url"])
    assert "?a=&amp;amp;b=&amp;#39;" in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("form-action 'self' http://127.0.0.1")
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"


def test_an_expired_page_says_so(served: Any, browser: httpx.Client) -> None:
    begun = begin(served)
    form = {"csrf": csrf(browser.get(begun["authorization_url"])), "decision": "approve"}
    served.advance(15 * 60_000)
    assert "has expired" in browser.get(begun["authorization_url"]).text
    assert browser.post(begun["authorization_url"], data=form).status_code == 409


def test_the_page_of_a_named_world_is_its_own(served: Any, browser: httpx.Client) -> None:
    made = httpx.post(
        f"{served.base_url}/_emu/worlds", json={"name": "second", "scenario_yaml": WORLD}, trust_env=False
    )
    assert made.status_code == 200, made.text
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    body = {"provider_key": "persona"}
    url = f"{served.base_url}/w/second/v1/identity/verify/initiate"
    begun = httpx.post(url, json=body, headers=headers, trust_env=False).json()
    assert begun["authorization_url"].startswith(f"{served.base_url}/w/second/identity/verify/ivs_")
    assert browser.get(begun["authorization_url"]).status_code == 200
    assert browser.get(begun["authorization_url"].replace("/w/second", "")).status_code == 404
