"""What `stack-emu exec --junit` writes is a JUnit report as CI systems read it, whatever became of the run."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from tests.cli.conftest import WORLD, Cli

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))
EXPECT = "expect: {audit: [{action: agent.register, times: 1}, {action: passport.revoke, never: true}]}\n"
UNFIRED = "faults: [{on: {operation: agents.delete}, inject: {error: NOT_FOUND}}]\n"
REGISTER = "import os\nfrom getstack import Stack\nStack(api_key=os.environ['STACK_API_KEY']).agents.register('new')\n"
RUNS: dict[str, tuple[str, str, int, Counter[str]]] = {
    "passing": (EXPECT, REGISTER, 0, Counter(tests=3)),
    "passing without expectations": ("", "pass", 0, Counter(tests=1)),
    "an expectation fails": (EXPECT, "pass", 70, Counter(tests=3, failures=1)),
    "a strict run fails": (EXPECT + UNFIRED, REGISTER, 70, Counter(tests=4, failures=1)),
    "the command fails": (EXPECT + UNFIRED, "raise SystemExit(3)", 3, Counter(tests=4, failures=3)),
    "the command cannot go on": (EXPECT, REGISTER + "os.abort()", 134, Counter(tests=3, errors=1)),
    "odd characters": ("", "raise SystemExit(1)  # <&> \"'\x01\ud7ff é ]]>", 1, Counter(tests=1, failures=1)),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_report_keeps_to_the_form_and_counts_what_it_lists(cli: Cli, tmp_path: Path, run: str) -> None:
    extra, program, code, counted = RUNS[run]
    scenario, report = tmp_path / "shop & co.yaml", tmp_path / "report.xml"
    scenario.write_text(WORLD + extra)
    ran = cli("exec", scenario, "--junit", report, "--", sys.executable, "-c", program)
    assert ran.code == code, ran.err
    SCHEMA.validate(str(report))
    suite = ElementTree.parse(report).getroot()
    found = Counter(
        tests=len(suite.findall("testcase")),
        failures=len(suite.findall("testcase/failure")),
        errors=len(suite.findall("testcase/error")),
    )
    assert found == counted
    assert {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")} == {
        "failures": 0,
        "errors": 0,
        "skipped": 0,
        **counted,
    }
    assert {one.get("name"): one.get("value") for one in suite.iter("property")} == {
        "scenario": str(scenario),
        "seed": "3",
    }


def test_a_command_that_a_signal_ended_is_an_error_that_names_it(cli: Cli, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert cli("exec", "--junit", report, "--", sys.executable, "-c", "import os; os.abort()").code == 134
    error = ElementTree.parse(report).getroot().find("testcase/error")
    assert error is not None
    assert (error.get("type"), error.get("message")) == ("command", "ended by signal 6 (SIGABRT)")


BROKEN = {
    "a count is missing": ('failures="0" ', ""),
    "a count is no number": ('tests="1"', 'tests="one"'),
    "a case has no name": (' name="x"', ""),
    "an unknown attribute": ('name="x"', 'name="x" result="ok"'),
    "a failure beside the cases": ("</testsuite>", '<failure type="a"/></testsuite>'),
    "properties behind the cases": (
        "</testsuite>",
        '<properties><property name="a" value="b"/></properties></testsuite>',
    ),
    "two outcomes": ("<failure", '<error type="a"/><failure'),
    "a negative time": ('time="0.5"', 'time="-0.5"'),
    "a failure of no type": (' type="command"', ""),
}
GOOD = (
    '<testsuite name="s" tests="1" failures="0" errors="0" time="0.5">'
    '<testcase classname="c" name="x"><failure type="command"/></testcase></testsuite>'
)


@pytest.mark.parametrize("how", BROKEN)
def test_the_form_refuses_what_is_none(how: str) -> None:
    assert SCHEMA.is_valid(GOOD)
    old, new = BROKEN[how]
    assert old in GOOD
    assert not SCHEMA.is_valid(GOOD.replace(old, new, 1))
