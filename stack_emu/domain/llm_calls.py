"""Calls of the LLM gateway that were made: who made them, the tokens they took and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stack_emu.kernel.world import World

PRICES: tuple[tuple[str, int, int], ...] = (
    ("claude-opus", 1_500, 7_500),
    ("claude-sonnet", 300, 1_500),
    ("claude-haiku", 100, 500),
    ("gpt-", 250, 1_000),
    ("", 200, 800),
)
"""Cents for a million tokens in and out, by how a model's name begins; the first that fits counts. All invented."""

SUCCESS, ERROR = "success", "error"


@dataclass(frozen=True)
class LlmCall:
    """A call that a provider answered.

    ``connection_id`` is empty when STACK's own credential paid: then ``cost_cents`` is what the account is charged.
    """

    TABLE: ClassVar[str] = "llm_calls"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    agent_id: str
    passport_id: str
    mission_id: str | None
    provider: str
    model: str
    connection_id: str
    status: str
    http_status: int
    streamed: bool
    input_tokens: int
    output_tokens: int
    cost_cents: float
    created_at: int


def cost_cents(model: str, tokens_in: int, tokens_out: int) -> float:
    """What a call costs, in cents. The maker's name that OpenRouter puts before a model's does not count."""
    name = model.rpartition("/")[2]
    _, price_in, price_out = next(row for row in PRICES if name.startswith(row[0]))
    return round((tokens_in * price_in + tokens_out * price_out) / 1_000_000, 6)


def calls_of(
    world: World, operator_id: str, since_ms: int | None = None, until_ms: int | None = None
) -> Iterator[LlmCall]:
    """The calls of an account, in a window when one is named: its start included, its end excluded."""
    for call in world.store.find(LlmCall, operator_id=operator_id):
        if since_ms is not None and call.created_at < since_ms:
            continue
        if until_ms is not None and call.created_at >= until_ms:
            continue
        yield call
