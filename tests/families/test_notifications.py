"""Channels: rules by which what really happens in an account is told at its destinations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.client import WorldClient
from tests.families.drivers import McpTools
from tests.families.passport_world import (
    OPERATOR,
    OTHER,
    READER,
    actions,
    bearer,
    error,
    get,
    issue,
    post,
    row,
)
from tests.families.webhook_world import BOSS, WORLD

OPS, PHONE = "ops@acme.test", "+4915112345678"
PATH = "/v1/notifications/channels"


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


def told(emu: WorldClient, destination: str = BOSS) -> list[str]:
    return [message["event"] for message in emu.outbox.to(destination)]


def flagged(stack: Any) -> Any:
    return stack.passports.checkout(issue(stack).jti, services_used=["stripe"], actions_count=1)


# --- the rules themselves --------------------------------------------------------------------------------------------


def test_a_channel_is_made_listed_changed_and_deleted(stack: Any, served: Any) -> None:
    made = stack.notifications.create("email", OPS, events=["passport.revoked"], min_severity="critical")
    assert made.id.startswith("nch_")
    assert (made.channel_type, made.destination, made.events) == ("email", OPS, ["passport.revoked"])
    assert (made.min_severity, made.active, made.verified) == ("critical", True, False)
    assert [channel.id for channel in stack.notifications.list()] == [made.id]
    changed = stack.notifications.update(made.id, events=[], min_severity="info", active=False)
    assert (changed["events"], changed["min_severity"], changed["active"]) == ([], "info", False)
    assert stack.notifications.list()[0].active is False
    assert row(served, "notification_channel.update").metadata["changed"] == ["active", "events", "min_severity"]
    assert stack.notifications.delete(made.id) == {"id": made.id, "deleted": True}
    assert stack.notifications.list() == []
    with pytest.raises(getstack.NotFoundError):
        stack.notifications.delete(made.id)


def test_without_words_a_channel_is_about_every_event_from_warnings_on(stack: Any) -> None:
    made = stack.notifications.create("email", BOSS)
    assert (made.events, made.min_severity, made.verified) == ([], "warning", True)


def test_a_channel_adds_the_destination_it_leads_to_and_is_verified_with_it(stack: Any, emu: WorldClient) -> None:
    made = stack.notifications.create("email", OPS)
    (destination,) = stack.delivery_methods.list()
    assert (destination["destination"], destination["verified"]) == (OPS, False)
    assert stack.notifications.send_verification_code(made.id)["sent"] is True
    done = stack.notifications.verify(made.id, emu.outbox.code(OPS))
    assert (done["id"], done["verified"]) == (made.id, True)
    assert stack.notifications.list()[0].verified is True
    assert stack.delivery_methods.list()[0]["verified"] is True
    assert stack.notifications.create("email", OPS, min_severity="info").verified is True
    assert len(stack.delivery_methods.list()) == 1


def test_a_webhook_added_with_its_channel_shows_its_secret_once(served: Any) -> None:
    made = post(served, PATH, {"channel_type": "webhook", "destination": "https://x.test/h"}).json()
    assert made["webhook_secret"].startswith("whsec_")
    again = post(served, PATH, {"channel_type": "webhook", "destination": "https://x.test/h"}).json()
    assert again["webhook_secret"] is None
    assert again["destination_id"] == made["destination_id"]


def test_a_channel_can_be_led_elsewhere(stack: Any, emu: WorldClient) -> None:
    made = stack.notifications.create("email", OPS)
    assert stack.notifications.update(made.id, destination=BOSS)["verified"] is True
    stack.passports.revoke(issue(stack).jti)
    assert told(emu) == ["passport.revoked"]
    with pytest.raises(getstack.StackError) as refused:
        stack.notifications.update(made.id, destination="no address")
    assert refused.value.code == "INVALID_REQUEST"


def test_the_first_sdk_verifies_without_a_code_to_have_one_sent(served: Any, emu: WorldClient) -> None:
    made = post(served, PATH, {"channel_type": "sms", "destination": PHONE, "min_severity": "info"}).json()
    sent = post(served, f"{PATH}/{made['id']}/verify", {}).json()
    assert (sent["sent"], sent["verified"]) == (True, False)
    done = post(served, f"{PATH}/{made['id']}/verify", {"code": emu.outbox.code(PHONE)}).json()
    assert done["verified"] is True


def test_a_wrong_code_is_refused(stack: Any) -> None:
    made = stack.notifications.create("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.notifications.verify(made.id, "000000")
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_VERIFICATION_CODE")
    assert stack.notifications.list()[0].verified is False


def test_a_test_goes_to_the_destination_whatever_the_rule_says(stack: Any, emu: WorldClient) -> None:
    made = stack.notifications.create("email", BOSS, events=["nothing.else"], min_severity="critical")
    stack.notifications.update(made.id, active=False)
    stack.notifications.test(made.id)
    assert told(emu) == ["notification.test"]
    unverified = stack.notifications.create("email", OPS)
    with pytest.raises(getstack.StackError) as refused:
        stack.notifications.test(unverified.id)
    assert refused.value.status_code == 409


def test_a_channel_whose_destination_is_gone_says_so_and_tells_nothing(stack: Any, emu: WorldClient) -> None:
    made = stack.notifications.create("email", OPS)
    stack.delivery_methods.delete(stack.delivery_methods.list()[0]["id"])
    assert stack.notifications.list()[0].verified is False
    for call in (stack.notifications.test, stack.notifications.send_verification_code):
        with pytest.raises(getstack.StackError) as refused:
            call(made.id)
        assert refused.value.status_code == 409
    stack.passports.revoke(issue(stack).jti)
    assert told(emu, OPS) == []


@pytest.mark.parametrize(
    "body",
    [
        {"channel_type": "email"},
        {"channel_type": "fax", "destination": OPS},
        {"channel_type": "email", "destination": OPS, "min_severity": "loud"},
        {"channel_type": "email", "destination": OPS, "events": [""]},
        {"channel_type": "email", "destination": PHONE},
    ],
)
def test_rules_that_cannot_be_are_refused(served: Any, body: dict[str, Any]) -> None:
    assert error(post(served, PATH, body)) == (400, "INVALID_REQUEST")
    assert get(served, PATH).json() == []
    assert get(served, "/v1/notifications/destinations").json() == []


def test_who_may_do_what(served: Any) -> None:
    made = post(served, PATH, {"channel_type": "email", "destination": OPS}).json()
    assert len(get(served, PATH, READER).json()) == 1
    assert error(post(served, PATH, {"channel_type": "email", "destination": OPS}, READER)) == (403, "FORBIDDEN")
    assert get(served, PATH, OTHER).json() == []
    for name in (made["id"], "nch_none"):
        for action in ("send-code", "verify", "test"):
            assert error(post(served, f"{PATH}/{name}/{action}", {"code": "1"}, OTHER)) == (404, "NOT_FOUND")
        url = f"{served.base_url}{PATH}/{name}"
        assert error(httpx.patch(url, json={"active": False}, headers=bearer(OTHER))) == (404, "NOT_FOUND")
        assert error(httpx.delete(url, headers=bearer(OTHER))) == (404, "NOT_FOUND")


# --- what happens ----------------------------------------------------------------------------------------------------


def test_a_revoked_passport_is_told_with_what_it_was_for(stack: Any, emu: WorldClient, served: Any) -> None:
    channel = stack.notifications.create("email", BOSS)
    jti = issue(stack).jti
    stack.passports.revoke(jti, reason="seen elsewhere")
    (message,) = emu.outbox.to(BOSS)
    assert (message["event"], message["kind"], message["code"]) == ("passport.revoked", "email", None)
    assert message["subject"] == "[warning] passport.revoked"
    assert jti in message["text"]
    assert "seen elsewhere" in message["text"]
    found = row(served, "notification.send")
    assert (found.agent_id, found.metadata["event"], found.metadata["channel"]) == (
        "agt_logged",
        "passport.revoked",
        channel.id,
    )
    stack.passports.revoke(jti)  # nothing is left to revoke, nothing is told
    assert len(emu.outbox.to(BOSS)) == 1


def test_one_call_that_revokes_many_is_told_once(stack: Any, emu: WorldClient) -> None:
    stack.notifications.create("email", BOSS)
    for ttl in (300, 600, 900):
        issue(stack, ttl_seconds=ttl)
    assert stack.passports.revoke_all()["revoked_count"] == 3
    (message,) = emu.outbox.to(BOSS)
    assert "3 passports were revoked" in message["text"]


def test_a_signal_and_the_review_it_leads_to_are_told(stack: Any, emu: WorldClient) -> None:
    stack.notifications.create("email", BOSS)
    checkout = flagged(stack)
    assert told(emu) == ["security.signal", "review.flagged"]
    assert any(checkout.checkout_id in message["text"] for message in emu.outbox.to(BOSS))


def test_an_approval_that_is_asked_for_is_told_once(stack: Any, emu: WorldClient) -> None:
    checkout = flagged(stack)
    stack.notifications.create("email", BOSS, events=["approval.*"])
    for _ in range(2):
        with pytest.raises(getstack.ForbiddenError) as refused:
            stack.reviews.decide(checkout.checkout_id, "approved")
    assert told(emu) == ["approval.requested"]
    assert refused.value.details["approval_id"] in emu.outbox.to(BOSS)[0]["text"]


def test_a_timer_that_raises_a_signal_tells_it(stack: Any, emu: WorldClient) -> None:
    stack.notifications.create("email", BOSS, events=["security.signal"], min_severity="info")
    issue(stack, "enforced")
    emu.clock.advance("1h")
    assert "checkpoint_silence" in emu.outbox.to(BOSS)[0]["text"]


def test_severity_events_activity_and_verification_decide_who_is_told(stack: Any, emu: WorldClient) -> None:
    loud = stack.notifications.create("email", BOSS, min_severity="critical")
    other = stack.notifications.create("email", BOSS, events=["security.*"])
    unverified = stack.notifications.create("email", OPS)
    stack.passports.revoke(issue(stack).jti)
    assert emu.outbox.all() == []
    stack.notifications.update(loud.id, min_severity="warning")
    stack.passports.revoke(issue(stack).jti)
    assert told(emu) == ["passport.revoked"]
    stack.notifications.update(loud.id, active=False)
    stack.notifications.update(other.id, events=["passport.*"])
    stack.passports.revoke(issue(stack).jti)
    assert told(emu) == ["passport.revoked"] * 2
    stack.notifications.send_verification_code(unverified.id)
    stack.notifications.verify(unverified.id, emu.outbox.code(OPS))
    stack.passports.revoke(issue(stack).jti)
    assert told(emu, OPS) == ["destination.verification", "passport.revoked"]


def test_nothing_is_told_of_what_was_refused_or_belongs_to_another_account(
    sdk: Any, stack: Any, served: Any, emu: WorldClient
) -> None:
    sdk(served.base_url, OTHER).notifications.create("email", "rival@other.test", min_severity="info")
    stack.notifications.create("email", BOSS, min_severity="info")
    with pytest.raises(getstack.NotFoundError):
        stack.passports.revoke("pp_none")
    assert emu.outbox.all() == []
    stack.passports.revoke(issue(stack).jti)
    assert {message["operator_id"] for message in emu.outbox.all()} == {"op_emu"}


def test_without_channels_nothing_is_different(stack: Any, served: Any, emu: WorldClient) -> None:
    stack.passports.revoke(issue(stack).jti)
    assert actions(served) == [("passport.issue", "success"), ("passport.revoke", "success")]
    assert emu.outbox.all() == []


def test_a_reset_empties_the_outbox(stack: Any, emu: WorldClient) -> None:
    stack.notifications.test(stack.notifications.create("email", BOSS).id)
    assert told(emu) == ["notification.test"]
    emu.reset()
    assert emu.outbox.all() == []


def test_channels_are_tools(served: Any, emu: WorldClient) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_create_notification_channel", channel_type="email", destination=OPS)
    tools("stack_send_notification_channel_code", channel_id=made["id"])
    assert tools("stack_verify_notification_channel", channel_id=made["id"], code=emu.outbox.code(OPS))["verified"]
    assert tools("stack_test_notification_channel", channel_id=made["id"])["sent"] is True
    assert tools("stack_update_notification_channel", channel_id=made["id"], active=False)["active"] is False
    assert [item["id"] for item in tools("stack_list_notification_channels")] == [made["id"]]
    assert tools("stack_delete_notification_channel", channel_id=made["id"])["deleted"] is True
    refused, failed = tools.result("stack_test_notification_channel", channel_id=made["id"])
    assert failed
    assert refused["error"]["code"] == "NOT_FOUND"
