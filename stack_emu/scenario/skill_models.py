"""The marketplace at the world's start: skills that are already published, by any operator of the scenario.

Names, limits and allowed values are those of `docs/api/skills`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stack_emu.scenario.values import Identifier, Int, Json, Model

SKILL_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]*[a-z0-9]$"
VERSION_PATTERN = r"^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$"


class RequiredCredential(Model):
    """A service the buyer of a skill must have connected."""

    provider: Identifier = Field(description="The provider's key, such as slack.")
    scopes: tuple[str, ...] = Field((), description="Scopes the connection must have.")


class Skill(Model):
    """One published skill."""

    id: Identifier | None = Field(
        None, description="The skill's id, such as skl_summarize; derived from the seed when left out."
    )
    name: Annotated[
        str,
        Field(
            pattern=SKILL_NAME_PATTERN,
            min_length=2,
            max_length=64,
            description="Lower-case letters, digits and inner hyphens, 2 to 64 characters.",
        ),
    ]
    operator: str | None = Field(
        None, description="Id of the operator that published the skill; the first one when left out."
    )
    description: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="What the skill does, up to 1000 characters."
    )
    version: Annotated[str, Field(pattern=VERSION_PATTERN, max_length=128)] = Field(
        "1.0.0", description="Its semantic version."
    )
    input_schema: dict[str, Json] = Field(
        default_factory=lambda: {"type": "object"}, description="JSON Schema of the input; any object when left out."
    )
    output_schema: dict[str, Json] = Field(
        default_factory=dict, description="JSON Schema of the output; any value when left out."
    )
    trust_level_required: Literal["L0", "L1", "L2"] = Field(
        "L0", description="L0 (anybody), L1 (verified_human) or L2 (verified_identity)."
    )
    tags: tuple[str, ...] = Field((), description="Tags to be found by.")
    price_per_invocation: Annotated[Int, Field(ge=0, le=1_000_000)] = Field(0, description="Price in cents.")
    agent: str | None = Field(None, description="Id or name of the agent that serves the skill; needed by an open one.")
    execution_mode: Literal["open", "sealed", "source"] = Field(
        "open", description="open (an agent does it), sealed or source (its steps are run)."
    )
    credential_mode: Literal["none", "buyer_provides"] = Field("none", description="none or buyer_provides.")
    required_credentials: tuple[RequiredCredential, ...] = Field(
        (), description="With buyer_provides: what the buyer must have connected."
    )
    execution_steps: tuple[dict[str, Json], ...] = Field(
        (),
        description="Steps of a sealed or source skill: {type: llm, model, system_prompt, user_message}, answered by the "
        "scenario's model section, or {type: template, template}.",
    )
    status: Literal["active", "suspended"] = Field("active", description="active or suspended.")
