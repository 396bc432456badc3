"""What the ``stack_emu`` fixture hands to a test: a world with clients, golden files and upstreams that expect."""

from __future__ import annotations

import contextlib
import difflib
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack_emu.client import (
    AuditControl,
    EmulatorClient,
    EmulatorError,
    ModelControl,
    UpstreamControl,
    WorldClient,
)
from stack_emu.emulator import Emulator

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

_SHOWN_ENTRIES = 40


class EmulatorOfSession:
    """One emulator for a test run: our own in a thread, or one that runs elsewhere.

    Args:
        url: of a running emulator, or None for our own.
        worker: name of the xdist worker, to keep world names apart.
    """

    def __init__(self, url: str | None, worker: str) -> None:
        self.emulator: Emulator | None = None
        if url is None:
            self.emulator = Emulator().start()
            self.client = self.emulator.client
        else:
            self.client = EmulatorClient(url)
        self._prefix = f"{worker}-{os.getpid()}"
        self._count = 0

    @contextlib.contextmanager
    def world(
        self,
        scenario: Path | None,
        *,
        update: bool,
        folder: Path,
        seed: int | None = None,
        clock: str | None = None,
        strict: bool = True,
        transparent: bool = False,
        docs_client: bool = False,
        overlay: str | Sequence[str] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Iterator[TestWorld]:
        """A world for the length of one test."""
        self._count += 1
        name = f"{self._prefix}-{self._count}"
        overlays = [overlay] if isinstance(overlay, str) else overlay or ()
        made = self.client.create_world(
            name, scenario=scenario, seed=seed, clock=clock, strict=strict, overlays=overlays, variables=variables
        )
        world = TestWorld(made, self, update=update, folder=folder)
        with contextlib.ExitStack() as stack:
            stack.callback(self.client.remove_world, name)
            stack.callback(world.close)
            if transparent:
                stack.enter_context(self._transparent(name))
            if docs_client:
                from stack_emu.docs_client.shape import docs_shape

                stack.enter_context(docs_shape())
            yield world

    def _transparent(self, name: str) -> contextlib.AbstractContextManager[Any]:
        if self.emulator is None:
            raise EmulatorError("transparent=True needs the fixture's own emulator; leave --stack-emu-url out")
        from stack_emu.transparent import transparent

        return transparent(self.emulator, name)

    def close(self) -> None:
        """Stop our own emulator; leave a running one alone."""
        if self.emulator is not None:
            self.emulator.stop()
        else:
            self.client.close()


class GoldenAudit(AuditControl):
    """The audit log, comparable with a golden file."""

    def __init__(self, world: TestWorld) -> None:
        super().__init__(world)
        self._test = world

    def assert_golden(self, path: str | Path, *, order: str = "commit") -> None:
        """Assert that the canonical log equals a golden file, which ``--stack-emu-update`` rewrites.

        Args:
            path: relative to the test's folder.
            order: ``commit`` or ``content`` order inside a lane.

        Raises:
            AssertionError: with the difference, lane by lane.
        """
        golden = self._test.folder / path
        got = self.canonical(order)
        if self._test.update:
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(got)
            return
        if not golden.exists():
            raise AssertionError(f"there is no golden log {golden}; write it with pytest --stack-emu-update")
        wanted = golden.read_bytes()
        if wanted != got:
            raise AssertionError(f"the canonical audit log differs from {golden}:\n{audit_difference(wanted, got)}")


def audit_difference(wanted: bytes, got: bytes) -> str:
    """Two canonical logs compared, as text: what differs in words, then the rows."""
    from stack_emu.audit_log.comparison import compare
    from stack_emu.domain.canonical_audit import diff, parse

    readable = diff(wanted, got)
    if readable:
        found = compare(parse(wanted).rows, parse(got).rows, ("the golden log", "this run"))
        return "\n".join([*(one.sentence for one in found), str(readable)])
    lines = difflib.unified_diff(
        wanted.decode().splitlines(), got.decode().splitlines(), "golden", "got", n=1, lineterm=""
    )
    return "\n".join(lines)


class TestUpstream(UpstreamControl):
    """An upstream with a ``pytest-httpserver`` behind it on demand."""

    __test__ = False

    def __init__(self, world: TestWorld, name: str) -> None:
        super().__init__(world, name)
        self._test = world

    @property
    def httpserver(self) -> HTTPServer:
        """A ``pytest_httpserver.HTTPServer`` that from now on receives everything sent to this upstream."""
        return self._test.httpserver(self.name)


class CallableModel(ModelControl):
    """The scripted model, which in process also takes a Python function."""

    def __init__(self, world: TestWorld, session: EmulatorOfSession) -> None:
        super().__init__(world)
        self._session = session

    def script(self, *rules: Mapping[str, Any] | Callable[..., Any]) -> None:
        """Add rules as in a scenario's ``model``; a function is asked first and answers with a turn or None.

        The function gets the request: its body as a dict, with ``user``, ``system``, ``model``, ``tools``,
        ``messages``, ``turn``, ``results``, ``result`` and ``error`` as attributes (see ``model_script.asking.Asked``).
        It returns the next turn as in a scenario (``{"say": …, "call": …}``), a text to say, a list of all turns since
        the last user text, or None to leave the conversation to the rules.
        """
        functions = [rule for rule in rules if callable(rule)]
        if functions and self._session.emulator is None:
            raise EmulatorError("a Python function can script the model only in process; leave --stack-emu-url out")
        written = [rule for rule in rules if not callable(rule)]
        if written:
            super().script(*written)
        for function in functions:
            assert self._session.emulator is not None
            self._session.emulator.hosted(self._world.name).model_function = function


class TestWorld(WorldClient):
    """The world of one test.

    Args:
        made: the world.
        session: the emulator it lives on.
        update: whether golden files are rewritten.
        folder: the test's folder, which golden paths are relative to.
    """

    __test__ = False

    def __init__(self, made: WorldClient, session: EmulatorOfSession, *, update: bool, folder: Path) -> None:
        super().__init__(made.connection, made.description)
        self.audit: GoldenAudit = GoldenAudit(self)
        self.model: CallableModel = CallableModel(self, session)
        self.update = update
        self.folder = folder
        self._session = session
        self._servers: dict[str, HTTPServer] = {}
        self._forks: list[str] = []

    def fork(self, name: str = "") -> WorldClient:
        """Make a world that is where this one is now and goes on by itself until the test ends.

        Args:
            name: what to add to this world's name for the new one's; a number when left out.
        """
        made = super().fork(f"{self.name}-{name or len(self._forks) + 1}")
        self._forks.append(made.name)
        return made

    def upstream(self, name: str) -> TestUpstream:
        """One of the scenario's upstreams."""
        return TestUpstream(self, name)

    def httpserver(self, upstream: str) -> HTTPServer:
        """The ``pytest-httpserver`` behind an upstream, started on first use."""
        if upstream not in self._servers:
            from pytest_httpserver import HTTPServer

            server = HTTPServer(host="127.0.0.1", port=0)
            server.start()
            self._servers[upstream] = server
            self.control("PUT", f"/upstreams/{upstream}/forward", {"url": server.url_for("").rstrip("/")})
        return self._servers[upstream]

    @property
    def env(self) -> dict[str, str]:
        """The environment for a child process; with our own emulator the real host names lead here too."""
        emulator = self._session.emulator
        if emulator is None:
            return {**os.environ, **super().env}
        from stack_emu.cli.environment import client_environment

        environment = client_environment(
            base_url=self.base_url,
            mcp_url=self.mcp_url,
            api_key=self.api_key,
            anthropic_base_url=self.anthropic_base_url,
            anthropic_key=self.description["anthropic_api_key"],
            openai_base_url=self.openai_base_url,
            openai_key=self.description["openai_api_key"],
            dashboard_url=self.base_url,
            gateway_url=emulator.gateway.url(self.name),
            ca_file=emulator.gateway.ca_file,
            emulator_url=self.base_url,
            inherited=dict(os.environ),
        )
        environment.update(self.description["passports"])
        return environment

    def close(self) -> None:
        """Close the clients made for the test, drop its forks and stop the servers behind upstreams."""
        self.close_clients()
        for name in self._forks:
            self._session.client.remove_world(name)
        for server in self._servers.values():
            if server.is_running():
                server.stop()

    def check_httpservers(self) -> None:
        """Raise what the handlers and expectations of the servers behind upstreams noted."""
        for server in self._servers.values():
            server.check()

    def failure_sections(self) -> list[tuple[str, str]]:
        """Report sections for a failed test: the last exchanges, what did not match, and the audit table."""
        with contextlib.suppress(EmulatorError):
            return [(title, text) for title, text in self._sections() if text]
        return []

    def _sections(self) -> Iterator[tuple[str, str]]:
        from stack_emu.domain.canonical_audit import table

        journal = self.journal
        yield "stack-emu journal", "\n".join(_journal_line(entry) for entry in journal[-_SHOWN_ENTRIES:])
        yield "stack-emu near misses", "\n".join(_miss(entry) for entry in journal if entry["hint"])
        yield "stack-emu unread fields", "\n".join(unread["sentence"] for unread in self.verdict()["unread"])
        yield "stack-emu audit", table(self.audit.canonical())


def _miss(entry: Mapping[str, Any]) -> str:
    """What was said about an exchange: its hint, and the table of what came nearest."""
    said = f"{entry['problem']}: {entry['hint']}" if entry["problem"] else str(entry["hint"])
    return f"{said}\n{textwrap.indent(entry['near'], '    ')}" if entry["near"] else said


def _journal_line(entry: Mapping[str, Any]) -> str:
    what = entry["operation"] or entry["route"] or ""
    code = f" {entry['code']}" if entry["code"] else ""
    lane = f" [{entry['lane']}]" if entry["lane"] else ""
    return f"{entry['number']:>4} {entry['surface']:<9} {entry['method']} {entry['path']} {what} → {entry['status']}{code}{lane}"
