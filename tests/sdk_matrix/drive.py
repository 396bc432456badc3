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
        self.factory = getstack.AsyncStack if kind == "async" else getstack.Stack
        self.stack = self.factory(base_url=base_url, **options)

    def takes_agents(self) -> bool:
        """Whether this version has a client that acts as an agent."""
        return "agent_id" in inspect.signature(self.factory).parameters

    def as_agent(self, agent_id: str, api_key: str, label: str) -> Any:
        """What a method says to a client of its own that enrolls as the agent first."""
        first, self.stack = self.stack, self.factory(agent_id=agent_id, api_key=api_key, base_url=self.base_url)
        try:
            return self.finish(self.method(label)())
        finally:
            other, self.stack = self.stack, first
            self.run(other.close()) if self.kind == "async" else other.close()

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
        if hasattr(result, "__aenter__"):
            return self.run(_inside(result))
        if hasattr(result, "__enter__"):
            with result as mission:
                _log(mission)
            return mission
        if inspect.isasyncgen(result):
            return self.run(_first(result))
        if inspect.isgenerator(result):
            return _first_of(result)
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


def _log(mission: Any) -> None:
    mission.log("slack", "post_message", "#engineering")


async def _inside(context: Any) -> Any:
    async with context as mission:
        _log(mission)
    return mission


def _first_of(generator: Any) -> Any:
    """What a generator yields: of a rotation its second mission, of a stream every event."""
    items = []
    for item in generator:
        items.append(item)
        if hasattr(item, "log"):
            _log(item)
            if len(items) == 2:
                break
    generator.close()
    return items[-1] if items and hasattr(items[-1], "log") else items


async def _first(generator: Any) -> Any:
    items = []
    async for item in generator:
        items.append(item)
        if hasattr(item, "log"):
            _log(item)
            if len(items) == 2:
                break
    await generator.aclose()
    return items[-1] if items and hasattr(items[-1], "log") else items


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
        request.add_header("User-Agent", "play")  # the SDK fetches keys as Python-urllib
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
    names = [*getattr(value, "__dict__", ()), *getattr(type(value), "__slots__", ())]
    shown = {name: plain(getattr(value, name)) for name in names if not name.startswith("_")}
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


def declined(config: dict[str, Any], label: str) -> bool:
    """Whether a method is one the emulator says it does not serve: a whole service, or one method of one."""
    return label in config["declined"] or label.partition(".")[0] in config["declined"]


def _told(error: BaseException) -> str:
    """An exception in a line, with where it came from."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.name} in {where.filename.rpartition('/')[2]}:{where.lineno})"


@dataclasses.dataclass
class Run:
    """The play under way with one client, and what came of it."""

    stage: Stage
    known: dict[str, Any]
    driven: set[str] = dataclasses.field(default_factory=set)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)

    def take(self, step: play.Step) -> None:
        """Make one step, unless it is not this version's."""
        if declined(self.stage.config, step.label.removeprefix("~")):
            return
        if step.label.startswith("~"):
            self._aside(step)
        elif step.label in self.known and step.applies(self.stage):
            function = self.stage.client.method(step.label.removeprefix("stack."))
            if function is not None:
                self._call(step, function)

    def _aside(self, step: play.Step) -> None:
        try:
            step.arguments(self.stage)
        except Exception as error:
            self.failed[f"aside {len(self.failed)}"] = _told(error)

    def _call(self, step: play.Step, function: Any) -> None:
        name = f"{step.label} [{step.keep}]"
        try:
            result = perform(self.stage, step, function)
        except Exception as error:
            if step.refusal and step.refusal in str(error):
                self.refused[step.label] = str(error)
            else:
                self.failed[name] = _told(error)
            return
        if result is play.GOVERNED:
            self.refused[step.label] = "needs an approval this version cannot carry"
            self.driven.add(step.label)
        elif step.refusal:
            self.failed[name] = f"was not refused with: {step.refusal}; {plain(result)!r}"[:400]
        else:
            self._judge(step, name, plain(result))

    def _judge(self, step: play.Step, name: str, shown: Any) -> None:
        self.stage.kept[step.keep or step.label] = shown
        try:
            held: Any = step.check is None or step.check(shown, self.stage)
        except Exception as error:
            held, shown = False, f"{type(error).__name__}: {error}: {shown!r}"
        if held:
            self.driven.add(step.label)
        else:
            self.failed[name] = f"the reply does not mean what it should: {shown!r}"[:600]


def main() -> None:
    config = json.loads(sys.argv[1])
    client = Client(config["kind"], config["base_url"], api_key=config["api_key"])
    run = Run(Stage(config, client), client.labels())
    for step in play.steps():
        run.take(step)
    client.close()
    failed = {label.partition(" [")[0] for label in run.failed}
    left = set(run.known) - run.driven - failed
    unknown = sorted(label for label in left if not declined(config, label))
    print(json.dumps({"driven": sorted(run.driven), "failed": run.failed, "refused": run.refused, "unknown": unknown}))


main()
