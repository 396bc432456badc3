"""The pytest plugin: a world of its own for each test that asks for the fixture ``stack_emu``.

Only pytest and the standard library are imported until a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stack_emu.pytest_world import EmulatorOfSession, TestWorld

_MARKER = (
    "stack_emu(scenario=None, seed=None, clock=None, strict=True, transparent=False, docs_client=False, "
    "overlay=None, variables=None): "
    "the world the stack_emu fixture gives to this test"
)
_ARGUMENTS = frozenset({"scenario", "seed", "clock", "strict", "transparent", "docs_client", "overlay", "variables"})
_FAILED: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("stack-emu")
    group.addoption("--stack-emu-url", metavar="URL", help="use the emulator running there instead of one of our own")
    group.addoption("--stack-emu-update", action="store_true", help="rewrite golden audit logs instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def stack_emu_emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorOfSession]:
    """The emulator of this test run (of this xdist worker): one server in a thread, started on first use."""
    from stack_emu.pytest_world import EmulatorOfSession

    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    emulator = EmulatorOfSession(request.config.getoption("--stack-emu-url"), worker)
    yield emulator
    emulator.close()


@pytest.fixture
def stack_emu(request: pytest.FixtureRequest, stack_emu_emulator: EmulatorOfSession) -> Iterator[TestWorld]:
    """A fresh world made from the ``stack_emu`` marker's scenario; its expectations are checked at teardown."""
    arguments = _marker_arguments(request)
    scenario = arguments.pop("scenario", None)
    if scenario is not None:
        scenario = _find_scenario(request, str(scenario))
    with stack_emu_emulator.world(
        scenario, update=request.config.getoption("--stack-emu-update"), folder=request.path.parent, **arguments
    ) as world:
        yield world
        judged = world.verdict()
    for warning in judged["warnings"]:
        request.node.add_report_section("teardown", "stack-emu", f"{warning['kind']}: {warning['sentence']}")
    for unread in judged["unread"]:
        request.node.add_report_section("teardown", "stack-emu", f"unread: {unread['sentence']}")
    if judged["failures"] and not request.node.stash.get(_FAILED, False):
        lines = [f"{item['kind']}: {item['sentence']}" for item in judged["failures"]]
        pytest.fail("the world's expectations did not hold:\n  " + "\n  ".join(lines), pytrace=False)


def _marker_arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    arguments: dict[str, Any] = {"strict": True}
    for marker in reversed(list(request.node.iter_markers("stack_emu"))):
        if marker.args:
            raise pytest.UsageError(
                f"the stack_emu marker takes keyword arguments only: {', '.join(sorted(_ARGUMENTS))}"
            )
        arguments.update(marker.kwargs)
    unknown = set(arguments) - _ARGUMENTS
    if unknown:
        raise pytest.UsageError(
            f"the stack_emu marker has no argument {', '.join(sorted(unknown))}; it has {', '.join(sorted(_ARGUMENTS))}"
        )
    return arguments


def _find_scenario(request: pytest.FixtureRequest, given: str) -> Path:
    places = [request.config.rootpath / given, request.path.parent / given, Path(given).absolute()]
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(str(place) for place in dict.fromkeys(places))
    raise pytest.UsageError(f"there is no scenario {given}; looked for {looked}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, None]:
    """Attach the journal, the nearest misses and the audit table to a failed test that used a world."""
    outcome = yield
    report = outcome.get_result()
    if report.when != "call" or not report.failed:
        return
    item.stash[_FAILED] = True
    world = getattr(item, "funcargs", {}).get("stack_emu")
    if world is not None and hasattr(world, "failure_sections"):
        report.sections.extend(world.failure_sections())
