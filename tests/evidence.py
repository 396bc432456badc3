"""What the suite drove: noted while it runs, compared with the committed evidence, ``stack_emu/evidence.json``.

The file says of every operation

- what shows that a call of it did something, for each client apart: the published SDK, sync and async, and the published
  MCP client. A witness stands beside those calls (``tests/witness.py``);
- with which codes it was refused somewhere in the suite;

and which methods of the published SDK were called, sync and async. ``pytest --write-evidence`` rewrites it; a full run
fails when it claims what the run did not see.
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
CLIENTS = ("sdk-sync", "sdk-async", "mcp")
Evidence = dict[str, dict[str, Any]]
_refused: dict[str, set[str]] = {}
_methods: dict[str, set[str]] = {}
_driven: dict[str, dict[str, str]] = {}
_injected: list[str] = []


def watch_refusals() -> None:
    """Note every refusal of an operation that a client provoked over a socket; what a fault rule injects is none."""
    from stack_emu.kernel.errors import Fault
    from stack_emu.kernel.faults import ConnectionDropped, Injected
    from stack_emu.surfaces import mcp_calls, rest

    for module in (rest, mcp_calls):
        real = module.perform

        async def noted(world: Any, call: Any, spawn: Any, *, real: Any = real) -> Any:
            try:
                return await real(world, call, spawn)
            except Fault as fault:
                # The LLM gateway says in the same class what its provider refused by itself.
                own = fault.code == "LLM_PROVIDER_ERROR"
                if fault.details.get("injected") or (isinstance(fault, Injected) and not own):
                    _injected.append(call.operation.name)
                else:
                    _refused.setdefault(call.operation.name, set()).add(fault.code)
                raise
            except ConnectionDropped:
                _injected.append(call.operation.name)
                raise

        module.perform = noted


def watch_sdk() -> None:
    """Note every service method of the published SDK that returns or is refused by the server."""
    from getstack import AsyncStack, Stack

    for kind, client in (("sync", Stack(api_key="sk_live_x")), ("async", AsyncStack(api_key="sk_live_x"))):
        for service_name, service in services_of(client, ""):
            for name, method in inspect.getmembers(type(service), inspect.isfunction):
                if not name.startswith("_"):
                    setattr(type(service), name, _noting(method, f"{service_name}.{name}", kind))


def services_of(owner: Any, prefix: str) -> list[tuple[str, Any]]:
    """The services of an SDK client by their dotted names."""
    found = []
    for name, value in vars(owner).items():
        module = type(value).__module__
        if not name.startswith("_") and module.startswith("getstack") and "Client" not in type(value).__name__:
            found.append((prefix + name, value))
            found += services_of(value, f"{prefix}{name}.")
    return found


def _noting(method: Callable[..., Any], label: str, kind: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def noted(*arguments: Any, **options: Any) -> Any:
        before = len(_injected)
        try:
            returned = method(*arguments, **options)
        except Exception:
            note(before)
            raise
        if inspect.iscoroutine(returned):
            return awaited(returned, before)
        note(before)
        return returned

    async def awaited(call: Any, before: int) -> Any:
        try:
            return await call
        finally:
            note(before)

    def note(before: int) -> None:
        if len(_injected) == before:  # what a fault rule answered says nothing of the operation
            _methods.setdefault(label, set()).add(kind)

    return noted


def hold(client: str, proofs: dict[str, str], config: pytest.Config) -> None:
    """Compare what a witness has seen a client drive with the committed evidence, or take it down to be written.

    Args:
        client: ``sdk-sync``, ``sdk-async`` or ``mcp``.
        proofs: operation → what shows that the call did something.
        config: pytest's; ``--write-evidence`` takes it down.
    """
    _driven[client] = proofs
    if not config.getoption("--write-evidence"):
        claimed = json.loads(FILE.read_text("utf-8"))["driven"][client]
        assert proofs == claimed, "make evidence rewrites stack_emu/evidence.json"


def collected() -> Evidence:
    """What this process noted, as JSON data."""
    return {
        "driven": {client: dict(proofs) for client, proofs in _driven.items()},
        "refused": {name: sorted(codes) for name, codes in _refused.items()},
        "sdk_methods": {name: sorted(how) for name, how in _methods.items()},
    }


def merge(parts: list[Evidence], *, replace: bool = False) -> Evidence:
    """The union of what several processes noted; with ``replace`` the last that watched a client says all of it."""
    driven: dict[str, dict[str, str]] = {client: {} for client in CLIENTS}
    lists: dict[str, dict[str, set[str]]] = {"refused": {}, "sdk_methods": {}}
    for part in parts:
        for client, proofs in part["driven"].items():
            driven[client] = {**proofs} if replace and proofs else {**driven[client], **proofs}
        for section, items in lists.items():
            for name, how in part[section].items():
                items.setdefault(name, set()).update(how)
    sorted_lists = {section: {name: sorted(items[name]) for name in sorted(items)} for section, items in lists.items()}
    return {"driven": driven, **sorted_lists}


def unseen(claimed: Evidence, seen: Evidence) -> list[str]:
    """What the committed evidence claims and the run did not see."""
    missing = []
    for client, proofs in claimed["driven"].items():
        missing += [f"{name} by {client}" for name in proofs.keys() - seen["driven"].get(client, {}).keys()]
    for section in ("refused", "sdk_methods"):
        for name, how in claimed[section].items():
            lacking = set(how) - set(seen[section].get(name, ()))
            missing += [f"{name} ({item})" for item in sorted(lacking)]
    return missing


class EvidencePlugin:
    """Collects from xdist workers and judges at the end of a full run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.parts: list[Evidence] = []
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
            if not self.full:  # what the rest of the suite shows stays
                seen = merge([json.loads(FILE.read_text("utf-8")), seen], replace=True)
            FILE.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
        elif self.full and session.testsfailed == 0 and session.testscollected and not self.config.getoption("-k"):
            missing = unseen(json.loads(FILE.read_text("utf-8")), seen)
            if missing:
                print("\nstack_emu/evidence.json claims what this run did not see: " + ", ".join(missing))
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
