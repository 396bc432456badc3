"""What upstreams saw: exchanges written to the journal, and read back for assertions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stack_emu.kernel.acts import Act
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

_KEPT = 256 * 1024
HINT_HEADER = "X-Stack-Emu-Hint"
"""Header of a fake's reply with the sentence that says what would have worked."""


@dataclass(frozen=True)
class SeenRequest:
    """One request an upstream received, with secrets masked.

    Args:
        number: its number in the journal.
        upstream: name of the upstream.
        method: HTTP method.
        path: path without the query string.
        url: URL without the query string.
        query: parameters, the last of equal names.
        headers: headers; those that carry credentials show their scheme only.
        body: JSON data, the fields of a form, or text.
        status: HTTP status it was answered with; None when it was not.
        credential: id of the connection whose credential it carried; None when it carried no accepted one.
        direct: whether it came around STACK.
        lane: lane of the act it belongs to.
        problem: ``unmatched``, ``bypass``, ``leak`` or ``crash`` when it was a violation.
        foreign: names of the secrets it carried that do not belong there.
    """

    number: int
    upstream: str
    method: str
    path: str
    url: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int | None
    credential: str | None
    direct: bool
    lane: str | None
    problem: str | None
    foreign: tuple[str, ...] = ()


@dataclass
class Exchange:
    """One call to an upstream on its way through the engine; its journal entry is completed when it ends.

    Args:
        world: the world it happens in.
        upstream: name of the upstream.
        request: what arrived.
        act: the act it belongs to; None for a direct call before it is served.
        lane: lane of the act.
        credential: connection id of the accepted credential it carries.
        direct: whether it came around STACK.
    """

    world: World
    upstream: str
    request: UpstreamRequest
    act: Act | None
    lane: str | None
    credential: str | None
    direct: bool = False
    entry: Entry = field(init=False)

    def __post_init__(self) -> None:
        self.entry = self.world.journal.add(
            self.world.now_ms(),
            "upstream",
            self.request.method,
            self.request.path,
            operation=self.act.operation if self.act is not None else None,
            lane=self.lane,
            act=self.act.name if self.act is not None else None,
            request=self._shown_request(),
        )

    def say(self, kind: str | None, hint: str | None, near: str | None = None) -> None:
        """Say what would have worked and, with a ``kind``, that the call is a violation; what was said first stands."""
        if hint is None or self.entry.hint is not None:
            return
        self.world.journal.explain(self.entry, hint, kind, near=near)

    def finish(self, reply: UpstreamReply) -> UpstreamReply:
        """Complete the journal entry with the reply and return it, with what was said about it as a header."""
        redactor = self.world.redactor
        if self.entry.hint is not None:
            reply = reply.with_header(
                HINT_HEADER, " ".join(self.entry.hint.split()).encode("ascii", "replace").decode()
            )
        self.entry.status = reply.status
        self._look_at(reply)
        self.entry.response = redactor.value(
            {
                "headers": redactor.headers(reply.headers),
                "body": _shown_body(reply.content, reply.body, reply.headers.get("Content-Type", "")),
            }
        )
        return reply

    def _look_at(self, reply: UpstreamReply) -> None:
        """Say which secrets an upstream sends back; whoever hands its reply on takes them out."""
        scanner = self.world.redactor.scanner
        parts = (
            *(f"{name}: {value}".encode("utf-8", "surrogateescape") for name, value in reply.headers.items()),
            reply.body,
        )
        found = scanner.find(b"\n".join(parts)) or scanner.find(reply.body)
        if not found:
            return
        self.world.redactor.beware()
        if self.entry.hint is None:
            shown = ", ".join(f"{one.name} ({one.how})" for one in found)
            self.entry.hint = f"The upstream sent back {shown}; the proxy takes it out of the reply."

    def fail(self, error: Exception) -> None:
        """Complete the journal entry of a call that got no answer."""
        self.entry.code = type(error).__name__
        self.entry.response = self.world.redactor.value({"error": str(error)})

    def _shown_request(self) -> dict[str, Any]:
        request = self.request
        return {
            "upstream": self.upstream,
            "url": request.url,
            "query": dict(request.query),
            "headers": self.world.redactor.headers(request.headers),
            "body": _shown_body(request.content, request.body, request.content_type),
            "credential": self.credential,
            "direct": self.direct,
        }


def seen_requests(world: World, upstream: str) -> Iterator[SeenRequest]:
    """What the upstream received in this world, oldest first, as far back as the journal reaches."""
    for entry in world.journal.entries(surface="upstream"):
        request = entry.request
        if request.get("upstream") == upstream:
            yield SeenRequest(
                number=entry.number,
                upstream=upstream,
                method=entry.method,
                path=entry.path,
                url=request["url"],
                query=dict(request["query"]),
                headers=dict(request["headers"]),
                body=request["body"],
                status=entry.status,
                credential=request["credential"],
                direct=request["direct"],
                lane=entry.lane,
                problem=entry.problem,
                foreign=tuple(request.get("foreign", ())),
            )


def _shown_body(content: Any, body: bytes, content_type: str) -> Any:
    """Bodies too long or not text are replaced by their size."""
    if len(body) > _KEPT:
        return f"<{len(body)} bytes>"
    if isinstance(content, str) and "\ufffd" in content:
        return f"<{len(body)} bytes of {content_type or 'unknown type'}>"
    return content
