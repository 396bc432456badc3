"""What a refusal means, and what would have worked, for people who read a log. Codes are STACK's, wordings ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANINGS: Mapping[str, str] = {
    "ACCOUNTABILITY_REQUIRED": "The agent's mode wants an intent: issue the passport with a summary and services.",
    "ALLOWANCE_EXHAUSTED": "The partner's monthly allowance is used up; raise it, or wait for the next month.",
    "BILLING_ACCOUNT_INACTIVE": "The billing account of the partner is not active; it must be before anything is charged.",
    "CHECKPOINT_NOT_AVAILABLE": "A passport in standard mode has no checkpoints; use an enforced or logged agent.",
    "CONFLICT": "The thing was in a state in which this cannot be done, or it exists already.",
    "DELEGATION_ACCOUNTABILITY_VIOLATION": "Nothing may be delegated to an agent in a weaker mode.",
    "DELEGATION_DEPTH_EXCEEDED": "A passport is delegated over four hops at most.",
    "DROPOFF_ALREADY_COLLECTED": "A drop-off is handed out once; deposit another one.",
    "FLEET_LIMIT_EXCEEDED": "The fleet's policy allows no more of this; raise its limit.",
    "FLEET_REVOKED": "The fleet's policy was revoked; activate another one.",
    "FORBIDDEN": "The caller may not do this: a grant, a scope or a constraint is missing, or its kind of key is not accepted.",
    "GOVERNANCE_APPROVAL_REQUIRED": "The change loosens a control; have it approved and repeat it with the approval's id.",
    "IDEMPOTENCY_CONFLICT": "The idempotency key was used for another request; use a new one.",
    "IDENTITY_REQUIREMENTS_NOT_MET": "The service requires identity claims that the caller does not have; verify for them first.",
    "INSUFFICIENT_CREDITS": "The wallet holds too little; top it up.",
    "INSUFFICIENT_SCOPE": "The passport or token lacks the scope; ask for it when issuing.",
    "INTENT_APPROVAL_REQUIRED": "A human has to approve the intent; submit it and repeat the call with the approval's id.",
    "INVALID_API_KEY": "The key belongs to no operator or member of the world.",
    "INVALID_REQUEST": "A field of the request was missing or wrong.",
    "MISSION_ENDED": "The mission was completed, revoked or has expired; open or start another one.",
    "MISSION_LIMIT_EXCEEDED": "The mission allows no more of this.",
    "MISSION_REQUIRED": "A passport is bound to one mission; name it.",
    "NOT_FOUND": "There is no such thing in this account.",
    "PASSPORT_BLOCKED": "The agent may hold no passports; unblock it after reviewing it.",
    "PASSPORT_EXPIRED": "The passport was past its end; refresh it in time, or issue another one.",
    "PASSPORT_REVOKED": "The passport was revoked, by itself, with its agent or with the one it was delegated from.",
    "PRECONDITION_FAILED": "Somebody changed the thing in between; read it again and send its revision.",
    "PRECONDITION_REQUIRED": "The change needs an If-Match with the revision that was read.",
    "RATE_LIMITED": "Too many calls in too short a time; wait as long as Retry-After says.",
    "SCHEMA_VALIDATION_FAILED": "The data does not match the schema that was agreed on.",
    "SCOPE_ESCALATION": "More was asked for than the grant, or the passport that was delegated from, allows.",
    "TIER_LIMIT_EXCEEDED": "The account's tier allows no more of this.",
    "TRUST_LEVEL_INSUFFICIENT": "The skill needs a higher trust level; verify for it first.",
    "UNAUTHORIZED": "The credential was missing or not valid.",
    "UNAUTHORIZED_SKILL_ACCESS": "The skill is not the caller's to use this way.",
    "UPSTREAM_TIMEOUT": "The service did not answer in time.",
    "UPSTREAM_UNREACHABLE": "The service could not be reached.",
}


def explained(row: Mapping[str, Any]) -> str:
    """What came of a row that did not succeed, in one sentence; empty for one that did."""
    outcome, code, status = row.get("outcome"), row.get("code"), row.get("upstream_status")
    if outcome == "success":
        return ""
    if isinstance(code, str):
        return MEANINGS.get(
            code, f"The code {code} has no entry in this report; the reply that was given named the reason."
        )
    if status is not None:
        return f"The service answered with HTTP {status}; STACK passed it on."
    return {"pending": "It was not decided yet when the log was taken."}.get(str(outcome), "No code was recorded.")
