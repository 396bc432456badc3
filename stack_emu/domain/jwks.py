"""The public keys passports, and claims that agents signed themselves, are checked against."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain.authentication import PUBLIC
from stack_emu.domain.state import Agent
from stack_emu.domain.tokens import signer
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Command, Rest, operation


class KeySetRequest(Command):
    """Asks for the key set, of STACK or also of an operator's agents."""

    operator_id: str | None = Field(None, description="Operator whose enrolled agents' keys are wanted too")


@operation(
    "jwks.get",
    rest=Rest("GET", "/v1/.well-known/jwks.json", aliases=("/v1/operators/{operator_id}/jwks.json",)),
    auth=PUBLIC,
    source="sdk 4.0.0 passport_header_verify.py, sign_claim.py (the kid of an agent's key); sdk 0.11.0 to 0.19.1 read the "
    "address of an operator",
    grade="documented",
)
def get_jwks(ctx: Context, command: KeySetRequest) -> dict[str, Any]:
    """Read the Ed25519 key set that passports are signed with, and at an operator's address those of its agents.

    The key an agent enrolled is named as the SDK names it in the claims it signs: ``agent:<agent_id>:v1``.
    """
    published = signer(ctx.world).jwks()
    agents = ctx.world.store.find(Agent, operator_id=command.operator_id) if command.operator_id else ()
    theirs = [_published(agent) for agent in agents if agent.public_key is not None and not agent.deleted]
    return {**published, "keys": [*published["keys"], *theirs]}


def _published(agent: Agent) -> dict[str, Any]:
    kid = f"agent:{agent.id}:v1"
    return {"kty": "OKP", "crv": "Ed25519", "x": agent.public_key, "kid": kid, "use": "sig", "alg": "EdDSA"}
