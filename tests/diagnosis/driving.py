"""Calls written as lines of text, sent with the clients people use, and what the emulator said about the last of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import httpx2
from anthropic import Anthropic, BadRequestError
from getstack import Stack
from getstack.errors import StackError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator

TABLE = Path(__file__).with_name("near_misses.txt")
SCENARIO = Path(__file__).with_name("world.yaml")
KEY = "sk_live_emu_acme"
CONNECTOR = "mcp-client-2025-11-20"


class Case(NamedTuple):
    """A name, the calls to make, and the lines that are said about the last of them."""

    name: str
    calls: list[str]
    said: list[str]


def read_cases(table: Path = TABLE) -> list[Case]:
    """The cases of a table."""
    cases: list[Case] = []
    for line in table.read_text(encoding="utf-8").split("\n"):
        if line.startswith("# "):
            cases.append(Case(line[2:], [], []))
        elif line.startswith("$ "):
            cases[-1].calls.append(line[2:])
        elif line.startswith(">"):
            cases[-1].said.append(line[2:])
    return cases


class Driver:
    """Makes the calls of one case in a world of its own.

    Args:
        emulator: where.
        name: of the world, which URLs in what is said have in them.
    """

    def __init__(self, emulator: Emulator, name: str) -> None:
        self._stack = ExitStack()
        self.world: WorldClient = emulator.world(name, scenario=SCENARIO)
        self._sdk = Stack(api_key=KEY, base_url=self.world.base_url)
        self._stack.callback(self._sdk.close)
        self._http = self._stack.enter_context(httpx.Client(base_url=self.world.base_url))
        self._bearer = KEY
        self._asked = ("rest", "mcp", "upstream")
        self.replies: list[Any] = []

    def close(self) -> None:
        """Close the clients."""
        self._stack.close()

    def run(self, calls: list[str]) -> list[str]:
        """Make the calls, and return what was said about the last one that something was said about."""
        for call in calls:
            verb, _, rest = call.partition(" ")
            getattr(self, f"_{verb}")(rest)
        return self.said()

    def said(self) -> list[str]:
        """Problem and hint of the last entry that has one, then its table."""
        told = [entry for entry in self.world.journal if entry["hint"] and entry["surface"] in self._asked]
        if not told:
            return []
        last = told[-1]
        first = f"{last['problem']}: {last['hint']}" if last["problem"] else str(last["hint"])
        return [self.neutral(first), *(last["near"] or "").splitlines()]

    def neutral(self, text: str) -> str:
        """Text without the address of this run."""
        return text.replace(self.world.base_url, "URL")

    def told(self) -> dict[str, str]:
        """What the last call's reply, the journal and the verdict say, by place."""
        verdict = self.world.verdict()
        findings = [*verdict["failures"], *verdict["warnings"]]
        told = {"journal": _strings([[entry["hint"], entry["near"]] for entry in self.world.journal])}
        if any(entry["problem"] for entry in self.world.journal):
            told["verdict"] = _strings(findings)
        if self.replies:
            told["reply"] = _strings(_data_of(self.replies[-1]))
        return {place: self.neutral(text) for place, text in told.items()}

    def _advance(self, rest: str) -> None:
        self.world.clock.advance(rest)

    def _mission(self, rest: str) -> None:
        """``mission AGENT SERVICES TTL [minutes]``: start one and act under its passport from here on."""
        agent, services, ttl = rest.split()
        terms = {"intent_summary": "Work", "intent_services": services.split(",")}
        intent = {"summary": "Work", "services": services.split(",")}
        started = self._sdk.missions.start(
            agent_id=f"agent_{agent}",
            mission={**terms, "expires_in_seconds": int(ttl)},
            passport={"intent": intent, "ttl_seconds": int(ttl) + 600},
        )
        self._bearer = started["passport"]["token"]
        self.started = started

    def _operator(self, rest: str) -> None:
        """Act with the operator's key again."""
        self._bearer = KEY

    def _revoke(self, rest: str) -> None:
        self._sdk.passports.revoke(self.started["passport"]["jti"], reason=rest)

    def _issue(self, rest: str) -> None:
        """Issue a further passport for the mission that was started."""
        try:
            self._sdk.passports.issue("agent_deployer", mission_ids=[self.started["mission_id"]], ttl_seconds=60)
        except StackError as error:
            self.replies.append(error)

    def _complete(self, rest: str) -> None:
        self._sdk.missions.complete(self.started["mission_id"])

    def _rest(self, rest: str) -> None:
        method, path, *body = rest.split(" ", 2)
        headers = {"Authorization": f"Bearer {self._bearer}"}
        self.replies.append(
            self._http.request(method, path, headers=headers, json=json.loads(body[0]) if body else None)
        )

    def _proxy(self, rest: str) -> None:
        service, method, url, *body = rest.split(" ", 3)
        token = None if self._bearer == KEY else self._bearer
        sent = json.loads(body[0]) if body else None
        try:
            self.replies.append(self._sdk.proxy.request(service, url, method=method, body=sent, passport_token=token))
        except StackError as error:
            self.replies.append(error)

    def _tool(self, rest: str) -> None:
        name, _, arguments = rest.partition(" ")
        asyncio.run(self._call_tool(name, json.loads(arguments or "{}")))

    async def _call_tool(self, name: str, arguments: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._bearer}"}
        async with httpx2.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(self.world.mcp_url, http_client=http)
            try:
                async with Client(transport) as client:
                    self.replies.append(await _outcome(client, name, arguments))
            except Exception as error:  # in a group: the endpoint itself refused, so there was no session
                self.replies.append(error)

    def _model(self, rest: str) -> None:
        self._asked = ("messages",)
        with Anthropic(api_key="any", base_url=self.world.anthropic_base_url, max_retries=0) as client:
            server = {
                "type": "url",
                "url": self.world.mcp_url,
                "name": "stack",
                "authorization_token": self._bearer,
            }
            try:
                client.beta.messages.create(
                    model="claude-opus-5-5",
                    max_tokens=500,
                    messages=[{"role": "user", "content": rest}],
                    mcp_servers=[server],
                    tools=[{"type": "mcp_toolset", "mcp_server_name": "stack"}],
                    betas=[CONNECTOR],
                )
            except BadRequestError as error:
                self.replies.append(error)


async def _outcome(client: Client, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return await client.call_tool(name, arguments)
    except MCPError as error:
        return error


def _data_of(reply: Any) -> Any:
    """Everything a client was told."""
    if isinstance(reply, httpx.Response):
        return reply.json()
    if isinstance(reply, MCPError):
        return [reply.error.message, reply.error.data]
    if isinstance(reply, BadRequestError):
        return reply.body
    if isinstance(reply, StackError):
        return [str(reply), reply.details]
    if isinstance(reply, Exception):
        return [_data_of(inner) for inner in getattr(reply, "exceptions", ())] or str(reply)
    if hasattr(reply, "content"):
        return json.loads(reply.content[0].text)
    return [reply.body, dict(reply.headers)]


def _strings(data: Any) -> str:
    """Every text in JSON data, each on lines of its own."""
    if isinstance(data, dict):
        return "\n".join(map(_strings, data.values()))
    if isinstance(data, (list, tuple)):
        return "\n".join(map(_strings, data))
    return data if isinstance(data, str) else ""
