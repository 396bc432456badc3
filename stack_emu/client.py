"""A typed client of the control API: what the pytest fixture and the command line use to drive a running emulator."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from stack_emu.control_connection import ControlConnection, EmulatorError, split_url

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic
    from getstack import AsyncStack, Stack
    from openai import AsyncOpenAI, OpenAI

__all__ = [
    "ApprovalControl",
    "AsyncWorldClient",
    "AuditControl",
    "ClockControl",
    "ControlConnection",
    "EmulatorClient",
    "EmulatorError",
    "FaultControl",
    "ModelControl",
    "OutboxControl",
    "UpstreamControl",
    "WorldClient",
    "split_url",
]

Milliseconds = int


class _Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class ClockControl:
    """The world's clock."""

    def __init__(self, world: WorldClient) -> None:
        self._world = world

    def now(self) -> str:
        """The world's instant, ISO-8601."""
        return str(self._world.control("GET", "/clock")["now"])

    def now_ms(self) -> Milliseconds:
        """The world's instant in epoch milliseconds."""
        return int(self._world.control("GET", "/clock")["now_ms"])

    def advance(self, by: str | Milliseconds) -> int:
        """Move forward by a duration such as ``15m`` or milliseconds; fires due timers in order, returns how many."""
        return int(self._world.control("POST", "/clock/advance", {"by": by})["fired"])

    def freeze(self) -> AbstractContextManager[Any]:
        """Set this process's clock to the world's until the context ends; needs a virtual clock and time-machine.

        Raises:
            EmulatorError: when the world's clock is real or time-machine is not installed.
        """
        state = self._world.control("GET", "/clock")
        if state["mode"] != "virtual":
            raise EmulatorError('freeze needs a virtual clock: use clock="virtual" or clock: {mode: virtual}')
        try:
            import time_machine
        except ImportError:
            raise EmulatorError("freeze needs the package time-machine: pip install 'stack-emu[freeze]'") from None
        frozen: AbstractContextManager[Any] = time_machine.travel(state["now_ms"] / 1000, tick=False)
        return frozen


class AuditControl:
    """The world's audit log."""

    def __init__(self, world: WorldClient) -> None:
        self._world = world

    def entries(self) -> list[dict[str, Any]]:
        """Every row in commit order, with its lane and operation."""
        return list(self._world.control("GET", "/audit")["entries"])

    def canonical(self, order: str = "commit") -> bytes:
        """The canonical log: JSON Lines, the same bytes for the same program."""
        return self._world.raw("GET", f"/audit/canonical?order={order}")

    def checkpoint(self, order: str = "commit", *, operator: str | None = None, previous: str | None = None) -> str:
        """A signed checkpoint of the log as it stands: later, ``stack-emu audit verify`` proves that nothing before changed.

        Args:
            order: order inside a lane of the canonical log.
            operator: sign the raw chain of this account instead.
            previous: hex SHA-256 of the checkpoint before, which this one then names.
        """
        given = {"order": order, "operator": operator, "previous": previous}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return str(self._world.control("GET", f"/audit/checkpoint?{query}")["checkpoint"])

    def keys(self) -> dict[str, Any]:
        """The key set (JWKS) that the world's checkpoints are verified with."""
        keys: dict[str, Any] = self._world.control("GET", "/audit/checkpoint")["keys"]
        return keys


class FaultControl:
    """Injected faults."""

    def __init__(self, world: WorldClient) -> None:
        self._world = world

    def add(self, *, on: Mapping[str, Any], inject: Mapping[str, Any]) -> None:
        """Add a rule, written as in a scenario's ``faults``."""
        self._world.control("POST", "/faults", {"on": dict(on), "inject": dict(inject)})

    def list(self) -> Sequence[dict[str, Any]]:
        """Every rule in order: its name (``faults[0]``, ``added[0]``), ``on``, ``inject``, and how often it was seen and fired.

        ``seen`` counts the calls that ``on`` matches, ``fired`` those that were hit.
        """
        return tuple(self._world.control("GET", "/faults")["each"])

    def clear(self) -> None:
        """Drop all rules."""
        self._world.control("DELETE", "/faults")


class ModelControl:
    """What the Messages API answers."""

    def __init__(self, world: WorldClient) -> None:
        self._world = world

    def script(self, *rules: Mapping[str, Any] | Callable[..., Any]) -> None:
        """Add rules, written as in a scenario's ``model``; they are tried before the ones there are."""
        if any(callable(rule) for rule in rules):
            raise EmulatorError(
                "a Python function can script the model only in process: use the pytest fixture's own emulator"
            )
        self._world.control("POST", "/model", {"rules": [dict(rule) for rule in rules if not callable(rule)]})

    def export(self, path: str | Path | None = None) -> str:
        """What the model answered so far, as the ``model:`` section of a scenario that answers the same again.

        Args:
            path: a file to write it to as well.
        """
        from stack_emu.model_script.recording import to_yaml

        text = to_yaml(self._world.control("GET", "/model")["rules"])
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


