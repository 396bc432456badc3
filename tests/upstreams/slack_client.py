"""What the tests of the fake Slack share: a seed, views, and how a refusal is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.upstreams.conftest import SLACK_SEED, START_MS, TOKEN, Service

Slack = Callable[..., Service]
NOW = START_MS // 1000
DAY = 86_400
USERS: Any = SLACK_SEED["users"]
CHANNELS: Any = SLACK_SEED["channels"]
SEED: dict[str, Any] = {
    **SLACK_SEED,
    "users": [*USERS, {"name": "eve", "id": "U0EVE"}],
    "channels": [*CHANNELS, {"name": "general", "id": "C0GEN", "members": ["ada"]}],
    "emoji": {"shipit": "https://emoji.acme.test/shipit.png", "ship": "alias:shipit"},
}
MODAL = {"type": "modal", "title": {"type": "plain_text", "text": "Deploy"}, "blocks": [{"type": "divider"}]}
HOME = {"type": "home", "blocks": [{"type": "divider"}]}


def client(workspace: Service) -> WebClient:
    return WebClient(token=TOKEN, base_url=f"{workspace.base_url}/api/")


def error(call: Callable[..., Any], *args: Any, **options: Any) -> str:
    """The word a call is refused with."""
    with pytest.raises(SlackApiError) as caught:
        call(*args, **options)
    return str(caught.value.response["error"])


def texts(sdk: WebClient, channel: str = "C0ENG") -> list[str]:
    return [one["text"] for one in sdk.conversations_history(channel=channel)["messages"]][::-1]
