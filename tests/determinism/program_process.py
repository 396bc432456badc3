"""The program and the tour in a process of their own; prints digests of what they left as one JSON object.

``python -m tests.determinism.program_process``
"""

from __future__ import annotations

import asyncio
import json
import platform
import sys

from stack_emu import Emulator
from tests.determinism.program import run, scenario, sha
from tests.guarantees import tour_process

AGENTS = 3


def main() -> None:
    """Run the program over each surface and take the tour; print what came of it."""
    found = {"python": platform.python_version()}
    with Emulator() as emulator:
        for way in ("rest", "mcp"):
            world = emulator.client.create_world(way, scenario_yaml=scenario())
            asyncio.run(run(world, agents=AGENTS, way=way))
            found[f"audit over {way}"] = sha(world.audit.canonical())
            found[f"journal over {way}"] = sha(world.journal_canonical())
    toured = tour_process.taken(11, "virtual")
    found["tour"] = sha(toured["log"].encode())
    found["rows of the tour"] = sha(json.dumps(toured["rows"], sort_keys=True).encode())
    found["replies of the tour"] = sha(json.dumps(toured["replies"], sort_keys=True).encode())
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
