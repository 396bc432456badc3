"""The tour itself: it calls everything there is, and leaves the same log over either surface."""

from __future__ import annotations

from collections.abc import Callable

from stack_emu.domain.canonical_audit import verify
from tests.guarantees.conftest import Ground
from tests.guarantees.tour import OPERATOR, STEPS, prepare, registry


def test_the_tour_brings_every_operation_to_a_success_and_calls_nothing_else() -> None:
    succeeding = {step.operation for step in STEPS if step.code is None}
    assert succeeding == set(registry().operations)


def test_steps_have_names_of_their_own() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)


def test_the_tour_leaves_the_same_log_over_rest_and_over_mcp(ground: Ground, ground_of: Callable[..., Ground]) -> None:
    ground.take_tour(ground.over_rest)
    other = ground_of()
    other.do(lambda: prepare(other.world))
    other.take_tour(other.over_mcp)
    assert other.log() == ground.log()
    assert verify(ground.log()) == []


def test_the_tour_ends_with_chains_that_hold(ground: Ground) -> None:
    ground.take_tour()
    report = ground.rest.call(registry().operations["audit.verify_chain"], {}, OPERATOR).body
    assert report["valid"] is True
    assert report["checked"] == len(ground.world.audit.rows("op_tour")) > 30
