"""Every operation of the Gmail pack, driven by google-api-python-client over a socket."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from io import BytesIO
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest, MediaIoBaseUpload

from tests.upstreams.conftest import Service
from tests.upstreams.google_client import client, over_http

SEED = {
    "email": "ada@acme.test",
    "labels": ["Invoices", {"name": "Ops/Alerts", "id": "Label_ops"}],
    "messages": [
        {
            "id": "a1",
            "from": "Bob <bob@example.com>",
            "subject": "Invoice 17",
            "body": "The total is 42 EUR.\nRegards & thanks",
            "labels": ["INBOX", "Invoices"],
            "thread": "invoice",
            "date": "2025-12-01T09:00:00Z",
            "attachments": [{"filename": "invoice 17.pdf", "type": "application/pdf", "content": "%PDF-1.7"}],
            "headers": {"Message-ID": "<invoice-17@example.com>"},
        },
        {
            "id": "a2",
            "from": "pager@acme.test",
            "subject": "Disk full",
            "body": "db-1",
            "labels": ["Ops/Alerts", "UNREAD"],
        },
        {"id": "a3", "from": "spam@example.org", "subject": "Win", "html": "<b>You</b> won", "labels": ["SPAM"]},
        {"from": "Bob <bob@example.com>", "subject": "Re: Invoice 17", "body": "Reminder", "thread": "invoice"},
    ],
    "drafts": [{"id": "r1", "to": "bob@example.com", "subject": "Later", "body": "soon"}],
}
Serve = Callable[..., Service]


def raw(text: str = "hi", **headers: str) -> str:
    message = EmailMessage()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return base64.urlsafe_b64encode(message.as_bytes()).decode()


def media(text: str = "hi", **headers: str) -> MediaIoBaseUpload:
    return MediaIoBaseUpload(BytesIO(base64.urlsafe_b64decode(raw(text, **headers))), mimetype="message/rfc822")


@pytest.fixture
def gmail(serve: Serve) -> Iterator[tuple[Service, Any]]:
    service = serve("gmail", seed=SEED)
    with client("gmail", "v1", service) as api:
        yield service, api.users()


def ids(answer: dict[str, Any], name: str = "messages") -> list[str]:
    return [one["id"] for one in answer.get(name, [])]


def test_every_operation_with_google_s_client(gmail: tuple[Service, Any]) -> None:
    service, users = gmail
    me: dict[str, Any] = {"userId": "me"}
    profile = users.getProfile(**me).execute()
    assert profile["emailAddress"] == "ada@acme.test"
    assert (profile["messagesTotal"], profile["threadsTotal"]) == (5, 4)

    # sending, with an attachment, and reading what was sent
    mail = EmailMessage()
    mail["To"], mail["Cc"], mail["Subject"] = "Zoë <zoe@example.com>", "ada@acme.test", "Größe"
    mail.set_content("Grüße aus Köln")
    mail.add_attachment(b"\x00\xff", maintype="application", subtype="octet-stream", filename="size.bin")
    body = {"raw": base64.urlsafe_b64encode(mail.as_bytes()).decode()}
    sent = users.messages().send(body=body, **me).execute()
    assert sent == {"id": sent["id"], "threadId": sent["id"], "labelIds": ["SENT", "UNREAD", "INBOX"]}
    whole = users.messages().get(id=sent["id"], **me).execute()
    headers = {one["name"]: one["value"] for one in whole["payload"]["headers"]}
    assert headers["From"] == "ada@acme.test"
    assert headers["Subject"] == "Größe"
    assert {"Message-ID", "Date"} <= set(headers)
    text, file = whole["payload"]["parts"]
    assert base64.urlsafe_b64decode(text["body"]["data"]).decode().strip() == "Grüße aus Köln"
    assert (file["partId"], file["filename"], file["body"]["size"]) == ("1", "size.bin", 2)
    attachments = users.messages().attachments()
    content = attachments.get(messageId=sent["id"], id=file["body"]["attachmentId"], **me).execute()
    assert base64.urlsafe_b64decode(content["data"]) == b"\x00\xff"

    # replies join a thread by their references or by the thread's id
    again = raw(To="bob@example.com", Subject="RE: Invoice 17", In_Reply_To="<invoice-17@example.com>")
    assert users.messages().send(body={"raw": again}, **me).execute()["threadId"] == "a1"
    named = {"raw": raw(To="bob@example.com", Subject="Re: Disk full"), "threadId": "a2"}
    assert users.messages().send(body=named, **me).execute()["threadId"] == "a2"
    put = users.messages().insert(body={"raw": raw(To="x@y.test"), "labelIds": ["STARRED"]}, **me).execute()
    assert put["labelIds"] == ["STARRED"]
    dated = raw(From="a@b.test", Date="Wed, 01 Jan 2020 00:00:00 +0000")
    came = users.messages().import_(body={"raw": dated, "labelIds": ["INBOX"]}, **me).execute()
    assert users.messages().get(id=came["id"], format="minimal", **me).execute()["internalDate"] == "1577836800000"

    # uploads
    for call in (users.messages().send, users.messages().insert, users.messages().import_):
        request = call(media_body=media(To="zoe@example.com", Subject="upload"), body={"threadId": "a1"}, **me)
        made = over_http(request).execute()
        assert made["threadId"] == "a1"
    plain = over_http(users.messages().send(media_body=media(To="zoe@example.com", Subject="upload"), **me)).execute()
    assert plain["threadId"] == plain["id"]

    # labels on messages
    changed = users.messages().modify(id="a1", body={"addLabelIds": ["STARRED"], "removeLabelIds": ["INBOX"]}, **me)
    assert set(changed.execute()["labelIds"]) == {"Label_1", "STARRED"}
    assert users.messages().trash(id="a1", **me).execute()["labelIds"] == ["Label_1", "STARRED", "TRASH"]
    assert "TRASH" not in users.messages().untrash(id="a1", **me).execute()["labelIds"]
    many = {"ids": ["a1", "a2", "ffff"], "addLabelIds": ["Label_ops"], "removeLabelIds": ["UNREAD"]}
    assert users.messages().batchModify(body=many, **me).execute() == ""
    assert ids(users.messages().list(labelIds=["Label_ops"], **me).execute()) == ["a2", "a1"]

    # threads
    assert "a1" in ids(users.threads().list(q="invoice", **me).execute(), "threads")
    thread = users.threads().get(id="a1", format="metadata", metadataHeaders=["Subject"], **me).execute()
    assert thread["messages"][0]["payload"]["headers"] == [{"name": "Subject", "value": "Invoice 17"}]
    assert len(thread["messages"]) == 6
    starred = users.threads().modify(id="a1", body={"addLabelIds": ["IMPORTANT"]}, **me).execute()
    assert all("IMPORTANT" in one["labelIds"] for one in starred["messages"])
    assert all("TRASH" in one["labelIds"] for one in users.threads().trash(id="a1", **me).execute()["messages"])
    assert not ids(users.messages().list(q="invoice", **me).execute())
    assert ids(users.messages().list(q="invoice in:trash", **me).execute())
    users.threads().untrash(id="a1", **me).execute()
    assert users.threads().delete(id="a2", **me).execute() == ""
    assert refused(users.threads().get(id="a2", **me)).status_code == 404

    drive_labels(users, me)
    drive_drafts(users, me)
    drive_batch(service, users, me)

    changes = list(
        pages(users.history().list, users.history().list_next, startHistoryId=profile["historyId"], maxResults=7)
    )
    kinds = {kind for page in changes for one in page.get("history", []) for kind in one}
    assert kinds == {"id", "messages", "messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"}
    latest = users.getProfile(**me).execute()["historyId"]
    assert users.history().list(startHistoryId=latest, **me).execute() == {"historyId": latest}
    only = users.history().list(startHistoryId=profile["historyId"], historyTypes=["messageDeleted"], **me).execute()
    assert all("messagesDeleted" in one for one in only["history"])

    assert users.messages().batchDelete(body={"ids": ["a3"]}, **me).execute() == ""
    assert users.messages().delete(id=came["id"], **me).execute() == ""
    assert refused(users.messages().get(id=came["id"], **me)).status_code == 404
    assert service.undriven() == []
    assert service.unread() == set()


def drive_labels(users: Any, me: dict[str, Any]) -> None:
    labels = users.labels()
    listed = labels.list(**me).execute()["labels"]
    assert {"id": "INBOX", "name": "INBOX", "type": "system"} in listed
    assert [one["name"] for one in listed if one["type"] == "user"] == ["Invoices", "Ops/Alerts"]
    made = labels.create(
        body={"name": "Todo", "color": {"textColor": "#000000", "backgroundColor": "#ffffff"}}, **me
    ).execute()
    assert made["labelListVisibility"] == "labelShow"
    users.messages().modify(id="a1", body={"addLabelIds": [made["id"], "UNREAD"]}, **me).execute()
    counted = labels.get(id=made["id"], **me).execute()
    assert [counted[name] for name in ("messagesTotal", "messagesUnread", "threadsTotal", "threadsUnread")] == [1] * 4
    assert labels.patch(id=made["id"], body={"labelListVisibility": "labelHide"}, **me).execute()["name"] == "Todo"
    updated = labels.update(id=made["id"], body={"id": made["id"], "name": "Done"}, **me).execute()
    assert updated == {"id": made["id"], "name": "Done", "type": "user"}
    assert labels.delete(id=made["id"], **me).execute() == ""
    assert made["id"] not in users.messages().get(id="a1", format="minimal", **me).execute()["labelIds"]


def drive_drafts(users: Any, me: dict[str, Any]) -> None:
    drafts = users.drafts()
    made = drafts.create(body={"message": {"raw": raw(Subject="plan")}}, **me).execute()
    assert made["message"]["labelIds"] == ["DRAFT"]
    assert set(ids(drafts.list(**me).execute(), "drafts")) == {"r1", made["id"]}
    assert ids(drafts.list(q="subject:later", **me).execute(), "drafts") == ["r1"]
    changed = drafts.update(
        id=made["id"], body={"message": {"raw": raw("x", Subject="plan B", To="bob@example.com")}}, **me
    )
    assert changed.execute()["message"]["id"] != made["message"]["id"]
    assert drafts.get(id=made["id"], format="minimal", **me).execute()["message"]["snippet"] == "x"
    sent = drafts.send(body={"id": made["id"]}, **me).execute()
    assert sent["labelIds"] == ["SENT"]
    assert refused(drafts.get(id=made["id"], **me)).status_code == 404
    assert drafts.delete(id="r1", **me).execute() == ""
    loaded = over_http(drafts.create(media_body=media(Subject="v1"), **me)).execute()
    over_http(
        drafts.update(id=loaded["id"], media_body=media("v2", Subject="v2", To="bob@example.com"), **me)
    ).execute()
    body = {"id": loaded["id"]}
    last = over_http(drafts.send(body=body, media_body=media("v3", Subject="v3", To="bob@example.com"), **me)).execute()
    assert users.messages().get(id=last["id"], format="minimal", **me).execute()["snippet"] == "v3"


def drive_batch(service: Service, users: Any, me: dict[str, Any]) -> None:
    answers: dict[str, Any] = {}
    batch = BatchHttpRequest(
        callback=lambda key, answer, error: answers.update({key: error or answer}),
        batch_uri=f"{service.base_url}/batch/gmail/v1",
    )
    batch.add(users.labels().list(**me), request_id="labels")
    batch.add(users.messages().get(id="ffff", **me), request_id="gone")
    for name in ("one", "two"):
        body = {"raw": raw(name, To="zoe@example.com", Subject="batched")}
        batch.add(users.messages().send(body=body, **me), request_id=name)
    batch.execute()
    assert answers["labels"]["labels"]
    assert answers["gone"].status_code == 404
    assert set(ids(users.messages().list(q="batched", **me).execute())) == {answers[n]["id"] for n in ("one", "two")}


def refused(request: Any) -> HttpError:
    with pytest.raises(HttpError) as caught:
        request.execute()
    return caught.value


def pages(method: Any, following: Any, **parameters: Any) -> Any:
    request = method(userId="me", **parameters)
    while request is not None:
        answer = request.execute()
        yield answer
        request = following(request, answer)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from:bob", ["s1", "a1"]),
        ("from:bob@example.com -subject:re", ["a1"]),
        ("to:me subject:invoice", ["s1", "a1"]),
        ("is:unread in:inbox", ["s1"]),
        ("label:Ops-Alerts", ["a2"]),
        ("label:invoices OR label:ops/alerts", ["a2", "a1"]),
        ("{invoice disk} -reminder", ["a2", "a1"]),
        ('"total is 42"', ["a1"]),
        ('"42 total"', []),
        ("has:attachment filename:pdf", ["a1"]),
        ("after:2025/12/02", ["r1", "s1", "a2"]),
        ("before:2025/12/02", ["a1"]),
        ("newer_than:2d is:read", ["r1"]),
        ("in:spam", ["a3"]),
        ("in:anywhere win", ["a3"]),
        ("won", []),
        ("subject:(disk OR win) in:anywhere", ["a3", "a2"]),
        ("rfc822msgid:invoice-17@example.com", ["a1"]),
        ("larger:1m", []),
        ("smaller:1m in:draft", ["r1"]),
        ("-from:bob -(from:pager) -in:drafts", []),
        ("is:read -in:draft", ["a1"]),
        ("https://acme.test", []),
        ("has:userlabels", ["a2", "a1"]),
    ],
)
def test_the_search_language(gmail: tuple[Service, Any], query: str, expected: list[str]) -> None:
    _, users = gmail
    found = users.messages().list(userId="me", q=query).execute()
    known = {key: key for key in ("a1", "a2", "a3")}
    draft = users.drafts().get(userId="me", id="r1").execute()["message"]["id"]
    names = [known.get(key, "r1" if key == draft else "s1") for key in ids(found)]
    assert names == expected
    assert found["resultSizeEstimate"] == len(expected)


def test_pages_neither_repeat_nor_skip_what_was_there(gmail: tuple[Service, Any]) -> None:
    _, users = gmail
    expected = ids(users.messages().list(userId="me", includeSpamTrash=True).execute())
    seen: list[str] = []
    for answer in pages(users.messages().list, users.messages().list_next, includeSpamTrash=True, maxResults=2):
        seen += ids(answer)
        users.messages().send(userId="me", body={"raw": raw(To="x@y.test", Subject=f"after {len(seen)}")}).execute()
    assert seen == expected
    assert len(seen) == 5


def test_a_search_too_long_for_an_address_comes_as_a_post(gmail: tuple[Service, Any]) -> None:
    service, users = gmail
    found = users.messages().list(userId="me", q="from:bob " + "-nowhere " * 300).execute()
    assert len(found["messages"]) == 2
    assert service.entries[-1].method == "POST"
    assert service.unread() == set()


def test_formats_and_partial_answers(gmail: tuple[Service, Any]) -> None:
    service, users = gmail
    bare = users.messages().get(userId="ada@acme.test", id="a1", format="raw").execute()
    assert b"Subject: Invoice 17" in base64.urlsafe_b64decode(bare["raw"])
    assert bare["snippet"] == "The total is 42 EUR. Regards &amp; thanks"
    html = users.messages().get(userId="me", id="a3").execute()
    assert html["snippet"] == "You won"
    few = users.messages().list(userId="me", fields="messages/id,resultSizeEstimate").execute()
    assert few["messages"][-1] == {"id": "a1"}
    part = users.messages().get(userId="me", id="a1", fields="payload(mimeType,parts(filename,body/size))").execute()
    assert part["payload"]["parts"][1] == {"filename": "invoice 17.pdf", "body": {"size": 8}}
    assert refused(users.messages().list(userId="me", fields="messages(id")).status_code == 400
    assert service.unread() == set()
