"""A tour of the emulator: an ordered list of calls that together bring every operation to a success.

Each step builds its input from what exists at the start (``agt_tour`` with an enrolled key, ``pp_tour``, ``ms_tour``,
``scon_slack``) and from the replies before it. The same tour can be taken over REST and over MCP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stack_emu.domain.issuance import token_for
from stack_emu.domain.partners import ConnectGrant
from stack_emu.domain.state import Agent, Passport
from stack_emu.domain.tokens import base64url
from stack_emu.kernel.operations import Registry
from stack_emu.kernel.world import World
from tests.guarantees.step import Input, Replies, Step, fixed, of
from tests.guarantees.tours import FAMILY_STEPS
from tests.guarantees.wire import Answer

OPERATOR = "sk_live_emu_tour_operator"
READONLY = "sk_live_emu_tour_readonly"
STANDARD = "sk_live_emu_tour_standard"
ADMIN = "sk_live_emu_tour_admin"
LIMITED = "sk_live_emu_tour_limited"
STRANGER = "sk_live_emu_tour_stranger"
TYPED_SECRETS = ("ghp-typed-by-hand-0001", "crm-typed-by-hand-0002")
"""Credentials the tour itself hands over."""

SCENARIO = f"""
stack_emu: 1
name: tour
seed: 11
clock: {{mode: virtual, start: 2026-03-01T00:00:00Z, tick: 1ms}}
operators:
  - id: op_tour
    tier: enterprise
    partner: true
    email: owner@tour.test
    keys:
      - {{key: {OPERATOR}, role: operator}}
      - {{key: {READONLY}, role: readonly, member: reader@tour.test}}
      - {{key: {STANDARD}, role: standard, member: worker@tour.test}}
      - {{key: {ADMIN}, role: admin, member: admin@tour.test}}
      - {{key: {LIMITED}, role: admin, member: narrow@tour.test, allowed_connections: [scon_crm]}}
  - id: op_stranger
    tier: enterprise
    partner: true
    keys: [{{key: {STRANGER}, role: operator}}]
  - {{id: op_tenant, tenant_of: op_tour, tier: partner, keys: [{{key: sk_live_emu_tour_tenant, role: operator}}]}}
agents:
  - {{id: agt_tour, name: tour-bot, accountability_mode: logged, credential_access: proxy_preferred}}
  - {{id: agt_stranger, name: stranger-bot, operator: op_stranger, accountability_mode: logged,
      credential_access: proxy_preferred}}
  - {{id: agt_tenant, name: tenant-bot, operator: op_tenant, accountability_mode: logged}}
services:
  - id: scon_slack
    provider: slack
    credential: canary
    scopes: [chat:write, channels:read]
    upstream: slack
    intents:
      - name: slack.post_to
        params: [channel]
        constraints: [{{path: body.channel, op: eq, value: "{{{{ params.channel }}}}"}}]
    grants: [{{agent: agt_tour, scopes: [chat:write]}}]
  - id: scon_crm
    provider: crm
    credential: {{fields: {{token: canary, region: eu}}}}
    upstream: crm
    grants: [{{agent: agt_tour}}]
  - {{id: scon_stranger, provider: slack, operator: op_stranger, credential: canary, upstream: slack,
      grants: [{{agent: agt_stranger}}]}}
missions:
  - {{id: ms_tour, agent: agt_tour, intent: See everything, services: [slack], expires: 24h}}
  - {{id: ms_stranger, agent: agt_stranger, intent: See the same from elsewhere, services: [slack], expires: 24h}}
  - {{id: ms_tenant, agent: agt_tenant, intent: Work for a customer, expires: 24h}}
passports:
  - {{id: pp_tour, agent: agt_tour, mission: ms_tour, services: [slack], ttl: 60m}}
  - {{id: pp_stranger, agent: agt_stranger, mission: ms_stranger, services: [slack], ttl: 60m}}
upstreams:
  slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{name: engineering}}]}}}}
  crm: {{hosts: [crm.test], routes: [{{when: {{path: /ping}}, reply: {{status: 200, json: {{ok: true}}}}}}]}}
approvals:
  - {{when: {{operation: agents.unblock}}, decide: approve}}
  - {{when: {{operation: detector_config.reset}}, decide: approve}}
  - {{when: {{operation: pii_config.reset}}, decide: approve}}
  - {{when: {{operation: authority.create_approval_requests}}, decide: approve}}
