"""``stack-emu up``: serve a scenario until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

from stack_emu.cli.serving import Serving, add_scenario_arguments, ready_line, serving, write_audit

DEFAULT_PORT = 4747


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_scenario_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (127.0.0.1)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port to bind ({DEFAULT_PORT}); 0 picks one")
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready")


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns 0."""
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(options, host=options.host, port=options.port, strict=False) as now:
        _announce(now, options.json)
        await stopped.wait()
        write_audit(now, options)
    return 0


def _announce(now: Serving, as_json: bool) -> None:
    ready = ready_line(now)
    if as_json:
        print(json.dumps(ready), flush=True)
        return
    hosted = now.hosted
    print(f"stack-emu serves {hosted.scenario.name or 'the empty scenario'}; independent of STACK.")
    rows = [
        ("STACK REST", ready["base_url"]),
        ("STACK MCP", ready["mcp_url"]),
        ("Messages API", ready["anthropic_base_url"]),
        ("gateway", f"{ready['gateway_url']}  (CA {ready['ca_file']})"),
        ("operator key", ready["api_key"]),
        ("control", f"{ready['base_url']}/_emu/health"),
    ]
    for label, value in rows:
        print(f"  {label:<13} {value}")
    print('In another shell: eval "$(stack-emu env)". Ctrl-C stops.', flush=True)
    if now.server.host not in ("127.0.0.1", "localhost", "::1"):
        print(
            f"stack-emu: listening on {now.server.host}, beyond this machine, because --host asked for it",
            file=sys.stderr,
        )
