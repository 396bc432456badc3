"""`stack-emu env`: the variables of a running emulator, for eval."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from stack_emu.client import EmulatorClient
from tests.cli.conftest import PROGRAM, Cli, Up, plain_environment

StartUp = Callable[..., Up]
NAMES = [
    "STACK_EMU_URL",
    "STACK_BASE_URL",
    "STACK_MCP_URL",
    "STACK_API_KEY",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "SHOP_PASSPORT",
]


def evaluated(command: str, *, url: str) -> str:
    """What a shell prints after it evaluated the variables."""
    script = f'eval "$("{PROGRAM}" env {command})" && echo "$STACK_BASE_URL $STACK_API_KEY ${{HTTPS_PROXY:-}}"'
    done = subprocess.run(
        ["sh", "-c", script], env=plain_environment(STACK_EMU_URL=url), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_variable_is_an_export_a_shell_can_evaluate(up: StartUp, cli: Cli, shop: Path) -> None:
    running = up(shop)
    ran = cli("env", "--url", running.base_url)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.partition("=")[0] for line in lines] == [f"export {name}" for name in NAMES]
    assert evaluated("", url=running.base_url) == f"{running.base_url} sk_live_emu_shop \n"


def test_values_are_quoted(up: StartUp, shop: Path) -> None:
    running = up(shop)
    hostile = "stack_emu: 1\nupstreams: {}\noperator: {keys: [{key: sk_live_a-b_c}]}\n"
    client = EmulatorClient(running.base_url)
    client.create_world("blue", scenario_yaml=hostile)
    client.close()
    assert evaluated("--world blue", url=running.base_url) == f"{running.base_url}/w/blue sk_live_a-b_c \n"


def test_a_world_may_be_named_when_the_url_names_another(up: StartUp, cli: Cli, shop: Path) -> None:
    running = up(shop)
    client = EmulatorClient(running.base_url)
    client.create_world("blue")
    client.create_world("green")
    client.close()
    for url in (running.base_url, f"{running.base_url}/", f"{running.base_url}/w/blue"):
        green = cli("env", "--world", "green", env={"STACK_EMU_URL": url})
        assert f"export STACK_BASE_URL={running.base_url}/w/green\n" in green.out
    blue = cli("env", env={"STACK_EMU_URL": f"{running.base_url}/w/blue"})
    assert f"export STACK_BASE_URL={running.base_url}/w/blue\n" in blue.out
    default = cli("env", "--world", "default", env={"STACK_EMU_URL": f"{running.base_url}/w/blue"})
    assert f"export STACK_BASE_URL={running.base_url}\n" in default.out


def test_with_the_gateway_curl_reaches_the_real_names(up: StartUp, shop: Path, curl: str) -> None:
    running = up(shop)
    script = f'eval "$("{PROGRAM}" env --gateway)" && "{curl}" -sS https://api.getstack.run/ https://mcp.getstack.run/'
    done = subprocess.run(
        ["sh", "-c", script],
        env=plain_environment(STACK_EMU_URL=running.base_url),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"scenario":"shop"') == 2


def test_a_world_that_is_not_there_is_named(up: StartUp, cli: Cli, shop: Path) -> None:
    ran = cli("env", "--url", up(shop).base_url, "--world", "red")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "stack-emu: There is no world named red; create it with PUT /w/red/_emu/world.\n"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "http://127.0.0.1:9",
            "no emulator answers at http://127.0.0.1:9 (Connection refused); start one with: stack-emu up",
        ),
        (
            "https://127.0.0.1:9",
            "https://127.0.0.1:9 is not the URL of an emulator; it looks like http://127.0.0.1:4747",
        ),
        ("localhost:4747", "localhost:4747 is not the URL of an emulator; it looks like http://127.0.0.1:4747"),
        ("http://", "http:// is not the URL of an emulator; it looks like http://127.0.0.1:4747"),
        ("http://[::1", "http://[::1 is not the URL of an emulator; it looks like http://127.0.0.1:4747"),
        ("http://127.0.0.1:x", "http://127.0.0.1:x is not the URL of an emulator; it looks like http://127.0.0.1:4747"),
    ],
)
def test_a_wrong_url_is_one_sentence(cli: Cli, url: str, sentence: str) -> None:
    for command in (["env"], ["audit", "export"], ["env", "--world", "blue"]):
        ran = cli(*command, "--url", url)
        assert (ran.code, ran.out, ran.err) == (2, "", f"stack-emu: {sentence}\n")


def test_another_server_at_the_url_is_not_taken_for_an_emulator(cli: Cli, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/_emu/world").respond_with_data("<html>hello</html>", content_type="text/html")
    ran = cli("env", "--url", httpserver.url_for("/").rstrip("/"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "does not answer as an emulator" in ran.err
