"""Comments on lines of a pull request's files, and the replies to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.upstreams.github.dialect import choice, invalid, one_of, page_of, refused, text
from stack_emu.upstreams.github.pulls import commits_of, files_of, head_of, pull_of
from stack_emu.upstreams.github.reactions import reaction_counts
from stack_emu.upstreams.github.repositories import Data, Repo, actor, show_user
from stack_emu.upstreams.pack_calls import PackRefusal, RestCall

_RESOURCE = "PullRequestReviewComment"
_SIDES = ("LEFT", "RIGHT")
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class _Place:
    """A line of a patch: its place under the first hunk's head, its numbers before and after, and the hunk up to it."""

    position: int
    left: int | None
    right: int | None
    hunk: str


def create(call: RestCall) -> Any:
    """Comment on a line, on lines or on a whole file of a pull request, or reply to such a comment."""
    repo, number = Repo(call), call.params["number"]
    one = pull_of(repo, number)
    parent = call.field("in_reply_to")
    if parent is not None:
        call.ignore("commit_id", "path", "line", "side", "start_line", "start_side", "position", "subject_type")
        return _reply(call, repo, number, str(parent))
    fields = {name: call.field(name) for name in (*_FIELDS, "commit_id")}
    body = text(call, "body", required=True) or ""
    commit = text(call, "commit_id", required=True) or ""
    if commit not in commits_of(repo, one):
        raise _wrong("commit_id", "commit_id is not part of the pull request")
    one_of(call, "side", _SIDES, _RESOURCE)
    one_of(call, "start_side", (*_SIDES, "side"), _RESOURCE)
    one_of(call, "subject_type", ("line", "file"), _RESOURCE)
    record = placed(repo, one, {**fields, "body": body}, commit)
    return show_comment(repo, add(repo, number, record, own_review(repo, number, commit)))


def reply(call: RestCall) -> Any:
    """Reply to a comment on a line."""
    repo, number = Repo(call), call.params["number"]
    pull_of(repo, number)
    return _reply(call, repo, number, call.params["comment_id"])


def listed(call: RestCall) -> Any:
    """List the comments on a pull request's lines, oldest first."""
    repo, number = Repo(call), call.params["number"]
    pull_of(repo, number)
    return _listed(call, repo, lambda one: bool(one["pull"] == number))


def list_all(call: RestCall) -> Any:
    """List the comments on lines of every pull request of a repository."""
    return _listed(call, Repo(call), lambda one: True)


def get(call: RestCall) -> Any:
    """Read a comment on a line."""
    return show_comment(Repo(call), call.params["comment_id"])


def update(call: RestCall) -> Any:
    """Change the text of a comment on a line."""
    repo, key = Repo(call), call.params["comment_id"]
    show_comment(repo, key)
    body = text(call, "body", required=True) or ""
    _need_body(body)
    repo.has("review_comments").change(key, body=body, updated_at=call.now)
    return show_comment(repo, key)


def delete(call: RestCall) -> Any:
    """Delete a comment on a line; replies to it stay."""
    if not Repo(call).has("review_comments").delete(call.params["comment_id"]):
        raise refused(404)


_FIELDS = ("path", "line", "side", "start_line", "start_side", "position", "subject_type")


def placed(repo: Repo, one: Data, fields: Mapping[str, Any], commit: str | None) -> dict[str, Any]:
    """What is kept of a comment, once its place was found in the diff.

    Args:
        repo: the repository.
        one: the pull request.
        fields: ``body``, ``path`` and where: ``line`` with ``side``, ``position``, or ``subject_type`` ``file``.
        commit: the commit it is about.

    Raises:
        PackRefusal: 422 when the diff has no such file or line.
    """
    body, path = fields.get("body"), fields.get("path")
    if not isinstance(body, str):
        raise refused(422, 'Invalid request.\n\n"body" wasn\'t supplied.')
    _need_body(body)
    file = next((file for file in files_of(repo, one) if file["filename"] == path), None)
    if file is None:
        raise invalid(_RESOURCE, "path", "invalid")
    side: str = fields.get("side") or "RIGHT"
    kept = {"body": body, "path": path, "commit": commit, "side": side}
    if fields.get("subject_type") == "file":
        nowhere = dict.fromkeys(("line", "start_line", "start_side", "position"))
        return {**kept, **nowhere, "hunk": "", "subject": "file"}
    line, position = fields.get("line"), fields.get("position")
    if not isinstance(line, int) and not isinstance(position, int):
        raise refused(422, 'Invalid request.\n\n"line" wasn\'t supplied.', hint="send line, with side, or position.")
    places = _places(str(file["patch"]))
    place = _at_line(places, side, line) if isinstance(line, int) else _at_position(places, position)
    if place is None:
        field = "line" if isinstance(line, int) else "position"
        raise _wrong(
            f"pull_request_review_thread.{field}", f"pull_request_review_thread.{field} must be part of the diff"
        )
    if not isinstance(line, int):
        side, line = ("LEFT", place.left) if place.right is None else ("RIGHT", place.right)
    return {**kept, **_start(fields, places, side, line), "side": side, "line": line} | {
        "position": place.position,
        "hunk": place.hunk,
        "subject": "line",
    }


def add(repo: Repo, number: str, record: Mapping[str, Any], review: str, parent: str | None = None) -> str:
    """Keep a comment and return its key.

    Args:
        repo: the repository.
        number: the pull request's number.
        record: what :func:`placed` gave.
        review: key of the review it belongs to.
        parent: key of the comment it replies to.
    """
    call = repo.call
    key = repo.has("review_comments").free(lambda: str(call.number("review comment", 10)))
    made = {"pull": number, "user": actor(call), "review": review, "parent": parent}
    times = {"created_at": call.now, "updated_at": call.now}
    repo.has("review_comments").put(key, {**record, **made, **times})
    repo.has("issues").change(number, updated_at=call.now)
    return key


