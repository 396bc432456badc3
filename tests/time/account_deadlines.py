"""Deadlines of an account: verification, identity, authority, webhooks, billing, usage and partners."""

from __future__ import annotations

import hashlib
import hmac
from itertools import count
from typing import Any

import httpx

from stack_emu.kernel.clock import parse_iso
from tests.time.access_deadlines import post
from tests.time.deadlines import (
    DAY,
    HOUR,
    MINUTE,
    OTHER,
    SECOND,
    START,
    WORLD,
    Bench,
    Probe,
    deadline,
    plus,
    said,
    tried,
)

NOBODY = "http://127.0.0.1:9/hook"
NEEDED = {"layer": "humanity", "requires_claim": "verified_human", "minimum_assurance": "low"}


# --- verification codes and identity -----------------------------------------------------------------------------------


@deadline(
    "domain.verification.CODE_MS",
    "domain.verification.send_code",
    "domain.verification._unusable",
    "domain.verification.VerificationCode.expires_at",
    over="INVALID_VERIFICATION_CODE",
)
def verification_code(bench: Bench) -> tuple[int, Probe]:
    made = bench.own.delivery_methods.add("email", "else@time.test")
    bench.own.delivery_methods.send_verification_code(made["id"])
    code = bench.world.outbox.code("else@time.test")
    return 10 * MINUTE, lambda: said(lambda: bench.own.delivery_methods.verify(made["id"], code))


@deadline(
    "domain.identity_verification.LIFETIME_MS",
    "domain.identity_verification.initiate_verification",
    "domain.identity_verification.status_at",
    "domain.identity_records.VerificationSession.expires_at",
    over="CONFLICT",
)
def identity_verification(bench: Bench) -> tuple[int, Probe]:
    session = bench.own.identity.initiate_verification("persona").session_ref
    return 15 * MINUTE, lambda: said(lambda: bench.own.identity.complete_verification("persona", session))


def verified(bench: Bench) -> Any:
    session = bench.own.identity.initiate_verification("persona").session_ref
    return bench.own.identity.complete_verification("persona", session)["claims"]


def claims(bench: Bench, *types: str) -> str:
    return str(sum(claim.claim_type in types for claim in bench.own.identity.list_claims()))


@deadline(
    "domain.identity_records.TTL_DAYS",
    "domain.identity_records.IdentitySettings.identity_claim_ttl",
    "domain.identity_settings.UpdateSettings.identity_claim_ttl",
    "domain.identity_records.IdentityClaim.expires_at",
    "domain.identity_records.is_active",
    "domain.identity_verification._claim",
    "timer identity.claim_expire",
    good="1",
    over="0",
)
def identity_claim(bench: Bench) -> tuple[int, Probe]:
    bench.own.identity.update_settings(identity_claim_ttl="30d")
    verified(bench)
    return 30 * DAY, lambda: claims(bench, "verified_identity")


@deadline("domain.identity_claims.grant_delegation", good="1", over="0")
def delegated_identity(bench: Bench) -> tuple[int, Probe]:
    bench.own.identity.update_settings(identity_claim_ttl="180d")
    verified(bench)
    bench.own.identity.update_settings(identity_claim_ttl="30d")
    bench.own.identity.grant_delegation(["tax:file"])
    return 30 * DAY, lambda: claims(bench, "delegated_authority")


@deadline("scenario.identity_models.IdentityClaim.expires", "domain.identity_seeds._claim", good="1", over="0")
def identity_claim_of_the_scenario(bench: Bench) -> tuple[int, Probe]:
    return 10 * DAY, lambda: claims(bench, "verified_human")


@deadline(
    "domain.identity_seeds.DEFAULT_LIFE_MS",
    over="IDENTITY_REQUIREMENTS_NOT_MET",
    world=plus(WORLD, (", expires: 10d}", "}")),
)
def identity_claim_a_service_requires(bench: Bench) -> tuple[int, Probe]:
    bench.own.identity.set_service_requirement("slack", **NEEDED)
    return 90 * DAY, lambda: said(lambda: post(bench))


