"""Two worlds of one server: a credential of one is nothing in the other, and neither is an id, a session or a snapshot.

World ``north`` is the tour's. ``seeded`` has the same scenario and another seed, so that what is derived differs; ``other``
has another scenario in which everything has the same ids and other keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack_emu.domain.state import Agent
from stack_emu.domain.tokens import base64url, unbase64url
from stack_emu.kernel.operations import Operation
from tests.conftest import Served
from tests.guarantees.conftest import Ground, Moment, moments
from tests.guarantees.step import fixed
from tests.guarantees.test_crash_safety import picture
from tests.guarantees.test_tenants import NOBODY, PUBLIC, TOKENS, ids_in, neutral
from tests.guarantees.tour import OPERATOR, SCENARIO, STEPS, Step, Tour, agent_jwt, prepare, public_jwk, registry, token
from tests.guarantees.wire import Answer, McpClient, RestClient
from tests.oauth.dance import Dancer

ANOTHER_SEED = SCENARIO.replace("seed: 11", "seed: 12")
ANOTHER_SCENARIO = SCENARIO.replace("seed: 11", "seed: 13").replace("sk_live_emu_tour", "sk_live_emu_other")
OTHERS_KEY = Ed25519PrivateKey.from_private_bytes(b"the key of agt_tour in the other")
MADE = {"fleet", "fleet session", "customer", "rotated token", "member", "accepted", "oauth client"}
"""Steps of the tour that hand out a credential."""

SHARED_BY_WORLDS_OF_ONE_SCENARIO = {"operator key", "member key"}
"""A scenario writes its keys down, so worlds made of it have the same ones."""


@dataclass
class South:
    """A world that is asked with the credentials of ``north``."""

    name: str
    ground: Named

    @property
    def key(self) -> str:
        return OPERATOR if self.name == "seeded" else OPERATOR.replace("tour", "other")


@dataclass
class Worlds:
    """The three worlds, what the tour sends in the first of them, and credentials that are good there."""

    north: Named
    south: dict[str, South]
    moments: dict[str, Moment]
    credentials: dict[str, str]


@dataclass
class Named(Ground):
    """The ground of a world that is not the default one."""

    name: str = ""

    @property
    def world(self) -> Any:
        return self.hosted.world

    @property
    def hosted(self) -> Any:
        return self.served.server.hosting.get(self.name)


def ground_at(served: Served, name: str) -> Named:
    url = f"{served.base_url}/w/{name}"
    return Named(served, RestClient(url), McpClient(url), name)


@pytest.fixture(scope="module")
def worlds(serve_all: Callable[..., Served]) -> Iterator[Worlds]:
    served = serve_all("stack_emu: 1\n", north=SCENARIO, seeded=ANOTHER_SEED, other=ANOTHER_SCENARIO)
    north = ground_at(served, "north")
    south = {name: South(name, ground_at(served, name)) for name in ("seeded", "other")}
    north.do(lambda: prepare(north.world))
    start = north.do(north.world.image)
    seen = moments(north)
    north.do(lambda: north.world.restore(start))
    for one in south.values():
        one.ground.do(lambda world=one.ground.world: _enroll_another_key(world))
    yield Worlds(north, south, seen, credentials(north))
    for ground in (north, *(one.ground for one in south.values())):
        ground.rest.close()
        ground.mcp.close()


def _enroll_another_key(world: Any) -> None:
    prepare(world)
    world.store.put(replace(world.store.get(Agent, "agt_tour"), public_key=public_jwk(OTHERS_KEY)["x"]))


def credentials(ground: Ground) -> dict[str, str]:
    """Something of every kind a world hands out or knows, good in this one."""
    tour = Tour(ground.world)
    for step in STEPS:
        if step.name in MADE:
            tour.take(step, ground.over_rest)
    dancer = Dancer(str(ground.rest.http.base_url).rstrip("/"), {})
    tokens = dancer.sign_in(resource=None)
    asked = {"agent_id": "agt_tour", "callback": "http://127.0.0.1:4000/cb", "state": "s"}
    sent = dancer.http.get(f"{dancer.base}/sdk-bootstrap", params=asked)
    issued = ground.over_rest(
        Step("passports.issue", fixed()),
        {"agent_id": "agt_tour", "mission_ids": ["ms_tour"], "intent": {"summary": "x"}},
    )
    return {
        "operator key": OPERATOR,
        "member key": OPERATOR.replace("operator", "readonly"),
        "invited member's key": tour.replies["accepted"]["api_key"],
        "agent JWT": agent_jwt(ground.world, 1),
        "scenario's passport": token(ground.world, "pp_tour"),
        "issued passport": issued.body["token"],
        "OAuth access token": tokens["access_token"],
        "OAuth refresh token": tokens["refresh_token"],
        "enrollment ticket": parse_qs(urlsplit(sent.headers["Location"]).query)["ticket"][0],
        "fleet session": tour.replies["fleet session"]["session_token"],
        "grant token": tour.replies["rotated token"]["grant_token"],
    }


def stand_in(kind: str, credential: str) -> str:
    """A credential of the same form that nobody ever gave out."""
    if credential.count(".") == 2:
        head, claims, signature = credential.split(".")
        forged = bytes(byte ^ 0x5A for byte in unbase64url(signature)[:32]) + unbase64url(signature)[32:]
        return f"{head}.{claims}.{base64url(forged)}"
    prefix = re.match(r"(?:sk_live_emu_|sk_grant_|[a-z]+_)", credential)
    assert prefix is not None, kind
    return prefix[0] + "Zz9" * ((len(credential) - len(prefix[0])) // 3 + 1)


def told(answer: Answer) -> Any:
    """Status, code and sentence, with what differs between two credentials of a kind taken out."""
    message = re.sub(r"(pp|agt|sev)_\w+", "<id>", str(answer.error.get("message")))
    return answer.status, answer.code, message


def foreign(worlds: Worlds, name: str) -> dict[str, str]:
    left_out = SHARED_BY_WORLDS_OF_ONE_SCENARIO if name == "seeded" else set()
    return {kind: value for kind, value in worlds.credentials.items() if kind not in left_out}


def asked(declared: Operation, worlds: Worlds) -> dict[str, Any]:
    return dict(worlds.moments[declared.name].raw)


def over(surface: str, ground: Ground, key: str, bearer: str) -> RestClient | McpClient:
    """A client; that of MCP puts the foreign credential behind a session that the world's own key has opened."""
    if surface == "rest":
        return ground.rest
    ground.mcp.tools(key)
    ground.mcp.sessions[bearer] = ground.mcp.sessions[key]
    return ground.mcp


