"""STACK's catalogue of refusals: code, HTTP status and message, one row each.

Codes and statuses are those of docs/reference/errors as far as it is stored; the wording of ended missions is what SDK
3.0.0 and later parse (errors.py), so tests pin it.
"""

from __future__ import annotations

from stack_emu.domain import oauth_faults
from stack_emu.kernel import dispatch
from stack_emu.kernel.errors import FaultSpec

INVALID_REQUEST = dispatch.INVALID_REQUEST
BODY_TOO_LARGE = FaultSpec("INVALID_REQUEST", 413, "The body is larger than the {limit} MiB this emulator reads")
UNAUTHORIZED = dispatch.UNAUTHORIZED
FORBIDDEN = dispatch.FORBIDDEN
INTERNAL_ERROR = dispatch.INTERNAL_ERROR

INVALID_API_KEY = FaultSpec(
    "INVALID_API_KEY", 401, "This API key belongs to no operator or member of this world. {hint}"
)
PASSPORT_EXPIRED = FaultSpec("PASSPORT_EXPIRED", 401, "Passport {jti} expired at {expired_at}. {hint}")
PASSPORT_REVOKED = FaultSpec("PASSPORT_REVOKED", 401, "Passport {jti} has been revoked: {reason}")
PASSPORT_INVALID = FaultSpec("UNAUTHORIZED", 401, "The passport token is not valid: {problem}")
PASSPORT_BLOCKED = FaultSpec(
    "PASSPORT_BLOCKED", 403, "Agent {agent_id} may hold no passports: {reason}. Unblock the agent after reviewing it."
)
PASSPORT_CHECKED_OUT = FaultSpec(
    "FORBIDDEN", 403, "Passport {jti} was checked out at {checked_out_at}: its work is over, issue a new one"
)
TIER_LIMIT_EXCEEDED = FaultSpec("TIER_LIMIT_EXCEEDED", 403, "The {tier} tier allows {limit} {what}; {used} are used")
INSUFFICIENT_CREDITS = FaultSpec(
    "INSUFFICIENT_CREDITS",
    402,
    "This costs {needed_cents} cents and the wallet has {balance_cents}: top it up with POST /v1/billing/topup",
)
IDENTITY_REQUIREMENTS_NOT_MET = FaultSpec(
    "IDENTITY_REQUIREMENTS_NOT_MET", 403, "{who} does not meet the identity requirement of {service}: {missing}"
)
GOVERNANCE_APPROVAL_REQUIRED = FaultSpec(
    "GOVERNANCE_APPROVAL_REQUIRED",
    403,
    "{change} loosens a control: approve {approval_id} and repeat the call with X-Governance-Approval: {approval_id}",
)
DELEGATION_DEPTH_EXCEEDED = FaultSpec(
    "DELEGATION_DEPTH_EXCEEDED", 400, "A passport can be delegated over 4 hops; {jti} is at depth {depth} already"
)
SCOPE_ESCALATION = FaultSpec("SCOPE_ESCALATION", 400, "{what} is beyond {parent}; allowed: {allowed}")
ACCOUNTABILITY_REQUIRED = FaultSpec(
    "ACCOUNTABILITY_REQUIRED",
    400,
    "Agent {agent_id} is in {mode} mode: its passports need an intent with summary and services",
)
DELEGATION_ACCOUNTABILITY_VIOLATION = FaultSpec(
    "DELEGATION_ACCOUNTABILITY_VIOLATION",
    400,
    "Agent {child} is in {child_mode} mode, which is weaker than {parent_mode}, the mode of the passport delegated from",
)
NOT_FOUND = FaultSpec("NOT_FOUND", 404, "{what} {id} was not found in this account")
CHECKPOINT_NOT_AVAILABLE = FaultSpec(
    "CHECKPOINT_NOT_AVAILABLE", 404, "Passport {jti} is in standard mode, which has no checkpoints"
)
CONFLICT = FaultSpec("CONFLICT", 409, "{problem}")
IDEMPOTENCY_CONFLICT = FaultSpec(
    "IDEMPOTENCY_CONFLICT",
    409,
    "This Idempotency-Key was used for another {operation} before: repeat that request unchanged, or use a new key",
)
PRECONDITION_FAILED = FaultSpec(
    "PRECONDITION_FAILED",
    412,
    "{what} is at revision {current_revision}, not {expected_revision}: read it again and send If-Match: "
    "{current_revision}",
)
PRECONDITION_REQUIRED = FaultSpec(
    "PRECONDITION_REQUIRED", 428, "{what} is changed with If-Match: its revision, which is {current_revision} now"
)
FLEET_REVOKED = FaultSpec(
    "FLEET_REVOKED", 403, "Fleet policy {policy_id} was revoked at {revoked_at}; activate another one"
)
FLEET_LIMIT_EXCEEDED = FaultSpec(
    "FLEET_LIMIT_EXCEEDED", 403, "Fleet policy {policy_id} allows {limit} {what}; {used} are used"
)
TENANT_TIER_NOT_ALLOWED = FaultSpec(
    "TENANT_TIER_NOT_ALLOWED",
    400,
    "tier is not accepted: tenants have no plan of their own and draw from the partner's",
)
TENANT_LIMIT_REACHED = FaultSpec("TENANT_LIMIT_REACHED", 409, "The partner's terms allow {limit} tenants; {used} exist")
ALLOWANCE_EXHAUSTED = FaultSpec(
    "ALLOWANCE_EXHAUSTED", 402, "The partner's allowance of {limit} actions a month is used up: {used} were made"
)
TENANT_BILLED_BY_PARTNER = FaultSpec(
    "TENANT_BILLED_BY_PARTNER", 403, "This account is a tenant: its partner pays, and changes what it pays for"
)
BILLING_ACCOUNT_INACTIVE = FaultSpec("BILLING_ACCOUNT_INACTIVE", 403, "The billing account of {partner} is not active")
INTENT_APPROVAL_REQUIRED = FaultSpec(
    "INTENT_APPROVAL_REQUIRED",
    403,
    "{problem}. Submit the intent, have it approved, and repeat the call with {header}: <approval id>",
)
SCHEMA_VALIDATION_FAILED = FaultSpec("SCHEMA_VALIDATION_FAILED", 400, "{what} does not match {schema}: {problems}")
DROPOFF_ALREADY_COLLECTED = FaultSpec(
    "DROPOFF_ALREADY_COLLECTED", 409, "Drop-off {dropoff_id} was collected before; what is in one is handed out once"
)
UPSTREAM_TIMEOUT = FaultSpec("UPSTREAM_TIMEOUT", 504, "{host} did not answer within {seconds} s", "failure")
UPSTREAM_UNREACHABLE = FaultSpec("UPSTREAM_UNREACHABLE", 502, "{host} could not be reached: {reason}", "failure")
RESPONSE_TOO_LARGE = FaultSpec("RESPONSE_TOO_LARGE", 502, "{host} answered with more than {limit} bytes", "failure")
NOT_EMULATED = FaultSpec("NOT_EMULATED", 501, "{what} is not emulated. {hint}", "failure")
LLM_PROVIDER_ERROR = FaultSpec(
    "LLM_PROVIDER_ERROR", 502, "{provider} answered this call with HTTP {status}: {reason}", "failure"
)
LLM_UNSCRIPTED = FaultSpec("LLM_UNSCRIPTED", 501, "{reason}", "failure")
MISSION_LIMIT_EXCEEDED = FaultSpec(
    "MISSION_LIMIT_EXCEEDED", 403, "Mission {mission_id} allows {limit} {what}; {used} are used"
)

