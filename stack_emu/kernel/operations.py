"""Operations: what an emulator can do, each declared once; surfaces, documents and checks derive from that."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from stack_emu.kernel.errors import KernelError

GRADES = ("recorded", "documented", "sdk-implied", "invented")
_PARAM = re.compile(r"\{(\w+)(\+?)\}")


class Marker:
    """An annotation on a command field that says how it counts in an act's logical input."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Marker({self.name})"


WRITTEN_AS = "x-stack-emu-written-as"
"""Keyword under which a field's schema keeps what ``written_as`` says."""

VOLATILE = Marker("volatile")
"""The field is made by the client anew each time (nonces, client keys): it does not count in the act key."""

TOKEN = Marker("token")
"""The field is a JWT: its ``jti`` counts in the act key, not its text."""

SECRET = Marker("secret")
"""The field holds a secret: journals keep no part of its value, not even of a request that was refused unread."""


def written_as(**keywords: Any) -> dict[str, Any]:
    """Keywords of JSON Schema that say in ``/openapi.json`` how a field's text is written (``pattern``, ``enum``).

    For ``Field(json_schema_extra=…)``. The field's own validator holds it and words the refusal; a tool's arguments are
    held against their schema first, so tools do not show these.
    """
    return {WRITTEN_AS: keywords}


class Command(BaseModel):
    """Base of all inputs: unknown fields are ignored, an explicit null equals an absent field."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data


class OpenCommand(Command):
    """Base of inputs whose body is somebody else's, taken as it came; every field of it counts in the act key.

    Fields a subclass declares for what does not belong to that body (headers) are named in ``BESIDE``.
    """

    BESIDE: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(extra="allow")

    def verbatim(self) -> dict[str, Any]:
        """The body as it came, in its order, without what stands beside it and without nulls at the top."""
        return {name: value for name, value in self if name in self.model_fields_set and name not in self.BESIDE}


class PersonalCommand(OpenCommand):
    """Base of inputs about people: the fields it does not know are kept, and journals keep no part of their values."""


class Reply(BaseModel):
    """Base of all outputs."""

    model_config = ConfigDict(extra="forbid", defer_build=True, populate_by_name=True)


@dataclass(frozen=True)
class Rest:
    """How an operation appears on REST.

    Args:
        method: HTTP method.
        path: template with ``{name}`` segments; ``{name+}`` takes the rest of the path.
        status: status of a success; 204 sends no body.
        headers: request header → command field.
        aliases: other templates that mean the same.
        media: media types of a reply that is no JSON.
        errors: how refusals are worded: ``envelope``, ``oauth`` (RFC 6749; replies are not cached) or ``page`` (as
            ``oauth``, but a page for whoever asks for HTML).
    """

    method: str
    path: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    errors: str = "envelope"

    @property
    def params(self) -> tuple[str, ...]:
        """Names of the path parameters."""
        return tuple(name for name, _ in _PARAM.findall(self.path))


@dataclass(frozen=True)
class Download:
    """A reply that is not JSON of a model: its bytes, media type and optional file name.

    A long one gives its body in pieces, each of whole records; they are made while they are sent, and can be read once.
    """

    body: bytes | Iterable[bytes]
    media: str
    filename: str | None = None

    def whole(self) -> bytes:
        """The body as a whole."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


@dataclass(frozen=True)
class Stream:
    """A reply that is sent piece by piece: its media type and the pieces. Tools never ask for one."""

    media: str
    chunks: Iterable[bytes]


@dataclass(frozen=True)
class Redirect:
    """A reply that sends a browser elsewhere."""

    location: str


