"""Deadlines of passports, missions, agents, fleets and of signing in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack_emu.domain.tokens import base64url
from tests.guarantees.tour import public_jwk
from tests.oauth.dance import DEVICE_GRANT, EXCHANGE_GRANT, JWT_TYPE, Dancer, back
from tests.time.deadlines import (
    DAY,
    HOUR,
    MINUTE,
    OPERATOR,
    POST_MESSAGE,
    SECOND,
    WORLD,
    Bench,
    Probe,
    answered,
    deadline,
    plus,
    said,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"the key of an agent, 32 bytes...")
MESSAGE = {"channel": "#engineering", "text": "on time"}
PAGES = plus(WORLD, oauth={"consent": "page"})


def post(bench: Bench, token: str | None = None, **more: Any) -> Any:
    return bench.own.proxy.post("slack", POST_MESSAGE, body=MESSAGE, passport_token=token, **more)


# --- passports ---------------------------------------------------------------------------------------------------------


@deadline(
    "domain.issuance.DEFAULT_TTL_SECONDS",
    "domain.state.Passport.expires_at",
    "domain.state.Passport.ttl_seconds",
    "domain.authentication.require_live",
    over="PASSPORT_EXPIRED",
)
def passport(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue().token
    return 900 * SECOND, lambda: said(lambda: post(bench, token))


@deadline(
    "domain.passport_terms.PassportTerms.ttl_seconds", "domain.issuance.Draft.ttl_seconds", over="PASSPORT_EXPIRED"
)
def passport_with_a_life_of_its_own(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue(ttl_seconds=61).token
    return 61 * SECOND, lambda: said(lambda: post(bench, token))


@deadline("scenario.world_models.Passport.ttl", "domain.provision._passport", over="PASSPORT_EXPIRED")
def passport_of_the_scenario(bench: Bench) -> tuple[int, Probe]:
    token = bench.world.description["passports"]["BOT_PASSPORT"]
    return 40 * MINUTE, lambda: said(lambda: post(bench, token))


@deadline("domain.authentication.require_live", over="UNAUTHORIZED")
def passport_as_a_bearer(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue().token

    def probe() -> str:
        reply = bench.call("GET", "/v1/agents/agt_bot", bearer=token)
        assert reply.is_success or "expired" in reply.text
        return {"PASSPORT_EXPIRED": "UNAUTHORIZED"}.get(answered(reply), answered(reply))

    return 900 * SECOND, probe


@deadline(
    "domain.issuance.Draft.not_after_ms", "domain.delegation.DelegatePassport.ttl_seconds", over="PASSPORT_EXPIRED"
)
def delegated_passport(bench: Bench) -> tuple[int, Probe]:
    parent = bench.own.passports.issue(
        agent_id="agt_bot", mission_ids=["ms_bot"], intent="Keep time", services=["slack"], will_delegate=True
    )
    token = bench.own.passports.delegate(parent.token, "agt_helper", ttl_seconds=3_600).token
    return 900 * SECOND, lambda: said(lambda: post(bench, token))


@deadline("domain.partner_tenants.IssueForTenant.ttl_seconds", over="PASSPORT_EXPIRED")
def passport_of_a_tenant(bench: Bench) -> tuple[int, Probe]:
    asked = {"agent_id": "agt_tenant", "mission_ids": ["ms_tenant"], "ttl_seconds": 62}
    made = bench.call("POST", "/v1/partner/tenants/op_tenant/passports/issue", asked).json()
    return 62 * SECOND, alive(bench, made["token"])


@deadline("domain.passports.RefreshPassport.ttl_seconds", over="PASSPORT_EXPIRED")
def refreshed_passport(bench: Bench) -> tuple[int, Probe]:
    first = bench.issue().token
    bench.advance(7 * MINUTE)
    token = bench.own.passports.refresh(first, ttl_seconds=120).token
    return 120 * SECOND, lambda: said(lambda: post(bench, token))


LONG = plus(WORLD, ("expires: 20h", "expires: 20d"))


@deadline(
    "domain.revocation.REFRESH_GRACE_MS",
    "domain.passports.refresh_passport",
    over="PASSPORT_EXPIRED",
    world=LONG,
)
def refresh_of_an_expired_passport(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue().token
    return 15 * MINUTE + DAY, lambda: said(lambda: bench.own.passports.refresh(token))


@deadline("domain.oauth_tokens._exchange", over="invalid_request", world=LONG)
def exchange_of_an_expired_passport(bench: Bench) -> tuple[int, Probe]:
    form = {"grant_type": EXCHANGE_GRANT, "subject_token": bench.issue().token, "subject_token_type": JWT_TYPE}
    return 15 * MINUTE + DAY, lambda: answered(bench.http.post("/oauth/token", data=form))


@deadline("domain.revocation.standing", good="1", over="0", world=LONG)
def revocation_of_an_expired_passport(bench: Bench) -> tuple[int, Probe]:
    """As long as a passport can be refreshed it is revoked with the others."""
    session = bench.call("GET", f"/v1/passports/{bench.issue().jti}/report").json()["passport"]["session_id"]
    return 15 * MINUTE + DAY, lambda: str(bench.own.passports.revoke_session(session)["revoked_count"])


@deadline("domain.revocation._forgotten", good="1", over="0", world=LONG)
def revocation_of_an_expired_passport_with_its_parent(bench: Bench) -> tuple[int, Probe]:
    parent = bench.issue(will_delegate=True)
    bench.own.passports.delegate(parent.token, "agt_helper", ttl_seconds=60)
    return MINUTE + DAY, lambda: str(bench.own.passports.revoke(parent.jti)["cascaded_count"])


@deadline("domain.passports.list_active_passports", good="listed", over="gone")
def passport_in_the_list(bench: Bench) -> tuple[int, Probe]:
    jti = bench.issue().jti
    return 900 * SECOND, lambda: "listed" if jti in str(bench.own.passports.list_active()) else "gone"


# --- checkpoints -------------------------------------------------------------------------------------------------------


def alive(bench: Bench, token: str) -> Probe:
    def probe() -> str:
        told = bench.own.passports.verify(token)
        return "ok" if told["valid"] else str(told["code"])

    return probe


def signals(bench: Bench) -> str:
    silent = [row for row in bench.world.audit.entries() if row["operation"] == "timer.checkpoint.silence"]
    return str(len(silent))


@deadline(
    "domain.issuance.DEFAULT_INTERVAL_SECONDS",
    "timer checkpoint.silence",
    "domain.issuance.Draft.interval_seconds",
    "domain.state.Passport.checkpoint_interval_seconds",
    good="0",
    over="1",
)
def checkpoint(bench: Bench) -> tuple[int, Probe]:
    bench.issue("agt_strict", "ms_strict")
    return 300 * SECOND, lambda: signals(bench)


@deadline("domain.passport_terms.PassportTerms.checkpoint_interval_seconds", over="PASSPORT_EXPIRED")
def checkpoint_of_an_interval_of_its_own(bench: Bench) -> tuple[int, Probe]:
    token = bench.issue("agt_strict", "ms_strict", checkpoint_interval="2m").token
    return 2 * MINUTE, alive(bench, token)


@deadline("domain.checkpoints._extend", "domain.state.Report.new_expires_at", good="0", over="1")
def checkpoint_after_a_checkpoint(bench: Bench) -> tuple[int, Probe]:
    made = bench.issue("agt_strict", "ms_strict")
    bench.advance(299 * SECOND)
    bench.own.passports.checkpoint(made.jti, services_used=["slack"], actions_count=1)
    return 300 * SECOND, lambda: signals(bench)


@deadline(
    "domain.provision.DEFAULT_INTERVAL_SECONDS",
    over="PASSPORT_EXPIRED",
    world=plus(
        WORLD, ("env: BOT_PASSPORT}]", "env: BOT_PASSPORT}, {id: pp_s, agent: agt_strict, mission: ms_strict, env: S}]")
    ),
)
def checkpoint_of_a_passport_of_the_scenario(bench: Bench) -> tuple[int, Probe]:
    token = bench.world.description["passports"]["S"]
    return 300 * SECOND, alive(bench, token)


@deadline(
    "scenario.world_models.Passport.checkpoint_interval",
    over="PASSPORT_EXPIRED",
    world=plus(
        WORLD,
        (
            "env: BOT_PASSPORT}]",
            "env: BOT_PASSPORT}, {id: pp_s, agent: agt_strict, mission: ms_strict, checkpoint_interval: 90s, env: S}]",
        ),
    ),
)
def checkpoint_interval_of_the_scenario(bench: Bench) -> tuple[int, Probe]:
    token = bench.world.description["passports"]["S"]
    return 90 * SECOND, alive(bench, token)


# --- missions ----------------------------------------------------------------------------------------------------------


def opened(bench: Bench, **terms: Any) -> Probe:
    mission = bench.own.missions.open("Keep time", agent_id="agt_bot", intent_services=["slack"], **terms)["mission_id"]
    return lambda: str(bench.own.missions.get(mission)["status"])


@deadline(
    "domain.missions.DEFAULT_LIFETIME_SECONDS",
    "domain.missions.open_terms",
    "domain.missions.status_of",
    "domain.state.Mission.expires_at",
    "timer mission.expire",
    good="active",
    over="expired",
)
def mission(bench: Bench) -> tuple[int, Probe]:
    return 900 * SECOND, opened(bench)


@deadline(
    "domain.missions.MissionTerms.expires_in_seconds",
    "domain.missions.MAX_LIFETIME_SECONDS",
    good="active",
    over="expired",
)
def mission_of_a_day(bench: Bench) -> tuple[int, Probe]:
    assert said(lambda: opened(bench, expires_in_seconds=86_401)) == "INVALID_REQUEST"
    return DAY, opened(bench, expires_in_seconds=86_400)


@deadline("domain.missions.MissionTerms.max_duration_seconds", good="active", over="expired")
def mission_with_a_longest_life(bench: Bench) -> tuple[int, Probe]:
    return 77 * SECOND, opened(bench, max_duration_seconds=77)


@deadline(
    "domain.missions._end",
    "scenario.world_models.Mission.expires",
    "domain.provision._missions",
    over="MISSION_ENDED",
)
def mission_of_the_scenario(bench: Bench) -> tuple[int, Probe]:
    return 20 * HOUR, lambda: said(lambda: bench.issue())


@deadline("domain.diagnosis._ending", good="runs", over="has ended")
def mission_a_refusal_speaks_of(bench: Bench) -> tuple[int, Probe]:
    sent = {"service": "slack", "url": POST_MESSAGE, "passport_token": bench.issue().token}
    told = "start another one, with a longer expires_in_seconds"
    return 20 * HOUR, lambda: "has ended" if told in bench.call("POST", "/v1/proxy", sent).text else "runs"


@deadline("domain.mission_start.StartMission.expires_in_seconds", good="active", over="expired")
def mission_that_is_started(bench: Bench) -> tuple[int, Probe]:
    terms = {"intent_summary": "Keep time", "intent_services": ["slack"], "expires_in_seconds": 120}
    made = bench.own.missions.start(agent_id="agt_bot", mission=terms)["mission_id"]
    return 120 * SECOND, lambda: str(bench.own.missions.get(made)["status"])


# --- agents and fleets -------------------------------------------------------------------------------------------------


def enroll(bench: Bench, asked: Any, bearer: str = OPERATOR) -> str:
    body = {
        "public_key": public_jwk(KEY),
        "challenge_id": asked["challenge_id"],
        "signed_challenge": base64url(KEY.sign(asked["challenge"].encode())),
    }
    return answered(bench.call("POST", "/v1/agents/agt_bot/enroll", body, bearer))


@deadline(
    "domain.enrollment.CHALLENGE_MS",
    "domain.enrollment.create_challenge",
    "domain.enrollment._open_challenge",
    "domain.state.EnrollmentChallenge.expires_at",
    over="INVALID_REQUEST",
)
def enrollment_challenge(bench: Bench) -> tuple[int, Probe]:
    asked = bench.call("POST", "/v1/agents/agt_bot/enrollment-challenge").json()
    return 5 * MINUTE, lambda: enroll(bench, asked)


@deadline(
    "domain.enrollment.TICKET_MS",
    "domain.enrollment.issue_ticket",
    "domain.authentication._ticket_caller",
    "domain.state.EnrollmentTicket.expires_at",
    over="UNAUTHORIZED",
)
def enrollment_ticket(bench: Bench) -> tuple[int, Probe]:
    query = {
        "agent_id": "agt_bot",
        "callback": "http://127.0.0.1:5998/cb",
        "state": "s",
        "machine": "m",
        "process": "p",
    }
    ticket = back(bench.http.get("/sdk-bootstrap", params=query))["ticket"]
    asking = "/v1/agents/agt_bot/enrollment-challenge"
    return 5 * MINUTE, lambda: answered(bench.call("POST", asking, bearer=ticket))


def join(bench: Bench, asked: Any) -> Any:
    request = {
        "name": "worker",
        "idempotency_key": "worker-1",
        "public_key": public_jwk(KEY),
        "challenge_id": asked["challenge_id"],
        "proof": base64url(KEY.sign(asked["challenge"].encode())),
    }
    return bench.own.fleets.enroll("flp_time", request)


@deadline(
    "domain.fleet_enrollment.CHALLENGE_MS",
    "domain.fleet_enrollment._challenge",
    "domain.fleet_enrollment._open_challenge",
    "domain.fleet_records.FleetChallenge.expires_at",
    over="INVALID_REQUEST",
)
def fleet_challenge(bench: Bench) -> tuple[int, Probe]:
    asked = bench.own.fleets.enrollment_challenge("flp_time")
    return 5 * MINUTE, lambda: said(lambda: join(bench, asked))


@deadline(
    "domain.fleet_enrollment.SESSION_MS",
    "domain.fleet_enrollment.open_session",
    "domain.authentication._fleet_caller",
    "domain.fleet_records.FleetSession.expires_at",
    over="UNAUTHORIZED",
)
def fleet_session(bench: Bench) -> tuple[int, Probe]:
    workload = bench.stack(bench.own.fleets.session("flp_time")["session_token"])
    return HOUR, lambda: said(lambda: workload.fleets.workload_enrollment_challenge("flp_time"))


# --- signing in --------------------------------------------------------------------------------------------------------


@deadline(
    "domain.oauth_tokens.ACCESS_MS",
    "domain.oauth_tokens.issue",
    "domain.authentication._oauth_caller",
    "domain.oauth_records.AccessToken.expires_at",
    over="UNAUTHORIZED",
)
def access_token(bench: Bench) -> tuple[int, Probe]:
    token = Dancer(bench.world.base_url, {}).sign_in()["access_token"]
    return 5 * MINUTE, lambda: answered(bench.call("GET", "/v1/agents", bearer=token))


@deadline("domain.oauth_revocation.introspect", good="True", over="False")
def access_token_that_is_looked_at(bench: Bench) -> tuple[int, Probe]:
    dancer = Dancer(bench.world.base_url, {})
    token = dancer.sign_in()["access_token"]
    return 5 * MINUTE, lambda: str(dancer.token("/oauth/introspect", token=token).json()["active"])


@deadline(
    "domain.oauth_tokens.REFRESH_MS",
    "domain.oauth_records.RefreshToken.expires_at",
    over="invalid_grant",
)
def refresh_token(bench: Bench) -> tuple[int, Probe]:
    dancer = Dancer(bench.world.base_url, {})
    token = dancer.sign_in()["refresh_token"]
    return 30 * DAY, lambda: answered(dancer.refresh(token))


@deadline("domain.oauth_tokens.GRACE_MS", "domain.oauth_tokens._from_refresh", over="invalid_grant")
def refresh_token_that_was_replaced(bench: Bench) -> tuple[int, Probe]:
    dancer = Dancer(bench.world.base_url, {})
    token = dancer.sign_in()["refresh_token"]
    dancer.refresh(token)
    return MINUTE, lambda: answered(dancer.refresh(token))


@deadline(
    "domain.oauth_consent.CODE_MS",
    "domain.oauth_consent.outcome",
    "domain.oauth_tokens._from_code",
    "domain.oauth_records.AuthorizationCode.expires_at",
    over="invalid_grant",
)
def authorization_code(bench: Bench) -> tuple[int, Probe]:
    dancer = Dancer(bench.world.base_url, {})
    code = back(dancer.authorize())["code"]
    return 5 * MINUTE, lambda: answered(dancer.exchange(code))


def device(bench: Bench) -> tuple[Dancer, Callable[[], str]]:
    dancer = Dancer(bench.world.base_url, {"grant_types": [DEVICE_GRANT]})
    code = dancer.token("/oauth/device_authorization").json()["device_code"]
    return dancer, lambda: answered(dancer.token(grant_type=DEVICE_GRANT, device_code=code))


@deadline(
    "domain.oauth_consent.LIFETIME_MS",
    "domain.oauth_device.polled",
    "domain.oauth_records.DeviceCode.expires_at",
    good="authorization_pending",
    over="expired_token",
    world=PAGES,
)
def device_code(bench: Bench) -> tuple[int, Probe]:
    return 10 * MINUTE, device(bench)[1]


@deadline(
    "domain.oauth_device.INTERVAL_SECONDS",
    "domain.oauth_device._refuse_early",
    "domain.oauth_records.DeviceCode.interval_seconds",
    good="slow_down",
    over="authorization_pending",
    world=PAGES,
)
def device_that_polls(bench: Bench) -> tuple[int, Probe]:
    _, poll = device(bench)
    assert poll() == "authorization_pending"
    return 5 * SECOND, poll


@deadline(
    "domain.oauth_consent.ask",
    "domain.oauth_consent.status_at",
    "domain.oauth_records.ConsentRequest.expires_at",
    good="303",
    over="409",
    world=PAGES,
)
def consent_page(bench: Bench) -> tuple[int, Probe]:
    dancer = Dancer(bench.world.base_url, {})
    page = dancer.http.get(dancer.authorize().headers["Location"])
    return 10 * MINUTE, lambda: str(dancer.submit(page, "approve", operator="op_time").status_code)
