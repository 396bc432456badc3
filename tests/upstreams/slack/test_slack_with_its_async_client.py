"""Slack's asynchronous client reaches every served method."""

from __future__ import annotations

import asyncio

from slack_sdk.web.async_client import AsyncWebClient

from stack_emu.upstreams.slack.methods import METHODS
from tests.upstreams.conftest import TOKEN, Service
from tests.upstreams.slack_client import DAY, HOME, MODAL, NOW


def test_the_asynchronous_client_reaches_every_method(workspace: Service) -> None:
    async def run() -> None:
        sdk = AsyncWebClient(token=TOKEN, base_url=f"{workspace.base_url}/api/")
        await sdk.api_test()
        await sdk.auth_test()
        await sdk.team_info()
        posted = await sdk.chat_postMessage(channel="C0ENG", text="https://a.test", blocks=[{"type": "divider"}])
        here, place = {"channel": "C0ENG"}, {"channel": "C0ENG", "timestamp": posted["ts"]}
        await sdk.chat_update(**here, ts=posted["ts"], text="https://a.test")
        await sdk.chat_unfurl(**here, ts=posted["ts"], unfurls={"https://a.test": {"text": "a"}})
        await sdk.chat_getPermalink(**here, message_ts=posted["ts"])
        await sdk.chat_postEphemeral(**here, user="U0ADA", text="x")
        await sdk.chat_meMessage(**here, text="x")
        later = await sdk.chat_scheduleMessage(**here, text="x", post_at=NOW + DAY)
        await sdk.chat_scheduledMessages_list()
        await sdk.chat_deleteScheduledMessage(**here, scheduled_message_id=later["scheduled_message_id"])
        await sdk.reactions_add(**place, name="tada")
        await sdk.reactions_get(**place)
        await sdk.reactions_list()
        await sdk.reactions_remove(**place, name="tada")
        await sdk.pins_add(**place)
        await sdk.pins_list(**here)
        await sdk.pins_remove(**place)
        await sdk.conversations_history(**here)
        await sdk.conversations_replies(**here, ts=posted["ts"])
        await sdk.chat_delete(**here, ts=posted["ts"])
        made = await sdk.conversations_create(name="tour")
        tour = {"channel": made["channel"]["id"]}
        await sdk.conversations_rename(**tour, name="tour-2")
        await sdk.conversations_setTopic(**tour, topic="x")
        await sdk.conversations_setPurpose(**tour, purpose="x")
        await sdk.conversations_invite(**tour, users="U0ADA")
        await sdk.conversations_members(**tour)
        await sdk.conversations_info(**tour)
        await sdk.conversations_mark(**tour, ts="1.000001")
        await sdk.conversations_kick(**tour, user="U0ADA")
        await sdk.conversations_archive(**tour)
        await sdk.conversations_unarchive(**tour)
        await sdk.conversations_leave(**tour)
        await sdk.conversations_join(**tour)
        await sdk.conversations_list()
        direct = await sdk.conversations_open(users="U0ADA")
        await sdk.conversations_close(channel=direct["channel"]["id"])
        await sdk.users_list()
        await sdk.users_info(user="U0ADA")
        await sdk.users_lookupByEmail(email="ada@acme.test")
        await sdk.users_conversations()
        await sdk.users_profile_get()
        await sdk.users_profile_set(name="title", value="x")
        await sdk.users_getPresence(user="U0ADA")
        await sdk.users_setPresence(presence="auto")
        await sdk.dnd_info()
        await sdk.emoji_list()
        await sdk.bots_info(bot=(await sdk.auth_test())["bot_id"])
        mark = await sdk.bookmarks_add(channel_id="C0ENG", title="x", type="link", link="https://a.test")
        where = {"channel_id": "C0ENG", "bookmark_id": mark["bookmark"]["id"]}
        await sdk.bookmarks_edit(**where, title="y")
        await sdk.bookmarks_list(channel_id="C0ENG")
        await sdk.bookmarks_remove(**where)
        await sdk.files_upload_v2(channel="C0ENG", filename="a.md", content="# hi")
        file = (await sdk.files_list())["files"][0]["id"]
        await sdk.files_info(file=file)
        await sdk.search_all(query="x")
        await sdk.search_files(query="x")
        await sdk.search_messages(query="x")
        await sdk.files_delete(file=file)
        reminder = (await sdk.reminders_add(text="x", time="60"))["reminder"]["id"]
        await sdk.reminders_info(reminder=reminder)
        await sdk.reminders_list()
        await sdk.reminders_complete(reminder=reminder)
        await sdk.reminders_delete(reminder=reminder)
        group = (await sdk.usergroups_create(name="x"))["usergroup"]["id"]
        await sdk.usergroups_update(usergroup=group, name="y")
        await sdk.usergroups_users_update(usergroup=group, users="U0ADA")
        await sdk.usergroups_users_list(usergroup=group)
        await sdk.usergroups_list()
        await sdk.usergroups_disable(usergroup=group)
        await sdk.usergroups_enable(usergroup=group)
        view = (await sdk.views_open(trigger_id="1.1.a", view=MODAL))["view"]["id"]
        await sdk.views_push(trigger_id="1.2.a", view=MODAL)
        await sdk.views_update(view_id=view, view=MODAL)
        await sdk.views_publish(user_id="U0ADA", view=HOME)
        await sdk.auth_revoke()

    asyncio.run(run())
    reached = {str(one.route).rpartition("/")[2] for one in workspace.entries}
    assert set(METHODS) - reached == set()
    assert workspace.world.journal.violations() == []
