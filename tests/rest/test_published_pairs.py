"""Every method and path that any published SDK calls, from 0.1.0 to 4.0.0, is served: ``published_pairs.txt`` lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu.domain.families import registry
from stack_emu.surfaces.routing import operation_routes

PAIRS = Path(__file__).with_name("published_pairs.txt").read_text("utf-8").splitlines()
ROUTES = operation_routes(registry())


def test_there_are_as_many_as_the_sdks_have() -> None:
    assert len(PAIRS) == len(set(PAIRS)) == 213


@pytest.mark.parametrize("pair", PAIRS)
def test_it_is_served_by_an_operation_of_its_own(pair: str) -> None:
    method, _, path = pair.partition(" ")
    found = ROUTES.match(method, path.replace("{}", "some-id"))
    assert found is not None, f"{pair} is not served"
    declared, parameters = found
    assert declared.rest is not None
    assert len(parameters) == path.count("{}"), f"{pair} is taken for {declared.name}, whose ids it has none of"
