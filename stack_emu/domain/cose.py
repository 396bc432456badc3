"""Signed claims: COSE_Sign1 envelopes (RFC 9052) over CBOR, signed with the world's published Ed25519 key.

The protected header is the one SDK 4.0.0 ``sign_claim_envelope`` writes: ``{1: -8, 4: kid, 16: "stack/claim+cose"}``. What
the service signs is tagged (18), as the downloads in the SDK's tests are; what the SDK signs is not.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from stack_emu.domain.tokens import signer
from stack_emu.kernel.world import World

CONTENT_TYPE = "stack/claim+cose"
MEDIA = "application/cose"
_ALG, _KID, _TYP, _EDDSA, _SIGN1_TAG = 1, 4, 16, -8, 18


def claim(
    *, operator_id: str, subject: str, issued_at_ms: int, claim_type: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """The envelope dict of a claim, with the fields the SDK's own claims have (sdk 4.0.0 sign_claim.py)."""
    return {
        "envelope_version": 1,
        "issuer": operator_id,
        "subject": subject,
        "issued_at": issued_at_ms,
        "claim_type": claim_type,
        "claim_version": 1,
        "payload": dict(payload),
        "receipt": None,
        "co_signatures": [],
    }


def sign1(world: World, envelope: Mapping[str, Any]) -> bytes:
    """A tagged COSE_Sign1 over the CBOR of ``envelope``, deterministic (RFC 8949 core encoding; Ed25519 needs no nonce)."""
    import cbor2

    key = signer(world)
    protected = cbor2.dumps({_ALG: _EDDSA, _KID: key.kid.encode("ascii"), _TYP: CONTENT_TYPE}, canonical=True)
    payload = cbor2.dumps(dict(envelope), canonical=True)
    signature = key.sign_bytes(cbor2.dumps(["Signature1", protected, b"", payload], canonical=True))
    return cbor2.dumps(cbor2.CBORTag(_SIGN1_TAG, [protected, {}, payload, signature]), canonical=True)


def as_text(envelope: bytes) -> str:
    """Envelope bytes as base64url without padding, for JSON."""
    return base64.urlsafe_b64encode(envelope).rstrip(b"=").decode("ascii")


def as_bytes(text: str) -> bytes:
    """The bytes ``as_text`` made text of."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
