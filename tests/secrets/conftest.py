"""A world with secrets of every kind, an upstream that echoes what it is told to, and ways to ask both."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from stack_emu.domain.state import Connection
from tests.conftest import Served
from tests.guarantees.conftest import ground, ground_of  # noqa: F401  fixtures
from tests.secrets.ways import BYTES, WAYS

KEY = "sk_live_emu_operator"
SCENARIO = """
stack_emu: 1
operator: {id: op_emu, keys: [{key: %(key)s}]}
agents:
  - {id: agt_one, name: one, accountability_mode: logged, credential_access: proxy_preferred}
  - {id: agt_two, name: two, accountability_mode: logged}
services:
  - {id: scon_slack, provider: slack, credential: canary, upstream: slack, grants: [{agent: agt_one}]}
  - {id: scon_mirror, provider: mirror, credential: canary, upstream: mirror, grants: [{agent: agt_one}]}
  - {id: scon_basic, provider: twilio, credential: {fields: {account_sid: AC0123456789, auth_token: canary}}, upstream: mirror}
  - {id: scon_other, provider: other, credential: canary, upstream: store}
missions: [{id: ms_one, agent: agt_one, intent: Look, services: [slack, mirror], expires: 24h}]
passports: [{id: pp_one, agent: agt_one, mission: ms_one, services: [slack, mirror], ttl: 60m, env: ONE}]
upstreams:
  slack: {hosts: [slack.com], pack: slack, seed: {channels: [{name: engineering}, {name: random}]}}
  mirror: {hosts: [mirror.test], forward: "%(forward)s"}
  store: {hosts: [store.test], forward: "%(forward)s"}
model:
  - when: {user: repeat after me}
    turns: [{say: "{{ user }}"}]
  - turns: [{say: Noted}, {say: Noted}, {say: Noted}]
"""


class Mirror:
    """A server that sends back the credential it was given, in the way the query asks for; and keeps what it was given."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def answer(self, request: Request) -> Response:
        secret = request.headers.get("Authorization", "").partition(" ")[2]
        if request.path == "/keep":
            self.kept.append(secret)
            return Response("kept")
        if request.path == "/kept":
            secret = self.kept[-1]
        way, place = request.args["as"], request.args["in"]
        if way in BYTES:
            return Response(BYTES[way](secret), content_type="application/octet-stream")
        return _placed(place, WAYS[way](secret))


def _placed(place: str, shown: str) -> Response:
    import json

    if place == "header":
        return Response("{}", headers={"X-Seen": shown}, content_type="application/json")
    if place == "redirect":
        return Response("", 302, {"Location": f"https://mirror.test/?t={shown}"})
    if place == "json":
        return Response(json.dumps({"a": [{"b": shown}]}), content_type="application/json")
    if place == "name":
        return Response(json.dumps({"a": {shown: True}}), content_type="application/json")
    if place == "pieces":
        return Response(json.dumps([shown[:9], shown[9:20], shown[20:]]), content_type="application/json")
    if place == "error":
        return Response(f"no such token: {shown}", 500, content_type="text/plain")
    if place == "page":
        return Response(f"<html><p>{shown}</p></html>", 404, content_type="text/html")
    if place == "gzip":
        return Response(gzip.compress(shown.encode()), headers={"Content-Encoding": "gzip"}, content_type="text/plain")
    if place == "deflate":
        return Response(
            zlib.compress(shown.encode()), headers={"Content-Encoding": "deflate"}, content_type="text/plain"
        )
    assert place == "chunks", place
    return Response((char for char in shown), content_type="text/plain")


PLACES = ("json", "name", "pieces", "error", "page", "header", "redirect", "gzip", "deflate", "chunks")


@pytest.fixture
def mirror() -> Iterator[tuple[str, Mirror]]:
    import re

    made = Mirror()
    with HTTPServer("127.0.0.1", 0, threaded=True) as server:
        server.expect_request(re.compile(".*")).respond_with_handler(made.answer)
        yield server.url_for("").rstrip("/"), made


@pytest.fixture
def lair(serve: Callable[..., Served], mirror: tuple[str, Mirror]) -> Served:
    """The world served."""
    return serve(SCENARIO % {"key": KEY, "forward": mirror[0]}, strict=True)


def credential(served: Served, connection_id: str) -> str:
    held: Any = served.world.store.get(Connection, connection_id).credential
    return held if isinstance(held, str) else held["auth_token"]


def passport_of(served: Served) -> str:
    from stack_emu.domain.provision import scenario_tokens

    return next(iter(scenario_tokens(served.world, served.hosted.scenario).values()))


def leaks(served: Served) -> list[str]:
    """What the run failed for so far, and forget it."""
    found = [str(entry.hint) for entry in served.world.journal.violations() if entry.problem == "leak"]
    served.call(served.world.journal.clear)
    return found


def said(served: Served) -> list[str]:
    """Every hint in the journal, and forget it."""
    found = [str(entry.hint) for entry in served.world.journal.entries() if entry.hint]
    served.call(served.world.journal.clear)
    return found


def readable(raw: bytes) -> bytes:
    """A reply and what its Base64 holds: bytes of an upstream come so."""
    import re

    runs = re.findall(rb'base64\\*":\s*\\*"([A-Za-z0-9+/=]+)', raw)
    return raw + b"".join(base64.b64decode(run + b"=" * (-len(run) % 4)) for run in runs)
