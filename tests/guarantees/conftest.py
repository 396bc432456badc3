"""A served world with everything the tour needs, and clients that call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stack_emu.domain.canonical_audit import canonical_log
from stack_emu.kernel.operations import Operation
from tests.guarantees.tour import OPERATOR, SCENARIO, STEPS, Step, Tour, prepare, registry
from tests.guarantees.wire import Answer, McpClient, RestClient


@dataclass
class Ground:
    """A served world, prepared for the tour, with a REST and an MCP client on it."""

    served: Any
    rest: RestClient
    mcp: McpClient

    @property
    def world(self) -> Any:
        return self.served.world

    def do(self, function: Callable[[], Any]) -> Any:
        """Run a function in the server's thread."""
        return self.served.call(function)

    def over_rest(self, step: Step, raw: dict[str, Any], bearer: str = OPERATOR) -> Answer:
        declared = registry().operations[step.operation]
        surface = self.rest if declared.rest is not None else self.mcp
        return surface.call(declared, raw, bearer)

    def over_mcp(self, step: Step, raw: dict[str, Any], bearer: str = OPERATOR) -> Answer:
        declared = registry().operations[step.operation]
        surface = self.rest if declared.tool is None or step.rest_only else self.mcp
        return surface.call(declared, raw, bearer)

    def take_tour(self, call: Callable[..., Answer] | None = None) -> Tour:
        """Take the whole tour, over REST unless told otherwise."""
        tour = Tour(self.world)
        for step in STEPS:
            tour.take(step, call or self.over_rest)
        return tour

    def log(self) -> bytes:
        return self.do(lambda: canonical_log(self.world))


@dataclass(frozen=True)
class Moment:
    """A step of the tour with the world as it was right before it."""

    step: Step
    raw: dict[str, Any]
    image: Any

    @property
    def declared(self) -> Operation:
        return registry().operations[self.step.operation]


def moments(ground: Ground) -> dict[str, Moment]:
    """The first success of every operation on the tour."""
    tour, found = Tour(ground.world), {}
    for step in STEPS:
        image = ground.do(ground.world.image)
        if step.code is None and step.operation not in found:
            found[step.operation] = Moment(step, tour.raw(step), image)
        tour.take(step, ground.over_rest)
    return found


@pytest.fixture
def ground_of(serve: Callable[..., Any]) -> Iterator[Callable[..., Ground]]:
    """``ground_of(yaml, **options) -> Ground``; the tour's scenario when none is given."""
    made: list[Ground] = []

    def make(text: str = SCENARIO, **options: Any) -> Ground:
        served = serve(text, **options)
        made.append(Ground(served, RestClient(served.base_url), McpClient(served.base_url)))
        return made[-1]

    yield make
    for ground in made:
        ground.rest.close()
        ground.mcp.close()


@pytest.fixture
def ground(ground_of: Callable[..., Ground]) -> Ground:
    """The tour's world, ready."""
    made = ground_of()
    made.do(lambda: prepare(made.world))
    return made
