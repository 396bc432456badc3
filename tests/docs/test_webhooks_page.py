"""docs/webhooks.md: its snippet accepts what is really delivered, and what it says is what the code does."""

from __future__ import annotations

import re
from typing import Any

from stack_emu.client import WorldClient
from stack_emu.domain import deliveries, inbound_receive, verification
from stack_emu.domain.notifications import EVENTS
from tests.docs.blocks import ROOT, blocks
from tests.families.webhook_world import START_S, WORLD, Receiver

PAGE = ROOT / "docs" / "webhooks.md"


def test_its_snippet_tells_deliveries_from_forgeries(serve: Any) -> None:
    from getstack import Stack

    (snippet,) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(snippet, names)
    check = names["is_from_stack"]
    served = serve(WORLD)
    emu = WorldClient.connect(served.base_url)
    with Receiver().running() as receiver, Stack("sk_live_emu_op", base_url=served.base_url) as stack:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert emu.deliveries[0]["status"] == "delivered"
    emu.connection.close()
    _, headers, body = receiver.requests[0]
    secret, signature = made["webhook_secret"], headers["x-stack-signature"]
    assert check(secret, signature, body, START_S)
    assert not check(secret, signature, body + b" ", START_S)
    assert not check(secret + "x", signature, body, START_S)
    assert not check(secret, signature, body, START_S + 301)


def test_it_names_every_event() -> None:
    table = re.findall(r"^\| `([a-z.]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert table == list(EVENTS)


def test_its_figures_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert deliveries.BACKOFF_MS == (0, 5_000, 30_000, 300_000, 1_800_000)
    assert "5 seconds, 30 seconds, 5 minutes and 30 minutes after the attempt before" in text
    assert (verification.CODE_MS, verification.ATTEMPTS) == (600_000, 5)
    assert "good for ten minutes and five attempts" in text
    assert inbound_receive.WINDOW_SECONDS == 300
    assert inbound_receive.MAX_BYTES == 1024 * 1024
    for name in (deliveries.SIGNATURE, deliveries.DELIVERY, deliveries.EVENT, deliveries.ATTEMPT):
        assert f"\n{name}: " in PAGE.read_text()
