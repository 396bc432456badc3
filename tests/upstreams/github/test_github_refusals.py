"""What the fake GitHub refuses, and how PyGithub shows it; pages, headers, seeds and races."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import requests
from github import BadCredentialsException, GithubException, RateLimitExceededException, UnknownObjectException

from stack_emu.kernel.faults import FaultRule
from stack_emu.upstreams.engine import AcceptedCredential, UpstreamRequest
from stack_emu.upstreams.packs import find_pack
from tests.upstreams.conftest import TOKEN, Bench, Service

from .test_github_with_its_client import SEED, client

Serve = Callable[..., Service]
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def test_a_token_nobody_knows(serve: Serve) -> None:
    with client(serve("github", seed=SEED), "ghp_unknown") as g, pytest.raises(BadCredentialsException) as refused:
        g.get_user().login
    assert refused.value.data["message"] == "Bad credentials"


def test_a_missing_scope_is_a_404_and_the_journal_names_it(serve: Serve) -> None:
    service = serve("github", seed=SEED, scopes=("public_repo",))
    with client(service) as g:
        with pytest.raises(UnknownObjectException):
            g.get_repo("ada/secret")
        assert g.get_repo("acme/shop").create_issue("fine").title == "fine"
    service = serve("github", seed=SEED, scopes=("read:org",))
    with client(service) as g, pytest.raises(UnknownObjectException):
        g.get_repo("acme/shop").create_issue("not allowed")
    assert "public_repo" in str(service.entries[-1].hint)


REFUSALS: list[tuple[Callable[[Any], Any], int, str]] = [
    (lambda r: r.get_issue(99), 404, "Not Found"),
    (lambda r: r.create_issue(""), 422, "missing_field"),
    (lambda r: r.create_issue("x", assignees=["zed"]), 422, "invalid"),
    (lambda r: r.create_label("bug", "00ff00"), 422, "already_exists"),
    (lambda r: r.create_label("red", "red"), 422, "invalid"),
    (lambda r: r.get_issue(1).create_comment(" "), 422, "blank"),
    (lambda r: r.create_git_ref("refs/heads/main", r.get_branch("main").commit.sha), 422, "already exists"),
    (lambda r: r.create_git_ref("refs/heads/new", "0" * 40), 422, "Object does not exist"),
    (lambda r: r.get_branch("nope"), 404, "Branch not found"),
    (lambda r: r.get_contents("nope.md"), 404, "Not Found"),
    (lambda r: r.update_file("README.md", "m", "c", "0" * 40), 409, "does not match"),
    (lambda r: r.create_file("README.md", "m", "c"), 422, "supplied"),
    (lambda r: r.create_pull(base="main", head="nope", title="t"), 422, "invalid"),
    (lambda r: r.create_pull(base="main", head="main", title="t"), 422, "No commits between"),
]


@pytest.mark.parametrize(("ask", "status", "words"), REFUSALS)
def test_refusals(serve: Serve, ask: Callable[[Any], Any], status: int, words: str) -> None:
    with client(serve("github", seed=SEED)) as g:
        shop = g.get_repo("acme/shop")
        with pytest.raises(GithubException) as refused:
            ask(shop)
    assert refused.value.status == status
    assert words in str(refused.value.data)


def test_a_rate_limit_comes_from_a_fault(serve: Serve) -> None:
    service = serve("github", seed=SEED)
    inject = {"status": 403, "headers": {"Retry-After": "60"}}
    service.world.faults.add(FaultRule({"upstream": "github"}, inject, times=1))
    with client(service) as g:
        with pytest.raises(RateLimitExceededException) as refused:
            g.get_repo("acme/shop")
        assert "secondary rate limit" in refused.value.data["message"]
        assert g.get_repo("acme/shop").full_name == "acme/shop"


def test_what_is_not_served_says_what_is(serve: Serve) -> None:
    service = serve("github", seed=SEED)
    done = requests.post(f"{service.base_url}/graphql", json={"query": "{viewer{login}}"}, headers=HEADERS, timeout=10)
    assert done.status_code == 501
    assert "REST" in str(service.entries[-1].hint)


def test_pages_and_headers(serve: Serve) -> None:
    service = serve("github", seed=SEED, scopes=("repo",))
    url = f"{service.base_url}/repos/acme/shop/issues"
    first = requests.get(url, {"per_page": "1", "state": "all"}, headers=HEADERS, timeout=10)
    assert first.links["next"]["url"] == f"{url}?per_page=1&state=all&page=2"
    assert set(first.links) == {"next", "last"}
    second = requests.get(first.links["next"]["url"], headers=HEADERS, timeout=10)
    assert set(second.links) == {"prev", "first"}
    assert first.headers["X-OAuth-Scopes"] == "repo"
    again = requests.get(first.url, headers={**HEADERS, "If-None-Match": first.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")


SEEDS: list[tuple[dict[str, Any], str]] = [
    ({"repo": []}, "seed has no key 'repo'; did you mean repos?"),
    ({"repos": ["shop"]}, "seed.repos[0] is named 'shop'; write owner/name"),
    ({"repos": ["acme/shop"]}, "seed.repos[0] belongs to 'acme'"),
    (
        {"repos": [{"name": "octocat/shop", "issues": ["one", {"titel": "x"}]}]},
        "seed.repos[0].issues[1] has no key 'titel'; did you mean title?",
    ),
    (
        {"repos": [{"name": "octocat/shop", "issues": [{"title": "x", "state": "done"}]}]},
        "seed.repos[0].issues[0].state",
    ),
]


@pytest.mark.parametrize(("seed", "sentence"), SEEDS)
def test_seed_mistakes(seed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        find_pack("github").check(seed)
    assert str(refused.value).startswith(sentence)


LANES = {
    "agent:a": [
        ("issues", {"title": "one"}),
        ("issues", {"title": "two", "labels": ["hot"]}),
        ("issues/1/comments", {"body": "a"}),
    ],
    "agent:b": [("issues", {"title": "one"}), ("issues/1/comments", {"body": "b"}), ("labels", {"name": "cold"})],
}


def run(make: Callable[..., Bench], order: str) -> Any:
    bench = make({"github": {"pack": "github", "seed": SEED}}, {"github": [AcceptedCredential(TOKEN, "scon_github")]})
    base = "https://api.github.com/repos/acme/shop"

    async def go() -> Any:
        waiting = {lane: list(steps) for lane, steps in LANES.items()}
        replies: dict[str, list[Any]] = {lane: [] for lane in LANES}
        for letter in order:
            lane = f"agent:{letter}"
            path, fields = waiting[lane].pop(0)
            reply = await bench.send("github", UpstreamRequest.of_json("POST", f"{base}/{path}", fields, HEADERS), lane)
            replies[lane].append((reply.status, reply.content.get("number"), reply.content.get("id")))
        reads = []
        for path in ("issues?state=all", "labels", "issues/1/comments"):
            reply = await bench.send("github", UpstreamRequest("GET", f"{base}/{path}", HEADERS), "agent:c")
            reads.append(reply.content)
        await bench.engine.aclose()
        return replies, reads

    return asyncio.run(go())


@pytest.mark.parametrize("order", ["bbbaaa", "abab" + "ab", "baabba"])
def test_ids_do_not_depend_on_who_came_first(bench: Callable[..., Bench], order: str) -> None:
    assert run(bench, order) == run(bench, "aaabbb")
