"""Destinations: added, verified with the code they received, tested, rotated and taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import getstack
import pytest

from stack_emu.client import EmulatorError, WorldClient
from tests.families.drivers import McpTools
from tests.families.passport_world import OPERATOR, OTHER, READER, error, get, post, row
from tests.families.webhook_world import BOSS, WORLD

OPS, PHONE, HOOK = "ops@acme.test", "+4915112345678", "https://hooks.example.com/x"
PATH = "/v1/notifications/destinations"


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


@pytest.fixture
def emu(served: Any) -> Iterator[WorldClient]:
    world = WorldClient.connect(served.base_url)
    yield world
    world.connection.close()


def verified(stack: Any, emu: WorldClient, kind: str = "email", address: str = OPS) -> Any:
    made = stack.delivery_methods.add(kind, address)
    stack.delivery_methods.send_verification_code(made["id"])
    stack.delivery_methods.verify(made["id"], emu.outbox.code(address))
    return made


def test_an_added_destination_is_listed_unverified(stack: Any) -> None:
    made = stack.delivery_methods.add("email", OPS, label="ops")
    assert made["id"].startswith("ndst_")
    assert (made["operator_id"], made["channel_type"], made["destination"]) == ("op_emu", "email", OPS)
    assert (made["verified"], made["webhook_secret"], made["label"]) == (False, None, "ops")
    assert stack.delivery_methods.list() == [made]


def test_the_accounts_own_address_is_verified_from_the_start_and_another_accounts_is_not(
    sdk: Any, stack: Any, served: Any
) -> None:
    assert stack.delivery_methods.add("email", BOSS.upper())["verified"] is True
    assert sdk(served.base_url, OTHER).delivery_methods.add("email", BOSS)["verified"] is False


def test_a_webhooks_secret_is_shown_once_and_can_be_replaced(stack: Any, served: Any) -> None:
    made = stack.delivery_methods.add("webhook", HOOK)
    assert made["webhook_secret"].startswith("whsec_")
    assert stack.delivery_methods.list()[0]["webhook_secret"] is None
    rotated = stack.delivery_methods.rotate_secret(made["id"])
    assert rotated["webhook_secret"].startswith("whsec_")
    assert rotated["webhook_secret"] != made["webhook_secret"]
    assert stack.delivery_methods.list()[0]["webhook_secret"] is None
    assert row(served, "notification_destination.rotate_secret").metadata["destination"] == made["id"]
    for secret in (made["webhook_secret"], rotated["webhook_secret"]):
        assert served.world.redactor.names_in(secret) == [f"webhook-secret:{made['id']}"]


def test_only_webhooks_have_a_secret_to_rotate(stack: Any) -> None:
    made = stack.delivery_methods.add("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.rotate_secret(made["id"])
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(("kind", "address"), [("email", OPS), ("sms", PHONE), ("webhook", HOOK)])
def test_the_code_in_the_outbox_verifies(stack: Any, emu: WorldClient, served: Any, kind: str, address: str) -> None:
    made = stack.delivery_methods.add(kind, address)
    sent = stack.delivery_methods.send_verification_code(made["id"])
    assert (sent["sent"], sent["verified"], sent["expires_at"]) == (True, False, "2026-01-01T00:10:00.000Z")
    (message,) = emu.outbox.to(address)
    assert (message["kind"], message["event"]) == (kind, "destination.verification")
    assert message["code"] in message["text"]
    assert len(message["code"]) == 6
    assert message["code"].isdigit()
    assert stack.delivery_methods.verify(made["id"], message["code"])["verified"] is True
    assert stack.delivery_methods.list()[0]["verified"] is True
    assert row(served, "notification_destination.verify").metadata["verified"] is True
    assert stack.delivery_methods.verify(made["id"], "000000")["verified"] is True  # it is verified already
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.send_verification_code(made["id"])
    assert refused.value.status_code == 409


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_five_wrong_codes_make_a_new_one_necessary(stack: Any, emu: WorldClient) -> None:
    made = stack.delivery_methods.add("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.verify(made["id"], "123456")
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_VERIFICATION_CODE")
    stack.delivery_methods.send_verification_code(made["id"])
    first = emu.outbox.code(OPS)
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(getstack.StackError) as refused:
            stack.delivery_methods.verify(made["id"], wrong(first))
        assert refused.value.details["attempts_left"] == left
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.verify(made["id"], first)
    assert refused.value.code == "INVALID_VERIFICATION_CODE"
    stack.delivery_methods.send_verification_code(made["id"])
    second = emu.outbox.code(OPS)
    assert second != first
    assert stack.delivery_methods.verify(made["id"], second)["verified"] is True


def test_a_code_expires_after_ten_minutes(stack: Any, emu: WorldClient) -> None:
    made = stack.delivery_methods.add("email", OPS)
    stack.delivery_methods.send_verification_code(made["id"])
    emu.clock.advance("10m")
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.verify(made["id"], emu.outbox.code(OPS))
    assert refused.value.code == "INVALID_VERIFICATION_CODE"
    assert "expired" in str(refused.value)


def test_codes_stand_in_no_row_and_no_journal(stack: Any, emu: WorldClient) -> None:
    verified(stack, emu)
    code = emu.outbox.code(OPS)
    assert all(code not in str(entry.get("request", "")) for entry in emu.journal)
    assert code not in emu.audit.canonical().decode()
    assert OPS not in str(emu.audit.entries())


def test_a_test_message_reaches_a_verified_destination_only(stack: Any, emu: WorldClient) -> None:
    made = stack.delivery_methods.add("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.test(made["id"])
    assert refused.value.status_code == 409
    assert emu.outbox.to(OPS) == []
    stack.delivery_methods.send_verification_code(made["id"])
    stack.delivery_methods.verify(made["id"], emu.outbox.code(OPS))
    sent = stack.delivery_methods.test(made["id"])
    assert emu.outbox.all()[-1]["id"] == sent["message_id"]
    assert emu.outbox.to(OPS)[-1]["event"] == "notification.test"


def test_deleting_a_verified_destination_waits_for_a_human(stack: Any, emu: WorldClient, served: Any) -> None:
    made = verified(stack, emu)
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.delivery_methods.delete(made["id"])
    assert refused.value.code == "GOVERNANCE_APPROVAL_REQUIRED"
    assert len(stack.delivery_methods.list()) == 1
    approval = refused.value.details["approval_id"]
    emu.approvals.approve(approval)
    assert stack.delivery_methods.delete(made["id"], governance_approval_id=approval) == {
        "id": made["id"],
        "deleted": True,
    }
    assert stack.delivery_methods.list() == []
    assert row(served, "notification_destination.delete").outcome == "success"


def test_an_unverified_destination_is_deleted_at_once_and_codes_of_it_are_worth_nothing(
    stack: Any, emu: WorldClient
) -> None:
    made = stack.delivery_methods.add("email", OPS)
    stack.delivery_methods.send_verification_code(made["id"])
    stack.delivery_methods.delete(made["id"])
    again = stack.delivery_methods.add("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.verify(again["id"], emu.outbox.code(OPS))
    assert refused.value.code == "INVALID_VERIFICATION_CODE"


def test_the_same_address_is_added_once(stack: Any) -> None:
    made = stack.delivery_methods.add("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.add("email", OPS.upper())
    assert refused.value.status_code == 409
    assert made["id"] in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("email", "nobody"),
        ("email", "a@b@c"),
        ("sms", "0151 123"),
        ("webhook", "ftp://x"),
        ("webhook", "http://"),
        ("webhook", "http://x:99999/"),
        ("pager", "1"),
    ],
)
def test_an_address_of_another_kind_is_refused(stack: Any, kind: str, address: str) -> None:
    with pytest.raises(getstack.StackError) as refused:
        stack.delivery_methods.add(kind, address)
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_REQUEST")
    assert stack.delivery_methods.list() == []


def test_older_sdks_say_kind(served: Any) -> None:
    made = post(served, PATH, {"kind": "sms", "destination": PHONE})
    assert (made.status_code, made.json()["channel_type"]) == (201, "sms")
    assert error(post(served, PATH, {"destination": PHONE})) == (400, "INVALID_REQUEST")


def test_who_may_do_what(served: Any) -> None:
    made = post(served, PATH, {"channel_type": "email", "destination": OPS}).json()
    assert [item["id"] for item in get(served, PATH, READER).json()] == [made["id"]]
    assert error(post(served, PATH, {"channel_type": "sms", "destination": PHONE}, READER)) == (403, "FORBIDDEN")
    assert get(served, PATH, OTHER).json() == []
    for action in ("send-code", "verify", "test", "rotate-secret"):
        body = {"code": "1"} if action == "verify" else None
        assert error(post(served, f"{PATH}/{made['id']}/{action}", body, OTHER)) == (404, "NOT_FOUND")
        assert error(post(served, f"{PATH}/ndst_none/{action}", body)) == (404, "NOT_FOUND")


def test_asking_for_the_code_of_somebody_who_got_none_says_who_did(stack: Any, emu: WorldClient) -> None:
    stack.delivery_methods.send_verification_code(stack.delivery_methods.add("email", OPS)["id"])
    with pytest.raises(EmulatorError, match=OPS):
        emu.outbox.code("somebody@else.test")


def test_destinations_are_tools(served: Any, emu: WorldClient) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_add_destination", channel_type="email", destination=OPS)
    tools("stack_send_destination_code", destination_id=made["id"])
    assert tools("stack_verify_destination", destination_id=made["id"], code=emu.outbox.code(OPS))["verified"]
    assert tools("stack_list_destinations")[0]["verified"] is True
    refused, failed = tools.result("stack_delete_destination", destination_id=made["id"])
    assert failed
    assert refused["error"]["code"] == "GOVERNANCE_APPROVAL_REQUIRED"
