"""Slack takes GET, forms, multipart and JSON, and refuses what it cannot read in its own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from stack_emu.upstreams.engine import AcceptedCredential, UpstreamRequest, UpstreamSettingsError
from stack_emu.upstreams.slack import messages

from .conftest import SLACK_SEED, TOKEN, Bench

Make = Callable[..., Bench]
POST_MESSAGE = "https://slack.com/api/chat.postMessage"
FIELDS = {"channel": "C0ENG", "text": "grüße", "blocks": '[{"type":"divider"}]'}
BOUNDARY = "----b"


def workspace(make: Make) -> Bench:
    accepted = {"slack": [AcceptedCredential(TOKEN, "scon_slack")]}
    return make({"slack": {"pack": "slack", "hosts": ["slack.com"], "seed": SLACK_SEED}}, accepted)


def multipart(fields: dict[str, str]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return ("".join(parts) + f"--{BOUNDARY}--\r\n").encode()


def posting(body: bytes, content_type: str | None, *, token: str | None = TOKEN) -> UpstreamRequest:
    headers = {} if content_type is None else {"Content-Type": content_type}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return UpstreamRequest("POST", POST_MESSAGE, headers, body=body)


@pytest.mark.parametrize(
    "request_",
    [
        UpstreamRequest("GET", f"{POST_MESSAGE}?{urlencode(FIELDS)}", {"Authorization": f"Bearer {TOKEN}"}),
        posting(urlencode(FIELDS).encode(), "application/x-www-form-urlencoded"),
        posting(urlencode({**FIELDS, "token": TOKEN}).encode(), "application/x-www-form-urlencoded", token=None),
        posting(multipart(FIELDS), f"multipart/form-data; boundary={BOUNDARY}"),
        posting(json.dumps({**FIELDS, "blocks": [{"type": "divider"}]}).encode(), "application/json; charset=utf-8"),
    ],
    ids=["query", "form", "form with token", "multipart", "json"],
)
def test_arguments_may_come_in_every_form_slack_takes(bench: Make, request_: UpstreamRequest) -> None:
    slack = workspace(bench)
    reply = slack.ask("slack", request_)
    assert reply.json()["ok"] is True
    assert (messages(slack.world, "engineering")[0]["text"], reply.json()["message"]["blocks"]) == (
        "grüße",
        [{"type": "divider"}],
    )


@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        (b"{", "application/json", "invalid_json"),
        (b"[]", "application/json", "json_not_object"),
        (b"x", "multipart/form-data; boundary=b", "invalid_form_data"),
        (b"x", "application/xml", "invalid_post_type"),
        (b"x", None, "missing_post_type"),
        (b"x", "text/plain", "invalid_arguments"),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(bench: Make, body: bytes, content_type: str | None, word: str) -> None:
    slack = workspace(bench)
    assert slack.ask("slack", posting(body, content_type)).json()["error"] == word
    assert slack.world.journal.violations() == []


def test_the_journal_names_the_method_and_the_arguments_nobody_looked_at(bench: Make) -> None:
    slack = workspace(bench)
    body = json.dumps({"channel": "C0ENG", "text": "x", "unfurl_links": False, "colour": "red"}).encode()
    slack.ask("slack", posting(body, "application/json"))
    entry = slack.last()
    assert (entry.route, entry.unread) == ("/api/chat.postMessage", ("colour", "unfurl_links"))
    assert entry.request["credential"] == "scon_slack"


def test_a_refused_call_changes_nothing(bench: Make) -> None:
    slack = workspace(bench)
    files = json.dumps([{"id": "F0NONE"}])
    before = slack.world.store.image()
    request = UpstreamRequest.of_json(
        "POST",
        "https://slack.com/api/files.completeUploadExternal",
        {"files": files, "channel_id": "C0ENG"},
        {"Authorization": f"Bearer {TOKEN}"},
    )
    assert slack.ask("slack", request).json()["error"] == "file_not_found"
    after = slack.world.store.image()
    assert {kind: table.rows for kind, table in after.tables.items() if table.rows} == {
        kind: table.rows for kind, table in before.tables.items()
    }


@pytest.mark.parametrize(
    ("hosts", "origin"),
    [
        (["slack.com"], "https://slack.com"),
        (["slack.com", "*.slack.com"], "https://files.slack.com"),
        ([], "https://files.slack.com"),
    ],
)
def test_upload_addresses_are_on_a_host_that_leads_back_here_and_need_no_token(
    bench: Make, hosts: list[str], origin: str
) -> None:
    accepted = {"slack": [AcceptedCredential(TOKEN, "scon_slack")]}
    slack = bench({"slack": {"pack": "slack", "hosts": hosts, "seed": SLACK_SEED}}, accepted)
    asked = UpstreamRequest.of_json(
        "POST",
        "https://slack.com/api/files.getUploadURLExternal",
        {"filename": "a.txt", "length": 3},
        {"Authorization": f"Bearer {TOKEN}"},
    )
    url = slack.ask("slack", asked).json()["upload_url"]
    assert url.startswith(f"{origin}/upload/v1/")
    uploaded = slack.direct("slack", UpstreamRequest("POST", url, body=b"abc"))
    assert (uploaded.status, uploaded.text) == (200, "OK - 3")
    assert slack.world.journal.violations() == []
    forged = slack.direct("slack", UpstreamRequest("POST", f"{origin}/upload/v1/nonsense", body=b"abc"))
    assert forged.json()["error"] == "not_authed"
    assert slack.last().problem == "bypass"


def test_paths_that_are_no_method_are_answered_501(bench: Make) -> None:
    slack = workspace(bench)
    reply = slack.ask("slack", UpstreamRequest("GET", "https://slack.com/help", {"Authorization": f"Bearer {TOKEN}"}))
    assert (reply.status, reply.json()["error"]["code"]) == (501, "UPSTREAM_UNMATCHED")


def test_two_upstreams_can_each_have_a_workspace(bench: Make) -> None:
    settings: dict[str, Any] = {
        name: {"pack": "slack", "hosts": [f"{name}.example.com"], "seed": {"channels": ["general"]}}
        for name in ("one", "two")
    }
    both = bench(settings, {name: [AcceptedCredential(f"secret-{name}", f"scon_{name}")] for name in settings})
    body = {"channel": "general", "text": "hello"}
    request = UpstreamRequest.of_json(
        "POST", "https://one.example.com/api/chat.postMessage", body, {"Authorization": "Bearer secret-one"}
    )
    assert both.ask("one", request).json()["ok"] is True
    assert len(messages(both.world, "general", upstream="one")) == 1
    assert messages(both.world, "general", upstream="two") == []


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"chanels": []}, "seed has no key 'chanels'; did you mean channels?"),
        ({"channels": [{"name": "a", "topics": "x"}]}, "seed.channels[0] has no key 'topics'; did you mean topic?"),
        ({"channels": [{"topic": "x"}]}, "seed.channels[0] has no name; add name."),
        ({"channels": [7]}, "seed.channels[0] is neither text nor an object; write its name or {name, id, "),
        ({"channels": "general"}, "seed.channels must be a list."),
        ({"channels": [{"name": "a", "private": "yes"}]}, "seed.channels[0].private must be true or false."),
        ({"channels": ["a", "#a"]}, "seed.channels has the name 'a' twice; give each its own."),
        (
            {"users": ["ada"], "channels": [{"name": "a", "members": ["adda"]}]},
            "channel a names the user 'adda', who is not",
        ),
        (
            {"channels": [{"name": "a", "messages": [{"user": "eve", "text": "x"}]}]},
            "channel a names the user 'eve', who",
        ),
        ({"users": ["stack-bot"]}, "seed.users has the name 'stack-bot' twice; give each its own."),
    ],
)
def test_a_seed_that_cannot_work_is_refused_when_the_upstream_is_made(
    bench: Make, seed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UpstreamSettingsError) as caught:
        bench({"slack": {"pack": "slack", "seed": seed}})
    assert str(caught.value).startswith(f"upstream slack: {sentence}")


def test_an_empty_seed_has_a_general_channel(bench: Make) -> None:
    slack = bench({"slack": {"pack": "slack"}})
    assert messages(slack.world, "#general") == []
