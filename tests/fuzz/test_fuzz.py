"""Schemathesis on the emulator's own OpenAPI document: every check it has, and no trace of a rejected request.

The families are spread over a few runs, each in a world of its own: positive and negative data for every operation, then
sequences of calls that depend on each other. ``make fuzz`` runs more examples of each (``FUZZ_EXAMPLES``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.rejected import watching_rejections
from tests.guarantees.conftest import Ground
from tests.guarantees.tour import OPERATOR, STEPS, Tour, prepare, registry

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="schemathesis needs Python 3.11")
CONFIG = Path(__file__).resolve().parent / "schemathesis.toml"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
RUNS = 6


def runs() -> list[list[str]]:
    """The document's tags in ``RUNS`` parts that have about as many operations each."""
    sizes = Counter(declared.name.partition(".")[0] for declared in registry() if declared.rest is not None)
    parts: list[list[str]] = [[] for _ in range(RUNS)]
    for family, _ in sizes.most_common():
        min(parts, key=lambda part: sum(sizes[name] for name in part)).append(family)
    return parts


ENDING = {"passports.revoke_all", "passports.revoke_agent", "agents.delete", "services.disconnect", "missions.revoke"}
"""Steps of the tour that are not taken before: what they end is what the calls need."""


def take_tour(ground: Ground) -> None:
    """Take the tour, but for its end, so that what calls refer to exists."""
    tour = Tour(ground.world)
    for step in STEPS:
        if step.operation in ENDING:
            break
        tour.take(step, ground.over_rest)


def configuration(ground: Ground, tmp_path: Path) -> Path:
    """The committed configuration, with the ids of the world as words for the parameters."""
    ids: dict[str, list[str]] = {}
    for kind, table in ground.world.store._tables.items():
        for key in table.rows:
            if re.fullmatch(r"[a-z]{2,4}_[A-Za-z0-9_]+", key):
                ids.setdefault(kind.TABLE, []).append(key)
    words = sorted({key for keys in ids.values() for key in keys})
    text = CONFIG.read_text("utf-8")
    by_prefix: dict[str, list[str]] = {}
    for word in words:
        by_prefix.setdefault(word.partition("_")[0], []).append(word)
    lines = [f"[dictionaries.{prefix}]\nvalues = {json.dumps(found[:8])}\n" for prefix, found in by_prefix.items()]
    binds = [
        f'{json.dumps(name)} = {{ dictionary = "{prefix}", probability = 0.8 }}'
        for name, prefix in PREFIXES.items()
        if prefix in by_prefix
    ]
    made = tmp_path / "schemathesis.toml"
    made.write_text(text + "\n" + "\n".join(lines) + "\n[parameters]\n" + "\n".join(binds) + "\n", "utf-8")
    return made


PREFIXES = {
    "agent_id": "agt",
    "connection_id": "scon",
    "mission_id": "ms",
    "jti": "pp",
    "passport_jti": "pp",
    "policy_id": "flp",
    "principal_id": "prn",
    "binding_id": "abn",
    "proof_id": "prf",
    "receiver_id": "rcv",
    "skill_id": "skl",
    "invocation_id": "sinv",
    "request_id": "skr",
    "dropoff_id": "drp",
    "approval_id": "iap",
    "webhook_id": "iwh",
    "destination_id": "ndst",
    "channel_id": "nch",
    "member_id": "mem",
    "event_id": "sev",
    "tenant_id": "op",
    "grant_id": "grt",
    "pack_id": "pck",
    "claim_id": "pc",
    "checkout_id": "co",
    "service_id": "scon",
}
"""Parameters, and the prefix of the ids that belong there."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("families", runs(), ids="-".join)
def test_every_check_holds(ground_of: Callable[..., Ground], tmp_path: Path, families: list[str]) -> None:
    ground = ground_of()
    ground.do(lambda: prepare(ground.world))
    take_tour(ground)
    program = Path(sys.executable).parent / "st"
    command = [str(program), "--config-file", str(configuration(ground, tmp_path)), "run"]
    command += [f"{ground.served.base_url}/openapi.json", "-H", f"Authorization: Bearer {OPERATOR}"]
    command += [item for family in families for item in ("--include-tag", family)]
    command += ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--no-shrink"]
    command += ["--continue-on-failure", "--exclude-deprecated"]
    with watching_rejections(ground.served) as watch:
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False, env=environment(tmp_path)
        )
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]
    assert watch.changed == []
    assert watch.compared > 100
    assert watch.failed == []
    cases = re.search(r"(\d+) generated", done.stdout)
    print(f"{', '.join(families)}: {cases[1] if cases else '?'} cases; {watch.compared} rejected requests compared")


def environment(home: Path) -> dict[str, Any]:
    """A plain environment: no colour, no proxy, nothing kept between runs."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "NO_COLOR": "1", "COLUMNS": "160"}
