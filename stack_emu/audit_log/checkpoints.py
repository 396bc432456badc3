"""Signed checkpoints: statements of how far a log had come, by which later cuts and rewritings are noticed.

A checkpoint is a compact JWS (RFC 7515) with Ed25519 (RFC 8037), whose header and payload are canonical JSON: the same log
and key give the same bytes. Its ``typ`` and ``aud`` are of its own, so that it is never taken for a passport, nor a passport
for it, though one key may sign both. ``docs/audit-format.md`` specifies it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stack_emu.audit_log.canonical_file import CanonicalFile
from stack_emu.audit_log.raw_rows import RawFile
from stack_emu.audit_log.verdicts import REHASHED, TRUNCATED, Break
from stack_emu.audit_log.verification import raw_links
from stack_emu.kernel import strict_json
from stack_emu.kernel.audit import FORMAT, FORMATS, GENESIS, JOURNAL_FORMAT
from stack_emu.kernel.canonical import canonical_json, digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TYP = "stack-emu-checkpoint+jws"
AUDIENCE = "stack-emu:audit-checkpoint"
RAW_FORMAT = "stack-audit-chain/1"
_KINDS = {FORMAT: "a canonical log", JOURNAL_FORMAT: "a canonical journal", RAW_FORMAT: "a raw chain"}
SignBytes = Callable[[bytes], bytes]


class CheckpointError(Exception):
    """A checkpoint or key that cannot be used; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose signature was verified.

    Args:
        statement: what it says.
        kid: id of the key it is signed with.
        sha256: hex SHA-256 of its text, by which the next one names it.
    """

    statement: Mapping[str, Any]
    kid: str
    sha256: str


# --- what is signed -------------------------------------------------------------------------------------------------------


def canonical_statement(log: CanonicalFile, previous: str | None = None) -> dict[str, Any]:
    """What a checkpoint says of a canonical log that holds.

    Args:
        log: the log.
        previous: SHA-256 of the checkpoint before, in hex; None for the first.
    """
    lanes: dict[str, dict[str, Any]] = {}
    for row in log.rows:
        lane = lanes.setdefault(row["lane"], {"rows": 0})
        lane["rows"] += 1
        lane["head"] = row["hash"]
    instants = [row["at_ms"] for row in log.rows if type(row.get("at_ms")) is int]
    return {
        "aud": AUDIENCE,
        "format": log.head["format"],
        "order": log.head["order"],
        "head": log.head["head"],
        "rows": len(log.rows),
        "lanes": lanes,
        "at_ms": max(instants, default=None),
        "previous": previous,
    }


def raw_statement(operator: str, entry_hash: str, entry_count: int, previous: str | None = None) -> dict[str, Any]:
    """What a checkpoint says of an account's raw chain.

    Args:
        operator: the account.
        entry_hash: the hash of its newest row.
        entry_count: how many rows it has.
        previous: SHA-256 of the checkpoint before, in hex; None for the first.
    """
    return {
        "aud": AUDIENCE,
        "format": RAW_FORMAT,
        "operator": operator,
        "entry_hash": entry_hash,
        "entry_count": entry_count,
        "previous": previous,
    }


def statement_of(log: CanonicalFile | RawFile, previous: str | None = None) -> dict[str, Any]:
    """What a checkpoint says of a log that holds.

    Raises:
        CheckpointError: when a raw export is not one account's chain from its beginning.
    """
    if isinstance(log, CanonicalFile):
        return canonical_statement(log, previous)
    links = raw_links(log)
    if len({link.lane for link in links}) != 1:
        raise CheckpointError("it needs the rows of one account; export them with GET /v1/audit/export")
    if links[0].prev != GENESIS:
        raise CheckpointError(
            "it needs the whole chain, and this export begins in the middle; export it without from and filters"
        )
    return raw_statement(links[0].lane, str(links[-1].recorded), len(links), previous)


# --- signing --------------------------------------------------------------------------------------------------------------


def sign(statement: Mapping[str, Any], sign_bytes: SignBytes, kid: str) -> str:
    """A checkpoint: the compact JWS of a statement, the same text for the same statement and key.

    Args:
        statement: what it says.
        sign_bytes: an Ed25519 signature over bytes.
        kid: id of the key, by which a verifier finds it in a key set.
    """
    header = {"alg": "EdDSA", "kid": kid, "typ": TYP}
    signed = f"{_encode(canonical_json(header))}.{_encode(canonical_json(dict(statement)))}"
    return f"{signed}.{_encode(sign_bytes(signed.encode('ascii')))}"


@dataclass(frozen=True)
class SigningKey:
    """A private key, by what it can do: sign, and name its public half as a JWK."""

    sign_bytes: SignBytes
    jwk: Mapping[str, str]


def read_signing_key(data: bytes) -> SigningKey:
    """An Ed25519 private key from PEM (PKCS #8, not encrypted) or a JWK.

    Raises:
        CheckpointError: when it is none; the message tells nothing of what is in it.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if data.lstrip()[:1] == b"{":
        key = _private_jwk(data)
    else:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            loaded = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            loaded = None
        if not isinstance(loaded, Ed25519PrivateKey):
            raise _no_private_key()
        key = loaded
    public = key.public_key().public_bytes_raw()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": _encode(public)}
    thumbprint = _encode(hashlib.sha256(canonical_json(jwk)).digest())  # RFC 7638
    return SigningKey(key.sign, {**jwk, "kid": thumbprint, "use": "sig", "alg": "EdDSA"})


def _private_jwk(data: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        jwk = strict_json.loads(data)
        if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
            raise ValueError
        return Ed25519PrivateKey.from_private_bytes(_decode(jwk["d"]))
    except (ValueError, KeyError, TypeError):
        raise _no_private_key() from None


def _no_private_key() -> CheckpointError:
    return CheckpointError(
        "this is no Ed25519 private key in PEM or as a JWK; make one with openssl genpkey -algorithm ed25519 -out KEY"
    )


# --- verifying --------------------------------------------------------------------------------------------------------------


def read_keys(data: bytes) -> dict[str, bytes]:
    """The Ed25519 public keys in a key set (JWKS) or JWK: 32 bytes by key id.

    Raises:
        CheckpointError: when there is none in it.
    """
    try:
        value = strict_json.loads(data)
    except ValueError:
        value = None
    listed = value.get("keys", [value]) if isinstance(value, dict) else []
    keys = dict(key for jwk in (listed if isinstance(listed, list) else []) if (key := _public_key(jwk)) is not None)
    if not keys:
        raise CheckpointError(
            "this holds no Ed25519 key with a kid; give the key set that audit checkpoint --jwks-out wrote, or that an "
            "emulator serves at /v1/.well-known/jwks.json"
        )
    return keys


def _public_key(jwk: Any) -> tuple[str, bytes] | None:
    """Key id and bytes of an Ed25519 key; None for anything else that may stand in a key set."""
    try:
        raw = _decode(jwk["x"])
        usable = (jwk["kty"], jwk["crv"]) == ("OKP", "Ed25519") and isinstance(jwk["kid"], str) and len(raw) == 32
        return (jwk["kid"], raw) if usable else None
    except (KeyError, TypeError, ValueError):
        return None


def verify_checkpoint(text: str, keys: Mapping[str, bytes]) -> Checkpoint:
    """A checkpoint whose signature and form were checked.

    Args:
        text: the compact JWS; space around it is ignored.
        keys: the public keys that are trusted, by key id.

    Raises:
        CheckpointError: when it is no checkpoint, or none of these keys signed it.
    """
    import jwt

    text = text.strip()
    header = _header(text)
    kid = header.get("kid")
    if header.get("alg") != "EdDSA" or header.get("typ") != TYP or "crit" in header:
        raise CheckpointError(
            f"this is no checkpoint: its header says typ {header.get('typ')}, alg {header.get('alg')}"
        )
    if not isinstance(kid, str) or kid not in keys:
        raise CheckpointError(f"it is signed with the key {kid}, and the key set holds {', '.join(sorted(keys))}")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        payload = jwt.PyJWS().decode(text, Ed25519PublicKey.from_public_bytes(keys[kid]), algorithms=["EdDSA"])
        statement = strict_json.loads(payload)
    except (jwt.InvalidTokenError, ValueError):
        raise CheckpointError(f"its signature is not one of the key {kid}: it was changed, or forged") from None
    _require_sound(statement)
    return Checkpoint(statement, kid, text_sha256(text))


def text_sha256(text: str) -> str:
    """What the next checkpoint calls this one: the hex SHA-256 of its text."""
    return hashlib.sha256(text.strip().encode("utf-8")).hexdigest()


def _header(text: str) -> Mapping[str, Any]:
    try:
        parts = text.split(".")
        if len(parts) != 3 or any(_encode(_decode(part)) != part for part in parts):
            raise ValueError
        header = strict_json.loads(_decode(parts[0]))
        if not isinstance(header, dict):
            raise ValueError
    except ValueError:
        raise CheckpointError("this is no checkpoint: it is not a compact JWS") from None
    return header


def _require_sound(statement: Any) -> None:
    """Refuse a statement that does not agree with itself, whoever signed it."""
    sound = isinstance(statement, dict) and statement.get("aud") == AUDIENCE
    if sound and statement.get("format") in FORMATS:
        sound = _sound_canonical(statement)
    elif sound and statement.get("format") == RAW_FORMAT:
        count = statement.get("entry_count")
        sound = all(isinstance(statement.get(name), str) for name in ("operator", "entry_hash"))
        sound = sound and type(count) is int and count >= 0
    else:
        sound = False
    if not sound:
        raise CheckpointError("it is signed, but what it says is no statement about an audit log")


def _sound_canonical(statement: Mapping[str, Any]) -> bool:
    lanes = statement.get("lanes")
    if not isinstance(lanes, dict) or not all(isinstance(lane, dict) for lane in lanes.values()):
        return False
    counts = [lane.get("rows") for lane in lanes.values()]
    if not all(type(count) is int and count > 0 for count in counts) or sum(counts) != statement.get("rows"):
        return False
    heads = {name: lane.get("head") for name, lane in lanes.items()}
    last = {"format": statement["format"], "lanes": heads, "order": statement.get("order"), "rows": statement["rows"]}
    try:
        return digest(last) == statement.get("head")
    except ValueError:
        return False


def require_order(checkpoints: list[Checkpoint]) -> None:
    """Refuse checkpoints that do not each name the one before.

    Raises:
        CheckpointError: with the first that does not.
    """
    for number in range(1, len(checkpoints)):
        if checkpoints[number].statement.get("previous") != checkpoints[number - 1].sha256:
            raise CheckpointError(
                f"checkpoint {number + 1} does not name checkpoint {number} as the one before it; give them oldest first"
            )


# --- a log against a checkpoint -------------------------------------------------------------------------------------------


def checkpoint_break(log: CanonicalFile | RawFile, checkpoint: Checkpoint) -> Break | None:
    """Where a log that holds by itself is not the one that was signed, or None: later rows may follow.

    Raises:
        CheckpointError: when the checkpoint is about the other kind of log.
    """
    said = checkpoint.statement
    found = log.head.get("format") if isinstance(log, CanonicalFile) else RAW_FORMAT
    if found != said["format"]:
        raise CheckpointError(f"it is about {_KINDS[said['format']]}, and the file is another kind of log")
    return _canonical_break(log, said) if isinstance(log, CanonicalFile) else _raw_break(log, said)


def signed_rows(checkpoint: Checkpoint) -> int:
    """How many rows a checkpoint covers."""
    said = checkpoint.statement
    return int(said["entry_count"] if said["format"] == RAW_FORMAT else said["rows"])


def _canonical_break(log: CanonicalFile, said: Mapping[str, Any]) -> Break | None:
    at = len(log.lines)
    if log.head.get("order") != said["order"]:
        return Break(
            REHASHED, at, f"the log is in {log.head.get('order')} order, signed was one in {said['order']} order"
        )
    by_lane: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, row in enumerate(log.rows, 1):
        by_lane.setdefault(row["lane"], []).append((number, row))
    for lane, signed in sorted(said["lanes"].items(), key=lambda item: item[0].encode("utf-8", "surrogatepass")):
        rows, count = by_lane.get(lane, []), signed["rows"]
        if len(rows) < count:
            line, last = rows[-1] if rows else (at, {})
            return Break(
                TRUNCATED,
                line,
                f"the lane has {len(rows)} rows, and had {count} when it was signed",
                lane,
                last.get("n"),
            )
        line, row = rows[count - 1]
        if row["hash"] != signed["head"]:
            problem = "it is not the row that was signed: its lane was rewritten here or before, and hashed anew"
            if said["order"] == "content":
                problem += "; in content order later acts move rows, so that a checkpoint is about one log only"
            return Break(REHASHED, line, problem, lane, row["n"])
    if len(log.rows) == said["rows"] and log.head.get("head") != said["head"]:
        return Break(REHASHED, at, "its rows are those that were signed, but its head is another one")
    return None


def _raw_break(log: RawFile, said: Mapping[str, Any]) -> Break | None:
    operator, count = said["operator"], int(said["entry_count"])
    links = [link for link in raw_links(log) if link.lane == operator]
    if not count:
        return None
    if not links:
        return Break(
            TRUNCATED, 0, f"there are no rows of {operator}, and there were {count} when it was signed", operator
        )
    found: int | None = next(
        (number for number, link in enumerate(links, 1) if link.recorded == said["entry_hash"]), None
    )
    whole = links[0].prev == GENESIS
    if found is not None and found == count:
        return None
    if found is not None and found < count and not whole:
        return links[0].broken(
            TRUNCATED,
            f"{count - found} of the {count} rows that were signed are missing before it; export the whole chain",
        )
    if whole and len(links) < count:
        return links[-1].broken(TRUNCATED, f"the chain has {len(links)} rows, and had {count} when it was signed")
    if whole:
        return links[count - 1].broken(
            REHASHED, f"it is row {count} and not the one that was signed: the chain was rewritten here or before"
        )
    return links[0].broken(TRUNCATED, "the export does not hold the row that was signed; export the whole chain")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
