"""``stack-emu init``: a scenario, an agent, its test and a CI workflow in a user's project, working from the first minute."""

from __future__ import annotations

import argparse
from pathlib import Path

from stack_emu.cli.main import UsageError

SCENARIO = """\
# yaml-language-server: $schema=./scenario.schema.json
# The world your agent is tested in. `stack-emu check stack/scenario.yaml` says what is wrong with it and where.
stack_emu: 1
name: my-agent
seed: 1
strict: true
operator:
  id: op_acme
  keys:
    - {key: sk_live_emu_acme}
agents:
  - {id: agent_greeter, name: greeter, accountability_mode: logged}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write]
    upstream: slack
    grants:
      - {agent: greeter, scopes: [chat:write]}
upstreams:
  slack:
    pack: slack
    seed: {channels: [{name: general}]}
expect:
  upstream:
    - {to: slack, path: /api/chat.postMessage, times: {at_least: 1}, body: {text: {contains: Hello}}}
  leaks: none
"""

AGENT = '''\
"""An agent that greets a channel through STACK's credential proxy. It knows nothing of the emulator."""

from __future__ import annotations

from getstack import Stack


def greet(stack: Stack, channel: str) -> dict[str, object]:
    """Start a mission and post one message under its passport; returns Slack's reply."""
    intent = {"summary": "Greet a channel", "services": ["slack"]}
    started = stack.missions.start(
        agent_id="agent_greeter",
        mission={"intent_summary": "Greet a channel", "intent_services": ["slack"]},
        passport={"intent": intent, "ttl_seconds": 900},
    )
    reply = stack.proxy.post(
        "slack",
        "https://slack.com/api/chat.postMessage",
        body={"channel": channel, "text": f"Hello, {channel}!"},
        passport_token=started["passport"]["token"],
    )
    return reply.body


if __name__ == "__main__":
    import os

    with Stack(api_key=os.environ["STACK_API_KEY"]) as client:
        print(greet(client, "#general"))
'''

TEST = '''\
"""The agent against a fake STACK and a fake Slack; every test has a world of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from greeter import greet  # noqa: E402

SCENARIO = Path(__file__).resolve().parents[1] / "stack" / "scenario.yaml"


@pytest.mark.stack_emu(scenario=str(SCENARIO))
def test_the_agent_greets_the_channel(stack_emu):
    reply = greet(stack_emu.stack(), "#general")
    assert reply["ok"] is True
    stack_emu.upstream("slack").verify(path="/api/chat.postMessage", times=1)


@pytest.mark.stack_emu(scenario=str(SCENARIO), strict=False)
def test_a_channel_that_does_not_exist_is_slacks_own_error(stack_emu):
    assert greet(stack_emu.stack(), "#nowhere")["error"] == "channel_not_found"
    greet(stack_emu.stack(), "#general")  # what the scenario expects
'''

WORKFLOW = """\
name: agent
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - run: pip install stack-emu getstack pytest
      - run: stack-emu check stack/scenario.yaml
      - run: pytest tests/test_agent_on_stack.py
      - run: stack-emu exec stack/scenario.yaml --junit report.xml -- python stack/greeter.py
      - uses: actions/upload-artifact@v4
        if: always()
        with: {name: stack-emu, path: report.xml}
"""

NEXT = (
    "stack-emu check stack/scenario.yaml",
    "pytest tests/test_agent_on_stack.py",
    "stack-emu exec stack/scenario.yaml -- python stack/greeter.py",
)
"""What to type first, in the project's folder."""


def files() -> dict[str, str]:
    """What is written, by path relative to the project."""
    from stack_emu.scenario.schema import schema_text

    return {
        "stack/scenario.yaml": SCENARIO,
        "stack/scenario.schema.json": schema_text(),
        "stack/greeter.py": AGENT,
        "tests/test_agent_on_stack.py": TEST,
        ".github/workflows/stack-emu.yml": WORKFLOW,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="the project's folder; this one when left out"
    )


def run(options: argparse.Namespace) -> int:
    """Write what is not there yet and say what to type next; returns 0.

    Raises:
        UsageError: when a file cannot be written.
    """
    folder: Path = options.folder
    for name, text in files().items():
        target = folder / name
        if target.exists():
            print(f"kept     {target}, which is there already")
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}") from None
        print(f"wrote    {target}")
    print("\nThe agent needs the SDK and pytest: pip install getstack pytest. Then, in the project's folder:")
    for command in NEXT:
        print(f"  {command}")
    return 0
