"""The fixture as a user's project meets it: pytest is run in a process of its own on their test files."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_emu.client import EmulatorClient
from stack_emu.emulator import Emulator

pytest_plugins = ["pytester"]


def run(project: pytest.Pytester, body: str, *arguments: str, **outcomes: int) -> pytest.RunResult:
    project.makepyfile("import pytest\n\nshop = pytest.mark.stack_emu(scenario='shop.yaml')\n\n" + body)
    result = project.runpytest_subprocess(*arguments)
    result.assert_outcomes(**outcomes)
    return result


def test_a_test_gets_real_clients_on_a_world_of_its_own(project: pytest.Pytester) -> None:
    run(
        project,
        """
@shop
def test_clients(stack_emu):
    stack = stack_emu.stack()
    token = stack_emu.passport("clerk", services=["slack"])
    reply = stack.proxy.post("slack", "https://slack.com/api/chat.postMessage",
                             body={"channel": "#general", "text": "hi"}, passport_token=token)
    assert reply.body["ok"] is True
    assert stack_emu.upstream("slack").requests[0]["body"]["text"] == "hi"
    message = stack_emu.anthropic().messages.create(
        model="claude-opus-5-5", max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    assert message.content[0].text == "Hello to you."
    assert [row["action"] for row in stack_emu.audit.entries()].count("credential.proxy") == 1
    assert any(entry["operation"] == "proxy.request" for entry in stack_emu.journal)


@shop
def test_nothing_is_left_of_it_in_the_next_test(stack_emu):
    assert stack_emu.upstream("slack").requests == []
    assert stack_emu.audit.entries() == []


@shop
def test_async_clients(stack_emu):
    import asyncio

    async def work():
        async with stack_emu.async_stack() as stack:
            agents = await stack.agents.list()
        async with stack_emu.mcp() as client:
            tools = await client.list_tools()
            result = await client.call_tool("stack_get_agent", {"agent_id": agents[0].id})
        return agents, tools, result

    agents, tools, result = asyncio.run(work())
    assert agents[0].name == "clerk"
    assert "stack_proxy_request" in [tool.name for tool in tools.tools]
    assert result.structured_content["name"] == "clerk"


def test_without_a_marker_there_is_one_operator_with_one_key(stack_emu):
    assert stack_emu.stack().agents.list() == []
""",
        passed=4,
    )


def test_an_expectation_that_did_not_hold_fails_the_test_at_teardown(project: pytest.Pytester) -> None:
    project.makefile(
        ".yaml",
        strict=("stack_emu: 1\nagents: [{name: clerk}]\nexpect: {audit: [{action: agent.register, times: 1}]}\n"),
    )
    result = run(
        project,
        """
@pytest.mark.stack_emu(scenario='strict.yaml')
def test_forgets(stack_emu):
    pass

@pytest.mark.stack_emu(scenario='strict.yaml')
def test_does_it(stack_emu):
    stack_emu.stack().agents.register('other')

@shop
def test_unmatched_call(stack_emu):
    token = stack_emu.passport("clerk")
    reply = stack_emu.stack().proxy.get("orders", "https://orders.example.com/order/7", passport_token=token)
    assert reply.status == 501

@pytest.mark.stack_emu(scenario='shop.yaml', strict=False)
def test_unmatched_call_when_not_strict(stack_emu):
    token = stack_emu.passport("clerk")
    stack_emu.stack().proxy.get("orders", "https://orders.example.com/order/7", passport_token=token)
""",
        passed=4,
        errors=2,
    )
    result.stdout.fnmatch_lines_random(
        ["*expected exactly 1 audit row*agent.register*saw 0*", "*unmatched: GET /order/7*/orders/{id}*"]
    )


def test_a_failing_test_shows_the_journal_the_near_misses_and_the_audit_table(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@shop
def test_fails(stack_emu):
    token = stack_emu.passport("clerk")
    stack_emu.stack().proxy.get("orders", "https://orders.example.com/order/7", passport_token=token)
    assert False
""",
        failed=1,
    )
    result.stdout.fnmatch_lines(
        [
            "*stack-emu journal*",
            "*proxy.request*200*",
            "*stack-emu near misses*",
            "*stack-emu audit*",
            "*credential.proxy*",
        ]
    )
    assert "eyJ" not in result.stdout.str().split("stack-emu journal")[1]


