"""A fake Linear driven by @linear/sdk over a socket, by httpx, and through STACK's proxy."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack_emu.kernel.faults import FaultRule
from stack_emu.scenario.loader import inspect_path
from stack_emu.upstreams.linear.seeding import STATES
from stack_emu.upstreams.packs import find_pack
from stack_emu.upstreams.requests import UpstreamRequest
from stack_emu.vocabulary import vocabulary
from tests.mcp.node_programs import environment, node, packages
from tests.upstreams.conftest import TOKEN, Bench, Proxied, Service

HERE = Path(__file__).parent
SEED = {
    "organization": {"name": "Acme", "urlKey": "acme"},
    "users": [{"name": "Ada", "admin": True}, {"name": "Bob"}, {"name": "Old Eve", "active": False}],
    "teams": [
        {
            "name": "Engineering",
            "key": "ENG",
            "cycles": [{"number": 1, "startsAt": "2025-12-29", "endsAt": "2026-01-12"}],
        },
        {"name": "Design"},
    ],
    "labels": ["bug", {"name": "palette", "team": "DES"}],
    "projects": [{"name": "Billing", "state": "started"}],
    "issues": [
        {"title": "Crash at start", "priority": 1, "labels": ["bug"], "comments": ["again"], "project": "Billing"},
        {"title": "Slow list", "state": "In Progress", "assignee": "Bob", "cycle": 1},
        {"title": "Old colours", "team": "DES"},
    ],
}
Serve = Callable[..., Service]


def sdk(program: str, service: Service, folder: Path, key: str = TOKEN, **extra: str) -> Any:
    """What a program of this folder printed."""
    (folder / "node_modules").symlink_to(packages(HERE / "node") / "node_modules")
    file = shutil.copy(HERE / program, folder / program)
    names = {"LINEAR_KEY": key, "LINEAR_URL": f"{service.base_url}/graphql", **extra}
    done = subprocess.run(
        [node(), str(file)], env=environment(**names), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def ask(service: Service, query: str, key: str = TOKEN, **variables: Any) -> httpx.Response:
    body = {"query": query, "variables": variables}
    return httpx.post(f"{service.base_url}/graphql", json=body, headers={"Authorization": key})


def test_the_sdk_drives_every_operation(serve: Serve, tmp_path: Path) -> None:
    service = serve("linear", seed=SEED)
    seen = sdk("tour.mjs", service, tmp_path)
    assert seen == {
        "viewer": ["Ada", True, "acme"],
        "teams": ["DES", "ENG"],
        "user": "bob@acme.test",
        "state": "completed",
        "label": "flaky",
        "labels": ["bug", "flaky", "palette"],
        "project": ["soon", "Bob", "backlog", 0],
        "projects": ["Launch"],
        "statuses": 6,
        "cycle": 1,
        "created": [True, "High", "Backlog", "Ada"],
        "number": True,
        "changed": ["Bob", "completed", "2026-02-01", 3, True, ["flaky"], 1],
        "children": ["Logout fails"],
        "progress": 1,
        "filtered": ["Login fails"],
        "unassigned": 3,
        "unlabelled": [],
        "comment": ["seen it twice", "Ada", True],
        "comments": ["fixed", "seen it twice"],
        "found": ["Login fails"],
        "notFound": 0,
        "older": ["Login fails"],
        "afterDelete": 0,
        "attachment": [True, "run 7 failed"],
        "attachments": 1,
        "forUrl": 1,
        "detached": 0,
        "relations": [["blocks"], 1],
        "relation": ["blocks", 1],
        "unrelated": 0,
        "archived": [False, True],
        "back": True,
        "trashed": [True, False],
        "pages": [2, True, 4],
        "last": [1, True, False],
        "sorted": ["Crash at start", "Login fails", "Old colours", "Slow list"],
    }
    assert service.undriven() == []
    assert service.unread() == set()


@pytest.mark.parametrize(
    ("asked", "name", "message"),
    [
        ("missing", "InvalidInputLinearError", "Could not find referenced Issue"),
        ("empty", "InvalidInputLinearError", "title should not be empty"),
        ("taken", "InvalidInputLinearError", "conflict on insert of Issue"),
        ("big", "InvalidInputLinearError", "first must be between 1 and 250"),
        ("unknown", "GraphqlLinearError", "Cannot query field 'shoeSize' on type 'User'"),
    ],
)
def test_the_sdk_raises_what_linear_makes_it_raise(
    serve: Serve, tmp_path: Path, asked: str, name: str, message: str
) -> None:
    seen = sdk("errors.mjs", serve("linear", seed=SEED), tmp_path, LINEAR_ASK=asked)
    assert seen["name"] == name
    assert message in seen["message"]


def test_a_key_nobody_knows_is_an_authentication_error(serve: Serve, tmp_path: Path) -> None:
    seen = sdk("errors.mjs", serve("linear"), tmp_path, key="lin_api_wrong", LINEAR_ASK="viewer")
    assert (seen["name"], seen["status"]) == ("AuthenticationLinearError", 401)


def test_a_missing_scope_is_forbidden_and_a_narrow_one_is_enough(serve: Serve, tmp_path: Path) -> None:
    service = serve("linear", seed=SEED, scopes=("read", "issues:create"))
    seen = sdk("errors.mjs", service, tmp_path, LINEAR_ASK="comment")
    assert (seen["name"], seen["status"]) == ("ForbiddenLinearError", 403)
    assert service.entries[-1].hint == "commentCreate needs the scope write or comments:create or admin."
    made = ask(service, 'mutation { issueCreate(input: {teamId: "ENG", title: "allowed"}) { issue { title } } }')
    assert made.json()["data"]["issueCreate"]["issue"] == {"title": "allowed"}


def test_a_bare_429_is_a_rate_limit(serve: Serve, tmp_path: Path) -> None:
    service = serve("linear", seed=SEED)
    service.world.faults.add(FaultRule({"upstream": "linear"}, {"status": 429}))
    seen = sdk("errors.mjs", service, tmp_path, LINEAR_ASK="viewer")
    assert (seen["name"], seen["status"]) == ("RatelimitedLinearError", 429)


def test_bearer_tokens_and_bare_keys_are_both_accepted(serve: Serve) -> None:
    service = serve("linear", seed=SEED)
    for key in (TOKEN, f"Bearer {TOKEN}"):
        assert ask(service, "{ viewer { name } }", key).json() == {"data": {"viewer": {"name": "Ada"}}}


def test_edges_fragments_aliases_and_introspection_work(serve: Serve) -> None:
    service = serve("linear", seed=SEED)
    query = """
      query ($team: String!) {
        mine: team(id: $team) { ...T }
        __schema { queryType { name } }
      }
      fragment T on Team {
        issues(first: 1, orderBy: updatedAt) { edges { cursor node { id __typename } } pageInfo { endCursor } }
      }
    """
    data = ask(service, query, team="ENG")
    answer = data.json()["data"]
    [edge] = answer["mine"]["issues"]["edges"]
    assert edge["node"]["__typename"] == "Issue"
    assert edge["cursor"] == edge["node"]["id"] == answer["mine"]["issues"]["pageInfo"]["endCursor"]
    assert answer["__schema"]["queryType"]["name"] == "Query"
    assert data.headers["X-RateLimit-Requests-Limit"] == "5000"


def test_a_mutation_that_fails_leaves_nothing_and_one_beside_it_stays(serve: Serve) -> None:
    service = serve("linear", seed=SEED)
    query = """mutation {
      good: issueCreate(input: {teamId: "ENG", title: "kept"}) { issue { title } }
      bad: issueUpdate(id: "ENG-404", input: {title: "x"}) { success }
    }"""
    reply = ask(service, query).json()
    assert reply["errors"][0]["path"] == ["bad"]
    assert reply["errors"][0]["extensions"]["code"] == "INPUT_ERROR"
    found = ask(service, '{ issues(filter: {title: {eq: "kept"}}) { nodes { title } } }').json()
    assert found["data"]["issues"]["nodes"] == [{"title": "kept"}]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("{ viewer {", 400, "GRAPHQL_PARSE_FAILED"),
        ("{ viewer { nope } }", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: Int!) { issues(first: $n) { nodes { id } } }", 400, "BAD_USER_INPUT"),
    ],
)
def test_queries_that_cannot_be_are_bad_requests(serve: Serve, query: str, status: int, code: str) -> None:
    reply = ask(serve("linear"), query)
    assert reply.status_code == status
    assert reply.json()["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize("body", [[], {}, {"query": 1}, {"query": "{ viewer { id } }", "variables": [1]}])
def test_bodies_that_are_no_requests_are_bad_requests(serve: Serve, body: Any) -> None:
    reply = httpx.post(f"{serve('linear').base_url}/graphql", json=body, headers={"Authorization": TOKEN})
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["extensions"]["code"] == "INPUT_ERROR"


def test_what_is_not_served_names_the_nearest_and_why(serve: Serve) -> None:
    service = serve("linear")
    reply = ask(service, 'mutation { webhookCreate(input: {url: "https://a.test"}) { success } }')
    assert reply.status_code == 501
    error = reply.json()["error"]
    assert error["code"] == "UPSTREAM_UNMATCHED"
    assert "Linear would have to call your agent" in error["message"]
    assert len(error["details"]["candidates"]) == 3


@pytest.mark.parametrize(
    ("filtered", "titles"),
    [
        ("priority: {eq: 1}", ["Crash at start"]),
        ("priority: {neq: 1}", ["Old colours", "Slow list"]),
        ('title: {nin: ["Slow list"]}', ["Crash at start", "Old colours"]),
        ('title: {notContains: "l"}', ["Crash at start"]),
        ('state: {type: {eq: "started"}}', ["Slow list"]),
        ('project: {name: {eq: "Billing"}}', ["Crash at start"]),
        ('project: {state: {eq: "started"}}', ["Crash at start"]),
        ("project: {null: true}", ["Old colours", "Slow list"]),
        ("labels: {length: {eq: 0}}", ["Old colours", "Slow list"]),
        ('labels: {some: {name: {eqIgnoreCase: "BUG"}}}', ["Crash at start"]),
        ('comments: {body: {contains: "again"}}', ["Crash at start"]),
        ("cycle: {isActive: {eq: true}}", ["Slow list"]),
        ("assignee: {isMe: {eq: false}}", ["Slow list"]),
        ('id: {in: ["DES-3"]}', ["Old colours"]),
        ('createdAt: {lt: "2026-01-01"}, team: {key: {eq: "DES"}}', ["Old colours"]),
        ("and: [{number: {gte: 2}}, {number: {lt: 3}}]", ["Slow list"]),
    ],
)
def test_filters(serve: Serve, filtered: str, titles: list[str]) -> None:
    data = ask(serve("linear", seed=SEED), f"{{ issues(filter: {{{filtered}}}) {{ nodes {{ title }} }} }}").json()
    assert sorted(one["title"] for one in data["data"]["issues"]["nodes"]) == titles


def test_through_stacks_proxy(proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("linear", scopes=["read", "write"], seed=SEED)
    url = "https://api.linear.app/graphql"
    query = 'mutation($t: String!) { issueCreate(input: {teamId: $t, title: "From STACK"}) { issue { identifier } } }'
    made = upstream.ask("POST", url, body={"query": query, "variables": {"t": "ENG"}})
    identifier = made.body["data"]["issueCreate"]["issue"]["identifier"]
    read = upstream.ask("POST", url, body={"query": f'{{ issue(id: "{identifier}") {{ title }} }}'})
    assert read.body == {"data": {"issue": {"title": "From STACK"}}}
    assert [one["route"] for one in upstream.journal()] == ["/graphql#issueCreate", "/graphql#issue"]


def test_racing_lanes_get_the_same_issues_in_either_order(bench: Callable[..., Bench]) -> None:
    from stack_emu.upstreams.credentials import AcceptedCredential

    def create(title: str) -> UpstreamRequest:
        query = (
            'mutation($t: String!) { issueCreate(input: {teamId: "ENG", title: $t}) { lastSyncId issue { id url } } }'
        )
        body = {"query": query, "variables": {"t": title}}
        return UpstreamRequest.of_json("POST", "https://api.linear.app/graphql", body, {"Authorization": TOKEN})

    def run(order: str) -> dict[str, bytes]:
        made = bench({"linear": {"pack": "linear", "seed": SEED}}, {"linear": [AcceptedCredential(TOKEN, "scon")]})
        return {lane: made.ask("linear", create(f"by {lane}"), lane=f"agent:{lane}").body for lane in order}

    one, other = run("ab"), run("ba")
    assert one == other
    assert one["a"] != one["b"]


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"isues": []}, "seed has no key 'isues'; did you mean issues?"),
        ({"issues": [{"titel": "x"}]}, "seed.issues[0] has no key 'titel'; did you mean title?"),
        (
            {"issues": [{"title": "x", "state": "Dne"}]},
            "seed.issues[0].state names 'Dne', which there is not; did you mean Done?",
        ),
        ({"issues": [{"title": "x", "priority": 9}]}, "seed.issues[0].priority is 9"),
        ({"issues": [{"title": "x", "number": 2}, {"title": "y"}]}, "seed.issues[1].number 2 is taken in ENG"),
        ({"users": ["Ada"], "viewer": "Adda"}, "seed.viewer names 'Adda', which there is not; did you mean Ada?"),
        (
            {"teams": [{"name": "E", "states": [{"name": "x", "type": "don"}]}]},
            "seed.teams[0].states[0].type names 'don'",
        ),
        ({"labels": ["a", "a"]}, "seed.labels has 'a' twice"),
        ({"projects": [{"name": "P", "teams": ["OPS"]}]}, "seed.projects[0].teams names 'OPS'"),
    ],
)
def test_a_seed_that_cannot_work_is_refused(seed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        find_pack("linear").check(seed)
    assert str(caught.value).startswith(sentence)


def test_a_mistake_in_a_scenario_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "stack_emu: 1\nupstreams:\n  linear:\n    pack: linear\n    seed:\n      issues:\n      - {titel: x}\n"
    )
    [problem] = inspect_path(file, vocabulary()).problems
    assert "7:" in str(problem)
    assert "did you mean title?" in str(problem)


def test_a_team_without_states_gets_linears_usual_ones(serve: Serve) -> None:
    data = ask(serve("linear"), "{ workflowStates { nodes { name type } } }").json()
    assert {(one["name"], one["type"]) for one in data["data"]["workflowStates"]["nodes"]} == set(STATES)
