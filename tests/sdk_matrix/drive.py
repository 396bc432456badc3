"""Drives one published SDK through the play. Runs in that SDK's own virtual environment: standard library only.

Usage: ``python drive.py CONFIG``, a JSON object with ``base_url``, ``api_key``, ``kind`` (``sync`` or ``async``). Prints a
JSON object: for every public method how its call ended, and the methods the play does not know.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import sys
import traceback
import urllib.error
import urllib.request
from typing import Any

import play


class Client:
    """A sync or async SDK client whose methods are called alike."""

    def __init__(self, kind: str, base_url: str, **options: Any) -> None:
        import getstack

        self.kind, self.base_url = kind, base_url
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        factory = getstack.AsyncStack if kind == "async" else getstack.Stack
        self.stack = factory(base_url=base_url, **options)

    def method(self, label: str) -> Any:
        """The bound method of that label, or None when this version has none."""
        found: Any = self.stack
        for name in label.split("."):
            found = getattr(found, name, None)
            if found is None:
                return None
        return found

    def finish(self, result: Any) -> Any:
        """The value behind a coroutine, a generator or a context manager that a method returned."""
        if inspect.isawaitable(result):
            result = self.run(result)
        if inspect.isasyncgen(result):
            return self.run(_drain(result))
        if inspect.isgenerator(result):
            return list(result)
        return result

    def run(self, awaitable: Any) -> Any:
        assert self.loop is not None
        return self.loop.run_until_complete(awaitable)

    def labels(self) -> dict[str, Any]:
        """Every public method of every service, and those of the client itself."""
        found = {f"stack.{name}": None for name in ("issue_passport",) if hasattr(self.stack, name)}
        _collect(self.stack, "", found)
        return found

    def close(self) -> None:
        if self.kind == "async":
            self.run(self.stack.close())
            self.loop.close()
        else:
            self.stack.close()


def _collect(owner: Any, prefix: str, found: dict[str, Any]) -> None:
    for name, value in vars(owner).items():
        module = type(value).__module__
        if name.startswith("_") or not module.startswith("getstack") or "Client" in type(value).__name__:
            continue
        for method, function in inspect.getmembers(type(value), inspect.isfunction):
            if not method.startswith("_"):
                found[f"{prefix}{name}.{method}"] = function
        _collect(value, f"{prefix}{name}.", found)


async def _drain(stream: Any) -> list[Any]:
    return [item async for item in stream]


class Stage:
    """What the play's steps can use: earlier results by name, the client, and the emulator's control API."""

    def __init__(self, config: dict[str, Any], client: Client) -> None:
        self.config, self.client = config, client
        self.kept: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.kept[name]

    def __contains__(self, name: str) -> bool:
        return name in self.kept

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Plain HTTP to the emulator: what a human, an upstream or a browser would do."""
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        url = path if path.startswith("http") else self.config["root_url"] + path
        request = urllib.request.Request(url, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                text = response.read().decode()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()[:300]}") from None
        return json.loads(text) if text[:1] in "{[" else text

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the REST API with the operator's key."""
        key = self.config["api_key"]
        return self.request(method, self.config["base_url"] + path, body, Authorization=f"Bearer {key}")


def plain(value: Any) -> Any:
    """A result as JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, bytes):
        return {"bytes": len(value), "head": value[:8].hex()}
    shown = {name: plain(item) for name, item in vars(value).items() if not name.startswith("_")} if hasattr(value, "__dict__") else {}
    return shown or repr(value)


def accepted(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments a method of this version knows."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        named = {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD}
        extra = arguments.pop("**", {})
        return {**{name: value for name, value in arguments.items() if name in named}, **extra}
    arguments.pop("**", None)
    return {name: value for name, value in arguments.items() if name in parameters}


def perform(stage: Stage, step: play.Step, function: Any) -> Any:
    """Call a method; a refusal that asks for a human's approval is answered with one when the SDK can carry it."""
    arguments = step.arguments(stage)
    given = accepted(function, dict(arguments))
    try:
        return stage.client.finish(function(**given))
    except Exception as error:
        if not step.governed or "loosens a control" not in str(error):
            raise
        if "governance_approval_id" not in inspect.signature(function).parameters:
            return play.GOVERNED
        approval = str(error).rpartition(" ")[2]
        return stage.client.finish(function(**{**given, "governance_approval_id": approval}))


def _told(error: BaseException) -> str:
    """An exception in a line, with where it came from."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.name} in {where.filename.rpartition('/')[2]}:{where.lineno})"


def main() -> None:
    config = json.loads(sys.argv[1])
    client = Client(config["kind"], config["base_url"], api_key=config["api_key"])
    stage = Stage(config, client)
    outcome: dict[str, Any] = {"driven": [], "failed": {}, "refused": {}}
    known = client.labels()
    for step in play.steps():
        if step.label.startswith("~"):
            try:
                step.arguments(stage)
            except Exception as error:
                outcome["failed"][f"aside {len(outcome['failed'])}"] = _told(error)
            continue
        function = client.method(step.label.removeprefix("stack."))
        if step.label not in known or function is None or not step.applies(stage):
            continue
        try:
            result = perform(stage, step, function)
        except Exception as error:
            if step.refusal and step.refusal in str(error):
                outcome["refused"].setdefault(step.label, str(error))
                continue
            outcome["failed"][f"{step.label} [{step.keep}]"] = _told(error)
            continue
        shown = plain(result)
        stage.kept[step.keep or step.label] = shown
        stage.kept[f"raw {step.keep or step.label}"] = result
        if result is play.GOVERNED:
            outcome["refused"][step.label] = "needs an approval this version cannot carry"
            outcome["driven"].append(step.label)
            continue
        if step.refusal:
            outcome["failed"][f"{step.label} [{step.keep}]"] = f"was not refused with: {step.refusal}; {shown!r}"[:400]
            continue
        try:
            held = step.check is None or step.check(shown, stage)
        except Exception as error:
            held = f"{type(error).__name__}: {error}"
        if held is not True and held is not None:
            outcome["failed"][f"{step.label} [{step.keep}]"] = f"the reply does not mean what it should ({held}): {shown!r}"[:600]
            continue
        outcome["driven"].append(step.label)
    outcome["driven"] = sorted(set(outcome["driven"]))
    outcome["unknown"] = sorted(set(known) - set(outcome["driven"]) - {label.split(" [")[0] for label in outcome["failed"]})
    client.close()
    print(json.dumps(outcome))


main()
