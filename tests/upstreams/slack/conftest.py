"""A workspace with people, channels and emoji, and Slack's own SDK that talks to it."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from tests.upstreams.conftest import Service
from tests.upstreams.slack_client import SEED, Slack, client


@pytest.fixture
def workspace(slack: Slack) -> Service:
    return slack(seed=SEED)


@pytest.fixture
def sdk(workspace: Service) -> WebClient:
    return client(workspace)
