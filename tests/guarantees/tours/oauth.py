"""Signing in: a client registers, is let in at once, refreshes, looks at its token and takes it back; and a device."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.guarantees.step import Step, fixed, of

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
VERIFIER = "the-verifier-of-the-tour-is-long-enough-0000"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def _authorize(replies: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "client_id": replies["oauth client"]["client_id"],
        "response_type": "code",
        "scope": "agents:read",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "the-state-of-the-tour",
    }


def _exchange(replies: Mapping[str, Any]) -> dict[str, Any]:
    query = parse_qs(urlsplit(replies["oauth code"]["location"]).query)
    return {
        "grant_type": "authorization_code",
        "client_id": replies["oauth client"]["client_id"],
        "code": query["code"][0],
        "code_verifier": VERIFIER,
    }


def _token(name: str) -> Any:
    return lambda replies: {
        "client_id": replies["oauth client"]["client_id"],
        "token": replies[name]["refresh_token"],
    }


STEPS = (
    Step("oauth.server_metadata", fixed()),
    Step("oauth.resource_metadata", fixed()),
    Step(
        "oauth.register",
        fixed(
            redirect_uris=["http://127.0.0.1/callback"],
            grant_types=["authorization_code", "refresh_token", DEVICE_GRANT],
        ),
        "oauth client",
    ),
    Step("oauth.authorize", _authorize, "oauth code"),
    Step("oauth.token", _exchange, "oauth tokens"),
    Step(
        "oauth.token",
        lambda replies: {
            "grant_type": "refresh_token",
            "client_id": replies["oauth client"]["client_id"],
            "refresh_token": replies["oauth tokens"]["refresh_token"],
        },
        "oauth refreshed",
    ),
    Step("oauth.introspect", _token("oauth refreshed")),
    Step("oauth.device_authorization", of("oauth client", client_id="client_id"), "oauth device"),
    Step("oauth.revoke", _token("oauth refreshed")),
    Step(
        "oauth.sdk_bootstrap",
        fixed(agent_id="agt_tour", callback="http://127.0.0.1:4000/cb", state="s", machine="m", process="p"),
    ),
)
