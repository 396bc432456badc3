"""Fleets: a policy, its members by either enrollment, and a mission of one of them."""

from __future__ import annotations

import base64

from play import call, ids

POLICY = {
    "name": "Play fleet",
    "access": [{"connection_id": "scon_slack", "scopes": ["chat:write"]}],
    "limits": {"max_members": 20},
}


def _proof(challenge, seed):
    """The public key and the signed challenge of an agent whose key is made from ``seed``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PrivateKey.from_private_bytes(seed)
    x = _text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    return {"kty": "OKP", "crv": "Ed25519", "x": x}, _text(key.sign(challenge.encode()))


def _text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _request(stage, challenge, name):
    public, proof = _proof(stage[challenge]["challenge"], name.ljust(32, "-").encode())
    return {
        "name": name,
        "idempotency_key": name,
        "public_key": public,
        "proof": proof,
        "challenge_id": stage[challenge]["challenge_id"],
    }


def member_of(stage, name):
    """A new member of the scenario's fleet."""
    path, challenge = "/v1/fleets/flp_play", f"challenge of {name}"
    stage.kept[challenge] = stage.api("POST", f"{path}/enrollment-challenges", {})
    return stage.api("POST", f"{path}/enroll", _request(stage, challenge, name))


def fleet_mission(stage):
    """The fleet form of starting a mission, for a member that is enrolled first: the only form before SDK 3.0.0."""
    return {
        "fleet_policy_id": "flp_play",
        "agent_id": member_of(stage, "play-starter")["agent_id"],
        "idempotency_key": "idem-key-play-start",
        "intent_summary": "Start in a fleet",
        "requested_access": [{"connection_id": "scon_slack", "scopes": ["chat:write"]}],
    }


STEPS = (
    call(
        "fleets.activate",
        "fleet",
        lambda r, s: r["id"].startswith("flp_"),
        governed=True,
        definition=POLICY,
        idempotency_key="idem-key-play-fleet",
    ),
    call("fleets.list", "", lambda r, s: s["fleet"]["id"] in ids(r)),
    call("fleets.list_page", "", lambda r, s: s["fleet"]["id"] in str(r), page=1, limit=50),
    call("fleets.get", "", lambda r, s: r["id"] == s["fleet"]["id"], policy_id=lambda s: s["fleet"]["id"]),
    call(
        "fleets.revise",
        "revised",
        lambda r, s: r["revision"] == 2,
        governed=True,
        policy_id=lambda s: s["fleet"]["id"],
        definition={**POLICY, "limits": {"max_members": 10}},
        expected_revision=1,
        idempotency_key="idem-key-play-revise",
    ),
    call("fleets.session", "", None, fleet_policy_id=lambda s: s["fleet"]["id"]),
    call("fleets.enrollment_challenge", "challenge", lambda r, s: r["challenge"], policy_id=lambda s: s["fleet"]["id"]),
    call(
        "fleets.enroll",
        "enrolled",
        lambda r, s: r["agent_id"].startswith("agt_"),
        policy_id=lambda s: s["fleet"]["id"],
        request=lambda s: _request(s, "challenge", "play-member"),
    ),
    call(
        "fleets.workload_enrollment_challenge",
        "workload",
        lambda r, s: r["challenge"],
        policy_id=lambda s: s["fleet"]["id"],
    ),
    call(
        "fleets.enroll_workload",
        "worker of fleet",
        lambda r, s: r["agent_id"] != s["enrolled"]["agent_id"],
        policy_id=lambda s: s["fleet"]["id"],
        request=lambda s: _request(s, "workload", "play-workload"),
    ),
    call(
        "fleets.enroll_local",
        "local",
        lambda r, s: r["agent_id"].startswith("agt_"),
        policy_id=lambda s: s["fleet"]["id"],
        name="play-local",
        idempotency_key="ik-l",
    ),
    call(
        "fleets.enroll_workload_local",
        "workload local",
        lambda r, s: r["agent_id"].startswith("agt_"),
        policy_id=lambda s: s["fleet"]["id"],
        name="play-wl",
        idempotency_key="ik-w",
    ),
    call(
        "fleets.membership", "", lambda r, s: s["fleet"]["id"] in str(r), agent_id=lambda s: s["enrolled"]["agent_id"]
    ),
    call("fleets.members", "", lambda r, s: s["enrolled"]["agent_id"] in str(r), policy_id=lambda s: s["fleet"]["id"]),
    call(
        "fleets.members_page",
        "",
        lambda r, s: s["enrolled"]["agent_id"] in str(r),
        policy_id=lambda s: s["fleet"]["id"],
        page=1,
        limit=50,
    ),
    call(
        "fleets.revoke_member",
        "",
        None,
        policy_id=lambda s: s["fleet"]["id"],
        agent_id=lambda s: s["worker of fleet"]["agent_id"],
    ),
    call("fleets.revoke", "", None, policy_id=lambda s: s["fleet"]["id"]),
    call("fleets.get", "revoked fleet", lambda r, s: r["status"] == "revoked", policy_id=lambda s: s["fleet"]["id"]),
)
