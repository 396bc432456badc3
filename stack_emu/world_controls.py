"""The parts of a world that a client drives: its clock, audit log, faults, model, approvals, outbox and upstreams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ContextDecorator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from stack_emu.control_connection import EmulatorError

Milliseconds = int


class ControlledWorld(Protocol):
    """What the parts need of their world."""

    name: str

    def raw(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """A control request; the reply's bytes."""
        ...

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A control request; the reply's JSON."""
        ...

    def verify(self, /, **expected: Any) -> None:
        """Check what must have happened so far."""
        ...


class Fired(int):
    """How many timers fired, with what each was.

    Args:
        timers: each as ``{"at", "kind", "lane", "id"}``, in the order they fired.
    """

    timers: tuple[dict[str, Any], ...]

    def __new__(cls, timers: Sequence[dict[str, Any]]) -> Fired:
        """Count them."""
        made = super().__new__(cls, len(timers))
        made.timers = tuple(timers)
        return made


class ClockControl:
    """The world's clock."""

    def __init__(self, world: ControlledWorld) -> None:
        self._world = world
        self.frozen: list[FrozenClock] = []

    def now(self) -> str:
        """The world's instant, ISO-8601."""
        return str(self._world.control("GET", "/clock")["now"])

    def now_ms(self) -> Milliseconds:
        """The world's instant in epoch milliseconds."""
        return int(self._world.control("GET", "/clock")["now_ms"])

    def advance(self, by: str | Milliseconds) -> Fired:
        """Move forward by a duration such as ``15m`` or milliseconds.

        Returns:
            How many timers fired on the way, with ``timers``: what they were, in order.
        """
        moved = self._world.control("POST", "/clock/advance", {"by": by})
        self._move_frozen(int(moved["now_ms"]))
        return Fired(moved["timers"])

    def freeze(self) -> FrozenClock:
        """Set this process's clock to the world's until the context ends; needs a virtual clock and time-machine.

        Inside it follows the world's clock where this client moves that: ``advance``, ``reset`` and ``restore``.

        Raises:
            EmulatorError: when the world's clock is real or time-machine is not installed.
        """
        if self._world.control("GET", "/clock")["mode"] != "virtual":
            raise EmulatorError('freeze needs a virtual clock: use clock="virtual" or clock: {mode: virtual}')
        if find_spec("time_machine") is None:
            raise EmulatorError("freeze needs the package time-machine: pip install 'stack-emu[freeze]'")
        return FrozenClock(self)

    def follow(self) -> None:
        """Set a frozen clock to where the world's is now; without one nothing happens."""
        if self.frozen:
            self._move_frozen(self.now_ms())

    def _move_frozen(self, now_ms: Milliseconds) -> None:
        for clock in self.frozen:
            clock.move_to(now_ms)


class FrozenClock(ContextDecorator):
    """This process's clock, standing where a world's clock stands.

    Args:
        clock: the world's.
    """

    def __init__(self, clock: ClockControl) -> None:
        self._clock = clock
        self._travels: list[tuple[Any, Any]] = []

    def __enter__(self) -> Any:
        """Freeze; returns what ``time_machine.travel`` gives."""
        import time_machine

        travel = time_machine.travel(self._clock.now_ms() / 1000, tick=False)
        coordinates = travel.start()
        self._travels.append((travel, coordinates))
        self._clock.frozen.append(self)
        return coordinates

    def __exit__(self, *_: object) -> None:
        """Let this process's clock go on as before."""
        self._clock.frozen.remove(self)
        travel, _ = self._travels.pop()
        travel.stop()

    def move_to(self, now_ms: Milliseconds) -> None:
        """Set the frozen clock to epoch milliseconds."""
        for _, coordinates in self._travels:
            coordinates.move_to(now_ms / 1000, tick=False)


class AuditControl:
    """The world's audit log."""

    def __init__(self, world: ControlledWorld) -> None:
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

    def __init__(self, world: ControlledWorld) -> None:
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

    def __init__(self, world: ControlledWorld) -> None:
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

    def __init__(self, world: ControlledWorld) -> None:
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


class ConsentControl:
    """Sign-ins over OAuth that ask a person."""

    def __init__(self, world: ControlledWorld) -> None:
        self._world = world

    def all(self) -> list[dict[str, Any]]:
        """Every consent asked for, oldest first: id, kind, status, client_id, scopes, user_code, agent_id and instants."""
        return list(self._world.control("GET", "/consents")["consents"])

    def pending(self) -> list[dict[str, Any]]:
        """Those nobody has decided yet."""
        return [item for item in self.all() if item["status"] == "pending"]

    def approve(self, consent_id: str, *, operator: str | None = None) -> str | None:
        """Let the client in.

        Args:
            consent_id: which.
            operator: the account that answers, where several could.

        Returns:
            Where the person's browser goes then; None for a device.
        """
        return self._decide(consent_id, "approve", operator)

    def deny(self, consent_id: str, *, operator: str | None = None) -> str | None:
        """Send the client away; arguments and result as of ``approve``."""
        return self._decide(consent_id, "deny", operator)

    def _decide(self, consent_id: str, decision: str, operator: str | None) -> str | None:
        body = {"decide": decision} | ({} if operator is None else {"operator": operator})
        target: str | None = self._world.control("POST", f"/consents/{quote(consent_id, safe='')}", body)["redirect"]
        return target


class OutboxControl:
    """What would have left this machine: e-mails, text messages, and webhooks of other hosts."""

    def __init__(self, world: ControlledWorld) -> None:
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

    def __init__(self, world: ControlledWorld, name: str) -> None:
        self._world = world
        self.name = name

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What it received, oldest first: method, path, query, headers (masked), body, status."""
        return list(self._world.control("GET", f"/upstreams/{quote(self.name, safe='')}/requests")["requests"])

    def verify(self, /, **expected: Any) -> None:
        """Check one call that it must have received, with the keys of ``expect.upstream``: ``path="/x", times=1``.

        Raises:
            AssertionError: when it does not hold, with what came nearest.
        """
        self._world.verify(upstream=[{"to": self.name, **expected}])

    def forward(self, url: str) -> None:
        """Send what no route answers to a server on this machine."""
        self._world.control("PUT", f"/upstreams/{quote(self.name, safe='')}/forward", {"url": url})
