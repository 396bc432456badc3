"""A stateful fake of Slack's web API."""

from __future__ import annotations

from stack_emu.upstreams.slack.pack import SlackPack
from stack_emu.upstreams.slack.reading import channels, messages, views

__all__ = ["PACK", "SlackPack", "channels", "messages", "views"]

PACK = SlackPack()