# --- authority ---------------------------------------------------------------------------------------------------------


class Authority:
    """Authority writes, each under a key of its own."""

    def __init__(self, bench: Bench) -> None:
        self.sdk, self.keys = bench.own.authority, count()

    @property
    def key(self) -> dict[str, str]:
        return {"idempotency_key": f"authority-{next(self.keys)}"}

    def binding(self, **terms: Any) -> str:
        principal = self.sdk.create_principal(principal_kind="individual", alias="P", **self.key)["id"]
        made = self.sdk.create_binding(
            principal_id=principal, agent_id="agt_bot", services=["slack"], **terms, **self.key
        )
        return str(made["id"])

    def status(self, binding: str) -> Probe:
        return lambda: str(self.sdk.get_binding(binding)["status"])


@deadline(
    "domain.authority_bindings.LIFETIME_MS",
    "domain.authority_bindings.create_binding.make",
    "domain.authority_records.status_of",
    "domain.authority_records.Binding.expires_at",
    good="draft",
    over="expired",
)
def authority_binding(bench: Bench) -> tuple[int, Probe]:
    authority = Authority(bench)
    return 30 * DAY, authority.status(authority.binding())


@deadline("domain.authority_bindings.Terms.expires_at", good="draft", over="expired")
def authority_binding_with_an_end(bench: Bench) -> tuple[int, Probe]:
    authority = Authority(bench)
    return 5 * MINUTE, authority.status(authority.binding(expires_at="2026-03-01T00:05:00Z"))


@deadline("domain.authority_bindings._end", over="INVALID_REQUEST")
def end_of_a_binding_that_is_made(bench: Bench) -> tuple[int, Probe]:
    authority = Authority(bench)
    return 5 * MINUTE, lambda: said(lambda: authority.binding(expires_at="2026-03-01T00:05:00Z"))


@deadline(
    "domain.authority_approvals._asked",
    "timer authority.decide",
    good="pending",
    over="approved",
    world=plus(
        WORLD,
        approvals=[{"when": {"operation": "authority.create_approval_requests"}, "decide": "approve", "after": "9s"}],
    ),
)
def authority_approval(bench: Bench) -> tuple[int, Probe]:
    authority = Authority(bench)
    binding = authority.binding()
    authority.sdk.create_approval_requests(binding, **authority.key)
    return 9 * SECOND, lambda: str(authority.sdk.list_approval_requests(binding)[0]["status"])


@deadline(
    "domain.authority_receivers.CHALLENGE_MS",
    "domain.authority_receivers.create_challenge.make",
    "domain.authority_receivers.verify_receiver.make",
    over="CONFLICT",
)
def receiver_challenge(bench: Bench) -> tuple[int, Probe]:
    authority = Authority(bench)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    receiver = authority.sdk.create_receiver(name="Tax office", **authority.key)["id"]
    authority.sdk.add_receiver_key(receiver, public_key=jwk, **authority.key)
    authority.sdk.create_receiver_verification_challenge(receiver, **authority.key)
    return HOUR, lambda: said(lambda: authority.sdk.verify_receiver(receiver, **authority.key))


# --- webhooks ----------------------------------------------------------------------------------------------------------

START_S = parse_iso(START) // 1000


@deadline(
    "domain.inbound_receive.WINDOW_SECONDS", "domain.inbound_receive._check_age", good="202", over="401", step=SECOND
)
def age_of_an_inbound_webhook(bench: Bench) -> tuple[int, Probe]:
    """The stamp has whole seconds, and 300 of them are not too many yet."""
    made = bench.own.inbound_webhooks.create("generic", "agt_bot", generic_config={"timestamp_header": "X-Time"})
    body = b"{}"
    signed = f"{START_S}.".encode() + body
    signature = hmac.new(made["incoming_signing_secret"].encode(), signed, hashlib.sha256).hexdigest()
    headers = {"X-Time": str(START_S), "X-Signature": signature, "Content-Type": "application/json"}

    def probe() -> str:
        return str(bench.http.post(made["webhook_url"], content=body, headers=headers).status_code)

    return 301 * SECOND, probe


