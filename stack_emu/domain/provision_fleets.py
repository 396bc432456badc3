"""Activating the fleet policies of a scenario."""

from __future__ import annotations

from pydantic import ValidationError

from stack_emu.domain.constraints import accepted
from stack_emu.domain.fleet_definitions import FleetDefinition, access_of
from stack_emu.domain.fleet_members import named_twice
from stack_emu.domain.fleet_records import FleetPolicy
from stack_emu.domain.fleets import first_revision
from stack_emu.domain.state import Connection
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.ids import text_id
from stack_emu.kernel.world import World
from stack_emu.scenario.models import Scenario


def activate_fleets(world: World, scenario: Scenario) -> None:
    """Put the scenario's fleet policies into the store, at revision 1.

    Raises:
        ValueError: for a definition that could not be activated, saying why.
    """
    for declared in scenario.fleets:
        definition = dict(declared.definition)
        name = definition.get("name")
        policy_id = declared.id or "flp_" + text_id(world.key_bytes("fleet-policy", str(name)))
        operator_id = declared.operator or scenario.operators[0].id
        problem = _problem(world, definition, operator_id)
        if problem is not None:
            raise ValueError(f"fleet {declared.id or name}: {problem}")
        if world.store.get(FleetPolicy, policy_id) is not None:
            raise ValueError(f"two fleets are called {name}; give each an id")
        world.store.put(first_revision(definition, policy_id, operator_id, world.now_ms()))


def _problem(world: World, definition: dict[str, object], operator_id: str) -> str | None:
    try:
        FleetDefinition.model_validate(definition)
    except ValidationError as error:
        issue = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, issue['loc']))}: {str(issue['msg']).removeprefix('Value error, ')}"
    mine = list(world.store.find(Connection, operator_id=operator_id))
    for entry in access_of(definition):
        if not any(entry.reference in (one.id, one.provider) for one in mine):
            return f"access names {entry.reference}, which is no service of {operator_id}"
        try:
            accepted(entry.constraints)
        except Fault as fault:
            return fault.message
    twice = named_twice(world, operator_id, definition)
    return None if twice is None else f"access: {twice}"