def own_review(repo: Repo, number: str, commit: str | None, body: str = "", state: str = "COMMENTED") -> str:
    """Keep a review by the account's user, such as the one around a single comment, and return its key."""
    call = repo.call
    key = repo.has("reviews").free(lambda: str(call.number("review", 10)))
    said = {"body": body, "state": state, "commit": commit}
    repo.has("reviews").put(key, {"pull": number, "user": actor(call), **said, "at": call.now})
    return key


def of_review(call: RestCall) -> Any:
    """List the comments of one review."""
    repo, key = Repo(call), call.params["review_id"]
    found = repo.has("reviews").get(key)
    if found is None or found["pull"] != call.params["number"]:
        raise refused(404)
    return _listed(call, repo, lambda one: bool(one["review"] == key))


def show_comment(repo: Repo, key: str) -> dict[str, Any]:
    """A comment on a line as GitHub prints it."""
    one = repo.has("review_comments").get(key)
    if one is None:
        raise refused(404)
    url, pull = f"{repo.url}/pulls/comments/{key}", f"{repo.url}/pulls/{one['pull']}"
    html = f"{repo.html}/pull/{one['pull']}#discussion_r{key}"
    shown = {
        "id": int(key),
        "node_id": f"PRRC_{key}",
        "url": url,
        "pull_request_review_id": int(one["review"]),
        "diff_hunk": one["hunk"],
        "path": one["path"],
        "commit_id": one["commit"],
        "original_commit_id": one["commit"],
        "user": show_user(repo.call, one["user"]),
        "body": one["body"],
        "created_at": one["created_at"],
        "updated_at": one["updated_at"],
        "html_url": html,
        "pull_request_url": pull,
        "author_association": "OWNER" if one["user"] == repo.data["owner"] else "MEMBER",
        "_links": {"self": {"href": url}, "html": {"href": html}, "pull_request": {"href": pull}},
        "line": one["line"],
        "original_line": one["line"],
        "side": one["side"],
        "start_line": one["start_line"],
        "original_start_line": one["start_line"],
        "start_side": one["start_side"],
        "position": one["position"],
        "original_position": one["position"],
        "subject_type": one["subject"],
        "reactions": reaction_counts(repo, "review_comments", key, url),
    }
    return {**shown, "in_reply_to_id": int(one["parent"])} if one["parent"] else shown


def _reply(call: RestCall, repo: Repo, number: str, parent: str) -> Any:
    body = text(call, "body", required=True) or ""
    found = repo.has("review_comments").get(parent)
    if found is None or found["pull"] != number:
        raise refused(404)
    if found["parent"] is not None:
        raise refused(
            422,
            "Validation Failed",
            [{"resource": _RESOURCE, "field": "in_reply_to", "code": "invalid"}],
            hint=f"a reply has no replies: reply to {found['parent']}, which it replies to.",
        )
    _need_body(body)
    review = own_review(repo, number, head_of(repo, pull_of(repo, number)))
    return show_comment(repo, add(repo, number, {**found, "body": body}, review, parent))


def _listed(call: RestCall, repo: Repo, wanted: Any) -> Any:
    since = call.query("since", "") or ""
    sort = choice(call, "sort", ("created", "updated"), "created")
    down = choice(call, "direction", ("asc", "desc"), "asc") == "desc"
    found = [one for one in repo.has("review_comments").items() if wanted(one[1]) and one[1]["updated_at"] >= since]
    found.sort(key=lambda one: str(one[1][f"{sort}_at"]), reverse=down)
    return [show_comment(repo, key) for key, _ in page_of(call, found)]


def _need_body(body: str) -> None:
    if not body.strip():
        raise _wrong("body", "body can't be blank")


def _wrong(field: str, message: str) -> PackRefusal:
    return invalid(_RESOURCE, field, "custom", message=message)


def _start(fields: Mapping[str, Any], places: list[_Place], side: str, line: int | None) -> dict[str, Any]:
    """Where a comment on several lines begins."""
    start = fields.get("start_line")
    if start is None:
        return {"start_line": None, "start_side": None}
    asked = fields.get("start_side")
    side = asked if asked in _SIDES else side
    place = _at_line(places, side, start) if isinstance(start, int) else None
    if place is None or line is None or start > line:
        field = "pull_request_review_thread.start_line"
        what = "must precede the end line." if place is not None else "must be part of the diff"
        raise _wrong(field, f"{field} {what}")
    return {"start_line": start, "start_side": side}


def _places(patch: str) -> list[_Place]:
    found: list[_Place] = []
    left = right = 0
    hunk: list[str] = []
    for position, line in enumerate(patch.split("\n")):
        head = _HUNK.match(line)
        if head is not None:
            left, right, hunk = int(head[1]), int(head[2]), [line]
            continue
        hunk.append(line)
        before, after = not line.startswith("+"), not line.startswith("-")
        found.append(_Place(position, left if before else None, right if after else None, "\n".join(hunk)))
        left, right = left + before, right + after
    return found


def _at_line(places: list[_Place], side: str, line: int) -> _Place | None:
    return next((one for one in places if line == (one.left if side == "LEFT" else one.right)), None)


def _at_position(places: list[_Place], position: Any) -> _Place | None:
    return next((one for one in places if one.position == position), None)