def webhook(bench: Bench) -> None:
    """Let something be delivered to where nobody is."""
    made = bench.own.inbound_webhooks.create("generic", "agt_bot", forward_url=NOBODY)
    signature = hmac.new(made["incoming_signing_secret"].encode(), b"{}", hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "Content-Type": "application/json"}
    assert bench.http.post(made["webhook_url"], content=b"{}", headers=headers).status_code == 202


def attempts(step: int, wait: int) -> None:
    """A case for each wait between two attempts of a delivery."""

    @deadline(
        "domain.deliveries.BACKOFF_MS",
        "timer webhook.deliver",
        good=str(step),
        over=str(step + 1),
        name=f"attempt {step + 1} of a webhook",
    )
    def attempt(bench: Bench) -> tuple[int, Probe]:
        webhook(bench)
        for earlier in WAITS[: step - 1]:
            bench.advance(earlier)
        return wait, lambda: str(len(tried(bench.world, 0)["attempts"]))


WAITS = (5 * SECOND, 30 * SECOND, 5 * MINUTE, 30 * MINUTE)
for _step, _wait in enumerate(WAITS, 1):
    attempts(_step, _wait)


# --- billing, usage, partners ------------------------------------------------------------------------------------------


@deadline(
    "domain.billing.CHECKOUT_MS",
    "domain.billing._open",
    "domain.billing.pay",
    "domain.billing.Checkout.expires_at",
    good="200",
    over="409",
)
def checkout(bench: Bench) -> tuple[int, Probe]:
    url = bench.call("POST", "/v1/billing/topup", {"amount_cents": 1_000}).json()["checkout_url"]
    return DAY, lambda: str(httpx.get(url, timeout=20, trust_env=False).status_code)


@deadline(
    "domain.periods.Period.end_ms",
    "domain.periods.Period.start_ms",
    good="TIER_LIMIT_EXCEEDED",
    over="ok",
    world=plus(
        WORLD,
        (
            "- {id: op_other, email: other@time.test, keys",
            "- {id: op_other, email: other@time.test, tier: free, usage: {scans: 999}, keys",
        ),
    ),
)
def month_of_a_tier_s_limit(bench: Bench) -> tuple[int, Probe]:
    """The last call the tier allows is made in the last millisecond of March, after others in the same lane."""

    def scan() -> str:
        return said(lambda: bench.stack(OTHER).scan.scan("nothing"))

    bench.advance(31 * DAY - 1)
    for number in range(3):
        bench.stack(OTHER).agents.register(f"before-{number}")
    assert scan() == "ok"
    return 1, scan


@deadline(
    "domain.partner_connect._arm_consent",
    "timer partner.consent",
    good="pending_consent",
    over="active",
    world=plus(
        WORLD, approvals=[{"when": {"operation": "partner_connect.connect"}, "decide": "approve", "after": "13s"}]
    ),
)
def consent_of_a_customer(bench: Bench) -> tuple[int, Probe]:
    grant = bench.own.partner_connect.connect("other@time.test")["grant_id"]
    return 13 * SECOND, lambda: str(bench.own.partner_connect.get_connection(grant)["status"])


@deadline("domain.tiers.RETENTION_DAYS", "domain.tiers.kept_since_ms", good="shown", over="kept no longer")
def retention_of_the_audit_log(bench: Bench) -> tuple[int, Probe]:
    """How long a row can be read back; the account is of the tier enterprise."""
    bench.own.agents.register("of-long-ago", accountability_mode="logged")
    [row] = bench.own.audit.list()["entries"]
    begun = bench.world.clock.now_ms()

    def probe() -> str:
        shown = bench.own.audit.list(limit=100)["entries"]
        return "shown" if row["entry_id"] in {one["entry_id"] for one in shown} else "kept no longer"

    return row["timestamp"] - begun + 365 * DAY + 1, probe
