"""The Notion pack in worlds: through STACK's proxy, from seeds, and with two lanes that race."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stack_emu.upstreams.credentials import AcceptedCredential
from stack_emu.upstreams.packs import find_pack, pack_problem
from stack_emu.upstreams.requests import UpstreamRequest
from tests.upstreams.conftest import Bench, Proxied

KEY = "ntn_canary_of_notion"
HOME = "11111111-0000-4000-8000-000000000000"
TASKS = "22222222-0000-4000-8000-000000000000"
SEED = {
    "pages": [{"id": HOME, "title": "Home"}],
    "databases": [{"title": "Tasks", "data_source": TASKS, "properties": {"Name": "title", "Kind": "select"}}],
}
VERSION = {"Notion-Version": "2025-09-03"}


def test_through_the_proxy(proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("notion", scopes=["read_content"], seed=SEED)
    address = f"https://api.notion.com/v1/pages/{HOME}"
    assert upstream.ask("GET", address, headers=VERSION).body["id"] == HOME
    assert upstream.ask("GET", address).body["code"] == "missing_version"
    refused = upstream.ask("PATCH", address, headers=VERSION, body={"in_trash": True})
    assert (refused.status, refused.body["code"]) == (403, "restricted_resource")


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"pgaes": []}, "seed has no key 'pgaes'; did you mean pages?"),
        ({"pages": [{"title": "a"}, {"titel": "b"}]}, "seed.pages[1] has no key 'titel'; did you mean title?"),
        ({"pages": [{"id": "x", "title": "a"}]}, "seed.pages[0].id is 'x'; write a UUID such as"),
        (
            {"pages": [{"id": HOME, "title": "a"}, {"id": HOME, "title": "b"}]},
            f"seed.pages[1].id is '{HOME}', which is",
        ),
        (
            {"databases": [{"title": "T", "properties": {"A": "titel"}}]},
            "seed.databases[0].properties.A is 'titel'; write",
        ),
        ({"databases": [{"title": "T", "properties": {"A": "number"}}]}, "seed.databases[0].properties: "),
        ({"databases": [{"title": "T", "rows": [{"Nmae": "x"}]}]}, "seed.databases[0].rows[0] has no key 'Nmae'; did"),
        (
            {"databases": [{"title": "T", "properties": {"A": "title", "N": "number"}, "rows": [{"N": "x"}]}]},
            "seed.databases[0].rows[0].N.number should be a number",
        ),
    ],
)
def test_a_seed_that_cannot_work(seed: dict[str, Any], sentence: str) -> None:
    assert (pack_problem("notion", seed) or "").startswith(sentence)


def ask(method: str, path: str, **fields: Any) -> UpstreamRequest:
    headers = {**VERSION, "Authorization": f"Bearer {KEY}"}
    return UpstreamRequest.of_json(method, f"https://api.notion.com/v1/{path}", fields, headers)


def row(name: str, kind: str) -> UpstreamRequest:
    properties = {"Name": {"title": [{"text": {"content": name}}]}, "Kind": {"select": {"name": kind}}}
    return ask("POST", "pages", parent={"data_source_id": TASKS}, properties=properties)


def line(content: str) -> UpstreamRequest:
    block = {"paragraph": {"rich_text": [{"text": {"content": content}}]}}
    return ask("PATCH", f"blocks/{HOME}/children", children=[block])


PROGRAM = [("a", row("x", "Tea")), ("b", row("x", "Rum")), ("a", line("one")), ("b", line("one")), ("b", line("two"))]


def replies(bench: Bench, program: Sequence[tuple[str, UpstreamRequest]]) -> tuple[list[bytes], list[bytes]]:
    async def run() -> tuple[list[bytes], list[bytes]]:
        made = [(await bench.send("notion", request, lane=f"agent:{lane}")).body for lane, request in program]
        reads = [
            ask("GET", f"blocks/{HOME}/children"),
            ask("POST", f"data_sources/{TASKS}/query"),
            ask("GET", f"data_sources/{TASKS}"),
        ]
        return made, [(await bench.send("notion", request, lane="agent:c")).body for request in reads]

    return asyncio.run(run())


def test_lanes_that_race_get_the_same_whatever_their_order(bench: Callable[..., Bench]) -> None:
    def world() -> Bench:
        return bench({"notion": {"pack": "notion", "seed": SEED}}, {"notion": [AcceptedCredential(KEY, "scon_notion")]})

    made, lists = replies(world(), sorted(PROGRAM, key=lambda one: one[0]))
    swapped, same_lists = replies(world(), sorted(PROGRAM, key=lambda one: one[0], reverse=True))
    assert sorted(made) == sorted(swapped)
    assert lists == same_lists
    assert b'"Rum"' in lists[2]


def test_failures_that_are_injected_are_in_notions_words() -> None:
    pack = find_pack("notion")
    assert [pack.injected(status)["code"] for status in (409, 429, 500)] == [
        "conflict_error",
        "rate_limited",
        "internal_server_error",
    ]
