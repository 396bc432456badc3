"""The tour's steps through fleets: a policy, members that enroll both ways, a mission, and the end of it all."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stack_emu.domain.tokens import base64url
from tests.guarantees.step import Input, Replies, Step, fixed, of

DEFINITION: dict[str, Any] = {
    "name": "Tour fleet",
    "access": [
        {"connection_id": "scon_slack", "scopes": ["chat:write"], "intents": ["slack.post_to"]},
        {"connection_id": "scon_crm"},
    ],
    "operations": [{"producer": "skill"}],
    "limits": {"max_members": 5, "max_actions": 20},
}


def _proof(name: str, challenge: str) -> Input:
    key = Ed25519PrivateKey.from_private_bytes(f"the key of {name}".encode().ljust(32, b"."))
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def build(replies: Replies) -> dict[str, Any]:
        return {
            "policy_id": replies["fleet"]["id"],
            "name": name,
            "idempotency_key": f"tour {name}",
            "public_key": {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)},
            "challenge_id": replies[challenge]["challenge_id"],
            "proof": base64url(key.sign(replies[challenge]["challenge"].encode())),
        }

    return build


def _start(replies: Replies) -> dict[str, Any]:
    return {
        "fleet_policy_id": replies["fleet"]["id"],
        "agent_id": replies["crew"]["agent_id"],
        "idempotency_key": "tour mission",
        "intent_summary": "Announce with the fleet",
        "requested_access": [
            {
                "connection_id": "scon_slack",
                "intents": [{"name": "slack.post_to", "params": {"channel": "#engineering"}}],
            }
        ],
        "requested_operations": [{"producer": "skill", "action": "invoke"}],
        "limits": {"max_actions": 2},
    }


def _revision(replies: Replies) -> dict[str, Any]:
    narrower = {**DEFINITION, "limits": {"max_members": 4, "max_actions": 10}}
    return {**narrower, "policy_id": replies["fleet"]["id"], "expected_revision": 1, "idempotency_key": "tour-revise"}


STEPS: tuple[Step, ...] = (
    Step("fleets.activate", fixed(**DEFINITION, idempotency_key="tour-activate"), "fleet"),
    Step("fleets.revise", _revision),
    Step("fleets.list", fixed()),
    Step("fleets.get", of("fleet", policy_id="id")),
    Step("fleets.session", of("fleet", fleet_policy_id="id"), "fleet session"),
    Step("fleets.enrollment_challenge", of("fleet", policy_id="id"), "crew challenge"),
    Step("fleets.enroll", _proof("crew", "crew challenge"), "crew"),
    Step("fleets.workload_enrollment_challenge", of("fleet", policy_id="id"), "workload challenge"),
    Step("fleets.enroll_workload", _proof("workload", "workload challenge"), "workload"),
    Step("fleets.members", of("fleet", policy_id="id")),
    Step("fleets.membership", of("crew", agent_id="agent_id")),
    Step("missions.start", _start, "fleet mission"),
    Step("missions.renew", of("fleet mission", mission_id="mission_id"), "fleet renewal"),
    Step(
        "fleets.revoke_member",
        lambda replies: {"policy_id": replies["fleet"]["id"], "agent_id": replies["workload"]["agent_id"]},
    ),
    Step("fleets.revoke", of("fleet", policy_id="id")),
)
