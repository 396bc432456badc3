"""Which operations and SDK methods the suite drove: noted while it runs, compared with the committed evidence.

An operation counts for a surface when any client succeeded there over a socket: the published SDK, an MCP client, or
plain HTTP written by hand. Which of them it was is not told apart. A method of the SDK counts once it was called.

``stack_emu/evidence.json`` says, for every operation, on which surfaces it succeeded and whether a refusal was provoked,
and for every method of the published SDK whether its sync and async form ran. ``pytest --write-evidence`` rewrites it;
a full run fails when it claims what the run did not see.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parent.parent / "stack_emu" / "evidence.json"
_operations: dict[str, set[str]] = {}
_methods: dict[str, set[str]] = {}


def watch_operations() -> None:
    """Note every operation a surface performs, with how it ended."""
    from stack_emu.kernel.errors import Fault
    from stack_emu.surfaces import rest

    surfaces: list[tuple[str, Any]] = [("rest", rest)]
    try:
        from stack_emu.surfaces import mcp_calls as mcp_module
    except ImportError:
        from stack_emu.surfaces import mcp as mcp_module
    surfaces.append(("mcp", mcp_module))
    for name, module in surfaces:
        if not hasattr(module, "perform"):
            continue
        real = module.perform

        async def noted(world: Any, call: Any, spawn: Any, *, real: Any = real, name: str = name) -> Any:
            seen = _operations.setdefault(call.operation.name, set())
            try:
                reply = await real(world, call, spawn)
            except Fault:
                seen.add("refused")
                raise
            seen.add(name)
            return reply

        module.perform = noted


def watch_sdk() -> None:
    """Note every service method of the published SDK that returns or is refused by the server."""
    from getstack import AsyncStack, Stack

    for kind, client in (("sync", Stack(api_key="sk_live_x")), ("async", AsyncStack(api_key="sk_live_x"))):
        for service_name, service in _services(client, ""):
            for name, method in inspect.getmembers(type(service), inspect.isfunction):
                if not name.startswith("_"):
                    setattr(type(service), name, _noting(method, f"{service_name}.{name}", kind))


def _services(owner: Any, prefix: str) -> list[tuple[str, Any]]:
    found = []
    for name, value in vars(owner).items():
        module = type(value).__module__
        if not name.startswith("_") and module.startswith("getstack") and "Client" not in type(value).__name__:
            found.append((prefix + name, value))
            found += _services(value, f"{prefix}{name}.")
    return found


def _noting(method: Callable[..., Any], label: str, kind: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def noted(*arguments: Any, **options: Any) -> Any:
        _methods.setdefault(label, set()).add(kind)
        return method(*arguments, **options)

    return noted


def collected() -> dict[str, dict[str, list[str]]]:
    """What this process noted, as JSON data."""
    return {
        "operations": {name: sorted(how) for name, how in _operations.items()},
        "sdk_methods": {name: sorted(how) for name, how in _methods.items()},
    }


def merge(parts: list[dict[str, dict[str, list[str]]]]) -> dict[str, dict[str, list[str]]]:
    """The union of what several processes noted."""
    whole: dict[str, dict[str, set[str]]] = {"operations": {}, "sdk_methods": {}}
    for part in parts:
        for section, items in part.items():
            for name, how in items.items():
                whole[section].setdefault(name, set()).update(how)
    return {section: {name: sorted(items[name]) for name in sorted(items)} for section, items in whole.items()}


def unseen(claimed: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """What the committed evidence claims and the run did not see."""
    missing = []
    for section, items in claimed.items():
        for name, how in items.items():
            lacking = set(how) - set(seen.get(section, {}).get(name, ()))
            missing += [f"{name} ({item})" for item in sorted(lacking)]
    return missing


class EvidencePlugin:
    """Collects from xdist workers and judges at the end of a full run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.parts: list[dict[str, dict[str, list[str]]]] = []
        self.full = not config.args or all(Path(argument).name in ("tests", "main", "") for argument in config.args)

    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        part = getattr(node, "workeroutput", {}).get("evidence")
        if part:
            self.parts.append(json.loads(part))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(self.config, "workeroutput", None)
        if output is not None:
            output["evidence"] = json.dumps(collected())
            return
        seen = merge([*self.parts, collected()])
        if self.config.getoption("--write-evidence"):
            FILE.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
        elif self.full and session.testsfailed == 0 and session.testscollected and not self.config.getoption("-k"):
            missing = unseen(json.loads(FILE.read_text("utf-8")), seen)
            if missing:
                print("\nstack_emu/evidence.json claims what this run did not see: " + ", ".join(missing))
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
