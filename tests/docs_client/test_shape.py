"""The client of STACK's page, over the real SDK, against a served world."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import getstack
import pytest

from stack_emu.docs_client.shape import DocsClientWarning, apply, docs_shape
from tests.conftest import KEY, Served
from tests.docs_client.conftest import WORLD, Run

PAGE = """
import json, os, sys
from getstack import StackClient

stack = StackClient(api_key=os.environ["STACK_API_KEY"], base_url=sys.argv[1])
passport = stack.passports.issue(
    agent_id="agent_deploy_bot",
    intent="Announce the deploy in #engineering",
    ttl_seconds=900,
)
live = stack.passports.verify(passport.token)["valid"]
stack.passports.revoke(passport.id)
print(json.dumps({"id": passport.id, "jti": passport.jti, "live": live, "type": type(stack).__mro__[1].__name__}))
"""


@pytest.fixture
def client(serve: Callable[..., Served]) -> Any:
    served = serve(WORLD)
    with docs_shape(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DocsClientWarning)
        stack = getstack.StackClient(api_key=KEY, base_url=served.base_url)
        stack.served = served
        yield stack
        stack.close()


def test_the_pages_program_runs_as_printed(serve: Callable[..., Served], run_python: Run) -> None:
    served = serve(WORLD)
    done = run_python(PAGE, served.base_url, env={"STACK_API_KEY": KEY})
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["id"] == printed["jti"]
    assert printed["live"] is True
    assert printed["type"] == "Stack"
    assert [row.action for row in served.rows()] == ["mission.start", "passport.issue", "passport.revoke"]
    assert served.rows()[-1].passport_jti == printed["id"]


def test_the_program_is_told_once_what_to_write_with_the_published_sdk(
    serve: Callable[..., Served], run_python: Run
) -> None:
    twice = PAGE + "StackClient(api_key='x', base_url=sys.argv[1])\n"
    done = run_python(twice, serve(WORLD).base_url, env={"STACK_API_KEY": KEY})
    assert done.stderr.count("DocsClientWarning") == 1, done.stderr
    assert "program.py:5:" in done.stderr
    for words in ("getstack.Stack(", "missions.start(", '["jti"]'):
        assert words in done.stderr


def test_the_warning_has_a_class_of_its_own_and_points_at_the_caller(serve: Callable[..., Served]) -> None:
    served = serve(WORLD)
    with docs_shape(), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", DocsClientWarning)
        for _ in range(2):
            getstack.StackClient(api_key=KEY, base_url=served.base_url).close()
    assert [warning.category for warning in seen] == [DocsClientWarning]
    assert "the published getstack has no StackClient" in str(seen[0].message)
    assert [warning.filename for warning in seen] == [__file__]
    assert issubclass(DocsClientWarning, UserWarning)


def test_one_call_opens_the_mission_and_issues_its_passport(client: Any) -> None:
    passport = client.passports.issue(agent_id="agent_deploy_bot", intent="Tidy up", ttl_seconds=1800)
    assert isinstance(passport, getstack.Passport)
    assert passport.id == passport.jti
    assert passport.accountability == "logged"
    assert repr(passport).startswith("Passport(token=")
    (mission,) = client.missions.list()["items"]
    assert mission["intent_summary"] == "Tidy up"
    report = client.passports.report(passport.id)
    assert report.intent["summary"] == "Tidy up"
    assert report.passport["expires_at"][:19] == passport.expires_at[:19] == mission["expires_at"][:19]


def test_what_the_sdk_takes_beside_the_pages_arguments_is_passed_on(client: Any) -> None:
    passport = client.passports.issue(
        "agent_deploy_bot", "Tidy up", ["slack"], True, estimated_duration="30m", checkpoint_interval="2m"
    )
    intent = client.passports.report(passport.id).intent
    assert {**intent, "services": list(intent["services"])} == {
        "summary": "Tidy up",
        "services": ["slack"],
        "will_delegate": True,
        "estimated_duration_seconds": 1800,
    }
    (mission,) = client.missions.list()["items"]
    assert mission["intent_services"] == ["slack"]


def test_a_mission_of_ones_own_goes_to_the_sdk_unchanged(client: Any) -> None:
    opened = client.missions.open("Tidy up", agent_id="agent_deploy_bot")
    passport = client.passports.issue(
        "agent_deploy_bot", intent="Tidy up", ttl_seconds=60, mission_ids=[opened["mission_id"]]
    )
    assert passport.id == passport.jti
    assert len(client.missions.list()["items"]) == 1
    with pytest.raises(ValueError, match="exactly one Mission"):
        client.passports.issue("agent_deploy_bot", intent="Tidy up", mission_ids=[])


def test_refreshed_passports_have_an_id_too(client: Any) -> None:
    passport = client.passports.issue(agent_id="agent_deploy_bot", intent="Tidy up")
    again = client.passports.refresh(passport.token)
    assert again.id == again.jti


def test_issuing_without_an_intent_says_what_is_needed(client: Any) -> None:
    with pytest.raises(ValueError, match=r"needs intent=.*or mission_ids"):
        client.passports.issue(agent_id="agent_deploy_bot", ttl_seconds=900)


def test_refusals_are_the_sdks_own_errors(client: Any) -> None:
    with pytest.raises(getstack.NotFoundError):
        client.passports.issue(agent_id="agent_nobody", intent="Tidy up")


def test_nothing_is_left_when_the_block_ends() -> None:
    before = dict(vars(getstack))
    with docs_shape():
        assert issubclass(getstack.StackClient, getstack.Stack)
        with docs_shape():
            pass
        assert "StackClient" in vars(getstack)
    assert vars(getstack) == before
    assert not hasattr(getstack.Passport, "id")


def test_a_client_that_getstack_exports_itself_is_left_alone() -> None:
    class Module:
        class Stack:
            pass

        class StackClient(Stack):
            pass

    own = Module.StackClient
    apply(Module)()
    assert Module.StackClient is own
