"""The world of the fleet tests, and short ways to say things about it."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack_emu.domain.tokens import base64url
from tests.guarantees.tour import public_jwk

OPERATOR, MEMBER, READER, OTHER = "sk_live_emu_op", "sk_live_emu_dev", "sk_live_emu_read", "sk_live_emu_other"
POST_MESSAGE = "https://slack.com/api/chat.postMessage"
POLICY = "flp_support"
BODY = f"""
operators:
  - id: op_emu
    keys:
      - {{key: {OPERATOR}}}
      - {{key: {MEMBER}, role: standard, member: dev@acme.test, allowed_connections: [scon_github]}}
      - {{key: {READER}, role: readonly, member: read@acme.test}}
  - {{id: op_other, keys: [{{key: {OTHER}}}]}}
agents:
  - {{id: agt_plain, name: plain, accountability_mode: logged}}
  - {{id: agt_foreign, name: foreign, operator: op_other}}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write, channels:read]
    upstream: slack
    intents:
      - name: slack.post_to_channel
        params: [channel]
        constraints: [{{path: body.channel, op: eq, value: "{{{{ params.channel }}}}"}}]
  - {{id: scon_github, provider: github, scopes: [repo, issues], upstream: hub}}
  - {{id: scon_stripe, provider: stripe, scopes: [charges]}}
fleets:
  - id: {POLICY}
    definition:
      name: Support
      team: {{lead: ada}}
      access:
        - connection_id: scon_slack
          scopes: [chat:write]
          intents: [slack.post_to_channel]
          allow_data_from: [github]
        - {{connection_id: scon_github, scopes: [issues]}}
      operations:
        - {{producer: skill, target_id: skl_triage, action: invoke}}
        - {{producer: dropoff, action: "*"}}
      limits: {{max_members: 25, max_actions: 6, max_concurrent_actions: 2, max_duration_seconds: 3600}}
      mission_limits: {{max_actions: 4}}
  - {{id: flp_github, definition: {{name: Reviewers, access: [{{connection_id: scon_github}}]}}}}
  - {{id: flp_other, operator: op_other, definition: {{name: Elsewhere}}}}
upstreams:
  slack: {{pack: slack, seed: {{channels: [{{name: support, id: C123}}, {{name: other, id: OTHER}}]}}}}
  hub:
    hosts: [api.github.com]
    routes:
      - {{when: {{path: /user}}, reply: {{json: {{login: octo}}}}}}
      - {{when: {{path: /slow}}, reply: {{delay: 1500ms, json: {{ok: true}}}}}}
"""
WORLD = "stack_emu: 1\nseed: 5\nclock: {mode: virtual, start: 2026-01-01T00:00:00Z}\n" + BODY
REQUEST: dict[str, Any] = {
    "fleet_policy_id": POLICY,
    "idempotency_key": "ticket-1",
    "intent_summary": "Answer ticket 1",
    "requested_access": [
        {
            "connection_id": "scon_slack",
            "scopes": ["chat:write"],
            "intents": [{"name": "slack.post_to_channel", "params": {"channel": "C123"}}],
            "allow_data_from": [],
        }
    ],
    "requested_operations": [{"producer": "skill", "target_id": "skl_triage", "action": "invoke"}],
    "limits": {"max_actions": 2, "max_concurrent_actions": 1, "max_duration_seconds": 900},
    "authority_binding_ids": [],
    "expected_output_shape": {"type": "object"},
}


class Enrollee:
    """An agent that enrolls by hand, so that every part can be made wrong."""

    def __init__(self, stack: Any, name: str = "worker-one", policy: str = POLICY) -> None:
        self.stack, self.name, self.policy = stack, name, policy
        self.key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")[:32])

    def request(self, challenge: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {
            "name": self.name,
            "idempotency_key": f"key of {self.name}",
            "public_key": public_jwk(self.key),
            "challenge_id": challenge["challenge_id"],
            "proof": base64url(self.key.sign(challenge["challenge"].encode())),
            **changes,
        }

    def enroll(self, **changes: Any) -> Any:
        challenge = self.stack.fleets.enrollment_challenge(self.policy)
        return self.stack.fleets.enroll(self.policy, self.request(challenge, **changes))

    def enroll_workload(self, **changes: Any) -> Any:
        challenge = self.stack.fleets.workload_enrollment_challenge(self.policy)
        return self.stack.fleets.enroll_workload(self.policy, self.request(challenge, **changes))


def member_of(sdk: Any, served: Any, name: str = "worker-one", policy: str = POLICY) -> tuple[str, Any]:
    """The id of an agent enrolled with the SDK's own helper, and a client that signs as that agent."""
    made = sdk(served.base_url, OPERATOR).fleets.enroll_local(policy, name=name, idempotency_key=f"key of {name}")
    return made["agent_id"], sdk(served.base_url, None, agent_id=made["agent_id"])
