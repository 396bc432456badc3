"""A client of the service: every call it makes, printed as JSON; also run as a program by ``stack-emu record``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import httpx


def calls(base: str, secrets: dict[str, str], **options: Any) -> list[dict[str, Any]]:
    """Make the calls and return what came back.

    Args:
        base: URL of the service or the recorder, or its real name behind a proxy.
        secrets: ``bearer``, ``api_key`` and ``password``.
        **options: for the client.
    """
    seen: list[dict[str, Any]] = []
    with httpx.Client(
        base_url=base, trust_env=False, headers={"Authorization": f"Bearer {secrets['bearer']}"}, **options
    ) as http:

        def ask(method: str, path: str, **more: Any) -> Any:
            reply = http.request(method, path, **more)
            kind = reply.headers.get("content-type", "")
            body = reply.json() if "json" in kind else reply.text if "text" in kind else reply.content.hex()
            seen.append({"call": f"{method} {path}", "status": reply.status_code, "body": body})
            return body

        ask("POST", "/login", json={"user": "ann", "password": secrets["password"]})
        made = ask("POST", "/tickets", json={"title": "Broken lamp"})
        ask("GET", f"/tickets/{made['id']}")
        ask("GET", f"/tickets/{made['id']}")
        ask("GET", "/tickets/none")
        ask("GET", "/search", params={"q": "lamp", "api_key": secrets["api_key"]})
        ask("GET", "/page")
        ask("GET", "/image")
    return seen


if __name__ == "__main__":
    from service import API_KEY, BEARER, PASSWORD

    given = {"bearer": BEARER, "api_key": API_KEY, "password": PASSWORD}
    json.dump(calls(os.environ["STACK_EMU_RECORDER"], given), sys.stdout)
