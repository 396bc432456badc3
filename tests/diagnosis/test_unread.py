"""What clients send that nothing reads is told: in the verdict, by ``exec`` and in the report of a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from stack_emu.emulator import Emulator
from tests.diagnosis.driving import KEY, SCENARIO, Driver

pytest_plugins = ["pytester"]
REGISTER = {"name": "deployer-2", "accountability_mod": "logged", "colour": "red"}
SENTENCES = [
    "agents.register was sent accountability_mod over rest, which nothing reads; did you mean accountability_mode? (2 times)",
    "agents.register was sent colour over rest, which nothing reads (2 times)",
    "agents.get was sent agnet over mcp, which nothing reads; did you mean agent_id?",
    "slack POST /api/chat.postMessage was sent colour over upstream, which nothing reads",
]


def test_the_verdict_lists_them_with_the_field_that_was_meant() -> None:
    with Emulator() as emulator:
        driver = Driver(emulator, "unread")
        headers = {"Authorization": f"Bearer {KEY}"}
        for name in ("one", "two"):
            body = {**REGISTER, "name": name}
            assert (
                httpx.post(f"{driver.world.base_url}/v1/agents/register", headers=headers, json=body).status_code == 201
            )
        driver.run(
            [
                'tool stack_get_agent {"agent_id": "agent_reader", "agnet": 1}',
                'proxy slack POST https://slack.com/api/chat.postMessage {"channel": "engineering", "text": "x", "colour": 1}',
            ]
        )
        found = driver.world.verdict()["unread"]
        driver.close()
    assert [one["sentence"] for one in found] == SENTENCES
    assert (found[0]["surface"], found[0]["field"], found[0]["times"]) == ("rest", "accountability_mod", 2)


def test_exec_prints_them_and_what_came_nearest(tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(
        "import os, httpx\n"
        "client = httpx.Client(base_url=os.environ['STACK_BASE_URL'], headers={'Authorization': 'Bearer sk_live_emu_acme'})\n"
        f"client.post('/v1/agents/register', json={REGISTER!r})\n"
        "client.post('/v1/agent/register', json={})\n"
    )
    command = [sys.executable, "-m", "stack_emu.cli.main", "exec", str(SCENARIO), "--", sys.executable, str(agent)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 70, ended.stderr
    assert f"stack-emu: unread: {SENTENCES[1].removesuffix(' (2 times)')}\n" in ended.stderr
    assert "stack-emu: unmatched: POST /v1/agent/register: POST /v1/agent/register is not emulated." in ended.stderr
    assert "    path    '/v1/agent/register'  '/v1/agents/register'" in ended.stderr


@pytest.mark.parametrize("ending", ["", "    assert False\n"])
def test_the_report_of_a_test_has_them(pytester: pytest.Pytester, ending: str) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:randomly -p no:cacheprovider -p no:schemathesis\n")
    pytester.makefile(".yaml", world=SCENARIO.read_text().replace("strict: true", "strict: false"))
    pytester.makepyfile(
        "import httpx, pytest\n"
        "@pytest.mark.stack_emu(scenario='world.yaml', strict=False)\n"
        "def test_it(stack_emu):\n"
        "    headers = {'Authorization': f'Bearer {stack_emu.api_key}'}\n"
        f"    httpx.post(f'{{stack_emu.base_url}}/v1/agents/register', headers=headers, json={REGISTER!r})\n"
        "    httpx.post(f'{stack_emu.base_url}/v1/agent/register', headers=headers, json={})\n" + ending
    )
    result = pytester.runpytest_subprocess("-rA")
    result.stdout.fnmatch_lines(["*agents.register was sent colour over rest, which nothing reads*"])
    if ending:
        result.stdout.fnmatch_lines(
            ["unmatched: POST /v1/agent/register is not emulated.*", "*path*'/v1/agents/register'*"]
        )
