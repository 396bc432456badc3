"""The public keys passports are checked against."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain.authentication import PUBLIC
from stack_emu.domain.tokens import signer
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Command, Rest, operation


class KeySetRequest(Command):
    """Asks for the key set; an operator's id is accepted and makes no difference."""

    operator_id: str | None = Field(None, description="Operator whose address was used; every address has the same key")


@operation(
    "jwks.get",
    rest=Rest("GET", "/v1/.well-known/jwks.json", aliases=("/v1/operators/{operator_id}/jwks.json",)),
    auth=PUBLIC,
    source="sdk 4.0.0 passport_header_verify.py; sdk 0.11.0 to 0.19.1 read the address of an operator",
    grade="documented",
)
def get_jwks(ctx: Context, command: KeySetRequest) -> dict[str, Any]:
    """Read the Ed25519 key set that passports are signed with. No credential is needed."""
    return signer(ctx.world).jwks()
