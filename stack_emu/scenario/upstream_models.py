"""The fake services behind the proxy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stack_emu.scenario.values import Count, Duration, Flag, Headers, Host, Json, Model, Status

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PATH_PATTERN = r"^/"
BASE64_PATTERN = r"^[A-Za-z0-9+/]*={0,2}$"
SIGNAL_PATTERN = r"^[a-z][a-z0-9_]*$"

PACK_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9_.-]*|(\.{1,2}/|/|[A-Za-z]:\\)[^\x00]*)$"
PackName = Annotated[str, Field(pattern=PACK_PATTERN, max_length=2048)]
Path = Annotated[str, Field(pattern=PATH_PATTERN, max_length=2048)]


Matcher = dict[str, Json]


class RequestMatch(Model):
    """Which request a route answers. Every part that is given must match; parts left out match anything."""

    method: Method | tuple[Method, ...] | None = Field(None, description="HTTP method, or a list of them.")
    host: Host | Matcher | None = Field(
        None, description="Host name, for an upstream that answers for several; or a [matcher](#matchers)."
    )
    path: Path | Matcher | None = Field(
        None,
        description="Path, exact, or with {name} for one segment and a final * for the rest; or a [matcher](#matchers).",
    )
    query: dict[str, Json] | None = Field(
        None, description="Query parameters that must be there with these values or [matchers](#matchers)."
    )
    headers: dict[str, Json] | None = Field(
        None, description="Headers that must be there with these values or [matchers](#matchers); names in any case."
    )
    body: Json = Field(
        None,
        description=(
            "What the body must contain: for an object, at least these fields; otherwise the whole value. "
            "Anywhere inside may stand a [matcher](#matchers)."
        ),
    )
    jsonpath: dict[str, Json] | None = Field(
        None,
        description="JSONPath queries (RFC 9535) of the body, each with a value or matcher that one of its results must meet.",
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


class Callback(Model):
    """A request that a route sends to a webhook on this machine after it has answered. Text is rendered as a template."""

    url: str = Field(description="Where to, on this machine, such as http://127.0.0.1:9000/hook.")
    after: Duration = Field(0, description="How long after the answer, on the world's clock.")
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="HTTP method.")
    headers: Headers = Field(default_factory=dict, description="Headers.")
    json_: Json = Field(None, alias="json", description="The body as JSON.")
    text: str | None = Field(None, description="The body as text.")


class Route(Model):
    """A request pattern and its answer. The first route that matches, in its state and not used up, answers."""

    when: RequestMatch = Field(
        RequestMatch.model_construct(), description="Which requests the route answers; all when left out."
    )
    reply: Reply | None = Field(None, description="What it answers.")
    replies: tuple[Reply, ...] = Field((), description="What it answers instead: one after the other.")
    repeat: Literal["last", "all", "none"] = Field(
        "last",
        description="After the last of replies: last repeats it, all begins again, none leaves further calls to others.",
    )
    times: Count | None = Field(
        None, description="Answers at most this often; further calls are left to what comes after it."
    )
    per: Literal["lane", "world"] = Field(
        "lane",
        description="Where replies and times count: per lane (repeatable) or in the whole world (order-dependent).",
    )
    requires: dict[str, Json] = Field(
        default_factory=dict,
        description="States of the upstream in which it answers, as values or [matchers](#matchers); names may be templates.",
    )
    sets: dict[str, Json] = Field(
        default_factory=dict, description="States of the upstream it brings about; names and values may be templates."
    )
    callbacks: tuple[Callback, ...] = Field((), description="What it sends to webhooks on this machine afterwards.")


class Upstream(Model):
    """One fake service: the hosts it answers for and how it answers."""

    hosts: tuple[Host, ...] = Field(
        (), description="Host names it answers for, such as slack.com or *.slack.com; a pack's own when left out."
    )
    pack: PackName | None = Field(
        None,
        description="A stateful fake: a bundled or installed one such as slack, or the folder of your own: ./packs/crm.",
    )
    seed: dict[str, Json] = Field(
        default_factory=dict, description="What the pack's state starts with; the pack says which keys it knows."
    )
    routes: tuple[Route, ...] = Field((), description="Canned answers, tried in order before the pack or the forward.")
    forward: str | None = Field(
        None,
        description="URL of a server on this machine that gets every other request, such as http://127.0.0.1:9000.",
    )
    state: dict[str, Json] = Field(default_factory=dict, description="The states its routes begin with, by name.")
    openapi: Annotated[str, Field(max_length=2048)] | None = Field(
        None,
        description=(
            "Short for the pack openapi: an OpenAPI 3.0 or 3.1 document, JSON or YAML, relative to this file; seed then "
            "holds what its lists begin with, such as pets: [{name: Rex}]."
        ),
    )
    resources: dict[str, Json] | None = Field(
        None,
        description="Short for the pack resources: names of resources that are created, read, listed, changed and deleted.",
    )
