"""The marker's overlay and variables."""

from __future__ import annotations

import pytest

from stack_emu.pytest_world import TestWorld


def names(world: TestWorld) -> set[str]:
    return {agent.name for agent in world.stack().agents.list()}


@pytest.mark.stack_emu(scenario="layered.yaml")
def test_a_world_without_overlays(stack_emu: TestWorld) -> None:
    assert names(stack_emu) == {"clerk"}


@pytest.mark.stack_emu(scenario="layered.yaml", overlay="ci", variables={"agent": "other"})
def test_a_world_with_an_overlay_and_a_variable(stack_emu: TestWorld) -> None:
    assert names(stack_emu) == {"other", "of-ci"}