@dataclass(frozen=True)
class Tool:
    """How an operation appears on MCP.

    Args:
        name: tool name.
        title: short human title; made from the name when None.
        read_only: hint that it changes nothing; taken from the HTTP method when None.
        destructive: hint that it takes something away.
        idempotent: hint that repeating it changes nothing more.
        confirm: the call needs ``confirm: true``.
        hidden: command fields that are not tool arguments.
    """

    name: str
    title: str | None = None
    read_only: bool | None = None
    destructive: bool = False
    idempotent: bool = False
    confirm: bool = False
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Auth:
    """Who may call.

    Args:
        bearers: caller kinds that are let in; empty means no credential is needed.
        scope: OAuth scope a token of kind ``oauth`` needs.
        role: least role of a member.
        narrow: called with (world, caller, command) before the handler; raises a Fault when a limit forbids it.
        identify: finds the caller of an operation without bearers from (world, command); what it raises leaves no row.
    """

    bearers: frozenset[str]
    scope: str | None = None
    role: str = "readonly"
    narrow: Callable[[Any, Any, Any], None] | None = None
    identify: Callable[[Any, Any], Caller] | None = None


@dataclass(frozen=True)
class Audit:
    """The row an operation leaves: action and layer."""

    action: str
    layer: str = "system"


@dataclass(frozen=True)
class Caller:
    """Who is behind a request.

    Args:
        kind: ``operator``, ``member``, ``agent``, ``passport``, ``oauth``, ``session`` or ``anonymous``.
        operator_id: the account; empty for an anonymous caller.
        lane: lane label of this credential.
        agent_id: the agent, when the credential is one's own.
        passport_jti: the passport, when that is the credential.
        member_id: the member, when it is a member's key.
        role: ``readonly``, ``standard``, ``admin`` or ``operator``.
        scopes: OAuth scopes, or None when not limited by scopes.
        allowed_connections: connection ids a member or agent is limited to, or None.
        bound_to: id of the one thing the credential is good for, where it is good for one only.
        grant_id: the grant behind a credential that reaches only what was made with it.
    """

    kind: str
    operator_id: str
    lane: str
    agent_id: str | None = None
    passport_jti: str | None = None
    member_id: str | None = None
    role: str = "operator"
    scopes: frozenset[str] | None = None
    allowed_connections: frozenset[str] | None = None
    bound_to: str | None = None
    grant_id: str | None = None


ANONYMOUS = Caller("anonymous", "", "anonymous")
ROLE_RANK = {"readonly": 0, "standard": 1, "admin": 2, "operator": 3}

Subject = Callable[[Any, Any], "str | None"]
"""(world, command) → the agent whose thing the operation acts on, or None."""
Presents = Callable[[Any, Any], "tuple[str, str] | None"]
"""(world, command) → (agent id, passport jti) of the passport the command presents, or None."""