model: [{{when: {{user: hello to the tour}}, turns: [{{say: Hello}}]}}]
"""

AGENT_KEY = Ed25519PrivateKey.from_private_bytes(b"the key of agt_tour in the tests")
POST_MESSAGE = "https://slack.com/api/chat.postMessage"
AUTHORITY_REQUEST = "tour-authority-request-0001"


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)}


def _enroll(replies: Replies) -> dict[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(b"the key of the agent registered.")
    return {
        "agent_id": replies["tourist"]["id"],
        "public_key": public_jwk(key),
        "challenge_id": replies["challenge"]["challenge_id"],
        "signed_challenge": base64url(key.sign(replies["challenge"]["challenge"].encode())),
    }


def _approval(replies: Replies) -> dict[str, Any]:
    details = replies["unblock refused"]["error"]["details"]
    return {"agent_id": "agt_tour", "governance_approval_id": details["approval_id"]}


def _post(text: str, **more: Any) -> Input:
    call = {
        "service": "slack",
        "method": "POST",
        "url": POST_MESSAGE,
        "body": {"channel": "#engineering", "text": text},
        **more,
    }
    return lambda replies: {**call, "passport_token": replies["pp_tour"]["token"]}


STEPS: tuple[Step, ...] = (
    Step("agents.register", fixed(name="tourist", accountability_mode="logged"), "tourist"),
    Step("agents.register", fixed(name="helper", accountability_mode="logged"), "helper"),
    Step("agents.get", fixed(agent_id="agt_tour")),
    Step("agents.list", fixed()),
    Step("agents.update", fixed(agent_id="agt_tour", description="Sees everything")),
    Step("agents.create_enrollment_challenge", of("tourist", agent_id="id"), "challenge"),
    Step("agents.enroll", _enroll),
    Step("services.list_available", fixed()),
    Step("services.list_templates", fixed()),
    Step("services.list", fixed()),
    Step("services.connect", fixed(provider="github", credential=TYPED_SECRETS[0], scopes=["repo"]), "github"),
    Step("services.connect_custom", fixed(name="Internal CRM", credential={"token": TYPED_SECRETS[1]}), "custom"),
    Step("services.verify", fixed(connection_id="scon_slack")),
    Step("services.list_intents", fixed()),
    Step(
        "services.grant",
        lambda replies: {
            "agent_id": replies["tourist"]["id"],
            "service_connection_id": "scon_slack",
            "scopes": ["chat:write"],
            "constraints": [{"path": "method", "op": "eq", "value": "POST"}],
            "intents": [{"name": "slack.post_to", "params": {"channel": "#engineering"}}],
        },
    ),
    Step(
        "services.grant",
        lambda replies: {"agent_id": replies["tourist"]["id"], "service_connection_id": "scon_crm"},
        "second grant",
    ),
    Step("agents.permissions", fixed(agent_id="agt_tour")),
    Step("credentials.get", fixed(provider="slack")),
    Step("credentials.get_by_connection", fixed(connection_id="scon_slack")),
    Step("missions.open", fixed(intent_summary="Announce a deploy", agent_id="agt_tour"), "opened"),
    Step(
        "missions.start",
        lambda replies: {
            "agent_id": replies["tourist"]["id"],
            "mission": {"intent_summary": "Start from nothing", "intent_services": ["slack"]},
            "passport": {"accountability_mode": "enforced"},
        },
        "started",
    ),
    Step("missions.renew", of("started", mission_id="mission_id"), "renewed"),
    Step("missions.get", fixed(mission_id="ms_tour")),
    Step("missions.list", fixed()),
    Step(
        "passports.issue",
        fixed(agent_id="agt_tour", mission_ids=["ms_tour"], intent={"summary": "Look", "services": ["slack"]}),
        "issued",
    ),
    Step("passports.verify", lambda replies: {"token": replies["pp_tour"]["token"]}),
    Step("passports.list_active", fixed()),
    Step("passports.refresh", lambda replies: {"token": replies["pp_tour"]["token"]}, "refreshed"),
    Step(
        "passports.delegate",
        lambda replies: {
            "parent_passport_token": replies["pp_tour"]["token"],
            "child_agent_id": replies["helper"]["id"],
        },
        "delegated",
    ),
    Step("proxy.request", _post("deploy started")),
    Step("proxy.request", _post("by id", authority_request_id=AUTHORITY_REQUEST), "by id", rest_only=True),
    Step(
        "proxy.get_operation",
        lambda replies: {
            "operation_id": AUTHORITY_REQUEST,
            "include_response": True,
            "passport_token": replies["pp_tour"]["token"],
        },
    ),
    Step("proxy.usage", fixed()),
    *FAMILY_STEPS,
    Step("passports.checkpoint", fixed(passport_jti="pp_tour", services_used=["slack"], actions_count=2)),
    Step(
        "passports.checkpoint",
        lambda replies: {"passport_jti": replies["started"]["passport"]["jti"], "services_used": []},
        "enforced checkpoint",
    ),
    Step("passports.checkout", fixed(passport_jti="pp_tour", services_used=["slack", "github"]), "checked out"),
    Step("passports.report", fixed(passport_jti="pp_tour")),
    Step("reviews.list", fixed()),
    Step(
        "reviews.decide",
        lambda replies: {
            "checkout_id": replies["checked out"]["checkout_id"],
            "decision": "blocked",
            "block_future": True,
        },
    ),
    Step("agents.unblock", fixed(agent_id="agt_tour"), "unblock refused", code="GOVERNANCE_APPROVAL_REQUIRED"),
    Step("agents.unblock", _approval),
    Step("missions.activity", fixed(mission_id="ms_tour")),
    Step("audit.list", fixed(limit=100)),
    Step("audit.export", fixed(format="json")),
    Step("audit.verify_chain", fixed()),
    Step("audit.chain_head", fixed()),
    Step("jwks.get", fixed()),
    Step("passports.revoke", of("issued", jti="jti")),
    Step("passports.revoke_agent", of("helper", agent_id="id")),
    Step("passports.revoke_session", of("refreshed", session_id="session_id")),
    Step("passports.revoke_all", fixed()),
    Step("missions.complete", of("opened", mission_id="mission_id")),
    Step("missions.revoke", lambda replies: {"mission_id": replies["started"]["mission_id"], "reason": "adversarial"}),
    Step("services.revoke_agent", fixed(agent_id="agt_tour")),
    Step("services.disconnect", of("github", connection_id="id")),
    Step("agents.delete", of("tourist", agent_id="id")),
)


@lru_cache(maxsize=1)
def registry() -> Registry:
    from stack_emu.domain.families import registry as families

    return families()


def prepare(world: World) -> None:
    """Give ``agt_tour`` its key; it has signed nothing yet."""
    agent = world.store.get(Agent, "agt_tour")
    assert agent is not None
    asked = ConnectGrant("grt_asked", "op_stranger", "op_tour", "tour@tour.test", "-", "pending_consent", (), 0, 0)
    world.store.put(asked)
    world.store.put(replace(agent, public_key=public_jwk(AGENT_KEY)["x"], enrolled_at=world.now_ms()))


def token(world: World, jti: str) -> str:
    """The token of a passport of the scenario."""
    passport = world.store.get(Passport, jti)
    assert passport is not None
    return token_for(world, passport)


def agent_jwt(world: World, number: int) -> str:
    """A fresh JWT of ``agt_tour``."""
    import jwt

    now = world.now_ms() // 1000
    claims = {
        "iss": "stack-sdk",
        "aud": "stack:agent",
        "sub": "agt_tour",
        "jti": f"jwt-{number}",
        "iat": now,
        "exp": now + 60,
    }
    return jwt.encode(claims, AGENT_KEY, algorithm="EdDSA")


Caller = Callable[[Step, dict[str, Any]], Answer]


@dataclass
class Tour:
    """A tour under way: the replies so far.

    Args:
        world: the world it goes through, prepared.
    """

    world: World
    replies: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replies["pp_tour"] = {"token": token(self.world, "pp_tour")}

    def raw(self, step: Step) -> dict[str, Any]:
        """The input of a step."""
        return step.raw(self.replies)

    def take(self, step: Step, call: Caller) -> Answer:
        """Make a step and check that it ended as it should."""
        answer = call(step, self.raw(step))
        if step.code is None:
            assert answer.ok, f"{step.name}: {answer.status} {answer.body}"
        else:
            assert answer.code == step.code, f"{step.name}: {answer.status} {answer.body}"
        self.replies[step.name] = answer.body
        return answer
