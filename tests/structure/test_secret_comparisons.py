"""Secrets are compared in constant time: nothing named like one stands beside ``==`` or ``!=``, but for what is reviewed here.

What a client presents (API keys, tokens, codes, client secrets) is looked up by its SHA-256; where two texts are compared it is
``hmac.compare_digest`` that does it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "stack_emu"
SECRET = re.compile(
    r"(^|_)(token|secret|password|verifier|signature|csrf|challenge|api_key|credential|code|nonce|mac|authorization)s?($|_)"
)
REVIEWED = {
    "code == NOT_EXECUTABLE": "the exit code of a command",
    "fault.spec.code == faults.LLM_PROVIDER_ERROR.code": "the code of a refusal",
    "fault.code != faults.LLM_UNSCRIPTED.code": "the code of a refusal",
    "fault.code == MISSION_EXPIRED.code": "the code of a refusal",
    "fault.code == faults.METHOD_NOT_ALLOWED.code": "the code of a refusal",
    "fault.code == f'HTTP_{fault.status}'": "the code of a refusal",
    "when.error == code": "the code of a refusal",
    "error.code == REQUEST_TIMEOUT": "the code of an MCP error",
    "self.status == web.HTTPProxyAuthenticationRequired.status_code": "an HTTP status",
    "status != web.HTTPBadRequest.status_code": "an HTTP status",
    "before != secret": "two secrets of the emulator's own; no client's text is in it",
}


def compared(source: str) -> Iterator[str]:
    """Comparisons for equality in which something is named like a secret, those with constants left out."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not any(isinstance(kind, (ast.Eq, ast.NotEq)) for kind in node.ops):
            continue
        sides = [node.left, *node.comparators]
        names = [side.attr if isinstance(side, ast.Attribute) else getattr(side, "id", "") for side in sides]
        if any(SECRET.search(name) for name in names) and not any(isinstance(side, ast.Constant) for side in sides):
            yield ast.unparse(node)


def test_no_secret_is_compared_in_a_time_that_tells_of_it() -> None:
    found = {text: file for file in sorted(PACKAGE.rglob("*.py")) for text in compared(file.read_text("utf-8"))}
    assert {text: str(file) for text, file in found.items() if text not in REVIEWED} == {}, "use hmac.compare_digest"
    assert REVIEWED.keys() - found.keys() == set(), "what is gone needs no review"


@pytest.mark.parametrize(
    "line", ["token == given", "asked.csrf != form['csrf']", "self._secret == secret", "known.api_key == key"]
)
def test_a_plain_comparison_is_noticed(line: str) -> None:
    assert list(compared(line)) == [line]


@pytest.mark.parametrize(
    "line", ["code == 'NOT_FOUND'", "a == b", "hmac.compare_digest(token, given)", "tokens_left == 0"]
)
def test_others_are_not(line: str) -> None:
    assert list(compared(line)) == []
