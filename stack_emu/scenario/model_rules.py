"""The scripted model: what the Messages API answers, turn by turn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from stack_emu.scenario.values import Flag, Int, Json, Model, Names, accept_singular

StopReason = Literal[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]
RefusalCategory = Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]


def _code_or_flag(value: object) -> object:
    if isinstance(value, (str, bool)):
        return value
    raise ValueError("write an error code such as TIER_LIMIT_EXCEEDED, or true for any error, or false for none")


ErrorCode = Annotated[str | bool, BeforeValidator(_code_or_flag), WithJsonSchema({"type": ["string", "boolean"]})]
"""The code of an error, or whether there is one."""


class ResultMatch(Model):
    """What the last call after the anchor returned. Every part that is given must match."""

    result: Json = Field(
        None,
        description="What the last call's result must contain: for an object, at least these fields; otherwise the whole value.",
    )
    result_regex: str | None = Field(
        None, description="Regular expression found in the last call's result: in its text, or in its JSON in one line."
    )
    error: ErrorCode | None = Field(
        None,
        description="Code of the error the last call was refused with; true for any error, false for a call without one.",
    )


class ModelMatch(ResultMatch):
    """Which conversation a script answers. Every part that is given must match; the first such script is used."""

    user: str | None = Field(
        None, description="Text contained in the anchor: the last user message with text and no tool result."
    )
    regex: str | None = Field(None, description="Regular expression found anywhere in the anchor's text.")
    system: str | None = Field(None, description="Text contained in the system prompt.")
    model: str | None = Field(None, description="The requested model, exact or with a final * for the rest.")
    tools: Names | None = Field(None, description="Tools that must be on offer: one name or a list.")
    key: str | None = Field(None, description="The API key the request was made with.")
    agent: str | None = Field(None, description="Id or name of the agent behind the bearer of the MCP server.")
    output: Names | None = Field(
        None, description="Properties of the JSON Schema the reply must have (output_config.format), such as title."
    )
    turn: Annotated[Int, Field(ge=0)] | None = Field(
        None, description="How many turns the model has taken since the anchor; 0 right after it."
    )

    @property
    def moves(self) -> bool:
        """Whether it can match at one point of a conversation and not at another."""
        return not (self.turn is None and self.result is None and self.result_regex is None and self.error is None)


class Call(Model):
    """One tool call the model makes."""

    tool: Annotated[str, Field(min_length=1)] = Field(description="The tool's name, such as stack_proxy_request.")
    input: dict[str, Json] = Field(
        default_factory=dict, description="The tool's arguments; text containing {{ is rendered."
    )
    server: str | None = Field(None, description="Name of the MCP server, needed when several offer the tool.")


class Refusal(Model):
    """What a refusal says about itself (`stop_details`)."""

    category: RefusalCategory | None = Field(None, description="The policy it falls under; null when left out.")
    explanation: str | None = Field(None, description="A sentence about it; null when left out.")


class Branch(Model):
    """One way a script can go on."""

    when: ResultMatch = Field(
        ResultMatch.model_construct(), description="What the last call must have returned; anything when left out."
    )
    turns: Annotated[tuple[Turn, ...], Field(min_length=1)] = Field(
        description="The turns of this way; the script's next ones follow."
    )


class Turn(Model):
    """One turn of the model: thinking, text, then tool calls, each of which may be missing; or a choice of ways."""

    short_forms: ClassVar[dict[str, str]] = {"call": "calls"}

    think: str | None = Field(
        None, description="What the model thinks first; left out unless the request asks for thinking. Rendered."
    )
    redacted: Flag = Field(False, description="Whether the thinking comes as a redacted_thinking block.")
    say: str | None = Field(None, description="What the model says; text containing {{ is rendered.")
    json_: Json = Field(None, alias="json", description="What it says, as JSON, in place of say; rendered.")
    calls: tuple[Call, ...] = Field(
        (), description="Tool calls made after saying it, in parallel where the client allows."
    )
    stop: StopReason | None = Field(
        None, description="Why the turn ends; tool_use or end_turn, as it comes, when left out."
    )
    refusal: Refusal | None = Field(None, description="Details of a refusal; stop is then refusal.")
    branches: tuple[Branch, ...] = Field(
        (), description="Ways to go on, of which the first that matches the last result is taken; stands alone."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_call(cls, value: object) -> object:
        """`call` is short for `calls` with one entry."""
        return accept_singular(value, "call", "calls")

    @model_validator(mode="after")
    def _fits_together(self) -> Turn:
        if self.branches and len(self.model_fields_set - {"branches"}) > 0:
            raise ValueError("branches stands alone; put what is said before it into a turn of its own")
        if self.say is not None and self.json_ is not None:
            raise ValueError("a turn says text (say) or JSON (json), not both")
        speaks = self.say is not None or self.json_ is not None or bool(self.calls)
        if not speaks and self.stop is None and self.refusal is None and not self.branches:
            raise ValueError("a turn needs say, json, call, calls or branches")
        if self.stop == "pause_turn" and not speaks:
            raise ValueError("a turn that pauses needs say, json, call or calls, which the client sends back")
        if self.stop == "tool_use" and not self.calls:
            raise ValueError("stop: tool_use needs call or calls")
        if self.refusal is not None and self.stop not in (None, "refusal"):
            raise ValueError(f"refusal goes with stop: refusal, not with {self.stop}")
        if self.redacted and self.think is None:
            raise ValueError("redacted is about think; add think, or remove it")
        return self


Branch.model_rebuild()


class ModelRule(Model):
    """A script: which conversation it answers and its turns in order."""

    when: ModelMatch = Field(
        ModelMatch.model_construct(), description="Which conversation it answers; any when left out."
    )
    turns: Annotated[tuple[Turn, ...], Field(min_length=1)] = Field(
        description="The model's turns after the anchor, in order."
    )
