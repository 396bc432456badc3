"""Scopes and routes: every operation a token reaches names its scope, and the SDK's sign-in paths are all operations."""

from __future__ import annotations

from stack_emu.domain.families import registry
from stack_emu.domain.oauth_scopes import INVENTED_SCOPES, SCOPES
from stack_emu.surfaces.openapi import document
from tests.docs.blocks import ROOT

SIGN_IN = {
    ("GET", "/oauth/authorize"),
    ("POST", "/oauth/register"),
    ("POST", "/oauth/token"),
    ("POST", "/v1/oauth/token"),
    ("GET", "/sdk-bootstrap"),
}
"""What ``getstack`` calls or opens in a browser to sign in, over all its versions."""


def test_every_operation_that_lets_tokens_in_names_a_scope_with_words() -> None:
    reached = {one.name: one.auth.scope for one in registry() if "oauth" in one.auth.bearers}
    assert [name for name, scope in reached.items() if scope not in SCOPES] == []
    assert set(reached.values()) == set(SCOPES)


def test_invented_scopes_are_listed_as_such() -> None:
    text = (ROOT / "docs" / "fidelity.md").read_text("utf-8")
    assert [scope for scope in INVENTED_SCOPES if f"`{scope}`" not in text] == []


def test_the_paths_the_sdk_signs_in_at_are_operations() -> None:
    paths = document(registry(), "0")["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} >= SIGN_IN
