"""``clock.freeze()``: what reads this process's clock reads the world's, and follows it."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from getstack.verify_offline import verify_passport_offline
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials

from stack_emu import Emulator
from stack_emu.client import EmulatorError
from tests.time.deadlines import HOUR, MINUTE, OPERATOR, WORLD, Bench, Worlds

INTENT = {"summary": "Keep time", "services": ["slack"]}
REAL_YEAR_IS_AFTER = 1_780_000_000
"""The world begins before it, and every machine this runs on stands behind it."""


@pytest.fixture(scope="module")
def worlds(emulator: Emulator) -> Worlds:
    return Worlds(emulator.client)


@pytest.fixture
def bench(worlds: Worlds) -> Iterator[Bench]:
    made = worlds.fresh(WORLD)
    yield made
    made.close()


def agree(bench: Bench) -> bool:
    """Whether all of Python's clocks say what the world's does."""
    there = bench.world.clock.now_ms()
    told = [time.time(), time.time_ns() / 1e9, datetime.datetime.now(datetime.timezone.utc).timestamp(), time.time()]
    with ThreadPoolExecutor(1) as pool:
        told.append(pool.submit(time.time).result())
    return {round(each * 1000) for each in told} == {there}


def test_the_frozen_clock_follows_advance_reset_and_restore_and_is_undone(bench: Bench) -> None:
    with bench.world.clock.freeze():
        assert agree(bench)
        for by in ("15m", 1, "3d", 0):
            bench.world.clock.advance(by)
            assert agree(bench)
        name = bench.world.snapshot()
        bench.advance(HOUR)
        bench.world.restore(name)
        assert agree(bench)
        bench.world.reset()
        assert agree(bench)
    assert time.time() > REAL_YEAR_IS_AFTER
    bench.advance(HOUR)
    assert time.time() > REAL_YEAR_IS_AFTER, "an advance outside moves nothing here"


def test_it_follows_through_lanes_and_when_it_is_nested(bench: Bench, worlds: Worlds) -> None:
    bench.advance(HOUR)
    frozen = bench.world.clock.freeze()
    bench.advance(HOUR)
    with frozen:
        assert agree(bench), "the instant is the one at the beginning of the block"
        bench.world.lane("left").clock.advance("10m")
        assert agree(bench)
        with bench.world.clock.freeze():
            bench.advance(MINUTE)
            assert agree(bench)
        assert agree(bench)
        other = worlds.fresh(WORLD + "# another\n")
        with other.world.clock.freeze():
            other.advance(MINUTE)
            assert agree(other)
            bench.advance(MINUTE)
            assert agree(other), "the inner one holds"
        assert agree(bench)
        other.close()
    with frozen:
        assert agree(bench), "it can be entered again"
    assert time.time() > REAL_YEAR_IS_AFTER


def test_it_is_undone_when_the_block_fails_and_works_as_a_decorator(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError), bench.world.clock.freeze():
        raise ZeroDivisionError
    assert time.time() > REAL_YEAR_IS_AFTER

    @bench.world.clock.freeze()
    def inside() -> bool:
        bench.advance(MINUTE)
        return agree(bench)

    assert inside()
    assert time.time() > REAL_YEAR_IS_AFTER
    assert bench.world.clock.frozen == []


def test_an_advance_that_is_refused_moves_neither_clock(bench: Bench) -> None:
    with bench.world.clock.freeze():
        with pytest.raises(EmulatorError):
            bench.advance(-1)
        assert agree(bench)


# --- real client libraries ---------------------------------------------------------------------------------------------


def test_pyjwt_sees_a_passport_expire_when_the_world_does(bench: Bench) -> None:
    jwks = bench.http.get("/v1/.well-known/jwks.json").json()
    key = jwt.PyJWKSet.from_dict(jwks).keys[0]

    def read(token: str) -> Any:
        return jwt.decode(token, key, algorithms=["EdDSA"], options={"verify_aud": False, "verify_iss": False})

    with bench.world.clock.freeze():
        token = bench.issue().token
        assert read(token)["exp"] - read(token)["iat"] == 900
        bench.advance(15 * MINUTE - 1)
        assert read(token)["jti"]
        bench.advance(1)
        with pytest.raises(jwt.ExpiredSignatureError):
            read(token)
        assert bench.own.passports.verify(token)["code"] == "PASSPORT_EXPIRED", "and the world says so too"
    bench.world.reset()
    token = bench.issue().token
    with pytest.raises(jwt.ExpiredSignatureError):
        read(token)


def test_the_sdk_s_own_checks_see_the_world_s_time(bench: Bench) -> None:
    jwks = bench.http.get("/v1/.well-known/jwks.json").json()
    issuer = jwt.decode(bench.issue().token, options={"verify_signature": False})["iss"]

    def read(token: str) -> Any:
        return verify_passport_offline(token, public_jwk=jwks["keys"][0], issuer=issuer)

    with bench.world.clock.freeze():
        token = bench.issue().token
        bench.advance(15 * MINUTE - 1)
        assert read(token)["sub"] == "agt_bot"
        bench.advance(1)
        with pytest.raises(ValueError, match="expired"):
            read(token)


def test_a_session_of_the_sdk_refreshes_its_passport_a_minute_before_its_end(bench: Bench) -> None:
    with bench.world.clock.freeze():
        session = bench.own.issue_passport(agent_id="agt_bot", mission_ids=["ms_bot"], intent=INTENT)
        first = session.get_token()
        bench.advance(14 * MINUTE - 1)
        assert session.get_token() == first
        bench.advance(1)
        second = session.get_token()
        assert second != first
        bench.advance(14 * MINUTE)
        assert session.get_token() not in (first, second)


def test_an_agent_signs_by_the_world_s_time(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STACK_AUTH_INTERACTIVE", "false")
    with bench.world.clock.freeze():
        bench.advance(HOUR)
        agent = bench.stack(OPERATOR, agent_id="agt_bot")
        assert agent.agents.get("agt_bot").id == "agt_bot"
        bench.advance(HOUR)
        assert agent.agents.get("agt_bot").id == "agt_bot"


@pytest.fixture
def tokens() -> Iterator[tuple[str, list[str]]]:
    """A token endpoint: its URL, and what it was asked."""
    asked: list[str] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = b'{"access_token": "fresh", "expires_in": 3600, "token_type": "Bearer"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            body = self.headers["Authorization"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_google_auth_refreshes_its_token_when_the_world_s_hour_is_over(
    bench: Bench, tokens: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url, asked = tokens
    credentials: Callable[..., Any] = Credentials
    held = credentials(None, refresh_token="r", token_uri=url, client_id="c", client_secret="s")
    with bench.world.clock.freeze(), AuthorizedSession(held) as session:
        assert session.get(url).text == "Bearer fresh"
        bench.advance(30 * MINUTE)
        session.get(url)
        assert len(asked) == 1
        bench.advance(30 * MINUTE)
        assert held.expired
        session.get(url)
        assert len(asked) == 2
