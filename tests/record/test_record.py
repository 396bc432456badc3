"""``stack-emu record``: a real service, a real client, then the service's answers without the service and its secrets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from getstack import Stack
from slack_sdk import WebClient

from stack_emu.recording.exchanges import Recorded
from stack_emu.recording.reverse_proxy import Recorder
from stack_emu.recording.scenario_file import scenario_text
from stack_emu.recording.secrets import SecretLeft, Secrets, random_words
from stack_emu.scenario.loader import inspect_path, loads
from stack_emu.surfaces.host_gateway import HostGateway
from tests.conftest import KEY, Served
from tests.record import client, service

Serve = Callable[..., Served]
HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOST = "api.tickets.example.com"
GIVEN = {"bearer": service.BEARER, "api_key": service.API_KEY, "password": service.PASSWORD}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stack_emu.cli.main", "record", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The file of a recording, and what the client saw while it was made; the service is gone."""
    file = tmp_path_factory.mktemp("record") / "tickets.yaml"
    with service.running() as url:
        program = [sys.executable, str(HERE / "client.py")]
        done = subprocess.run(
            command("--to", url, "--host", HOST, "-o", str(file), "--", *program),
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
        )
    assert done.returncode == 0, done.stderr
    assert "8 exchanges written" in done.stderr
    return file, json.loads(done.stdout)


@pytest.fixture
def gateway(serve: Serve, _loop: asyncio.AbstractEventLoop) -> Iterator[Callable[[str], tuple[Served, dict[str, Any]]]]:
    """``gateway(yaml)``: a served scenario and the options with which httpx reaches its real hosts."""
    opened: list[HostGateway] = []

    def on_loop(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, _loop).result(20)

    def start(text: str) -> tuple[Served, dict[str, Any]]:
        served = serve(text)

        async def begin() -> HostGateway:
            made = HostGateway(served.server)
            await made.start()
            return made

        opened.append(on_loop(begin()))
        return served, {"proxy": opened[-1].url(), "verify": ssl.create_default_context(cafile=opened[-1].ca_file)}

    yield start
    for one in opened:
        on_loop(one.stop())


