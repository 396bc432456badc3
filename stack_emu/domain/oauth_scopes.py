"""The scopes an OAuth token can have, and what each means to the person who is asked.

The first ten are those SDK 4.0.0 signs in with (browser_bootstrap); the others follow their pattern for families that
have none, and are invented.
"""

from __future__ import annotations

from collections.abc import Iterable

SDK_SCOPES: dict[str, str] = {
    "passports:read": "see passports, missions, reviews and drop-offs",
    "passports:write": "issue, refresh, delegate and revoke passports, and run missions",
    "agents:read": "see agents, fleets and their settings",
    "agents:write": "register, change and delete agents, and enroll their keys",
    "services:read": "see connected services",
    "services:connect": "connect and disconnect services, and grant agents access to them",
    "credentials:read": "read the credentials of connected services",
    "proxy:read": "see proxied calls, intents and usage",
    "proxy:write": "call services and models through the proxy, and decide intents",
    "audit:read": "read the audit log and export evidence",
}
INVENTED_SCOPES: dict[str, str] = {
    "identity:read": "see identity claims and requirements",
    "identity:write": "verify, delegate and revoke identity claims, and require them",
    "notifications:read": "see notification channels and destinations",
    "notifications:write": "change notification channels and destinations",
    "skills:read": "see skills, invocations and skill requests",
    "skills:write": "publish skills, serve invocations and post skill requests",
    "skills:invoke": "invoke skills, which may cost money",
    "webhooks:read": "see inbound webhooks",
    "webhooks:write": "create and revoke inbound webhooks",
}
SCOPES: dict[str, str] = {**SDK_SCOPES, **INVENTED_SCOPES}
"""Every scope, with its words."""


def split(text: str | None) -> tuple[str, ...]:
    """The scopes in a space-separated list, each once."""
    return tuple(dict.fromkeys((text or "").split()))


def unknown(scopes: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Those of ``scopes`` that are not among ``allowed``."""
    known = set(allowed)
    return [scope for scope in scopes if scope not in known]
