"""Every refusal of the control API is one sentence that says what would have worked."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stack_emu.client import ControlConnection, EmulatorClient, EmulatorError
from stack_emu.surfaces.control import is_loopback_peer
from tests.control.conftest import SHOP

BY_MISSING = 'by is missing: send {"by": "15m"} or milliseconds.'
RULES_MISSING = 'rules is missing: send {"rules": [{"when": …, "turns": […]}]} as in a scenario\'s model.'
URL_MISSING = 'url is missing: send {"url": "http://127.0.0.1:9000"}, or null to end a forward.'
NO_PRINTER = "There is no upstream printer; this world has orders."

REFUSALS: list[tuple[str, str, Any, str]] = [
    ("GET", "/nothing", None, "GET /_emu/nothing is not part of the control API; see GET /_emu/health."),
    ("PATCH", "/world", {}, "PATCH /_emu/world is not part of the control API; see GET /_emu/health."),
    ("POST", "/worlds", {}, 'name is missing: send {"name": …, "scenario": path} or {"scenario_yaml": text}.'),
    ("POST", "/worlds", {"name": 7}, 'name is missing: send {"name": …, "scenario": path} or {"scenario_yaml": text}.'),
    (
        "POST",
        "/worlds",
        {"name": "a/b"},
        "'a/b' cannot name a world: use up to 64 letters, digits, _, . and -, a letter or digit first.",
    ),
    ("POST", "/worlds", {"name": "a", "seed": "7"}, "seed must be a whole number from 0, not '7'."),
    ("POST", "/worlds", {"name": "a", "seed": -1}, "seed must be a whole number from 0, not -1."),
    ("POST", "/worlds", {"name": "a", "seed": True}, "seed must be a whole number from 0, not True."),
    ("POST", "/worlds", {"name": "a", "clock": "fast"}, "clock must be real or virtual, not 'fast'."),
    ("POST", "/worlds", {"name": "a", "strict": "yes"}, "strict must be true or false, not 'yes'."),
    (
        "POST",
        "/worlds",
        {"name": "a", "scenario": "x", "scenario_yaml": "y"},
        "Send scenario (a path) or scenario_yaml (a text), not both.",
    ),
    (
        "POST",
        "/worlds",
        {"name": "a", "scenario": "/no/such/thing.yaml"},
        (
            "The scenario has mistakes:\n/no/such/thing.yaml: there is no such file or folder; name a file, or a folder with "
            "scenario.yaml in it"
        ),
    ),
    (
        "POST",
        "/worlds",
        {"name": "a", "scenario_yaml": "stack_emu: 1\ntimeline: [{at: +1m, operation: agents.lst}]\n"},
        (
            "The scenario has mistakes:\n<request>:2:33: timeline[0].operation: there is no operation agents.lst; "
            "did you mean agents.list?"
        ),
    ),
    (
        "POST",
        "/worlds",
        {"name": "a", "scenario_yaml": "stack_emu: 1\nsed: 1\n", "source": "mine.yaml"},
        "The scenario has mistakes:\nmine.yaml:2:1: unknown key sed; did you mean seed?",
    ),
    ("POST", "/worlds", {"name": "a", "overlays": "ci"}, 'overlays must be a list of names, such as ["ci"].'),
    (
        "POST",
        "/worlds",
        {"name": "a", "variables": {"a": []}},
        'variables must map names to text, numbers, true, false or null: {"channel": "random"}.',
    ),
    ("DELETE", "/worlds/default", None, "The default world cannot be removed; reset it with POST /_emu/reset."),
    ("POST", "/clock/advance", {}, BY_MISSING),
    ("POST", "/clock/advance", {"by": None}, BY_MISSING),
    ("POST", "/clock/advance", {"by": -5}, "the clock only moves forward; -5 ms is negative"),
    ("GET", "/audit/canonical?order=time", None, "order must be commit or content, not time."),
    (
        "POST",
        "/faults",
        {"on": {"operation": "proxy.requst"}, "inject": {"error": "NOT_FOND"}},
        (
            "faults[0].on.operation: there is no operation proxy.requst; did you mean proxy.request?; "
            "faults[0].inject.error: there is no error code NOT_FOND; did you mean NOT_FOUND?"
        ),
    ),
    (
        "POST",
        "/faults",
        {"on": {"upstream": "ordrs"}, "inject": {"status": 500}},
        "faults[0].on.upstream: there is no upstream ordrs in this scenario; did you mean orders?",
    ),
    (
        "POST",
        "/faults",
        {"on": {"upstream": "orders"}, "inject": {}},
        "faults[0].inject: nothing is injected; add status, error, delay, drop or transport",
    ),
    ("POST", "/model", {}, RULES_MISSING),
    ("POST", "/model", {"rules": []}, RULES_MISSING),
    ("POST", "/model", {"rules": "hello"}, RULES_MISSING),
    (
        "POST",
        "/model",
        {"rules": [{"turns": [{"sya": "Hi"}]}]},
        "model[0].turns[0]: unknown key sya; did you mean say?",
    ),
    ("GET", "/upstreams/printer/requests", None, NO_PRINTER),
    ("PUT", "/upstreams/orders/forward", {}, URL_MISSING),
    ("PUT", "/upstreams/orders/forward", {"url": 7}, URL_MISSING),
    (
        "PUT",
        "/upstreams/orders/forward",
        {"url": "http://127.0.0.1:9", "hosts": "a.example.com"},
        "hosts must be a list of host names, not 'a.example.com'.",
    ),
    (
        "PUT",
        "/upstreams/printer/forward",
        {"url": "http://127.0.0.1:9"},
        f"{NO_PRINTER} To make a new one, send hosts as well.",
    ),
    ("POST", "/passports", {}, 'agent is missing: send {"agent": id or name}.'),
    ("POST", "/passports", {"agent": "clark"}, "There is no agent clark; this world has clerk, idle."),
    ("POST", "/passports", {"agent": "clerk", "mission": "ms_none"}, "Mission ms_none not found in this account"),
    ("POST", "/approvals/gvr_none", {}, 'decide must be "approve" or "reject".'),
    (
        "POST",
        "/approvals/gvr_none",
        {"decide": "approve"},
        "Governance approval gvr_none was not found in this account",
    ),
    ("POST", "/signals", {}, 'agent is missing: send {"agent": id or name, "signal": "scope_drift"}.'),
    (
        "POST",
        "/signals",
        {"agent": "clerk"},
        'signal is missing: send {"agent": id or name, "signal": "scope_drift"}.',
    ),
    (
        "POST",
        "/signals",
        {"agent": "clerk", "signal": "Scope Drift"},
        "signal must be a name such as scope_drift, not 'Scope Drift'.",
    ),
    (
        "POST",
        "/signals",
        {"agent": "clerk", "signal": "scope_drift", "severity": "bad"},
        "severity must be info, warning or critical, not 'bad'.",
    ),
    (
        "POST",
        "/signals",
        {"agent": "clerk", "signal": "scope_drift", "passport": 7},
        "passport must be a text, not 7.",
    ),
    (
        "POST",
        "/signals",
        {"agent": "clerk", "signal": "scope_drift", "metadata": [1]},
        "metadata must be an object, not [1].",
    ),
    ("POST", "/signals", {"agent": "clark", "signal": "scope_drift"}, "Agent clark was not found in this account"),
    (
        "POST",
        "/signals",
        {"agent": "clerk", "signal": "scope_drift", "passport": "pp_none"},
        "Passport pp_none was not found in this account",
    ),
    ("POST", "/snapshots/none/restore", None, "There is no snapshot none; there is none."),
]


@pytest.mark.parametrize(("method", "path", "body", "sentence"), REFUSALS)
def test_a_request_that_cannot_be_carried_out_says_why(
    emulator: EmulatorClient, method: str, path: str, body: Any, sentence: str
) -> None:
    with pytest.raises(EmulatorError) as caught:
        emulator.connection.request(method, f"/_emu{path}", body)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("by", "soon", "by: "), ("by", True, "by: "), ("by", 1.5, "by: ")],
)
def test_a_span_of_time_that_is_none_shows_how_one_looks(
    emulator: EmulatorClient, field: str, value: Any, words: str
) -> None:
    with pytest.raises(EmulatorError) as caught:
        emulator.connection.json("POST", "/_emu/clock/advance", {field: value})
    assert str(caught.value).startswith(words)
    assert "15m" in str(caught.value)


def test_a_passport_s_lifetime_is_named_in_its_refusal(emulator: EmulatorClient) -> None:
    with pytest.raises(EmulatorError, match=r"^ttl: "):
        emulator.connection.json("POST", "/_emu/passports", {"agent": "clerk", "ttl": "soon"})


def test_a_host_of_another_machine_is_no_place_to_forward_to(emulator: EmulatorClient) -> None:
    with pytest.raises(EmulatorError, match=r"files\.example\.com"):
        emulator.connection.json("PUT", "/_emu/upstreams/orders/forward", {"url": "http://files.example.com"})


def test_nothing_changes_when_a_request_is_refused(emulator: EmulatorClient) -> None:
    before = emulator.connection.json("GET", "/_emu/faults"), emulator.health()["worlds"]
    for body in ({"name": "a", "seed": "7"}, {"name": "a", "scenario_yaml": "stack_emu: 2"}):
        with pytest.raises(EmulatorError):
            emulator.connection.json("POST", "/_emu/worlds", body)
    with pytest.raises(EmulatorError):
        emulator.connection.json("POST", "/_emu/faults", {"on": {}, "inject": {"status": 500}})
    assert (emulator.connection.json("GET", "/_emu/faults"), emulator.health()["worlds"]) == before


def test_a_scenario_file_is_read_again_when_it_changed(emulator: EmulatorClient, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("stack_emu: 2\n")
    with pytest.raises(EmulatorError, match="write stack_emu: 1"):
        emulator.create_world("blue", scenario=file)
    file.write_text(SHOP)
    assert emulator.create_world("blue", scenario=file).api_key == "sk_live_emu_shop"


def _answer(connection: ControlConnection, method: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    parts = urlsplit(connection.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        client.request(method, path, body, headers)
        reply = client.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        client.close()


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"', b"\xff", b'{"by": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(control: ControlConnection, body: bytes) -> None:
    status, answer = _answer(control, "POST", "/_emu/clock/advance", body, **{"Content-Type": "application/json"})
    assert status == 400
    assert "the body" in answer["error"]["message"]


def test_a_world_that_is_not_there_is_named(control: ControlConnection) -> None:
    status, answer = _answer(control, "GET", "/w/red/_emu/world", b"")
    assert status == 404
    assert answer["error"]["message"] == "There is no world named red; create it with PUT /w/red/_emu/world."


def test_pages_and_names_of_elsewhere_are_refused(control: ControlConnection) -> None:
    assert _answer(control, "POST", "/_emu/reset", b"", Origin="https://evil.test")[0] == 403
    assert _answer(control, "POST", "/_emu/reset", b"", Host="evil.test")[0] == 421


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", None])
def test_peers_on_this_machine_are_answered(peer: str | None) -> None:
    assert is_loopback_peer(peer)


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "fe80::1%eth0", "0.0.0.0", "", "unix:"])
def test_peers_from_elsewhere_are_not(peer: str) -> None:
    assert not is_loopback_peer(peer)
