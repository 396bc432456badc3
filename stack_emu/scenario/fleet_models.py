"""Fleet policies that are active when a world starts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stack_emu.scenario.values import Json, Model

FLEET_ID_PATTERN = r"^flp_[A-Za-z0-9_-]+$"


class FleetPolicy(Model):
    """One fleet policy: what agents that enroll under it may do."""

    id: Annotated[str, Field(pattern=FLEET_ID_PATTERN, max_length=128)] | None = Field(
        None, description="The policy's id, starting with flp_; derived from the seed and the name when left out."
    )
    operator: str | None = Field(
        None, description="Id of the operator that owns the policy; the first one when left out."
    )
    definition: dict[str, Json] = Field(
        description="The definition as `fleets.activate` takes it: name, access, operations, limits, mission_limits, "
        "enrollment, accountability_mode."
    )
