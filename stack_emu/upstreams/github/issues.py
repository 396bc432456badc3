"""Issues, their assignees, locks and comments. A pull request is an issue too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.github.dialect import choice, invalid, one_of, page_of, refused, text, texts
from stack_emu.upstreams.github.labels import label_keys, show_milestone, shown_labels
from stack_emu.upstreams.github.reactions import reaction_counts
from stack_emu.upstreams.github.repositories import Data, Repo, actor, known_user, number_of, show_user, visible
from stack_emu.upstreams.pack_calls import RestCall

REASONS = ("completed", "not_planned", "reopened", "duplicate")
LOCKS = ("off-topic", "too heated", "resolved", "spam")
MOST_ASSIGNEES = 10


def show_issue(repo: Repo, number: str) -> dict[str, Any]:
    """An issue as GitHub prints it."""
    one = repo.has("issues").get(number)
    if one is None:
        raise refused(404)
    url, call = f"{repo.url}/issues/{number}", repo.call
    people = [show_user(call, login) for login in one["assignees"]]
    kind = "pull" if one["pull"] else "issues"
    shown: dict[str, Any] = {
        "id": number_of("issue", repo.key, number),
        "node_id": f"{'PR' if one['pull'] else 'I'}_{number_of('issue', repo.key, number)}",
        "number": int(number),
        "url": url,
        "repository_url": repo.url,
        "labels_url": url + "/labels{/name}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{repo.html}/{kind}/{number}",
        "title": one["title"],
        "body": one["body"],
        "user": show_user(call, one["user"]),
        "author_association": "OWNER" if one["user"] == repo.data["owner"] else "MEMBER",
        "labels": shown_labels(repo, one["labels"]),
        "state": one["state"],
        "state_reason": one["state_reason"],
        "locked": one["locked"],
        "active_lock_reason": one["lock_reason"],
        "assignee": people[0] if people else None,
        "assignees": people,
        "milestone": show_milestone(repo, one["milestone"]) if one["milestone"] else None,
        "comments": sum(comment["issue"] == number for comment in repo.has("comments").all()),
        "created_at": one["created_at"],
        "updated_at": one["updated_at"],
        "closed_at": one["closed_at"],
        "closed_by": show_user(call, one["closed_by"]) if one["closed_by"] else None,
        "reactions": reaction_counts(repo, "issues", number, url),
    }
    if one["pull"]:
        pull = f"{repo.url}/pulls/{number}"
        merged = one["pull"]["merged_at"]
        shown |= {"pull_request": {"url": pull, "html_url": shown["html_url"], "merged_at": merged}, "draft": False}
    return shown


def new_issue(repo: Repo, title: str, *, pull: Mapping[str, Any] | None = None, **fields: Any) -> str:
    """Keep a new issue and return its number, which is derived from the act."""
    call = repo.call
    number = repo.has("issues").free(lambda: str(call.number("issue", 6)))
    record = issue_record(title, actor(call), call.now) | fields | {"pull": pull}
    repo.has("issues").put(number, record)
    return number


def issue_record(title: str, user: str, now: str) -> dict[str, Any]:
    """An open issue without anything."""
    return {
        "title": title,
        "body": None,
        "user": user,
        "labels": [],
        "assignees": [],
        "milestone": None,
        "state": "open",
        "state_reason": None,
        "locked": False,
        "lock_reason": None,
        "created_at": now,
        "updated_at": now,
        "closed_at": None,
        "closed_by": None,
        "pull": None,
    }


def create(call: RestCall) -> Any:
    """Open an issue; its number has six digits and follows from the call."""
    repo = Repo(call)
    if not repo.data.get("has_issues", True):
        raise refused(410, "Issues has been disabled in this repository.")
    title = _title(call)
    fields: dict[str, Any] = {
        "body": text(call, "body"),
        "assignees": _assignees(call) or [],
        "milestone": _milestone(repo),
    }
    fields["labels"] = label_keys(repo, texts(call, "labels") or [])
    return show_issue(repo, new_issue(repo, title, **fields))


def get(call: RestCall) -> Any:
    """Read an issue or a pull request."""
    return show_issue(Repo(call), call.params["number"])


def listed(call: RestCall) -> Any:
    """List issues and pull requests, newest first; open ones by default."""
    repo = Repo(call)
    found = _filtered(call, [(repo, number, one) for number, one in repo.has("issues").items()])
    assignee, milestone = call.query("assignee"), call.query("milestone")
    creator, mentioned = call.query("creator"), call.query("mentioned")
    if assignee is not None:
        found = [one for one in found if _matches_any(one[2]["assignees"], assignee)]
    if milestone is not None:
        found = [one for one in found if _matches_any([one[2]["milestone"]] if one[2]["milestone"] else [], milestone)]
    if creator is not None:
        found = [one for one in found if one[2]["user"].lower() == creator.lower()]
    if mentioned is not None:
        found = [one for one in found if f"@{mentioned.lower()}" in str(one[2]["body"]).lower()]
    return [show_issue(repo, number) for repo, number, _ in page_of(call, found)]


def assigned(call: RestCall) -> Any:
    """List the user's issues across repositories: assigned to them unless ``filter`` says otherwise."""
    kind = choice(call, "filter", ("assigned", "created", "mentioned", "subscribed", "repos", "all"), "assigned")
    me, found = actor(call), []
    for data in visible(call):
        repo = _at(call, data)
        for number, one in repo.has("issues").items():
            mine = {
                "assigned": me in one["assignees"],
                "created": me == one["user"],
                "mentioned": f"@{me}" in str(one["body"]),
            }
            if mine.get(kind, True):
                found.append((repo, number, one))
    shown = []
    for repo, number, _ in page_of(call, _filtered(call, found)):
        shown.append(show_issue(repo, number))
    return shown


