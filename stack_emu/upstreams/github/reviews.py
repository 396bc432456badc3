"""Reviews of pull requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.github import review_comments
from stack_emu.upstreams.github.dialect import one_of, page_of, refused, text
from stack_emu.upstreams.github.pulls import head_of, pull_of
from stack_emu.upstreams.github.repositories import Repo, actor, show_user
from stack_emu.upstreams.pack_calls import RestCall

EVENTS = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
"""What a review does to what state it has then."""


def create_review(call: RestCall) -> Any:
    """Review a pull request: approve it, ask for changes, or comment, also on lines."""
    repo, number = Repo(call), call.params["number"]
    one = pull_of(repo, number)
    event = one_of(call, "event", tuple(EVENTS), "PullRequestReview")
    body = text(call, "body", "") or ""
    comments = _comments(call)
    if event is None:
        raise refused(
            422, 'Invalid request.\n\n"event" wasn\'t supplied.', hint="pending reviews are not served: send event."
        )
    if event != "COMMENT" and one["user"] == actor(call):
        what = "approve" if event == "APPROVE" else "request changes on"
        raise refused(422, "Unprocessable Entity", [f"Can not {what} your own pull request"])
    if not body and event != "APPROVE" and not (comments and event == "COMMENT"):
        raise refused(422, "Unprocessable Entity", ["Body can't be blank"])
    commit = text(call, "commit_id") or head_of(repo, one)
    records = [review_comments.placed(repo, one, fields, commit) for fields in comments]
    key = review_comments.own_review(repo, number, commit, body, EVENTS[event])
    for record in records:
        review_comments.add(repo, number, record, key)
    left = [login for login in one["pull"]["reviewers"] if login != actor(call)]
    repo.has("issues").change(number, updated_at=call.now, pull={**one["pull"], "reviewers": left})
    return _show_review(repo, key, repo.has("reviews").get(key) or {})


def list_reviews(call: RestCall) -> Any:
    """List the reviews of a pull request, oldest first."""
    repo, number = Repo(call), call.params["number"]
    pull_of(repo, number)
    found = [one for one in repo.has("reviews").items() if one[1]["pull"] == number]
    found.sort(key=lambda one: str(one[1]["at"]))
    return [_show_review(repo, key, data) for key, data in page_of(call, found)]


def get_review(call: RestCall) -> Any:
    """Read a review."""
    repo, key = Repo(call), call.params["review_id"]
    found = repo.has("reviews").get(key)
    if found is None or found["pull"] != call.params["number"]:
        raise refused(404)
    return _show_review(repo, key, found)


def _show_review(repo: Repo, key: str, one: Mapping[str, Any]) -> dict[str, Any]:
    html = f"{repo.html}/pull/{one['pull']}"
    return {
        "id": int(key),
        "node_id": f"PRR_{key}",
        "user": show_user(repo.call, one["user"]),
        "body": one["body"],
        "state": one["state"],
        "html_url": f"{html}#pullrequestreview-{key}",
        "pull_request_url": f"{repo.url}/pulls/{one['pull']}",
        "author_association": "MEMBER",
        "submitted_at": one["at"],
        "commit_id": one["commit"],
    }


def _comments(call: RestCall) -> list[Mapping[str, Any]]:
    """The comments on lines that come with a review."""
    given = call.field("comments") or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise refused(422, f"Invalid request.\n\nFor 'properties/comments', {given!r} is not an array of objects.")
    return given