def test_golden_logs_are_written_on_request_and_compared_otherwise(project: pytest.Pytester) -> None:
    body = """
import os

@shop
def test_golden(stack_emu):
    stack_emu.stack().agents.register(os.environ.get("NAME", "one"))
    stack_emu.audit.assert_golden("golden/audit.jsonl")
"""
    missing = run(project, body, failed=1)
    missing.stdout.fnmatch_lines(["*there is no golden log*--stack-emu-update*"])
    run(project, body, "--stack-emu-update", passed=1)
    run(project, body, passed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAME", "two")
        changed = run(project, body, failed=1)
    changed.stdout.fnmatch_lines(["*differs from*golden*audit.jsonl*"])


def test_time_state_and_faults_can_be_driven(project: pytest.Pytester) -> None:
    run(
        project,
        """
from getstack.errors import StackError, UnauthorizedError

@pytest.mark.stack_emu(scenario='shop.yaml', clock='virtual')
def test_time(stack_emu):
    token = stack_emu.passport("clerk", ttl="15m")
    stack = stack_emu.stack()
    url = "https://orders.example.com/orders/7"
    assert stack.proxy.get("orders", url, passport_token=token).body == {"id": "7", "state": "open"}
    before = stack_emu.clock.now()
    stack_emu.clock.advance("16m")
    assert stack_emu.clock.now() > before
    with pytest.raises(UnauthorizedError) as refusal:
        stack.proxy.get("orders", url, passport_token=token)
    assert refusal.value.code == "PASSPORT_EXPIRED"

@pytest.mark.stack_emu(scenario='shop.yaml', clock='virtual')
def test_freeze(stack_emu):
    import time
    with stack_emu.clock.freeze():
        assert abs(time.time() * 1000 - stack_emu.clock.now_ms()) < 1000

@shop
def test_state(stack_emu):
    stack = stack_emu.stack()
    stack.agents.register("one")
    stack_emu.snapshot("one")
    stack.agents.register("two")
    stack_emu.restore("one")
    assert sorted(agent.name for agent in stack.agents.list()) == ["clerk", "one"]
    stack_emu.reset()
    assert [agent.name for agent in stack.agents.list()] == ["clerk"]
    assert stack_emu.audit.entries() == []

@shop
def test_faults(stack_emu):
    stack_emu.faults.add(on={"operation": "agents.register", "nth": 1}, inject={"error": "TIER_LIMIT_EXCEEDED"})
    stack = stack_emu.stack()
    with pytest.raises(StackError) as refusal:
        stack.agents.register("one")
    assert (refusal.value.code, refusal.value.status_code) == ("TIER_LIMIT_EXCEEDED", 403)
    assert stack.agents.register("one").name == "one"

@shop
def test_lanes(stack_emu):
    lane = stack_emu.lane("left")
    lane.stack().agents.register("one")
    assert {row["lane"] for row in stack_emu.audit.entries()} == {row["lane"] for row in stack_emu.audit.entries()
                                                                  if row["lane"].endswith("/left")}
""",
        passed=5,
    )


def test_upstreams_can_be_a_pytest_httpserver(project: pytest.Pytester) -> None:
    run(
        project,
        """
@shop
def test_httpserver(stack_emu):
    server = stack_emu.upstream("orders").httpserver
    server.expect_request("/orders/9", method="GET").respond_with_json({"id": "nine"})
    token = stack_emu.passport("clerk")
    reply = stack_emu.stack().proxy.get("orders", "https://orders.example.com/orders/9", passport_token=token)
    assert reply.body == {"id": "nine"}
    assert server.log[0][0].headers["Authorization"].startswith("Bearer canary-")
""",
        passed=1,
    )


def test_the_model_can_be_scripted_with_rules_and_with_a_function(project: pytest.Pytester) -> None:
    run(
        project,
        """
def ask(stack_emu, text):
    reply = stack_emu.anthropic().messages.create(
        model="claude-opus-5-5", max_tokens=50, messages=[{"role": "user", "content": text}])
    return reply.content[0].text

@shop
def test_rules(stack_emu):
    stack_emu.model.script({"when": {"user": "weather"}, "turns": [{"say": "Rain."}]})
    assert ask(stack_emu, "the weather?") == "Rain."
    assert ask(stack_emu, "hello") == "Hello to you."

@shop
def test_function(stack_emu):
    stack_emu.model.script(lambda request: {"say": request["messages"][-1]["content"].upper()}
                           if "shout" in request["messages"][-1]["content"] else None)
    assert ask(stack_emu, "shout it") == "SHOUT IT"
    assert ask(stack_emu, "hello") == "Hello to you."
""",
        passed=2,
    )


def test_an_emulator_that_runs_elsewhere_can_be_used(project: pytest.Pytester) -> None:
    with Emulator() as emulator:
        run(
            project,
            """
@shop
def test_remote(stack_emu):
    assert stack_emu.stack().agents.list()[0].name == "clerk"
""",
            "--stack-emu-url",
            emulator.base_url,
            passed=1,
        )
        assert emulator.client.health()["worlds"] == ["default"]


def test_tests_spread_over_processes(project: pytest.Pytester) -> None:
    run(
        project,
        """
@shop
@pytest.mark.parametrize("number", range(8))
def test_each(stack_emu, number):
    assert stack_emu.stack().agents.register(f"agent-{number}").name == f"agent-{number}"
    assert len(stack_emu.audit.entries()) == 1
""",
        "-n",
        "2",
        passed=8,
    )


def test_tests_spread_over_processes_share_one_server_and_leave_nothing_on_it(project: pytest.Pytester) -> None:
    with Emulator() as shared, EmulatorClient(shared.base_url) as emulator:
        run(
            project,
            """
@shop
@pytest.mark.parametrize("number", range(8))
def test_each(stack_emu, number):
    assert stack_emu.connection.url == "URL"
    assert stack_emu.stack().agents.register(f"agent-{number}").name == f"agent-{number}"
    fork = stack_emu.fork("other")
    assert fork.name == f"{stack_emu.name}-other"
    with fork.stack() as stack:
        stack.agents.register("only-in-the-fork")
    assert len(stack_emu.audit.entries()) == 1
    assert "only-in-the-fork" in fork.diff(f"world:{stack_emu.name}")["text"]
""".replace("URL", shared.base_url),
            "-n",
            "2",
            f"--stack-emu-url={shared.base_url}",
            passed=8,
        )
        assert emulator.health()["worlds"] == ["default"]


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ("scenario='nowhere.yaml'", "*there is no scenario nowhere.yaml*"),
        ("sceanrio='shop.yaml'", "*has no argument sceanrio; it has*scenario*"),
        ("scenario='broken.yaml'", "*broken.yaml:2:1:*agnets*agents*"),
    ],
)
def test_a_mistake_in_the_marker_is_one_clear_sentence(project: pytest.Pytester, marker: str, sentence: str) -> None:
    project.makefile(".yaml", broken="stack_emu: 1\nagnets: []\n")
    result = run(project, f"@pytest.mark.stack_emu({marker})\ndef test_it(stack_emu):\n    pass\n", errors=1)
    result.stdout.fnmatch_lines([sentence])


def test_a_test_that_does_not_use_the_plugin_does_not_load_it(project: pytest.Pytester, tmp_path: Path) -> None:
    run(
        project,
        """
def test_plain():
    import sys
    assert "stack_emu.emulator" not in sys.modules
    assert "aiohttp" not in sys.modules
""",
        passed=1,
    )
