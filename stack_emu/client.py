"""A typed client of the control API: what the pytest fixture and the command line use to drive a running emulator."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from stack_emu.control_connection import ControlConnection, EmulatorError, split_url
from stack_emu.world_controls import (
    ApprovalControl,
    AuditControl,
    ClockControl,
    ConsentControl,
    FaultControl,
    Fired,
    ModelControl,
    OutboxControl,
    UpstreamControl,
)

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic
    from getstack import AsyncStack, Stack
    from openai import AsyncOpenAI, OpenAI

__all__ = [
    "ApprovalControl",
    "AuditControl",
    "ClockControl",
    "ConsentControl",
    "ControlConnection",
    "EmulatorClient",
    "EmulatorError",
    "FaultControl",
    "Fired",
    "ModelControl",
    "OutboxControl",
    "UpstreamControl",
    "WorldClient",
    "split_url",
]


class _Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class WorldClient:
    """One world of a running emulator.

    Args:
        connection: to the emulator.
        description: the world as ``GET /_emu/world`` describes it.
    """

    def __init__(self, connection: ControlConnection, description: Mapping[str, Any]) -> None:
        self.connection = connection
        self.description = dict(description)
        self.name: str = description["name"]
        self.base_url: str = description["base_url"]
        self.mcp_url: str = description["mcp_url"]
        self.anthropic_base_url: str = description["anthropic_base_url"]
        self.openai_base_url: str = description["openai_base_url"]
        self.api_key: str = description["api_key"]
        self.clock = ClockControl(self)
        self.audit = AuditControl(self)
        self.faults = FaultControl(self)
        self.model = ModelControl(self)
        self.approvals = ApprovalControl(self)
        self.consents = ConsentControl(self)
        self.outbox = OutboxControl(self)
        self._clients: list[_Closable] = []

    @classmethod
    def connect(cls, url: str) -> WorldClient:
        """The world at a URL (the emulator's own URL is its default world).

        Raises:
            EmulatorError: when nothing answers there.
        """
        parts = split_url(url)
        connection = ControlConnection(f"{parts.scheme}://{parts.netloc}")
        try:
            return cls(connection, connection.json("GET", f"{parts.path.rstrip('/')}/_emu/world"))
        except BaseException:
            connection.close()
            raise

    @property
    def _prefix(self) -> str:
        return "" if self.name == "default" else f"/w/{self.name}"

    def raw(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """A control request to this world; the reply's bytes."""
        return self.connection.request(method, f"{self._prefix}/_emu{path}", body)

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A control request to this world; the reply's JSON."""
        return json.loads(self.raw(method, path, body))

    @property
    def env(self) -> dict[str, str]:
        """The variables a client needs to find this world, without the gateway's."""
        return {
            "STACK_EMU_URL": self.base_url,
            "STACK_BASE_URL": self.base_url,
            "STACK_MCP_URL": self.mcp_url,
            "STACK_API_KEY": self.api_key,
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_API_KEY": self.description["anthropic_api_key"],
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": self.description["openai_api_key"],
            **self.description["passports"],
        }

    def lane(self, name: str) -> WorldClient:
        """This world through URLs that put every act in a lane of that name."""
        marked = f"{self.connection.url}/w/{self.name}/~{name}"
        changed = {
            "base_url": marked,
            "mcp_url": f"{marked}/mcp",
            "anthropic_base_url": f"{marked}/anthropic",
            "openai_base_url": f"{marked}/openai/v1",
        }
        there = WorldClient(self.connection, {**self.description, **changed})
        there._clients = self._clients
        there.clock.frozen = self.clock.frozen
        return there

    # --- clients ----------------------------------------------------------------------------------------------------

    def _made(self, client: C) -> C:
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        """Close the synchronous clients made here; asynchronous ones belong to the loop they were used in."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def stack(self, **options: Any) -> Stack:
        """STACK's own synchronous SDK, pointed here; options are those of ``getstack.Stack``."""
        from getstack import Stack

        options.setdefault("base_url", self.base_url)
        if "agent_id" not in options:
            options.setdefault("api_key", self.api_key)
        return self._made(Stack(**options))

    def async_stack(self, **options: Any) -> AsyncStack:
        """STACK's own asynchronous SDK, pointed here; options are those of ``getstack.AsyncStack``."""
        from getstack import AsyncStack

        options.setdefault("base_url", self.base_url)
        if "agent_id" not in options:
            options.setdefault("api_key", self.api_key)
        return AsyncStack(**options)

    def anthropic(self, **options: Any) -> Anthropic:
        """Anthropic's SDK, pointed at this world's scripted model."""
        from anthropic import Anthropic

        return self._made(
            Anthropic(
                **{"base_url": self.anthropic_base_url, "api_key": self.description["anthropic_api_key"], **options}
            )
        )

    def async_anthropic(self, **options: Any) -> AsyncAnthropic:
        """Anthropic's asynchronous SDK, pointed at this world's scripted model."""
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(
            **{"base_url": self.anthropic_base_url, "api_key": self.description["anthropic_api_key"], **options}
        )

    def openai(self, **options: Any) -> OpenAI:
        """OpenAI's SDK, pointed at this world's scripted model."""
        from openai import OpenAI

        return self._made(
            OpenAI(**{"base_url": self.openai_base_url, "api_key": self.description["openai_api_key"], **options})
        )

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        """OpenAI's asynchronous SDK, pointed at this world's scripted model."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            **{"base_url": self.openai_base_url, "api_key": self.description["openai_api_key"], **options}
        )

    def mcp(self, bearer: str | None = None) -> Any:
        """An ``mcp`` client for this world's endpoint, to be entered with ``async with``.

        Args:
            bearer: operator key, member key, agent JWT or passport; the operator's key when left out.
        """
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        @asynccontextmanager
        async def connected() -> AsyncIterator[Any]:
            headers = {"Authorization": f"Bearer {bearer or self.api_key}"}
            async with (
                httpx2.AsyncClient(headers=headers, trust_env=False) as http_client,
                streamable_http_client(self.mcp_url, http_client=http_client) as streams,
            ):
                yield streams

        return Client(connected())

    # --- the world --------------------------------------------------------------------------------------------------

    def passport(self, /, agent: str, services: list[str] | None = None, **options: Any) -> str:
        """Mint a passport for a test and return its token.

        Args:
            agent: id or name of the agent.
            services: providers it is meant for; all of the agent's when left out.
            **options: ``mission`` (an id; one is opened when left out), ``ttl`` (``15m``) and ``intent`` (text).
        """
        body = {"agent": agent, **({"services": services} if services is not None else {}), **options}
        return str(self.control("POST", "/passports", body)["token"])

    def signal(
        self,
        agent: str,
        signal: str,
        *,
        severity: str = "warning",
        passport: str | None = None,
        message: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Raise a signal as a detector would, with all that follows from it, and return the security event.

        Args:
            agent: id or name of the agent it is about.
            signal: its type, such as ``scope_drift``.
            severity: ``info``, ``warning`` or ``critical``, which in enforced mode revokes the passport.
            passport: id of the passport it is about.
            message: a sentence for people.
            metadata: what the detector saw.
        """
        body = {"agent": agent, "signal": signal, "severity": severity}
        given = {"passport": passport, "message": message, "metadata": dict(metadata) if metadata else None}
        more = {name: value for name, value in given.items() if value is not None}
        return dict(self.control("POST", "/signals", {**body, **more}))

    def upstream(self, name: str) -> UpstreamControl:
        """One of the scenario's upstreams."""
        return UpstreamControl(self, name)

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """What was sent to webhooks, oldest first, with every attempt; attempts under way are waited for."""
        return list(self.control("GET", "/deliveries")["deliveries"])

    @property
    def received(self) -> list[dict[str, Any]]:
        """What inbound webhooks took in, oldest first."""
        return list(self.control("GET", "/received")["messages"])

    def journal_canonical(self, order: str = "commit") -> bytes:
        """The canonical journal: what acts came in as and what they called, the same bytes for the same program.

        Args:
            order: ``commit`` or ``content`` order inside a lane.
        """
        return self.raw("GET", f"/journal/canonical?order={order}")

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Every exchange, oldest first, secrets masked."""
        return list(self.control("GET", "/journal")["entries"])

    def verdict(self) -> dict[str, Any]:
        """Which expectations did not hold and what a strict run fails for."""
        return dict(self.control("GET", "/verdict"))

    def verify(self, /, **expected: Any) -> None:
        """Check what must have happened so far, in the words of a scenario's ``expect``.

        Args:
            **expected: its sections: ``upstream``, ``audit``, ``operations``, ``model``, ``sent`` and ``order``, each a list.

        Raises:
            AssertionError: with every expectation that does not hold, and what came nearest.
            EmulatorError: for a mistake in what is expected.
        """
        unmet = self.control("POST", "/verify", expected)["unmet"]
        if unmet:
            raise AssertionError("\n".join(_unmet_text(one) for one in unmet))

    def snapshot(self, name: str = "snapshot") -> str:
        """Keep a picture of the world under a name and return the name."""
        self.control("PUT", f"/snapshots/{quote(name, safe='')}")
        return name

    @property
    def snapshots(self) -> list[str]:
        """Names of the pictures that are kept."""
        return list(self.control("GET", "/snapshots")["snapshots"])

    def restore(self, name: str = "snapshot") -> None:
        """Return to a picture."""
        self.control("POST", f"/snapshots/{quote(name, safe='')}/restore")
        self.clock.follow()

    def forget_snapshot(self, name: str = "snapshot") -> None:
        """Drop a picture."""
        self.control("DELETE", f"/snapshots/{quote(name, safe='')}")

    def fork(self, name: str) -> WorldClient:
        """Make a world that is where this one is now and goes on by itself.

        Args:
            name: of the new world.
        """
        return _make_world(self.connection, name, {"fork": self.name})

    def diff(self, against: str = "seed") -> dict[str, Any]:
        """What differs from another state.

        Args:
            against: ``seed``, ``snapshot:NAME`` or ``world:NAME``.

        Returns:
            ``same``, ``records`` (each with ``table``, ``id``, ``change``, ``label`` and ``fields``), ``acts`` and
            ``clock_moved_ms`` before and after, and ``text``, all of it in words.
        """
        return dict(self.control("GET", f"/diff?against={quote(against, safe='')}"))

    def export(self) -> dict[str, Any]:
        """The world as one JSON document without secrets, for ``EmulatorClient.import_world``."""
        return dict(self.control("GET", "/export"))

    def reload(self, scenario_yaml: str | None = None, *, dry_run: bool = False) -> list[dict[str, str]]:
        """Read the scenario's files again and take over what changed; state, passports and log stay.

        Args:
            scenario_yaml: a text to take instead of the files.
            dry_run: whether only to say what would be done.

        Returns:
            The steps, each with ``kind`` (added, changed, kept or refused), ``path`` and ``what``.
        """
        body: dict[str, Any] = {"dry_run": dry_run}
        if scenario_yaml is not None:
            body["scenario_yaml"] = scenario_yaml
        return list(self.control("POST", "/reload", body)["steps"])

    def reset(self) -> None:
        """Return to the scenario's seed."""
        self.control("POST", "/reset")
        self.clock.follow()


def _unmet_text(unmet: Mapping[str, Any]) -> str:
    """An expectation that does not hold, with the table of what came nearest below it."""
    table = textwrap.indent(unmet["near"] or "", "    ")
    return f"{unmet['place']}: {unmet['sentence']}" + (f"\n{table}" if table else "")


_WORLD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _prefix_of(name: str) -> str:
    return "" if name == "default" else f"/w/{quote(name, safe='')}"


def _make_world(connection: ControlConnection, name: str, body: Mapping[str, Any]) -> WorldClient:
    """A world made by a request whose URL names it, so that it reaches the process the world belongs to."""
    if _WORLD_NAME.fullmatch(name) is None:  # no URL for it: let the emulator say what is wrong with it
        return WorldClient(connection, connection.json("POST", "/_emu/worlds", {**body, "name": name}))
    return WorldClient(connection, connection.json("PUT", f"{_prefix_of(name)}/_emu/world", body))


def _creation(
    scenario: str | Path | None, overlays: Sequence[str], variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if overlays:
        body["overlays"] = list(overlays)
    if variables:
        body["variables"] = dict(variables)
    if scenario is not None:
        body["scenario"] = str(Path(scenario).absolute())
    return body


class EmulatorClient:
    """A running emulator: makes and removes worlds.

    Args:
        url: its base URL.
    """

    def __init__(self, url: str) -> None:
        self.connection = ControlConnection(url)

    def create_world(
        self,
        name: str,
        *,
        scenario: str | Path | None = None,
        scenario_yaml: str | None = None,
        seed: int | None = None,
        clock: str | None = None,
        strict: bool | None = None,
        overlays: Sequence[str] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> WorldClient:
        """Make a world.

        Args:
            name: letters, digits, ``_``, ``.`` and ``-``.
            scenario: a file or folder on the emulator's machine.
            scenario_yaml: the scenario's text instead.
            seed: instead of the scenario's.
            clock: ``real`` or ``virtual`` instead of the scenario's.
            strict: instead of the scenario's.
            overlays: names of the scenario's overlays to lay over it, in order.
            variables: values of the scenario's variables, instead of those it gives.
        """
        body = _creation(scenario, overlays, variables)
        optional = {"scenario_yaml": scenario_yaml, "seed": seed, "clock": clock, "strict": strict}
        body.update({key: value for key, value in optional.items() if value is not None})
        return _make_world(self.connection, name, body)

    def import_world(
        self,
        name: str,
        document: Mapping[str, Any],
        *,
        scenario: str | Path | None = None,
        scenario_yaml: str | None = None,
        strict: bool | None = None,
        overlays: Sequence[str] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> WorldClient:
        """Make a world that goes on where an exported one was.

        Args:
            name: of the new world.
            document: what ``WorldClient.export`` returned.
            scenario: the scenario the exported world was made from: a file or folder on the emulator's machine.
            scenario_yaml: the scenario's text instead.
            strict: instead of the scenario's.
            overlays: names of the scenario's overlays, as for the exported world.
            variables: values of the scenario's variables, as for the exported world.

        Returns:
            The world; ``description["replaced_secrets"]`` names the secrets that have new values.
        """
        body = _creation(scenario, overlays, variables)
        optional = {"scenario_yaml": scenario_yaml, "strict": strict, "import": dict(document)}
        body.update({key: value for key, value in optional.items() if value is not None})
        return _make_world(self.connection, name, body)

    def world(self, name: str = "default") -> WorldClient:
        """A world that is there.

        Raises:
            EmulatorError: when there is none of that name.
        """
        return WorldClient(self.connection, self.connection.json("GET", f"{_prefix_of(name)}/_emu/world"))

    def worlds(self) -> list[WorldClient]:
        """Every world, by name."""
        found = self.connection.json("GET", "/_emu/worlds")["worlds"]
        return [WorldClient(self.connection, described) for described in sorted(found, key=lambda one: one["name"])]

    def remove_world(self, name: str) -> None:
        """Drop a world."""
        self.connection.request("DELETE", f"{_prefix_of(name)}/_emu/world")

    def health(self) -> dict[str, Any]:
        """What is running."""
        return dict(self.connection.json("GET", "/_emu/health"))

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def __enter__(self) -> EmulatorClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
