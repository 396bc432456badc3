"""The scripted model: what the Messages API answers, turn by turn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from stack_emu.scenario.values import Json, Model, Names, accept_singular

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "pause_turn", "refusal"]


class ModelMatch(Model):
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


class Call(Model):
    """One tool call the model makes."""

    tool: Annotated[str, Field(min_length=1)] = Field(description="The tool's name, such as stack_proxy_request.")
    input: dict[str, Json] = Field(
        default_factory=dict, description="The tool's arguments; text containing {{ is rendered."
    )
    server: str | None = Field(None, description="Name of the MCP server, needed when several offer the tool.")


class Turn(Model):
    """One turn of the model: text, then tool calls, either of which may be missing."""

    short_forms: ClassVar[dict[str, str]] = {"call": "calls"}

    say: str | None = Field(None, description="What the model says; text containing {{ is rendered.")
    calls: tuple[Call, ...] = Field(
        (), description="Tool calls made after saying it, in parallel where the client allows."
    )
    stop: StopReason | None = Field(
        None, description="Why the turn ends; tool_use or end_turn, as it comes, when left out."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_call(cls, value: object) -> object:
        """`call` is short for `calls` with one entry."""
        return accept_singular(value, "call", "calls")

    @model_validator(mode="after")
    def _says_something(self) -> Turn:
        if self.say is None and not self.calls and self.stop is None:
            raise ValueError("a turn needs say, call or calls")
        return self


class ModelRule(Model):
    """A script: which conversation it answers and its turns in order."""

    when: ModelMatch = Field(
        ModelMatch.model_construct(), description="Which conversation it answers; any when left out."
    )
    turns: Annotated[tuple[Turn, ...], Field(min_length=1)] = Field(
        description="The model's turns after the anchor, in order."
    )
