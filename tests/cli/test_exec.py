"""`stack-emu exec`: what the command gets, what its exit code becomes, and how the run is judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import ORDER_LOOKED_UP, PROGRAM, SCENARIOS, WORLD, Cli

PYTHON = sys.executable
Start = Callable[..., "subprocess.Popen[str]"]


def python(text: str, *arguments: str) -> list[str]:
    return ["--", PYTHON, "-c", text, *arguments]


# --- the command's own affairs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 2, 255])
def test_the_exit_code_is_the_command_s(cli: Cli, code: int) -> None:
    assert cli("exec", *python(f"raise SystemExit({code})")).code == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV], ids=lambda number: number.name)
def test_a_command_ended_by_a_signal_exits_with_128_and_its_number(cli: Cli, number: int) -> None:
    assert cli("exec", *python(f"import os; os.kill(os.getpid(), {int(number)})")).code == 128 + number


def test_a_command_that_is_not_there_is_127(cli: Cli) -> None:
    ran = cli("exec", "--", "no-such-agent", "--fast")
    assert ran.code == 127
    assert ran.err == "stack-emu: there is no command no-such-agent; check the name or give its path\n"


def test_a_file_that_cannot_be_run_is_126(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "agent"
    script.write_text("print('no interpreter is named')")
    ran = cli("exec", "--", script)
    assert ran.code == 126
    assert ran.err == f"stack-emu: {script} may not be executed; chmod +x it, or name its interpreter first\n"
    script.chmod(0o755)
    ran = cli("exec", "--", script)
    assert ran.code == 126
    assert ran.err == f"stack-emu: {script} cannot be run: Exec format error; name its interpreter first\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "stack-emu: exec needs a command: stack-emu exec [SCENARIO] -- python agent.py"),
        (["--"], "stack-emu: exec needs a command: stack-emu exec [SCENARIO] -- python agent.py"),
        (["a.yaml", "python", "x.py"], "unrecognized arguments: python x.py; put -- before the command to run"),
        (["--ordr", "content", "--", "true"], "unrecognized arguments: --ordr; put -- before the command to run"),
        (["--order", "time", "--", "true"], "invalid choice: 'time'"),
        (["nowhere.yaml", "--", "true"], "there is no scenario at nowhere.yaml; give a file or a folder"),
        (["--junit", "no/where.xml", "--", "true"], "no/where.xml cannot be written: there is no folder no; make it"),
        (["--audit", "docs", "--", "true"], "stack-emu: docs is a folder; give the name of a file in it"),
        (["--allow-host", "api.getstack.run", "--", "true"], "api.getstack.run is emulated"),
        (["--allow-host", "http://x/", "--", "true"], "gateway.allow takes host names like files.example.com"),
    ],
)
def test_bad_usage_is_two_with_a_sentence(cli: Cli, arguments: list[str], sentence: str) -> None:
    ran = cli("exec", *arguments)
    assert ran.code == 2
    assert sentence in ran.err
    assert ran.out == ""


def test_standard_input_arguments_and_folder_reach_the_command_as_they_are(cli: Cli, tmp_path: Path) -> None:
    text = "import os, sys; print(sys.stdin.read().upper(), sys.argv[1:], os.getcwd())"
    ran = cli("exec", *python(text, "a b", "--", "$HOME", "--json"), stdin="line\n", cwd=tmp_path)
    assert ran.out == f"LINE\n ['a b', '--', '$HOME', '--json'] {tmp_path}\n"
    assert ran.code == 0


def test_its_output_is_the_command_s_alone(cli: Cli) -> None:
    ran = cli("exec", SCENARIOS / "deploy-bot", "--keep-going", *python("print('mine')"))
    assert ran.out == "mine\n"


# --- the environment --------------------------------------------------------------------------------------------------

HOSTILE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "NO_PROXY": "*",
    "no_proxy": "getstack.run",
    "SSL_CERT_FILE": "/nonexistent",
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "STACK_BASE_URL": "https://api.getstack.run",
    "STACK_API_KEY": "sk_live_a_real_one",
    "ANTHROPIC_AUTH_TOKEN": "a-real-token",
    "ANTHROPIC_API_KEY": "sk-ant-a-real-one",
    "OPENAI_API_KEY": "sk-a-real-one",
    "OPENAI_ADMIN_KEY": "sk-admin-a-real-one",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "KEPT": "as it was",
}


def environment_of(cli: Cli, shop: Path, env: dict[str, str]) -> dict[str, str]:
    ran = cli("exec", shop, *python("import json, os; print(json.dumps(dict(os.environ)))"), env=env)
    assert ran.code == 0, ran.err
    found: dict[str, str] = json.loads(ran.out)
    return found


def test_the_environment_leads_here_by_url_and_by_real_name_whatever_was_inherited(cli: Cli, shop: Path) -> None:
    env = environment_of(cli, shop, HOSTILE)
    base = env["STACK_EMU_URL"]
    assert base.startswith("http://127.0.0.1:")
    assert env["STACK_BASE_URL"] == env["STACK_DASHBOARD_URL"] == base
    assert env["STACK_MCP_URL"] == f"{base}/mcp"
    assert env["ANTHROPIC_BASE_URL"] == f"{base}/anthropic"
    assert env["OPENAI_BASE_URL"] == f"{base}/openai/v1"
    assert env["STACK_API_KEY"] == "sk_live_emu_shop"
    assert "a-real-one" not in str(env)
    assert "a-real-token" not in str(env)
    proxies = {env[name] for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")}
    assert len(proxies) == 1
    assert proxies.pop().startswith("http://default:")
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,localhost,::1"
    assert "ALL_PROXY" not in env
    bundles = (
        "SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS DENO_CERT GIT_SSL_CAINFO AWS_CA_BUNDLE"
    )
    assert len({env[name] for name in bundles.split()}) == 1
    assert env["NODE_USE_ENV_PROXY"] == "1"
    assert "--require" in env["NODE_OPTIONS"]
    assert env["SHOP_PASSPORT"].count(".") == 2
    assert env["KEPT"] == "as it was"


def test_an_unmodified_program_works_in_a_hostile_environment(cli: Cli, shop: Path) -> None:
    ran = cli("exec", shop, *python(ORDER_LOOKED_UP), env=HOSTILE)
    assert (ran.code, ran.out, ran.err) == (0, "open\n", "")


def test_a_host_that_is_not_emulated_is_named_to_the_user(cli: Cli, shop: Path) -> None:
    text = "import httpx; print(httpx.get('https://else.example.com/').status_code)"
    ran = cli("exec", shop, *python(text))
    assert ran.out == "502\n"
    assert ran.err.startswith("stack-emu: gateway: else.example.com is not emulated in world 'default'")
    assert "exec --allow-host else.example.com" in ran.err


def test_an_allowed_host_is_left_to_the_network(cli: Cli, shop: Path) -> None:
    text = "import httpx; print(httpx.get('http://nowhere.invalid/').json()['error']['code'])"
    assert cli("exec", shop, *python(text)).out == "HOST_NOT_EMULATED\n"
    assert cli("exec", shop, "--allow-host", "nowhere.invalid", *python(text)).out == "ALLOWED_HOST_UNREACHABLE\n"


def test_a_virtual_clock_far_from_now_is_told(cli: Cli, shop: Path) -> None:
    shop.write_text(WORLD + "clock: {mode: virtual}\n")
    ran = cli("exec", shop, *python("pass"))
    assert ran.code == 0
    assert "the virtual clock starts far from now" in ran.err


# --- the verdict ------------------------------------------------------------------------------------------------------

UNMET = "expect: {upstream: [{to: orders, path: /orders/7, times: 1}]}\n"
UNFIRED = "faults: [{on: {operation: agents.delete}, inject: {error: NOT_FOUND}}]\n"
LEAKING = """
import os
from getstack import Stack
stack = Stack(api_key=os.environ["STACK_API_KEY"])
stack.proxy.get("orders", "https://other.example.com/", passport_token=os.environ["SHOP_PASSPORT"])
"""
OTHER_UPSTREAM = "  other: {hosts: [other.example.com], routes: [{reply: {json: {}}}]}\nmodel:"
ASKED = """
import anthropic
try:
    anthropic.Anthropic().messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": %r}], %s)