def test_the_credentials_are_good_where_they_were_given_out(worlds: Worlds) -> None:
    refused = {}
    for kind, bearer in worlds.credentials.items():
        if kind != "OAuth refresh token":
            fresh = agent_jwt(worlds.north.world, 2) if kind == "agent JWT" else bearer
            answer = worlds.north.rest.http.get("/v1/missions", headers={"Authorization": f"Bearer {fresh}"})
            refused[kind] = answer.status_code
    assert {kind for kind, status in refused.items() if status == 401} == set()


@pytest.mark.parametrize("name", ["seeded", "other"])
@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_a_credential_of_another_world_is_refused_like_one_nobody_gave_out(
    worlds: Worlds, surface: str, name: str
) -> None:
    south = worlds.south[name]
    before, counts = south.ground.do(lambda: picture(south.ground.world)), {"operations": 0, "calls": 0}
    served = [
        declared
        for declared in registry()
        if declared.auth.bearers and (declared.rest if surface == "rest" else declared.tool) is not None
    ]
    for kind, bearer in foreign(worlds, name).items():
        client = over(surface, south.ground, south.key, bearer)
        unknown = stand_in(kind, bearer)
        over(surface, south.ground, south.key, unknown)
        for number, declared in enumerate(served):
            answer = client.call(declared, asked(declared, worlds), bearer)
            where = f"{declared.name} with the {kind}: {answer.status} {answer.body}"
            assert answer.status == 401, where
            assert bearer not in json.dumps(answer.body), where
            if number % 7 == 0:
                assert told(answer) == told(client.call(declared, asked(declared, worlds), unknown)), where
            counts["calls"] += 1
    counts["operations"] = len(served)
    after = south.ground.do(lambda: picture(south.ground.world))
    for part in before:
        assert after[part] == before[part], part
    assert counts["operations"] >= 150
    assert counts["calls"] == len(served) * len(foreign(worlds, name))
    print(
        f"{name}, {surface}: {len(served)} operations, {len(foreign(worlds, name))} credentials, {counts['calls']} calls"
    )


def unknown_instead(raw: dict[str, Any], alien: set[str]) -> dict[str, Any]:
    """The same input with the ids of another world replaced by one that no world has."""
    text = json.dumps({name: value for name, value in raw.items() if name not in TOKENS})
    for one in alien:
        text = text.replace(one, f"{one.partition('_')[0]}_{NOBODY}")
    return {**raw, **json.loads(text)}


@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_ids_of_another_world_are_ids_nobody_has(worlds: Worlds, surface: str) -> None:
    ground, key = worlds.south["seeded"].ground, worlds.south["seeded"].key
    start, checked, refused = ground.do(ground.world.image), 0, 0
    mine = {row.id for kind in start.store.tables.values() for row in kind.rows.values() if hasattr(row, "id")}
    for name, moment in worlds.moments.items():
        declared = moment.declared
        alien = ids_in(moment.raw) - mine
        if not alien or name in PUBLIC or (declared.rest if surface == "rest" else declared.tool) is None:
            continue
        raw = {field: value for field, value in moment.raw.items() if field not in TOKENS}
        if len(raw) < len(moment.raw):
            field = "parent_passport_token" if name == "passports.delegate" else "passport_token"
            raw[field] = ground.do(lambda: token(ground.world, "pp_tour"))
        client: Any = ground.rest if surface == "rest" else ground.mcp
        answers = []
        for given in (raw, unknown_instead(raw, alien)):
            ground.do(lambda: ground.world.restore(start))
            answers.append(client.call(declared, given, key))
        where = f"{name}: {answers[0].status} {answers[0].body}"
        assert neutral(answers[0]) == neutral(answers[1]), where
        refused += not answers[0].ok
        checked += 1
    ground.do(lambda: ground.world.restore(start))
    print(f"{surface}: {checked} operations with ids of another world, {refused} refused")
    assert checked >= 40
    assert refused >= 0.8 * checked


