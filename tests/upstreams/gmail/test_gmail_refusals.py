"""What Gmail's fake refuses, and how google-api-python-client shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.auth.exceptions import RefreshError

from stack_emu.kernel.faults import FaultRule
from stack_emu.scenario.loader import inspect_path
from stack_emu.upstreams.packs import find_pack
from stack_emu.vocabulary import vocabulary
from tests.upstreams.conftest import Proxied, Service
from tests.upstreams.google_client import AUTH, client

from .test_gmail_with_its_client import SEED, raw, refused

Serve = Callable[..., Service]
Users = Callable[..., tuple[Service, Any]]


@pytest.fixture
def users(serve: Serve) -> Iterator[Users]:
    opened: list[Any] = []

    def start(*scopes: str, token: str | None = None) -> tuple[Service, Any]:
        service = serve("gmail", seed=SEED, scopes=scopes or None)
        opened.append(client("gmail", "v1", service, **({"token": token} if token else {})))
        return service, opened[-1].users()

    yield start
    for one in opened:
        one.close()


REFUSALS: list[tuple[Callable[[Any], Any], int, str]] = [
    (lambda u: u.messages().get(userId="me", id="ffff"), 404, "Requested entity was not found."),
    (lambda u: u.messages().get(userId="me", id="not-an-id"), 400, "Invalid id value"),
    (lambda u: u.messages().get(userId="bob@acme.test", id="a1"), 403, "Delegation denied for ada@acme.test"),
    (lambda u: u.messages().send(userId="me", body={}), 400, "'raw' RFC822 payload message string or uploading"),
    (lambda u: u.messages().send(userId="me", body={"raw": "%%%"}), 400, "Base64 decoding failed"),
    (lambda u: u.messages().send(userId="me", body={"raw": raw(Subject="x")}), 400, "Recipient address required"),
    (lambda u: u.messages().send(userId="me", body={"raw": raw(To="nobody")}), 400, "Invalid To header"),
    (lambda u: u.messages().send(userId="me", body={"raw": raw(To="a@b.test"), "threadId": "ff"}), 404, "not found"),
    (lambda u: u.messages().modify(userId="me", id="a1", body={}), 400, "No label add or removes specified"),
    (lambda u: u.messages().modify(userId="me", id="a1", body={"addLabelIds": ["Todo"]}), 400, "Invalid label: Todo"),
    (lambda u: u.messages().modify(userId="me", id="a1", body={"addLabelIds": ["SENT"]}), 400, "Invalid label: SENT"),
    (lambda u: u.messages().list(userId="me", labelIds=["nope"]), 400, "Invalid label: nope"),
    (lambda u: u.messages().list(userId="me", q="(" * 60), 501, "such deep nesting"),
    (lambda u: u.messages().list(userId="me", fields="a/" * 300 + "b"), 400, "Invalid field selection"),
    (lambda u: u.messages().list(userId="me", fields="a(b"), 400, "Invalid field selection"),
    (lambda u: u.messages().list(userId="me", maxResults=0), 400, "maxResults"),
    (lambda u: u.messages().list(userId="me", pageToken="%"), 400, "Invalid pageToken"),
    (lambda u: u.messages().batchDelete(userId="me", body={"ids": []}), 400, "No message ids specified"),
    (lambda u: u.messages().attachments().get(userId="me", messageId="a1", id="x"), 404, "not found"),
    (lambda u: u.labels().create(userId="me", body={}), 400, "Invalid label name"),
    (lambda u: u.labels().create(userId="me", body={"name": "inbox"}), 400, "Invalid label name"),
    (lambda u: u.labels().create(userId="me", body={"name": "INVOICES"}), 409, "Label name exists or conflicts"),
    (
        lambda u: u.labels().create(userId="me", body={"name": "a", "color": {"textColor": "red"}}),
        400,
        "Label color red is not on",
    ),
    (
        lambda u: u.labels().create(userId="me", body={"name": "a", "labelListVisibility": "x"}),
        400,
        "labelListVisibility",
    ),
    (lambda u: u.labels().delete(userId="me", id="INBOX"), 400, "Invalid delete request"),
    (lambda u: u.labels().get(userId="me", id="Label_9"), 404, "not found"),
    (lambda u: u.drafts().send(userId="me", body={"id": "r9"}), 404, "not found"),
    (lambda u: u.history().list(userId="me", startHistoryId="5"), 404, "not found"),
    (lambda u: u.history().list(userId="me"), 400, "startHistoryId"),
]


@pytest.mark.parametrize(("ask", "status", "message"), REFUSALS)
def test_refusals_in_gmail_s_words(users: Users, ask: Callable[[Any], Any], status: int, message: str) -> None:
    _, api = users()
    before = api.getProfile(userId="me").execute()
    error = refused(ask(api))
    assert error.status_code == status
    assert message in error.reason
    assert api.getProfile(userId="me").execute() == before


def test_a_token_without_the_scope_is_told_so(users: Users) -> None:
    service, api = users(f"{AUTH}gmail.readonly")
    assert api.labels().list(userId="me").execute()["labels"]
    error = refused(api.messages().send(userId="me", body={"raw": raw(To="a@b.test")}))
    assert error.status_code == 403
    [info] = error.error_details
    assert info["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert 'error="insufficient_scope"' in error.resp["www-authenticate"]
    assert "users.messages.send needs the scope https://mail.google.com/" in str(service.bench.last().hint)
    assert refused(api.messages().delete(userId="me", id="a1")).status_code == 403


def test_metadata_alone_shows_neither_bodies_nor_search(users: Users) -> None:
    _, api = users(f"{AUTH}gmail.metadata")
    shown = api.messages().get(userId="me", id="a1", format="metadata").execute()
    assert "data" not in str(shown["payload"])
    assert "FULL" in refused(api.messages().get(userId="me", id="a1")).reason
    assert "'q'" in refused(api.messages().list(userId="me", q="invoice")).reason


def test_metadata_beside_a_wider_scope_still_shows_no_more(users: Users) -> None:
    _, api = users(f"{AUTH}gmail.metadata", f"{AUTH}gmail.readonly")
    assert "'q'" in refused(api.messages().list(userId="me", q="invoice")).reason


def test_an_unknown_token_is_unauthorized(users: Users) -> None:
    service, api = users(token="not-the-token")
    with pytest.raises(RefreshError):
        api.getProfile(userId="me").execute()
    assert [entry.status for entry in service.entries] == [401]


def test_rate_limits_come_from_faults_and_the_client_retries(users: Users) -> None:
    service, api = users()
    service.world.faults.add(FaultRule({"upstream": "gmail"}, {"status": 429}, times=2))
    error = refused(api.getProfile(userId="me"))
    assert (error.status_code, error.error_details[0]["reason"]) == (429, "rateLimitExceeded")
    assert api.getProfile(userId="me").execute(num_retries=1)["emailAddress"] == "ada@acme.test"


def test_what_is_not_served_says_what_is(users: Users) -> None:
    service, api = users()
    assert refused(api.watch(userId="me", body={"topicName": "projects/a/topics/b"})).status_code == 501
    assert "Cloud Pub/Sub" in str(service.bench.last().hint)
    assert refused(api.settings().filters().list(userId="me")).status_code == 501
    assert refused(api.messages().list(userId="me", q="has:drive")).status_code == 501
    assert "does not know has:drive" in str(service.bench.last().hint)


def test_an_agent_s_mail_through_stack_s_proxy(proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("gmail", scopes=[f"{AUTH}gmail.modify"], seed=SEED)
    base = "https://gmail.googleapis.com/gmail/v1/users/me"
    found = upstream.ask("GET", f"{base}/messages", query={"q": "from:bob is:unread"}).body
    sent = upstream.ask("POST", f"{base}/messages/send", body={"raw": raw(To="bob@example.com"), "colour": "red"})
    assert sent.body["labelIds"] == ["SENT"]
    read = upstream.ask(
        "POST", f"{base}/messages/{found['messages'][0]['id']}/modify", body={"removeLabelIds": ["UNREAD"]}
    )
    assert read.body["labelIds"] == ["INBOX"]
    assert upstream.ask("DELETE", f"{base}/messages/a1").status == 403
    assert upstream.ask("GET", f"{base}/messages/a1").body["payload"]["parts"][1]["filename"] == "invoice 17.pdf"
    journal = upstream.journal()
    assert ["colour"] in [list(entry["unread"]) for entry in journal]
    assert "canary" not in str([entry.get("reply") for entry in journal])


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"mesages": []}, "seed has no key 'mesages'; did you mean messages?"),
        ({"email": "ada"}, "seed.email 'ada' is no address; write one like me@example.com."),
        ({"messages": [{}, {"subjct": "x"}]}, "seed.messages[1] has no key 'subjct'; did you mean subject?"),
        ({"messages": [{"id": "msg-1"}]}, "seed.messages[0].id 'msg-1' is no message id"),
        (
            {"messages": [{"labels": ["INBOKS"]}]},
            "seed.messages[0].labels has 'INBOKS', which is no label; did you mean INBOX?",
        ),
        ({"messages": [{"date": "yesterday"}]}, "seed.messages[0].date 'yesterday' is no instant"),
        ({"messages": [{"raw": "x", "body": "y"}]}, "seed.messages[0] has raw and parts of a message"),
        ({"messages": [{"attachments": [{"name": "a"}]}]}, "seed.messages[0].attachments[0] has no key 'name'"),
        ({"messages": [{"id": "a1"}, {"id": "a1"}]}, "seed.messages has 'a1' twice; give each its own."),
        ({"labels": [{"id": "Label_1"}]}, "seed.labels[0] has no name; add name."),
        ({"labels": ["Inbox"]}, "seed.labels[0] has the name 'Inbox' of a label every mailbox has"),
        ({"labels": ["a", "A"]}, "seed.labels has 'a' twice; give each its own."),
        ({"drafts": "none"}, "seed.drafts is no list; write one."),
    ],
)
def test_a_seed_that_cannot_work_says_where(seed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        find_pack("gmail").check(seed)
    assert str(caught.value).startswith(sentence)


def test_the_place_in_the_file_is_the_seed_s(tmp_path: Any) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "stack_emu: 1\nupstreams:\n  mail:\n    pack: gmail\n    seed:\n      messages:\n      - {subjct: x}\n"
    )
    [problem] = inspect_path(file, vocabulary()).problems
    assert ":7:9" in str(problem)
