"""Enrolling under a fleet policy, both ways."""

from __future__ import annotations

import json
import threading
from typing import Any

import getstack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack_emu.domain import fleet_enrollment
from stack_emu.domain.canonical_audit import canonical_log
from tests.families.drivers import McpTools
from tests.families.fleet_world import (
    BODY,
    MEMBER,
    OPERATOR,
    OTHER,
    POLICY,
    READER,
    WORLD,
    Enrollee,
    member_of,
)
from tests.families.passport_world import error, post, row
from tests.families.test_fleets import refusal

WAYS = ["enroll", "enroll_workload"]


@pytest.fixture
def served(serve: Any, home: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


@pytest.mark.parametrize("way", ["enroll_local", "enroll_workload_local"])
def test_the_sdk_enrolls_and_the_agent_signs_at_once(sdk: Any, stack: Any, served: Any, home: Any, way: str) -> None:
    made = getattr(stack.fleets, way)(POLICY, name="worker-one", idempotency_key="job-1")
    agent = sdk(served.base_url, None, agent_id=made["agent_id"])
    seen = agent.agents.get(made["agent_id"])
    assert (seen.name, seen.accountability_mode, seen.status) == ("worker-one", "enforced", "active")
    stored = json.loads((home / ".stack" / "agents" / f"{made['agent_id']}.json").read_text())
    assert stored["agent_id"] == made["agent_id"]
    assert stored["publicKey"]["x"] == made["public_key"]["x"]
    again = getattr(stack.fleets, way)(POLICY, name="worker-one", idempotency_key="job-1")
    assert (again["agent_id"], again["already_enrolled"]) == (made["agent_id"], True)
    assert stack.fleets.get(POLICY)["usage"]["members"] == 1
    found = row(served, "fleet.enroll")
    assert (found.agent_id, found.metadata["fleet"], found.metadata["repeated"]) == (made["agent_id"], POLICY, True)


@pytest.mark.parametrize("way", WAYS)
def test_an_idempotency_key_is_one_key_pair(stack: Any, way: str) -> None:
    first = getattr(Enrollee(stack), way)()
    other = Enrollee(stack, "worker-two")
    status, code, _ = refusal(getattr(other, way), idempotency_key="key of worker-one")
    assert (status, code) == (409, "CONFLICT")
    assert getattr(Enrollee(stack), way)()["agent_id"] == first["agent_id"]
    same_key = Enrollee(stack)
    status, code, refused = refusal(getattr(same_key, way), idempotency_key="fresh", name="fresh-name")
    assert (status, code) == (409, "CONFLICT")
    assert first["agent_id"] in str(refused)
    assert [one["agent_id"] for one in stack.fleets.members(POLICY)] == [first["agent_id"]]


def test_an_enrollment_whose_answer_was_lost_can_be_repeated_as_it_was(stack: Any) -> None:
    worker = Enrollee(stack)
    request = worker.request(stack.fleets.enrollment_challenge(POLICY))
    first = stack.fleets.enroll(POLICY, request)
    assert stack.fleets.enroll(POLICY, request)["agent_id"] == first["agent_id"]
    two = Enrollee(stack, "worker-two")
    taken = {**two.request({"challenge_id": request["challenge_id"], "challenge": "x"})}
    status, code, refused = refusal(stack.fleets.enroll, POLICY, taken)
    assert (status, code) == (400, "INVALID_REQUEST")
    assert "used before" in str(refused)


def test_a_challenge_expires_and_is_good_for_one_policy_and_one_way(stack: Any, served: Any) -> None:
    worker = Enrollee(stack)
    late = stack.fleets.enrollment_challenge(POLICY)
    served.advance(fleet_enrollment.CHALLENGE_MS)
    assert "expired at" in str(refusal(stack.fleets.enroll, POLICY, worker.request(late))[2])
    other = stack.fleets.enrollment_challenge("flp_github")
    assert refusal(stack.fleets.enroll, POLICY, worker.request(other))[:2] == (404, "NOT_FOUND")
    fresh = stack.fleets.enrollment_challenge(POLICY)
    status, code, refused = refusal(stack.fleets.enroll_workload, POLICY, worker.request(fresh))
    assert (status, code) == (400, "INVALID_REQUEST")
    assert f"/v1/fleets/{POLICY}/enroll" in str(refused)
    assert refusal(stack.fleets.enroll, POLICY, worker.request({**fresh, "challenge_id": "fch_no"}))[0] == 404
    assert stack.fleets.enroll(POLICY, worker.request(fresh))["enrolled"] is True


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"proof": "AAAA"}, "proof"),
        ({"proof": "no base64url!"}, "proof"),
        ({"name": "Not A Name"}, "name"),
        ({"public_key": {"kty": "EC", "crv": "P-256", "x": "AAAA"}}, "public_key"),
        ({"public_key": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}}, "public_key"),
        ({"public_key": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "d": "A" * 43}}, "public_key"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
