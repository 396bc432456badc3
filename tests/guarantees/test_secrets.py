"""No credential, key or token is kept or shown anywhere but where it is handed out."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from stack_emu.domain.canonical_audit import canonical_log, table
from stack_emu.domain.state import Connection
from stack_emu.kernel.audit import as_dict
from tests.guarantees.conftest import Ground
from tests.guarantees.raw_http import ask
from tests.guarantees.test_crash_safety import fused
from tests.guarantees.tour import (
    ADMIN,
    LIMITED,
    OPERATOR,
    POST_MESSAGE,
    READONLY,
    SCENARIO,
    STANDARD,
    STRANGER,
    TYPED_SECRETS,
    Tour,
    agent_jwt,
    prepare,
    registry,
    token,
)
from tests.guarantees.tours.notifications import TYPED as WEBHOOK_SECRETS
from tests.guarantees.wire import Answer

JSON = "application/json"
JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
HANDED_SECRET = re.compile(r"whsec_[\w-]+")
KEYS = (OPERATOR, READONLY, STANDARD, ADMIN, LIMITED, STRANGER)
ECHO = """
  mirror:
    hosts: [mirror.test]
    routes:
      - when: {path: /echo}
        reply: {status: 200, json: {authorization: "{{ request.headers.authorization }}", all: "{{ request.headers }}"}}
approvals:"""
MIRROR = """
  - {id: scon_mirror, provider: mirror, credential: canary, upstream: mirror}
missions:"""
HANDED_OUT = {"GET /_emu/world", "PUT /_emu/world", "GET /_emu/worlds", "POST /_emu/worlds", "POST /_emu/passports"}
"""Control requests whose purpose is to hand out what a client needs: keys and passports."""


class Ledger:
    """Secrets that must not be seen again, by name."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def add(self, name: str, secret: str) -> None:
        self.secrets[name] = secret

    def learn_tokens(self, text: str) -> None:
        for found in JWT.findall(text):
            self.secrets[f"token …{found[-8:]}"] = found

    def found_in(self, text: str) -> list[str]:
        """Names of the secrets in a text, in any of the forms they travel in."""
        return [name for name, secret in self.secrets.items() if any(form in text for form in forms(secret))]


def forms(secret: str) -> set[str]:
    raw = secret.encode()
    packed = [base64.b64encode(b"\0" * offset + raw)[4:-4].decode() for offset in range(3)]
    return {secret, quote(secret, safe=""), raw.hex(), *packed}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything logged and printed so far, but for what the test's own client logs."""
    for client in ("httpx", "httpcore"):
        caplog.set_level(logging.CRITICAL, logger=client)
    caplog.set_level(logging.DEBUG)  # last: it sets what is captured at all

    def everything() -> str:
        shown = capfd.readouterr()
        return "\n".join((caplog.text, shown.out, shown.err))

    return everything


def busy(ground: Ground) -> Ledger:
    """Take the tour, and do with secrets everything that should not be done with them."""
    ledger = Ledger()
    for number, key in enumerate(KEYS):
        ledger.add(f"key {number}", key)
    for number, secret in enumerate(TYPED_SECRETS):
        ledger.add(f"typed {number}", secret)
    misuse(ground, ledger)
    tour = ground.take_tour()
    ledger.learn_tokens(json.dumps(tour.replies))
    ledger.add("fleet session", tour.replies["fleet session"]["session_token"])
    for number, secret in enumerate((*WEBHOOK_SECRETS, *HANDED_SECRET.findall(json.dumps(tour.replies)))):
        ledger.add(f"webhook secret {number}", secret)
    for connection in ground.world.store.all(Connection):
        values = connection.credential if isinstance(connection.credential, dict) else {"": connection.credential}
        for name, secret in values.items():
            if name != "region":
                ledger.add(f"{connection.id} {name}", secret)
    return ledger


def misuse(ground: Ground, ledger: Ledger) -> None:
    base, passport = ground.served.base_url, token(ground.world, "pp_tour")
    operations, slack = registry().operations, ground.world.store.get(Connection, "scon_slack").credential
    ledger.learn_tokens(passport)
    for number in (1, 2):
        jwt = agent_jwt(ground.world, number)
        ledger.learn_tokens(jwt)
        client: Any = ground.rest if number == 1 else ground.mcp
        client.call(operations["agents.get"], {"agent_id": "agt_tour"}, jwt)
    for path in (f"/v1/agents/{OPERATOR}", f"/v1/agents?key={OPERATOR}", f"/{slack}/x", f"/v1/missions/{passport}"):
        ask(base, "GET", path, bearer=OPERATOR)
    refused = {"provider": "github", "credential": {"deep": [TYPED_SECRETS[0]]}, "scopes": "no list"}
    for client in (ground.rest, ground.mcp):
        client.call(operations["services.connect"], refused, OPERATOR)
        client.call(operations["agents.register"], {"name": OPERATOR, "description": passport}, OPERATOR)
        client.call(operations["passports.verify"], {"token": passport[:-3] + "xxx"}, OPERATOR)
        client.call(operations["missions.open"], {"intent_summary": f"with {slack} and {OPERATOR}"}, OPERATOR)
        client.call(operations["passports.revoke"], {"jti": passport, "reason": f"{slack} was seen"}, OPERATOR)
    ask(base, "POST", "/v1/agents/register", f'{{"name": "{OPERATOR}'.encode(), bearer=OPERATOR, Content_Type=JSON)
    for call in (
        {"service": "mirror", "url": "https://mirror.test/echo"},
        {"service": "slack", "url": "https://mirror.test/echo"},
        {"service": "slack", "url": f"https://nowhere.test/{slack}"},
        {"service": "slack", "url": POST_MESSAGE, "method": "POST", "body": {"channel": "#engineering", "text": slack}},
        {"service": "slack", "url": POST_MESSAGE, "headers": {"Authorization": f"Bearer {OPERATOR}", "X-My": passport}},
        {"service": "slack", "url": f"{POST_MESSAGE}?token={slack}", "passport_token": passport},
    ):
        for client in (ground.rest, ground.mcp):
            answer: Answer = client.call(operations["proxy.request"], call, OPERATOR)
            assert slack not in json.dumps(answer.body), (call, answer)
    ask(base, "POST", "/mcp", b"{}", bearer=OPERATOR + "x", Content_Type=JSON)


