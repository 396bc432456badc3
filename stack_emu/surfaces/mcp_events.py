"""What event streams carried, kept so that a client whose stream broke off can have the rest (``Last-Event-ID``)."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http import EventCallback, EventId, StreamId
    from mcp_types import JSONRPCMessage

STREAMS_KEPT = 100
EVENTS_KEPT = 200


class RecentEvents(EventStore):
    """The latest events of the latest streams of one session, in memory.

    Args:
        streams: how many streams are remembered.
        events: how many events of each.
    """

    def __init__(self, streams: int = STREAMS_KEPT, events: int = EVENTS_KEPT) -> None:
        self._streams: OrderedDict[StreamId, deque[tuple[int, JSONRPCMessage | None]]] = OrderedDict()
        self._kept, self._events = streams, events
        self._count = 0

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep a message of a stream; None primes a stream with an id to resume from."""
        self._count += 1
        events = self._streams.setdefault(stream_id, deque(maxlen=self._events))
        self._streams.move_to_end(stream_id)
        events.append((self._count, message))
        if len(self._streams) > self._kept:
            self._streams.popitem(last=False)
        return f"{self._count}-{stream_id}"

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        """Send what came after an event on its stream; None when the stream is not remembered."""
        number, _, stream_id = last_event_id.partition("-")
        events = self._streams.get(stream_id)
        if events is None or not number.isdecimal():
            return None
        for count, message in tuple(events):
            if count > int(number) and message is not None:
                await send_callback(EventMessage(message, f"{count}-{stream_id}"))
        return stream_id


class _StreamingManager(StreamableHTTPSessionManager):
    """A manager that gives every session events of its own.

    Streams are numbered by the requests they answer, and each client counts those from the start: with one store for all,
    a session could be sent the events of another's stream.
    """

    @property
    def event_store(self) -> EventStore | None:
        """A store for the session that is about to begin."""
        return RecentEvents()

    @event_store.setter
    def event_store(self, value: EventStore | None) -> None:
        """The base class sets the one it was given: none."""


def streaming_manager(server: Server[Any], **options: Any) -> StreamableHTTPSessionManager:
    """A session manager that answers with event streams that can be resumed.

    Args:
        server: what it serves.
        **options: those of the base class.
    """
    return _StreamingManager(server, json_response=False, **options)