def update(call: RestCall) -> Any:
    """Change an issue; closing and reopening is setting its state."""
    repo, number = Repo(call), call.params["number"]
    one = repo.has("issues").get(number)
    if one is None:
        raise refused(404)
    changed: dict[str, Any] = {}
    if call.has("title"):
        changed["title"] = _title(call)
    if call.has("body"):
        changed["body"] = text(call, "body")
    if call.has("labels"):
        changed["labels"] = label_keys(repo, texts(call, "labels") or [])
    if call.has("assignees") or call.has("assignee"):
        changed["assignees"] = _assignees(call) or []
    if call.has("milestone"):
        changed["milestone"] = _milestone(repo)
    state = one_of(call, "state", ("open", "closed"), "Issue")
    reason = one_of(call, "state_reason", REASONS, "Issue")
    if state and state != one["state"]:
        changed |= moved(call, state, reason)
    elif reason and one["state"] == "closed" and reason != "reopened":
        changed["state_reason"] = reason
    repo.has("issues").change(number, updated_at=call.now, **changed)
    return show_issue(repo, number)


def moved(call: RestCall, state: str, reason: str | None = None) -> dict[str, Any]:
    """What opening or closing changes."""
    if state == "closed":
        done = {"state_reason": reason or "completed", "closed_at": call.now, "closed_by": actor(call)}
        return {"state": "closed", **done}
    return {"state": "open", "state_reason": "reopened", "closed_at": None, "closed_by": None}


def lock(call: RestCall) -> Any:
    """Lock an issue's conversation."""
    repo = Repo(call)
    show_issue(repo, call.params["number"])
    reason = one_of(call, "lock_reason", LOCKS, "Issue")
    repo.has("issues").change(call.params["number"], locked=True, lock_reason=reason)


def unlock(call: RestCall) -> Any:
    """Unlock an issue's conversation."""
    repo = Repo(call)
    show_issue(repo, call.params["number"])
    repo.has("issues").change(call.params["number"], locked=False, lock_reason=None)


def add_assignees(call: RestCall) -> Any:
    """Add up to ten assignees; people who cannot be assigned are passed over."""
    return _assign(call, lambda before, given: [*before, *(one for one in given if one not in before)][:MOST_ASSIGNEES])


def remove_assignees(call: RestCall) -> Any:
    """Take assignees off an issue."""
    return _assign(call, lambda before, given: [one for one in before if one not in given])


def list_assignable(call: RestCall) -> Any:
    """List the people who can be assigned."""
    Repo(call)
    found = sorted(str(one["login"]) for one in call.collection("users").all() if one["type"] == "User")
    return [show_user(call, login) for login in page_of(call, found)]


def check_assignable(call: RestCall) -> Any:
    """Whether somebody can be assigned: 204, or 404."""
    Repo(call)
    if known_user(call, call.params["assignee"]) is None:
        raise refused(404)


# --- comments -------------------------------------------------------------------------------------------------------


def show_comment(repo: Repo, key: str) -> dict[str, Any]:
    """A comment as GitHub prints it."""
    one = repo.has("comments").get(key)
    if one is None:
        raise refused(404)
    url = f"{repo.url}/issues/comments/{key}"
    return {
        "id": int(key),
        "node_id": f"IC_{key}",
        "url": url,
        "issue_url": f"{repo.url}/issues/{one['issue']}",
        "html_url": f"{repo.html}/issues/{one['issue']}#issuecomment-{key}",
        "body": one["body"],
        "user": show_user(repo.call, one["user"]),
        "author_association": "OWNER" if one["user"] == repo.data["owner"] else "MEMBER",
        "created_at": one["created_at"],
        "updated_at": one["updated_at"],
        "reactions": reaction_counts(repo, "comments", key, url),
    }


def create_comment(call: RestCall) -> Any:
    """Comment on an issue or a pull request."""
    repo, number = Repo(call), call.params["number"]
    show_issue(repo, number)
    body = _body(call)
    key = repo.has("comments").free(lambda: str(call.number("comment", 10)))
    times = {"created_at": call.now, "updated_at": call.now}
    repo.has("comments").put(key, {"issue": number, "body": body, "user": actor(call), **times})
    repo.has("issues").change(number, updated_at=call.now)
    return show_comment(repo, key)


