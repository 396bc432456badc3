"""The fake services behind the proxy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stack_emu.scenario.values import Duration, Flag, Headers, Host, Identifier, Json, Model, Status

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PATH_PATTERN = r"^/"
BASE64_PATTERN = r"^[A-Za-z0-9+/]*={0,2}$"
SIGNAL_PATTERN = r"^[a-z][a-z0-9_]*$"

Path = Annotated[str, Field(pattern=PATH_PATTERN, max_length=2048)]


class RequestMatch(Model):
    """Which request a route answers. Every part that is given must match; parts left out match anything."""

    method: Method | None = Field(None, description="HTTP method.")
    path: Path | None = Field(
        None, description="Path, exact, or with {name} for one segment and a final * for the rest; no query string."
    )
    query: dict[str, Json] | None = Field(None, description="Query parameters that must be there with these values.")
    headers: Headers | None = Field(
        None, description="Headers that must be there with these values; names in any case."
    )
    body: Json = Field(
        None, description="What the body must contain: for an object, at least these fields; otherwise the whole value."
    )


class Reply(Model):
    """What a route answers. Text containing {{ is rendered as a template."""

    status: Status = Field(200, description="HTTP status.")
    headers: Headers = Field(default_factory=dict, description="Response headers.")
    json_: Json = Field(None, alias="json", description="The body as JSON.")
    text: str | None = Field(None, description="The body as text.")
    base64: Annotated[str, Field(pattern=BASE64_PATTERN)] | None = Field(
        None, description="The body as base64-encoded bytes."
    )
    template: Flag = Field(True, description="Whether {{ ... }} in the reply is rendered; false sends it as written.")
    delay: Duration = Field(0, description="How long to wait before answering.")


class Route(Model):
    """A request pattern and its answer. The first route that matches answers."""

    when: RequestMatch = Field(
        RequestMatch.model_construct(), description="Which requests the route answers; all when left out."
    )
    reply: Reply = Field(description="What it answers.")


class Upstream(Model):
    """One fake service: the hosts it answers for and how it answers."""

    hosts: tuple[Host, ...] = Field(
        (), description="Host names it answers for, such as slack.com or *.slack.com; a pack's own when left out."
    )
    pack: Identifier | None = Field(None, description="A bundled stateful fake, such as slack.")
    seed: dict[str, Json] = Field(
        default_factory=dict, description="What the pack's state starts with; the pack says which keys it knows."
    )
    routes: tuple[Route, ...] = Field((), description="Canned answers, tried in order before the pack or the forward.")
    forward: str | None = Field(
        None,
        description="URL of a server on this machine that gets every other request, such as http://127.0.0.1:9000.",
    )
