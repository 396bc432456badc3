"""JWTs that must not be accepted, by what is wrong with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stack_emu.domain.tokens import base64url, unbase64url

ATTACKER = Ed25519PrivateKey.from_private_bytes(b"the key of nobody in these tests")
Signs = Callable[[bytes], bytes]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def compact(header: Any, claims: Any, signs: Signs) -> str:
    """A token over JSON data or over bytes taken as they are."""
    head, body = (base64url(part if isinstance(part, bytes) else _json(part)) for part in (header, claims))
    return f"{head}.{body}.{base64url(signs(f'{head}.{body}'.encode()))}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token."""
    head, claims, _ = token.split(".")
    return json.loads(unbase64url(head)), json.loads(unbase64url(claims))


def of_another_key(token: str, public: Ed25519PrivateKey) -> dict[str, str]:
    """What somebody makes who has seen a token and its public key, and has no private one."""
    header, claims = parts(token)
    head, body, signature = token.split(".")
    raw = public.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)}
    own = {"kty": "OKP", "crv": "Ed25519", "x": base64url(_raw(ATTACKER))}
    curve = generate_private_key(SECP256R1())
    unsigned = {f"alg {word}": compact({**header, "alg": word}, claims, lambda data: b"") for word in _NONES}
    secrets = {
        "raw": raw,
        "PEM": pem,
        "PEM stripped": pem.strip(),
        "DER": der,
        "JWK": _json(jwk),
        "x": jwk["x"].encode(),
        "empty": b"",
    }
    shared = {
        f"HS{bits} with the public key as secret, {name}": compact(
            {**header, "alg": f"HS{bits}"},
            claims,
            lambda data, key=key, bits=bits: hmac.digest(key, data, f"sha{bits}"),
        )
        for name, key in secrets.items()
        for bits in (256, 512)
    }
    pointing = {
        f"header {name}": compact({**header, name: value}, claims, ATTACKER.sign)
        for name, value in {
            "jwk": own,
            "jku": "http://127.0.0.1:9/jwks.json",
            "x5u": "http://127.0.0.1:9/cert.pem",
            "x5c": ["AAAA"],
            "kid": "unknown",
        }.items()
    }
    keyed = {
        f"kid {kid!r}": compact({**header, "kid": kid}, claims, ATTACKER.sign)
        for kid in ("../../../dev/null", "' OR '1'='1", "key\x00", "|id", "", {"a": 1}, 7, None, "k" * 4000)
    }
    return {
        **unsigned,
        **shared,
        **pointing,
        **keyed,
        "another key": compact(header, claims, ATTACKER.sign),
        "ES256": compact({**header, "alg": "ES256"}, claims, lambda data: curve.sign(data, ECDSA(SHA256()))),
        "RS256": compact({**header, "alg": "RS256"}, claims, lambda data: b"\1" * 256),
        "alg missing": compact({name: value for name, value in header.items() if name != "alg"}, claims, ATTACKER.sign),
        "alg a list": compact({**header, "alg": ["EdDSA", "none"]}, claims, lambda data: b""),
        "alg null": compact({**header, "alg": None}, claims, lambda data: b""),
        "signature empty": f"{head}.{body}.",
        "signature of zeros": f"{head}.{body}.{base64url(bytes(64))}",
        "signature cut": f"{head}.{body}.{signature[:-4]}",
        "signature doubled": f"{head}.{body}.{signature}{signature}",
        "claims changed": f"{head}.{base64url(_json({**claims, 'sub': 'agt_stranger'}))}.{signature}",
        "header changed": f"{base64url(_json({**header, 'typ': 'other'}))}.{body}.{signature}",
        "detached": compact({**header, "b64": False, "crit": ["b64"]}, b"", ATTACKER.sign),
        "claims a list": compact(header, [claims], ATTACKER.sign),
        "claims no JSON": compact(header, b"\xff\xfe", ATTACKER.sign),
        "header no JSON": compact(b"{", claims, ATTACKER.sign),
        "header nested": compact(b"[" * 20_000, claims, ATTACKER.sign),
        "claims nested": compact(header, b'{"a":' + b"[" * 20_000, ATTACKER.sign),
        "jti no text": compact(header, _json({**claims, "jti": "\ud800"}), ATTACKER.sign),
        "jti nested": compact(header, b'{"jti":' + b"[" * 900 + b"]" * 900 + b"}", ATTACKER.sign),
        "hash as signature": compact(header, claims, lambda data: hashlib.sha512(data).digest()),
    }


_NONES = ("none", "None", "NONE", "nOnE", "none ", "")


def other_spellings(token: str) -> dict[str, str]:
    """The very bytes that were signed, in ways base64url is not written; and more than one token."""
    head, body, signature = token.split(".")
    return {
        "padding": f"{head}.{body}.{signature}==",
        "padding in the head": f"{head}=.{body}.{signature}",
        "last bits of the signature": f"{head}.{body}.{_other_last(signature)}",
        "garbage behind": f"{token}!",
        "garbage within": f"{head}.{body}.{signature[:9]}*{signature[9:]}",
        "line break within": f"{head}.{body}.{signature[:9]}\n{signature[9:]}",
        "plain base64": f"{head}.{body}.{base64.b64encode(unbase64url(signature)).decode()}",
        "two signatures": f"{token}.{signature}",
        "a dot behind": f"{token}.",
        "a dot before": f".{token}",
        "five parts": f"{head}..{body}.{signature}.{signature}",
        "twice": f"{token},{token}",
        "full-width dots": token.replace(".", "\uff0e"),
        "JSON serialization": json.dumps({"payload": body, "protected": head, "signature": signature}),
        "huge": f"{head}.{body}{'A' * 200_000}.{signature}",
        "nothing but dots": "..",
    }


def _other_last(text: str) -> str:
    """The same bytes by a lenient reader: the last character of 64 bytes carries four bits that say nothing."""
    last = ALPHABET.index(text[-1])
    return text[:-1] + ALPHABET[last ^ 1]


def wrong_claims(token: str, signs: Signs, wrong: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, str]:
    """Signed with the right key, over claims that are not right; ``needed`` are those that must not be missing."""
    header, claims = parts(token)
    changed = {
        f"{name.split(',')[0]} {value!r:.30}": {**claims, name.split(",")[0]: value} for name, value in wrong.items()
    }
    missing = {f"no {name}": {key: value for key, value in claims.items() if key != name} for name in needed}
    doubled = _json(claims)[:-1] + f',"sub":{json.dumps(claims["sub"])}}}'.encode()
    return {
        **{name: compact(header, found, signs) for name, found in {**changed, **missing}.items()},
        "a claim twice": compact(header, doubled, signs),
        "alg twice": compact(_json(header)[:-1] + b',"alg":"EdDSA"}', claims, signs),
        "nested": compact({**header, "cty": "JWT"}, token.encode(), signs),
        "crit": compact({**header, "crit": ["exp"], "exp": 1}, claims, signs),
    }


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
