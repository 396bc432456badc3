"""The clients that agents are written with carry secrets no better than plain requests do: getstack, mcp and slack_sdk."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import getstack
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from stack_emu.client import WorldClient
from stack_emu.surfaces.host_gateway import HostGateway
from tests.conftest import Served
from tests.secrets.conftest import KEY, credential, leaks, passport_of, said
from tests.secrets.test_drill import forms_of
from tests.secrets.ways import WAYS, Tally

FEW = ("in clear", "base64", "hex", "URL-encoded", "JSON in JSON", "base64 of gzip")
"""What is encoded in other ways is the drill's matter; these are about what a client makes of a text."""


def echo(way: str) -> str:
    return f"https://mirror.test/echo?in=json&as={way}"


def hidden(shown: Any, way: str, secret: str) -> bool:
    """Whether what a client gave its caller is without the secret, read or printed."""
    texts = [str(shown).encode(), repr(shown).encode()]
    return not any(form in text for form in forms_of(way, secret) for text in texts)


def test_getstack_carries_none_out_and_brings_none_in(lair: Served) -> None:
    tally = Tally("getstack")
    slack, mirror = credential(lair, "scon_slack"), credential(lair, "scon_mirror")
    token = passport_of(lair)
    with getstack.Stack(base_url=lair.base_url, api_key=KEY) as stack:
        for number, way in enumerate(FEW):
            made = stack.agents.register(f"spy-{number}", description=WAYS[way](slack))
            told = leaks(lair)
            tally.note(any("scon_slack" in hint and "$.description" in hint for hint in told), f"register: {way}")
            tally.note(hidden(made.description, way, slack), f"register shows it: {way}")

            body = {"channel": "#random", "text": WAYS[way](mirror)}
            stack.proxy.post("slack", "https://slack.com/api/chat.postMessage", body=body, passport_token=token)
            tally.note(any("scon_mirror" in hint for hint in leaks(lair)), f"a message: {way}")

            reply = stack.proxy.get("mirror", echo(way), passport_token=token)
            tally.note(hidden(reply.body, way, mirror), f"an echo: {way}")
            tally.note(any("scon_mirror" in hint for hint in said(lair)), f"an echo is told: {way}")

            with pytest.raises(getstack.StackError) as refused:
                stack.agents.get(WAYS[way](slack).replace("/", "_"))
            tally.note(hidden(refused.value, way, slack), f"an error: {way}")
            leaks(lair)
    tally.end()


def test_the_mcp_client_carries_none_out_and_brings_none_in(lair: Served) -> None:
    tally = Tally("the mcp client")
    slack, mirror = credential(lair, "scon_slack"), credential(lair, "scon_mirror")
    world = WorldClient.connect(lair.base_url)

    async def attempts() -> None:
        async with world.mcp() as client:
            for number, way in enumerate(FEW):
                arguments = {"name": f"spy-{number}", "description": WAYS[way](slack)}
                made = await client.call_tool("stack_register_agent", arguments)
                told = leaks(lair)
                tally.note(any("scon_slack" in hint and "description" in hint for hint in told), f"register: {way}")
                tally.note(hidden(made, way, slack), f"register shows it: {way}")

                reply = await client.call_tool("stack_proxy_request", {"service": "mirror", "url": echo(way)})
                tally.note(hidden(reply, way, mirror), f"an echo: {way}")
                tally.note(any("scon_mirror" in hint for hint in said(lair)), f"an echo is told: {way}")
                tally.note(hidden(reply.structured_content, way, mirror), f"structured content: {way}")

    try:
        asyncio.run(attempts())
    finally:
        world.connection.close()
    tally.end()


@pytest.fixture
def gateway(lair: Served) -> Iterator[HostGateway]:
    """A gateway to the world, through which code that names slack.com reaches it."""

    async def begin() -> HostGateway:
        made = HostGateway(lair.server)
        await made.start()
        return made

    opened = asyncio.run_coroutine_threadsafe(begin(), lair.loop).result(20)
    yield opened
    asyncio.run_coroutine_threadsafe(opened.stop(), lair.loop).result(10)


def test_slack_s_sdk_carries_none_around_the_proxy(lair: Served, gateway: HostGateway) -> None:
    tally = Tally("slack_sdk")
    slack, mirror = credential(lair, "scon_slack"), credential(lair, "scon_mirror")
    trust = ssl.create_default_context(cafile=gateway.ca_file)
    for way in FEW:
        client = WebClient(token="xoxb-none", proxy=gateway.url(), ssl=trust)
        with pytest.raises(SlackApiError) as refused:
            client.chat_postMessage(channel="#random", text=WAYS[way](mirror))
        tally.note(hidden(refused.value, way, mirror), f"an error shows it: {way}")
        told = [str(entry.hint) for entry in lair.world.journal.entries(surface="upstream") if entry.problem == "leak"]
        tally.note(any("scon_mirror" in hint for hint in told), f"a message: {way}")
        lair.call(lair.world.journal.clear)
    for connection, secret in (("scon_slack", slack), ("scon_mirror", mirror)):
        client = WebClient(token=secret, proxy=gateway.url(), ssl=trust)
        with pytest.raises(SlackApiError) as refused:
            client.auth_test()
        tally.note(secret not in f"{refused.value}{refused.value.response!r}", f"as the token: {connection}")
        wrong = [entry for entry in lair.world.journal.violations() if entry.problem in ("leak", "bypass")]
        tally.note(any(connection in str(entry.hint) for entry in wrong), f"as the token is told: {connection}")
        tally.note(secret not in str([vars(entry) for entry in wrong]), f"the journal shows it: {connection}")
        lair.call(lair.world.journal.clear)
    tally.end()
