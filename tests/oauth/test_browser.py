"""The pages in a real browser: headless Chromium clicks them, and the ``mcp`` client or STACK's SDK goes on from there."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from playwright.async_api import Page, async_playwright
from pydantic import AnyUrl

from tests.oauth.test_mcp_client import AGENTS, Memory, call
from tests.oauth.test_sdk import first_run

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; .ci/run installs one")
CLICKING = f"""\
import sys
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    options = ["--no-sandbox", "--no-proxy-server"]
    browser = playwright.chromium.launch(executable_path={CHROMIUM!r}, headless=True, args=options)
    page = browser.new_page()
    page.goto(sys.argv[1])
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url("http://127.0.0.1:*/c*")
    browser.close()
"""
"""What the SDK opens as the machine's browser: somebody who approves what they are shown."""
ASKING = AGENTS + "oauth: {consent: page}\n"


@asynccontextmanager
async def browser_page() -> AsyncIterator[Page]:
    """A page of a fresh headless browser."""
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--no-proxy-server"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=options)
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


class Landing:
    """The client's own listener on loopback, to which the browser is sent back."""

    def __init__(self) -> None:
        self.arrived: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]

    async def __aenter__(self) -> Landing:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        while (await reader.readline()).strip():
            pass
        query = {name: value[0] for name, value in parse_qs(urlsplit(line.split(" ")[1]).query).items()}
        if not self.arrived.done() and query:
            self.arrived.set_result(query)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGo back.")
        await writer.drain()
        writer.close()


class Person:
    """Somebody in front of the browser.

    Args:
        page: the browser's page.
        button: what they click.
        landing: where that leads.
    """

    def __init__(self, page: Page, button: str, landing: Landing) -> None:
        self.page, self.button, self.landing = page, button, landing
        self.read = ""

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        self.read = await self.page.inner_text("body")
        await self.page.get_by_role("button", name=self.button).click()

    async def callback(self) -> AuthorizationCodeResult:
        sent = await asyncio.wait_for(self.landing.arrived, 20)
        if "error" in sent:
            raise PermissionError(sent["error"])
        return AuthorizationCodeResult(code=sent["code"], state=sent["state"], iss=sent["iss"])


async def sign_in(base: str, button: str, tool: str) -> tuple[Person, Any]:
    """Call a tool as a client that knows nothing yet; the person clicks what they are asked."""
    async with browser_page() as page, Landing() as landing:
        person = Person(page, button, landing)
        metadata = OAuthClientMetadata(
            client_name="Desk", redirect_uris=[AnyUrl(f"http://127.0.0.1:{landing.port}/callback")]
        )
        auth = OAuthClientProvider(f"{base}/mcp", metadata, Memory(), person.open, person.callback)
        try:
            return person, await call(f"{base}/mcp", auth, tool, {})
        except BaseException as error:
            while hasattr(error, "exceptions"):  # task groups wrap what went wrong in groups
                error = error.exceptions[0]
            return person, error


def test_approve_leads_from_the_401_to_the_tools_answer(serve: Callable[..., Any]) -> None:
    served = serve(ASKING)
    person, result = asyncio.run(sign_in(served.base_url, "Approve", "stack_list_agents"))
    assert not result.is_error
    assert [agent["id"] for agent in json.loads(result.content[0].text)] == ["agt_one"]
    assert "Desk" in person.read
    assert "agents:read" in person.read
    signed_in = ["oauth.register", "oauth.authorize", "oauth.consent", "oauth.token"]
    assert [row.action for row in served.rows()] == signed_in


def test_deny_sends_the_client_away(serve: Callable[..., Any]) -> None:
    served = serve(ASKING)
    _, result = asyncio.run(sign_in(served.base_url, "Deny", "stack_list_agents"))
    assert isinstance(result, PermissionError)
    assert str(result) == "access_denied"
    assert [row.action for row in served.rows()] == ["oauth.register", "oauth.authorize", "oauth.consent"]


@pytest.mark.parametrize("agent_id", ["-", "agt_one"], ids=["the account", "an agent"])
def test_the_sdk_is_let_in_by_a_person_at_the_page_it_opens(
    serve: Callable[..., Any], tmp_path: Path, agent_id: str
) -> None:
    """SDK 4.0.0's first run at a terminal: signing in at the consent page, or enrolling an agent at ``/sdk-bootstrap``."""
    served = serve(ASKING)
    code, said = first_run(tmp_path, served.base_url, agent_id, CLICKING)
    assert code == 0, said
    assert "SEEN" in said
    left = ".stack/credentials.json" if agent_id == "-" else f".stack/agents/{agent_id}.json"
    assert (tmp_path / left).exists()
    assert ("agent.enroll" in [row.action for row in served.rows()]) == (agent_id != "-")