def test_an_enrollment_without_proof_enrolls_nobody(stack: Any, wrong: dict[str, Any], field: str) -> None:
    status, code, refused = refusal(Enrollee(stack).enroll, **wrong)
    assert (status, code) == (400, "INVALID_REQUEST")
    assert field in refused.details["fields"]
    assert stack.fleets.members(POLICY) == []
    assert all(agent.name == "plain" for agent in stack.agents.list())


def test_names_are_unique_and_fleets_have_limits(stack: Any) -> None:
    assert refusal(Enrollee(stack, "plain").enroll)[:2] == (409, "CONFLICT")
    small = stack.fleets.activate({"name": "Small", "limits": {"max_members": 1}}, idempotency_key="s")["id"]
    first = Enrollee(stack, "only-one", small).enroll()
    status, code, refused = refusal(Enrollee(stack, "one-more", small).enroll)
    assert (status, code) == (403, "FLEET_LIMIT_EXCEEDED")
    assert (refused.details["limit"], refused.details["used"]) == (1, 1)
    stack.fleets.revoke_member(small, first["agent_id"])
    assert Enrollee(stack, "one-more", small).enroll()["enrolled"] is True


def test_who_was_taken_out_does_not_enroll_again(stack: Any) -> None:
    worker = Enrollee(stack)
    agent_id = worker.enroll()["agent_id"]
    stack.fleets.revoke_member(POLICY, agent_id)
    assert refusal(worker.enroll)[:2] == (403, "FORBIDDEN")
    assert refusal(worker.enroll_workload, idempotency_key="another", name="another")[:2] == (403, "FORBIDDEN")
    elsewhere = Enrollee(stack, policy="flp_github")
    assert refusal(elsewhere.enroll, name="elsewhere")[:2] == (403, "FORBIDDEN")


def test_a_deleted_member_is_gone_and_its_key_free_for_another(stack: Any) -> None:
    agent_id = Enrollee(stack).enroll()["agent_id"]
    stack.agents.delete(agent_id)
    assert stack.fleets.members(POLICY) == []
    assert refusal(Enrollee(stack).enroll)[:2] == (409, "CONFLICT")
    again = Enrollee(stack).enroll(idempotency_key="another")
    assert again["agent_id"] != agent_id


def test_a_tier_limits_members_as_it_limits_agents(sdk: Any, serve: Any, home: Any) -> None:
    served = serve(WORLD.replace("- id: op_emu", "- id: op_emu\n    tier: free"))
    client = sdk(served.base_url, OPERATOR)
    for number in range(4):
        Enrollee(client, f"worker-{number}").enroll()
    assert refusal(Enrollee(client, "one-more").enroll)[:2] == (403, "TIER_LIMIT_EXCEEDED")


def test_ids_do_not_depend_on_what_the_client_makes_up(sdk: Any, serve: Any, home: Any) -> None:
    made = []
    for salt in ("a", "b"):
        client = sdk(serve(WORLD).base_url, OPERATOR)
        policy = client.fleets.activate({"name": "P"}, idempotency_key=f"activate-{salt}")["id"]
        worker = Enrollee(client, policy=policy)
        worker.key = Ed25519PrivateKey.from_private_bytes(salt.encode() * 32)
        made.append((policy, worker.enroll(idempotency_key=f"enroll-{salt}")["agent_id"]))
    assert made[0] == made[1]


def test_a_policy_may_close_one_way_in(stack: Any) -> None:
    made = stack.fleets.activate({"name": "P", "enrollment": {"modes": ["workload"]}}, idempotency_key="p")["id"]
    status, code, refused = refusal(Enrollee(stack, policy=made).enroll)
    assert (status, code) == (403, "FORBIDDEN")
    assert f"/v1/fleets/{made}/workload/enroll" in str(refused)
    assert Enrollee(stack, policy=made).enroll_workload()["enrolled"] is True
    manual = stack.fleets.activate({"name": "P", "enrollment": {"modes": ["operator"]}}, idempotency_key="m")["id"]
    assert refusal(stack.fleets.session, manual)[:2] == (403, "FORBIDDEN")