@pytest.fixture
def mirrored(ground_of: Callable[..., Ground]) -> Ground:
    made = ground_of(SCENARIO.replace("\napprovals:", ECHO).replace("\nmissions:", MIRROR))
    made.do(lambda: prepare(made.world))
    return made


def control_replies(ground: Ground) -> dict[str, str]:
    """The reply of every control request that shows something."""
    base = ground.served.base_url
    health = ask(base, "GET", "/_emu/health").json
    found = {}
    for route in health["control"]:
        method, path = route.split(" ")
        if route in HANDED_OUT or method == "DELETE" or path.endswith(("/reset", "/restore", "/forward", "/advance")):
            continue
        for name in ("slack", "crm", "mirror") if "{name}" in path else ("",):
            url = path.replace("{name}", name).replace("{snapshot}", "picture").replace("{approval_id}", "gvr_unknown")
            url = url.replace("{session_id}", "cs_unknown")
            answer = ask(base, method, url, b"{}" if method != "GET" else None, Content_Type=JSON)
            found[f"{method} {url}"] = answer.body.decode()
    return found


def test_no_secret_is_in_anything_that_is_kept_or_shown(mirrored: Ground, told: Callable[[], str]) -> None:
    ledger = busy(mirrored)
    world, operations = mirrored.world, registry().operations
    shown = {
        **control_replies(mirrored),
        "journal": json.dumps([vars(entry) for entry in world.journal.entries()], default=str),
        "raw rows": json.dumps([as_dict(row) for acts in world.audit.acts() for row in acts.rows], default=str),
        "canonical log": canonical_log(world).decode(),
        "content order": canonical_log(world, "content").decode(),
        "table": table(world.audit.acts()),
        "logs": told(),
    }
    for form in ("json", "ndjson", "csv"):
        shown[f"export as {form}"] = json.dumps(
            mirrored.rest.call(operations["audit.export"], {"format": form}, OPERATOR).body
        )
    shown["activity"] = json.dumps(
        mirrored.rest.call(operations["missions.activity"], {"mission_id": "ms_tour"}, OPERATOR).body
    )
    assert len(ledger.secrets) > 15
    assert len(shown) > 18
    assert any(part.count("credential.proxy") > 10 for part in shown.values())
    seen = {place: names for place, text in shown.items() if (names := ledger.found_in(text))}
    assert seen == {}


def test_the_journal_names_a_credential_that_travelled_to_the_wrong_host_without_showing_it(mirrored: Ground) -> None:
    call = {"service": "slack", "url": "https://mirror.test/echo"}
    reply = mirrored.rest.call(registry().operations["proxy.request"], call, OPERATOR).body
    secret = mirrored.world.store.get(Connection, "scon_slack").credential
    assert secret not in json.dumps(reply)
    (row,) = mirrored.world.audit.rows("op_tour")
    assert row.metadata["leak"] == "credential of scon_slack sent to mirror.test"
    leaks = [entry for entry in mirrored.world.journal.violations() if entry.problem == "leak"]
    assert len(leaks) == 1
    assert "scon_slack" in str(leaks[0].hint)
    assert secret not in str(vars(leaks[0]))


def test_a_crash_whose_message_quotes_a_secret_is_logged_without_it(
    ground: Ground, told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = ground.world.store.get(Connection, "scon_slack").credential

    class Telling(Exception):
        def __init__(self, text: str) -> None:
            super().__init__(f"{text} {secret} {OPERATOR} {token(ground.world, 'pp_tour')}")

    monkeypatch.setattr("tests.guarantees.test_crash_safety.Crash", Telling)
    tour = Tour(ground.world)
    names = ("agents.register", "services.verify", "proxy.request")
    for name in names:
        for client in (ground.rest, ground.mcp):
            with fused(ground.world, 1) as fuse:
                raw = {"agents.register": {"name": "crash"}, "services.verify": {"connection_id": "scon_slack"}}
                call = {"service": "slack", "url": "https://slack.com/api/auth.test"}
                call["passport_token"] = tour.replies["pp_tour"]["token"]
                answer = client.call(registry().operations[name], raw.get(name, call), OPERATOR)
            assert fuse.burnt
            assert answer.code == "INTERNAL_ERROR", answer
    text = told()
    assert text.count("Telling") >= len(names)
    assert [item for item in (secret, OPERATOR, "eyJ") if item in text] == []


def test_what_upstreams_received_is_shown_with_its_credential_masked(ground: Ground) -> None:
    call = {"service": "slack", "url": "https://slack.com/api/auth.test", "method": "POST"}
    assert ground.rest.call(registry().operations["proxy.request"], call, OPERATOR).body["body"]["ok"] is True
    seen = ask(ground.served.base_url, "GET", "/_emu/upstreams/slack/requests").json["requests"]
    assert [item["headers"]["Authorization"] for item in seen] == ["Bearer <masked>"]
    assert [item["credential"] for item in seen] == ["scon_slack"]