except anthropic.BadRequestError as error:
    print(error.message)
"""
DIRECT = "import httpx; print(httpx.get('https://orders.example.com/orders/7').status_code)"
UNSERVED = "import os, httpx; print(httpx.get(os.environ['STACK_BASE_URL'] + '/v1/no-such-family').status_code)"
UNROUTED = ORDER_LOOKED_UP.replace("/orders/7", "/invoices/7").replace('reply.body["state"]', "reply.status")

VIOLATIONS = {
    "unmatched": ("", UNROUTED, "/invoices/7"),
    "bypass": ("", DIRECT, "orders.example.com"),
    "unscripted": ("", ASKED % ("goodbye", ""), "goodbye"),
    "unknown_field": ("", ASKED % ("hello", "extra_body={'temprature': 1}"), "temperature"),
    "leak": (OTHER_UPSTREAM, LEAKING, "scon_orders"),
    "unfired_fault": (UNFIRED, "pass", "the fault on operation agents.delete never fired"),
}


def written(shop: Path, extra: str) -> Path:
    shop.write_text(WORLD.replace("model:", extra) if extra.endswith("model:") else WORLD + extra)
    return shop


def test_an_expectation_that_does_not_hold_is_70_with_the_nearest_thing_seen(cli: Cli, shop: Path) -> None:
    ran = cli("exec", written(shop, UNMET), *python(ORDER_LOOKED_UP.replace("/orders/7", "/orders/8")))
    assert ran.code == 70
    assert ran.err.startswith("stack-emu: expectation: expected exactly 1 /orders/7 to orders, saw 0; the closest was")


def test_an_expectation_that_holds_is_silent(cli: Cli, shop: Path) -> None:
    ran = cli("exec", written(shop, UNMET), *python(ORDER_LOOKED_UP))
    assert (ran.code, ran.err) == (0, "")


def test_the_command_s_failure_comes_before_the_verdict_s(cli: Cli, shop: Path) -> None:
    ran = cli("exec", written(shop, UNMET), *python("raise SystemExit(3)"))
    assert ran.code == 3
    assert "stack-emu: expectation: " in ran.err


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_strict_run_fails_for(cli: Cli, shop: Path, kind: str) -> None:
    extra, program, named = VIOLATIONS[kind]
    ran = cli("exec", written(shop, extra), *python(program))
    assert ran.code == 70, ran
    [line] = [line for line in ran.err.splitlines() if line.startswith(f"stack-emu: {kind}: ")]
    assert named in line


@pytest.mark.parametrize("strict", ["", "strict: true\n"])
def test_a_run_that_keeps_going_only_warns(cli: Cli, shop: Path, strict: str) -> None:
    ran = cli("exec", written(shop, UNFIRED + strict), "--keep-going", *python("pass"))
    assert ran.code == 0
    assert ran.err == "stack-emu: warning: unfired_fault: the fault on operation agents.delete never fired\n"


def test_a_scenario_may_say_itself_that_it_is_not_strict(cli: Cli, shop: Path) -> None:
    ran = cli("exec", written(shop, UNFIRED + "strict: false\n"), *python("pass"))
    assert ran.code == 0
    assert "stack-emu: warning: unfired_fault: " in ran.err


def test_calls_that_overlap_in_a_lane_are_a_warning(cli: Cli, shop: Path) -> None:
    text = """
