"""The exits: every reply is looked at for secrets before it goes, and one that should not hold any leaves without them.

What is found is a leak: it stands in the journal as a violation, by name, with the place and the form it had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from stack_emu.domain.secret_kinds import BROUGHT, HANDED_OUT, HANDED_OUT_BY_CONTROL, HANDED_OUT_BY_PAGES, named
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.operations import Download, Operation, Stream
from stack_emu.kernel.redactor import SECRET_HEADERS
from stack_emu.kernel.secret_masking import Cleaning, Place
from stack_emu.kernel.secret_scan import Sighting
from stack_emu.kernel.world import World

ENTRY: web.RequestKey[Entry] = web.RequestKey("stack_emu.entry", Entry)
"""Key of a request under which its journal entry is, where it has one."""
HANDED: web.RequestKey[frozenset[str]] = web.RequestKey("stack_emu.handed", frozenset)
"""Key of a request under which the kinds of secrets are that its reply may hold."""

OPENAPI = "/openapi.json"
"""Where the description of the API is: it is made of the declarations alone, and long enough to be worth leaving out."""
_LISTS = 64 * 1024
"""Bytes from which a reply of the MCP endpoint is a list of tools or a result that was screened when it was made."""

NOTHING: frozenset[str] = frozenset()
_QUIET = frozenset({"content-type", "content-length", "cache-control", "date", "server"})
_CARRIERS = frozenset(name.encode() for name in SECRET_HEADERS)
_MOST_NAMED = 5

FROM_REPLY = "Find out how it got there: what agents sent is looked at as well, and so is what upstreams send back."
FROM_AGENT = "The sender holds a secret it need not have; call through the proxy, which adds the credential unseen."


def handed_out(operation: str | None) -> frozenset[str]:
    """The kinds of secrets that the reply of an operation may hold."""
    return HANDED_OUT.get(operation or "", NOTHING)


def sentence(places: Sequence[Place], what: str, advice: str, *, masked: bool = True) -> str:
    """One sentence for secrets that were where they should not be, and one that says what to do.

    Args:
        places: what was found and where; JSON paths, header names and the like.
        what: the message they were in, such as ``the reply of proxy.request``.
        advice: what to do.
        masked: whether they were taken out before anybody saw them.
    """
    shown = [
        f"{named(place.sighting.kind, place.sighting.name)} ({place.sighting.how}, {place.where})" for place in places
    ]
    more = f" and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    verb = "was" if len(shown) == 1 else "were"
    end = f"; {'it' if len(shown) == 1 else 'they'} {verb} masked" if masked else ""
    return f"{', '.join(shown[:_MOST_NAMED])}{more} {verb} in {what}{end}. {advice}"


def note(world: World, entry: Entry, text: str) -> None:
    """Make an exchange a leak; what else was said of it stays."""
    world.redactor.beware()
    text = world.redactor.text(text)
    entry.hint = text if entry.hint is None or entry.hint == text else f"{entry.hint} {text}"
    entry.problem = "leak"
    entry.request = world.redactor.value(entry.request)
    entry.response = world.redactor.value(entry.response)
    entry.path = world.redactor.text(entry.path)
    entry.client = None if entry.client is None else world.redactor.text(entry.client)


def screened(world: World, request: web.BaseRequest, path: str, response: web.StreamResponse) -> web.StreamResponse:
    """A reply as it may go: secrets it must not hold are masked and the exchange is a leak.

    Args:
        world: whose secrets are meant.
        request: what is answered.
        path: path inside the world.
        response: the reply; one that has begun already was looked at as it went.
    """
    if response.prepared or not isinstance(response, web.Response) or _is_description(path, response):
        return response
    entry: Entry | None = request.get(ENTRY)
    but: frozenset[str] = request.get(HANDED) or handed_out(entry.operation if entry is not None else None)
    if path.startswith("/_emu"):
        but = but | _by_path(HANDED_OUT_BY_CONTROL, request.method, path)
    elif path.startswith("/oauth/"):
        but = but | _by_path(HANDED_OUT_BY_PAGES, request.method, path)
    scanner = world.redactor.scanner
    body = response.body if isinstance(response.body, (bytes, bytearray)) else b""
    places: list[Place] = []
    if body and scanner.suspicious(bytes(body), but):
        clean, places = clean_body(world, bytes(body), response.content_type, but)
        if places:
            response.body = clean
    if len(response.headers) > 1:
        places += _clean_headers(world, response.headers, but)
    if places:
        if entry is None:
            entry = world.journal.add(world.now_ms(), surface_of(path), request.method, path)
            entry.status = response.status
        what = f"the reply of {entry.operation}" if entry.operation else f"the reply to {request.method} {entry.path}"
        note(world, entry, sentence(places, what, FROM_REPLY))
    return response


def _is_description(path: str, response: web.Response) -> bool:
    body = response.body
    return path == OPENAPI or (path == "/mcp" and isinstance(body, (bytes, bytearray)) and len(body) > _LISTS)


def _by_path(table: Mapping[str, frozenset[str]], method: str, path: str) -> frozenset[str]:
    """The kinds that a request without an operation may hand out; ``*`` in the table stands for any text."""
    return next((kinds for asked, kinds in table.items() if fnmatchcase(f"{method} {path}", asked)), NOTHING)


def clean_body(world: World, body: bytes, media: str, but: frozenset[str] = NOTHING) -> tuple[bytes, list[Place]]:
    """A body without secrets, and where they were.

    Args:
        world: whose secrets are meant.
        body: as it would go.
        media: its media type.
        but: kinds that are welcome.
    """
    scanner = world.redactor.scanner
    cleaning = Cleaning(scanner, but)
    if "json" in media:
        try:
            data = json.loads(body)
        except ValueError:
            data = None
        if data is not None:
            clean = cleaning.value(data)
            if cleaning.places:
                return json.dumps(clean, separators=(",", ":"), ensure_ascii=False).encode(), cleaning.places
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        found = scanner.find(body, but)
        masked = " ".join(f"<secret:{one.name}>" for one in found).encode()
        return (masked, [Place(one, "its bytes") for one in found]) if found else (body, [])
    shown, found = cleaning.text(text)
    return (shown.encode(), [Place(one, _offset(text, one)) for one in found]) if found else (body, [])


def _offset(text: str, sighting: Sighting) -> str:
    at = text.find(sighting.text) if sighting.text else -1
    return f"from byte {len(text[:at].encode())}" if at >= 0 else "its text"


def _clean_headers(world: World, headers: MutableMapping[str, str], but: frozenset[str]) -> list[Place]:
    scanner = world.redactor.scanner
    values = "\n".join([value for name, value in headers.items() if name.lower() not in _QUIET])
    if not values or not scanner.suspicious(values.encode("utf-8", "surrogateescape"), but):
        return []
    places = []
    for name, value in list(headers.items()):
        clean, found = Cleaning(scanner, but).text(value)
        if found:
            headers[name] = clean
            places += [Place(one, f"header {name}") for one in found]
    return places


def surface_of(path: str) -> str:
    """What the journal calls the surface that owns a path."""
    for prefix, name in (("/_emu", "control"), ("/mcp", "mcp"), ("/anthropic", "messages"), ("/openai", "openai")):
        if path == prefix or path.startswith(f"{prefix}/"):
            return name
    return "rest"


def screened_value(
    world: World, entry: Entry, value: Any, what: str, but: frozenset[str] = NOTHING, advice: str = FROM_REPLY
) -> Any:
    """JSON data as it may go; as ``screened``, for surfaces that look before they serialise.

    Args:
        world: whose secrets are meant.
        entry: the exchange.
        value: the data.
        what: what it is, in a sentence.
        but: kinds that are welcome.
        advice: what to do.
    """
    text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
    if not world.redactor.scanner.suspicious(text, but):
        return value
    cleaning = Cleaning(world.redactor.scanner, but)
    clean = cleaning.value(value)
    if cleaning.places:
        note(world, entry, sentence(cleaning.places, what, advice))
    return clean


async def look_into_request(
    world: World,
    request: web.BaseRequest,
    entry: Entry,
    path: str,
    declared: Operation,
    body: Mapping[str, Any],
) -> None:
    """Look for secrets in what an agent or a client sent where none belongs: the body, the URL, the headers.

    Args:
        world: whose secrets are meant.
        request: the HTTP request.
        entry: its journal entry.
        path: its path inside the world.
        declared: the operation it is for.
        body: the fields of its body.
    """
    raw = await request.read() if request.body_exists or body else b""
    parts = [value for name, value in request.raw_headers if name.lower() not in _CARRIERS]
    parts += (request.raw_path.encode(), raw)
    if "+" in request.raw_path:  # a blank, in a query
        parts.append(request.raw_path.replace("+", " ").encode())
    if not world.redactor.scanner.suspicious(b"\n".join(parts)):
        return
    brought = declared.rest.headers if declared.rest is not None else {}
    carried = {name.lower() for name, field in brought.items() if field in _hidden(declared)}
    shown = {
        name: value
        for name, value in request.headers.items()
        if name.lower().encode() not in _CARRIERS and name.lower() not in carried
    }
    beside = {"path": path, "query": _brought(declared, request.rel_url.query), "header": shown}
    look_into(world, entry, declared, body, "the request", beside)


def look_into(
    world: World,
    entry: Entry,
    declared: Operation,
    fields: Mapping[str, Any],
    what: str,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Look for secrets in what was sent for an operation, but for the fields that are there to hold one.

    Args:
        world: whose secrets are meant.
        entry: the exchange.
        declared: the operation.
        fields: its input.
        what: what was sent, in a sentence.
        beside: what was sent beside the input, by name.
    """
    places = places_in(world, {"$": _brought(declared, fields), **(beside or {})})
    if places:
        note(world, entry, sentence(places, f"{what} for {declared.name}", FROM_AGENT, masked=False))


