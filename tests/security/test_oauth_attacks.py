"""OAuth as an attacker would use it: where codes are sent, whose they are, and who may press the button.

What a client is let do and refused step by step is in ``tests/oauth``; here are the ways around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.conftest import Served
from tests.guarantees.test_crash_safety import picture
from tests.oauth.dance import CHALLENGE, DEVICE_GRANT, EXCHANGE_GRANT, JWT_TYPE, REDIRECT, VERIFIER, Dancer, back
from tests.security.wire import ask, request

WEB = "https://app.example.com/cb"
KEPT = ("cli_kept", "a-secret-of-the-client")
BASE = """
stack_emu: 1
clock: {mode: virtual, start: 2026-03-01T00:00:00Z}
operators:
  - {id: op_one, keys: [{key: sk_live_emu_oauth_one}]}
  - {id: op_two, keys: [{key: sk_live_emu_oauth_two}]}
agents: [{id: agt_one, name: one, operator: op_one, accountability_mode: standard}]
missions: [{id: ms_one, agent: one, intent: Look}]
passports: [{id: pp_one, agent: agt_one, mission: ms_one, ttl: 60m}]
"""
CLIENTS = f"""
  clients:
    - {{id: cli_kept, secret: {KEPT[1]}, redirect_uris: ["{WEB}"]}}
    - {{id: cli_web, redirect_uris: ["{WEB}"]}}
    - {{id: cli_desk, redirect_uris: ["{REDIRECT}", "http://[::1]:7000/six"]}}