def list_comments(call: RestCall) -> Any:
    """List the comments of an issue, oldest first."""
    repo, number = Repo(call), call.params["number"]
    show_issue(repo, number)
    return _comments(call, repo, number)


def list_all_comments(call: RestCall) -> Any:
    """List the comments of every issue of a repository."""
    return _comments(call, Repo(call), None)


def get_comment(call: RestCall) -> Any:
    """Read a comment."""
    return show_comment(Repo(call), call.params["comment_id"])


def update_comment(call: RestCall) -> Any:
    """Change a comment's text."""
    repo, key = Repo(call), call.params["comment_id"]
    show_comment(repo, key)
    repo.has("comments").change(key, body=_body(call), updated_at=call.now)
    return show_comment(repo, key)


def delete_comment(call: RestCall) -> Any:
    """Delete a comment."""
    if not Repo(call).has("comments").delete(call.params["comment_id"]):
        raise refused(404)


def _comments(call: RestCall, repo: Repo, number: str | None) -> Any:
    since = call.query("since", "") or ""
    sort = choice(call, "sort", ("created", "updated"), "created")
    down = choice(call, "direction", ("asc", "desc"), "asc") == "desc"
    found = [one for one in repo.has("comments").items() if number in (None, one[1]["issue"])]
    found = [one for one in found if one[1]["updated_at"] >= since]
    found.sort(key=lambda one: str(one[1][f"{sort}_at"]), reverse=down)
    return [show_comment(repo, key) for key, _ in page_of(call, found)]


def _filtered(call: RestCall, found: list[tuple[Repo, str, Data]]) -> list[tuple[Repo, str, Data]]:
    state = choice(call, "state", ("open", "closed", "all"), "open")
    sort = choice(call, "sort", ("created", "updated", "comments"), "created")
    down = choice(call, "direction", ("asc", "desc"), "desc") == "desc"
    since, labels = call.query("since", "") or "", call.query("labels", "") or ""
    wanted = [label.strip().lower() for label in labels.split(",") if label.strip()]
    found = [one for one in found if state in ("all", one[2]["state"]) and one[2]["updated_at"] >= since]
    found = [one for one in found if all(label in one[2]["labels"] for label in wanted)]
    return ordered(found, sort, down)


def ordered(found: list[tuple[Repo, str, Data]], sort: str, down: bool) -> list[tuple[Repo, str, Data]]:
    """Issues by ``sort``; equal ones in the order they were made in, or the other way round."""
    found = sorted(found, key=lambda one: one[0].key)

    def key(one: tuple[Repo, str, Data]) -> Any:
        if sort == "comments":
            return sum(comment["issue"] == one[1] for comment in one[0].has("comments").all())
        return str(one[2][f"{sort}_at"])

    if down:
        found.reverse()
    found.sort(key=key, reverse=down)
    return found


def _at(call: RestCall, data: Data) -> Repo:
    return Repo(at(call, data))


def at(call: RestCall, data: Data) -> RestCall:
    """The same call, as if its path named this repository."""
    params = {**call.params, "owner": data["owner"], "repo": data["name"]}
    return RestCall(call.context, call.operation, params, call.rest, call.fields, call.headers)


def _matches_any(values: list[str], wanted: str) -> bool:
    if wanted in ("*", "none"):
        return bool(values) == (wanted == "*")
    return wanted.lower() in [one.lower() for one in values]


def _title(call: RestCall) -> str:
    title = call.field("title")
    if title is not None and not isinstance(title, (str, int)):
        raise refused(422, f"Invalid request.\n\nFor 'properties/title', {title!r} is not a string.")
    if title is None:
        raise refused(422, 'Invalid request.\n\n"title" wasn\'t supplied.')
    if not str(title).strip():
        raise invalid("Issue", "title", "missing_field")
    return str(title)


def _body(call: RestCall) -> str:
    body = text(call, "body", required=True) or ""
    if not body.strip():
        raise refused(
            422,
            "Validation Failed",
            [{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body cannot be blank"}],
        )
    return body


def _assignees(call: RestCall) -> list[str] | None:
    given = texts(call, "assignees")
    single = text(call, "assignee")
    if given is None and single:
        given = [single]
    for login in given or []:
        if known_user(call, login) is None:
            raise invalid("Issue", "assignees", "invalid", value=login)
    return given


def _milestone(repo: Repo) -> str | None:
    given = repo.call.field("milestone")
    if given is None or given == "":
        return None
    if repo.has("milestones").get(str(given)) is None:
        raise invalid("Issue", "milestone", "invalid", value=given)
    return str(given)


def _assign(call: RestCall, change: Any) -> Any:
    repo, number = Repo(call), call.params["number"]
    show_issue(repo, number)
    one = repo.has("issues").get(number) or {}
    given = [login for login in texts(call, "assignees") or [] if known_user(call, login) is not None]
    repo.has("issues").change(number, assignees=change(one["assignees"], given), updated_at=call.now)
    return show_issue(repo, number)