import os
from concurrent.futures import ThreadPoolExecutor
from getstack import Stack
def look_up(number):
    stack = Stack(api_key=os.environ["STACK_API_KEY"])
    url = f"https://orders.example.com/orders/{number}"
    return stack.proxy.get("orders", url, passport_token=os.environ["SHOP_PASSPORT"]).status
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(look_up, range(4)))
"""
    ran = cli("exec", shop, *python(text))
    assert (ran.code, ran.out) == (0, "200 200 200 200\n")
    assert "stack-emu: warning: overlap: proxy.request and proxy.request were in flight together in lane " in ran.err
    assert "name lanes to order them" in ran.err


# --- what is written --------------------------------------------------------------------------------------------------


def test_the_audit_log_of_two_runs_is_the_same_and_verifies(cli: Cli, tmp_path: Path) -> None:
    logs = []
    for name, order in (("first", "commit"), ("second", "commit"), ("third", "content"), ("fourth", "content")):
        file = tmp_path / f"{name}.jsonl"
        agent = ["--", PYTHON, str(SCENARIOS / "deploy-bot" / "agent.py")]
        ran = cli("exec", SCENARIOS / "deploy-bot", "--audit", file, "--order", order, *agent)
        assert ran.code == 0, ran.err
        assert cli("audit", "verify", file).code == 0
        logs.append(file.read_bytes())
    assert logs[0] == logs[1] == (SCENARIOS / "deploy-bot" / "audit.jsonl").read_bytes()
    assert logs[2] == logs[3]


def test_the_audit_log_is_written_also_when_the_command_fails(cli: Cli, shop: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    audit.write_text("of an earlier run")
    ran = cli("exec", shop, "--audit", audit, *python(ORDER_LOOKED_UP + "raise SystemExit(4)"))
    assert ran.code == 4
    assert b'"credential.proxy"' in audit.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {shop.name, audit.name}


def test_a_seed_changes_the_ids_in_the_log(cli: Cli, tmp_path: Path) -> None:
    text = "import os\nfrom getstack import Stack\nStack(api_key=os.environ['STACK_API_KEY']).agents.register('new')"
    logs = []
    for seed in ("1", "1", "2"):
        file = tmp_path / "audit.jsonl"
        assert cli("exec", "--seed", seed, "--audit", file, *python(text)).code == 0
        logs.append(file.read_bytes())
    assert logs[0] == logs[1] != logs[2]


def test_junit_tells_of_the_command_and_each_finding(cli: Cli, shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "verdict.xml"
    odd = 'raise SystemExit(3)  # <&> "quoted" \x01 é'
    ran = cli("exec", written(shop, UNMET + UNFIRED), "--junit", file, *python(odd))
    assert ran.code == 3
    suite = ElementTree.fromstring(file.read_bytes())
    assert suite.tag == "testsuite"
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("stack-emu", "3", "3")
    assert float(suite.get("time", "")) > 0
    cases = [(case.get("classname"), case.get("name"), case.findtext("failure")) for case in suite.iter("testcase")]
    command, expectation, fault = cases
    assert command[0] == "stack-emu.command"
    assert command[1].endswith(odd.replace("\x01", "\ufffd"))
    assert command[2] == "exit code 3"
    assert expectation[0] == "stack-emu.expectation"
    assert expectation[2].split("\n")[1] in expectation[1]
    assert expectation[1].startswith("expected exactly 1 /orders/7 to orders")
    assert fault[:2] == ("stack-emu.unfired_fault", "the fault on operation agents.delete never fired")


def test_junit_of_a_good_run_has_one_case_that_passed(cli: Cli, shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "verdict.xml"
    assert cli("exec", shop, "--junit", file, *python(ORDER_LOOKED_UP)).code == 0
    suite = ElementTree.fromstring(file.read_bytes())
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert suite.findall("testcase/failure") == []


ASKED = """
import anthropic
said = anthropic.Anthropic().messages.create(
    model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "hello you"}]
)
print(said.content[0].text)
"""


def test_what_the_model_answered_is_written_as_a_model_section(cli: Cli, shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    assert cli("exec", shop, "--record-model", file, *python(ASKED)).code == 0
    assert file.read_text() == "model:\n- when:\n    user: hello you\n  turns:\n  - say: Hello to you.\n"
    again = tmp_path / "again.yaml"
    again.write_text("stack_emu: 1\n" + file.read_text())
    ran = cli("exec", again, *python(ASKED))
    assert (ran.code, ran.out.strip()) == (0, "Hello to you.")


# --- signals ----------------------------------------------------------------------------------------------------------

POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
signal.signal(signal.SIGHUP, lambda *_: sys.exit(8))
print("ready", flush=True)
while True: time.sleep(0.01)
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("ready", flush=True)
while True: signal.pause()
"""


