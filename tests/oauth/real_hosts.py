"""An MCP client that signs itself in at STACK's real addresses, and nothing that says it talks to an emulator."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from pydantic import AnyUrl

MCP_URL = "https://mcp.getstack.run/mcp"


class Memory:
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Browser:
    async def open(self, url):
        asked = urlsplit(url)
        print("authorize at", f"{asked.scheme}://{asked.netloc}{asked.path}")
        print("resource", parse_qs(asked.query)["resource"][0])
        async with httpx.AsyncClient() as http:
            reply = await http.get(url)
        self.sent = {name: value[0] for name, value in parse_qs(urlsplit(reply.headers["Location"]).query).items()}

    async def callback(self):
        print("issuer", self.sent["iss"])
        return AuthorizationCodeResult(code=self.sent["code"], state=self.sent["state"], iss=self.sent["iss"])


async def main():
    browser = Browser()
    metadata = OAuthClientMetadata(client_name="mcp", redirect_uris=[AnyUrl("http://127.0.0.1:5997/callback")])
    auth = OAuthClientProvider(MCP_URL, metadata, Memory(), browser.open, browser.callback)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=20) as http,
        Client(streamable_http_client(MCP_URL, http_client=http)) as client,
    ):
        result = await client.call_tool("stack_list_agents", {})
        print("agents", *(agent["id"] for agent in json.loads(result.content[0].text)))


asyncio.run(main())
