"""One call of a Slack method: its arguments, its refusals and what it may touch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel import strict_json
from stack_emu.kernel.acts import Act
from stack_emu.kernel.store import Store
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.packs import PackContext
from stack_emu.upstreams.requests import UpstreamRequest
from stack_emu.upstreams.slack.records import User, Workspace

_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_TRUE = frozenset({"1", "true", "t", "yes"})


class SlackError(Exception):
    """A refusal in Slack's words: HTTP 200 with ``ok: false``.

    Args:
        error: Slack's word, for example ``channel_not_found``.
        **extra: further fields of the reply, for example ``needed``.
    """

    def __init__(self, error: str, **extra: Any) -> None:
        self.error = error
        self.extra = extra
        super().__init__(error)

    def reply(self) -> dict[str, Any]:
        """The reply's JSON."""
        return {"ok": False, "error": self.error, **self.extra}


@dataclass
class SlackCall:
    """The arguments of a call, from query, form or JSON alike, and the state it works on.

    Args:
        context: what the engine gave.
        workspace: the workspace as the call found it.
        arguments: everything the client sent.
        read: names of the arguments that were looked at.
    """

    context: PackContext
    workspace: Workspace
    arguments: dict[str, Any]
    read: set[str] = field(default_factory=set)

    @property
    def act(self) -> Act:
        """The act ids are derived from."""
        return self.context.act

    @property
    def store(self) -> Store:
        """The world's store."""
        return self.context.world.store

    @property
    def upstream(self) -> str:
        """Name of the upstream, the front of every key."""
        return self.context.upstream

    @property
    def bot(self) -> str:
        """Id of the user the token belongs to."""
        return self.workspace.bot_user

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the arguments nobody looked at."""
        return tuple(sorted(set(self.arguments) - self.read - {"token"}))

    def raw(self, name: str) -> Any:
        """An argument as it came; None when it is absent or empty."""
        self.read.add(name)
        value = self.arguments.get(name)
        return None if value == "" else value

    def text(self, name: str) -> str | None:
        """An argument as text; None when it is absent or empty."""
        value = self.raw(name)
        return value if value is None or isinstance(value, str) else json.dumps(value)

    def required(self, name: str) -> str:
        """An argument as text.

        Raises:
            SlackError: ``invalid_arguments`` when it is absent.
        """
        value = self.text(name)
        if value is None:
            raise invalid_arguments(f"missing required field: {name}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean argument in any of the spellings Slack takes."""
        value = self.raw(name)
        if value is None:
            return default
        return value if isinstance(value, bool) else str(value).lower() in _TRUE

    def number(self, name: str) -> int | None:
        """A whole number.

        Raises:
            SlackError: ``invalid_arguments`` when it is none.
        """
        value = self.raw(name)
        if value is None:
            return None
        try:
            return int(str(value))
        except ValueError:
            raise invalid_arguments(f"must be a valid integer: {name}") from None

    def names(self, name: str) -> list[str]:
        """A list given as a list or separated by commas."""
        value = self.raw(name)
        if value is None:
            return []
        parts: Iterable[Any] = value if isinstance(value, list) else str(value).split(",")
        return [str(part).strip() for part in parts if str(part).strip()]

    def array(self, name: str, error: str) -> list[Any] | None:
        """A JSON array, which forms carry as text.

        Raises:
            SlackError: ``error`` when it is something else.
        """
        value = self.raw(name)
        if isinstance(value, str):
            try:
                value = strict_json.loads(value)
            except ValueError:
                raise SlackError(error) from None
        if value is not None and not isinstance(value, list):
            raise SlackError(error)
        return value

    def mapping(self, name: str, error: str) -> dict[str, Any] | None:
        """A JSON object, which forms carry as text.

        Raises:
            SlackError: ``error`` when it is something else.
        """
        value = self.raw(name)
        if isinstance(value, str):
            try:
                value = strict_json.loads(value)
            except ValueError:
                raise SlackError(error) from None
        if value is not None and not isinstance(value, dict):
            raise SlackError(error)
        return value

    def collection(self, name: str) -> Collection:
        """A collection of this workspace."""
        return Collection(self.store, self.upstream, name, self.act.place)

    @property
    def now_s(self) -> int:
        """The instant of the call in epoch seconds on the world's clock."""
        return self.act.now_ms // 1000

    def has(self, *scopes: str) -> bool:
        """Whether the token has one of the scopes; a connection that names no scopes has them all."""
        credential = self.context.credential
        if credential is None or credential.scopes is None:
            return True
        return any(scope in credential.scopes for scope in scopes)

    def need(self, *scopes: str) -> None:
        """Require one of the scopes.

        Raises:
            SlackError: ``missing_scope``, with the first one as ``needed`` and the token's as ``provided``.
        """
        if self.has(*scopes):
            return
        self.context.lacks(self.context.request.path.rpartition("/")[2], scopes)
        credential = self.context.credential
        provided = ",".join(credential.scopes or ()) if credential is not None else ""
        raise SlackError("missing_scope", needed=scopes[0], provided=provided)

    def user(self, user: str) -> User | None:
        """The user with this id."""
        return self.store.get(User, f"{self.upstream}/{user}")


def invalid_arguments(message: str) -> SlackError:
    """Slack's refusal of an argument that is missing or has the wrong form."""
    return SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {message}"]})


def read_arguments(request: UpstreamRequest) -> dict[str, Any]:
    """What the client sent, from the query and from a form, multipart or JSON body.

    Raises:
        SlackError: in Slack's words for a body that cannot be read.
    """
    arguments: dict[str, Any] = dict(request.query)
    if request.method == "GET" or not request.body:
        return arguments
    if not request.content_type:
        raise SlackError("missing_post_type")
    if request.content_type in _FORMS:
        return {**arguments, **_form(request)}
    if request.content_type == "application/json":
        return {**arguments, **_json(request)}
    if request.content_type == "text/plain":
        return arguments
    raise SlackError("invalid_post_type")


def _form(request: UpstreamRequest) -> dict[str, str]:
    if request.content_type == "multipart/form-data" and not request.parts:
        raise SlackError("invalid_form_data")
    return request.form


def _json(request: UpstreamRequest) -> dict[str, Any]:
    try:
        data = request.json()
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(data, dict):
        raise SlackError("json_not_object")
    return data