def test_the_file_is_a_scenario_without_mistakes(recording: Any) -> None:
    file, _ = recording
    assert inspect_path(file).problems == ()
    checked = subprocess.run(
        [sys.executable, "-m", "stack_emu.cli.main", "check", str(file)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("secret", service.SECRETS)
def test_no_secret_is_in_the_file_however_it_is_spelt(recording: Any, secret: str) -> None:
    text = recording[0].read_text("utf-8")
    assert [way for way in service.spelt(secret) if way in text] == []


def test_the_recorded_calls_get_the_same_answers_without_the_service(recording: Any, gateway: Any) -> None:
    file, before = recording
    served, options = gateway(file.read_text("utf-8"))
    after = client.calls(f"https://{HOST}", GIVEN, **options)
    assert [(one["status"], shape(one["body"])) for one in after] == [
        (one["status"], shape(one["body"])) for one in before
    ]
    made, again = after[1]["body"], after[2]["body"]
    assert made["id"].startswith("tick_")
    assert made["title"] == "Broken lamp"
    assert made["state"] == again["state"] == "open"
    assert made["id"] == again["id"] != before[1]["body"]["id"]
    assert after[5]["body"]["braces"] == "{{ not ours }}"
    assert after[7]["body"] == before[7]["body"]
    entries = list(served.world.journal.entries(surface="upstream"))
    assert [entry.route is None for entry in entries] == [False] * 8
    assert {entry.problem for entry in entries} == {"bypass"}  # nothing but that nobody went through STACK


def shape(value: Any) -> Any:
    """What of a value stays when secrets, ids and dates become others."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def test_another_title_is_not_what_was_recorded(recording: Any, gateway: Any) -> None:
    served, options = gateway(recording[0].read_text("utf-8"))
    with httpx.Client(base_url=f"https://{HOST}", trust_env=False, **options) as http:
        for path, sent in (("/tickets", {"title": "Another"}), ("/invoices", {})):
            reply = http.post(path, json=sent)
            assert (reply.status_code, reply.json()["error"]["code"]) == (501, "UPSTREAM_UNMATCHED")
    assert [entry.route for entry in served.world.journal.entries(surface="upstream")] == [None, None]


def test_the_recording_answers_behind_stack_s_proxy(recording: Any, serve: Serve) -> None:
    text = recording[0].read_text("utf-8") + (
        "agents: [{id: agent_a, name: alpha, accountability_mode: standard}]\n"
        "services: [{id: scon_t, provider: tickets, upstream: example, scopes: [x], grants: [{agent: alpha}]}]\n"
    )
    served = serve(text)
    with Stack(api_key=KEY, base_url=served.base_url) as stack:
        token = stack.missions.start(agent_id="agent_a", mission={"intent_summary": "x"})["passport"]["token"]
        made = stack.proxy.post(
            "tickets", f"https://{HOST}/tickets", body={"title": "Broken lamp"}, passport_token=token
        )
        assert (made.status, made.body["title"]) == (201, "Broken lamp")
        url = f"https://{HOST}/tickets/{made.body['id']}"
        read = stack.proxy.get("tickets", url, passport_token=token)
        assert (read.status, read.body["id"]) == (200, made.body["id"])
        assert served.world.journal.violations() == []
        other = stack.proxy.post("tickets", f"https://{HOST}/tickets", body={"title": "Else"}, passport_token=token)
    assert other.status == 501
    [missed] = served.world.journal.violations()
    assert missed.problem == "unmatched"
    assert "body.title was 'Else', expected 'Broken lamp'" in str(missed.hint)


def test_ctrl_c_writes_the_file(tmp_path: Path) -> None:
    file = tmp_path / "out.yaml"
    with service.running() as url:
        recorder = subprocess.Popen(
            command("--to", url, "-o", str(file)), stderr=subprocess.PIPE, text=True, env=environment()
        )
        assert recorder.stderr is not None
        at = recorder.stderr.readline().split()[-1]
        assert httpx.get(f"{at}/page", trust_env=False).status_code == 200
        recorder.send_signal(signal.SIGINT)
        said = recorder.stderr.read()
        assert recorder.wait(20) == 0, said
        recorder.stderr.close()
    assert "1 exchanges written" in said
    [route] = loads(file.read_text("utf-8")).upstreams["example"].routes
    assert route.when.path == "/page"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "https://api.github.com"), "only a service on this machine is recorded"),
        (("--to", "http://10.0.0.7:80"), "only a service on this machine is recorded"),
        (("--to", "ftp://127.0.0.1"), "only a service on this machine is recorded"),
        (("--to", "http://127.0.0.1:9", "--host", "Not A Host"), "is no host name"),
    ],
)
def test_what_cannot_be_recorded_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    file = tmp_path / "out.yaml"
    done = subprocess.run(
        command(*arguments, "-o", str(file)), capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert not file.exists()


def test_slack_s_sdk_is_recorded_against_another_emulator_and_replayed(gateway: Any) -> None:
    token = "xoxb-1111-2222-abcdefABCDEF123456"
    pack = "stack_emu: 1\nupstreams: {slack: {pack: slack, seed: {channels: [{name: eng}]}}}\n"
    first, options = gateway(pack)
    sdk = WebClient(token=token, proxy=options["proxy"], ssl=options["verify"])
    channels = [one["id"] for one in sdk.conversations_list()["channels"]]
    assert channels

    async def relay() -> tuple[Recorder, web.AppRunner]:
        """The first emulator's Slack on a port of this machine."""

        async def answer(request: web.Request) -> web.StreamResponse:
            return await first.server.answer_upstream(
                first.hosted, request, f"https://slack.com{request.rel_url.raw_path_qs}"
            )

        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        recorder = Recorder(f"http://127.0.0.1:{runner.addresses[0][1]}", "slack.com")
        await recorder.start()
        return recorder, runner

    recorder, runner = asyncio.run_coroutine_threadsafe(relay(), first.loop).result(20)

    def talk(at: WebClient) -> list[Any]:
        posted = at.chat_postMessage(channel=channels[0], text="deployed")
        listed = at.conversations_list()
        return [posted["ok"], posted["message"]["text"], [one["name"] for one in listed["channels"]]]

    before = talk(WebClient(token=token, base_url=f"{recorder.url}/api/"))
    text = scenario_text(recorder.exchanges, "slack.com")
    asyncio.run_coroutine_threadsafe(recorder.stop(), first.loop).result(10)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), first.loop).result(10)
    assert token not in text
    _, replayed = gateway(text)
    assert talk(WebClient(token=token, proxy=replayed["proxy"], ssl=replayed["verify"])) == before


