"""Tokens that are not what they seem, wherever a JWT is read: as bearer over REST and MCP, in headers, in fields, in OAuth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stack_emu.domain.tokens import signer
from stack_emu.kernel.operations import TOKEN
from tests.conftest import Served
from tests.guarantees.conftest import Ground, Moment, moments
from tests.guarantees.test_crash_safety import picture
from tests.guarantees.tour import AGENT_KEY, OPERATOR, SCENARIO, agent_jwt, prepare, registry, token
from tests.guarantees.wire import McpClient, RestClient
from tests.oauth.dance import EXCHANGE_GRANT, JWT_TYPE
from tests.security.forgeries import compact, of_another_key, other_spellings, parts, wrong_claims

REAL = SCENARIO.replace("clock: {mode: virtual, start: 2026-03-01T00:00:00Z, tick: 1ms}", "clock: {mode: real}")
assert REAL != SCENARIO
REFUSALS = {"UNAUTHORIZED", "PASSPORT_INVALID", "INVALID_REQUEST", "INVALID_API_KEY"}
LONGEST_HEADER = 8000


@dataclass
class Place:
    """Where a passport is read: a field, or the header it can stand in."""

    moment: Moment
    field: str
    header: str | None


@dataclass
class Setting:
    """A prepared world, and every place in which its operations read a token."""

    ground: Ground
    places: list[Place]

    def post(self, path: str, data: dict[str, str]) -> Any:
        return self.ground.rest.http.post(path, data=data)


def token_fields(moment: Moment) -> Iterator[str]:
    for name, info in moment.declared.command.model_fields.items():
        if TOKEN in info.metadata:
            yield name


@pytest.fixture(scope="module")
def setting(serve_all: Callable[..., Served]) -> Iterator[Setting]:
    served = serve_all(SCENARIO)
    ground = Ground(served, RestClient(served.base_url), McpClient(served.base_url))
    ground.do(lambda: prepare(ground.world))
    start = ground.do(ground.world.image)
    places = []
    for moment in moments(ground).values():
        headers = {
            field: name for name, field in (moment.declared.rest.headers if moment.declared.rest else {}).items()
        }
        for field in token_fields(moment):
            places.append(Place(moment, field, None))
            if field in headers:
                places.append(Place(moment, field, headers[field]))
    ground.do(lambda: ground.world.restore(start))
    yield Setting(ground, places)
    ground.rest.close()
    ground.mcp.close()


def forged_passports(world: Any) -> dict[str, str]:
    good, key = token(world, "pp_tour"), signer(world)
    wrong = {
        "iss": "https://getstack.run",
        "iss,2": "stack-sdk",
        "iss,3": ["getstack.run"],
        "iss,4": None,
        "aud": "stack:agent ",
        "aud,2": "https://api.getstack.run",
        "aud,3": [],
        "aud,4": {"stack:passport": 1},
        "jti": "pp_never_issued",
        "jti,2": 7,
        "jti,3": ["pp_tour"],
        "sub": ["agt_tour"],
    }
    return {
        **of_another_key(good, key._key),
        **other_spellings(good),
        **wrong_claims(good, key.sign_bytes, wrong, ("iss", "aud", "sub", "jti")),
    }


def forged_agent_tokens(world: Any) -> dict[str, str]:
    good = agent_jwt(world, 1)
    iat = parts(good)[1]["iat"]
    wrong = {
        "iss": "getstack.run",
        "iss,2": None,
        "aud": "stack:agents",
        "aud,2": [],
        "sub": "agt_stranger",
        "sub,2": "agt_nobody",
        "sub,3": ["agt_tour"],
        "jti": "",
        "jti,2": 5,
        "exp": iat + 3600,
        "exp,2": str(iat + 60),
        "exp,3": "\u0661\u0662",
        "exp,4": None,
        "exp,5": True,
        "exp,6": -1,
        "exp,7": iat - 60,
        "exp,8": float("nan"),
        "exp,9": float("inf"),
        "exp,10": 10**30,
        "exp,11": [iat],
        "iat": -5,
        "iat,2": "now",
        "iat,3": iat + 3600,
        "iat,4": float("-inf"),
        "nbf": iat + 3600,
        "nbf,2": "soon",
    }
    return {
        **of_another_key(good, AGENT_KEY),
        **other_spellings(good),
        **wrong_claims(good, AGENT_KEY.sign, wrong, ("iss", "aud", "sub", "jti", "iat", "exp")),
        "signed by the world": signer(world).sign(parts(good)[1]),
        "signed by the world for a passport": compact(parts(good)[0], parts(good)[1], signer(world).sign_bytes),
        "a passport's claims, signed by the agent": compact(
            parts(good)[0], parts(token(world, "pp_tour"))[1], AGENT_KEY.sign
        ),
    }


def sendable(text: str) -> bool:
    """Whether a client can put it into a header."""
    return text.isascii() and text.isprintable() and len(text) < LONGEST_HEADER and text == text.strip()


def test_the_true_ones_are_let_in(setting: Setting) -> None:
    ground = setting.ground
    start = ground.do(ground.world.image)
    for bearer in (token(ground.world, "pp_tour"), agent_jwt(ground.world, 99)):
        answer = ground.rest.http.get("/v1/agents/agt_tour", headers={"Authorization": f"Bearer {bearer}"})
        assert answer.status_code == 200, answer.text
    ground.do(lambda: ground.world.restore(start))


@pytest.mark.parametrize("kind", ["passport", "agent"])
def test_a_forged_bearer_is_refused_on_rest_and_mcp(setting: Setting, kind: str) -> None:
    ground, tried = setting.ground, 0
    forged = (forged_passports if kind == "passport" else forged_agent_tokens)(ground.world)
    before = ground.do(lambda: picture(ground.world))
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    for name, text in forged.items():
        if not sendable(text):
            continue
        headers = {"Authorization": f"Bearer {text}", "Accept": "application/json, text/event-stream"}
        answers = [
            ground.rest.http.get("/v1/agents/agt_tour", headers=headers),
            ground.mcp.http.post(f"{ground.mcp.base_url}/mcp", json=hello, headers=headers),
        ]
        for answer in answers:
            assert answer.status_code == 401, f"{name}: {answer.status_code} {answer.text}"
            assert not text.strip(".") or text not in answer.text, name
        tried += 1
    after = ground.do(lambda: picture(ground.world))
    assert after == before
    print(f"{kind}: {tried} of {len(forged)} forgeries as bearers, REST and MCP")
    assert tried >= 60


def test_a_forged_passport_is_refused_in_every_field_and_header(setting: Setting) -> None:
    ground, tried = setting.ground, 0
    forged, start = forged_passports(ground.world), ground.do(ground.world.image)
    for place in setting.places:
        declared = place.moment.declared
        if declared.rest is None or declared.name.startswith("oauth."):
            continue
        tokens = set(token_fields(place.moment))
        ground.do(lambda place=place: ground.world.restore(place.moment.image))
        before = ground.do(lambda: picture(ground.world)["tables"])
        for name, text in forged.items():
            where = f"{declared.name}, {place.header or place.field}: {name}"
            raw = {key: value for key, value in place.moment.raw.items() if key not in tokens}
            if place.header is not None and not sendable(text):
                continue
            given = {**raw, place.field: text} if place.header is None else raw
            answer = call(ground, declared, given, {place.header: text} if place.header else {}, place.header is None)
            if declared.name == "passports.verify":
                assert (answer.status_code, answer.json()["valid"]) == (200, False), f"{where}: {answer.text}"
            else:
                assert answer.status_code in (400, 401), f"{where}: {answer.status_code} {answer.text[:300]}"
                assert code_of(answer) in REFUSALS, f"{where}: {answer.text[:300]}"
            tried += 1
        assert ground.do(lambda: picture(ground.world)["tables"]) == before, declared.name
    ground.do(lambda: ground.world.restore(start))
    fields = {(place.moment.declared.name, place.header or place.field) for place in setting.places}
    print(f"{len(fields)} places, {len(forged)} forgeries, {tried} calls")
    assert tried >= 1000


def call(ground: Ground, declared: Any, raw: dict[str, Any], headers: dict[str, str], in_body: bool) -> Any:
    """A REST call whose token stands in the body, or in a header only."""
    path = declared.rest.path
    given = dict(raw)
    for name in declared.rest.params:
        path = path.replace(f"{{{name}}}", str(given.pop(name)))
    sent = {"Authorization": f"Bearer {OPERATOR}", **headers}
    if not in_body:
        for header, name in declared.rest.headers.items():
            if header not in sent and given.get(name) is not None:
                sent[header] = str(given.pop(name))
    return ground.rest.http.request(declared.rest.method, path, headers=sent, json=given)


def code_of(answer: Any) -> str:
    error = answer.json()["error"]
    return str(error["code"] if "code" in error else error["type"])


def test_a_forged_passport_is_refused_by_the_token_endpoints(setting: Setting) -> None:
    ground = setting.ground
    before = ground.do(lambda: picture(ground.world)["tables"])
    exchange = {"grant_type": EXCHANGE_GRANT, "subject_token_type": JWT_TYPE}
    for name, text in forged_passports(ground.world).items():
        refused = setting.post("/oauth/token", {**exchange, "subject_token": text})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request"), f"{name}: {refused.text}"
        for path in ("/oauth/introspect", "/oauth/revoke"):
            told = ground.rest.http.post(path, data={"token": text}, headers={"Authorization": f"Bearer {OPERATOR}"})
            assert told.status_code in (200, 400, 401), f"{name}: {told.text}"
            assert '"active":true' not in told.text, name
    assert ground.do(lambda: picture(ground.world)["tables"]) == before


@pytest.mark.parametrize("assertion", ["client_assertion", "id_token", "assertion", "actor_token"])
def test_an_assertion_proves_no_client(setting: Setting, assertion: str) -> None:
    """Only secrets and PKCE prove a client; an assertion is read by nobody, and so lets nobody in."""
    ground = setting.ground
    made = ground.rest.http.post(
        "/oauth/register",
        json={"redirect_uris": ["https://app.example.com/cb"], "token_endpoint_auth_method": "client_secret_basic"},
    ).json()
    form = {
        "client_id": made["client_id"],
        "grant_type": "refresh_token",
        "refresh_token": "ort_unknown",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        assertion: compact({"alg": "none"}, {"iss": made["client_id"], "sub": made["client_id"]}, lambda data: b""),
    }
    refused = setting.post("/oauth/token", form)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client"), refused.text


def test_a_passport_is_judged_by_the_worlds_clock_and_not_by_its_claims(setting: Setting) -> None:
    ground = setting.ground
    start, moved = ground.do(ground.world.image), ground.world.clock.moved_ms
    good = token(ground.world, "pp_tour")
    for exp in (10**12, -1, "never", 1.5, None):
        longer = signer(ground.world).sign({**parts(good)[1], "exp": exp})
        ground.do(lambda: ground.world.advance(61 * 60_000))
        answer = ground.rest.http.get("/v1/agents/agt_tour", headers={"Authorization": f"Bearer {longer}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "PASSPORT_EXPIRED"), exp
        ground.do(lambda: (ground.world.clock.return_to(moved), ground.world.restore(start)))


@pytest.mark.parametrize(
    ("iat", "exp", "nbf"), [(-120, -60, None), (600, 660, None), (0, 60, 50), (-60, -30, None), (-10, -7, -9)]
)
def test_an_agents_jwt_is_good_while_it_says_so(
    serve_all: Callable[..., Served], iat: int, exp: int, nbf: int | None, real: Ground
) -> None:
    now = real.world.now_ms() // 1000
    claims = parts(agent_jwt(real.world, 3))[1] | {"iat": now + iat, "exp": now + exp, "jti": f"{iat} {exp}"}
    claims |= {} if nbf is None else {"nbf": now + nbf}
    text = compact({"alg": "EdDSA", "typ": "JWT"}, claims, AGENT_KEY.sign)
    answer = real.rest.http.get("/v1/agents/agt_tour", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 401, answer.text


@pytest.fixture(scope="module")
def real(serve_all: Callable[..., Served]) -> Iterator[Ground]:
    served = serve_all(REAL)
    ground = Ground(served, RestClient(served.base_url), McpClient(served.base_url))
    ground.do(lambda: prepare(ground.world))
    yield ground
    ground.rest.close()
    ground.mcp.close()


def test_every_operation_that_reads_a_token_is_among_the_places(setting: Setting) -> None:
    reading = {
        declared.name
        for declared in registry()
        if any(TOKEN in info.metadata for info in declared.command.model_fields.values())
    }
    assert {place.moment.declared.name for place in setting.places} == reading
    assert json.dumps(sorted(reading)).count("proxy.request") == 1
