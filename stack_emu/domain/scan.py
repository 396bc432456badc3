"""Scan: holding retrieved content against the patterns of prompt injection before a model reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from stack_emu.domain import faults, injection, meters, tiers
from stack_emu.domain.authentication import ACCOUNT_AND_AGENT, live_passport
from stack_emu.domain.issuance import presented
from stack_emu.domain.state import Passport
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import TOKEN, Audit, Auth, Command, Reply, Rest, Tool, operation


class ScanContent(Command):
    """What to look at."""

    content: str | dict[str, Any] = Field(
        description="A text, or an object whose values are looked at one level deep; what is nested, as its JSON text"
    )
    context: Literal["email", "document", "webpage", "chat_log", "api_response", "calendar", "other"] | None = Field(
        None, description="What kind of content it is"
    )
    source: str | None = Field(None, max_length=2048, description="Where it is from: a URL, a sender, a file name")
    passport_token: Annotated[str | None, TOKEN] = Field(None, description="Passport under which it was retrieved")


class ScanMatch(Reply):
    """What was found."""

    pattern_id: str
    severity: str
    description: str
    encoding: str = Field(description="How it was spelled: none, or the decoders in order")
    field: str | None = Field(description="Key it stood under, when the content is an object")
    excerpt: str


class ScanReply(Reply):
    """A verdict."""

    verdict: str = Field(description="clean, suspicious or critical")
    scan_id: str
    duration_ms: int
    match: ScanMatch | None


class ReadScanUsage(Command):
    """Nothing to say."""


class ScanUsageReply(Reply):
    """Scans of this month."""

    tier: str
    limit: int | None
    used: int
    remaining: int | None
    period: str


@operation(
    "scan.scan",
    rest=Rest("POST", "/v1/scan", headers={"X-Passport-Token": "passport_token"}),
    tool=Tool("stack_scan", title="Scan content"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="proxy:write", role="standard"),
    audit=Audit("scan.content"),
    presents=presented("passport_token"),
    source="sdk 4.0.0 scan.scan",
    grade="documented",
)
def scan_content(ctx: Context, command: ScanContent) -> ScanReply:
    """Scan content for prompt injection, in every usual spelling. With a passport, a find is a signal about its agent.

    Raises:
        Fault: TIER_LIMIT_EXCEEDED, PASSPORT_EXPIRED, PASSPORT_REVOKED, UNAUTHORIZED, FORBIDDEN for a passport of others.
    """
    passport = _attributed(ctx, command.passport_token)
    meters.check(ctx, meters.SCANS)
    meters.count(ctx, meters.SCANS)
    match = injection.inspect(ctx.world, ctx.operator_id, command.content)
    verdict = match.verdict if match is not None else "clean"
    ctx.row.set(verdict=verdict, pattern=match.pattern_id if match is not None else None)
    scan_id = ctx.act.new_id("scan", "scan_")
    if match is not None and passport is not None:
        where = f"content from {command.source}" if command.source else "scanned content"
        injection.raise_signal(ctx, passport, match, where, scan_id=scan_id, context=command.context)
    return ScanReply(verdict=verdict, scan_id=scan_id, duration_ms=0, match=_match(match))


def _match(match: injection.Match | None) -> ScanMatch | None:
    if match is None:
        return None
    return ScanMatch(
        pattern_id=match.pattern_id,
        severity=match.severity,
        description=f"It {match.about}.",
        encoding=match.encoding,
        field=match.field,
        excerpt=match.excerpt,
    )


def _attributed(ctx: Context, token: str | None) -> Passport | None:
    if token is None:
        return None
    passport = live_passport(ctx.world, token)
    if passport.operator_id != ctx.operator_id or ctx.caller.agent_id not in (None, passport.agent_id):
        whose = f"agent {ctx.caller.agent_id}" if ctx.caller.agent_id is not None else "this account"
        raise Fault(faults.FORBIDDEN, reason=f"Passport {passport.id} is not one of {whose}; present its own")
    ctx.row.set(agent_id=passport.agent_id, passport_jti=passport.id, mission=passport.mission_id)
    ctx.row.set(intent=passport.intent_summary)
    return passport


@operation(
    "scan.usage",
    rest=Rest("GET", "/v1/scan/usage"),
    tool=Tool("stack_get_scan_usage"),
    auth=Auth(bearers=ACCOUNT_AND_AGENT, scope="proxy:read"),
    source="sdk 4.0.0 scan.usage",
    grade="documented",
)
def scan_usage(ctx: Context, command: ReadScanUsage) -> ScanUsageReply:
    """Read how many scans were made this month and how many are left."""
    limit = meters.limit_of(ctx.world, ctx.operator_id, meters.SCANS)
    used = meters.used(ctx.world, ctx.operator_id, meters.SCANS)
    return ScanUsageReply(
        tier=tiers.tier_of(ctx.world, ctx.operator_id),
        limit=limit,
        used=used,
        remaining=None if limit is None else max(0, limit - used),
        period=meters.period_of(ctx.now_ms),
    )
