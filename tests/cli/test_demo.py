"""`stack-emu demo`: the whole story on one screen, the same each time, with nothing secret on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack_emu.domain.provision import scenario_tokens
from stack_emu.hosting import Hosting
from stack_emu.scenario.loader import load
from tests.cli.conftest import SCENARIOS, Cli, Ran

HEADINGS = ["The conversation", "What the fake Slack received", "The channel #engineering", "The audit log"]


@pytest.fixture(scope="module")
def shown() -> dict[str, Ran]:
    return {}


@pytest.fixture
def demo(cli: Cli, shown: dict[str, Ran]) -> Ran:
    """The demo, run once for all tests of this file."""
    if "demo" not in shown:
        shown["demo"] = cli("demo", env={"PYTHONHASHSEED": "1"})
    return shown["demo"]


def section(ran: Ran, title: str) -> str:
    start = ran.out.index(f"\n{title}")
    ends = [position for name in HEADINGS if (position := ran.out.find(f"\n{name}", start + 1)) > 0]
    return ran.out[start : min(ends, default=len(ran.out))]


def test_it_ends_well_and_shows_everything_in_order(demo: Ran) -> None:
    assert (demo.code, demo.err) == (0, "")
    places = [demo.out.index(f"\n{title}") for title in HEADINGS]
    assert places == sorted(places)


def test_it_prints_the_conversation(demo: Ran) -> None:
    text = section(demo, "The conversation")
    assert "user       The deploy started: tell #engineering." in text
    assert "tool       stack_proxy_request POST https://slack.com/api/chat.postMessage" in text
    assert "refused    PASSPORT_REVOKED" in text


def test_it_prints_the_proxied_requests_with_their_credential_masked(demo: Ran) -> None:
    text = section(demo, "What the fake Slack received")
    assert text.count("POST https://slack.com/api/chat.postMessage → 200") == 2
    assert text.count("Authorization: Bearer <masked>  (scon_slack)") == 2
    assert '{"channel": "#engineering", "text": "deploy started"}' in text


def test_it_prints_the_messages_that_arrived(demo: Ran) -> None:
    text = section(demo, "The channel #engineering")
    assert re.search(r"^\d+\.\d+ +\w+: deploy started$", text, re.MULTILINE)
    assert re.search(r"^\d+\.\d+ +\w+: deploy finished$", text, re.MULTILINE)


def test_it_prints_the_audit_table_and_its_hash(demo: Ran) -> None:
    text = section(demo, "The audit log")
    for word in ("agent_deploy_bot", "credential.proxy", "PASSPORT_REVOKED", "chat:write", "passport.revoke"):
        assert word in text
    assert re.search(r"\nsha256 of the canonical log: [0-9a-f]{64}\n$", demo.out)


def test_it_prints_no_credential_and_no_token(demo: Ran) -> None:
    scenario = load(SCENARIOS / "deploy-bot")
    world = Hosting().create("default", scenario).world
    secrets = [*world.redactor._names, *scenario_tokens(world, scenario).values(), "sk_live_"]
    assert len(secrets) > 1
    assert [secret for secret in secrets if secret in demo.out + demo.err] == []
    assert "eyJ" not in demo.out


@pytest.mark.parametrize("hash_seed", ["2", "271828"])
def test_every_run_shows_the_same(demo: Ran, cli: Cli, hash_seed: str) -> None:
    assert cli("demo", env={"PYTHONHASHSEED": hash_seed}).out == demo.out


def test_it_needs_no_folder_of_its_own_and_no_utf8(demo: Ran, cli: Cli, tmp_path: Path) -> None:
    elsewhere = cli("demo", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert elsewhere.code == 0, elsewhere.err
    assert elsewhere.out.splitlines()[-1] == demo.out.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