MISSION_COMPLETED = FaultSpec("MISSION_ENDED", 403, "Mission {mission_id} is completed; open or start another one")
MISSION_REVOKED = FaultSpec("MISSION_ENDED", 403, "Mission {mission_id} is revoked; open or start another one")
MISSION_EXPIRED = FaultSpec("MISSION_ENDED", 403, "Mission {mission_id} has expired; open or start another one")
MISSION_NOT_FOUND = FaultSpec("NOT_FOUND", 404, "Mission {mission_id} not found in this account")
MISSION_MISSING = FaultSpec(
    "MISSION_REQUIRED", 403, "A passport is bound to exactly one Mission: send mission_ids with one ms_ id"
)

SKILL_NOT_FOUND = FaultSpec(
    "SKILL_NOT_FOUND", 404, "Skill {id} was not found on the marketplace; browse the skills that are active"
)
INVOCATION_NOT_FOUND = FaultSpec(
    "INVOCATION_NOT_FOUND", 404, "Invocation {id} was not found among those this account made or serves"
)
SKILL_REQUEST_NOT_FOUND = FaultSpec(
    "NOT_FOUND", 404, "Skill request {id} is not on the board; list the requests there are"
)
TRUST_LEVEL_INSUFFICIENT = FaultSpec(
    "TRUST_LEVEL_INSUFFICIENT",
    403,
    "Skill {skill_id} needs trust level {needed}, this caller has {level}: verify for the claim {missing} first",
)
UNAUTHORIZED_SKILL_ACCESS = FaultSpec("UNAUTHORIZED_SKILL_ACCESS", 403, "{reason}")
INVALID_VERIFICATION_CODE = FaultSpec(
    "INVALID_VERIFICATION_CODE", 400, "The verification code of {id} is not accepted: {problem}"
)
WEBHOOK_SIGNATURE_INVALID = FaultSpec("UNAUTHORIZED", 401, "The webhook was not accepted: {problem}")

CATALOGUE: tuple[FaultSpec, ...] = (
    *(value for value in tuple(globals().values()) if isinstance(value, FaultSpec)),
    *oauth_faults.SPECS,
)


def by_code() -> dict[str, FaultSpec]:
    """The catalogue by code; where a code has several wordings, the first one."""
    table: dict[str, FaultSpec] = {}
    for spec in CATALOGUE:
        table.setdefault(spec.code, spec)
    return table
