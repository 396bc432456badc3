"""The scenario format, version 1: the top level, and every other model by name.

`stack-emu schema` prints the same as JSON Schema for editors.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from stack_emu.scenario.fault_models import FaultInjection, FaultRule, FaultTarget, StreamFault
from stack_emu.scenario.fleet_models import FleetPolicy
from stack_emu.scenario.identity_models import Identity, IdentityClaim
from stack_emu.scenario.model_rules import Call, ModelMatch, ModelRule, StopReason, Turn
from stack_emu.scenario.run_models import (
    DEFAULT_START,
    ApprovalMatch,
    ApprovalRule,
    ClockSettings,
    DetectorMatch,
    DetectorRule,
    Expectation,
    ExpectedCall,
    ExpectedRow,
    GatewaySettings,
    McpSettings,
    OAuthClient,
    OAuthSettings,
    Revocation,
    TimelineStep,
)
from stack_emu.scenario.skill_models import RequiredCredential, Skill
from stack_emu.scenario.upstream_models import Reply, RequestMatch, Route, Upstream
from stack_emu.scenario.values import (
    MAX_INTEGER,
    Duration,
    Flag,
    Identifier,
    Instant,
    Int,
    Model,
    Offset,
    SinceStart,
    accept_singular,
)
from stack_emu.scenario.world_models import (
    DEFAULT_OPERATOR_ID,
    DEFAULT_OPERATOR_KEY,
    Agent,
    Constraint,
    Credential,
    Grant,
    IntentDefinition,
    IntentUse,
    Mission,
    Operator,
    OperatorKey,
    Passport,
    Service,
)

__all__ = [
    "DEFAULT_OPERATOR_ID",
    "DEFAULT_OPERATOR_KEY",
    "DEFAULT_START",
    "Agent",
    "ApprovalMatch",
    "ApprovalRule",
    "Call",
    "ClockSettings",
    "Constraint",
    "Credential",
    "DetectorMatch",
    "DetectorRule",
    "Duration",
    "Expectation",
    "ExpectedCall",
    "ExpectedRow",
    "FaultInjection",
    "FaultRule",
    "FaultTarget",
    "FleetPolicy",
    "GatewaySettings",
    "Grant",
    "Identity",
    "IdentityClaim",
    "Instant",
    "IntentDefinition",
    "IntentUse",
    "Mission",
    "Model",
    "ModelMatch",
    "ModelRule",
    "OAuthClient",
    "OAuthSettings",
    "Offset",
    "Operator",
    "OperatorKey",
    "Passport",
    "Reply",
    "RequestMatch",
    "RequiredCredential",
    "Revocation",
    "Route",
    "Scenario",
    "Service",
    "SinceStart",
    "Skill",
    "StopReason",
    "StreamFault",
    "TimelineStep",
    "Turn",
    "Upstream",
]


class Scenario(Model):
    """One world, described: what exists, how it behaves, and what is expected of a run in it."""

    short_forms: ClassVar[dict[str, str]] = {"operator": "operators"}

    stack_emu: Annotated[Literal[1], Field(description="The version of the format: 1.")]
    name: str | None = Field(
        None, description="What the scenario is called; the file's or folder's name when left out."
    )
    description: str | None = Field(None, description="What the scenario shows.")
    seed: Annotated[Int, Field(ge=0, le=MAX_INTEGER)] = Field(
        0, description="Every id, key and canary is derived from it."
    )
    clock: ClockSettings = Field(ClockSettings.model_construct(), description="The world's clock.")
    strict: Flag | None = Field(
        None, description="Whether surprises fail the run; true in pytest and exec, false in up, when left out."
    )
    compat: Literal["sdk-4", "docs-2026-05"] = Field(
        "sdk-4", description="Which side to take where STACK's own sources contradict each other."
    )
    operators: Annotated[tuple[Operator, ...], Field(min_length=1)] = Field(
        (Operator.model_construct(),), description="The STACK customers; operator: is short for a list of one."
    )
    agents: tuple[Agent, ...] = Field((), description="Agents that are already registered.")
    services: tuple[Service, ...] = Field((), description="Services that are already connected.")
    missions: tuple[Mission, ...] = Field((), description="Missions that are already open.")
    passports: tuple[Passport, ...] = Field((), description="Passports minted when the world starts.")
    skills: tuple[Skill, ...] = Field((), description="Skills that are already on the marketplace.")
    fleets: tuple[FleetPolicy, ...] = Field((), description="Fleet policies under which agents can enroll at once.")
    upstreams: dict[Identifier, Upstream] = Field(
        default_factory=dict, description="The fake services behind the proxy, by name."
    )
    model: tuple[ModelRule, ...] = Field((), description="What the Messages API answers; the first rule that matches.")
    approvals: tuple[ApprovalRule, ...] = Field((), description="How requests for human approval are decided.")
    detectors: tuple[DetectorRule, ...] = Field((), description="Signals raised on demand.")
    identity: Identity = Field(
        Identity.model_construct(), description="How identity verification goes, and claims that are verified already."
    )
    oauth: OAuthSettings = Field(OAuthSettings.model_construct(), description="How sign-in over OAuth goes.")
    mcp: McpSettings = Field(McpSettings.model_construct(), description="How the MCP endpoint answers.")
    intent_approvals: Literal["required", "optional"] = Field(
        "required",
        description="Whether writes under an enforced passport need an approved intent: required, or optional.",
    )
    revocation: Revocation = Field(Revocation.model_construct(), description="How revocation spreads.")
    timeline: tuple[TimelineStep, ...] = Field((), description="Operations the scenario runs by itself.")
    gateway: GatewaySettings = Field(GatewaySettings.model_construct(), description="What the gateway lets through.")
    faults: tuple[FaultRule, ...] = Field((), description="Failures injected into calls.")
    expect: Expectation = Field(Expectation.model_construct(), description="What must hold when the run ends.")

    @classmethod
    def default(cls) -> Scenario:
        """The empty scenario: one operator `op_emu` with the one key `sk_live_emu_operator`."""
        return cls.model_construct(stack_emu=1, name="default")  # every default is valid, so nothing need be built

    @model_validator(mode="before")
    @classmethod
    def _accept_operator(cls, value: object) -> object:
        """`operator` is short for `operators` with one entry."""
        return accept_singular(value, "operator", "operators")

    def find_agent(self, reference: str) -> Agent | None:
        """The agent with that id or name, if there is one."""
        return next((agent for agent in self.agents if reference in (agent.id, agent.name)), None)

    def find_services(self, reference: str) -> tuple[Service, ...]:
        """The services with that id or provider, in the scenario's order."""
        return tuple(service for service in self.services if reference in (service.id, service.provider))

    def upstream_of(self, service: Service) -> str | None:
        """The name of the upstream a service belongs to: its own `upstream`, else the one named like its provider."""
        if service.upstream is not None:
            return service.upstream
        return service.provider if service.provider in self.upstreams else None
