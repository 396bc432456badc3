from collections import Counter

from tests.guarantees.conftest import *  # noqa: F403


def test_x(ground, monkeypatch):

    for client in ("rest", "mcp"):
        ground.take_tour(ground.over_rest if client == "rest" else ground.over_mcp) if client == "rest" else None
    c = Counter()
    for e in ground.world.journal.violations():
        if e.problem == "leak":
            c[(e.operation or e.path, e.hint)] += 1
    for (op, h), n in sorted(c.items(), key=str):
        print(n, op, "|", h[:300])
    print(len(c))


def test_y(ground):
    ground.take_tour(ground.over_mcp)
    for e in ground.world.journal.violations():
        if e.problem == "leak":
            print(e.operation or e.path, "|", e.hint[:300])
