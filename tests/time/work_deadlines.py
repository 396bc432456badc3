"""Deadlines of what agents do: proxied calls, credentials, intents, approvals, drop-offs and skills."""

from __future__ import annotations

from typing import Any

import getstack

from tests.time.access_deadlines import MESSAGE, post
from tests.time.deadlines import (
    DAY,
    ECHO,
    HOUR,
    MINUTE,
    OTHER,
    POST_MESSAGE,
    PUBLISHER,
    SECOND,
    WORLD,
    Bench,
    Probe,
    deadline,
    plus,
    said,
)

REQUEST_ID = "one-and-the-same-request-0001"
INTENT = {"service": "slack", "method": "POST", "url": POST_MESSAGE}
SCHEMA = {"type": "object"}


def rule(decide: str, after: str, **when: str) -> str:
    return plus(WORLD, approvals=[{"when": when, "decide": decide, "after": after}])


# --- proxied calls and credentials -------------------------------------------------------------------------------------


@deadline(
    "domain.proxy_operations.REPLAY_MS",
    "domain.proxy_operations._replay_state",
    "domain.proxy_operations.commit",
    over="CONFLICT",
)
def recorded_response(bench: Bench) -> tuple[int, Probe]:
    def again() -> Any:
        return bench.own.proxy.post("slack", POST_MESSAGE, body=MESSAGE, authority_request_id=REQUEST_ID)

    for _ in range(3):
        post(bench)
    again()
    return DAY, lambda: said(again)


def echo(bench: Bench) -> Probe:
    return lambda: said(lambda: bench.own.proxy.get("echo", ECHO))


@deadline(
    "domain.proxy_checks.check_credential",
    "domain.state.Connection.credential_expires_at",
    "domain.provision._services",
    "scenario.world_models.Credential.expires",
    over="CONFLICT",
)
def credential_of_a_proxied_call(bench: Bench) -> tuple[int, Probe]:
    return 3 * HOUR, echo(bench)


@deadline("domain.credentials._retrieve", over="CONFLICT")
def credential_that_is_retrieved(bench: Bench) -> tuple[int, Probe]:
    return 3 * HOUR, lambda: said(lambda: bench.own.credentials.get("echo"))


@deadline("domain.connections.verify_connection", good="True", over="False")
def credential_that_is_verified(bench: Bench) -> tuple[int, Probe]:
    return 3 * HOUR, lambda: str(bench.own.services.verify("scon_echo")["verified"])


