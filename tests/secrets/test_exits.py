"""What is kept, shown, logged and sent says nothing of a secret that got about, in whatever form, and the run fails."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stack_emu.domain.canonical_audit import canonical_log, table
from stack_emu.domain.canonical_journal import canonical_journal
from stack_emu.hosting import recorded_rules
from stack_emu.kernel.audit import as_dict
from stack_emu.verdict import verdict
from tests.conftest import Served
from tests.families.webhook_world import Receiver
from tests.guarantees.conftest import Ground
from tests.guarantees.test_secrets import control_replies
from tests.guarantees.tour import registry
from tests.secrets.conftest import KEY, SCENARIO, credential, leaks, passport_of
from tests.secrets.test_drill import Asking, forms_of
from tests.secrets.ways import WAYS, Tally

TEXT_WAYS = [way for way in WAYS if way != "letters apart"]


@pytest.fixture
def asking(lair: Served):
    made = Asking(lair)
    yield made
    made.http.close()


def spread(lair: Served, asking: Asking, shown: str) -> None:
    """Put a text everywhere an agent can put one."""
    asking.rest("/v1/agents/register", {"name": "spy", "description": shown})
    asking.rest("/v1/missions", {"agent_id": "agt_one", "intent_summary": shown, "ttl_seconds": 600})
    asking.tool("stack_register_agent", {"name": "spy two", "description": shown})
    post = {"channel": "#random", "text": shown}
    url = "https://slack.com/api/chat.postMessage"
    asking.rest("/v1/proxy", {"service": "slack", "method": "POST", "url": url, "body": post})
    history = "https://slack.com/api/conversations.history?channel=C0"
    asking.rest("/v1/proxy", {"service": "slack", "url": history})
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "sk-ant-emu"}
    messages = [{"role": "user", "content": f"repeat after me {shown}"}]
    body = {"model": "claude-opus-5-5", "max_tokens": 900, "messages": messages}
    httpx.post(f"{lair.base_url}/anthropic/v1/messages", json=body, headers=headers, trust_env=False)


def test_nothing_that_is_kept_or_shown_holds_it(lair: Served, asking: Asking) -> None:
    tally = Tally("what is kept and shown")
    secret = credential(lair, "scon_slack")
    ground = Ground(lair, None, None)  # type: ignore[arg-type]  only its base URL is asked for
    for way in TEXT_WAYS:
        spread(lair, asking, WAYS[way](secret))
        world, journal = lair.world, list(lair.world.journal.entries())
        judged = verdict(lair.hosted)
        shown = {
            "the journal": json.dumps([vars(entry) for entry in journal], default=str),
            "raw rows": json.dumps([as_dict(row) for act in world.audit.acts() for row in act.rows], default=str),
            "the canonical log": canonical_log(world).decode(),
            "the canonical journal": canonical_journal(world).decode(),
            "the table": table(world.audit.acts()),
            "the recording": json.dumps(recorded_rules(lair.hosted)),
            "the verdict": json.dumps(judged.as_dict()),
            "agents": asking.http.get("/v1/agents").text,
            "missions": asking.http.get("/v1/missions").text,
            "the export": asking.http.get("/v1/audit/export").text,
        }
        assert not judged.ok
        assert any("scon_slack" in finding.sentence for finding in judged.failures)
        for place, text in shown.items():
            tally.note(
                not any(form.decode("utf-8", "replace") in text for form in forms_of(way, secret)), f"{way}: {place}"
            )
        lair.call(lair.hosted.reset)
    spread(lair, asking, WAYS["base64"](secret))
    for place, text in control_replies(ground).items():
        tally.note(not any(form.decode() in text for form in forms_of("base64", secret)), place)
    tally.end()


def test_log_lines_do_not_hold_it(lair: Served, caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally("log lines")
    secrets = [credential(lair, "scon_slack"), KEY, passport_of(lair)]
    for name in ("stack_emu", "stack_emu.upstreams.engine", "aiohttp.server", "asyncio"):
        for secret in secrets:
            for way in ("in clear", "base64", "hex", "URL-encoded"):
                if secret.startswith("eyJ") and way == "hex":
                    continue
                caplog.clear()
                shown = WAYS[way](secret)
                try:
                    raise ValueError(shown)
                except ValueError:
                    logging.getLogger(name).exception("could not do %s", shown)
                tally.note(shown not in caplog.text and secret not in caplog.text, f"{name} {way}: {caplog.text[:80]}")
    tally.end()


def test_a_webhook_goes_without_it_and_is_signed_all_the_same(
    serve: Callable[..., Served], mirror: tuple[str, object]
) -> None:
    import hashlib
    import hmac

    receiver = Receiver(200)
    with receiver.running():
        lair = serve(SCENARIO % {"key": KEY, "forward": mirror[0]}, strict=True)
        with httpx.Client(base_url=lair.base_url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as http:
            made = http.post("/v1/webhooks/inbound", json={"provider": "generic", "agent_id": "agt_one"})
            if not made.is_success:
                made = http.post(
                    "/v1/notifications/destinations", json={"channel_type": "webhook", "destination": receiver.url}
                )
            assert made.is_success, made.text
        from stack_emu.domain import deliveries
        from stack_emu.kernel.acts import RowDraft

        secret = credential(lair, "scon_slack")
        owner = made.json()["id"]

        def enqueue() -> None:
            world = lair.world
            act = world.begin_act("drill", "op_emu", "drill", {}, RowDraft("drill", "system"))
            with world.transaction(act):
                body = json.dumps({"said": f"it is {secret}"}).encode()
                deliveries.enqueue(
                    world, act, operator_id="op_emu", owner_id=owner, event="drill", url=receiver.url, body=body
                )

        lair.call(enqueue)
        lair.advance(0) if lair.world.clock.virtual else None
        assert receiver.arrived.wait(10)
        (_, headers, body), *_ = receiver.requests
        assert secret.encode() not in body
        assert b"<secret:scon_slack>" in body
        stamp, _, signed = next(v for k, v in headers.items() if "signature" in k).partition(",")
        seconds = stamp.partition("=")[2]
        key = made.json()["webhook_secret"].encode()
        assert hmac.new(key, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest() in signed
        assert any("scon_slack" in hint and "webhook" in hint for hint in leaks(lair))


FAILING = """
import base64, json, os, sys, urllib.request
secret = sys.argv[1] if len(sys.argv) > 1 else ""
shown = base64.b64encode(("it is " + secret).encode()).decode()
body = json.dumps({"name": "spy", "description": shown}).encode()
headers = {"Authorization": "Bearer " + os.environ["STACK_API_KEY"], "Content-Type": "application/json"}
url = os.environ["STACK_BASE_URL"] + "/v1/agents/register"
reply = urllib.request.urlopen(urllib.request.Request(url, body, headers)).read().decode()
print("masked" if "secret:scon_slack" in reply else "shown")
"""


def test_a_run_that_leaks_fails_and_says_what_where_and_how(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(FAILING)
    (tmp_path / "scenario.yaml").write_text(
        "stack_emu: 1\nservices: [{id: scon_slack, provider: slack, credential: xoxb-of-the-test-1234, upstream: slack}]\n"
        "upstreams: {slack: {pack: slack}}\nexpect: {leaks: none}\n"
    )
    junit, audit = tmp_path / "junit.xml", tmp_path / "audit.jsonl"
    command = [
        sys.executable,
        "-m",
        "stack_emu.cli.main",
        "exec",
        str(tmp_path / "scenario.yaml"),
        "--junit",
        str(junit),
    ]
    command += ["--audit", str(audit), "--", sys.executable, str(tmp_path / "agent.py"), "xoxb-of-the-test-1234"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 70, done.stderr
    assert "credential of scon_slack (base64, $.description) was in the request for agents.register" in done.stderr
    assert done.stdout.strip() == "masked"
    for text in (done.stderr, junit.read_text(), audit.read_text()):
        assert "xoxb-of-the-test-1234" not in text
    assert "scon_slack" in junit.read_text()


def test_check_quotes_no_credential_of_a_scenario(tmp_path: Path) -> None:
    for wrong in (
        "credential: {txt: xoxb-of-the-test-1234}",
        "credential: [xoxb-of-the-test-1234]",
        "credential: {fields: {token: xoxb-of-the-test-1234}, expires: soon}",
    ):
        file = tmp_path / "wrong.yaml"
        file.write_text(f"stack_emu: 1\nservices:\n  - {{id: scon_slack, provider: slack, {wrong}}}\n")
        done = subprocess.run(
            [sys.executable, "-m", "stack_emu.cli.main", "check", str(file)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode != 0
        assert "xoxb-of-the-test-1234" not in done.stdout + done.stderr, wrong


FAILING_TEST = """
import base64
import pytest