@dataclass(frozen=True)
class Operation:
    """One thing the emulator can do.

    Args:
        name: ``family.verb``.
        handler: ``(ctx, command) → reply``; may return ``Pending`` (I/O to do) or ``Refused`` (its state is kept).
        rest, tool, auth, audit: see their classes. Without ``audit`` the operation is a read and no act.
        subject: finds the agent it acts on, for the lane.
        presents: finds the passport it presents, for the lane.
        creates: for operations that create an agent: reply → agent id, the lane the act is recorded in.
        source: where the shape is known from.
        grade: how well (one of ``GRADES``).
    """

    name: str
    handler: Callable[..., Any]
    auth: Auth
    source: str
    grade: str
    rest: Rest | None = None
    tool: Tool | None = None
    audit: Audit | None = None
    subject: Subject | None = None
    presents: Presents | None = None
    creates: Callable[[Any], str] | None = None

    @cached_property
    def command(self) -> type[Command]:
        """The command model, from the handler's annotations."""
        hints = typing.get_type_hints(self.handler)
        names = [name for name in hints if name != "return"]
        model = hints[names[-1]] if len(names) > 1 else Command
        if not (isinstance(model, type) and issubclass(model, Command)):
            raise KernelError(f"operation {self.name}: the handler's last parameter must be a Command")
        return model

    @cached_property
    def reply(self) -> Any:
        """The declared reply type, from the handler's annotations."""
        return typing.get_type_hints(self.handler).get("return")

    @cached_property
    def token_fields(self) -> frozenset[str]:
        """Command fields marked ``TOKEN``."""
        return self._marked(TOKEN)

    @cached_property
    def volatile_fields(self) -> frozenset[str]:
        """Command fields marked ``VOLATILE``."""
        return self._marked(VOLATILE)

    @cached_property
    def secret_fields(self) -> frozenset[str]:
        """Command fields marked ``SECRET``."""
        return self._marked(SECRET)

    def without_secrets(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Raw input with the values of its secret fields replaced by a mask, as journals may keep it."""
        hidden = self.secret_fields
        if issubclass(self.command, PersonalCommand):  # what it does not know may be anything about anybody
            hidden |= raw.keys() - self.command.model_fields.keys()
        return {name: "<secret>" if name in hidden else value for name, value in raw.items()}

    def _marked(self, marker: Marker) -> frozenset[str]:
        fields = self.command.model_fields.items()
        return frozenset(name for name, info in fields if marker in info.metadata or _carries(info.annotation, marker))

    @cached_property
    def summary(self) -> str:
        """First line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().split("\n", 1)[0]

    @cached_property
    def description(self) -> str:
        """The whole docstring, dedented."""
        import inspect

        return inspect.cleandoc(self.handler.__doc__ or "")


def _carries(annotation: Any, marker: Marker) -> bool:
    """Whether a marker stands inside an annotation, as in ``Annotated[str, TOKEN] | None``."""
    if marker in getattr(annotation, "__metadata__", ()):
        return True
    return any(_carries(part, marker) for part in typing.get_args(annotation))


F = TypeVar("F", bound=Callable[..., Any])


def operation(name: str, **declaration: Any) -> Callable[[F], F]:
    """Declare the decorated handler as an operation; the arguments are those of ``Operation``.

    The function itself is returned unchanged, with its declaration in ``.operation``; a ``Registry`` collects it from
    its module.
    """

    def declare(handler: F) -> F:
        handler.operation = Operation(name=name, handler=handler, **declaration)  # type: ignore[attr-defined]
        return handler

    return declare


def on_timer(kind: str) -> Callable[[F], F]:
    """Declare the decorated ``(world, act, timer)`` function as the handler of timers of ``kind``."""

    def declare(handler: F) -> F:
        handler.timer_kind = kind  # type: ignore[attr-defined]
        return handler

    return declare


class Registry:
    """The operations and timer handlers of an emulator, collected from its family modules.

    Raises:
        KernelError: for duplicate names, routes or tools, an unknown grade, or a path parameter without a field.
    """

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        self.operations: dict[str, Operation] = {}
        self.tools: dict[str, Operation] = {}
        self.timers: dict[str, Callable[..., None]] = {}
        self._routes: dict[tuple[str, str], str] = {}
        for module in modules:
            self.add(module)

    def add(self, module: Any) -> None:
        """Collect everything declared in a module, in the order it is written there."""
        for value in vars(module).values():
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if isinstance(declared := getattr(value, "operation", None), Operation):
                self._register(declared)
            elif isinstance(kind := getattr(value, "timer_kind", None), str):
                self.timers[kind] = value

    def _register(self, declared: Operation) -> None:
        if declared.name in self.operations:
            raise KernelError(f"operation {declared.name} is declared twice")
        if declared.grade not in GRADES:
            raise KernelError(f"operation {declared.name}: grade {declared.grade!r} is not one of {', '.join(GRADES)}")
        self.operations[declared.name] = declared
        if declared.rest is not None:
            self._register_rest(declared, declared.rest)
        if declared.tool is not None:
            if declared.tool.name in self.tools:
                raise KernelError(f"tool {declared.tool.name} is declared twice")
            self.tools[declared.tool.name] = declared

    def _register_rest(self, declared: Operation, rest: Rest) -> None:
        missing = set(rest.params) - set(declared.command.model_fields)
        if missing:
            raise KernelError(
                f"operation {declared.name}: path parameters without a field: {', '.join(sorted(missing))}"
            )
        for path in (rest.path, *rest.aliases):
            shape = (rest.method, _PARAM.sub(lambda match: "{}" + match[2], path))
            if shape in self._routes:
                raise KernelError(f"{rest.method} {path} is declared by {self._routes[shape]} and {declared.name}")
            self._routes[shape] = declared.name

    def __iter__(self) -> Any:
        return iter(self.operations.values())
