"""docs/fidelity.md and docs/coverage.md say of what is served, chosen and declined what is true of it."""

from __future__ import annotations

import re
import typing
from typing import Any

import pytest
from getstack import Stack

from stack_emu.cli.coverage import collect, page
from stack_emu.domain.families import registry
from stack_emu.domain.faults import CATALOGUE
from stack_emu.domain.service_catalogue import PROVIDERS
from stack_emu.kernel.dispatch import Pending, Refused
from stack_emu.kernel.operations import GRADES, Download, Operation, Stream
from stack_emu.surfaces.messages_fields import ACCEPTED, CHECKED, CONNECTOR_BETAS, NOT_SERVED, REFUSED_BETAS
from stack_emu.upstreams.slack.methods import METHODS
from tests.docs.blocks import ROOT

FIDELITY = (ROOT / "docs" / "fidelity.md").read_text("utf-8")
COVERAGE = (ROOT / "docs" / "coverage.md").read_text("utf-8")
NAME = re.compile(r"`([^`]+)`")
NOT_OF_THE_SDK = {"jwks", "billing", "oauth"}
"""Families that the SDK has no service for."""

OPERATIONS: dict[str, Operation] = registry().operations


def section(title: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    level = title.partition(" ")[0]
    start = FIDELITY.index(f"\n{title}\n") + len(title) + 2
    following = re.search(rf"^#{{1,{len(level)}}} ", FIDELITY[start:], re.MULTILINE)
    return FIDELITY[start : start + following.start()] if following else FIDELITY[start:]


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def reply_fields(declared: Operation) -> list[str]:
    """Names of the fields in an operation's reply, or in each item of it."""
    wanted = declared.reply
    parts = typing.get_args(wanted) if typing.get_origin(wanted) not in (list, None) else (wanted,)
    [only] = [
        part for part in parts if part not in (Refused, Download, Stream) and typing.get_origin(part) is not Pending
    ]
    model: Any = typing.get_args(only)[0] if typing.get_origin(only) is list else only
    return list(model.model_fields)


def test_every_grade_is_explained() -> None:
    assert [NAME.findall(cells[0])[0] for cells in rows("## Grades")] == list(GRADES)


def test_what_is_said_of_grades_as_a_whole_is_so() -> None:
    grades = {declared.grade for declared in OPERATIONS.values()}
    assert ("no operation has this grade" in section("## Grades")) == ("recorded" not in grades)
    assert ("No operation as a whole is `invented`" in section("## Grades")) == ("invented" not in grades)


def test_every_operation_that_is_invented_in_whole_or_in_part_is_named() -> None:
    ours = [
        name
        for name, declared in OPERATIONS.items()
        if declared.grade in ("invented", "sdk-implied")
        or "invented" in declared.source
        or "not published" in declared.source
        or "no REST path" in declared.source
    ]
    assert len(ours) > 10
    named = set(NAME.findall(section("## What is our choice")))
    assert [name for name in ours if name not in named] == []


def test_the_fields_given_for_unpublished_replies_are_those_of_the_replies() -> None:
    described = {
        NAME.findall(cells[0])[0]: NAME.findall(cells[1]) for cells in rows("### Replies whose shape is not published")
    }
    assert described == {name: reply_fields(OPERATIONS[name]) for name in described}


def test_codes_said_to_be_ours_are_in_the_catalogue() -> None:
    [line] = re.findall(r"^- \*\*Codes\*\*: .*?(?=^- )", section("### Behaviour"), re.MULTILINE | re.DOTALL)
    assert set(NAME.findall(line)) <= {spec.code for spec in CATALOGUE}


def test_the_figures_are_those_of_the_code() -> None:
    from stack_emu.domain.agents import TIER_AGENTS
    from stack_emu.domain.detectors import BURST, DETECTORS
    from stack_emu.domain.meters import LIMITS, PROXY_CALLS, SCANS

    text = " ".join(FIDELITY.split())
    calls = LIMITS[PROXY_CALLS]
    free, developer, studio = calls["free"], calls["developer"], calls["studio"]
    assert f"{free:,} proxied calls a month on `free` and {studio:,} on `studio` are published" in text
    assert f"{developer:,} on `developer`" in text
    assert "({}, {}, {}) are invented".format(*TIER_AGENTS.values()) in text
    burst = DETECTORS[BURST].thresholds
    assert f"more than {burst['count']} retrievals in {burst['window_seconds']} seconds" in text
    assert "({:,}, {:,}, {:,} scans a month)".format(*LIMITS[SCANS].values()) in text
    assert f"{len(PROVIDERS)} well-known providers" in text


def test_the_detectors_and_kinds_of_personal_data_are_those_of_the_code() -> None:
    from stack_emu.domain.detectors import DETECTORS
    from stack_emu.domain.pii_kinds import KINDS

    lines = re.split(r"^- ", section("### Behaviour"), flags=re.MULTILINE)
    [detectors] = [line for line in lines if line.startswith("**Detectors**")]
    assert set(DETECTORS) <= set(NAME.findall(detectors))
    [personal] = [line for line in lines if line.startswith("**Personal data**")]
    assert set(KINDS) <= set(NAME.findall(personal))


def test_the_families_said_to_be_served_are_the_registry() -> None:
    served = [
        f"{NAME.findall(family)[0]}.{verb}"
        for family, verbs in rows("## What is served")
        for verb in NAME.findall(verbs)
    ]
    assert sorted(served) == sorted(OPERATIONS)


def test_every_service_of_the_sdk_is_served_or_declined_by_name() -> None:
    stack = Stack(api_key="sk_live_x")
    of_sdk = {
        name
        for name, value in vars(stack).items()
        if not name.startswith("_") and type(value).__module__.startswith("getstack")
    }
    stack.close()
    declined = {NAME.findall(cells[0])[0] for cells in rows("## What is not served")}
    families = {name.partition(".")[0] for name in OPERATIONS}
    assert declined & families == set()
    assert declined | (families - NOT_OF_THE_SDK) == of_sdk


def test_operations_said_not_to_be_served_are_not() -> None:
    text = section("## What is not served")
    named = re.findall(r"`(\w+\.\w+)`", text)
    assert set(named) & set(OPERATIONS) == set()


def test_the_messages_fields_are_those_of_the_code() -> None:
    lines = [" ".join(line.split()) for line in re.split(r"^- ", section("## The Messages API"), flags=re.MULTILINE)]
    accepted = next(line for line in lines if line.startswith("**Accepted without effect**"))
    assert set(NAME.findall(accepted)) == set(ACCEPTED)
    checked = next(line for line in lines if line.startswith("**Checked"))
    assert set(NAME.findall(checked.partition(".")[0])) == set(CHECKED)
    refused = next(line for line in lines if line.startswith("**Refused"))
    assert set(NAME.findall(refused)) == set(NOT_SERVED)
    connector = next(line for line in lines if line.startswith("**Connector**"))
    assert {name for name in NAME.findall(connector) if name.startswith(("mcp-client", "mcp-tunnels"))} == {
        *CONNECTOR_BETAS,
        *REFUSED_BETAS,
    }


def test_the_slack_methods_are_those_of_the_pack() -> None:
    [served] = re.findall(r"^Served: (.*?)\n\n", section("## Slack"), re.MULTILINE | re.DOTALL)
    assert NAME.findall(served) == list(METHODS)


def without_what_was_driven(text: str) -> list[str]:
    """The page without what the evidence of a test run adds to it."""
    lines = [line for line in text.splitlines() if "in the tests:" not in line and "SDK driven" not in line]
    return [line.rpartition(" |")[0].rpartition(" | ")[0] if line.startswith("| ") else line for line in lines]


def test_the_coverage_page_is_current() -> None:
    made = page(*collect())
    assert without_what_was_driven(COVERAGE) == without_what_was_driven(made), "run make docs"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_coverage_page_names(name: str) -> None:
    declared = OPERATIONS[name]
    [line] = [line for line in COVERAGE.splitlines() if line.startswith(f"| {name} |")]
    assert declared.grade in line
    assert declared.source in line
    if declared.rest is not None:
        assert f"`{declared.rest.method} {declared.rest.path}`" in line
    if declared.tool is not None:
        assert f"`{declared.tool.name}`" in line


NEVER_REFUSED = {
    "jwks.get": "public keys are for everybody",
    "oauth.server_metadata": "a public document",
    "services.list_intents": "only a tool: who may not use it is refused before it is performed",
}


def test_every_operation_was_driven_by_a_client_and_refused() -> None:
    """The columns of the page: no operation without a client whose call showed an effect, none without its refusal."""
    entries, _ = collect()
    oauth = {name for name in OPERATIONS if name.startswith("oauth.")}  # driven by clients that sign in: tests/oauth
    undriven = {entry["name"] for entry in entries if not entry["driven"]}
    assert undriven <= oauth
    assert {entry["name"] for entry in entries if not entry["refused"]} == set(NEVER_REFUSED)
