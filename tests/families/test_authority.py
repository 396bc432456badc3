"""Authority: principals, proofs, receivers and profiles over the real SDK, and what erasing leaves."""

from __future__ import annotations

import itertools
import json
from typing import Any

import getstack
import pytest

from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, WORLD, error, get, post, row

JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
_KEYS = itertools.count()


def key() -> dict[str, str]:
    return {"idempotency_key": f"key-{next(_KEYS)}"}


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def authority(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR).authority


@pytest.fixture
def stranger(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OTHER).authority


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(getstack.StackError) as refused:
        call(*arguments, **named)
    return refused.value.status_code, refused.value.code


def person(authority: Any) -> Any:
    return authority.create_principal(principal_kind="individual", full_name="Ada Example", **key())


def test_a_principal_is_made_shown_archived_and_bound_no_more(authority: Any, served: Any) -> None:
    made = person(authority)
    assert made["id"].startswith("prn_")
    assert (made["principal_kind"], made["full_name"], made["status"]) == ("individual", "Ada Example", "active")
    assert authority.get_principal(made["id"]) == made
    assert authority.list_principals() == [made]
    archived = authority.archive_principal(made["id"], reason_code="left", **key())
    assert (archived["status"], archived["reason_code"], archived["version"]) == ("archived", "left", 2)
    assert authority.list_principals() == [archived]
    bind = {"principal_id": made["id"], "agent_id": "agt_logged"}
    assert refusal(authority.create_binding, **bind, **key()) == (409, "CONFLICT")
    assert refusal(authority.archive_principal, made["id"], reason_code="left", **key()) == (409, "CONFLICT")
    assert row(served, "authority.create_principal").metadata["authority_principal"] == made["id"]


def test_a_missing_key_is_named_by_its_header(served: Any) -> None:
    refused = post(served, "/v1/authority/principals", {"principal_kind": "individual"})
    assert error(refused) == (400, "INVALID_REQUEST")
    assert "it is the header Idempotency-Key" in refused.json()["error"]["message"]


def test_a_write_needs_an_idempotency_key_and_keeps_to_it(authority: Any, served: Any) -> None:
    body = {"principal_kind": "individual", "full_name": "Ada Example"}
    assert error(post(served, "/v1/authority/principals", body)) == (400, "INVALID_REQUEST")
    once = authority.create_principal(idempotency_key="one", **body)
    assert authority.create_principal(idempotency_key="one", **body) == once
    assert len(authority.list_principals()) == 1
    other = {**body, "full_name": "Bea Example"}
    assert refusal(authority.create_principal, idempotency_key="one", **other) == (409, "IDEMPOTENCY_CONFLICT")
    assert refusal(authority.create_principal, idempotency_key="two", principal_kind="?") == (400, "INVALID_REQUEST")


def test_erasing_a_principal_takes_its_data_out_everywhere(authority: Any, served: Any) -> None:
    made = authority.create_principal(idempotency_key="one", principal_kind="individual", full_name="Ada Example")
    proof = authority.import_proof(principal_id=made["id"], proof_kind="mandate", signed_by="Ada Example", **key())
    session = authority.create_proof_collection_session(principal_id=made["id"], email="Ada Example", **key())
    binding = authority.create_binding(principal_id=made["id"], agent_id="agt_logged", note="for Ada Example", **key())
    authority.create_approval_requests(binding["id"], approver_ids=["Ada Example"], **key())
    authority.archive_principal(made["id"], reason_code="left", **key())
    tombstone = authority.erase_principal(made["id"], **key())
    assert (tombstone["id"], tombstone["kind"], tombstone["status"]) == (made["id"], "principal", "erased")
    left = authority.get_principal(made["id"])
    assert left["status"] == "erased"
    assert "full_name" not in left
    assert authority.get_proof(proof["id"])["status"] == "erased"
    assert authority.get_proof_collection_session(session["id"])["status"] == "erased"
    assert authority.get_binding(binding["id"])["status"] == "erased"
    again = authority.create_principal(idempotency_key="one", principal_kind="individual", full_name="Ada Example")
    assert again == left
    stored = served.call(lambda: repr([table.rows for table in served.world.store.image().tables.values()]))
    assert "Ada Example" not in stored
    seen = repr([(act, act.rows) for act in served.world.audit.acts()]) + repr(served.world.journal.entries())
    assert "Ada Example" not in seen


