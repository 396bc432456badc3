"""Calls written as lines of text, sent through the proxy with STACK's SDK, and what is said about the last of them."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from getstack import Stack
from getstack.errors import StackError

from stack_emu.client import WorldClient

TABLE = Path(__file__).with_name("near_misses.txt")
SCENARIO = Path(__file__).with_name("world.yaml")
_CALL = re.compile(r"(?P<method>\S+) (?P<path>\S+)(?: (?P<body>\{.*\}|[a-z]+=\S+))?(?P<headers>(?: [A-Z][\w-]*=\S+)*)")


def stack(world: WorldClient) -> Stack:
    """The SDK's client of a world."""
    return Stack(api_key=world.api_key, base_url=world.base_url)


def send(client: Stack, line: str) -> dict[str, Any]:
    """Make one call: ``METHOD PATH [BODY] [Header=value]``; a path stands for https://tickets.test.

    Returns:
        ``status`` and ``body`` of the upstream's reply.
    """
    found = _CALL.fullmatch(line)
    assert found is not None, line
    url = found["path"] if found["path"].startswith("https:") else f"https://tickets.test{found['path']}"
    headers = dict(pair.split("=", 1) for pair in found["headers"].split())
    body: Any = found["body"]
    if body is not None and "Content-Type" not in headers:
        body = json.loads(body)
    reply = client.proxy.request("tickets", url, method=found["method"], body=body, headers=headers or None)
    return {"status": reply.status, "body": reply.body}


def said(world: WorldClient, calls: list[str]) -> list[str]:
    """What is said about the last of some calls: the problem with its hint, and the table of what came nearest."""
    client = stack(world)
    try:
        for call in calls:
            with suppress(StackError):
                send(client, call)
    finally:
        client.close()
    told = [entry for entry in world.journal if entry["hint"]]
    if not told:
        return []
    last = told[-1]
    first = f"{last['problem']}: {last['hint']}" if last["problem"] else str(last["hint"])
    return [first, *(last["near"] or "").splitlines()]
