"""Slack's own SDK drives what hangs on channels, messages and people: pins, bookmarks, groups, views, search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from stack_emu.upstreams.slack import messages, views
from tests.upstreams.conftest import Service
from tests.upstreams.slack_client import DAY, HOME, MODAL, NOW, SEED, Slack, client, error


def test_messages_are_pinned_and_a_deleted_one_loses_its_pin(sdk: WebClient) -> None:
    first, second = (sdk.chat_postMessage(channel="C0ENG", text=text)["ts"] for text in ("rules", "runbook"))
    sdk.pins_add(channel="C0ENG", timestamp=first)
    sdk.pins_add(channel="C0ENG", timestamp=second)
    items = sdk.pins_list(channel="C0ENG")["items"]
    assert [one["message"]["text"] for one in items] == ["runbook", "rules"]
    assert items[0]["message"]["pinned_to"] == ["C0ENG"]
    assert sdk.conversations_history(channel="C0ENG")["pin_count"] == 2
    assert error(sdk.pins_add, channel="C0ENG", timestamp=first) == "already_pinned"
    assert error(sdk.pins_add, channel="C0ENG", timestamp="1.000001") == "message_not_found"
    assert error(sdk.pins_add, channel="C0ENG", timestamp="soon") == "bad_timestamp"
    assert error(sdk.pins_add, channel="C0ENG") == "no_item_specified"
    assert error(sdk.pins_add, channel="C0RANDOM", timestamp=first) == "not_in_channel"
    sdk.pins_remove(channel="C0ENG", timestamp=first)
    assert error(sdk.pins_remove, channel="C0ENG", timestamp=first) == "no_pin"
    sdk.chat_delete(channel="C0ENG", ts=second)
    assert sdk.pins_list(channel="C0ENG")["items"] == []


def test_bookmarks_are_added_changed_and_removed(sdk: WebClient) -> None:
    link = "https://docs.acme.test"
    made = sdk.bookmarks_add(channel_id="C0ENG", title="Docs", type="link", link=link, emoji=":book:")["bookmark"]
    assert (made["id"][:2], made["link"], made["emoji"]) == ("Bk", link, ":book:")
    changed = sdk.bookmarks_edit(channel_id="C0ENG", bookmark_id=made["id"], title="The docs")["bookmark"]
    assert (changed["title"], changed["link"]) == ("The docs", link)
    assert sdk.bookmarks_list(channel_id="C0ENG")["bookmarks"] == [changed]
    add = {"channel_id": "C0ENG", "title": "x", "type": "link", "link": link}
    assert error(sdk.bookmarks_add, **{**add, "type": "file"}) == "invalid_bookmark_type"
    assert error(sdk.bookmarks_add, **{**add, "link": "ftp://x"}) == "invalid_link"
    assert error(sdk.bookmarks_add, **{**add, "link": None}) == "invalid_link"
    assert error(sdk.bookmarks_add, **{**add, "emoji": "book"}) == "invalid_emoji"
    assert error(sdk.bookmarks_add, **{**add, "channel_id": "C0NONE"}) == "channel_not_found"
    assert error(sdk.bookmarks_edit, channel_id="C0ENG", bookmark_id=made["id"]) == "invalid_arguments"
    assert error(sdk.bookmarks_edit, channel_id="C0ENG", bookmark_id="Bk0", title="x") == "not_found"
    sdk.bookmarks_remove(channel_id="C0ENG", bookmark_id=made["id"])
    assert error(sdk.bookmarks_remove, channel_id="C0ENG", bookmark_id=made["id"]) == "not_found"


def test_reminders_know_when_and_are_completed_or_deleted(sdk: WebClient) -> None:
    for time, due in {
        str(NOW + 7200): NOW + 7200,
        "600": NOW + 600,
        "in 15 minutes": NOW + 900,
        "In an hour": NOW + 3600,
        "tomorrow": NOW + DAY,
    }.items():
        assert sdk.reminders_add(text="stretch", time=time)["reminder"]["time"] == due
    first = sdk.reminders_list()["reminders"][0]
    assert (first["text"], first["complete_ts"], first["recurring"]) == ("stretch", 0, False)
    sdk.reminders_complete(reminder=first["id"])
    assert sdk.reminders_info(reminder=first["id"])["reminder"]["complete_ts"] == NOW
    weekly = sdk.reminders_add(text="retro", time="in 2 days", recurrence='{"frequency": "weekly"}')["reminder"]
    assert (weekly["recurring"], "time" in weekly) == (True, False)
    assert error(sdk.reminders_complete, reminder=weekly["id"]) == "cannot_complete_recurring"
    sdk.reminders_delete(reminder=weekly["id"])
    assert error(sdk.reminders_info, reminder=weekly["id"]) == "not_found"
    assert error(sdk.reminders_add, text="x", time="when pigs fly") == "cannot_parse"
    assert error(sdk.reminders_add, text="x", time=str(NOW - 5)) == "cannot_parse"
    assert error(sdk.reminders_add, text="x", time="60", user="U0ADA") == "cannot_add_others"
    assert error(sdk.reminders_add, text="x", time="60", user="U0NONE") == "user_not_found"


def test_user_groups_have_names_handles_and_members(sdk: WebClient) -> None:
    made = sdk.usergroups_create(name="On call", handle="oncall", channels=["C0ENG"])["usergroup"]
    assert (made["id"][:1], made["handle"], made["prefs"]["channels"], made["users"]) == ("S", "oncall", ["C0ENG"], [])
    filled = sdk.usergroups_users_update(usergroup=made["id"], users=["U0ADA", "U0EVE"], include_count=True)
    assert filled["usergroup"]["user_count"] == 2
    assert sdk.usergroups_users_list(usergroup=made["id"])["users"] == ["U0ADA", "U0EVE"]
    assert sdk.usergroups_update(usergroup=made["id"], description="pagers")["usergroup"]["description"] == "pagers"
    assert "users" not in sdk.usergroups_list()["usergroups"][0]
    assert sdk.usergroups_list(include_users=True)["usergroups"][0]["users"] == ["U0ADA", "U0EVE"]
    other = sdk.usergroups_create(name="Ops")["usergroup"]["id"]
    assert error(sdk.usergroups_create, name="on call") == "name_already_exists"
    assert error(sdk.usergroups_update, usergroup=other, handle="@oncall") == "handle_already_exists"
    assert error(sdk.usergroups_users_update, usergroup=other, users="U0NONE") == "invalid_users"
    assert error(sdk.usergroups_users_update, usergroup=other, users="") == "no_users_provided"
    assert error(sdk.usergroups_users_list, usergroup="S0NONE") == "no_such_subteam"
    sdk.usergroups_disable(usergroup=other)
    assert [one["id"] for one in sdk.usergroups_list()["usergroups"]] == [made["id"]]
    assert len(sdk.usergroups_list(include_disabled=True)["usergroups"]) == 2
    assert sdk.usergroups_enable(usergroup=other)["usergroup"]["date_delete"] == 0


def test_profiles_presence_bots_and_emoji(sdk: WebClient) -> None:
    me = sdk.auth_test()
    assert sdk.users_profile_get(user="U0ADA")["profile"]["email"] == "ada@acme.test"
    sdk.users_profile_set(profile={"status_text": "deploying", "status_emoji": ":ship:"})
    sdk.users_profile_set(name="real_name", value="Deployer of Things")
    shown = sdk.users_info(user=me["user_id"])["user"]
    assert (shown["real_name"], shown["profile"]["status_text"]) == ("Deployer of Things", "deploying")
    assert sdk.users_profile_get()["profile"]["last_name"] == "of Things"
    assert error(sdk.users_profile_set, name="title", value="x", user="U0ADA") == "not_admin"
    assert error(sdk.users_profile_set, profile={"shoe_size": 9}) == "profile_set_failed"
    assert error(sdk.users_profile_set, profile={"status_text": "x" * 101}) == "too_long"
    assert error(sdk.api_call, "users.profile.set", params={"profile": "{"}) == "invalid_profile"
    assert error(sdk.users_profile_get, user="U0NONE") == "user_not_found"

    assert sdk.users_getPresence(user="U0ADA").data == {"ok": True, "presence": "active"}
    sdk.users_setPresence(presence="away")
    own = sdk.users_getPresence(user=me["user_id"])
    assert (own["presence"], own["manual_away"], own["online"]) == ("away", True, False)
    assert error(sdk.users_setPresence, presence="busy") == "invalid_presence"
    assert sdk.dnd_info(user="U0ADA")["dnd_enabled"] is False
    assert sdk.bots_info(bot=me["bot_id"])["bot"]["user_id"] == me["user_id"]
    assert error(sdk.bots_info, bot="B0NONE") == "bot_not_found"
    assert sdk.emoji_list()["emoji"]["ship"] == "alias:shipit"


def test_modals_are_opened_pushed_and_updated_and_homes_published(workspace: Service, sdk: WebClient) -> None:
    opened = sdk.views_open(trigger_id="1.2.abc", view={**MODAL, "external_id": "deploy", "private_metadata": "7"})
    view = opened["view"]
    assert (view["type"], view["root_view_id"], view["previous_view_id"]) == ("modal", view["id"], None)
    assert error(sdk.views_open, trigger_id="1.2.abc", view=MODAL) == "exchanged_trigger_id"
    assert error(sdk.views_open, trigger_id="now", view=MODAL) == "invalid_trigger_id"
    assert error(sdk.views_open, view=MODAL) == "invalid_arguments"
    assert error(sdk.views_open, trigger_id="1.2.x", view={**MODAL, "external_id": "deploy"}) == "duplicate_external_id"
    for wrong in (HOME, {"type": "modal", "blocks": []}, {**MODAL, "blocks": None}, {**MODAL, "blocks": [{}] * 101}):
        assert error(sdk.views_open, trigger_id="1.2.y", view=wrong) == "invalid_arguments"
    assert error(sdk.views_open, trigger_id="1.2.y", view={**MODAL, "private_metadata": "x" * 250_000}) == (
        "view_too_large"
    )
    second = sdk.views_push(trigger_id="1.3.abc", view=MODAL)["view"]
    assert (second["previous_view_id"], second["root_view_id"]) == (view["id"], view["id"])
    sdk.views_push(trigger_id="1.4.abc", view=MODAL)
    assert error(sdk.views_push, trigger_id="1.5.abc", view=MODAL) == "push_limit_reached"

    busy = {**MODAL, "title": {"type": "plain_text", "text": "Deploying"}}
    changed = sdk.views_update(view_id=view["id"], view=busy, hash=view["hash"])["view"]
    assert (changed["title"]["text"], changed["hash"] != view["hash"]) == ("Deploying", True)
    assert error(sdk.views_update, view_id=view["id"], view=busy, hash=view["hash"]) == "hash_conflict"
    assert error(sdk.views_update, external_id="other", view=busy) == "not_found"
    home = sdk.views_publish(user_id="U0ADA", view=HOME)["view"]
    again = sdk.views_publish(user_id="U0ADA", view={**HOME, "blocks": []}, hash=home["hash"])["view"]
    assert again["id"] == home["id"]
    assert error(sdk.views_publish, user_id="U0ADA", view=HOME, hash=home["hash"]) == "hash_conflict"
    assert error(sdk.views_publish, user_id="U0NONE", view=HOME) == "user_not_found"
    kept = views(workspace.world)
    assert [(one["view"]["type"], one["home_of"]) for one in kept] == [("modal", None)] * 3 + [("home", "U0ADA")]


def test_search_finds_messages_and_files(workspace: Service, sdk: WebClient) -> None:
    deploy = sdk.chat_postMessage(channel="C0ENG", text="Deploy of the shop failed, see https://ci.acme.test")["ts"]
    sdk.chat_postMessage(channel="C0GEN", text="lunch of the week")
    workspace.world.advance(DAY * 1000)
    sdk.chat_postMessage(channel="C0ENG", text="the shop is back", thread_ts=deploy)
    sdk.reactions_add(channel="C0ENG", timestamp=deploy, name="eyes")
    sdk.pins_add(channel="C0ENG", timestamp=deploy)
    sdk.chat_postEphemeral(channel="C0ENG", user="U0ADA", text="the shop, secretly")
    sdk.files_upload_v2(channel="C0ENG", filename="shop.log", title="Shop run", content="boom")

    def found(query: str, **options: Any) -> list[str]:
        matches = sdk.search_messages(query=query, **options)["messages"]["matches"]
        return [" ".join(one["text"].split()[:3]) for one in matches]

    back, failed, lunch = "the shop is", "Deploy of the", "lunch of the"
    for query, wanted in {
        "SHOP": [back, failed],
        '"of the"': [lunch, failed],
        "the -shop": [lunch],
        "shop in:#engineering from:@deployer": [back, failed],
        "in:general": [lunch],
        "the from:ada": [],
        "bye from:ada": ["bye"],
        "from:me is:thread": [back],
        "has:link": [failed],
        "has::eyes:": [failed],
        "has:pin": [failed],
        "has:reaction": [failed],
        "shop after:2026-01-01": [back],
        "shop on:2026-01-01": [failed],
        "shop before:2026-01-02": [failed],
        "secretly": [],
        "note:worthy": [],
    }.items():
        assert found(query) == wanted, query
    assert found("shop", sort="timestamp", sort_dir="asc") == [failed, back]
    reply = sdk.search_messages(query="shop", count=1, page=2, highlight=True)["messages"]
    assert (reply["total"], reply["pagination"]["page_count"], reply["paging"]["page"]) == (2, 2, 2)
    [match] = reply["matches"]
    assert "\ue000shop\ue001" in match["text"]
    assert (match["channel"]["name"], match["username"], match["ts"]) == ("engineering", "deployer", deploy)
    assert match["permalink"].startswith("https://acme.slack.com/archives/C0ENG/p")
    first = sdk.search_messages(query="shop", count=1, cursor="*")
    following = sdk.search_messages(query="shop", count=1, cursor=first["response_metadata"]["next_cursor"])
    assert following["messages"]["matches"][0]["ts"] == deploy
    assert following["response_metadata"]["next_cursor"] == ""
    assert error(sdk.search_messages, query="shop", cursor="x") == "invalid_cursor"
    assert error(sdk.search_messages, query="") == "no_query"
    assert error(sdk.search_messages, query="shop", page=0) == "invalid_arguments"
    everything = sdk.search_all(query="shop")
    assert (everything["messages"]["total"], everything["files"]["total"], everything["posts"]["total"]) == (2, 1, 0)
    assert sdk.search_files(query="run in:engineering from:me")["files"]["matches"][0]["name"] == "shop.log"
    assert sdk.search_files(query="run in:general")["files"]["total"] == 0
    assert sdk.reactions_list()["items"][0]["message"]["ts"] == deploy
    assert sdk.reactions_list(user="U0ADA", page=1)["paging"]["total"] == 0


def test_files_are_listed_and_deleted(workspace: Service, sdk: WebClient) -> None:
    for name, channel in (("a.png", "C0ENG"), ("b.txt", "C0ENG"), ("c.txt", "C0GEN")):
        sdk.files_upload_v2(channel=channel, filename=name, content="x")
        workspace.world.advance(60_000)

    def names(**options: Any) -> list[str]:
        return [one["name"] for one in sdk.files_list(**options)["files"]]

    assert names() == ["c.txt", "b.txt", "a.png"]
    assert names(channel="C0ENG") == ["b.txt", "a.png"]
    assert names(types=["images"]) == ["a.png"]
    assert names(user="U0ADA") == []
    assert names(ts_from=str(NOW + 30), ts_to=str(NOW + 90)) == ["b.txt"]
    assert names(count=2, page=2) == ["a.png"]
    assert sdk.files_list(count=2)["paging"] == {"count": 2, "total": 3, "page": 1, "pages": 2}
    gone = sdk.files_list(channel="C0GEN")["files"][0]["id"]
    sdk.files_delete(file=gone)
    assert error(sdk.files_delete, file=gone) == "file_not_found"
    assert error(sdk.files_info, file=gone) == "file_not_found"
    assert messages(workspace.world, "general")[0]["files"] == []
    assert names() == ["b.txt", "a.png"]


def test_a_revoked_token_is_good_for_nothing_more(slack: Slack) -> None:
    workspace = slack(seed=SEED)
    sdk = client(workspace)
    assert sdk.auth_revoke(test=True)["revoked"] is False
    assert sdk.auth_test()["ok"] is True
    assert sdk.auth_revoke()["revoked"] is True
    assert error(sdk.auth_test) == "token_revoked"
    assert "rotate the connection's credential" in str(workspace.bench.last().hint)


SCOPES: dict[str, tuple[str, Callable[[WebClient], Any]]] = {
    "links:write": ("unfurl", lambda sdk: sdk.chat_unfurl(channel="C0ENG", ts="1.000001", unfurls={"x": {}})),
    "pins:write": ("pin", lambda sdk: sdk.pins_add(channel="C0ENG", timestamp="1.000001")),
    "pins:read": ("pins", lambda sdk: sdk.pins_list(channel="C0ENG")),
    "bookmarks:write": ("bookmark", lambda sdk: sdk.bookmarks_add(channel_id="C0ENG", title="x", type="link")),
    "bookmarks:read": ("bookmarks", lambda sdk: sdk.bookmarks_list(channel_id="C0ENG")),
    "reminders:write": ("remind", lambda sdk: sdk.reminders_add(text="x", time="60")),
    "reminders:read": ("reminders", lambda sdk: sdk.reminders_list()),
    "usergroups:write": ("group", lambda sdk: sdk.usergroups_create(name="x")),
    "usergroups:read": ("groups", lambda sdk: sdk.usergroups_list()),
    "search:read": ("search", lambda sdk: sdk.search_messages(query="x")),
    "users.profile:read": ("profile", lambda sdk: sdk.users_profile_get()),
    "users.profile:write": ("set profile", lambda sdk: sdk.users_profile_set(name="title", value="x")),
    "users:write": ("presence", lambda sdk: sdk.users_setPresence(presence="auto")),
    "dnd:read": ("dnd", lambda sdk: sdk.dnd_info()),
    "emoji:read": ("emoji", lambda sdk: sdk.emoji_list()),
    "channels:manage": ("archive", lambda sdk: sdk.conversations_archive(channel="C0ENG")),
    "groups:write": ("archive private", lambda sdk: sdk.conversations_archive(channel="C0BOARD")),
}


def test_each_family_wants_its_scope(slack: Slack) -> None:
    sdk = client(slack(seed=SEED, scopes=("team:read",)))
    for needed, (_, call) in SCOPES.items():
        with pytest.raises(SlackApiError) as caught:
            call(sdk)
        reply = caught.value.response
        assert (reply["error"], reply["needed"], reply["provided"]) == ("missing_scope", needed, "team:read")


def test_narrow_scopes_do_for_topics_and_invitations(slack: Slack) -> None:
    sdk = client(slack(seed=SEED, scopes=("channels:write.topic", "channels:write.invites")))
    assert sdk.conversations_setTopic(channel="C0ENG", topic="x")["ok"] is True
    assert sdk.conversations_invite(channel="C0ENG", users="U0EVE")["ok"] is True
    assert error(sdk.conversations_kick, channel="C0ENG", user="U0EVE") == "missing_scope"
