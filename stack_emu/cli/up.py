"""``stack-emu up``: serve a scenario until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from pathlib import Path

from stack_emu.cli.serving import (
    Serving,
    add_scenario_arguments,
    ready_line,
    require_checkpoint,
    require_folders,
    serving,
    write_audit,
)
from stack_emu.cli.watching import watch
from stack_emu.surfaces.hosts_and_origins import LOOPBACK

DEFAULT_PORT = 4747
_LAST_CALLS_SECONDS = 0.2
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_scenario_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help=f"port to bind ({DEFAULT_PORT}); 0 picks a free one"
    )
    parser.add_argument(
        "--host-name", action="append", default=[], metavar="NAME", help="a name clients beyond this machine use for it"
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep every world in this SQLite file and go on from it next time"
    )
    parser.add_argument("--no-reload", action="store_true", help="do not take over changes of the scenario's files")
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; choose 1 to 65535, or 0 for a free one")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; returns 0.

    Raises:
        UsageError: when a file could not be written in the end.
    """
    require_checkpoint(options)
    require_folders(options.audit, options.journal)
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("stack_emu.journal").setLevel(logging.INFO)  # hints about refusals too
    names = [*options.host_name, *(_own_names() if options.host in _EVERYWHERE else ())]
    async with serving(options, host=options.host, port=options.port, strict=False, names=names) as now:
        _announce(now, options.json)
        _warn_about_reach(now)
        if now.hosted.reread is not None and not options.no_reload:
            now.server.spawn(watch(now.server, now.hosted, now.hosted.reread))
        await stopped.wait()
        await now.server.end_calls(_LAST_CALLS_SECONDS)
        write_audit(now, options)
    return 0


def _own_names() -> set[str]:
    """The machine's name and addresses, which others on the network use for it."""
    name = socket.gethostname()
    try:
        return {name, *(str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(name, None))}
    except OSError:
        return {name}


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
        ("OpenAI API", ready["openai_base_url"]),
        ("gateway", f"{ready['gateway_url']}  (CA {ready['ca_file']})"),
        ("operator key", ready["api_key"]),
        ("control", f"{ready['base_url']}/_emu/health"),
    ]
    for label, value in rows:
        print(f"  {label:<13} {value}")
    where = "" if now.server.port == DEFAULT_PORT else f" --url {ready['base_url']}"
    print(f'In another shell: eval "$(stack-emu env{where})". Ctrl-C stops.', flush=True)


def _warn_about_reach(now: Serving) -> None:
    if now.server.host not in LOOPBACK:
        print(
            f"stack-emu: listening on {now.server.host}, beyond this machine, because --host asked for it; "
            "the control API still answers this machine only",
            file=sys.stderr,
            flush=True,
        )
