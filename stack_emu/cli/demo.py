"""``stack-emu demo``: run the bundled deploy-bot scenario and show what happened."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

from stack_emu.cli.bundled import scenario_folder
from stack_emu.cli.main import UsageError
from stack_emu.cli.serving import Serving, serving
from stack_emu.verdict import verdict

_NEEDED = {"getstack": "getstack", "anthropic": "anthropic"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(options: argparse.Namespace) -> int:
    """Run the demo; returns the agent's exit code, or 70 when the scenario's expectations do not hold.

    Raises:
        UsageError: when the SDKs the agent uses are not installed.
    """
    from importlib.util import find_spec

    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"the demo's agent uses the published SDKs: pip install {' '.join(missing)}")
    given = argparse.Namespace(scenario=scenario_folder("deploy-bot"), seed=None, allow_host=[], overlay=[], set=[])
    return asyncio.run(_demo(given))


async def _demo(options: argparse.Namespace) -> int:
    from stack_emu.domain.canonical_audit import canonical_log, table

    async with serving(options, host="127.0.0.1", port=0, strict=True) as now:
        agent = options.scenario / "agent.py"
        _heading("The conversation", f"{agent.parent.name}/agent.py, unmodified SDKs naming the real hosts")
        code = await _run_agent(now, agent)
        if code:
            return code
        _show_requests(now)
        _show_slack(now)
        log = canonical_log(now.hosted.world)
        _heading("The audit log")
        print(table(log))
        judged = verdict(now.hosted)
    for finding in judged.failures:
        print(f"stack-emu: {finding.kind}: {finding.sentence}", file=sys.stderr)
    print(f"\nsha256 of the canonical log: {hashlib.sha256(log).hexdigest()}")
    return 0 if judged.ok else 70


async def _run_agent(now: Serving, agent: Path) -> int:
    environment = now.client_environment(dict(os.environ))
    environment["PYTHONUNBUFFERED"] = "1"
    sys.stdout.flush()
    process = await asyncio.create_subprocess_exec(sys.executable, str(agent), env=environment)
    return await process.wait()


def _heading(title: str, note: str = "") -> None:
    print(f"\n{title}" + (f"  ({note})" if note else ""))
    print("-" * len(title))


def _show_requests(now: Serving) -> None:
    _heading("What the fake Slack received", "STACK injected the credential; it is masked here")
    world = now.hosted.world
    for request in world.settings["upstreams"].requests(world, "slack"):
        print(f"{request['method']} {request['url']} → {request['status']}")
        for name in ("Authorization", "Content-Type"):
            shown = next((value for key, value in request["headers"].items() if key.lower() == name.lower()), None)
            if shown:
                whose = f"  ({request['credential']})" if name == "Authorization" else ""
                print(f"  {name}: {shown}{whose}")
        print(f"  {json.dumps(request['body'], ensure_ascii=False)}")


def _show_slack(now: Serving) -> None:
    from stack_emu.upstreams.slack import messages

    _heading("The channel #engineering")
    for message in messages(now.hosted.world, "engineering"):
        print(f"{message['ts']}  {message.get('user') or message.get('bot_id')}: {message['text']}")
