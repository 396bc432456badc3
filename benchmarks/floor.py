"""The floor: a bare aiohttp application that parses JSON and answers it, on a port it prints."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    answer = json.dumps(json.loads(body) if body else {}).encode()
    return web.Response(body=answer, content_type="application/json", status=201)


async def main() -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"base_url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
