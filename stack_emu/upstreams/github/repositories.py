"""Repositories and users: who may see what, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.github.dialect import HOUR_MS, choice, invalid, page_of, refused, text
from stack_emu.upstreams.pack_calls import RestCall

Data = Mapping[str, Any]


def number_of(*parts: str) -> int:
    """An id that follows from names, so that it is the same whoever comes first."""
    return 10**8 + int(sha256("/".join(parts).encode()).hexdigest()[:12], 16) % (9 * 10**8)


def actor(call: RestCall) -> str:
    """Login of the user every connection acts as."""
    me = call.collection("account").get("me")
    return str(me["login"]) if me else "octocat"


def known_user(call: RestCall, login: str) -> Data | None:
    """A user or an organization by login, in any case."""
    return call.collection("users").get(login.lower())


def show_user(call: RestCall, login: str) -> dict[str, Any]:
    """A user as other objects embed it."""
    origin = call.request.origin
    found = known_user(call, login) or {}
    return {
        "login": found.get("login", login),
        "id": number_of("user", login.lower()),
        "node_id": f"U_{number_of('user', login.lower())}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{number_of('user', login.lower())}",
        "url": f"{origin}/users/{login}",
        "html_url": f"https://github.com/{login}",
        "repos_url": f"{origin}/users/{login}/repos",
        "type": found.get("type", "User"),
        "site_admin": False,
    }


class Repo:
    """The repository a call is about.

    Raises:
        PackRefusal: 404 when there is none, or the credential may not see it.
    """

    def __init__(self, call: RestCall) -> None:
        self.call = call
        key = f"{call.params['owner']}/{call.params['repo']}".lower()
        found = call.collection("repos").get(key)
        if found is None:
            raise refused(404)
        if found["private"] and not call.allows("repo"):
            call.context.lacks(f"{call.operation.name} of a private repository", ("repo",))
            raise refused(404, hint=call.context.hint)
        self.key, self.data = key, found
        self.url = f"{call.request.origin}/repos/{found['owner']}/{found['name']}"
        self.html = f"https://github.com/{found['owner']}/{found['name']}"

    def has(self, name: str) -> Collection:
        """A collection of things that belong to it."""
        return self.call.collection(f"{name}/{self.key}")


def visible(call: RestCall) -> list[Data]:
    """The repositories the credential may see."""
    whole = call.allows("repo")
    return [one for one in call.collection("repos").all() if whole or not one["private"]]


def show(call: RestCall, one: Data) -> dict[str, Any]:
    """A repository as GitHub prints it."""
    full = f"{one['owner']}/{one['name']}"
    url = f"{call.request.origin}/repos/{full}"
    issues = call.collection(f"issues/{full.lower()}").all()
    count = sum(issue["state"] == "open" for issue in issues)
    return {
        "id": number_of("repo", full.lower()),
        "node_id": f"R_{number_of('repo', full.lower())}",
        "name": one["name"],
        "full_name": full,
        "private": one["private"],
        "visibility": "private" if one["private"] else "public",
        "owner": show_user(call, one["owner"]),
        "html_url": f"https://github.com/{full}",
        "url": url,
        "clone_url": f"https://github.com/{full}.git",
        "issues_url": url + "/issues{/number}",
        "pulls_url": url + "/pulls{/number}",
        "contents_url": url + "/contents/{+path}",
        "labels_url": url + "/labels{/name}",
        "description": one["description"],
        "homepage": one.get("homepage"),
        "fork": False,
        "default_branch": one["default_branch"],
        "has_issues": one.get("has_issues", True),
        "archived": one.get("archived", False),
        "disabled": False,
        "open_issues_count": count,
        "open_issues": count,
        "stargazers_count": 0,
        "watchers_count": 0,
        "forks_count": 0,
        "language": None,
        "topics": one.get("topics", []),
        "created_at": one["created_at"],
        "updated_at": one["updated_at"],
        "pushed_at": one["updated_at"],
        "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True},
    }


def me(call: RestCall) -> Any:
    """The user the credential belongs to."""
    login = actor(call)
    found = known_user(call, login) or {}
    shown = {**show_user(call, login), "name": found.get("name"), "email": found.get("email"), "company": None}
    return {**shown, "bio": None, "public_repos": _owned(call, login), "created_at": found.get("created_at")}


def user(call: RestCall) -> Any:
    """A user or an organization by login."""
    found = known_user(call, call.params["username"])
    if found is None:
        raise refused(404)
    login = str(found["login"])
    shown = {**show_user(call, login), "name": found.get("name"), "email": found.get("email")}
    return {**shown, "public_repos": _owned(call, login), "created_at": found.get("created_at")}


def get(call: RestCall) -> Any:
    """Read a repository."""
    return show(call, Repo(call).data)


def mine(call: RestCall) -> Any:
    """List the repositories the user owns or works on."""
    seen = visible(call)
    kind = choice(call, "visibility", ("all", "public", "private"), "all")
    if kind == "all":
        kind = choice(call, "type", ("all", "owner", "public", "private", "member"), "all")
    call.query("affiliation")
    if kind in ("public", "private"):
        seen = [one for one in seen if one["private"] == (kind == "private")]
    if kind == "owner":
        seen = [one for one in seen if one["owner"] == actor(call)]
    return _listed(call, seen, "full_name")


def of_user(call: RestCall) -> Any:
    """List the public repositories of a user."""
    return _listed(call, [one for one in _of(call, call.params["username"]) if not one["private"]], "full_name")


def of_org(call: RestCall) -> Any:
    """List the repositories of an organization."""
    kind = choice(call, "type", ("all", "public", "private", "forks", "sources", "member"), "all")
    seen = _of(call, call.params["org"])
    if kind in ("public", "private"):
        seen = [one for one in seen if one["private"] == (kind == "private")]
    return _listed(call, [] if kind == "forks" else seen, "created")


def create(call: RestCall) -> Any:
    """Create a repository of the user's."""
    return _create(call, actor(call))