class ApprovalControl:
    """Human decisions."""

    def __init__(self, world: WorldClient) -> None:
        self._world = world

    def all(self) -> list[dict[str, Any]]:
        """Every approval asked for, oldest first: id, operation, subject, agent_id, change, status and instants."""
        return list(self._world.control("GET", "/approvals")["approvals"])

    def pending(self) -> list[dict[str, Any]]:
        """The approvals nobody has decided yet."""
        return [item for item in self.all() if item["status"] == "pending"]

    def approve(self, approval_id: str) -> None:
        """Approve a pending request."""
        self._world.control("POST", f"/approvals/{quote(approval_id, safe='')}", {"decide": "approve"})

    def reject(self, approval_id: str) -> None:
        """Reject a pending request."""
        self._world.control("POST", f"/approvals/{quote(approval_id, safe='')}", {"decide": "reject"})


class OutboxControl:
    """What would have left this machine: e-mails, text messages, and webhooks of other hosts."""

    def __init__(self, world: WorldClient) -> None:
        self._world = world

    def all(self) -> list[dict[str, Any]]:
        """Every message, oldest first: kind, destination, event, subject, text and the verification code, if any."""
        return list(self._world.control("GET", "/outbox")["messages"])

    def to(self, destination: str) -> list[dict[str, Any]]:
        """The messages for one address, number or URL."""
        return [message for message in self.all() if message["destination"] == destination]

    def code(self, destination: str) -> str:
        """The latest verification code sent to an address, number or URL.

        Raises:
            EmulatorError: when none was sent there.
        """
        codes = [str(message["code"]) for message in self.to(destination) if message["code"]]
        if not codes:
            known = ", ".join(sorted({message["destination"] for message in self.all() if message["code"]})) or "nobody"
            raise EmulatorError(f"no verification code was sent to {destination}; codes were sent to {known}")
        return codes[-1]


class UpstreamControl:
    """One fake upstream of the world."""

    def __init__(self, world: WorldClient, name: str) -> None:
        self._world = world
        self.name = name

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What it received, oldest first: method, path, query, headers (masked), body, status."""
        return list(self._world.control("GET", f"/upstreams/{quote(self.name, safe='')}/requests")["requests"])

    def verify(self, **expected: Any) -> None:
        """Check one call that it must have received, with the keys of ``expect.upstream``: ``path="/x", times=1``.

        Raises:
            AssertionError: when it does not hold, with what came nearest.
        """
        self._world.verify(upstream=[{"to": self.name, **expected}])

    def forward(self, url: str) -> None:
        """Send what no route answers to a server on this machine."""
        self._world.control("PUT", f"/upstreams/{quote(self.name, safe='')}/forward", {"url": url})


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

    def passport(self, agent: str, services: list[str] | None = None, **options: Any) -> str:
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

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Every exchange, oldest first, secrets masked."""
        return list(self.control("GET", "/journal")["entries"])

    def verdict(self) -> dict[str, Any]:
        """Which expectations did not hold and what a strict run fails for."""
        return dict(self.control("GET", "/verdict"))

    def verify(self, **expected: Any) -> None:
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

    def restore(self, name: str = "snapshot") -> None:
        """Return to a picture."""
        self.control("POST", f"/snapshots/{quote(name, safe='')}/restore")

    def reset(self) -> None:
        """Return to the scenario's seed."""
        self.control("POST", "/reset")


def _unmet_text(unmet: Mapping[str, Any]) -> str:
    """An expectation that does not hold, with the table of what came nearest below it."""
    table = textwrap.indent(unmet["near"] or "", "    ")
    return f"{unmet['place']}: {unmet['sentence']}" + (f"\n{table}" if table else "")


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
        body: dict[str, Any] = {"name": name}
        if overlays:
            body["overlays"] = list(overlays)
        if variables:
            body["variables"] = dict(variables)
        if scenario is not None:
            body["scenario"] = str(Path(scenario).absolute())
        optional = {"scenario_yaml": scenario_yaml, "seed": seed, "clock": clock, "strict": strict}
        body.update({key: value for key, value in optional.items() if value is not None})
        return WorldClient(self.connection, self.connection.json("POST", "/_emu/worlds", body))

    def remove_world(self, name: str) -> None:
        """Drop a world."""
        self.connection.request("DELETE", f"/_emu/worlds/{quote(name, safe='')}")

    def health(self) -> dict[str, Any]:
        """What is running."""
        return dict(self.connection.json("GET", "/_emu/health"))

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()


class AsyncWorldClient:
    """``WorldClient`` for code in an event loop: every call of it runs in a worker thread.

    ``await client.call(client.world.clock.advance, "15m")``
    """

    def __init__(self, world: WorldClient) -> None:
        self.world = world

    async def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Run a method of the world in a thread and return its result."""
        return await asyncio.to_thread(function, *arguments, **options)