def test_a_bound_principal_is_not_erased(authority: Any) -> None:
    made = person(authority)
    binding = authority.create_binding(principal_id=made["id"], agent_id="agt_logged", **key())
    authority.activate_binding(binding["id"], **key())
    with pytest.raises(getstack.StackError) as refused:
        authority.erase_principal(made["id"], **key())
    assert refused.value.code == "CONFLICT"
    assert refused.value.details["binding_ids"] == [binding["id"]]
    assert authority.get_principal(made["id"])["full_name"] == "Ada Example"


def test_a_proof_is_imported_revoked_and_erased(authority: Any) -> None:
    made = person(authority)
    proof = authority.import_proof(principal_id=made["id"], proof_kind="mandate", issuer="registry", **key())
    assert proof["id"].startswith("prf_")
    assert (proof["status"], proof["issuer"], proof["principal_id"]) == ("valid", "registry", made["id"])
    assert authority.list_proofs() == [proof]
    revoked = authority.revoke_proof(proof["id"], reason_code="withdrawn", **key())
    assert (revoked["status"], revoked["version"]) == ("revoked", 2)
    assert authority.get_proof(proof["id"], version=1) == proof
    assert authority.get_proof(proof["id"]) == revoked
    bind = {"principal_id": made["id"], "agent_id": "agt_logged", "proof_ids": [proof["id"]]}
    assert refusal(authority.create_binding, **bind, **key()) == (409, "CONFLICT")
    assert refusal(authority.revoke_proof, proof["id"], reason_code="r", **key()) == (409, "CONFLICT")
    erased = authority.erase_proof(proof["id"], **key())
    assert erased["status"] == "erased"
    assert "issuer" not in erased
    assert refusal(authority.get_proof, proof["id"], version=1) == (404, "NOT_FOUND")
    unknown = {"principal_id": "prn_none", "proof_kind": "mandate"}
    assert refusal(authority.import_proof, **unknown, **key()) == (404, "NOT_FOUND")


def test_a_proof_is_collected_by_the_time_its_session_is_looked_at(authority: Any) -> None:
    made = person(authority)
    session = authority.create_proof_collection_session(principal_id=made["id"], **key())
    assert session["id"].startswith("pcs_")
    assert (session["status"], session["proof_id"]) == ("pending", None)
    done = authority.get_proof_collection_session(session["id"])
    assert done["status"] == "completed"
    assert authority.get_proof(done["proof_id"])["session_id"] == session["id"]
    nobody = {"principal_id": "prn_none"}
    assert refusal(authority.create_proof_collection_session, **nobody, **key()) == (404, "NOT_FOUND")


def test_a_receiver_is_verified_with_a_challenge_and_a_key(authority: Any) -> None:
    made = authority.create_receiver(name="Tax office", **key())
    assert made["id"].startswith("rcv_")
    assert (made["status"], made["keys"]) == ("unverified", [])
    with pytest.raises(getstack.StackError) as refused:
        authority.verify_receiver(made["id"], **key())
    assert refused.value.status_code == 409
    assert len(refused.value.details["missing"]) == 2
    added = authority.add_receiver_key(made["id"], public_key=JWK, **key())
    challenge = authority.create_receiver_verification_challenge(made["id"], **key())
    assert challenge["receiver_id"] == made["id"]
    verified = authority.verify_receiver(made["id"], **key())
    assert verified["status"] == "verified"
    assert [one["id"] for one in verified["keys"]] == [added["id"]]
    assert authority.list_receivers() == [authority.get_receiver(made["id"])] == [verified]
    assert refusal(authority.create_receiver_verification_challenge, made["id"], **key()) == (409, "CONFLICT")
    revoked = authority.revoke_receiver_key(made["id"], added["id"], reason_code="lost", **key())
    assert (revoked["id"], revoked["status"], revoked["reason_code"]) == (added["id"], "revoked", "lost")
    assert authority.get_receiver(made["id"])["keys"] == [revoked]
    again = {"reason_code": "lost"}
    assert refusal(authority.revoke_receiver_key, made["id"], added["id"], **again, **key()) == (409, "CONFLICT")
    private = {**JWK, "d": "secret"}
    assert refusal(authority.add_receiver_key, made["id"], public_key=private, **key()) == (400, "INVALID_REQUEST")
    assert refusal(authority.create_receiver, name="", **key()) == (400, "INVALID_REQUEST")