def _brought(declared: Operation, fields: Mapping[str, Any]) -> dict[str, Any]:
    hidden = _hidden(declared)
    return {name: value for name, value in fields.items() if name not in hidden}


def _hidden(declared: Operation) -> frozenset[str]:
    """Fields that are there to hold a secret."""
    return declared.token_fields | declared.secret_fields | BROUGHT.get(declared.name, NOTHING)


def screened_stream(world: World, entry: Entry, reply: Stream, but: frozenset[str]) -> Stream:
    """A reply in pieces as it may go; pieces are looked at together, as secrets know no chunks."""
    chunks = list(reply.chunks)
    whole = b"".join(chunks)
    if not world.redactor.scanner.suspicious(whole, but):
        return replace(reply, chunks=chunks)
    clean, places = clean_body(world, whole, reply.media, but)
    if not places:
        return replace(reply, chunks=chunks)
    note(world, entry, sentence(places, f"the reply of {entry.operation}", FROM_REPLY))
    return replace(reply, chunks=[clean])


def screened_pieces(
    world: World, entry: Callable[[], Entry], reply: Download, what: str, but: frozenset[str] = NOTHING
) -> Iterator[bytes]:
    """A body in pieces of whole records as it may go; no secret goes over from one record to the next.

    Args:
        world: whose secrets are meant.
        entry: gives the exchange's journal entry, where one is needed.
        reply: what is sent; its body is in pieces.
        what: what it is, in a sentence.
        but: kinds that are welcome.
    """
    for piece in [reply.body] if isinstance(reply.body, bytes) else reply.body:
        if not world.redactor.scanner.suspicious(piece, but):
            yield piece
            continue
        clean, places = clean_body(world, piece, reply.media, but)
        if places:
            note(world, entry(), sentence(places, what, FROM_REPLY))
        yield clean


def places_in(
    world: World, parts: Mapping[str, Any], but: frozenset[str] = NOTHING, *, deep: bool = False
) -> list[Place]:
    """Where secrets are in what somebody sent.

    Args:
        world: whose secrets are meant.
        parts: the parts of the message by name; JSON data.
        but: kinds that are welcome.
        deep: whether texts without a clue are decoded too.
    """
    scanner = world.redactor.scanner
    text = json.dumps(parts, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
    if not scanner.suspicious(text, but) and not (deep and scanner.find(text, but, deep=True)):
        return []
    cleaning = Cleaning(scanner, but, deep=deep)
    for name, value in parts.items():
        cleaning.value(value, name)
    return _each_once(cleaning.places)


def _each_once(places: Iterable[Place]) -> list[Place]:
    return list(dict.fromkeys(places))
