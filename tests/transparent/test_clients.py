"""Every client reaches the world under its real name, whenever it was made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator
from stack_emu.transparent import transparent
from tests.transparent.clients import ASYNC, SYNC


def _bounded(work: Awaitable[None]) -> None:
    async def run() -> None:
        await asyncio.wait_for(work, 60)

    asyncio.run(run())


@pytest.mark.parametrize("name", SYNC)
def test_a_client_made_before_the_block_reaches_the_world(emulator: Emulator, blue: WorldClient, name: str) -> None:
    make, use = SYNC[name]
    with make() as client, transparent(emulator, "blue"):
        assert use(client) == "blue"


@pytest.mark.parametrize("name", SYNC)
def test_a_client_made_inside_the_block_reaches_the_world(emulator: Emulator, blue: WorldClient, name: str) -> None:
    make, use = SYNC[name]
    with transparent(emulator, "blue"), make() as client:
        assert [use(client), use(client)] == ["blue", "blue"]


@pytest.mark.parametrize("name", SYNC)
def test_a_client_that_lives_on_follows_from_world_to_world(
    emulator: Emulator, blue: WorldClient, red: WorldClient, name: str
) -> None:
    make, use = SYNC[name]
    with make() as before:
        with transparent(emulator, "blue"):
            assert use(before) == "blue"
        with transparent(emulator, "red"), make() as inside:
            assert use(before) == "red"
            assert use(inside) == "red"
            with transparent(emulator, "blue"):
                assert [use(before), use(inside)] == ["blue", "blue"]
            assert [use(before), use(inside)] == ["red", "red"]


# asyncio of Python 3.10 says so of every pooled TLS connection that the other side closes.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*_SSLProtocolTransport:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("name", ASYNC)
def test_an_async_client_reaches_the_world_whenever_it_was_made(
    emulator: Emulator, blue: WorldClient, red: WorldClient, name: str
) -> None:
    make, use = ASYNC[name]

    async def work() -> None:
        async with make() as before:
            with transparent(emulator, "blue"):
                assert await use(before) == "blue"
            with transparent(emulator, "red"):
                async with make() as inside:
                    assert await use(before) == "red"
                    assert await use(inside) == "red"
                    with transparent(emulator, "blue"):
                        assert [await use(before), await use(inside)] == ["blue", "blue"]
                    assert [await use(before), await use(inside)] == ["red", "red"]

    _bounded(work())


def test_many_async_calls_at_once_all_reach_the_world(emulator: Emulator, blue: WorldClient) -> None:
    make, use = ASYNC["httpx"]

    async def work() -> None:
        async with make() as client:
            with transparent(emulator, "blue"):
                assert set(await asyncio.gather(*(use(client) for _ in range(40)))) == {"blue"}

    _bounded(work())


@pytest.mark.parametrize("when", ["before", "inside"])
def test_slacks_sdk_gets_the_answer_of_a_call_around_stack(emulator: Emulator, blue: WorldClient, when: str) -> None:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

    before = WebClient(token="xoxb-mine")
    with transparent(emulator, "blue"):
        client = before if when == "before" else WebClient(token="xoxb-mine")
        with pytest.raises(SlackApiError) as refused:
            client.chat_postMessage(channel="#engineering", text="hello")
    assert refused.value.response["error"] in ("invalid_auth", "not_authed")
    assert [entry["path"] for entry in blue.upstream("slack").requests] == ["/api/chat.postMessage"]
    assert [failure["kind"] for failure in blue.verdict()["failures"]] == ["bypass"]


@pytest.mark.parametrize("when", ["before", "inside"])
def test_slacks_async_sdk_gets_the_answer_of_a_call_around_stack(
    emulator: Emulator, blue: WorldClient, when: str
) -> None:
    from slack_sdk.errors import SlackApiError
    from slack_sdk.web.async_client import AsyncWebClient

    async def work() -> None:
        before = AsyncWebClient(token="xoxb-mine")
        with transparent(emulator, "blue"):
            client = before if when == "before" else AsyncWebClient(token="xoxb-mine")
            with pytest.raises(SlackApiError) as refused:
                await client.auth_test()
        assert refused.value.response["error"] in ("invalid_auth", "not_authed")

    _bounded(work())
    assert [entry["path"] for entry in blue.upstream("slack").requests] == ["/api/auth.test"]
