"""Programs as STACK's Anthropic page shows them run unchanged under `stack-emu exec`, with and without an SDK."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.scenarios.conftest import Ran, run

HERE = Path(__file__).parent / "snippets"


def exec_snippet(tmp_path: Path, *command: str, options: tuple[str, ...] = ()) -> tuple[Ran, list[dict[str, object]]]:
    audit = tmp_path / "audit.jsonl"
    emulator = [sys.executable, "-m", "stack_emu.cli.main", "exec", ".", *options, "--audit", str(audit)]
    ran = run(*emulator, "--", *command, cwd=HERE)
    return ran, [json.loads(line) for line in audit.read_text().splitlines()[:-1]]


def proxied(rows: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(row["outcome"], row.get("code")) for row in rows if row["action"] == "credential.proxy"]


def test_the_operator_key_is_the_token_of_the_mcp_server(tmp_path: Path) -> None:
    ran, rows = exec_snippet(tmp_path, sys.executable, "operator_key.py")
    lines = ran.ok().out.splitlines()
    assert [line.split()[0] for line in lines] == ["text", "mcp_tool_use", "mcp_tool_result", "text", "end_turn"]
    assert lines[3] == "text Posted: True"
    assert proxied(rows) == [("success", None)]
    assert "agent" not in rows[0], "an operator's own call stands for no agent"


def test_a_passport_in_the_shape_of_the_page_is_used_and_refused_once_revoked(tmp_path: Path) -> None:
    ran, rows = exec_snippet(tmp_path, sys.executable, "docs_client.py", options=("--docs-client",))
    issued, answer, model_refused, proxy_refused = ran.ok().out.splitlines()
    assert answer == "answer Posted: True"
    assert "https://mcp.getstack.run/mcp answered HTTP 401" in model_refused
    assert proxy_refused == "refused PASSPORT_REVOKED"
    assert "the published getstack has no StackClient" in ran.err
    jti = issued.split()[1]
    assert {row.get("passport") for row in rows} == {jti}
    assert proxied(rows) == [("success", None), ("blocked", "PASSPORT_REVOKED")]


def test_without_the_docs_client_the_published_sdk_has_no_such_class(tmp_path: Path) -> None:
    ran, rows = exec_snippet(tmp_path, sys.executable, "docs_client.py")
    assert ran.code == 1
    assert "cannot import name 'StackClient'" in ran.err
    assert rows == []


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2"])
def test_both_apis_answer_plain_http_libraries(library: str, tmp_path: Path) -> None:
    ran, rows = exec_snippet(tmp_path, sys.executable, "raw_http.py", library)
    assert ran.ok().out.splitlines()[0] == "200 ['deploy-bot']"
    assert ran.out.splitlines()[2:] == [
        "200 ['text', 'mcp_tool_use', 'mcp_tool_result', 'text']",
        "200 401 PASSPORT_REVOKED",
    ]
    assert proxied(rows) == [("success", None), ("blocked", "PASSPORT_REVOKED")]


def test_both_apis_answer_curl(tmp_path: Path) -> None:
    assert shutil.which("curl"), "curl drives this test: install it (apt-get install curl)"
    ran, rows = exec_snippet(tmp_path, "sh", "raw_http.sh")
    status, message = ran.ok().out.split("\n", 1)
    assert status == "200"
    assert [block["type"] for block in json.loads(message)["content"]][-1] == "text"
    assert proxied(rows) == [("success", None)]
