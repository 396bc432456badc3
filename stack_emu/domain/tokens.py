"""Signing and checking of passports (EdDSA JWTs) with the world's key, and the JWKS they are checked against.

Claims are those SDK 4.0.0 verifies (``verify_passport_offline``, ``verify_passport_header``): ``iss`` is the bare host
``getstack.run``, ``aud`` is ``stack:passport``, ``sub`` equals ``stk.agent_id``, ``exp`` is an integer.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack_emu.kernel.world import World

ISSUER = "getstack.run"
PASSPORT_AUDIENCE = "stack:passport"
AGENT_AUDIENCE = "stack:agent"
LONGEST_TOKEN = 65_536
"""Characters of a token that is looked at; a passport with every service of an account has a few thousand."""
_CACHE_SIZE = 8192
_LATEST_INSTANT = 253_402_300_799
"""The last second of the year 9999."""


class TokenError(Exception):
    """A token that cannot be accepted; the message says what is wrong with it."""


class Signer:
    """Signs and verifies tokens of one world. Verified tokens are remembered by their text: signatures do not change.

    Args:
        key_material: 32 bytes, derived from the world's seed.
    """

    def __init__(self, key_material: bytes) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(key_material)
        public = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.x = base64url(public)
        self.kid = "stk_" + self.x[:16]
        self._verified: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def jwks(self) -> dict[str, Any]:
        """The public key set."""
        key = {"kty": "OKP", "crv": "Ed25519", "x": self.x, "kid": self.kid, "use": "sig", "alg": "EdDSA"}
        return {"keys": [key]}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT over ``claims`` with the world's key id in its header."""
        import jwt

        return jwt.encode(dict(claims), self._key, algorithm="EdDSA", headers={"kid": self.kid})

    def sign_bytes(self, data: bytes) -> bytes:
        """A raw Ed25519 signature over ``data`` with the world's key."""
        return self._key.sign(data)

    def verified(self, token: str) -> Mapping[str, Any] | None:
        """The claims of a token that was verified before, or None."""
        return self._verified.get(token)

    def verify(self, token: str) -> Mapping[str, Any]:
        """The claims of a passport token, its signature, issuer and audience checked; expiry is the caller's to judge.

        Raises:
            TokenError: with what is wrong.
        """
        known = self._verified.get(token)
        if known is not None:
            self._verified.move_to_end(token)
            return known
        claims = self._decode(token)
        self._verified[token] = claims
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return claims

    def _decode(self, token: str) -> Mapping[str, Any]:
        import jwt

        _require_strict(token)
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["jti", "sub"]}
        try:
            return jwt.decode(
                token, self._key.public_key(), ["EdDSA"], options=options, audience=PASSPORT_AUDIENCE, issuer=ISSUER
            )
        except jwt.InvalidTokenError as error:
            raise TokenError(_sentence(error)) from None


def decode_agent_token(token: str, public_x: str) -> Mapping[str, Any]:
    """Claims of an agent JWT checked with the agent's enrolled key; times are the caller's to judge.

    Args:
        token: as SDK 4.0.0 makes it (agent_auth.py): no ``kid``, ``iss`` ``stack-sdk``, ``aud`` ``stack:agent``.
        public_x: ``x`` of the agent's JWK.

    Raises:
        TokenError: with what is wrong.
    """
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    _require_strict(token)
    key = Ed25519PublicKey.from_public_bytes(unbase64url(public_x))
    options: Any = {
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "require": ["jti", "sub", "iat", "exp"],
    }
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token, key, ["EdDSA"], options=options, audience=AGENT_AUDIENCE, issuer="stack-sdk"
        )
    except jwt.InvalidTokenError as error:
        raise TokenError(_sentence(error)) from None
    for name in ("iat", "exp", "nbf"):
        if name in claims and not _is_instant(claims[name]):
            raise TokenError(f"{name} must be a number of seconds since 1970")
    if not claims["jti"]:
        raise TokenError("jti is empty; give each token one of its own")
    return claims


def _is_instant(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LATEST_INSTANT  # NaN is in no range


def _require_strict(token: str) -> None:
    """Refuse a token that readers could read in two ways: other spellings of the same bytes, names given twice.

    Raises:
        TokenError: with what is wrong.
    """
    if len(token) > LONGEST_TOKEN:
        raise TokenError(f"it is longer than {LONGEST_TOKEN} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("it has to be three parts with a dot between them")
    for part in parts:
        try:
            raw = unbase64url(part)
        except ValueError:
            raw = b""
        if not raw or base64url(raw) != part:
            raise TokenError("its parts have to be base64url without padding, in the one spelling there is")
        if part is not parts[2]:
            _require_object(raw)


def _require_object(raw: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise TokenError("a name is given twice in it")
        return found

    try:
        value = json.loads(raw, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise TokenError("its header or its claims are not JSON") from None
    if not isinstance(value, dict):
        raise TokenError("its header and its claims have to be JSON objects")


def unverified_claims(token: str) -> Mapping[str, Any]:
    """Claims of a JWT without any check.

    Raises:
        TokenError: when the text is no JWT.
    """
    import jwt

    try:
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise TokenError(_sentence(error)) from None
    except RecursionError:
        raise TokenError("it is nested too deeply") from None
    return claims


def signer(world: World) -> Signer:
    """The world's signer, made on first use."""
    known: Signer | None = world.settings.get("signer")
    if known is None:
        known = world.settings["signer"] = Signer(world.key_bytes("signing-key"))
    return known


def base64url(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def unbase64url(text: str) -> bytes:
    """Bytes of base64url with or without padding.

    Raises:
        ValueError: when the text is not base64url.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _sentence(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]