def create_in_org(call: RestCall) -> Any:
    """Create a repository in an organization."""
    found = known_user(call, call.params["org"])
    if found is None or found.get("type") != "Organization":
        raise refused(404)
    return _create(call, str(found["login"]))


def rate_limit(call: RestCall) -> Any:
    """What is left of the hour: always all but one call, as no call is counted."""
    reset = (call.instant_ms // HOUR_MS + 1) * HOUR_MS // 1000
    core = {"limit": 5000, "used": 1, "remaining": 4999, "reset": reset, "resource": "core"}
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": reset, "resource": "search"}
    graphql = {"limit": 5000, "used": 0, "remaining": 5000, "reset": reset, "resource": "graphql"}
    return {"resources": {"core": core, "search": search, "graphql": graphql}, "rate": core}


def _create(call: RestCall, owner: str) -> Any:
    name = text(call, "name", required=True) or ""
    if not name:
        raise invalid("Repository", "name", "missing_field")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    key = f"{owner}/{name}".lower()
    repos = call.collection("repos")
    if repos.get(key) is not None:
        raise refused(
            422,
            "Repository creation failed.",
            [
                {
                    "resource": "Repository",
                    "code": "custom",
                    "field": "name",
                    "message": "name already exists on this account",
                }
            ],
        )
    private = bool(call.field("private", False)) or text(call, "visibility") == "private"
    if private and not call.allows("repo"):
        call.context.lacks("creating a private repository", ("repo",))
        raise refused(404, hint=call.context.hint)
    record = {
        "owner": owner,
        "name": name,
        "private": private,
        "description": text(call, "description"),
        "homepage": text(call, "homepage"),
        "has_issues": bool(call.field("has_issues", True)),
        "default_branch": "main",
        "created_at": call.now,
        "updated_at": call.now,
    }
    repos.put(key, record)
    if call.field("auto_init", False):
        from stack_emu.upstreams.github.git import first_commit

        first_commit(call, key, {"README.md": f"# {name}\n".encode()}, "Initial commit")
    return show(call, record)


def _listed(call: RestCall, seen: list[Data], default: str) -> Any:
    sort = choice(call, "sort", ("created", "updated", "pushed", "full_name"), default)
    down = choice(call, "direction", ("asc", "desc"), "asc" if sort == "full_name" else "desc") == "desc"
    seen = sorted(seen, key=lambda one: (one["owner"], one["name"]))
    if sort != "full_name":
        seen.sort(key=lambda one: str(one["created_at" if sort == "created" else "updated_at"]), reverse=down)
    elif down:
        seen.reverse()
    return [show(call, one) for one in page_of(call, seen)]


def _of(call: RestCall, login: str) -> list[Data]:
    if known_user(call, login) is None:
        raise refused(404)
    return [one for one in visible(call) if one["owner"].lower() == login.lower()]


def _owned(call: RestCall, login: str) -> int:
    return sum(one["owner"] == login and not one["private"] for one in call.collection("repos").all())
