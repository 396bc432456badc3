"""How far back the audit log can be read, polled and exported, page by page, with STACK's SDK and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stack_emu.audit_log.raw_rows import read_raw
from stack_emu.audit_log.verification import verify
from stack_emu.domain import audit
from stack_emu.kernel.audit import ActEntry, Row
from stack_emu.kernel.clock import iso
from tests.conftest import KEY, Served

DAY = 86_400_000


def world(tier: str) -> str:
    return (
        "stack_emu: 1\nname: kept\nseed: 2\nclock: {mode: virtual}\n"
        f"operator: {{id: op_emu, tier: {tier}, keys: [{{key: {KEY}}}]}}\n"
    )


def export(served: Served, **params: Any) -> httpx.Response:
    url = f"{served.base_url}/v1/audit/export"
    return httpx.get(url, params=params, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)


def ids(served: Served) -> list[str]:
    return [row.entry_id for row in served.rows()]


@pytest.mark.parametrize(("tier", "days"), [("free", 7), ("developer", 30), ("studio", 90), ("enterprise", 365)])
def test_rows_are_shown_as_long_as_the_tier_keeps_them(
    serve: Callable[..., Served], sdk: Any, tier: str, days: int
) -> None:
    served = serve(world(tier))
    client = sdk(served.base_url, KEY)
    client.agents.register("old")
    served.advance(DAY)
    client.agents.register("new")
    served.advance((days - 1) * DAY)
    old, new = ids(served)
    head = client.audit.chain_head()
    assert [entry["entry_id"] for entry in client.audit.list()["entries"]] == [new, old]
    served.advance(1)
    assert [entry["entry_id"] for entry in client.audit.list()["entries"]] == [new]
    exported = export(served)
    assert [entry["entry_id"] for entry in exported.json()["entries"]] == [new]
    assert export(served, to=iso(served.rows()[0].timestamp + 1)).json()["count"] == 0
    report = client.audit.verify_chain()
    assert (report["valid"], report["checked"], report["head"]) == (True, 1, head["entry_hash"])
    # The chain goes on from rows that are no longer shown: its head and length stay.
    assert client.audit.chain_head() == head
    assert head["entry_count"] == 2
    verdict = verify(read_raw(exported.content))
    assert verdict.valid
    assert any("middle of the chain" in note for note in verdict.notes)
    served.call(lambda: served.world.audit.tamper("op_emu", 0, action="other"))
    assert client.audit.verify_chain()["valid"] is True
    served.call(lambda: served.world.audit.tamper("op_emu", 1, action="other"))
    broken = client.audit.verify_chain()["first_break"]
    assert (broken["index"], broken["entry_id"]) == (1, new)
    served.advance(DAY)
    assert client.audit.list() == {"entries": [], "max_timestamp": None}
    assert client.audit.verify_chain()["checked"] == 0


def test_a_poller_sees_every_row_once(serve: Callable[..., Served], sdk: Any) -> None:
    served = serve(world("studio"))
    client = sdk(served.base_url, KEY)
    since, seen = None, []
    for round_ in range(4):
        for number in range(round_):
            served.advance(1000)
            client.agents.register(f"agent-{round_}-{number}")
        page = client.audit.list(limit=100) if since is None else client.audit.list(limit=100, since=since)
        seen += [entry["entry_id"] for entry in reversed(page["entries"])]
        since = page["max_timestamp"] or since
    assert seen == ids(served)
    [agent] = [agent for agent in client.agents.list() if agent.name == "agent-2-1"]
    named = client.audit.list(agent_id=agent.id)["entries"]
    assert [entry["action"] for entry in named] == ["agent.register"]
    assert client.audit.list(agent_id=agent.id, since=since)["entries"] == []


def filled(served: Served, count: int) -> None:
    """Rows as a world appends them, three to a millisecond."""
    start = served.world.now_ms()

    def append() -> None:
        for number in range(count):
            row = Row(
                f"aud_{number}", start + number // 3, "req", "0", None, "op_emu", None, None, "system", "x", "success"
            )
            served.world.audit.append(ActEntry("key:0", 0, "", 0, 0, "x", (row,)))

    served.call(append)


def test_an_export_of_more_rows_than_a_page_goes_on_where_it_stopped(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert audit.EXPORT_LIMIT == 50_000
    monkeypatch.setattr(audit, "EXPORT_LIMIT", 500)
    served = serve(world("studio"))
    filled(served, audit.EXPORT_LIMIT + 30)
    first = export(served).json()
    assert (first["count"], first["truncated"], len(first["entries"])) == (500, True, 500)
    rest = export(served, **{"from": iso(first["entries"][-1]["timestamp"])})
    assert rest.json()["truncated"] is False
    seen = {entry["entry_id"] for entry in [*first["entries"], *rest.json()["entries"]]}
    assert seen == set(ids(served))
    assert verify(read_raw(rest.content)).valid
