"""Evidence packs and operator reviews: exported and listed by the real SDK, checked with cbor2 and the published key."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import cbor2
import getstack
import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, READER, WORLD, error, get, issue, post, row

ENTERPRISE = WORLD.replace("- id: op_emu\n", "- id: op_emu\n    tier: enterprise\n").replace(
    "{id: op_other, keys", "{id: op_other, tier: enterprise, keys"
)
PERIOD = {"scope_kind": "period", "scope_ref": "period:2026-Q1"}


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(ENTERPRISE)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def published_key(served: Any) -> tuple[bytes, Ed25519PublicKey]:
    [key] = httpx.get(f"{served.base_url}/v1/.well-known/jwks.json").json()["keys"]
    raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
    return key["kid"].encode(), Ed25519PublicKey.from_public_bytes(raw)


def opened(served: Any, envelope: bytes) -> Any:
    """What a signed claim says, its signature checked with nothing but the published key."""
    assert envelope[:2] == b"\xd2\x84"
    message = cbor2.loads(envelope)
    protected, unprotected, payload, signature = message.value
    kid, key = published_key(served)
    assert cbor2.loads(protected) == {1: -8, 4: kid, 16: "stack/claim+cose"}
    assert (message.tag, dict(unprotected), len(signature)) == (18, {}, 64)
    key.verify(signature, cbor2.dumps(["Signature1", protected, b"", payload]))
    with pytest.raises(InvalidSignature):
        key.verify(signature, cbor2.dumps(["Signature1", protected, b"", payload + b"\x00"]))
    return cbor2.loads(payload)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def reviewed(stack: Any) -> Any:
    """A checkout that was flagged and then blocked, in the mission ms_logged."""
    done = stack.passports.checkout(issue(stack).jti, services_used=["stripe"], actions_count=1)
    stack.reviews.decide(done.checkout_id, "blocked", notes="not its business")
    return done


def test_a_pack_of_a_mission_holds_what_happened_in_it_and_nothing_else(stack: Any, served: Any) -> None:
    before = stack.evidence_packs.export(scope_kind="mission", scope_ref="ms_logged")
    assert before["manifest"]["audit"]["rows"] == []
    done = reviewed(stack)
    issue(stack, "standard")
    pack = stack.evidence_packs.export(scope_kind="mission", scope_ref="ms_logged")
    manifest = pack["manifest"]
    assert [item["jti"] for item in manifest["passports"]] == [done.passport_jti]
    assert [item["mission_id"] for item in manifest["missions"]] == ["ms_logged"]
    assert [item["id"] for item in manifest["checkouts"]] == [done.checkout_id]
    assert [item["claim"]["decision"] for item in manifest["operator_reviews"]] == ["blocked"]
    assert manifest["audit"]["rows"][0]["action"] == "passport.issue"
    assert {entry["passport_jti"] for entry in manifest["audit"]["rows"]} == {done.passport_jti}
    assert manifest["audit"]["chain_head"] == served.rows()[-2].entry_hash
    assert "token" not in json.dumps(manifest)


def test_the_bytes_downloaded_are_those_the_signed_claim_names(stack: Any, served: Any) -> None:
    reviewed(stack)
    pack = stack.evidence_packs.export(scope_kind="mission", scope_ref="ms_logged")
    data = stack.evidence_packs.download(pack["pack_id"])
    assert json.loads(data) == pack["manifest"]
    assert hashlib.sha256(data).hexdigest() == pack["manifest_sha256"]
    claim = opened(served, decoded(pack["envelope_cose"]))
    assert claim == pack["pack_claim"]
    assert (claim["issuer"], claim["claim_type"]) == ("op_emu", "evidence_pack")
    assert claim["payload"]["manifest_sha256"] == pack["manifest_sha256"]
    assert claim["payload"]["manifest_bytes"] == len(data)
    reviewed_later = stack.passports.checkout(issue(stack, ttl_seconds=600).jti, services_used=[], actions_count=0)
    assert reviewed_later.checkout_id
    assert stack.evidence_packs.download(pack["pack_id"]) == data


def test_packs_are_read_and_listed_newest_first_by_scope(stack: Any) -> None:
    first = stack.evidence_packs.export(scope_kind="mission", scope_ref="ms_logged")
    second = stack.evidence_packs.export(**PERIOD, air_gap=True)
    third = stack.evidence_packs.export(scope_kind="mission", scope_ref="ms_logged", supersedes=first["pack_id"])
    assert stack.evidence_packs.get(first["pack_id"])["superseded_by"] == third["pack_id"]
    assert stack.evidence_packs.get(third["pack_id"])["supersedes"] == first["pack_id"]
    listed = stack.evidence_packs.list()["items"]
    assert [pack["pack_id"] for pack in listed] == [third["pack_id"], second["pack_id"], first["pack_id"]]
    only = stack.evidence_packs.list(scope="period:2026-Q1")
    assert [pack["pack_id"] for pack in only["items"]] == [second["pack_id"]]
    assert second["manifest"]["jwks"]["keys"][0]["crv"] == "Ed25519"
    assert "jwks" not in first["manifest"]


def test_a_session_an_incident_and_a_quarter_are_scopes_too(stack: Any, served: Any) -> None:
    passport = issue(stack)
    child = stack.passports.delegate(passport.token, "agt_helper", scopes=["slack"])
    other = issue(stack, "standard")
    stack.passports.checkpoint(passport.jti, services_used=["stripe"], actions_count=1)
    session = get(served, "/v1/passports/active").json()[0]["session_id"]
    made = stack.evidence_packs.export(scope_kind="session", scope_ref=session)["manifest"]
    assert {item["jti"] for item in made["passports"]} == {passport.jti, child.jti}
    assert [event["signal_type"] for event in made["security_events"]] == ["credential_outside_scope"]
    incident = made["security_events"][0]["id"]
    about = stack.evidence_packs.export(scope_kind="incident", scope_ref=f"incident:{incident}")["manifest"]
    assert [event["id"] for event in about["security_events"]] == [incident]
    assert "security.signal" in [entry["action"] for entry in about["audit"]["rows"]]
    quarter = stack.evidence_packs.export(**PERIOD)["manifest"]
    assert {item["jti"] for item in quarter["passports"]} == {passport.jti, child.jti, other.jti}
    assert len(quarter["audit"]["rows"]) == len(served.rows()) - 1
    empty = stack.evidence_packs.export(scope_kind="period", scope_ref="2025-Q4")["manifest"]
    assert (empty["passports"], empty["audit"]["rows"]) == ([], [])


def test_packs_that_cannot_be_are_refused(stack: Any, served: Any) -> None:
    for kind, reference in (("mission", "ms_none"), ("session", "ses_none"), ("incident", "sev_none")):
        with pytest.raises(getstack.NotFoundError):
            stack.evidence_packs.export(scope_kind=kind, scope_ref=reference)
    with pytest.raises(getstack.StackError) as refused:
        stack.evidence_packs.export(scope_kind="period", scope_ref="last week")
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/evidence-packs", {"scope": {"kind": "all", "ref": "x"}})) == (400, "INVALID_REQUEST")
    pack = stack.evidence_packs.export(**PERIOD)
    for scope in ({"scope_kind": "mission", "scope_ref": "ms_logged"}, PERIOD):
        if scope is PERIOD:
            stack.evidence_packs.export(**PERIOD, supersedes=pack["pack_id"])
        with pytest.raises(getstack.StackError) as refused:
            stack.evidence_packs.export(**scope, supersedes=pack["pack_id"])
        assert refused.value.status_code == 409
    with pytest.raises(getstack.NotFoundError):
        stack.evidence_packs.get("pck_none")
    with pytest.raises(getstack.NotFoundError):
        stack.evidence_packs.download("pck_none")
    assert error(get(served, "/v1/evidence-packs?scope=everything")) == (400, "INVALID_REQUEST")


def test_who_may_have_packs(stack: Any, served: Any, serve: Any) -> None:
    pack = stack.evidence_packs.export(**PERIOD)
    body = {"scope": {"kind": "period", "ref": "2026-Q1"}}
    assert error(post(served, "/v1/evidence-packs", body, READER)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/evidence-packs", body, MEMBER)) == (403, "FORBIDDEN")
    assert get(served, "/v1/evidence-packs", READER).json()["total"] == 1
    assert get(served, "/v1/evidence-packs", MEMBER).json()["total"] == 0
    assert error(get(served, f"/v1/evidence-packs/{pack['pack_id']}", OTHER)) == (404, "NOT_FOUND")
    studio = serve(WORLD)
    assert error(post(studio, "/v1/evidence-packs", body)) == (403, "FORBIDDEN")


def test_exporting_leaves_a_row_with_the_digest(stack: Any, served: Any) -> None:
    pack = stack.evidence_packs.export(**PERIOD)
    found = row(served, "evidence.export")
    assert (found.outcome, found.payload_hash) == ("success", pack["manifest_sha256"])
    assert found.metadata["pack"] == pack["pack_id"]


def test_a_decision_on_a_checkout_is_a_signed_revision_of_its_mission(stack: Any, served: Any) -> None:
    assert stack.missions.list_operator_reviews("ms_logged")["items"] == []
    done = reviewed(stack)
    [item] = stack.missions.list_operator_reviews("ms_logged")["items"]
    assert (item["revision"], item["claim"]["checkout_id"]) == (1, done.checkout_id)
    data = stack.missions.download_operator_review("ms_logged", item["claim_id"])
    claim = opened(served, data)
    assert claim["payload"] == item["claim"]
    assert claim["payload"]["notes"] == "not its business"
    assert claim["issued_at"] == item["issued_at_ms"]
    assert stack.missions.list_dossiers("ms_logged") == {"items": []}


def test_a_dossier_needs_a_mission_that_has_ended(stack: Any, served: Any) -> None:
    dossier = {"narrative": "It went well", "lessons_learned": "none", "incident_classification": "none"}
    path = "/v1/missions/ms_logged/dossier"
    assert error(post(served, path, dossier)) == (409, "CONFLICT")
    stack.missions.complete("ms_logged")
    assert post(served, path, dossier).status_code == 201
    [item] = stack.missions.list_dossiers("ms_logged")["items"]
    assert item["body"]["narrative"] == "It went well"
    assert (
        opened(served, stack.missions.download_operator_review("ms_logged", item["claim_id"]))["payload"]["type"]
        == "dossier"
    )
    legacy = get(served, "/v1/missions/ms_logged/dossiers").json()["items"]
    assert [entry["body"]["lessons_learned"] for entry in legacy] == ["none"]
    assert error(post(served, path, {"narrative": "x"})) == (400, "INVALID_REQUEST")
    assert error(post(served, path, dossier, READER)) == (403, "FORBIDDEN")


def test_reviews_of_other_missions_and_accounts_are_unknown(stack: Any, served: Any) -> None:
    reviewed(stack)
    [item] = stack.missions.list_operator_reviews("ms_logged")["items"]
    for mission, claim in (("ms_logged", "pc_none"), ("ms_standard", item["claim_id"]), ("ms_none", item["claim_id"])):
        with pytest.raises(getstack.NotFoundError):
            stack.missions.download_operator_review(mission, claim)
    with pytest.raises(getstack.NotFoundError):
        stack.missions.list_operator_reviews("ms_none")
    path = "/v1/missions/ms_logged/operator-reviews"
    assert error(get(served, path, OTHER)) == (404, "NOT_FOUND")
    assert error(get(served, f"{path}/{item['claim_id']}/download", OTHER)) == (404, "NOT_FOUND")
    assert error(get(served, f"{path}/{item['claim_id']}/download", MEMBER)) == (404, "NOT_FOUND")


def test_the_same_as_tools(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    pack = tools("stack_export_evidence_pack", scope={"kind": "mission", "ref": "ms_logged"})
    assert tools("stack_get_evidence_pack", pack_id=pack["pack_id"])["manifest_sha256"] == pack["manifest_sha256"]
    assert tools("stack_download_evidence_pack", pack_id=pack["pack_id"]) == pack["manifest"]
    assert [item["pack_id"] for item in tools("stack_list_evidence_packs")["items"]] == [pack["pack_id"]]
    refused, failed = tools.result("stack_get_evidence_pack", pack_id="pck_none")
    assert (failed, refused["error"]["code"]) == (True, "NOT_FOUND")
