"""The same act gives the same act record, whichever surface it came by: every operation that has a route and a tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

from stack_emu import Emulator
from stack_emu.scenario.loader import loads
from tests.conftest import Served
from tests.guarantees.conftest import Ground, Moment, moments
from tests.guarantees.tour import OPERATOR, READONLY, SCENARIO, STRANGER, Step, prepare, registry
from tests.guarantees.wire import Answer, McpClient, RestClient
from tests.oauth.dance import Dancer

BOTH = sorted(
    name for name, declared in registry().operations.items() if declared.rest is not None and declared.tool is not None
)
ACTS = [name for name in BOTH if registry().operations[name].audit is not None]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Emulator(loads(SCENARIO)) as emulator:
        served = Served(emulator.server, emulator._loop)
        made = Ground(served, RestClient(served.base_url), McpClient(served.base_url))
        made.do(lambda: prepare(made.world))
        yield made
        made.rest.close()
        made.mcp.close()


@pytest.fixture(scope="module")
def bearers(ground: Ground) -> dict[str, str]:
    """Who is refused: a key of too low a role, another account's, and a client that may read agents and nothing else."""
    signed_in = Dancer(ground.served.base_url, {}).sign_in(scope="agents:read")["access_token"]
    return {"a reader": READONLY, "a stranger": STRANGER, "a client": signed_in}


@pytest.fixture(scope="module")
def driven(ground: Ground, bearers: dict[str, str]) -> dict[str, Moment]:
    """The first success of every operation on the tour, with the world as it was right before."""
    return moments(ground)


def told(ground: Ground, since: int) -> list[dict[str, Any]]:
    """The acts since so many, each with all that its rows hold; how long it took is no part of what happened."""
    acts = ground.do(lambda: list(ground.world.audit.acts()))[since:]
    return [
        {**asdict(act), "rows": [{**asdict(row), "duration_ms": None, "entry_hash": None} for row in act.rows]}
        for act in acts
    ]


def left(ground: Ground, moment: Moment, call: Callable[..., Answer], bearer: str) -> tuple[list[Any], str, Answer]:
    """The acts a call leaves, and the state it leaves behind them, from the moment on."""
    ground.do(lambda: ground.world.restore(moment.image))
    before = len(moment.image.audit.acts)
    hidden = set(moment.declared.tool.hidden) if moment.declared.tool is not None else set()
    raw = {name: value for name, value in moment.raw.items() if name not in hidden}
    answer = call(moment.step, raw, bearer)
    records = ground.do(lambda: sorted(repr(record) for table in tables(ground) for record in table))
    return told(ground, before), "\n".join(records), answer


def tables(ground: Ground) -> list[list[Any]]:
    image = ground.world.store.image()
    return [list(table.rows.values()) for table in image.tables.values()]


def test_there_are_many_of_them() -> None:
    assert len(BOTH) > 150
    assert len(ACTS) > 100


@pytest.mark.parametrize("name", BOTH)
def test_a_success_leaves_the_same_act_and_the_same_state(ground: Ground, driven: dict[str, Moment], name: str) -> None:
    moment = driven[name]
    acts, state, answer = left(ground, moment, ground.over_rest, OPERATOR)
    others, other_state, other = left(ground, moment, ground.over_mcp, OPERATOR)
    assert answer.ok, answer.body
    assert other.ok, other.body
    assert others == acts
    assert other_state == state
    assert bool(acts) == (name in ACTS)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("who", ["a reader", "a stranger", "a client"])
def test_a_refusal_leaves_the_same_act_and_the_same_state(
    ground: Ground, driven: dict[str, Moment], bearers: dict[str, str], name: str, who: str
) -> None:
    moment, bearer = driven[name], bearers[who]
    acts, state, answer = left(ground, moment, ground.over_rest, bearer)
    others, other_state, other = left(ground, moment, ground.over_mcp, bearer)
    assert others == acts
    assert other_state == state
    assert (other.ok, other.code) == (answer.ok, answer.code)


def test_every_operation_of_both_surfaces_was_driven(driven: dict[str, Moment]) -> None:
    assert set(BOTH) <= set(driven)
    steps: list[Step] = [driven[name].step for name in BOTH]
    assert [step.operation for step in steps if step.rest_only] == []
