"""The tour in a process of its own: prints the canonical log, the raw rows and the replies as one JSON object.

``python -m tests.guarantees.tour_process SEED CLOCK``
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from stack_emu.domain.canonical_audit import canonical_log
from stack_emu.emulator import Emulator
from stack_emu.scenario.loader import loads
from tests.guarantees.tour import OPERATOR, SCENARIO, STEPS, Tour, prepare, registry
from tests.guarantees.wire import McpClient, RestClient


def taken(seed: int, clock: str) -> dict[str, Any]:
    """What came of the tour: the canonical log, the raw rows and the replies."""
    with Emulator(loads(SCENARIO), seed=seed, clock=clock) as emulator:
        world = emulator.hosted("default").world
        emulator.call(lambda: prepare(world))
        rest, mcp = RestClient(emulator.base_url), McpClient(emulator.base_url)
        tour = Tour(world)
        for step in STEPS:
            declared = registry().operations[step.operation]
            surface = rest if declared.rest is not None else mcp
            tour.take(step, lambda step, raw, surface=surface, declared=declared: surface.call(declared, raw, OPERATOR))
        rest.close()
        mcp.close()
        log = emulator.call(lambda: canonical_log(world))
        # The port is the system's choice.
        text = json.dumps(tour.replies).replace(emulator.base_url, "http://emulator")
        replies = json.loads(text.replace(quote(emulator.base_url, safe=""), "http://emulator"))
        rows = [asdict(row) for row in world.audit.rows("op_tour")]
    return {"log": log.decode(), "rows": rows, "replies": replies}


if __name__ == "__main__":
    print(json.dumps(taken(int(sys.argv[1]), sys.argv[2])))
