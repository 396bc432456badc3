"""A small service on this machine, with secrets, ids, dates and echoes in what it answers."""

from __future__ import annotations

import asyncio
import base64
import datetime
import itertools
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from aiohttp import web

BEARER = "tok_9fQx2LmZ7vRb4KdW1sYcTn8E"
API_KEY = "key+with/odd=chars&9Zx"
PASSWORD = "correct-horse-battery"
SESSION = "s3ss10nV4lueThatIsLong"
LEAKED = "Zk9vQ2xR7mTb3WdY1sHcLn8EpJ5uGf0A"
"""Appears in a text of a reply without any name that says what it is."""
SECRETS = (BEARER, API_KEY, PASSWORD, SESSION, LEAKED)


def spelt(secret: str) -> list[str]:
    """The ways in which a secret might stand in a file."""
    raw = secret.encode()
    ways = [secret, quote(secret, safe=""), raw.hex(), base64.b64encode(raw).decode().rstrip("=")]
    ways.append(base64.b64encode(f"u:{secret}".encode()).decode().rstrip("=")[4:-2])
    return ways


def application() -> web.Application:
    numbers = itertools.count(41)
    tickets: dict[str, dict[str, Any]] = {}

    async def create(request: web.Request) -> web.Response:
        asked = await request.json()
        made = {
            "id": f"tick_{next(numbers)}",
            "title": asked["title"],
            "created_at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "trace": str(uuid.uuid4()),
            "state": "open",
        }
        tickets[made["id"]] = made
        headers = {"ETag": uuid.uuid4().hex, "X-Request-Id": uuid.uuid4().hex, "Location": f"/tickets/{made['id']}"}
        return web.json_response(made, status=201, headers=headers)

    async def one(request: web.Request) -> web.Response:
        found = tickets.get(request.match_info["id"])
        if found is None:
            return web.json_response({"error": {"code": "not_found"}}, status=404)
        return web.json_response(found)

    async def login(request: web.Request) -> web.Response:
        reply = web.json_response({"access_token": BEARER, "token_type": "bearer", "note": f"kept as {LEAKED} for you"})
        reply.set_cookie("session", SESSION)
        return reply

    async def search(request: web.Request) -> web.Response:
        found = [ticket["state"] for ticket in tickets.values()]
        debug = base64.b64encode(f"{request.query['api_key']}".encode()).decode()
        return web.json_response({"q": request.query["q"], "states": found, "debug": debug, "braces": "{{ not ours }}"})

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"<p>{LEAKED}</p>", content_type="text/html")

    async def image(request: web.Request) -> web.Response:
        return web.Response(body=b"\xff\xd8\x00\x01", content_type="image/jpeg")

    app = web.Application()
    app.router.add_post("/tickets", create)
    app.router.add_get("/tickets/{id}", one)
    app.router.add_post("/login", login)
    app.router.add_get("/search", search)
    app.router.add_get("/page", page)
    app.router.add_get("/image", image)
    return app


@contextmanager
def running() -> Iterator[str]:
    """The service's URL, while it runs."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application())

    async def begin() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    url = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
