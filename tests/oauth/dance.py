"""The OAuth dance by hand: a client that keeps what it needs between the steps."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

REDIRECT = "http://127.0.0.1:5999/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
STACK = "https://api.getstack.run"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
OPERATOR = "op_emu"


class Once:
    """Requests on connections of their own, so that nothing stays open."""

    @staticmethod
    def get(url: str, **options: Any) -> httpx.Response:
        return httpx.get(url, timeout=20, trust_env=False, **options)

    @staticmethod
    def post(url: str, **options: Any) -> httpx.Response:
        return httpx.post(url, timeout=20, trust_env=False, **options)


class Dancer:
    """A registered client of a world.

    Args:
        base_url: of the world.
        register: fields of its registration, beside a redirect URI; None registers nothing.
    """

    def __init__(self, base_url: str, register: dict[str, Any] | None = None) -> None:
        self.base = base_url
        self.http = Once()
        self.client_id = ""
        if register is not None:
            made = self.http.post(f"{base_url}/oauth/register", json={"redirect_uris": [REDIRECT], **register})
            assert made.status_code == 201, made.text
            self.registered = made.json()
            self.client_id = self.registered["client_id"]

    def authorize(self, **changed: Any) -> httpx.Response:
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "resource": STACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "the state",
            **changed,
        }
        given = {name: value for name, value in query.items() if value is not None}
        return self.http.get(f"{self.base}/oauth/authorize", params=given)

    def token(self, path: str = "/oauth/token", **form: Any) -> httpx.Response:
        return self.http.post(f"{self.base}{path}", data={"client_id": self.client_id, **form})

    def exchange(self, code: str, **changed: Any) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        return self.token(**{**form, **changed})

    def sign_in(self, **asked: Any) -> dict[str, Any]:
        """Tokens of a world whose consent is automatic."""
        reply = self.exchange(back(self.authorize(**asked))["code"])
        assert reply.status_code == 200, reply.text
        return reply.json()

    def refresh(self, refresh_token: str, **form: Any) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **form)

    def get(self, path: str, bearer: str) -> httpx.Response:
        return self.http.get(f"{self.base}{path}", headers={"Authorization": f"Bearer {bearer}"})

    def submit(self, page: httpx.Response, decision: str, **fields: str) -> httpx.Response:
        """Press a button of the form on a page."""
        form = {unescape(name): unescape(value) for name, value in HIDDEN.findall(page.text)}
        [action] = re.findall(r'<form method="post" action="([^"]+)"', page.text)
        return self.http.post(unescape(action), data={**form, "decision": decision, **fields})


HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def back(reply: httpx.Response) -> dict[str, str]:
    """The query of the URL a browser is sent to."""
    assert reply.status_code in (302, 303), reply.text
    return {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["Location"]).query).items()}
