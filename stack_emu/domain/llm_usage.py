"""Usage of the LLM gateway: the calls that were made, and their sums. The shape of both replies is invented."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.issuance import is_visible
from stack_emu.domain.llm_calls import SUCCESS, LlmCall, calls_of
from stack_emu.domain.state import Passport
from stack_emu.domain.windows import Instant, check_window
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Auth, Command, Reply, Rest, Tool, operation


class LlmUsageFilter(Command):
    """Which calls count."""

    provider: str | None = Field(None, description="Only calls of this provider: anthropic, openai or openrouter")
    passport_jti: str | None = Field(None, description="Only calls under this passport")
    mission_id: str | None = Field(None, description="Only calls in this mission")
    agent_id: str | None = Field(None, description="Only calls of this agent")
    since: Instant | None = Field(None, description="Start of the window, included: ISO-8601 or epoch milliseconds")
    until: Instant | None = Field(None, description="End of the window, excluded: ISO-8601 or epoch milliseconds")


class ListLlmUsage(LlmUsageFilter):
    """Which calls to list."""

    limit: int = Field(50, ge=1, le=200, description="Calls on a page, at most 200")
    cursor: str | None = Field(None, max_length=512, description="next_cursor of the page before")


class SummarizeLlmUsage(LlmUsageFilter):
    """Which calls to add up."""

    group_by_model: bool = Field(False, description="Whether each model of a provider has a bucket of its own")


class LlmUsageRow(Reply):
    """A call a provider answered."""

    id: str
    created_at: str
    provider: str
    model: str
    agent_id: str
    passport_jti: str
    mission_id: str | None
    status: str = Field(description="success, or error when the provider refused")
    http_status: int
    streamed: bool
    input_tokens: int
    output_tokens: int
    cost_cents: float
    credential: str = Field(description="Connection id of the credential that paid, or stack for STACK's own")


class LlmUsagePage(Reply):
    """Calls, newest first."""

    rows: list[LlmUsageRow]
    next_cursor: str | None


class LlmUsageBucket(Reply):
    """Calls added up."""

    provider: str
    model: str | None = Field(description="The model; null when models are not told apart")
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_cents: float


class LlmUsageTotal(Reply):
    """All calls added up."""

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_cents: float


class LlmUsageSummary(Reply):
    """Calls by provider, and by model where asked for; then all of them."""

    buckets: list[LlmUsageBucket]
    total: LlmUsageTotal


_AUTH = Auth(bearers=ACCOUNT, scope="proxy:read")


@operation(
    "llm.list_usage",
    rest=Rest("GET", "/v1/llm/usage"),
    tool=Tool("stack_list_llm_usage"),
    auth=_AUTH,
    source="sdk 4.0.0 llm.usage.list; the reply's shape is invented",
    grade="invented",
)
def list_llm_usage(ctx: Context, command: ListLlmUsage) -> LlmUsagePage:
    """List the calls of the LLM gateway, newest first, a page at a time.

    Raises:
        Fault: INVALID_REQUEST for a cursor of no page, or a window that ends before it starts.
    """
    calls = sorted(_matching(ctx, command), key=_place, reverse=True)
    if command.cursor is not None:
        last = _read_cursor(command.cursor)
        calls = [call for call in calls if _place(call) < last]
    page = calls[: command.limit]
    more = len(calls) > len(page)
    return LlmUsagePage(rows=[_row(call) for call in page], next_cursor=_cursor(page[-1]) if more else None)


@operation(
    "llm.usage_summary",
    rest=Rest("GET", "/v1/llm/usage/summary"),
    tool=Tool("stack_get_llm_usage_summary"),
    auth=_AUTH,
    source="sdk 4.0.0 llm.usage.summary; the reply's shape is invented",
    grade="invented",
)
def summarize_llm_usage(ctx: Context, command: SummarizeLlmUsage) -> LlmUsageSummary:
    """Add up the calls of the LLM gateway: tokens and cents by provider, and by model where asked for.

    Raises:
        Fault: INVALID_REQUEST for a window that ends before it starts.
    """
    calls = list(_matching(ctx, command))
    groups: dict[tuple[str, str], list[LlmCall]] = {}
    for call in calls:
        groups.setdefault((call.provider, call.model if command.group_by_model else ""), []).append(call)
    buckets = [
        LlmUsageBucket(provider=provider, model=model or None, **_sums(group))
        for (provider, model), group in sorted(groups.items())
    ]
    return LlmUsageSummary(buckets=buckets, total=LlmUsageTotal(**_sums(calls)))


def _sums(calls: list[LlmCall]) -> dict[str, int | float]:
    return {
        "calls": len(calls),
        "errors": sum(call.status != SUCCESS for call in calls),
        "input_tokens": sum(call.input_tokens for call in calls),
        "output_tokens": sum(call.output_tokens for call in calls),
        "cost_cents": round(sum(call.cost_cents for call in calls), 6),
    }


def _matching(ctx: Context, command: LlmUsageFilter) -> Iterable[LlmCall]:
    check_window(command.since, command.until)
    wanted = {
        "provider": command.provider,
        "passport_id": command.passport_jti,
        "mission_id": command.mission_id,
        "agent_id": command.agent_id,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return (
        call
        for call in calls_of(ctx.world, ctx.operator_id, command.since, command.until)
        if all(getattr(call, name) == value for name, value in given.items()) and _is_visible(ctx, call)
    )


def _is_visible(ctx: Context, call: LlmCall) -> bool:
    passport = ctx.world.store.get(Passport, call.passport_id)
    return passport is not None and is_visible(ctx.caller, passport)


def _row(call: LlmCall) -> LlmUsageRow:
    return LlmUsageRow(
        id=call.id,
        created_at=iso(call.created_at),
        provider=call.provider,
        model=call.model,
        agent_id=call.agent_id,
        passport_jti=call.passport_id,
        mission_id=call.mission_id,
        status=call.status,
        http_status=call.http_status,
        streamed=call.streamed,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cost_cents=call.cost_cents,
        credential=call.connection_id or "stack",
    )


def _place(call: LlmCall) -> tuple[int, str]:
    """Where a call stands in the order; it does not move when further calls are made."""
    return call.created_at, call.id


def _cursor(call: LlmCall) -> str:
    return base64.urlsafe_b64encode(f"{call.created_at}/{call.id}".encode()).decode("ascii").rstrip("=")


def _read_cursor(text: str) -> tuple[int, str]:
    try:
        at, _, call_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8").partition("/")
        return int(at), call_id
    except (ValueError, binascii.Error):
        problem = "cursor: it is of no page; send the next_cursor of the page before, or leave it out"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"cursor": problem}}) from None
