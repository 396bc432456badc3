import asyncio
import sys

import aiohttp


async def main() -> None:
    mode, url = sys.argv[1:3]
    async with aiohttp.ClientSession(trust_env=True) as session:
        if mode == "stream":
            async with session.get(url) as response:
                async for line in response.content:
                    if line.strip():
                        print(line.decode().strip(), flush=True)
        else:
            body = b"x" * int(sys.argv[3]) if mode == "upload" else None
            async with session.request("POST" if body else "GET", url, data=body) as response:
                print(await response.text())


asyncio.run(main())
