"""PyGithub drives every operation of the fake GitHub over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from github import Auth, Github, GithubException, UnknownObjectException

from tests.upstreams.conftest import TOKEN, Proxied, Service

Serve = Callable[..., Service]
SEED = {
    "user": "ada",
    "users": ["bob"],
    "orgs": ["acme"],
    "repos": [
        {
            "name": "acme/shop",
            "labels": ["bug"],
            "issues": ["first", {"title": "second", "labels": ["bug"], "comments": ["seen"]}],
            "files": {"README.md": "hello\n", "src/app.py": "print('hello')\n"},
        },
        {"name": "ada/secret", "private": True, "issues": ["hidden"]},
    ],
}


def client(service: Service, token: str = TOKEN) -> Github:
    options: Any = {"retry": None, "seconds_between_requests": None, "seconds_between_writes": None}
    return Github(base_url=service.base_url, auth=Auth.Token(token), **options)


@pytest.fixture
def github(serve: Serve) -> Iterator[Callable[..., tuple[Service, Github]]]:
    opened: list[Github] = []

    def start(*, scopes: tuple[str, ...] | None = None, token: str = TOKEN) -> tuple[Service, Github]:
        service = serve("github", seed=SEED, scopes=scopes)
        opened.append(client(service, token))
        return service, opened[-1]

    yield start
    for one in opened:
        one.close()


def test_every_operation(github: Callable[..., tuple[Service, Github]]) -> None:
    service, g = github()
    assert g.get_user().login == "ada"
    assert g.get_user("bob").type == "User"
    assert g.get_rate_limit().rate.limit == 5000
    people(g)
    shop = g.get_repo("acme/shop")
    issues(g, shop)
    labels_and_milestones(shop)
    files(shop)
    pulls(shop)
    assert [one.title for one in g.search_issues("repo:acme/shop is:closed label:bug -label:new")] == ["second"]
    assert [one.full_name for one in g.search_repositories("shop")] == ["acme/shop"]
    assert [one.path for one in g.search_code("print repo:acme/shop")] == ["src/app.py"]
    assert service.undriven() == []
    assert service.unread() == set()


def people(g: Github) -> None:
    made = g.get_user().create_repo("tools", private=True, auto_init=True)
    assert made.get_contents("README.md").decoded_content == b"# tools\n"
    raw("POST", g, "/orgs/acme/repos", {"name": "docs"})
    assert [one.full_name for one in g.get_user().get_repos()] == ["acme/docs", "acme/shop", "ada/secret", "ada/tools"]
    assert [one.full_name for one in g.get_user("bob").get_repos()] == []
    assert {one["name"] for one in raw("GET", g, "/orgs/acme/repos")} == {"docs", "shop"}


def raw(method: str, g: Any, path: str, fields: Any = None) -> Any:
    return g.requester.requestJsonAndCheck(method, path, input=fields)[1]


def issues(g: Github, shop: Any) -> None:
    issue = shop.create_issue("broken", body="badly", labels=["bug", "new"], assignees=["bob"])
    assert 100_000 <= issue.number <= 999_999
    assert [one.title for one in shop.get_issues(labels=["new"])] == ["broken"]
    assert {one.title for one in shop.get_issues(state="all", assignee="none")} == {"first", "second"}
    issue.add_to_assignees("ada")
    issue.remove_from_assignees("bob")
    assert [one.login for one in shop.get_issue(issue.number).assignees] == ["ada"]
    assert [one["title"] for one in raw("GET", g, "/issues")] == ["broken"]
    assert {one.login for one in shop.get_assignees()} == {"ada", "bob"}
    assert shop.has_in_assignees("bob")
    assert not shop.has_in_assignees("zed")
    issue.lock("resolved")
    assert shop.get_issue(issue.number).active_lock_reason == "resolved"
    issue.unlock()
    issue.edit(state="closed", state_reason="not_planned")
    assert (issue.state, issue.state_reason) == ("closed", "not_planned")
    comment = issue.create_comment("why?")
    comment.edit("why not?")
    assert issue.get_comment(comment.id).body == "why not?"
    assert [one.body for one in issue.get_comments()] == ["why not?"]
    assert {one.body for one in shop.get_issues_comments()} == {"seen", "why not?"}
    for thing in (issue, comment):
        heart, rocket = thing.create_reaction("heart"), thing.create_reaction("rocket")
        assert thing.create_reaction("heart").id == heart.id, "the same reaction is there once"
        assert [one.content for one in thing.get_reactions()] == ["heart", "rocket"]
        thing.delete_reaction(rocket.id)
        with pytest.raises(GithubException, match="422"):
            thing.create_reaction("shrug")
        assert (heart.user.login, thing.delete_reaction(rocket.id)) == ("ada", False)
    assert {one: count for one, count in shop.get_issue(issue.number).reactions.items() if count == 1} == {
        "total_count": 1,
        "heart": 1,
    }
    assert issue.get_comment(comment.id).reactions["heart"] == 1
    comment.delete()
    assert issue.get_comments().totalCount == 0
    shop.get_issue(2).edit(state="closed")


def labels_and_milestones(shop: Any) -> None:
    label = shop.create_label("later", "00ff00", "not now")
    issue = shop.get_issue(1)
    issue.add_to_labels("later", "bug")
    label.edit("someday", "0000ff")
    assert [one.name for one in issue.get_labels()] == ["bug", "someday"]
    assert shop.get_label("someday").color == "0000ff"
    issue.remove_from_labels("bug")
    issue.set_labels("bug", "new")
    issue.delete_labels()
    assert list(issue.get_labels()) == []
    label.delete()
    assert {one.name for one in shop.get_labels()} == {"bug", "new"}
    milestone = shop.create_milestone("v1")
    milestone.edit("v1.0", description="the first")
    issue.edit(milestone=milestone)
    assert shop.get_milestone(milestone.number).open_issues == 1
    assert [one.title for one in shop.get_milestones()] == ["v1.0"]
    milestone.delete()


def files(shop: Any) -> None:
    main = shop.get_branch("main")
    assert {one.path for one in shop.get_contents("")} == {"README.md", "src"}
    shop.create_git_ref("refs/heads/fix/one", main.commit.sha)
    made = shop.create_file("NEW.md", "Add NEW.md", "new\n", branch="fix/one")
    shop.update_file("NEW.md", "Change NEW.md", "newer\n", made["content"].sha, branch="fix/one")
    readme = shop.get_contents("README.md", ref="fix/one")
    shop.delete_file("README.md", "Drop README.md", readme.sha, branch="fix/one")
    assert {one.name for one in shop.get_branches()} == {"main", "fix/one"}
    assert shop.get_git_ref("heads/fix/one").object.sha == shop.get_branch("fix/one").commit.sha
    assert [one.ref for one in shop.get_git_matching_refs("heads/fix")] == ["refs/heads/fix/one"]
    history = [one.commit.message for one in shop.get_commits(sha="fix/one")]
    assert history == ["Drop README.md", "Change NEW.md", "Add NEW.md", "Initial commit"]
    assert [one.filename for one in shop.get_commit("fix/one").files] == ["README.md"]
    extra = shop.create_git_ref("refs/heads/extra", main.commit.sha)
    extra.edit(shop.get_branch("fix/one").commit.sha)
    extra.delete()


def pulls(shop: Any) -> None:
    pull = shop.create_pull(base="main", head="fix/one", title="Fix", body="it")
    assert (pull.mergeable, pull.changed_files, pull.commits) == (True, 2, 3)
    assert [one.number for one in shop.get_pulls(head="acme:fix/one")] == [pull.number]
    pull.edit(title="Fix it")
    assert shop.get_pull(pull.number).title == "Fix it"
    assert {one.filename: one.status for one in pull.get_files()} == {"NEW.md": "added", "README.md": "removed"}
    assert next(one.commit.message for one in pull.get_commits()) == "Add NEW.md"
    pull.create_review_request(reviewers=["bob"])
    assert [one.login for one in pull.get_review_requests()[0]] == ["bob"]
    pull.delete_review_request(reviewers=["bob"])
    review = pull.create_review(body="fine", event="COMMENT")
    assert pull.get_review(review.id).state == "COMMENTED"
    assert [one.body for one in pull.get_reviews()] == ["fine"]
    comments_on_lines(shop, pull)
    assert not pull.is_merged()
    assert pull.merge(merge_method="squash").merged
    assert pull.is_merged()
    assert {one.path for one in shop.get_contents("")} == {"NEW.md", "src"}


def comments_on_lines(shop: Any, pull: Any) -> None:
    head = pull.head.sha
    first = pull.create_review_comment("why newer?", head, "NEW.md", line=1, side="RIGHT")
    assert (first.path, first.line, first.side, first.position) == ("NEW.md", 1, "RIGHT", 1)
    assert first.diff_hunk == "@@ -0,0 +1 @@\n+newer"
    removed = pull.create_review_comment("keep it", head, "README.md", line=1, side="LEFT")
    assert (removed.side, removed.diff_hunk.splitlines()[-1]) == ("LEFT", "-hello")
    whole = pull.create_review_comment("a good file", head, "NEW.md", subject_type="file")
    assert (whole.line, whole.subject_type) == (None, "file")
    answer = pull.create_review_comment_reply(first.id, "because")
    assert (answer.in_reply_to_id, answer.line) == (first.id, 1)
    again = pull.create_review_comment("indeed", head, "NEW.md", in_reply_to=first.id)
    assert again.in_reply_to_id == first.id
    with pytest.raises(GithubException) as caught:
        pull.create_review_comment_reply(answer.id, "no")
    assert caught.value.status == 422
    first.edit("why so new?")
    assert pull.get_review_comment(first.id).body == "why so new?"
    assert len(list(pull.get_review_comments())) == 5
    assert shop.get_pull(pull.number).review_comments == 5
    assert {one.body for one in shop.get_pulls_review_comments()} >= {"because", "indeed"}
    eyes = first.create_reaction("eyes")
    assert [one.content for one in first.get_reactions()] == ["eyes"]
    assert pull.get_review_comment(first.id).reactions["eyes"] == 1
    assert first.delete_reaction(eyes.id)
    notes: Any = [{"path": "NEW.md", "line": 1, "body": "nit"}, {"path": "README.md", "position": 1, "body": "gone"}]
    review = pull.create_review(body="two notes", event="COMMENT", comments=notes)
    found = list(pull.get_single_review_comments(review.id))
    assert [(one.body, one.side) for one in found] == [("nit", "RIGHT"), ("gone", "LEFT")]
    assert [one.body for one in pull.get_single_review_comments(first.pull_request_review_id)] == ["why so new?"]
    for place, field in (
        ({"path": "OTHER.md", "line": 1}, "path"),
        ({"path": "NEW.md", "line": 9}, "pull_request_review_thread.line"),
        ({"path": "NEW.md", "line": 1, "start_line": 7}, "pull_request_review_thread.start_line"),
    ):
        with pytest.raises(GithubException) as caught:
            pull.create_review_comment("x", head, **place)
        assert (caught.value.status, caught.value.data["errors"][0]["field"]) == (422, field)
    with pytest.raises(GithubException) as caught:
        pull.create_review_comment("x", "0" * 40, "NEW.md", line=1)
    assert caught.value.data["errors"][0]["message"] == "commit_id is not part of the pull request"
    again.delete()
    assert again.id not in [one.id for one in pull.get_review_comments()]
    with pytest.raises(UnknownObjectException):
        pull.get_review_comment(again.id)


def test_through_the_proxy(proxied: Callable[..., Proxied]) -> None:
    world = proxied("github", seed=SEED, scopes=["repo"])
    made = world.ask("POST", "https://api.github.com/repos/acme/shop/issues", body={"title": "by proxy"})
    assert made.status == 201
    read = world.ask("GET", f"https://api.github.com/repos/acme/shop/issues/{made.body['number']}")
    assert read.body["title"] == "by proxy"
    assert read.body["url"] == f"https://api.github.com/repos/acme/shop/issues/{made.body['number']}"