# --- single rules ---------------------------------------------------------------------------------------------------------


def exchange(method: str = "GET", path: str = "/x", reply: Any = None, **more: Any) -> Recorded:
    fields = {"query": (), "headers": {}, "body": b"", "status": 200, **more}
    sent = json.dumps(reply).encode()
    return Recorded(method, path, reply_headers={"Content-Type": "application/json"}, reply_body=sent, **fields)


def test_equal_requests_are_one_route_and_different_replies_come_in_their_order() -> None:
    text = scenario_text(
        [exchange(reply={"n": 1}), exchange(reply={"n": 1}), exchange(reply={"n": 2})], "a.example.com"
    )
    [route] = loads(text).upstreams["example"].routes
    assert [reply.json_ for reply in route.replies] == [{"n": 1}, {"n": 1}, {"n": 2}]
    assert "seen 3 times" in text


def test_what_looks_like_a_matcher_is_written_so_that_it_is_meant_literally() -> None:
    body = json.dumps({"filter": {"gt": 3}, "name": "x"}).encode()
    headers = {"Content-Type": "application/json"}
    text = scenario_text([exchange("POST", body=body, headers=headers, reply={})], "a.example.com")
    [route] = loads(text).upstreams["example"].routes
    assert route.when.body == {"filter": {"equals": {"gt": 3}}, "name": "x"}


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln",
        "ghp_0123456789abcdefABCDEF0123456789abcd",
        "sk_live_emu_operator",
        "xoxb-12-34-abcdef",
        "canary-abcdefghijklmnopqrstuvwx",
        "Zk9vQ2xR7mTb3WdY1sHcLn8EpJ5uGf0A",
    ],
)
def test_secrets_are_known_by_their_form(secret: str) -> None:
    assert list(random_words(f"before {secret} after"))
    assert secret not in scenario_text([exchange(reply={"text": f"see {secret} here"})], "a.example.com")


@pytest.mark.parametrize(
    "word", ["internationalization-of-things", "2026-01-01T00:00:00Z", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
)
def test_ordinary_words_are_no_secrets(word: str) -> None:
    assert list(random_words(word)) == []


def test_an_error_s_code_and_a_ticket_s_key_are_kept() -> None:
    text = scenario_text([exchange(reply={"code": "not_found", "key": "OPS-12"})], "a.example.com")
    assert loads(text).upstreams["example"].routes[0].reply.json_ == {"code": "not_found", "key": "OPS-12"}


def test_a_secret_that_would_be_left_stops_the_writing() -> None:
    secrets = Secrets()
    secrets.learn("hunter2hunter2", "password")
    with pytest.raises(SecretLeft, match="password"):
        secrets.require_none("aGVsbG8gaHVudGVyMmh1bnRlcjIgYnll")
    secrets.require_none("nothing here")


def test_basic_credentials_are_taken_apart() -> None:
    sent = {"Authorization": "Basic YW5uOmh1bnRlcjJodW50ZXIy"}
    text = scenario_text([exchange(reply={"you": "hunter2hunter2"}, headers=sent)], "a.example.com")
    assert "hunter2hunter2" not in text
