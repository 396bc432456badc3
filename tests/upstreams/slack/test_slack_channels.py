"""Slack's own SDK schedules messages, changes channels and who is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_sdk import WebClient

from stack_emu.upstreams.slack import channels, messages
from tests.upstreams.conftest import Proxied, Service
from tests.upstreams.slack_client import DAY, NOW, SEED, error, texts


def test_scheduled_messages_are_posted_at_their_instant_between_what_came_before_and_after(
    workspace: Service, sdk: WebClient
) -> None:
    world = workspace.world
    later = sdk.chat_scheduleMessage(channel="#engineering", text="third", post_at=NOW + 600)
    assert (later["channel"], later["post_at"], later["message"]["type"]) == ("C0ENG", NOW + 600, "delayed_message")
    block = [{"type": "divider"}]
    sooner = sdk.chat_scheduleMessage(channel="C0ENG", text="second", post_at=str(NOW + 300), blocks=block)
    gone = sdk.chat_scheduleMessage(channel="C0ENG", text="never", post_at=NOW + 400)["scheduled_message_id"]
    sdk.chat_postMessage(channel="C0ENG", text="first")
    waiting = [one["text"] for one in sdk.chat_scheduledMessages_list(channel="C0ENG")["scheduled_messages"]]
    assert waiting == ["second", "never", "third"]
    within = sdk.chat_scheduledMessages_list(oldest=str(NOW + 350), latest=str(NOW + 500))["scheduled_messages"]
    assert within == [{"id": gone, "channel_id": "C0ENG", "post_at": NOW + 400, "text": "never"}]
    pages = sdk.chat_scheduledMessages_list(limit=2)
    assert [len(page["scheduled_messages"]) for page in pages] == [2, 1]
    sdk.chat_deleteScheduledMessage(channel="C0ENG", scheduled_message_id=gone)

    world.advance(299_999)
    assert texts(sdk) == ["first"]
    world.advance(1)
    assert [one["text"] for one in messages(world, "engineering")] == ["first", "second"], "seen before any call"
    world.advance(400_000)
    sdk.chat_postMessage(channel="C0ENG", text="fourth")
    assert texts(sdk) == ["first", "second", "third", "fourth"]
    assert [one["text"] for one in messages(world, "engineering")] == ["first", "second", "third", "fourth"]
    shown = sdk.conversations_history(channel="C0ENG")["messages"][2]
    assert (shown["blocks"], shown["bot_profile"]["name"]) == (block, "deployer")
    assert sdk.chat_scheduledMessages_list()["scheduled_messages"] == []
    sdk.reactions_add(channel="C0ENG", timestamp=shown["ts"], name="tada")
    remove = sdk.chat_deleteScheduledMessage
    assert error(remove, channel="C0ENG", scheduled_message_id=sooner["scheduled_message_id"]) == (
        "invalid_scheduled_message_id"
    )


def test_what_cannot_be_scheduled_or_cancelled_is_refused(workspace: Service, sdk: WebClient) -> None:
    def at(post_at: Any, channel: str = "C0ENG", **more: Any) -> Callable[[], Any]:
        return lambda: sdk.chat_scheduleMessage(channel=channel, text="x", post_at=post_at, **more)

    assert error(at(NOW)) == "time_in_past"
    assert error(at(NOW + 120 * DAY + 1)) == "time_too_far"
    assert error(at("tomorrow")) == "invalid_time"
    assert error(at(NOW + 90, "C0NONE")) == "channel_not_found"
    assert error(at(NOW + 90, "C0RANDOM")) == "not_in_channel"
    assert error(at(NOW + 90, "C0OLD")) == "is_archived"
    assert error(at(NOW + 90, thread_ts="1.000001")) == "thread_not_found"
    soon = at(NOW + 90)()["scheduled_message_id"]
    remove = sdk.chat_deleteScheduledMessage
    assert error(remove, channel="C0GEN", scheduled_message_id=soon) == "invalid_scheduled_message_id"
    workspace.world.advance(31_000)
    assert error(remove, channel="C0ENG", scheduled_message_id=soon) == "invalid_scheduled_message_id"
    for _ in range(30):
        at(NOW + DAY)()
    assert error(at(NOW + DAY)) == "restricted_too_many"
    at(NOW + DAY + 300)()
    made = sdk.conversations_create(name="short-lived")["channel"]["id"]
    at(NOW + 300, made)()
    sdk.conversations_archive(channel=made)
    workspace.world.advance(DAY * 1000)
    assert messages(workspace.world, made) == [], "what is due in an archived channel is dropped"
    assert sdk.chat_scheduledMessages_list(channel=made)["scheduled_messages"] == []
    assert len(texts(sdk)) == 31


def test_a_scheduled_message_is_posted_through_the_proxy_when_the_worlds_clock_gets_there(
    proxied: Callable[..., Proxied],
) -> None:
    slack = proxied("slack", seed=SEED)
    body = {"channel": "C0ENG", "text": "good morning", "post_at": NOW + 3600}
    assert slack.ask("POST", "https://slack.com/api/chat.scheduleMessage", body=body).body["ok"] is True

    def read() -> list[str]:
        url = "https://slack.com/api/conversations.history?channel=C0ENG"
        return [one["text"] for one in slack.ask("GET", url).body["messages"]]

    assert read() == []
    slack.world.clock.advance("61m")
    assert read() == ["good morning"]


def test_a_message_can_be_an_action_and_links_are_unfurled(workspace: Service, sdk: WebClient) -> None:
    acted = sdk.chat_meMessage(channel="C0ENG", text="waves")["ts"]
    assert sdk.conversations_history(channel="C0ENG")["messages"][0]["subtype"] == "me_message"
    url = "https://docs.acme.test/runbook"
    linked = sdk.chat_postMessage(channel="C0ENG", text=f"read <{url}>")["ts"]
    sdk.chat_unfurl(channel="C0ENG", ts=linked, unfurls={url: {"text": "How to deploy"}})
    [attachment] = messages(workspace.world, "engineering")[1]["attachments"]
    assert (attachment["text"], attachment["from_url"], attachment["id"]) == ("How to deploy", url, 1)

    def unfurl(**changes: Any) -> str:
        return error(sdk.chat_unfurl, **{"channel": "C0ENG", "ts": linked, "unfurls": {url: {"text": "x"}}, **changes})

    assert unfurl(ts=acted) == "cannot_unfurl_url"
    assert unfurl(ts="1.000001") == "cannot_find_message"
    assert unfurl(unfurls={}) == "missing_unfurls"
    assert unfurl(unfurls={url: "x"}) == "cannot_parse_attachment"
    assert unfurl(channel=None) == "missing_channel"
    assert unfurl(unfurl_id="U1") == "cannot_find_message"
    assert error(sdk.chat_meMessage, channel="C0ENG", text="") == "no_text"
    assert error(sdk.chat_meMessage, channel="#nowhere", text="x") == "channel_not_found"


def test_channels_are_renamed_described_archived_and_brought_back(workspace: Service, sdk: WebClient) -> None:
    made = sdk.conversations_create(name="incident")["channel"]["id"]
    renamed = sdk.conversations_rename(channel=made, name="incident-9")["channel"]
    assert (renamed["name"], renamed["previous_names"]) == ("incident-9", ["incident"])
    assert sdk.conversations_setTopic(channel=made, topic="db is down")["channel"]["topic"]["value"] == "db is down"
    assert sdk.conversations_setPurpose(channel=made, purpose="fix it")["purpose"] == "fix it"
    info = sdk.conversations_info(channel=made)["channel"]
    assert (info["topic"]["value"], info["purpose"]["value"]) == ("db is down", "fix it")
    assert error(sdk.conversations_rename, channel=made, name="engineering") == "name_taken"
    assert error(sdk.conversations_rename, channel=made, name="No") == "invalid_name_specials"
    assert error(sdk.conversations_rename, channel="C0ENG", name="eng") == "not_authorized"
    assert error(sdk.conversations_rename, channel="C0RANDOM", name="x") == "not_in_channel"
    assert error(sdk.conversations_setTopic, channel=made, topic="x" * 251) == "too_long"
    assert error(sdk.conversations_setPurpose, channel="C0RANDOM", purpose="x") == "not_in_channel"
    direct = sdk.conversations_open(users="U0ADA")["channel"]["id"]
    assert error(sdk.conversations_setTopic, channel=direct, topic="x") == "method_not_supported_for_channel_type"

    sdk.conversations_archive(channel=made)
    assert error(sdk.conversations_archive, channel=made) == "already_archived"
    assert error(sdk.chat_postMessage, channel=made, text="x") == "is_archived"
    assert error(sdk.conversations_setTopic, channel=made, topic="x") == "is_archived"
    assert made not in [one["id"] for one in sdk.conversations_list(exclude_archived=True)["channels"]]
    sdk.conversations_unarchive(channel=made)
    assert error(sdk.conversations_unarchive, channel=made) == "not_archived"
    assert error(sdk.conversations_archive, channel="C0GEN") == "cant_archive_general"
    assert error(sdk.conversations_archive, channel=direct) == "method_not_supported_for_channel_type"
    assert error(sdk.conversations_archive, channel="C0SECRET") == "channel_not_found"
    assert sdk.chat_postMessage(channel="#incident-9", text="over")["channel"] == made


def test_people_are_invited_and_removed_and_the_bot_leaves(workspace: Service, sdk: WebClient) -> None:
    made = sdk.conversations_create(name="crew")["channel"]["id"]
    me = sdk.auth_test()["user_id"]
    sdk.conversations_invite(channel=made, users=["U0ADA"])
    assert sdk.conversations_members(channel=made)["members"] == [me, "U0ADA"]

    def invite(users: str, channel: str = made, **more: Any) -> str:
        return error(sdk.conversations_invite, channel=channel, users=users, **more)

    assert invite(me) == "cant_invite_self"
    assert invite("U0ADA") == "already_in_channel"
    assert invite("U0NONE") == "user_not_found"
    assert invite("") == "no_user"
    assert invite("U0EVE", "C0RANDOM") == "not_in_channel"
    assert invite("U0EVE", "C0OLD") == "is_archived"
    assert invite("U0EVE,U0NONE") == "user_not_found"
    some = sdk.conversations_invite(channel=made, users="U0EVE,U0NONE", force=True)
    assert some["errors"] == [{"user": "U0NONE", "ok": False, "error": "user_not_found"}]
    assert sdk.users_conversations(user="U0EVE")["channels"][0]["id"] == made
    sdk.conversations_kick(channel=made, user="U0EVE")
    assert sdk.users_conversations(user="U0EVE")["channels"] == []
    assert error(sdk.conversations_kick, channel=made, user="U0EVE") == "not_in_channel"
    assert error(sdk.conversations_kick, channel=made, user=me) == "cant_kick_self"
    assert error(sdk.conversations_kick, channel=made, user="U0NONE") == "user_not_found"
    assert error(sdk.conversations_kick, channel="C0GEN", user="U0ADA") == "cant_kick_from_general"
    assert sdk.conversations_leave(channel=made).data == {"ok": True}
    assert sdk.conversations_leave(channel=made)["not_in_channel"] is True
    assert error(sdk.conversations_leave, channel="C0GEN") == "cant_leave_general"
    assert error(sdk.users_conversations, user="U0NONE") == "user_not_found"
    private = sdk.conversations_create(name="alone", is_private=True)["channel"]["id"]
    assert error(sdk.conversations_leave, channel=private) == "last_member"
    own = [one["name"] for one in sdk.users_conversations(types="private_channel")["channels"]]
    assert own == ["board", "alone"]
    assert {one["name"]: one["members"] for one in channels(workspace.world)}["crew"] == ["U0ADA"]


def test_conversations_are_marked_closed_and_opened_again(sdk: WebClient) -> None:
    stamp = sdk.chat_postMessage(channel="C0ENG", text="x")["ts"]
    sdk.conversations_mark(channel="C0ENG", ts=stamp)
    assert sdk.conversations_info(channel="C0ENG")["channel"]["last_read"] == stamp
    assert error(sdk.conversations_mark, channel="C0ENG", ts="now") == "invalid_timestamp"
    assert error(sdk.conversations_mark, channel="C0RANDOM", ts=stamp) == "not_in_channel"
    direct = sdk.conversations_open(users="U0ADA")["channel"]["id"]
    assert sdk.conversations_close(channel=direct).data == {"ok": True}
    assert sdk.conversations_close(channel=direct)["already_closed"] is True
    assert "already_open" not in sdk.conversations_open(users="U0ADA").data
    assert sdk.conversations_open(users="U0ADA")["already_open"] is True
    assert error(sdk.conversations_close, channel="C0ENG") == "method_not_supported_for_channel_type"