@deadline("domain.credentials._count", good="1", over="0", name="window of a credential burst")
def credential_burst(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue().token

    def retrieve(times: int) -> None:
        for _ in range(times):
            bench.own.credentials.get("slack", passport_token=token)

    retrieve(10)

    def probe() -> str:
        retrieve(1)
        return str(sum(row["action"] == "security.signal" for row in bench.world.audit.entries()))

    return MINUTE, probe


@deadline(
    "domain.authentication.require_live",
    good="ok",
    over="PASSPORT_REVOKED",
    world=plus(WORLD, revocation={"propagation": "45s"}),
)
def revocation_on_its_way(bench: Bench) -> tuple[int, Probe]:
    made = bench.issue()
    bench.own.passports.revoke(made.jti)
    return 45 * SECOND, lambda: said(lambda: post(bench, made.token))


# --- intents and approvals ---------------------------------------------------------------------------------------------


def submit(bench: Bench, **more: Any) -> str:
    return str(bench.own.intents.submit(INTENT, bench.issue(ttl_seconds=3_600).token, **more)["approval_id"])


def standing(bench: Bench, approval: str) -> Probe:
    return lambda: str(bench.own.intents.get(approval)["status"])


@deadline(
    "domain.intents.DEFAULT_LIFETIME_SECONDS",
    "domain.intents.submit_intent",
    "domain.intent_approvals.status_at",
    "domain.intent_approvals.IntentApproval.expires_at",
    "timer intent.expire",
    good="pending",
    over="expired",
)
def intent(bench: Bench) -> tuple[int, Probe]:
    return 900 * SECOND, standing(bench, submit(bench))


@deadline("domain.intents.SubmitIntent.expires_in_seconds", good="pending", over="expired")
def intent_with_a_life_of_its_own(bench: Bench) -> tuple[int, Probe]:
    return 61 * SECOND, standing(bench, submit(bench, expires_in_seconds=61))


@deadline("domain.intents.MAX_LIFETIME_SECONDS", over="CONFLICT")
def intent_somebody_decides_about(bench: Bench) -> tuple[int, Probe]:
    assert said(lambda: submit(bench, expires_in_seconds=86_401)) == "INVALID_REQUEST"
    approval = submit(bench, expires_in_seconds=86_400)
    return DAY, lambda: said(lambda: bench.own.intents.approve(approval))


@deadline("domain.intents.submit_intent", over="INTENT_APPROVAL_REQUIRED")
def approved_intent_nobody_used(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue("agt_strict", "ms_strict", ttl_seconds=3_600, checkpoint_interval="1h").token
    approval = bench.own.intents.submit(INTENT, token)["approval_id"]
    bench.own.intents.approve(approval)
    return 900 * SECOND, lambda: said(lambda: post(bench, token, approval_id=approval))


@deadline(
    "domain.intents._foreseen",
    "timer intent.decide",
    good="pending",
    over="approved",
    world=rule("approve", "7s", operation="intents.submit"),
)
def intent_the_scenario_decides_about(bench: Bench) -> tuple[int, Probe]:
    return 7 * SECOND, standing(bench, submit(bench))


def governed(bench: Bench) -> tuple[str, Probe]:
    """An approval that a loosening change waits for, and how the change stands with it."""

    def reset(approval: str | None = None) -> str:
        try:
            bench.own.pii_config.reset(governance_approval_id=approval)
        except getstack.ForbiddenError as refused:
            return str(refused.details["status" if approval else "approval_id"])
        return "ok"

    bench.own.pii_config.update(enabled=True, min_confidence=0.1)
    approval = reset()
    return approval, lambda: reset(approval)


@deadline(
    "domain.governance.LIFETIME_MS",
    "domain.governance.status_at",
    "domain.governance._requested",
    "domain.governance.GovernanceApproval.expires_at",
    over="expired",
)
def governance_approval(bench: Bench) -> tuple[int, Probe]:
    approval, probe = governed(bench)
    bench.world.approvals.approve(approval)
    return DAY, probe


@deadline("domain.governance.status_at", good="pending", over="expired")
def governance_approval_nobody_gave(bench: Bench) -> tuple[int, Probe]:
    return DAY, governed(bench)[1]


@deadline(
    "domain.governance._foreseen",
    "timer governance.decide",
    good="pending",
    over="rejected",
    world=rule("reject", "11s", operation="pii_config.reset"),
)
def governance_the_scenario_decides_about(bench: Bench) -> tuple[int, Probe]:
    return 11 * SECOND, governed(bench)[1]


# --- drop-offs ---------------------------------------------------------------------------------------------------------


def left(bench: Bench, **more: Any) -> str:
    made = bench.own.dropoffs.create("agt_bot", "agt_helper", SCHEMA, **more)
    bench.own.dropoffs.deposit(made["id"], {"n": 1}, "agt_bot")
    return str(made["id"])


@deadline(
    "domain.dropoffs.DEFAULT_TTL_SECONDS",
    "domain.dropoffs.create_dropoff",
    "domain.dropoffs.Dropoff.expires_at",
    "timer dropoff.expire",
    over="CONFLICT",
)
def dropoff(bench: Bench) -> tuple[int, Probe]:
    made = left(bench)
    return 1_800 * SECOND, lambda: said(lambda: bench.own.dropoffs.collect(made, "agt_helper"))


@deadline(
    "domain.dropoffs.MAX_TTL_SECONDS", "domain.dropoffs.CreateDropoff.ttl_seconds", good="deposited", over="expired"
)
def dropoff_of_a_day(bench: Bench) -> tuple[int, Probe]:
    assert said(lambda: left(bench, ttl_seconds=86_401)) == "INVALID_REQUEST"
    made = left(bench, ttl_seconds=86_400)
    return DAY, lambda: str(bench.own.dropoffs.get(made)["status"])


# --- skills ------------------------------------------------------------------------------------------------------------


def invoked(bench: Bench) -> tuple[Any, str]:
    invocation = bench.stack(OTHER).skills.invoke("skl_open", agent_id="agt_buyer", input={})
    return bench.stack(PUBLISHER), invocation.id


@deadline(
    "domain.skill_invocations.TTL_MS",
    "domain.skill_invocations._invoke",
    "domain.skill_serving._served",
    "domain.skill_records.Invocation.expires_at",
    over="CONFLICT",
)
def skill_invocation(bench: Bench) -> tuple[int, Probe]:
    publisher, invocation = invoked(bench)
    return 10 * MINUTE, lambda: said(lambda: publisher.skills.claim_invocation(invocation))


@deadline("timer skill.expire", good="pending", over="expired")
def skill_invocation_its_buyer_looks_at(bench: Bench) -> tuple[int, Probe]:
    _, invocation = invoked(bench)
    return 10 * MINUTE, lambda: str(bench.stack(OTHER).skills.get_invocation(invocation).status)


@deadline("domain.skill_invocations.list_pending_invocations", good="1", over="0")
def skill_invocation_in_the_list(bench: Bench) -> tuple[int, Probe]:
    publisher, _ = invoked(bench)
    return 10 * MINUTE, lambda: str(len(publisher.skills.list_pending_invocations()))
