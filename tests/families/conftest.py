"""Fixtures of the family tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.families.drivers import SdkFactory


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest) -> Iterator[SdkFactory]:
    """``sdk(base_url, api_key) -> client``: the real SDK, once synchronous and once asynchronous, called alike."""
    factory = SdkFactory(request.param, [])
    yield factory
    factory.close()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A home directory of the test's own, and no credentials in the environment, for what the SDK keeps there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STACK_AUTH_INTERACTIVE", "false")
    monkeypatch.delenv("STACK_API_KEY", raising=False)
    return tmp_path