def test_tokens_in_bodies_and_headers_are_held_to_the_worlds_own_key(worlds: Worlds) -> None:
    alien = worlds.credentials["issued passport"]
    checked = 0
    for one in worlds.south.values():
        before = one.ground.do(lambda one=one: picture(one.ground.world)["tables"])
        for name, moment in worlds.moments.items():
            declared = moment.declared
            fields = [field for field in TOKENS if field in moment.declared.command.model_fields]
            if declared.rest is None or not fields or name.startswith("oauth."):
                continue
            for field in fields:
                answer = one.ground.rest.call(declared, {**moment.raw, field: alien}, one.key)
                where = f"{name} with {field}: {answer.status} {answer.body}"
                if name == "passports.verify":
                    assert (answer.status, answer.body["valid"]) == (200, False), where
                    continue
                assert not answer.ok, where
                assert answer.status < 500, where
                checked += 1
        assert one.ground.do(lambda one=one: picture(one.ground.world)["tables"]) == before
    assert checked >= 20


def test_a_session_of_another_world_is_not_known(worlds: Worlds) -> None:
    """Also where the key is the same: worlds of one scenario share it, and not what was opened with it."""
    north, seeded = worlds.north, worlds.south["seeded"].ground
    north.mcp.tools(OPERATOR)
    session = north.mcp.sessions[OPERATOR]
    headers = {
        "Authorization": f"Bearer {OPERATOR}",
        "Mcp-Session-Id": session,
        "Accept": "application/json, text/event-stream",
    }
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    for method, body in (("POST", ask), ("GET", None), ("DELETE", None)):
        answer = seeded.mcp.http.request(method, f"{seeded.mcp.base_url}/mcp", json=body, headers=headers)
        assert answer.status_code == 404, (method, answer.text)
    again = north.mcp.http.post(f"{north.mcp.base_url}/mcp", json=ask, headers=headers)
    assert again.status_code == 200


def test_codes_and_refresh_tokens_are_the_worlds_own(worlds: Worlds) -> None:
    for one in worlds.south.values():
        dancer = Dancer(str(one.ground.rest.http.base_url).rstrip("/"), {})
        for form in (
            {"grant_type": "refresh_token", "refresh_token": worlds.credentials["OAuth refresh token"]},
            {"grant_type": "refresh_token", "refresh_token": worlds.credentials["OAuth access token"]},
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": worlds.credentials["issued passport"],
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            },
        ):
            refused = dancer.token(**form)
            assert refused.status_code == 400, (form, refused.text)
        asked = {"token": worlds.credentials["OAuth access token"]}
        told = dancer.http.post(f"{dancer.base}/oauth/introspect", data={"client_id": dancer.client_id, **asked})
        assert told.json() == {"active": False}
        kept = dancer.http.post(f"{dancer.base}/oauth/revoke", data={"client_id": dancer.client_id, **asked})
        assert kept.status_code == 200
    bearer = {"Authorization": f"Bearer {worlds.credentials['OAuth access token']}"}
    assert worlds.north.rest.http.get("/v1/missions", headers=bearer).status_code != 401


def test_snapshots_webhook_paths_and_diffs_stay_in_their_world(worlds: Worlds) -> None:
    north, http = worlds.north, worlds.north.rest.http
    assert http.put("/_emu/snapshots/of-north").status_code == 200
    made = north.over_rest(
        Step("inbound_webhooks.create", fixed()), {"provider": "generic", "agent_id": "agt_tour"}
    ).body
    path = "/v1/webhooks/inbound/" + made["webhook_url"].rpartition("/")[2]
    assert http.post(path, content=b"{}").status_code == 401
    for one in worlds.south.values():
        there = one.ground.rest.http
        assert there.get("/_emu/snapshots").json() == {"snapshots": []}
        for method, url in (
            ("POST", "/_emu/snapshots/of-north/restore"),
            ("DELETE", "/_emu/snapshots/of-north"),
            ("GET", "/_emu/diff?against=snapshot:of-north"),
        ):
            assert there.request(method, url).status_code == 404, url
        assert there.post(path, content=b"{}").status_code == 404
    assert http.delete("/_emu/snapshots/of-north").status_code == 200


def test_worlds_of_one_seed_and_scenario_share_their_secrets_by_design(serve_all: Callable[..., Served]) -> None:
    served = serve_all(SCENARIO, twin=SCENARIO)
    of_one = httpx.get(f"{served.base_url}/_emu/world", trust_env=False).json()
    of_twin = httpx.get(f"{served.base_url}/w/twin/_emu/world", trust_env=False).json()
    assert of_one["passports"] == of_twin["passports"]
    assert of_one["api_key"] == of_twin["api_key"]