def test_a_challenge_is_good_for_an_hour(authority: Any, served: Any) -> None:
    made = authority.create_receiver(name="Tax office", **key())
    authority.add_receiver_key(made["id"], public_key=JWK, **key())
    authority.create_receiver_verification_challenge(made["id"], **key())
    served.call(lambda: served.world.advance(3_600_000))
    assert refusal(authority.verify_receiver, made["id"], **key()) == (409, "CONFLICT")
    authority.create_receiver_verification_challenge(made["id"], **key())
    assert authority.verify_receiver(made["id"], **key())["status"] == "verified"


def test_one_profile_version_of_a_kind_is_active(authority: Any) -> None:
    first = authority.create_profile_version(profile_kind="receiver", rules={"a": 1}, **key())
    second = authority.create_profile_version(profile_kind="receiver", **key())
    assert first["id"].startswith("apv_")
    assert (first["status"], first["version"], second["version"], first["rules"]) == ("draft", 1, 2, {"a": 1})
    activate = authority.activate_profile_version
    assert activate(first["id"], profile_kind="receiver", **key())["status"] == "active"
    assert refusal(activate, first["id"], profile_kind="receiver", **key()) == (409, "CONFLICT")
    assert activate(second["id"], profile_kind="receiver", **key())["status"] == "active"
    assert activate(first["id"], profile_kind="receiver", **key())["status"] == "active"  # superseded meanwhile
    assert refusal(activate, second["id"], profile_kind="other", **key()) == (400, "INVALID_REQUEST")
    assert refusal(authority.create_profile_version, profile_kind="?", **key()) == (400, "INVALID_REQUEST")


def test_what_another_account_has_is_not_there(authority: Any, stranger: Any) -> None:
    made = person(authority)
    proof = authority.import_proof(principal_id=made["id"], proof_kind="mandate", **key())
    session = authority.create_proof_collection_session(principal_id=made["id"], **key())
    receiver = authority.create_receiver(name="Tax office", **key())
    added = authority.add_receiver_key(receiver["id"], public_key=JWK, **key())
    profile = authority.create_profile_version(profile_kind="receiver", **key())
    calls = [
        (stranger.get_principal, (made["id"],), {}),
        (stranger.archive_principal, (made["id"],), {"reason_code": "r", **key()}),
        (stranger.erase_principal, (made["id"],), key()),
        (stranger.get_proof, (proof["id"],), {}),
        (stranger.revoke_proof, (proof["id"],), {"reason_code": "r", **key()}),
        (stranger.erase_proof, (proof["id"],), key()),
        (stranger.get_proof_collection_session, (session["id"],), {}),
        (stranger.get_receiver, (receiver["id"],), {}),
        (stranger.verify_receiver, (receiver["id"],), key()),
        (stranger.create_receiver_verification_challenge, (receiver["id"],), key()),
        (stranger.add_receiver_key, (receiver["id"],), {"public_key": JWK, **key()}),
        (stranger.revoke_receiver_key, (receiver["id"], added["id"]), {"reason_code": "r", **key()}),
        (stranger.activate_profile_version, (profile["id"],), {"profile_kind": "receiver", **key()}),
    ]
    assert {refusal(call, *given, **named) for call, given, named in calls} == {(404, "NOT_FOUND")}
    assert (stranger.list_principals(), stranger.list_proofs(), stranger.list_receivers()) == ([], [], [])


def test_writing_takes_an_administrator(served: Any) -> None:
    body = {"principal_kind": "individual"}
    headers = {"Idempotency-Key": "one"}
    assert error(post(served, "/v1/authority/principals", body, MEMBER, **headers)) == (403, "FORBIDDEN")
    assert get(served, "/v1/authority/principals", MEMBER).json() == {"principals": []}


def test_the_tools_do_the_same(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools(
        "stack_create_authority_principal", principal_kind="individual", full_name="Ada", idempotency_key="one"
    )["principal"]
    assert made["full_name"] == "Ada"
    assert tools("stack_list_authority_principals") == {"principals": [made]}
    refused, failed = tools.result("stack_create_authority_principal", principal_kind="individual")
    assert failed
    assert "idempotency_key" in json.dumps(refused)
