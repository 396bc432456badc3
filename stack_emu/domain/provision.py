"""Filling a world with what its scenario says exists; ids it leaves out are derived from the seed and the name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stack_emu.domain import forced_signals
from stack_emu.domain.agents import PROFILES
from stack_emu.domain.authentication import key_digest
from stack_emu.domain.identity_records import claims_for_passport
from stack_emu.domain.identity_seeds import provision_identity
from stack_emu.domain.oauth_clients import provision_oauth
from stack_emu.domain.opening import open_accounts
from stack_emu.domain.secret_kinds import API_KEY, learn, learn_script_keys, watch_tokens
from stack_emu.domain.skill_seeds import provision_skills
from stack_emu.domain.state import (
    Agent,
    ApiKey,
    Connection,
    Constraint,
    Grant,
    Mission,
    NamedIntent,
    Operator,
    Passport,
    ServiceScope,
)
from stack_emu.domain.team_records import enlist
from stack_emu.kernel.errors import WorldError
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.world import Timer, World
from stack_emu.scenario import models
from stack_emu.scenario.models import Scenario

DEFAULT_INTERVAL_SECONDS = 300


class ProvisionError(WorldError):
    """A scenario that is well formed but describes a world that cannot be; the message says what would work."""


def derived_id(world: World, kind: str, prefix: str, subject: str) -> str:
    """The id of something the scenario names but gives no id."""
    return prefix + text_id(world.key_bytes(kind, subject))


def canary(world: World, connection_id: str, field: str = "") -> str:
    """A unique secret that should never be seen outside the upstream call."""
    return "canary-" + text_id(world.key_bytes("canary", f"{connection_id}/{field}"), 32)


def provision(world: World, scenario: Scenario) -> None:
    """Write the scenario's operators, keys, agents, services, grants, missions, passports and fleets into the store.

    Raises:
        ProvisionError: when it contradicts itself in a way only building it shows.
    """
    world.settings["compat"] = scenario.compat
    world.settings["propagation_ms"] = scenario.revocation.propagation
    world.settings["approvals"] = scenario.approvals
    world.settings["intent_approvals"] = scenario.intent_approvals
    world.settings["detectors"] = scenario.detectors
    if scenario.detectors:
        world.on_handled.append(forced_signals.watch)
    _operators(world, scenario)
    learn_script_keys(world, scenario.model)
    provision_identity(world, scenario)
    provision_oauth(world, scenario)
    open_accounts(world, scenario)
    agents = {reference: agent for agent in _agents(world, scenario) for reference in (agent.id, agent.name)}
    _services(world, scenario, agents)
    provision_skills(world, scenario, agents)
    missions = _missions(world, scenario, agents)
    for declared in scenario.passports:
        _passport(world, scenario, declared, agents[declared.agent], missions)
    if scenario.fleets:
        _fleets(world, scenario)


def _fleets(world: World, scenario: Scenario) -> None:
    from stack_emu.domain.provision_fleets import activate_fleets

    try:
        activate_fleets(world, scenario)
    except ValueError as error:
        raise ProvisionError(str(error)) from None


def _operators(world: World, scenario: Scenario) -> None:
    position = 0
    watch_tokens(world)
    for operator in scenario.operators:
        world.store.put(Operator(operator.id, operator.tier, operator.email or ""))
        _partnership(world, operator)
        for key in operator.keys:
            member = None if key.role == "operator" else (key.member or f"member-{position}@emu.test")
            world.redactor.add(key.key, f"key:{position}", API_KEY)
            made = ApiKey(
                id=key_digest(key.key),
                operator_id=operator.id,
                position=position,
                role=key.role,
                member_id=member,
                allowed_connections=key.allowed_connections,
            )
            enlist(world, world.store.put(made))
            position += 1


def _partnership(world: World, operator: models.Operator) -> None:
    from stack_emu.domain.partners import PartnerTerms, Tenant

    if operator.partner is not None:
        terms = operator.partner
        world.store.put(PartnerTerms(operator.id, terms.tenants, terms.allowance, terms.active))
    if operator.tenant_of is not None:
        world.store.put(Tenant(operator.id, operator.tenant_of, world.now_ms()))


def _owner(scenario: Scenario, reference: str | None) -> str:
    return reference or scenario.operators[0].id


def _agents(world: World, scenario: Scenario) -> list[Agent]:
    now = world.now_ms()
    made = []
    for declared in scenario.agents:
        given = declared.model_dump(exclude_none=True, exclude={"id", "operator"})
        defaults = PROFILES.get(declared.profile or "", {})
        fields: dict[str, Any] = {**defaults, **given}
        agent = Agent(
            id=declared.id or derived_id(world, "agent", "agt_", declared.name),
            operator_id=_owner(scenario, declared.operator),
            created_at=now,
            updated_at=now,
            **fields,
        )
        made.append(world.store.put(agent))
    return made


def _services(world: World, scenario: Scenario, agents: dict[str, Agent]) -> None:
    now = world.now_ms()
    for number, declared in enumerate(scenario.services):
        connection_id = declared.id or derived_id(world, "connection", "scon_", f"{declared.provider}/{number}")
        connection = Connection(
            id=connection_id,
            operator_id=_owner(scenario, declared.operator),
            provider=declared.provider,
            service_id=f"svc_{declared.provider}",
            name=declared.name or declared.provider,
            description=declared.description,
            credential=_credential(world, connection_id, declared.credential),
            created_at=now,
            scopes=declared.scopes,
            upstream=scenario.upstream_of(declared),
            instance_url=declared.instance_url,
            account_id=declared.account_id,
            credential_expires_at=None if declared.credential.expires is None else now + declared.credential.expires,
            verified_at=now,
        )
        world.store.put(connection)
        _named_intents(world, connection, declared)
        for grant in declared.grants:
            agent = agents[grant.agent]
            world.store.put(
                Grant(
                    id=f"{agent.id}/{connection.id}",
                    operator_id=connection.operator_id,
                    agent_id=agent.id,
                    connection_id=connection.id,
                    scopes=grant.scopes if grant.scopes is not None else connection.scopes,
                    created_at=now,
                    constraints=_constraints(declared, grant),
                    intents=tuple(use.name for use in grant.intents),
                )
            )


def _named_intents(world: World, connection: Connection, service: models.Service) -> None:
    for definition in service.intents:
        world.store.put(
            NamedIntent(
                id=f"{connection.id}/{definition.name}",
                operator_id=connection.operator_id,
                connection_id=connection.id,
                provider=connection.provider,
                name=definition.name,
                description=definition.description,
                params=definition.params,
                constraints=tuple(Constraint(item.path, item.op, item.value) for item in definition.constraints),
            )
        )


def _constraints(service: models.Service, grant: models.Grant) -> tuple[Constraint, ...]:
    constraints = [Constraint(item.path, item.op, item.value) for item in grant.constraints]
    definitions = {definition.name: definition for definition in service.intents}
    for use in grant.intents:
        definition = definitions.get(use.name)
        if definition is None:
            known = ", ".join(sorted(definitions)) or "none"
            raise ProvisionError(f"service {service.provider} declares no intent {use.name}; it declares: {known}")
        from stack_emu.scenario.templates import render

        constraints.extend(
            Constraint(item.path, item.op, render(item.value, {"params": use.params}))
            for item in definition.constraints
        )
    return tuple(constraints)


def _credential(world: World, connection_id: str, declared: models.Credential) -> str | dict[str, str]:
    if declared.fields is not None:
        fields = {
            name: canary(world, connection_id, name) if value == "canary" else value
            for name, value in declared.fields.items()
        }
        learn(world, connection_id, fields)
        return fields
    secret = declared.text if declared.text is not None else canary(world, connection_id)
    learn(world, connection_id, secret)
    return secret


def _missions(world: World, scenario: Scenario, agents: dict[str, Agent]) -> dict[str, Mission]:
    now = world.now_ms()
    made = {}
    for number, declared in enumerate(scenario.missions):
        agent = agents[declared.agent]
        mission = Mission(
            id=declared.id or derived_id(world, "mission", "ms_", str(number)),
            operator_id=agent.operator_id,
            claim_id=derived_id(world, "claim", "pc_", str(number)),
            intent_summary=declared.intent,
            intent_services=declared.services,
            agent_id=agent.id,
            created_at=now,
            expires_at=now + declared.expires,
        )
        made[mission.id] = world.store.put(mission)
        world.arm(
            Timer(
                f"mission.expire/{mission.id}",
                mission.expires_at,
                "mission.expire",
                f"agent:{agent.id}",
                agent.operator_id,
                {"mission_id": mission.id},
            )
        )
    return made


def _passport(
    world: World, scenario: Scenario, declared: models.Passport, agent: Agent, missions: dict[str, Mission]
) -> None:
    mission = missions.get(declared.mission or "")
    if mission is None and scenario.compat == "sdk-4":
        raise ProvisionError(f"passport of {agent.name} names no mission; a passport is bound to exactly one")
    now = world.now_ms() // 1000 * 1000
    interval = (declared.checkpoint_interval or DEFAULT_INTERVAL_SECONDS * 1000) // 1000
    ttl = declared.ttl // 1000
    if agent.accountability_mode == "enforced":
        ttl = min(ttl, interval)
    services = _service_scopes(world, agent, declared.services)
    summary = declared.intent or (mission.intent_summary if mission else None)
    jti = _jti(world, declared)
    names = tuple(dict.fromkeys(scope.service_name for scope in services))
    passport = Passport(
        id=jti,
        operator_id=agent.operator_id,
        agent_id=agent.id,
        session_id=derived_id(world, "session", "ses_", jti),
        services=services,
        accountability=agent.accountability_mode,
        issued_at=now,
        expires_at=now + ttl * 1000,
        ttl_seconds=ttl,
        mission_id=mission.id if mission else None,
        intent={"summary": summary, "services": names, "will_delegate": True} if summary else None,
        checkpoint_interval_seconds=interval if agent.accountability_mode == "enforced" else None,
        will_delegate=True,
        identity_claim_ids=claims_for_passport(world, agent.operator_id, None),
    )
    from stack_emu.domain.passports import arm_silence

    world.store.put(passport)
    arm_silence(world, passport, f"agent:{agent.id}/passport:{jti}")


def _jti(world: World, declared: models.Passport) -> str:
    return declared.id or derived_id(world, "passport", "pp_", f"{declared.agent}/{declared.env}/{declared.mission}")


def scenario_tokens(world: World, scenario: Scenario) -> dict[str, str]:
    """The tokens of the scenario's passports by the environment variable they are handed out in."""
    from stack_emu.domain.passports import token_for

    tokens = {}
    for declared in scenario.passports:
        passport = world.store.get(Passport, _jti(world, declared))
        if declared.env is not None and passport is not None:
            tokens[declared.env] = token_for(world, passport)
    return tokens


def _service_scopes(world: World, agent: Agent, wanted: Sequence[str] | None) -> tuple[ServiceScope, ...]:
    scopes = []
    for grant in world.store.find(Grant, agent_id=agent.id):
        connection = world.store.get(Connection, grant.connection_id)
        if connection is None or (wanted is not None and not {connection.id, connection.provider} & set(wanted)):
            continue
        scopes.append(
            ServiceScope(
                service_name=connection.provider,
                connection_id=connection.id,
                scopes=grant.scopes,
                constraints=grant.constraints,
                intents=grant.intents,
                allow_data_from=grant.allow_data_from,
            )
        )
    return tuple(scopes)