"""
AUTO = BASE + "oauth:\n  operator: op_one" + CLIENTS
PAGE = BASE + "oauth:\n  consent: page" + CLIENTS + "identity: {verification: page}\n"


@pytest.fixture(scope="module")
def auto(serve_all: Callable[..., Served]) -> Served:
    return serve_all(AUTO)


@pytest.fixture(scope="module")
def paged(serve_all: Callable[..., Served]) -> Served:
    return serve_all(PAGE)


@pytest.fixture(autouse=True)
def _as_it_was(auto: Served, paged: Served) -> Iterator[None]:
    images = [served.call(served.world.image) for served in (auto, paged)]
    moved = [served.world.clock.moved_ms for served in (auto, paged)]
    yield
    for served, image, by in zip((auto, paged), images, moved, strict=True):
        served.call(lambda served=served, image=image: served.world.restore(image))
        served.world.clock.return_to(by)


def dancer_of(served: Served, client_id: str) -> Dancer:
    made = Dancer(served.base_url)
    made.client_id = client_id
    return made


# --- where a code is sent ---------------------------------------------------------------------------------------------

WEB_TRICKS = (
    "https://app.example.com/cb/",
    "https://app.example.com/cb/../evil",
    "https://app.example.com/cb%2f..%2fevil",
    "https://app.example.com/cb?next=https://evil.example",
    "https://app.example.com/cb#x",
    "https://app.example.com/cb#",
    "https://app.example.com/CB",
    "https://APP.example.com/cb",
    "HTTPS://app.example.com/cb",
    "https://app.example.com:443/cb",
    "https://app.example.com:8443/cb",
    "https://app.example.com./cb",
    "https://app.example.com.evil.example/cb",
    "https://app.example.com@evil.example/cb",
    "https://evil.example@app.example.com/cb",
    "https://evil.example#@app.example.com/cb",
    "https://evil.example\\@app.example.com/cb",
    "https://evil.example?@app.example.com/cb",
    "https://evil.example%2f@app.example.com/cb",
    "https:app.example.com/cb",
    "https:///app.example.com/cb",
    "//app.example.com/cb",
    "/cb",
    "http://app.example.com/cb",
    "javascript:alert(1)//https://app.example.com/cb",
    "data:text/html,https://app.example.com/cb",
    "https://app.example.com/cb\r\nSet-Cookie: a=1",
    "https://app.example.com/cb\t",
    " https://app.example.com/cb",
    "https://app.example.com/cb ",
    "https://app.example.com/cb\x00",
    "https://\u0430pp.example.com/cb",
    "https://app\u3002example.com/cb",
    "https://app.example.com/c\u0062\u0301",
    "",
)
LOOPBACK_TRICKS = (
    "http://127.0.0.1:6001/callback/",
    "http://127.0.0.1:6001/callbackevil",
    "http://127.0.0.1:6001/callback?x=1",
    "http://127.0.0.1:6001/callback#x",
    "http://127.0.0.1:6001/callback;x",
    "http://127.0.0.1:6001//callback",
    "http://127.0.0.1:6001/./callback",
    "http://127.0.0.1:6001/Callback",
    "http://localhost:6001/callback",
    "http://127.0.0.2:6001/callback",
    "http://127.1:6001/callback",
    "http://0x7f000001:6001/callback",
    "http://[::1]:6001/callback",
    "http://[::ffff:127.0.0.1]:6001/callback",
    "https://127.0.0.1:6001/callback",
    "http://127.0.0.1:99999/callback",
    "http://127.0.0.1:x/callback",
    "http://127.0.0.1:6001@evil.example/callback",
    "http://127.0.0.1@evil.example:6001/callback",
    "http://evil.example@127.0.0.1:6001/callback",
    "http://:pw@127.0.0.1:6001/callback",
    "http://@127.0.0.1:6001/callback",
    "http://127.0.0.1:6001\\@evil.example/callback",
    "http://127.0.0.1\\.evil.example:6001/callback",
    "http://127.0.0.1.evil.example:6001/callback",
    "http://127.0.0.1%2eevil.example:6001/callback",
    "http://127.0.0.1:6001%0d%0a/callback",
    "http://127.0.0.1:6001/callback\r\nX: 1",
    "http://127.0.0.1:\n6001/callback",
    "http://127.0.0.1\u3002evil:6001/callback",
)


@pytest.mark.parametrize("client", ["cli_web", "cli_kept"])
def test_a_code_goes_to_the_registered_address_to_the_letter(auto: Served, client: str) -> None:
    before = auto.call(lambda: picture(auto.world))
    dancer = dancer_of(auto, client)
    for uri in WEB_TRICKS:
        refused = dancer.authorize(redirect_uri=uri)
        assert refused.status_code == 400, (uri, refused.headers)
        assert "Location" not in refused.headers, uri
    assert auto.call(lambda: picture(auto.world)) == before
    assert back(dancer.authorize(redirect_uri=WEB))["code"]


def test_on_loopback_the_port_is_free_and_nothing_else(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_desk")
    for uri in LOOPBACK_TRICKS:
        refused = dancer.authorize(redirect_uri=uri)
        assert (refused.status_code, "Location" in refused.headers) == (400, False), (uri, refused.headers)
    for uri in ("http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://[::1]:65535/six"):
        assert dancer.authorize(redirect_uri=uri).headers["Location"].startswith(f"{uri}?code="), uri


UNREGISTRABLE = (
    *(one for one in WEB_TRICKS if not one.lower().startswith("https://app.example.com")),
    "vbscript:x",
    "file:///etc/passwd",
    "blob:x",
    "ws://127.0.0.1/",
    "https://a.example/cb;script-src *",
    "https://a.example/'x",
    "https://a.example/<x>",
)


@pytest.mark.parametrize("uri", UNREGISTRABLE)
def test_an_address_that_is_none_cannot_be_registered(auto: Served, uri: str) -> None:
    reply = httpx.post(f"{auto.base_url}/oauth/register", json={"redirect_uris": [uri]}, trust_env=False, timeout=20)
    if reply.status_code == 201:
        host = urlsplit(uri).hostname
        assert (uri[:8], host) == ("https://", "evil.example"), uri  # somebody's own address, as it reads
    else:
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_redirect_uri"), reply.text


def test_errors_are_sent_nowhere_else_either(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_web")
    for broken in ({"response_type": "token"}, {"scope": "moon"}, {"code_challenge": "x"}, {"response_type": None}):
        for uri in ("https://evil.example/cb", "https://app.example.com@evil.example/cb"):
            refused = dancer.authorize(redirect_uri=uri, **broken)
            assert (refused.status_code, "Location" in refused.headers) == (400, False)
        sent = dancer.authorize(redirect_uri=WEB, **broken)
        assert sent.headers["Location"].startswith(f"{WEB}?error="), broken


NASTY = (
    "a\r\nSet-Cookie: x=1",
    "a&code=stolen&iss=evil",
    "#code=stolen",
    "<script>alert(1)</script>",
    "\u2028",
    "%0d%0a",
    "' \"",
)


@pytest.mark.parametrize("text", NASTY)
def test_state_and_scope_come_back_as_data(auto: Served, text: str) -> None:
    dancer = dancer_of(auto, "cli_web")
    sent = dancer.authorize(redirect_uri=WEB, state=text)
    pairs = parse_qsl(urlsplit(sent.headers["Location"]).query)
    assert [name for name, _ in pairs] == ["code", "state", "iss"]
    assert dict(pairs)["state"] == text
    assert dict(pairs)["iss"] == auto.base_url
    refused = dancer.authorize(redirect_uri=WEB, scope=text, response_type=text)
    names = [name for name, _ in parse_qsl(urlsplit(refused.headers["Location"]).query)]
    assert names == ["error", "error_description", "state", "iss"]
    assert "set-cookie" not in refused.headers


def test_a_parameter_given_twice_is_refused(auto: Served) -> None:
    """Two readers could each take another one of the two."""
    base = (
        f"client_id=cli_web&response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256&redirect_uri={WEB}"
    )
    for twice in (
        "&redirect_uri=https://evil.example/cb",
        "&client_id=cli_desk",
        "&code_challenge_method=plain",
        "&scope=a&scope=b",
    ):
        for query in (base + twice, twice[1:] + "&" + base):
            reply = httpx.get(f"{auto.base_url}/oauth/authorize?{query}", trust_env=False, timeout=20)
            assert (reply.status_code, "Location" in reply.headers) == (400, False), (query, reply.headers)
    code = back(dancer_of(auto, "cli_web").authorize(redirect_uri=WEB))["code"]
    form = f"grant_type=authorization_code&code={code}&client_id=cli_web&redirect_uri={WEB}&code_verifier={VERIFIER}"
    lines = {"Content-Type": "application/x-www-form-urlencoded"}
    for twice in ("&code_verifier=" + "w" * 43, "&client_id=cli_desk", "&grant_type=refresh_token"):
        reply = httpx.post(
            f"{auto.base_url}/oauth/token", content=form + twice, headers=lines, trust_env=False, timeout=20
        )
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request"), reply.text
    reply = httpx.post(f"{auto.base_url}/oauth/token?{form}", trust_env=False, timeout=20)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request"), "secrets do not belong into a URL"
    assert (
        httpx.post(f"{auto.base_url}/oauth/token", content=form, headers=lines, trust_env=False, timeout=20).status_code
        == 200
    )


# --- whose a code is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "S256 "},
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"code_challenge": CHALLENGE + "="},
        {"code_challenge": CHALLENGE[:-1]},
        {"code_challenge": CHALLENGE[:-1] + "+"},
        {"response_type": "token"},
        {"response_type": "code token"},
        {"response_type": "id_token"},
        {"response_mode": "fragment", "response_type": "token"},
    ],
)
def test_there_is_no_way_around_pkce(auto: Served, changed: dict[str, Any]) -> None:
    for client, uri in (("cli_web", WEB), ("cli_kept", WEB), ("cli_desk", REDIRECT)):
        sent = back(dancer_of(auto, client).authorize(redirect_uri=uri, **changed))
        assert sent["error"] in ("invalid_request", "unsupported_response_type")
        assert "code" not in sent
        assert "access_token" not in sent


VERIFIERS = (
    None,
    "",
    "v" * 42,
    "v" * 44,
    "V" * 43,
    "w" * 43,
    CHALLENGE,
    VERIFIER + "\n",
    VERIFIER + " ",
    " " + VERIFIER,
    VERIFIER + "\x00",
    "\uff56" * 43,
    "v" * 129,
    "v" * 100_000,
)


def test_only_the_verifier_of_the_challenge_will_do(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_web")
    code = back(dancer.authorize(redirect_uri=WEB))["code"]
    for verifier in VERIFIERS:
        form = {} if verifier is None else {"code_verifier": verifier}
        refused = dancer.token(grant_type="authorization_code", code=code, redirect_uri=WEB, **form)
        assert refused.status_code == 400, (verifier, refused.text)
        assert refused.json()["error"] in ("invalid_grant", "invalid_request"), refused.text
    assert dancer.exchange(code, redirect_uri=WEB).status_code == 200


def test_a_code_of_another_client_is_refused_and_stays_good_for_its_own(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_web")
    code = back(dancer.authorize(redirect_uri=WEB))["code"]
    for other in ("cli_desk", "cli_nobody", "", "cli_web ", "CLI_WEB"):
        refused = dancer_of(auto, other).exchange(code, redirect_uri=WEB)
        assert refused.status_code in (400, 401), other
        assert refused.json()["error"] in ("invalid_grant", "invalid_client", "invalid_request"), refused.text
    secret = httpx.post(
        f"{auto.base_url}/oauth/token",
        data={"grant_type": "authorization_code", "code": code, "redirect_uri": WEB, "code_verifier": VERIFIER},
        auth=KEPT,
        trust_env=False,
        timeout=20,
    )
    assert (secret.status_code, secret.json()["error"]) == (400, "invalid_grant")
    assert dancer.exchange(code, redirect_uri=WEB).status_code == 200


def test_a_code_is_no_token_and_no_token_is_another(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_web")
    tokens = dancer.exchange(back(dancer.authorize(redirect_uri=WEB))["code"], redirect_uri=WEB).json()
    code = back(dancer.authorize(redirect_uri=WEB))["code"]
    for bearer in (
        code,
        tokens["refresh_token"],
        tokens["access_token"] + "x",
        tokens["access_token"][:-1],
        tokens["access_token"].upper(),
    ):
        assert dancer.get("/v1/agents", bearer).status_code == 401, bearer[:8]
    for wrong in (tokens["access_token"], code, "ort_" + tokens["refresh_token"][4:][::-1]):
        assert dancer.refresh(wrong).json()["error"] == "invalid_grant"
    for wrong in (tokens["access_token"], tokens["refresh_token"]):
        assert dancer.exchange(wrong, redirect_uri=WEB).json()["error"] == "invalid_grant"
    assert dancer_of(auto, "cli_desk").refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert dancer.refresh(tokens["refresh_token"]).status_code == 200


def test_a_stolen_code_takes_everything_back_from_thief_and_victim(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_web")
    code = back(dancer.authorize(redirect_uri=WEB))["code"]
    first = dancer.exchange(code, redirect_uri=WEB).json()
    renewed = dancer.refresh(first["refresh_token"]).json()
    assert dancer.exchange(code, redirect_uri=WEB).status_code == 400
    for one in (first, renewed):
        assert dancer.get("/v1/agents", one["access_token"]).status_code == 401
        assert dancer.refresh(one["refresh_token"]).json()["error"] == "invalid_grant"


def test_who_a_client_is_is_said_in_one_way(auto: Served) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "ort_unknown"}
    for data, auth in (
        ({"client_id": "cli_kept", "client_secret": KEPT[1]}, KEPT),
        ({"client_id": "cli_web"}, KEPT),
        ({"client_secret": "wrong"}, KEPT),
        ({"client_id": "cli_kept", "client_secret": ""}, None),
        ({"client_id": "cli_kept", "client_secret": KEPT[1] + "x"}, None),
        ({"client_id": "cli_kept", "client_secret": KEPT[1].upper()}, None),
        ({"client_id": "cli_kept"}, None),
        ({}, ("cli_kept", "")),
        ({}, ("", KEPT[1])),
        ({}, ("cli_kept:x", KEPT[1])),
        ({"client_id": "cli_kept", "client_assertion": "e30.e30.", "client_assertion_type": "jwt-bearer"}, None),
    ):
        refused = httpx.post(
            f"{auto.base_url}/oauth/token", data={**form, **data}, auth=auth, trust_env=False, timeout=20
        )
        assert refused.status_code in (400, 401), (data, auth)
        assert refused.json()["error"] in ("invalid_client", "invalid_request"), (data, auth, refused.text)
        assert KEPT[1] not in refused.text
    for header in ("Basic", "Basic !!!", "Basic Og==", "Digest x", "Basic Y2xpX2tlcHQ=", "bearer x"):
        refused = httpx.post(
            f"{auto.base_url}/oauth/token", data=form, headers={"Authorization": header}, trust_env=False, timeout=20
        )
        assert refused.json()["error"] in ("invalid_client", "invalid_request"), (header, refused.text)


# --- devices, exchange ------------------------------------------------------------------------------------------------


def test_device_codes_belong_to_their_client_and_are_guessed_by_nobody(paged: Served) -> None:
    dancer = Dancer(paged.base_url, {"grant_types": [DEVICE_GRANT, "refresh_token"]})
    other = Dancer(paged.base_url, {"grant_types": [DEVICE_GRANT]})
    codes = dancer.http.post(f"{dancer.base}/oauth/device_authorization", data={"client_id": dancer.client_id}).json()
    assert re.fullmatch(r"[B-Z]{4}-[B-Z]{4}", codes["user_code"])
    assert len(codes["device_code"]) >= 43
    for wrong in (codes["device_code"][:-1], codes["device_code"].upper(), codes["user_code"], "odc_", "x" * 300):
        assert dancer.token(grant_type=DEVICE_GRANT, device_code=wrong).json()["error"] == "invalid_grant", wrong
    stolen = other.token(grant_type=DEVICE_GRANT, device_code=codes["device_code"])
    assert stolen.json()["error"] == "invalid_grant"
    for guess in (
        "BBBB-BBBB",
        "",
        "%",
        "____-____",
        codes["user_code"][:-1],
        "*",
        "' OR 1=1",
        codes["user_code"] + "B",
    ):
        page = dancer.http.get(f"{dancer.base}/oauth/device", params={"user_code": guess})
        assert '<form method="post"' not in page.text, guess
    for seconds in (10, 15, 20, 25):
        told = dancer.token(grant_type=DEVICE_GRANT, device_code=codes["device_code"])
        told = dancer.token(grant_type=DEVICE_GRANT, device_code=codes["device_code"])
        assert told.json()["error"] == "slow_down"
        assert f"wait {seconds} s" in told.json()["error_description"]
        paged.advance(seconds * 1000)
    paged.advance(10 * 60_000)
    page = dancer.http.get(f"{dancer.base}/oauth/device", params={"user_code": codes["user_code"]})
    assert '<form method="post"' not in page.text


def test_nothing_but_ones_own_passport_is_exchanged(auto: Served) -> None:
    dancer = dancer_of(auto, "cli_web")
    tokens = dancer.exchange(back(dancer.authorize(redirect_uri=WEB))["code"], redirect_uri=WEB).json()
    form = {"grant_type": EXCHANGE_GRANT, "subject_token_type": JWT_TYPE}
    for subject in (
        tokens["access_token"],
        tokens["refresh_token"],
        "sk_live_emu_oauth_one",
        KEPT[1],
        "",
        "..",
        "a.b.c",
    ):
        refused = httpx.post(
            f"{auto.base_url}/oauth/token", data={**form, "subject_token": subject}, trust_env=False, timeout=20
        )
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request"), refused.text
        assert not subject or subject == ".." or subject not in refused.text
    from tests.guarantees.tour import token

    passport = auto.call(lambda: token(auto.world, "pp_one"))
    for more in (
        {"scope": "agents:read"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"},
        {"client_id": "cli_kept"},
        {"client_id": "cli_nobody"},
        {"resource": "https://evil.example"},
    ):
        refused = httpx.post(
            f"{auto.base_url}/oauth/token",
            data={**form, "subject_token": passport, **more},
            trust_env=False,
            timeout=20,
        )
        assert refused.status_code in (400, 401), (more, refused.text)
    auto.advance(61 * 60_000)
    refused = dancer.get("/v1/agents/agt_one", passport)
    assert refused.status_code == 401


# --- who presses the button -------------------------------------------------------------------------------------------


def consent_page(served: Served, **asked: Any) -> tuple[Dancer, httpx.Response]:
    dancer = dancer_of(served, "cli_web")
    page = dancer.http.get(dancer.authorize(redirect_uri=WEB, **asked).headers["Location"])
    assert page.status_code == 200
    return dancer, page


def test_no_page_can_be_framed_or_kept(paged: Served) -> None:
    dancer, consent = consent_page(paged)
    key = {"Authorization": "Bearer sk_live_emu_oauth_one"}
    begun = dancer.http.post(
        f"{dancer.base}/v1/identity/verify/initiate", json={"provider_key": "bankid_se"}, headers=key
    )
    assert begun.status_code == 201, begun.text
    pages = [
        consent,
        dancer.http.get(f"{dancer.base}/oauth/device"),
        dancer.http.get(f"{dancer.base}/oauth/consent/ocr_unknown"),
        dancer.http.get(begun.json()["authorization_url"]),
        dancer.http.get(f"{dancer.base}/identity/verify/ivs_unknown"),
        dancer.http.get(f"{dancer.base}/oauth/authorize", params={"client_id": "x"}, headers={"Accept": "text/html"}),
        dancer.http.post(str(consent.url), data={"decision": "approve"}),
    ]
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, page.url
        assert "frame-ancestors 'none'" in policy, page.url
        assert "script-src" not in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "no-store"
        assert "<script" not in page.text.lower()
        assert "access-control-allow-origin" not in page.headers


def test_a_decision_needs_the_pages_own_value_and_origin(paged: Served) -> None:
    dancer, page = consent_page(paged)
    _, another = consent_page(paged, state="another")
    [csrf] = re.findall(r'name="csrf" value="([^"]+)"', page.text)
    [others] = re.findall(r'name="csrf" value="([^"]+)"', another.text)
    url, host = str(page.url), paged.base_url.removeprefix("http://")
    path = urlsplit(url).path
    approve = {"decision": "approve", "operator": "op_one"}
    for wrong in (None, "", others, csrf[:-1], csrf.upper(), csrf + "x", "\x00", "\u00e9"):
        refused = dancer.http.post(url, data={**approve, **({} if wrong is None else {"csrf": wrong})})
        assert refused.status_code == 403, wrong
    body = f"decision=approve&operator=op_one&csrf={csrf}".encode()
    form = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}")
    for lines in (
        ("Origin: null",),
        ("Origin: https://evil.example",),
        ("Origin: http://127.0.0.1:1",),
        ("Origin: http://localhost",),
        (f"Origin: https://{host}",),
        (f"Origin: http://{host}", "Origin: http://127.0.0.1:1"),
        ("Sec-Fetch-Site: cross-site",),
        ("Sec-Fetch-Site: same-site",),
    ):
        [refused] = ask(paged.server.port, request("POST", path, host, *form, *lines, body=body))
        assert refused.status == 403, lines
    [refused] = ask(paged.server.port, request("POST", path, "evil.example", *form, body=body))
    assert refused.status == 421
    for method in ("PUT", "PATCH", "DELETE", "GET"):
        [reply] = ask(paged.server.port, request(method, f"{path}?{body.decode()}", host, *form, body=body))
        assert reply.status != 303, method
    assert not [row for row in paged.rows("op_one") if row.action == "oauth.consent"]
    good = (*form, f"Origin: http://{host}", "Sec-Fetch-Site: same-origin")
    [done] = ask(paged.server.port, request("POST", path, host, *good, body=body))
    assert done.status == 303
    [again] = ask(paged.server.port, request("POST", path, host, *good, body=body))
    assert again.status == 409


def test_an_account_is_chosen_among_those_there_are(paged: Served) -> None:
    dancer, page = consent_page(paged)
    for wrong in ("op_three", "", "op_one op_two", "OP_ONE"):
        assert dancer.submit(page, "approve", operator=wrong).status_code == 400, wrong
    tokens = dancer.exchange(back(dancer.submit(page, "approve", operator="op_two"))["code"], redirect_uri=WEB).json()
    assert dancer.get("/v1/agents", tokens["access_token"]).json() == []


RETURNS = (
    "http://127.0.0.1@evil.example/",
    "http://evil.example/",
    "//evil.example/",
    "javascript:alert(1)",
    "http://127.0.0.1:1;frame-ancestors *",
    "http://127.0.0.1 ;frame-ancestors */",
    "http://127.0.0.1:1'/",
    "http://127.0.0.1\\@evil.example/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.1:1/\r\nSet-Cookie: a=1",
    'http://127.0.0.1:1/"><script>alert(1)</script>',
    "http://localhost:x/",
)


@pytest.mark.parametrize("url", RETURNS)
def test_a_verification_leads_back_to_this_machine_only(paged: Served, url: str) -> None:
    key = {"Authorization": "Bearer sk_live_emu_oauth_one"}
    asked = {"provider_key": "bankid_se", "return_url": url}
    begun = httpx.post(
        f"{paged.base_url}/v1/identity/verify/initiate", json=asked, headers=key, trust_env=False, timeout=20
    )
    if begun.status_code != 201:
        assert begun.status_code == 400, begun.text
        return
    page = httpx.get(begun.json()["authorization_url"], trust_env=False, timeout=20)
    assert page.headers["Content-Security-Policy"].count("frame-ancestors") == 1
    assert "<script" not in page.text
    [csrf] = re.findall(r'name="csrf" value="([^"]+)"', page.text)
    decided = httpx.post(str(page.url), data={"decision": "approve", "csrf": csrf}, trust_env=False, timeout=20)
    leads = decided.headers.get("Location", "http://127.0.0.1/")
    assert urlsplit(leads).hostname == "127.0.0.1", leads
    assert urlsplit(leads).username is None
    assert "set-cookie" not in decided.headers
