"""Two of Google's services in one scenario, as docs/upstreams.md writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from getstack import Stack

from stack_emu.emulator import Emulator
from stack_emu.upstreams.errors import UpstreamSettingsError
from tests.docs.blocks import ROOT, blocks

from .conftest import Bench

EXAMPLE = next(text for text in blocks(ROOT / "docs" / "upstreams.md", "yaml") if "pack: google_calendar" in text)
HEAD = "stack_emu: 1\nstrict: false\noperator: {id: op_acme, keys: [{key: sk_live_emu_acme}]}\n"


def test_mail_and_calendar_of_the_page_are_reached_by_their_hosts(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(HEAD + EXAMPLE)
    with Emulator() as emulator:
        world = emulator.world(scenario=file, clock="virtual")
        with Stack(api_key="sk_live_emu_acme", base_url=world.base_url) as stack:
            mail = stack.proxy.request(
                "gmail", "https://gmail.googleapis.com/gmail/v1/users/me/messages?q=lunch", method="GET"
            )
            base = "https://www.googleapis.com/calendar/v3"
            events = stack.proxy.request("google_calendar", f"{base}/calendars/primary/events", method="GET")
    assert mail.body["resultSizeEstimate"] == 1
    assert [event["summary"] for event in events.body["items"]] == ["Stand-up"]


def test_one_host_belongs_to_one_of_them(bench: Callable[..., Bench]) -> None:
    mail = {"pack": "gmail", "hosts": ["gmail.googleapis.com", "www.googleapis.com"]}
    with pytest.raises(UpstreamSettingsError, match=r"both claim www\.googleapis\.com"):
        bench({"mail": mail, "calendar": {"pack": "google_calendar"}})
    apart = bench({"mail": mail, "calendar": {"pack": "google_calendar", "hosts": ["calendar.googleapis.com"]}})
    assert apart.engine.host_owner("www.googleapis.com") == "mail"
