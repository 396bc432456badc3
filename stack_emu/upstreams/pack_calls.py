"""One call of a pack that serves a REST API: its path, its fields, its refusals and what it may touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.packs import PackContext
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

Handler = Callable[["RestCall"], Any]
"""Answers a call: with an :class:`UpstreamReply`, or with JSON data that is sent with the operation's status."""


@dataclass(frozen=True)
class PackOperation:
    """One operation that a pack serves.

    Args:
        name: how the service's documentation or SDK calls it, for example ``issues.create``.
        method: HTTP method.
        path: path template: ``{name}`` is one segment's text, a final ``*`` any rest.
        handler: answers it; the first line of its docstring says what it does.
        source: where the behaviour is known from, for example a page and an SDK's version.
        scopes: any one of these lets a credential in; all when empty.
        status: HTTP status of a reply given as JSON data.
    """

    name: str
    method: str
    path: str
    handler: Handler
    source: str
    scopes: tuple[str, ...] = ()
    status: int = 200


class PackRefusal(Exception):
    """A refusal in the service's own words; what was written is undone.

    Args:
        reply: what the client gets.
        hint: the sentence for the journal that says what would have worked, where the service's words do not.
    """

    def __init__(self, reply: UpstreamReply, hint: str | None = None) -> None:
        self.reply = reply
        self.hint = hint
        super().__init__(f"refused with {reply.status}")


@dataclass
class RestCall:
    """A call on its way through a pack. Fields that nobody asks for are reported as unread.

    Args:
        context: what the engine gave.
        operation: what it was taken for.
        params: segments captured by the path template, percent-decoded.
        rest: what the template's final ``*`` stands for, percent-decoded; empty without one.
        fields: the fields of the body: of a JSON object or of a form; empty for other bodies.
        headers: headers of the reply, which a handler may add to.
    """

    context: PackContext
    operation: PackOperation
    params: Mapping[str, str]
    rest: str
    fields: Mapping[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    @property
    def request(self) -> UpstreamRequest:
        """The request as it came."""
        return self.context.request

    @property
    def act(self) -> Act:
        """The act that ids are derived from: nothing a client can see may count arrivals."""
        return self.context.act

    @property
    def now_ms(self) -> int:
        """The time stamp of the call, in epoch milliseconds on the world's clock, spaced by its tick."""
        return self.context.act.stamp_ms

    @property
    def instant_ms(self) -> int:
        """The instant of the call, in epoch milliseconds on the world's clock: what deadlines and windows count from."""
        return self.context.act.now_ms

    @property
    def now(self) -> str:
        """The instant of the call in ISO 8601 to the second, as most services print it."""
        return iso(self.now_ms)[:19] + "Z"

    def collection(self, name: str) -> Collection:
        """A collection of this upstream."""
        return Collection(self.context.world.store, self.context.upstream, name, self.act.place)

    def field(self, name: str, default: Any = None) -> Any:
        """A field of the body as it came; ``default`` when it is absent."""
        self._read.add(name)
        return self.fields.get(name, default)

    def has(self, name: str) -> bool:
        """Whether the body has a field, were it null."""
        self._read.add(name)
        return name in self.fields

    def ignore(self, *names: str) -> None:
        """Count fields as read that have no effect here, because the service's answer does not show them either."""
        self._read.update(names)

    def query(self, name: str, default: str | None = None) -> str | None:
        """A query parameter, the last of equal names; ``default`` when it is absent or empty."""
        self._read.add(f"query.{name}")
        return self.request.query_map.get(name) or default

    def query_all(self, name: str) -> list[str]:
        """Every value of a repeated query parameter, ``name[]`` too, in order."""
        self._read.update((f"query.{name}", f"query.{name}[]"))
        return [value for given, value in self.request.query if given in (name, f"{name}[]")]

    def allows(self, *scopes: str) -> bool:
        """Whether the credential has one of the scopes; a connection that names no scopes has them all."""
        credential = self.context.credential
        if credential is None or credential.scopes is None:
            return True
        return any(scope in credential.scopes for scope in scopes)

    def mint(self, value: str) -> str:
        """Note an id that was derived from the act, so that calls which name it later are known to come after it."""
        self.act.minted.append(value)
        return value

    def number(self, kind: str, digits: int) -> int:
        """A number of so many digits, derived from the act: unique in practice, the same on every run."""
        lowest = 10 ** (digits - 1)
        number: int = lowest + self.act.new_number(kind, 9 * lowest)
        self.mint(str(number))
        return number

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the fields of body and query nobody looked at."""
        sent = {*self.fields, *(f"query.{name}" for name, _ in self.request.query)}
        return tuple(sorted(sent - self._read))