@pytest.mark.stack_emu(scenario="shop.yaml")
def test_it(stack_emu):
    text = base64.b64encode(b"it is " + bytes.fromhex("HEX")).decode()
    stack_emu.stack().agents.register(name="spy", description=text)
    assert False, stack_emu.stack().agents.list()[0].description
"""


def test_a_failing_test_s_report_says_where_but_not_what(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        "stack_emu: 1\nservices: [{id: scon_slack, provider: slack, credential: xoxb-of-the-test-1234, upstream: slack}]\n"
        "upstreams: {slack: {pack: slack}}\n"
    )
    (tmp_path / "test_it.py").write_text(FAILING_TEST.replace("HEX", b"xoxb-of-the-test-1234".hex()))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    done = subprocess.run(
        [*command, "test_it.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "credential of scon_slack (base64, $.description)" in text
    assert "<secret:scon_slack>" in text
    assert "xoxb-of-the-test-1234" not in text
    assert WAYS["base64"]("it is xoxb-of-the-test-1234")[:30] not in text


def test_an_upstream_is_told_which_credential_it_got(serve: Callable[..., Served], mirror: tuple[str, object]) -> None:
    expect = (
        "expect: {upstream: [{to: mirror, path: /keep, credential: scon_mirror}, "
        "{to: store, path: /keep, credential: scon_other}]}\n"
    )
    lair = serve(SCENARIO % {"key": KEY, "forward": mirror[0]} + expect, strict=False)
    asking = Asking(lair)
    asking.rest("/v1/proxy", {"service": "mirror", "url": "https://mirror.test/keep"})
    asking.rest("/v1/proxy", {"service": "slack", "url": "https://store.test/keep"})
    (finding,) = verdict(lair.hosted).failures
    assert finding.sentence == (
        "expected at least one /keep to store, saw 0; the closest was GET /keep, "
        "but credential was 'that of scon_slack', expected 'scon_other'"
    )
    seen = lair.world.settings["upstreams"].requests(lair.world, "store")
    assert [(one["credential"], one["foreign"]) for one in seen] == [(None, ("scon_slack",))]
    asking.http.close()


def test_an_old_credential_is_called_an_old_one(lair: Served, asking: Asking) -> None:
    old = credential(lair, "scon_slack")
    made = asking.http.post(
        "/v1/services/connect",
        json={"provider": "slack", "credential": "xoxb-the-new-one-5678", "scopes": ["chat:write"]},
    )
    assert made.is_success, made.text
    lair.call(lambda: lair.world.redactor.add("xoxb-renewed-credential", "scon_slack"))
    leaks(lair)
    asking.rest("/v1/agents/register", {"name": "spy", "description": old})
    (hint,) = leaks(lair)
    assert "credential of scon_slack (an old one)" in hint


def test_the_tour_and_its_replies_are_innocent(ground: Ground) -> None:
    ground.take_tour()
    assert [entry.hint for entry in ground.world.journal.violations() if entry.problem == "leak"] == []


def test_the_tour_by_tools_is_innocent_too(ground: Ground) -> None:
    ground.take_tour(ground.over_mcp)
    assert [entry.hint for entry in ground.world.journal.violations() if entry.problem == "leak"] == []


def test_the_page_says_who_may_see_what_as_the_code_has_it() -> None:
    from stack_emu.domain.secret_kinds import HANDED_OUT, HANDED_OUT_BY_CONTROL, HANDED_OUT_BY_PAGES, KINDS

    page = (Path(__file__).parents[2] / "docs" / "secrets.md").read_text()
    for kind, about in KINDS.items():
        by = sorted(name for name, kinds in HANDED_OUT.items() if kind in kinds)
        for further in (HANDED_OUT_BY_CONTROL, HANDED_OUT_BY_PAGES):
            by += sorted(name for name, kinds in further.items() if kind in kinds)
        shown = ", ".join(f"`{name}`" for name in by) or "nothing"
        assert f"| {about.noun} | {about.seen_by} | {shown} |" in page
    assert set(HANDED_OUT) <= set(registry().operations)
    assert {kind for kinds in HANDED_OUT.values() for kind in kinds} <= set(KINDS)