def says(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 9), (signal.SIGHUP, 8)])
def test_a_signal_to_exec_reaches_the_command_and_the_log_is_written(
    start: Start, shop: Path, tmp_path: Path, number: int, code: int
) -> None:
    audit = tmp_path / "audit.jsonl"
    process = start("exec", shop, "--audit", audit, *python(POLITE))
    says(process, "ready")
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, "")
    assert audit.exists()


def test_ctrl_c_reaches_the_command_by_the_terminal_and_exec_waits_for_what_it_makes_of_it(
    start: Start, shop: Path
) -> None:
    text = """
import sys, time
try:
    print("ready", flush=True)
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    print("tidied up", flush=True)
    sys.exit(5)
"""
    process = start("exec", shop, *python(text))
    says(process, "ready")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (5, "tidied up\n", "")


def test_a_second_signal_kills_a_command_that_ignores_the_first(start: Start, shop: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    process = start("exec", shop, "--audit", audit, *python(STUBBORN))
    says(process, "ready")
    process.send_signal(signal.SIGTERM)
    says(process, "asked")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (128 + signal.SIGKILL, "")
    assert audit.exists()


def test_a_command_that_ignores_being_asked_is_killed_after_a_while(start: Start, shop: Path) -> None:
    impatient = (
        "import sys; from stack_emu.cli import main, run_exec; run_exec.GRACE_SECONDS = 0.2; "
        "sys.exit(main.main(sys.argv[1:]))"
    )
    process = start("exec", shop, *python(STUBBORN), program=[PYTHON, "-c", impatient])
    says(process, "ready")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL
    assert err == "stack-emu: the command did not end within 0.2 s of being asked to; it was killed\n"


def test_exec_inside_exec_uses_the_inner_world(cli: Cli, shop: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner.yaml"
    inner.write_text("stack_emu: 1\nname: inner\noperator: {keys: [{key: sk_live_emu_inner}]}\n")
    text = "import os, httpx; print(httpx.get('https://api.getstack.run/').json()['scenario'])"
    ran = cli("exec", shop, "--", PROGRAM, "exec", inner, *python(text))
    assert (ran.code, ran.out) == (0, "inner\n"), ran.err


def test_a_checkpoint_is_written_beside_the_log_when_asked_for(cli: Cli, shop: Path, tmp_path: Path) -> None:
    log, key = tmp_path / "audit.jsonl", tmp_path / "key.pem"
    checkpoint, keys = tmp_path / "audit.jsonl.checkpoint", tmp_path / "audit.jsonl.jwks"
    agent = ("--", sys.executable, "-c", ORDER_LOOKED_UP)
    proving = ("audit", "verify", log, "--checkpoint", checkpoint, "--jwks", keys)
    assert cli("exec", shop, "--audit", log, *agent).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.jsonl", "shop.yaml"]
    texts = []
    for _ in range(2):
        assert cli("exec", shop, "--audit", log, "--checkpoint", *agent).code == 0
        texts.append((checkpoint.read_bytes(), keys.read_bytes()))
        proved = cli(*proving)
        assert (proved.code, "proves 1 rows; 0 stand behind them" in proved.out) == (0, True), proved
    assert texts[0] == texts[1]
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    assert cli("exec", shop, "--audit", log, "--checkpoint-key", key, *agent).code == 0
    assert keys.read_bytes() != texts[0][1]
    assert cli(*proving).code == 0
    for options, named in [
        (("--checkpoint",), "--audit FILE"),
        (("--audit", log, "--checkpoint-key", shop), "no Ed25519 private key"),
    ]:
        refused = cli("exec", shop, *options, "--", "touch", tmp_path / "ran")
        assert (refused.code, named in refused.err, (tmp_path / "ran").exists()) == (2, True, False), refused
