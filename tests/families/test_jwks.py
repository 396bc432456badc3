"""The public key set, and the SDK's offline checks against it."""

from __future__ import annotations

import base64
import json
from typing import Any

import cbor2
import getstack
import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from getstack import sign_claim_envelope, verify_passport_header, verify_passport_offline

from tests.families.passport_world import OPERATOR, REAL, WORLD, issue


def test_the_key_set_needs_no_credential_and_is_the_same_at_every_address_before_agents_enroll(serve: Any) -> None:
    served = serve(WORLD)
    reply = httpx.get(served.base_url + "/v1/.well-known/jwks.json")
    assert reply.status_code == 200
    (key,) = reply.json()["keys"]
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
    assert key["kid"]
    assert "d" not in key
    for operator in ("op_emu", "agt_anything"):
        assert httpx.get(f"{served.base_url}/v1/operators/{operator}/jwks.json").json() == reply.json()


def test_a_world_has_the_same_key_on_every_run_and_another_seed_another_key(serve: Any) -> None:
    def key(**options: Any) -> str:
        return httpx.get(serve(WORLD, **options).base_url + "/v1/.well-known/jwks.json").json()["keys"][0]["x"]

    assert key() == key() != key(seed=8)


def test_the_sdk_verifies_a_passport_offline_and_from_the_header(serve: Any, sdk: Any) -> None:
    served = serve(REAL)
    stack = sdk(served.base_url, OPERATOR)
    passport = issue(stack)
    url = served.base_url + "/v1/.well-known/jwks.json"
    for said in (
        verify_passport_offline(passport.token, jwks_url=url),
        verify_passport_offline(passport.token, public_jwk=httpx.get(url).json()["keys"][0]),
        verify_passport_header(passport.token, base_url=served.base_url),
        verify_passport_header([passport.token], base_url=served.base_url),
    ):
        assert said["jti"] == passport.jti
        assert said["sub"] == said["stk"]["agent_id"] == "agt_logged"
        assert said["stk"]["mission_ids"] == ["ms_logged"]
    child = stack.passports.delegate(passport.token, "agt_helper")
    assert verify_passport_header(child.token, base_url=served.base_url)["stk"]["parent_passport_id"] == passport.jti


def test_the_sdk_refuses_a_passport_of_another_world(serve: Any) -> None:
    one, two = serve(REAL), serve(REAL, seed=99)
    with getstack.Stack(OPERATOR, base_url=one.base_url) as stack:
        token = issue(stack).token
    with pytest.raises(ValueError):
        verify_passport_header(token, base_url=two.base_url)
    other = httpx.post(two.base_url + "/v1/passports/verify", json={"token": token}).json()
    assert (other["valid"], other["code"]) == (False, "UNAUTHORIZED")


def test_a_tampered_passport_is_refused_offline_and_online(serve: Any) -> None:
    import base64
    import json

    served = serve(REAL)
    with getstack.Stack(OPERATOR, base_url=served.base_url) as stack:
        head, body, signature = issue(stack).token.split(".")
        said = json.loads(base64.urlsafe_b64decode(body + "=="))
        said["stk"]["services"] = []
        forged = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
        token = f"{head}.{forged}.{signature}"
        assert stack.passports.verify(token)["valid"] is False
    with pytest.raises(ValueError):
        verify_passport_offline(token, jwks_url=served.base_url + "/v1/.well-known/jwks.json")


def test_a_claim_the_sdk_signs_with_an_enrolled_key_holds_against_the_published_one(
    serve: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sign_claim_envelope`` of SDK 4.0.0: signed where the agent runs, checked with cbor2 and the operator's key set."""
    served = serve(REAL)
    monkeypatch.setenv("HOME", str(tmp_path))
    with getstack.Stack(agent_id="agt_logged", api_key=OPERATOR, base_url=served.base_url) as agent:
        agent.missions.list()
    private = json.loads((tmp_path / ".stack" / "agents" / "agt_logged.json").read_text("utf-8"))["privateKey"]
    envelope = {
        "envelope_version": 1,
        "issuer": "op_emu",
        "subject": "stack://operator/op_emu/passport/pp_1",
        "issued_at": 1_767_225_600_000,
        "claim_type": "intent_outcome",
        "claim_version": 1,
        "payload": {"done": True},
        "receipt": None,
        "co_signatures": [],
    }
    signed = sign_claim_envelope(envelope, private_key=private, agent_id="agt_logged")
    keys = httpx.get(f"{served.base_url}/v1/operators/op_emu/jwks.json").json()["keys"]
    assert opened(signed, keys) == envelope
    with pytest.raises(InvalidSignature):
        opened(sign_claim_envelope(envelope, private_key=ANOTHER, agent_id="agt_logged"), keys)
    assert httpx.delete(f"{served.base_url}/v1/agents/agt_logged", headers=BEARER).status_code == 200
    assert len(httpx.get(f"{served.base_url}/v1/operators/op_emu/jwks.json").json()["keys"]) == 1


BEARER = {"Authorization": f"Bearer {OPERATOR}"}
ANOTHER = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
}
"""The key of RFC 8037, appendix A."""


def opened(signed: str, keys: list[dict[str, str]]) -> Any:
    """The envelope inside a signed claim, whose signature holds against the key it names."""
    protected, unprotected, payload, signature = cbor2.loads(
        base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4))
    )
    header = cbor2.loads(protected)
    assert (header[1], header[16], unprotected) == (-8, "stack/claim+cose", {})
    [key] = [key for key in keys if key["kid"] == header[4].decode()]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
    public.verify(signature, cbor2.dumps(["Signature1", protected, b"", payload]))
    return cbor2.loads(payload)
