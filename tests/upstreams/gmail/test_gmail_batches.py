"""Batches and uploads as bytes: what clients choose at random changes nothing a client sees."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Any

import pytest

from stack_emu.upstreams.engine import AcceptedCredential, UpstreamReply, UpstreamRequest
from tests.upstreams.conftest import TOKEN, Bench

from .test_gmail_with_its_client import SEED

Make = Callable[..., Bench]
HOST = "https://gmail.googleapis.com"
ME = "/gmail/v1/users/me"


def world(make: Make, scopes: tuple[str, ...] | None = None) -> Bench:
    accepted = {"gmail": [AcceptedCredential(TOKEN, "scon_gmail", scopes)]}
    return make({"gmail": {"pack": "gmail", "seed": SEED}}, accepted)


def batch(calls: Sequence[str], boundary: str = "b1") -> UpstreamRequest:
    parts = "".join(
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{boundary} + {number}>\r\n\r\n{call}\r\n"
        for number, call in enumerate(calls)
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": f"multipart/mixed; boundary={boundary}"}
    return UpstreamRequest("POST", f"{HOST}/batch", headers, body=f"{parts}--{boundary}--".encode())


def post(path: str, data: Any) -> str:
    return f"POST {ME}{path} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{json.dumps(data, ensure_ascii=False)}"


def answers(reply: UpstreamReply) -> list[tuple[int, Any]]:
    assert reply.status == 200, reply.text
    boundary = reply.headers["Content-Type"].partition("boundary=")[2]
    parts = reply.text.split(f"--{boundary}")[1:-1]
    return [(int(part.split("HTTP/1.1 ")[1][:3]), json.loads(part.rpartition("\r\n\r\n")[2])) for part in parts]


def mail(boundary: str) -> bytes:
    message = EmailMessage()
    message["To"], message["Subject"], message["Message-ID"] = "bob@example.com", "Files", f"<{boundary}@agent.test>"
    message.set_content("see the file")
    message.add_attachment(b"1,2", maintype="text", subtype="csv", filename="a.csv")
    message.set_boundary(boundary)
    return message.as_bytes()


def test_a_batch_answers_each_call_by_itself(bench: Make) -> None:
    service = world(bench)
    reply = service.ask(
        "gmail",
        batch([f"GET {ME}/labels/Label_9", post("/labels", {"name": "Größe", "shape": 1}), f"GET {ME}/labels/INBOX"]),
    )
    found = answers(reply)
    assert [status for status, _ in found] == [404, 200, 200]
    assert found[1][1]["name"] == "Größe"
    assert "Content-ID: <response-b1 + 1>" in reply.text
    assert service.last().unread == (f"POST {ME}/labels shape",)
    again = service.ask("gmail", batch([post("/labels", {"name": "Größe"})]))
    assert answers(again)[0][0] == 409


def test_ids_of_a_batch_and_of_uploads_do_not_follow_from_boundaries(bench: Make) -> None:
    def upload(boundary: str) -> UpstreamRequest:
        outer = boundary[:4]
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": f"multipart/related; boundary={outer}"}
        head = f'--{outer}\r\nContent-Type: application/json\r\n\r\n{{"threadId": "a1"}}\r\n--{outer}\r\n'
        body = head.encode() + b"Content-Type: message/rfc822\r\n\r\n" + mail(boundary) + f"\r\n--{outer}--".encode()
        url = f"{HOST}/upload{ME}/messages/send?uploadType=multipart"
        return UpstreamRequest("POST", url, headers, body=body)

    def made(boundary: str) -> list[Any]:
        service = world(bench)
        plain = {"raw": base64.urlsafe_b64encode(mail(boundary)).decode()}
        label = service.ask("gmail", batch([post("/labels", {"name": "x"}), post("/messages/send", plain)], boundary))
        sent = service.ask("gmail", upload(boundary)).json()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        single = UpstreamRequest.of_json("POST", f"{HOST}{ME}/messages/send", plain, headers)
        return [answers(label), sent, service.ask("gmail", single).json()]

    first, second = made("aaaa1111"), made("bbbb2222")
    assert first == second
    keys = {first[0][1][1]["id"], first[1]["id"], first[2]["id"]}
    assert len(keys) == 3
    assert first[1]["threadId"] == "a1"


def test_scopes_hold_for_each_call_of_a_batch(bench: Make) -> None:
    service = world(bench, ("https://www.googleapis.com/auth/gmail.labels",))
    found = answers(service.ask("gmail", batch([f"GET {ME}/labels", f"GET {ME}/messages"])))
    assert [status for status, _ in found] == [200, 403]


def test_what_a_part_asks_for_and_is_not_served_is_said(bench: Make) -> None:
    service = world(bench)
    found = answers(service.ask("gmail", batch([f"GET {ME}/settings/vacation", "nonsense", f"GET {ME}/labels"])))
    assert [status for status, _ in found] == [501, 400, 200]
    assert service.last().problem == "unmatched"
    assert "users.settings.*" in str(service.last().hint)


@pytest.mark.parametrize(("calls", "message"), [([], "Failed to parse"), ([f"GET {ME}/labels"] * 101, "limit of 100")])
def test_a_batch_that_is_none_or_too_large_is_refused(bench: Make, calls: list[str], message: str) -> None:
    reply = world(bench).ask("gmail", batch(calls))
    assert reply.status == 400
    assert message in reply.json()["error"]["message"]
