"""Enrollment: an agent's own key, proved and then used for its requests by the real SDK."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import getstack
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack_emu.domain import enrollment
from stack_emu.domain.state import Agent
from stack_emu.kernel.acts import RowDraft
from tests.families.drivers import McpTools, SdkFactory

KEY, READER, OTHER = "sk_live_emu_op", "sk_live_emu_read", "sk_live_emu_other"
WORLD = f"""
stack_emu: 1
operators:
  - id: op_emu
    keys: [{{key: {KEY}}}, {{key: {READER}, role: readonly, member: read@acme.test}}]
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agt_bot, name: bot}}
  - {{id: agt_helper, name: helper}}
"""


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Enrollee:
    """An agent that enrolls and signs by hand, so that every part can be made wrong."""

    def __init__(self, base_url: str, agent_id: str = "agt_bot", bearer: str = KEY) -> None:
        self.base_url, self.agent_id, self.bearer = base_url, agent_id, bearer
        self.key = Ed25519PrivateKey.generate()

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "x": text(self.key.public_key().public_bytes_raw())}

    def post(self, route: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/json"}
        return httpx.post(f"{self.base_url}/v1/agents/{self.agent_id}/{route}", headers=headers, **options)

    def challenge(self) -> dict[str, str]:
        response = self.post("enrollment-challenge")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def enroll(self, challenge: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        asked = challenge or self.challenge()
        signature = text(self.key.sign(asked["challenge"].encode("utf8")))
        body = {"public_key": self.jwk, "challenge_id": asked["challenge_id"], "signed_challenge": signature}
        return self.post("enroll", json={**body, **changes})

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "stack-sdk",
            "sub": self.agent_id,
            "aud": "stack:agent",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
        }
        return jwt.encode({**claims, "jti": f"aj_{now}_{id(self):x}", **changes}, self.key, algorithm="EdDSA")

    def get(self, token: str, agent_id: str | None = None) -> httpx.Response:
        url = f"{self.base_url}/v1/agents/{agent_id or self.agent_id}"
        return httpx.get(url, headers={"Authorization": f"Bearer {token}"})


def test_the_sdk_enrolls_itself_once_and_then_signs_every_request(
    serve: Callable[..., Any], sdk: SdkFactory, home: Path
) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY, agent_id="agt_bot")
    assert [client.agents.get("agt_bot").id for _ in range(3)] == ["agt_bot"] * 3
    stored = json.loads((home / ".stack/agents/agt_bot.json").read_text())
    agent = served.world.store.get(Agent, "agt_bot")
    assert stored["publicKey"]["x"] == agent.public_key
    assert stored["enrolled_at"]
    again = sdk(served.base_url, None, agent_id="agt_bot")
    assert again.agents.get("agt_bot").name == "bot", "the key on disk is enough"
    actions = [(row.action, row.agent_id, row.outcome) for row in served.rows()]
    assert actions == [
        ("agent.enrollment_challenge", "agt_bot", "success"),
        ("agent.enroll", "agt_bot", "success"),
    ]


def test_an_enrolled_agent_sees_itself_and_may_not_administer(
    serve: Callable[..., Any], sdk: SdkFactory, home: Path
) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, KEY, agent_id="agt_bot")
    assert [agent.id for agent in client.agents.list()] == ["agt_bot"]
    with pytest.raises(getstack.NotFoundError):
        client.agents.get("agt_helper")
    with pytest.raises(getstack.ForbiddenError, match="cannot be called with an agent JWT"):
        client.agents.update("agt_bot", credential_access="direct")
    row = served.rows()[-1]
    assert (row.action, row.outcome, row.error_code, row.agent_id) == (
        "agent.update",
        "blocked",
        "FORBIDDEN",
        "agt_bot",
    )


def test_the_challenge_reply_has_what_the_sdk_needs_and_a_deadline(serve: Callable[..., Any]) -> None:
    reply = Enrollee(serve(WORLD).base_url).challenge()
    assert set(reply) == {"challenge_id", "challenge", "expires_at"}


def test_a_challenge_is_good_once(serve: Callable[..., Any]) -> None:
    agent = Enrollee(serve(WORLD).base_url)
    challenge = agent.challenge()
    assert agent.enroll(challenge).json()["enrolled"] is True
    refused = agent.enroll(challenge)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "used before" in refused.json()["error"]["details"]["fields"]["challenge_id"]


def test_a_challenge_expires_after_five_minutes(serve: Callable[..., Any]) -> None:
    served = serve(WORLD, clock="virtual")
    agent = Enrollee(served.base_url)
    late, early = agent.challenge(), agent.challenge()
    served.advance(enrollment.CHALLENGE_MS - 1)
    assert agent.enroll(early).status_code == 200
    served.advance(1)
    assert "expired at" in agent.enroll(late).json()["error"]["message"]


def test_a_challenge_belongs_to_one_agent(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    refused = Enrollee(served.base_url, "agt_helper").enroll(Enrollee(served.base_url).challenge())
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "NOT_FOUND")


def _wrong_signature(agent: Enrollee, challenge: dict[str, str]) -> dict[str, Any]:
    return {"signed_challenge": text(Ed25519PrivateKey.generate().sign(challenge["challenge"].encode()))}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (_wrong_signature, "signed_challenge"),
        (lambda agent, _: {"signed_challenge": text(agent.key.sign(b"something else"))}, "signed_challenge"),
        (lambda *_: {"signed_challenge": "%%%"}, "signed_challenge"),
        (lambda agent, _: {"public_key": {**agent.jwk, "x": "AAAA"}}, "public_key"),
        (lambda agent, _: {"public_key": {**agent.jwk, "x": "é"}}, "public_key"),
        (lambda agent, _: {"public_key": {**agent.jwk, "crv": "X25519"}}, "public_key"),
        (lambda agent, _: {"public_key": {**agent.jwk, "d": text(agent.key.private_bytes_raw())}}, "public_key"),
        (lambda *_: {"public_key": "AAAA"}, "public_key"),
    ],
)
def test_an_enrollment_without_proof_is_refused_and_enrolls_nothing(
    serve: Callable[..., Any], changes: Callable[..., dict[str, Any]], field: str
) -> None:
    served = serve(WORLD)
    agent = Enrollee(served.base_url)
    challenge = agent.challenge()
    refused = agent.enroll(challenge, **changes(agent, challenge))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert field in refused.json()["error"]["details"]["fields"]
    assert served.world.store.get(Agent, "agt_bot").public_key is None
    assert agent.enroll(challenge).status_code == 200, "the challenge can still be answered"


def test_enrolling_again_replaces_the_key(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    first, second = Enrollee(served.base_url), Enrollee(served.base_url)
    assert first.enroll().status_code == 200
    assert first.get(first.token()).status_code == 200
    assert second.enroll().status_code == 200
    assert second.get(second.token()).status_code == 200
    refused = first.get(first.token(jti="aj_old_key"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert served.rows()[-1].metadata["re_enrolled"] is True


def test_enrolling_needs_a_key_of_the_account_that_may_write(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    assert Enrollee(served.base_url, bearer=READER).post("enrollment-challenge").status_code == 403
    assert Enrollee(served.base_url, bearer=OTHER).post("enrollment-challenge").status_code == 404
    assert Enrollee(served.base_url, bearer="sk_live_nobody").post("enrollment-challenge").status_code == 401
    agent = Enrollee(served.base_url)
    agent.enroll()
    agent.bearer = agent.token()
    assert agent.post("enrollment-challenge").status_code == 403, "an agent cannot replace its own key"


def test_an_agent_jwt_is_good_for_one_request(serve: Callable[..., Any]) -> None:
    agent = Enrollee(serve(WORLD).base_url)
    agent.enroll()
    token = agent.token()
    assert agent.get(token).status_code == 200
    refused = agent.get(token)
    assert refused.status_code == 401
    assert "used before" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": -200, "nbf": -200, "exp": -140},
        {"iat": 3600, "exp": 3660},
        {"exp": 3600},
        {"iss": "someone-else"},
        {"sub": "agt_helper"},
        {"sub": "agt_unknown"},
        {"jti": None},
        {"exp": "soon"},
        {"iat": float("inf")},
    ],
)
def test_an_agent_jwt_that_is_not_right_is_unauthorized(serve: Callable[..., Any], claims: dict[str, Any]) -> None:
    agent = Enrollee(serve(WORLD).base_url)
    agent.enroll()
    now = int(time.time())
    times = {name: now + value for name, value in claims.items() if isinstance(value, int)}
    refused = agent.get(agent.token(**{**claims, **times}), "agt_bot")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert "www-authenticate" in refused.headers


def test_an_agent_jwt_signed_by_another_key_or_not_at_all_is_unauthorized(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    agent, stranger = Enrollee(served.base_url), Enrollee(served.base_url)
    agent.enroll()
    head, body, _ = agent.token().split(".")
    unsigned = jwt.encode({"sub": "agt_bot", "aud": "stack:agent", "iss": "stack-sdk"}, None, algorithm="none")
    for token in (stranger.token(), f"{head}.{body}.", unsigned, "a.b.c"):
        assert agent.get(token).status_code == 401
    assert agent.get(agent.token()).status_code == 200, "a refused token spends nothing"


def test_a_suspended_or_deleted_agent_is_locked_out(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    agent = Enrollee(served.base_url)
    agent.enroll()
    store = served.world.store
    served.call(lambda: store.put(replace(store.get(Agent, "agt_bot"), status="suspended")))
    refused = agent.get(agent.token())
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
    httpx.delete(f"{served.base_url}/v1/agents/agt_bot", headers={"Authorization": f"Bearer {KEY}"})
    assert agent.get(agent.token(jti="aj_later")).status_code == 401


def ticket_for(served: Any, agent_id: str) -> str:
    def issue() -> str:
        world = served.world
        act = world.begin_act(
            "control.approve_enrollment", "op_emu", "control", {}, RowDraft("agent.approve", "system")
        )
        with world.transaction(act):
            return str(enrollment.issue_ticket(world, act, "op_emu", agent_id))

    return str(served.call(issue))


def test_an_enrollment_ticket_enrolls_its_agent_once(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    ticket = ticket_for(served, "agt_bot")
    assert Enrollee(served.base_url, "agt_helper", ticket).post("enrollment-challenge").status_code == 404
    agent = Enrollee(served.base_url, bearer=ticket)
    assert agent.get(ticket).status_code == 403, "a ticket is for enrolling and nothing else"
    assert agent.enroll().status_code == 200
    refused = agent.post("enrollment-challenge")
    assert refused.status_code == 401
    assert "ticket is unknown, used or older" in refused.json()["error"]["message"]


def test_an_enrollment_ticket_lasts_five_minutes(serve: Callable[..., Any]) -> None:
    served = serve(WORLD, clock="virtual")
    agent = Enrollee(served.base_url, bearer=ticket_for(served, "agt_bot"))
    served.advance(enrollment.TICKET_MS - 1)
    assert agent.post("enrollment-challenge").status_code == 200
    served.advance(1)
    assert agent.post("enrollment-challenge").status_code == 401


def test_the_tools_enroll_an_agent_too(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    tools, agent = McpTools(served.base_url, KEY), Enrollee(served.base_url)
    asked = tools("stack_create_enrollment_challenge", agent_id="agt_bot")
    signature = text(agent.key.sign(asked["challenge"].encode()))
    proof = {"public_key": agent.jwk, "challenge_id": asked["challenge_id"], "signed_challenge": signature}
    assert tools("stack_enroll_agent", agent_id="agt_bot", **proof)["enrolled"] is True
    assert agent.get(agent.token()).status_code == 200


def test_two_runs_leave_the_same_rows_although_the_keys_differ(serve: Callable[..., Any]) -> None:
    entries = []
    for _ in range(2):
        served = serve(WORLD, clock="virtual")
        agent = Enrollee(served.base_url)
        agent.enroll()
        agent.get(agent.token())
        entries.append([(row.entry_id, row.action, row.metadata) for row in served.rows()])
    assert entries[0] == entries[1]
