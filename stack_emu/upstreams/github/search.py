"""Searching issues, repositories and code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from stack_emu.upstreams.github import git
from stack_emu.upstreams.github.dialect import choice, page_of, refused
from stack_emu.upstreams.github.issues import at, ordered, show_issue
from stack_emu.upstreams.github.repositories import Data, Repo, actor, show, visible
from stack_emu.upstreams.pack_calls import RestCall

_WORD = re.compile(r'(-?)(?:([a-z-]+):)?("[^"]*"|\S+)', re.IGNORECASE)
ISSUES = (
    "repo",
    "user",
    "org",
    "is",
    "type",
    "state",
    "label",
    "author",
    "assignee",
    "in",
    "no",
    "milestone",
    "reason",
)
REPOSITORIES = ("user", "org", "repo", "in", "is")
CODE = ("repo", "user", "org", "path", "extension", "filename", "in", "language")

Term = tuple[bool, str, str]


def issues(call: RestCall) -> Any:
    """Search issues and pull requests by words and qualifiers."""
    terms = _terms(call, ISSUES)
    found = []
    for data in visible(call):
        repo = Repo(at(call, data))
        for number, one in repo.has("issues").items():
            if _all(terms, lambda key, value, one=one, repo=repo: _issue_has(repo, one, key, value), _text(terms, one)):
                found.append((repo, number, one))
    sort = choice(call, "sort", ("created", "updated", "comments"), "created")
    down = choice(call, "order", ("asc", "desc"), "desc") == "desc"
    shown = [
        {**show_issue(repo, number), "score": 1.0} for repo, number, _ in page_of(call, ordered(found, sort, down))
    ]
    return _result(len(found), shown)


def repositories(call: RestCall) -> Any:
    """Search repositories by words in name and description."""
    terms = _terms(call, REPOSITORIES)
    found = [
        one
        for one in sorted(visible(call), key=lambda one: (one["owner"], one["name"]))
        if _all(
            terms, lambda key, value, one=one: _repo_has(one, key, value), f"{one['name']} {one['description'] or ''}"
        )
    ]
    call.query("sort"), call.query("order")
    return _result(len(found), [{**show(call, one), "score": 1.0} for one in page_of(call, found)])


def code(call: RestCall) -> Any:
    """Search the files of default branches for text."""
    terms = _terms(call, CODE)
    if not any(key == "" for _, key, _ in terms):
        raise refused(
            422,
            "Validation Failed",
            [{"message": "The search needs a text.", "resource": "Search", "field": "q", "code": "invalid"}],
        )
    found = []
    for data in sorted(visible(call), key=lambda one: (one["owner"], one["name"])):
        repo = Repo(at(call, data))
        for path, sha in sorted(git.tree_of(repo, git.resolve(repo, None)).items()):
            content = git.content_of(repo, sha).decode("utf-8", "replace")
            if _all(terms, lambda key, value, path=path, data=data: _file_has(data, path, key, value), content):
                found.append((repo, path, sha))
    call.query("sort"), call.query("order")
    shown = []
    for repo, path, sha in page_of(call, found):
        place = {"name": path.split("/")[-1], "path": path, "sha": sha, "url": f"{repo.url}/contents/{path}"}
        place |= {"git_url": f"{repo.url}/git/blobs/{sha}", "html_url": f"{repo.html}/blob/{sha}/{path}"}
        shown.append({**place, "repository": show(call, repo.data), "score": 1.0})
    return _result(len(found), shown)


def _terms(call: RestCall, known: Sequence[str]) -> list[Term]:
    query = call.query("q")
    if query is None:
        raise refused(422, "Validation Failed", [{"resource": "Search", "field": "q", "code": "missing"}])
    terms = []
    for minus, key, value in _WORD.findall(query):
        if key and key.lower() not in known:
            if value.startswith("//"):
                terms.append((bool(minus), "", f"{key}:{value}".lower()))
                continue
            hint = f"the fake's search knows {', '.join(f'{one}:' for one in known)}"
            raise refused(
                422,
                "Validation Failed",
                [{"resource": "Search", "field": "q", "code": "invalid", "message": f"{key}: is not served"}],
                hint=hint,
            )
        value = value.strip('"').lower()
        terms.append((bool(minus), key.lower(), actor(call).lower() if value == "@me" else value))
    return terms


def _all(terms: list[Term], has: Any, text: str) -> bool:
    """Whether everything asked for holds; equal ``repo:``, ``user:`` and ``org:`` are alternatives."""
    places = [has(key, value) for minus, key, value in terms if key in ("repo", "user", "org") and not minus]
    if places and not any(places):
        return False
    for minus, key, value in terms:
        if key == "in" or (key in ("repo", "user", "org") and not minus):
            continue
        holds = value in text.lower() if key == "" else has(key, value)
        if holds == minus:
            return False
    return True


def _text(terms: list[Term], one: Data) -> str:
    places = [part for _, key, value in terms if key == "in" for part in value.split(",")] or ["title", "body"]
    return "\n".join(str(one[name] or "") for name in ("title", "body") if name in places)


def _issue_has(repo: Repo, one: Data, key: str, value: str) -> bool:
    if key in ("repo", "user", "org"):
        return _repo_has(repo.data, key, value)
    if key in ("is", "type", "state"):
        pull = one["pull"]
        facts = {
            "issue": not pull,
            "pr": bool(pull),
            "pull-request": bool(pull),
            "open": one["state"] == "open",
            "closed": one["state"] == "closed",
            "merged": bool(pull and pull["merged_at"]),
            "unmerged": bool(pull and not pull["merged_at"]),
            "locked": one["locked"],
            "private": repo.data["private"],
            "public": not repo.data["private"],
        }
        return bool(facts.get(value, False))
    if key == "label":
        return any(part in one["labels"] for part in value.split(","))
    if key == "author":
        return str(one["user"]).lower() == value
    if key == "assignee":
        return value in [login.lower() for login in one["assignees"]]
    if key == "reason":
        return str(one["state_reason"]).replace("_", " ") == value.replace("_", " ")
    if key == "milestone":
        found = repo.has("milestones").get(one["milestone"]) if one["milestone"] else None
        return found is not None and str(found["title"]).lower() == value
    fields = {"label": "labels", "assignee": "assignees", "milestone": "milestone"}
    return key == "no" and value in fields and _empty(one[fields[value]])


def _empty(value: Any) -> bool:
    return value is None or value == []


def _repo_has(one: Data, key: str, value: str) -> bool:
    if key == "repo":
        return f"{one['owner']}/{one['name']}".lower() == value
    if key == "is":
        return value == ("private" if one["private"] else "public")
    return str(one["owner"]).lower() == value


def _file_has(data: Data, path: str, key: str, value: str) -> bool:
    if key in ("repo", "user", "org"):
        return _repo_has(data, key, value)
    path = path.lower()
    if key == "path":
        return path.startswith(value.strip("/"))
    if key == "extension":
        return path.endswith(f".{value.lstrip('.')}")
    if key == "filename":
        return path.split("/")[-1] == value
    ends = {"python": ".py", "javascript": ".js", "typescript": ".ts", "go": ".go", "rust": ".rs", "markdown": ".md"}
    return path.endswith(ends.get(value, f".{value}"))


def _result(count: int, items: list[Any]) -> dict[str, Any]:
    return {"total_count": count, "incomplete_results": False, "items": items}
