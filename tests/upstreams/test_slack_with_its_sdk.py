"""Slack's own Python SDK talks to the fake workspace as it does to slack.com."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import client as web_client
from slack_sdk.web.async_client import AsyncWebClient

from stack_emu.upstreams.slack import channels, messages
from stack_emu.upstreams.slack.methods import METHODS, is_deprecated, may_exist

from .conftest import TOKEN, Service

Slack = Callable[..., Service]


def client(workspace: Service, token: str | None = TOKEN) -> WebClient:
    return WebClient(token=token, base_url=f"{workspace.base_url}/api/")


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(SlackApiError) as caught:
        call()
    data = caught.value.response.data
    assert isinstance(data, dict)
    return data


def error(call: Callable[[], Any]) -> str:
    return str(refusal(call)["error"])


def test_auth_test_and_team_info_say_whose_token_it_is(slack: Slack) -> None:
    sdk = client(slack())
    who = sdk.auth_test()
    assert who["ok"] is True
    assert (who["team"], who["user"], who["url"]) == ("Acme", "deployer", "https://acme.slack.com/")
    assert who["user_id"].startswith("U0")
    assert who["bot_id"].startswith("B0")
    assert sdk.team_info()["team"]["id"] == who["team_id"]
    assert sdk.users_info(user=who["user_id"])["user"]["is_bot"] is True
    assert error(lambda: sdk.team_info(team="T0OTHER")) == "team_not_found"
    assert sdk.api_test(foo="bar")["args"] == {"foo": "bar"}


def test_a_posted_message_is_in_the_history_and_can_be_changed_and_deleted(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    for channel in ("#engineering", "engineering", "C0ENG"):
        assert sdk.chat_postMessage(channel=channel, text=f"to {channel}")["channel"] == "C0ENG"
    first = messages(workspace.world, "#engineering")[0]
    posted = sdk.conversations_history(channel="C0ENG")["messages"]
    assert [one["text"] for one in posted] == ["to C0ENG", "to engineering", "to #engineering"]
    assert posted[0]["bot_profile"]["name"] == "deployer"

    block = {"type": "divider"}
    changed = sdk.chat_update(channel="C0ENG", ts=first["ts"], text="changed", blocks=[block])
    assert (changed["ts"], changed["text"]) == (first["ts"], "changed")
    assert changed["message"]["edited"]["user"] == sdk.auth_test()["user_id"]
    assert sdk.chat_update(channel="C0ENG", ts=first["ts"], text="again")["message"]["blocks"] == [block]
    assert "blocks" not in sdk.chat_update(channel="C0ENG", ts=first["ts"], text="bare", blocks=[])["message"]

    link = sdk.chat_getPermalink(channel="C0ENG", message_ts=first["ts"])["permalink"]
    assert link == f"https://acme.slack.com/archives/C0ENG/p{first['ts'].replace('.', '')}"
    sdk.chat_delete(channel="C0ENG", ts=first["ts"])
    assert len(messages(workspace.world, "engineering")) == 2
    assert error(lambda: sdk.chat_update(channel="C0ENG", ts=first["ts"], text="x")) == "message_not_found"
    assert error(lambda: sdk.chat_delete(channel="C0ENG", ts=first["ts"])) == "message_not_found"


def test_replies_stand_in_their_thread_and_only_broadcast_ones_in_the_history(slack: Slack) -> None:
    sdk = client(slack())
    parent = sdk.chat_postMessage(channel="C0ENG", text="deploy?")["ts"]
    reply = sdk.chat_postMessage(channel="C0ENG", text="yes", thread_ts=parent)
    assert reply["message"]["thread_ts"] == parent
    assert reply["ts"] > parent
    also = sdk.chat_postMessage(channel="C0ENG", text="done", thread_ts=reply["ts"], reply_broadcast=True)
    assert also["message"]["thread_ts"] == parent

    thread = sdk.conversations_replies(channel="C0ENG", ts=also["ts"])["messages"]
    assert [one["text"] for one in thread] == ["deploy?", "yes", "done"]
    assert (thread[0]["reply_count"], thread[0]["latest_reply"]) == (2, also["ts"])
    history = sdk.conversations_history(channel="C0ENG")["messages"]
    assert [one["text"] for one in history] == ["done", "deploy?"]
    assert history[1]["reply_count"] == 2
    assert error(lambda: sdk.conversations_replies(channel="C0ENG", ts="1.000001")) == "thread_not_found"
    assert error(lambda: sdk.chat_postMessage(channel="C0ENG", text="x", thread_ts="1.000001")) == "thread_not_found"


def test_history_is_paged_by_cursor_and_bounded_by_messages_or_instants(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    stamps = []
    for number in range(5):
        stamps.append(sdk.chat_postMessage(channel="C0ENG", text=str(number))["ts"])
        workspace.world.advance(60_000)
    pages = [[one["text"] for one in page["messages"]] for page in sdk.conversations_history(channel="C0ENG", limit=2)]
    assert pages == [["4", "3"], ["2", "1"], ["0"]]

    def texts(**bounds: Any) -> list[str]:
        return [one["text"] for one in sdk.conversations_history(channel="C0ENG", **bounds)["messages"]]

    assert texts(oldest=stamps[3]) == ["4"]
    assert texts(oldest=stamps[3], inclusive=True) == ["4", "3"]
    assert texts(latest=stamps[1]) == ["0"]
    assert texts(latest=stamps[1], oldest=stamps[1], inclusive=True) == ["1"]
    start = workspace.world.clock.start_ms / 1000
    assert texts(oldest=str(start + 90)) == ["4", "3", "2"]
    assert texts(latest=str(start + 90)) == ["1", "0"]
    assert texts(latest=str(start + 60), inclusive=True) == ["1", "0"]
    assert error(lambda: texts(oldest="soon")) == "invalid_ts_oldest"
    assert error(lambda: texts(latest="late")) == "invalid_ts_latest"
    for cursor in ("nonsense!", "bmV4dF90czox", "dXNlcjpVMQ=="):
        assert error(lambda cursor=cursor: texts(cursor=cursor)) == "invalid_cursor"
    assert error(lambda: texts(limit=1001)) == "invalid_limit"
    assert error(lambda: texts(limit="many")) == "invalid_arguments"


def test_conversations_are_listed_by_kind_and_paged(slack: Slack) -> None:
    sdk = client(slack())
    assert [one["name"] for one in sdk.conversations_list()["channels"]] == ["engineering", "random", "old"]
    assert [one["name"] for one in sdk.conversations_list(types="private_channel")["channels"]] == ["board"]
    live = sdk.conversations_list(exclude_archived=True)["channels"]
    assert [(one["name"], one["is_member"], one["num_members"]) for one in live] == [
        ("engineering", True, 2),
        ("random", False, 0),
    ]
    assert [len(page["channels"]) for page in sdk.conversations_list(limit=2)] == [2, 1]
    engineering = sdk.conversations_info(channel="C0ENG", include_num_members=True)["channel"]
    assert (engineering["topic"]["value"], engineering["num_members"]) == ("ships", 2)
    assert "U0ADA" in sdk.conversations_members(channel="C0ENG")["members"]
    assert [len(page["members"]) for page in sdk.conversations_members(channel="C0ENG", limit=1)] == [1, 1]
    assert error(lambda: sdk.conversations_list(types="secret_channel")) == "invalid_types"
    assert error(lambda: sdk.conversations_info(channel="C0SECRET")) == "channel_not_found"


def test_channels_are_created_and_joined(slack: Slack) -> None:
    sdk = client(slack())
    made = sdk.conversations_create(name="incident-7")["channel"]
    assert made["id"].startswith("C0")
    assert len(made["id"]) == 11
    assert (made["is_member"], made["is_private"]) == (True, False)
    assert sdk.conversations_create(name="hush", is_private=True)["channel"]["is_private"] is True
    sdk.chat_postMessage(channel=made["id"], text="it is on")
    assert error(lambda: sdk.conversations_create(name="incident-7")) == "name_taken"
    for name, word in {
        "": "invalid_name_required",
        "Shout": "invalid_name_specials",
        "a b": "invalid_name_specials",
        "--": "invalid_name_punctuation",
        "x" * 81: "invalid_name_maxlength",
    }.items():
        assert error(lambda name=name: sdk.conversations_create(name=name)) == word

    assert error(lambda: sdk.chat_postMessage(channel="#random", text="hi")) == "not_in_channel"
    assert error(lambda: sdk.conversations_history(channel="C0RANDOM")) == "not_in_channel"
    assert sdk.conversations_join(channel="C0RANDOM")["channel"]["is_member"] is True
    assert sdk.conversations_join(channel="C0RANDOM")["warning"] == "already_in_channel"
    sdk.chat_postMessage(channel="#random", text="hi")
    assert error(lambda: sdk.conversations_join(channel="C0OLD")) == "is_archived"
    assert error(lambda: sdk.conversations_join(channel="C0BOARD")) == "method_not_supported_for_channel_type"
    assert error(lambda: sdk.conversations_join(channel="C0NONE")) == "channel_not_found"


def test_direct_conversations_are_the_same_ones_whoever_opens_them(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    opened = sdk.conversations_open(users="U0ADA", return_im=True)
    assert opened["channel"]["user"] == "U0ADA"
    again = sdk.conversations_open(users=["U0ADA"])
    assert (again["already_open"], again["channel"]["id"]) == (True, opened["channel"]["id"])
    assert sdk.conversations_open(channel=opened["channel"]["id"])["no_op"] is True
    assert sdk.chat_postMessage(channel="U0ADA", text="psst")["channel"] == opened["channel"]["id"]
    group = sdk.conversations_open(users="U0ADA,U0BOB", return_im=True)["channel"]
    assert (group["is_mpim"], group["name"]) == (True, "mpdm-ada--bob--deployer-1")
    assert [one["text"] for one in messages(workspace.world, opened["channel"]["id"])] == ["psst"]
    assert error(lambda: sdk.conversations_open(users="U0NOBODY")) == "user_not_found"
    assert error(lambda: sdk.conversations_open(channel="C0ENG")) == "method_not_supported_for_channel_type"
    assert error(lambda: sdk.api_call("conversations.open")) == "users_list_not_supplied"
    assert error(lambda: sdk.conversations_open(users=["U0ADA"] * 9)) == "too_many_users"


def test_users_are_listed_found_and_keep_their_mail_address_behind_its_scope(slack: Slack) -> None:
    sdk = client(slack())
    assert [one["name"] for one in sdk.users_list()["members"]] == ["deployer", "ada", "bob"]
    assert [len(page["members"]) for page in sdk.users_list(limit=2)] == [2, 1]
    ada = sdk.users_info(user="U0ADA")["user"]
    assert (ada["profile"]["email"], ada["profile"]["last_name"], ada["is_admin"]) == (
        "ada@acme.test",
        "Lovelace",
        True,
    )
    assert sdk.users_lookupByEmail(email="ada@acme.test")["user"]["id"] == "U0ADA"
    assert error(lambda: sdk.users_lookupByEmail(email="bob@acme.test")) == "users_not_found"
    assert error(lambda: sdk.users_info(user="U0NOBODY")) == "user_not_found"

    narrow = client(slack(scopes=("users:read",)))
    assert "email" not in narrow.users_info(user="U0ADA")["user"]["profile"]


def test_reactions_are_added_read_and_removed(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    stamp = sdk.chat_postMessage(channel="C0ENG", text="shipped")["ts"]
    sdk.reactions_add(channel="C0ENG", timestamp=stamp, name=":tada:")
    sdk.reactions_add(channel="C0ENG", timestamp=stamp, name="+1::skin-tone-2")
    shown = sdk.reactions_get(channel="C0ENG", timestamp=stamp)["message"]
    bot = sdk.auth_test()["user_id"]
    assert shown["reactions"][0] == {"name": "tada", "users": [bot], "count": 1}
    assert "tada" in messages(workspace.world, "engineering")[0]["reactions"]

    def add(**changes: Any) -> Callable[[], Any]:
        return lambda: sdk.reactions_add(**{"channel": "C0ENG", "timestamp": stamp, "name": "tada", **changes})

    assert error(add()) == "already_reacted"
    assert error(add(name="No Such!")) == "invalid_name"
    assert error(add(timestamp="yesterday")) == "bad_timestamp"
    assert error(add(timestamp="1.000001")) == "message_not_found"
    assert error(lambda: sdk.reactions_add(name="tada", channel="", timestamp=stamp)) == "no_item_specified"
    sdk.reactions_remove(channel="C0ENG", timestamp=stamp, name="tada")
    assert error(lambda: sdk.reactions_remove(channel="C0ENG", timestamp=stamp, name="tada")) == "no_reaction"
    assert len(sdk.reactions_get(channel="C0ENG", timestamp=stamp)["message"]["reactions"]) == 1


def test_a_file_is_uploaded_to_the_address_it_was_given_and_shared_with_a_comment(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    parent = sdk.chat_postMessage(channel="C0ENG", text="logs?")["ts"]
    data = bytes(range(256)) + b"\r\n--\r\n"
    done = sdk.files_upload_v2(
        channel="C0ENG", filename="run.log", title="The run", content=data, initial_comment="here", thread_ts=parent
    )
    assert (done["file"]["name"], done["file"]["title"], done["file"]["size"]) == ("run.log", "The run", len(data))
    assert done["file"]["mimetype"] == "text/plain"
    assert sdk.files_info(file=done["file"]["id"])["file"]["channels"] == ["C0ENG"]
    shared = messages(workspace.world, "engineering")[1]
    assert (shared["text"], shared["thread_ts"]) == ("here", parent)
    assert shared["files"] == [{"name": "run.log", "title": "The run", "content": data}]
    both = sdk.files_upload_v2(
        channel="C0BOARD", file_uploads=[{"filename": "a.txt", "content": "a"}, {"filename": "b.bin", "content": b"b"}]
    )
    assert [one["filetype"] for one in both["files"]] == ["text", "binary"]

    pending = sdk.files_getUploadURLExternal(filename="a.txt", length=3)
    assert pending["upload_url"].startswith(f"{workspace.base_url}/upload/v1/")
    unsent = [{"id": pending["file_id"]}]
    assert error(lambda: sdk.files_completeUploadExternal(files=unsent, channel_id="C0ENG")) == "file_not_found"
    assert error(lambda: sdk.files_info(file=pending["file_id"])) == "file_not_found"
    assert error(lambda: sdk.files_getUploadURLExternal(filename="a.txt", length=0)) == "invalid_arguments"
    assert error(lambda: sdk.files_completeUploadExternal(files=[], channel_id="C0RANDOM")) == "not_in_channel"


def test_an_ephemeral_message_is_in_no_history(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    stamp = sdk.chat_postEphemeral(channel="C0ENG", user="U0ADA", text="only you")["message_ts"]
    assert sdk.conversations_history(channel="C0ENG")["messages"] == []
    assert messages(workspace.world, "#engineering")[0]["ephemeral_to"] == "U0ADA"
    assert error(lambda: sdk.chat_update(channel="C0ENG", ts=stamp, text="x")) == "message_not_found"
    assert error(lambda: sdk.chat_postEphemeral(channel="C0ENG", user="U0BOB", text="x")) == "user_not_in_channel"


def test_seeded_messages_belong_to_their_authors(slack: Slack) -> None:
    workspace = slack()
    assert [(one["author"], one["text"]) for one in messages(workspace.world, "old")] == [
        ("deployer", "last words"),
        ("ada", "bye"),
    ]
    sdk = client(workspace)
    bye = sdk.conversations_history(channel="C0OLD")["messages"][0]
    assert (bye["user"], bye["ts"]) == ("U0ADA", "1767225660.000000")
    assert error(lambda: sdk.chat_update(channel="C0OLD", ts=bye["ts"], text="x")) == "is_archived"
    named = {one["name"]: one for one in channels(workspace.world)}
    assert (named["old"]["archived"], named["secret"]["kind"]) == (True, "private")
    with pytest.raises(KeyError, match=r"there is no channel '#nowhere' in upstream slack; there are: #engineering"):
        messages(workspace.world, "#nowhere")


def test_messages_of_others_cannot_be_changed(slack: Slack) -> None:
    seed = {
        "users": ["ada"],
        "channels": [{"name": "general", "id": "C0GEN", "messages": [{"user": "ada", "text": "mine"}]}],
    }
    sdk = client(slack(seed=seed))
    stamp = sdk.conversations_history(channel="C0GEN")["messages"][0]["ts"]
    assert error(lambda: sdk.chat_update(channel="C0GEN", ts=stamp, text="yours")) == "cant_update_message"
    assert error(lambda: sdk.chat_delete(channel="C0GEN", ts=stamp)) == "cant_delete_message"


def test_posting_is_refused_in_slacks_words(slack: Slack) -> None:
    sdk = client(slack())
    assert error(lambda: sdk.chat_postMessage(channel="#nowhere", text="x")) == "channel_not_found"
    assert error(lambda: sdk.chat_postMessage(channel="#secret", text="x")) == "channel_not_found"
    assert error(lambda: sdk.chat_postMessage(channel="#old", text="x")) == "is_archived"
    assert error(lambda: sdk.api_call("chat.postMessage", params={"channel": "C0ENG"})) == "no_text"
    assert error(lambda: sdk.chat_postMessage(channel="C0ENG", text="x" * 40_001)) == "msg_too_long"
    assert error(lambda: sdk.api_call("chat.postMessage", params={"channel": "C0ENG", "blocks": "{"})) == (
        "invalid_blocks_format"
    )
    missing = refusal(lambda: sdk.api_call("chat.postMessage", params={"text": "x"}))
    assert missing["error"] == "invalid_arguments"
    assert missing["response_metadata"]["messages"] == ["[ERROR] missing required field: channel"]


def test_tokens_are_checked_before_anything_else(slack: Slack) -> None:
    workspace = slack()
    assert error(client(workspace, "xoxb-somebody-elses").auth_test) == "invalid_auth"
    assert error(client(workspace, None).auth_test) == "not_authed"
    assert client(workspace, None).api_test()["ok"] is True
    assert list(workspace.world.redactor.names_in(str(list(workspace.world.journal.entries())))) == []


@pytest.mark.parametrize(
    ("call", "needed"),
    [
        (lambda sdk: sdk.chat_postMessage(channel="C0ENG", text="x"), "chat:write"),
        (lambda sdk: sdk.conversations_list(), "channels:read"),
        (lambda sdk: sdk.conversations_list(types="private_channel"), "groups:read"),
        (lambda sdk: sdk.conversations_history(channel="C0ENG"), "channels:history"),
        (lambda sdk: sdk.conversations_history(channel="C0BOARD"), "groups:history"),
        (lambda sdk: sdk.conversations_create(name="x"), "channels:manage"),
        (lambda sdk: sdk.conversations_create(name="x", is_private=True), "groups:write"),
        (lambda sdk: sdk.conversations_join(channel="C0RANDOM"), "channels:join"),
        (lambda sdk: sdk.conversations_open(users="U0ADA"), "im:write"),
        (lambda sdk: sdk.users_list(), "users:read"),
        (lambda sdk: sdk.users_lookupByEmail(email="a@b.c"), "users:read.email"),
        (lambda sdk: sdk.reactions_add(name="x", channel="C0ENG", timestamp="1.000001"), "reactions:write"),
        (lambda sdk: sdk.reactions_get(channel="C0ENG", timestamp="1.000001"), "reactions:read"),
        (lambda sdk: sdk.files_getUploadURLExternal(filename="a", length=1), "files:write"),
        (lambda sdk: sdk.team_info(), "team:read"),
    ],
)
def test_a_missing_scope_is_named_with_those_provided(
    slack: Slack, call: Callable[[WebClient], Any], needed: str
) -> None:
    sdk = client(slack(scopes=("bookmarks:read", "pins:read")))
    assert refusal(lambda: call(sdk)) == {
        "ok": False,
        "error": "missing_scope",
        "needed": needed,
        "provided": "bookmarks:read,pins:read",
    }
    assert sdk.auth_test().headers["X-OAuth-Scopes"] == "bookmarks:read,pins:read"


def test_the_scope_for_public_channels_lets_the_bot_post_without_joining(slack: Slack) -> None:
    sdk = client(slack(scopes=("chat:write", "chat:write.public")))
    assert sdk.chat_postMessage(channel="#random", text="hello")["channel"] == "C0RANDOM"


@pytest.mark.filterwarnings("ignore:(channels.list|files.upload) is deprecated:UserWarning")
def test_methods_slack_lacks_withdrew_or_has_but_the_fake_has_not_are_told_apart(slack: Slack) -> None:
    workspace = slack()
    sdk = client(workspace)
    assert refusal(lambda: sdk.api_call("chat.postMesage")) == {
        "ok": False,
        "error": "unknown_method",
        "req_method": "chat.postMesage",
    }
    assert workspace.bench.last().hint == "Slack has no method chat.postMesage; did you mean chat.postMessage?"
    assert error(lambda: sdk.api_call("nonsense")) == "unknown_method"
    assert error(lambda: sdk.api_call("channels.list")) == "method_deprecated"
    assert error(lambda: sdk.api_call("files.upload")) == "method_deprecated"
    assert workspace.world.journal.violations() == []
    unserved = refusal(lambda: sdk.dnd_setSnooze(num_minutes=5))
    assert unserved["error"]["code"] == "UPSTREAM_UNMATCHED"
    assert workspace.bench.last().problem == "unmatched"
    assert "does not serve POST /api/dnd.setSnooze" in str(workspace.bench.last().hint)
    near = refusal(lambda: sdk.conversations_inviteShared(channel="C0ENG", emails="a@b.test"))
    assert near["error"]["code"] == "UPSTREAM_UNMATCHED", "a method Slack has is never called unknown"
    refusal(lambda: sdk.apps_connections_open(app_token=TOKEN))
    assert "apps.connections.open: it opens a WebSocket" in str(workspace.bench.last().hint)


def test_every_method_of_the_sdk_is_served_declined_or_left_to_a_family_that_is_not_served() -> None:
    source = inspect.getsource(web_client)
    known = set(re.findall(r'api_call\(\s*"([a-zA-Z.0-9]+)"', source))
    assert len(known) > 200
    assert [name for name in sorted(known) if not (name in METHODS or is_deprecated(name) or may_exist(name))] == []


def test_the_asynchronous_client_works_the_same(slack: Slack) -> None:
    workspace = slack()

    async def run() -> list[str]:
        sdk = AsyncWebClient(token=TOKEN, base_url=f"{workspace.base_url}/api/")
        await asyncio.gather(*(sdk.chat_postMessage(channel="#engineering", text=f"n{n}") for n in range(8)))
        await sdk.conversations_join(channel="C0RANDOM")
        await sdk.users_info(user="U0ADA")
        stamp = (await sdk.conversations_history(channel="C0ENG"))["messages"][0]["ts"]
        await sdk.reactions_add(channel="C0ENG", timestamp=stamp, name="tada")
        done = await sdk.files_upload_v2(channel="C0ENG", filename="a.md", content="# hi")
        assert done["file"]["filetype"] == "markdown"
        with pytest.raises(SlackApiError, match="channel_not_found"):
            await sdk.chat_postMessage(channel="#nowhere", text="x")
        return [
            one["text"]
            async for page in await sdk.conversations_history(channel="C0ENG", limit=3)
            for one in page["messages"]
        ]

    texts = asyncio.run(run())
    assert sorted(texts) == ["", *(f"n{n}" for n in range(8))]
