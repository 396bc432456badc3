"""Secrets are compared in constant time, or found by their digest: nothing else is an ``==`` on something called a secret."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent.parent / "stack_emu"
PLAIN_KEYS = "upstreams/"
"""Where what is called a key is one of a mapping; what clients prove themselves with there is called a credential."""
SECRET = re.compile(
    r"(?:^|_)(?:token|secret|key|code|verifier|signature|csrf|password|passphrase|credential|challenge|bearer|hmac|ticket)s?$"
)
REVIEWED = {
    "audit_log/canonical_file.py: key != name": "a name of a field",
    "cli/junit.py: code == NOT_EXECUTABLE": "the exit code of a command",
    "domain/enrollment.py: ctx.caller.kind != TICKET": "a kind of caller",
    "domain/fleet_enrollment.py: member.public_key != x": "a public key",
    "domain/idempotency.py: value != key": "the same request's header and body",
    "domain/identity_providers.py: provider.key == key": "a name of a provider",
    "domain/identity_verification.py: command.provider_key != session.provider_key": "a name of a provider",
    "domain/llm_gateway.py: fault.code != faults.LLM_UNSCRIPTED.code": "a code of an error",
    "domain/llm_gateway.py: fault.spec.code == faults.LLM_PROVIDER_ERROR.code": "a code of an error",
    "domain/oauth_tokens.py: command.grant_type == CODE": "a name of a grant type",
    "domain/secret_kinds.py: kind == CREDENTIAL": "a kind of secret",
    "domain/secret_kinds.py: kind == MODEL_KEY": "a kind of secret",
    "kernel/redactor.py: before != secret": "two secrets of this process",
    "kernel/secret_masking.py: leaf.name != _KEY": "a name of a field",
    "kernel/secret_masking.py: leaf.name == _KEY": "a name of a field",
    "model_script/matching.py: when.error == code": "a code of an error",
    "model_script/recording.py: turns.setdefault(_key(said.history), _key(said.turn)) == _key(said.turn)": "turns",
    "reloading.py: one.kind != MODEL_KEY": "a kind of secret",
    "scenario/merging.py: key == short": "a name of a field",
    "scenario/positions.py: key != location[index]": "a name of a field",
    "surfaces/connector.py: error.code == REQUEST_TIMEOUT": "a code of an error",
    "surfaces/gateway_refusals.py: self.status == web.HTTPProxyAuthenticationRequired.status_code": "a status",
    "surfaces/http_connection.py: status != web.HTTPBadRequest.status_code": "a status",
    "surfaces/mcp_schemas.py: key != WRITTEN_AS": "a name of a keyword",
    "surfaces/messages_batches.py: batch.scope != scope_of_key(exchange)": "a digest of the key",
    "surfaces/misses.py: fault.code == MISSION_EXPIRED.code": "a code of an error",
    "surfaces/oauth_errors.py: fault.code == f'HTTP_{fault.status}'": "a code of an error",
    "surfaces/rest.py: fault.code == faults.METHOD_NOT_ALLOWED.code": "a code of an error",
}
"""Comparisons that look like ones of secrets, and what they are of."""

IN_CONSTANT_TIME = {
    "domain/identity_verification.py",
    "domain/inbound_receive.py",
    "domain/oauth_clients.py",
    "domain/oauth_consent.py",
    "domain/oauth_tokens.py",
    "domain/verification.py",
    "model_script/matching.py",
    "surfaces/gateway.py",
    "upstreams/credentials.py",
}
BY_DIGEST = {
    "ApiKey": "domain/authentication.py",
    "EnrollmentTicket": "domain/authentication.py",
    "FleetSession": "domain/authentication.py",
    "AccessToken": "domain/authentication.py",
    "AuthorizationCode": "domain/oauth_tokens.py",
    "RefreshToken": "domain/oauth_tokens.py",
    "DeviceCode": "domain/oauth_device.py",
}
"""Records of secrets, and where they are found by what was presented."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the package, by path."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"))


def called(node: ast.expr) -> str:
    """The last name of an expression: that of a variable, an attribute, a key or a function."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    if isinstance(node, ast.Call):
        name = called(node.func)
        if name in ("str", "bytes", "key_digest") and node.args:
            return called(node.args[0])
        return "" if name == "keys" else name
    return ""


def suspicious(tree: ast.Module, keys: bool = True) -> Iterator[str]:
    """Comparisons with ``==`` or ``!=`` of something called a secret with something that is no literal."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        if not any(isinstance(operator, (ast.Eq, ast.NotEq)) for operator in node.ops):
            continue
        if any(isinstance(side, ast.Constant) for side in sides):
            continue
        names = [called(side).lower() for side in sides]
        if any(SECRET.search(name) for name in names if keys or not name.endswith("key")):
            yield ast.unparse(node)


def test_no_secret_is_compared_character_by_character() -> None:
    found = {
        f"{path}: {expression}"
        for path, tree in trees()
        for expression in suspicious(tree, keys=not path.startswith(PLAIN_KEYS))
    }
    assert found - REVIEWED.keys() == set(), "compare with hmac.compare_digest, or look up by digest"
    assert REVIEWED.keys() - found == set(), "these are gone; take them out of the list"


@pytest.mark.parametrize(
    "line",
    [
        "token == given",
        "request.csrf != csrf",
        "row['secret'] == x",
        "command.code_verifier == made",
        "str(a.api_key) == b",
    ],
)
def test_what_would_be_a_mistake_is_seen(line: str) -> None:
    assert list(suspicious(ast.parse(line))) == [line]


def test_secrets_are_compared_in_constant_time_where_they_are_compared() -> None:
    found = {
        path
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node.func) == "compare_digest"
    }
    assert found == IN_CONSTANT_TIME


@pytest.mark.parametrize(("record", "path"), BY_DIGEST.items())
def test_what_is_presented_is_looked_up_by_its_digest(record: str, path: str) -> None:
    tree = ast.parse((PACKAGE / path).read_text("utf-8"))
    looked_up = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and called(node.func) == "get"
        and node.args
        and isinstance(node.args[0], ast.Name)
        and node.args[0].id == record
    ]
    assert looked_up, f"{path} looks up no {record}"
    for call in looked_up:
        assert isinstance(call.args[1], ast.Call), ast.unparse(call)
        assert isinstance(call.args[1].func, ast.Name), ast.unparse(call)
        assert call.args[1].func.id == "key_digest", ast.unparse(call)