def test_a_session_enrolls_workloads_and_does_nothing_else(sdk: Any, stack: Any, served: Any) -> None:
    session = stack.fleets.session(POLICY)
    assert session["fleet_policy_id"] == POLICY
    workload = sdk(served.base_url, session["session_token"])
    made = workload.fleets.enroll_workload_local(POLICY, name="worker-one", idempotency_key="job-1")
    assert stack.fleets.membership(made["agent_id"])["enrollment"] == "workload"
    for call in (
        lambda: workload.fleets.enroll_local(POLICY, name="worker-two", idempotency_key="job-2"),
        lambda: workload.fleets.get(POLICY),
        lambda: workload.agents.list(),
        lambda: workload.fleets.session(),
    ):
        status, code, refused = refusal(call)
        assert (status, code) == (403, "FORBIDDEN")
        assert "a fleet session" in str(refused)
    other = Enrollee(workload, "worker-three", "flp_github")
    assert refusal(other.enroll_workload)[:2] == (404, "NOT_FOUND")
    assert error(post(served, f"/v1/fleets/{POLICY}/workload/enroll", {}, OTHER))[0] == 400
    served.advance(fleet_enrollment.SESSION_MS)
    status, code, refused = refusal(workload.fleets.workload_enrollment_challenge, POLICY)
    assert (status, code) == (401, "UNAUTHORIZED")
    assert "/v1/fleets/session" in str(refused)


def test_a_session_without_a_policy_is_good_for_all_of_the_account(sdk: Any, stack: Any, served: Any) -> None:
    workload = sdk(served.base_url, stack.fleets.session()["session_token"])
    for name, policy in (("one", POLICY), ("two", "flp_github")):
        assert Enrollee(workload, f"worker-{name}", policy).enroll_workload()["fleet_policy_id"] == policy
    assert refusal(Enrollee(workload, "worker-three", "flp_other").enroll_workload)[:2] == (404, "NOT_FOUND")
    assert error(post(served, "/v1/fleets/session", {}, MEMBER)) == (403, "FORBIDDEN")
    assert post(served, "/v1/fleets/session", {"fleet_policy_id": "flp_github"}, MEMBER).status_code == 201
    assert error(post(served, "/v1/fleets/session", {}, READER)) == (403, "FORBIDDEN")
    told = json.dumps([dict(found.metadata) for found in served.rows()])
    assert "fls_" not in told


def test_agents_do_not_let_others_in(sdk: Any, served: Any) -> None:
    _, agent = member_of(sdk, served)
    for call in (agent.fleets.enrollment_challenge, agent.fleets.workload_enrollment_challenge):
        assert refusal(call, POLICY)[:2] == (403, "FORBIDDEN")


def test_enrolling_is_a_tool(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    session = tools("stack_create_fleet_session", fleet_policy_id=POLICY)
    workload = McpTools(served.base_url, session["session_token"])
    for asked, enroll, caller in (
        ("stack_create_fleet_enrollment_challenge", "stack_enroll_fleet_agent", tools),
        ("stack_create_workload_enrollment_challenge", "stack_enroll_workload", workload),
    ):
        worker = Enrollee(None, enroll.replace("_", "-"))
        request = worker.request(caller(asked, policy_id=POLICY))
        assert caller(enroll, policy_id=POLICY, **request)["name"] == worker.name
    refused, failed = workload.result("stack_list_fleets")
    assert failed or "error" in refused


# --- many at once ----------------------------------------------------------------------------------------------------


def enroll_all(served: Any, bearer: str, names: list[str], at_once: bool) -> list[str]:
    """Enroll one agent for each name over a connection of its own; their ids in the order of the names."""
    found: dict[str, str] = {}
    failed: list[BaseException] = []
    gate = threading.Barrier(len(names) if at_once else 1)

    def work(name: str) -> None:
        try:
            client = getstack.Stack(bearer, base_url=served.base_url)
            gate.wait(20)
            found[name] = Enrollee(client, name).enroll_workload()["agent_id"]
            client.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
        if not at_once:
            thread.join(30)
    for thread in threads:
        thread.join(30)
    assert failed == []
    return [found[name] for name in names]


def test_twenty_workloads_at_once_are_twenty_agents_and_the_same_log_as_one_after_the_other(
    serve: Any, home: Any
) -> None:
    names = [f"worker-{number:02}" for number in range(20)]
    logs, agents = [], []
    for at_once in (True, False):
        served = serve(WORLD)
        operator = getstack.Stack(OPERATOR, base_url=served.base_url)
        session = operator.fleets.session(POLICY)["session_token"]
        agents.append(enroll_all(served, session, names, at_once))
        members = operator.fleets.members(POLICY)
        operator.close()
        assert len(set(agents[-1])) == 20
        assert {one["agent_id"] for one in members} == set(agents[-1])
        logs.append(served.call(lambda served=served: canonical_log(served.world)))
    assert agents[0] == agents[1]
    assert logs[0] == logs[1]


def test_more_workloads_than_a_fleet_takes_are_refused_whoever_comes_first(serve: Any, home: Any) -> None:
    served = serve("stack_emu: 1\n" + BODY.replace("max_members: 25", "max_members: 3"))
    names = [f"worker-{number}" for number in range(3)]
    enroll_all(served, OPERATOR, names, True)
    operator = getstack.Stack(OPERATOR, base_url=served.base_url)
    assert refusal(Enrollee(operator, "one-more").enroll_workload)[1] == "FLEET_LIMIT_EXCEEDED"
    operator.close()
