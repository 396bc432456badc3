"""The account, people and repositories a scenario begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.github.git import commit_record, store_blob
from stack_emu.upstreams.github.issues import issue_record
from stack_emu.upstreams.github.labels import COLOR
from stack_emu.upstreams.github.repositories import number_of
from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS: Mapping[str, str] = {
    "user": "login of the user every connection acts as, or {login, name, email}; `octocat` when left out",
    "users": "logins of other people, or {login, name, email}",
    "orgs": "logins of organizations",
    "repos": "`owner/name`, or {name: owner/name, private, description, default_branch, labels, issues, files}; a label is a "
    "name or {name, color, description}; an issue is a title or {title, body, number, labels, assignees, user, state, "
    "comments}, numbered 1, 2, 3 when it names none; a comment is a text or {body, user}; `files` is path to text",
}
"""What a seed may hold, for people."""

_REPO = ("name", "private", "description", "default_branch", "labels", "issues", "files")
_ISSUE = ("title", "body", "number", "labels", "assignees", "user", "state", "comments")


def check_seed(seed: Mapping[str, Any]) -> None:
    """Refuse a seed that cannot work.

    Raises:
        ValueError: one sentence that says which part is wrong and what to write.
    """
    check_keys("seed", seed, tuple(SEED_KEYS))
    people = [_check(one, place, "login", ("login", "name", "email")) for place, one in _people(seed)]
    logins = {str(one).lower() for one in [*people, *_list(seed, "seed", "orgs")]}
    names: set[str] = set()
    for place, one in _each(seed, "seed", "repos"):
        name = _check(one, place, "name", _REPO)
        if name.count("/") != 1 or not all(name.split("/")):
            raise ValueError(f"{place} is named {name!r}; write owner/name, for example acme/shop.")
        if name.split("/")[0].lower() not in logins:
            raise ValueError(
                f"{place} belongs to {name.split('/')[0]!r}, whom nobody knows; add it to seed.users or seed.orgs."
            )
        if name.lower() in names:
            raise ValueError(f"{place} is the second {name}; names of repositories differ.")
        names.add(name.lower())
        if isinstance(one, Mapping):
            _check_repo(one, place, logins)


def write_seed(world: World, name: str, seed: Mapping[str, Any]) -> None:
    """Write the account, people and repositories."""
    now = iso(world.now_ms())[:19] + "Z"

    def place(collection: str) -> Collection:
        return Collection(world.store, name, collection)

    for _, one in _people(seed):
        person = one if isinstance(one, Mapping) else {"login": one}
        login = str(person["login"])
        if place("account").get("me") is None:
            place("account").put("me", {"login": login})
        record = {"login": login, "name": person.get("name"), "email": person.get("email")}
        place("users").put(login.lower(), {**record, "type": "User", "created_at": now})
    for login in _list(seed, "seed", "orgs"):
        record = {"login": login, "name": login, "email": None, "type": "Organization", "created_at": now}
        place("users").put(str(login).lower(), record)
    me = str((place("account").get("me") or {})["login"])
    for _, one in _each(seed, "seed", "repos"):
        _write_repo(place, one if isinstance(one, Mapping) else {"name": one}, me, now)


def _write_repo(place: Any, one: Mapping[str, Any], me: str, now: str) -> None:
    owner, _, name = str(one["name"]).partition("/")
    key = f"{owner}/{name}".lower()
    record = {
        "owner": owner,
        "name": name,
        "private": bool(one.get("private", False)),
        "created_at": now,
        "updated_at": now,
    }
    record |= {"description": one.get("description"), "default_branch": one.get("default_branch", "main")}
    place("repos").put(key, record)
    for label in one.get("labels", []):
        _write_label(place(f"labels/{key}"), label if isinstance(label, Mapping) else {"name": label})
    for index, issue in enumerate(one.get("issues", [])):
        _write_issue(place, key, index, issue if isinstance(issue, Mapping) else {"title": issue}, me, now)
    tree = {path: store_blob(place(f"blobs/{key}"), text.encode()) for path, text in one.get("files", {}).items()}
    if tree:
        commit = commit_record(tree, [], "Initial commit", me, f"{me}@users.noreply.github.com", now)
        sha = f"{number_of('seed', key, repr(sorted(tree.items()))):040x}"
        place(f"commits/{key}").put(sha, commit)
        place(f"refs/{key}").put(f"heads/{record['default_branch']}", {"sha": sha})


def _write_issue(place: Any, key: str, index: int, issue: Mapping[str, Any], me: str, now: str) -> None:
    number = str(issue.get("number", index + 1))
    for label in issue.get("labels", []):
        _write_label(place(f"labels/{key}"), {"name": label})
    user = issue.get("user", me)
    record = issue_record(issue["title"], user, now) | {
        "body": issue.get("body"),
        "assignees": list(issue.get("assignees", [])),
    }
    record["labels"] = [str(label).lower() for label in issue.get("labels", [])]
    if issue.get("state") == "closed":
        record |= {"state": "closed", "state_reason": "completed", "closed_at": now, "closed_by": user}
    place(f"issues/{key}").put(number, record)
    for position, comment in enumerate(issue.get("comments", [])):
        given = comment if isinstance(comment, Mapping) else {"body": comment}
        times = {"created_at": now, "updated_at": now}
        record = {"issue": number, "body": given["body"], "user": given.get("user", me), **times}
        place(f"comments/{key}").put(str(int(number) * 1000 + position + 1), record)


def _write_label(labels: Collection, label: Mapping[str, Any]) -> None:
    key = str(label["name"]).lower()
    if labels.get(key) is None:
        color, description = str(label.get("color", COLOR)), label.get("description")
        labels.put(key, {"key": key, "name": label["name"], "color": color, "description": description})


def _people(seed: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [("seed.user", seed.get("user", "octocat")), *_each(seed, "seed", "users")]


def _check_repo(one: Mapping[str, Any], place: str, logins: set[str]) -> None:
    for at, label in _each(one, place, "labels"):
        _check(label, at, "name", ("name", "color", "description"))
    numbers: set[str] = set()
    for index, (at, issue) in enumerate(_each(one, place, "issues")):
        _check(issue, at, "title", _ISSUE)
        given = issue if isinstance(issue, Mapping) else {}
        number = str(given.get("number", index + 1))
        if not number.isdecimal() or number in numbers:
            raise ValueError(f"{at}.number is {number}; write a whole number that no other issue of {place} has.")
        numbers.add(number)
        _list(given, at, "labels")
        for login in [*_list(given, at, "assignees"), *([given["user"]] if "user" in given else [])]:
            if str(login).lower() not in logins:
                raise ValueError(f"{at} names {login!r}, whom nobody knows; add it to seed.users.")
        if given.get("state", "open") not in ("open", "closed"):
            raise ValueError(f"{at}.state is {given['state']!r}; write open or closed.")
        for where, comment in _each(given, at, "comments"):
            _check(comment, where, "body", ("body", "user"))
    files = one.get("files", {})
    if not isinstance(files, Mapping) or not all(isinstance(text, str) for text in files.values()):
        raise ValueError(f"{place}.files is no mapping of path to text; write files: {{README.md: hello}}.")


def _check(one: Any, place: str, main: str, known: Sequence[str]) -> str:
    if isinstance(one, str) and one:
        return one
    check_keys(place, one, known)
    if not isinstance(one.get(main), str) or not one[main]:
        raise ValueError(f"{place} has no {main}; write a text.")
    return str(one[main])


def _list(one: Mapping[str, Any], place: str, name: str) -> list[Any]:
    value = one.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{place}.{name} is no list; begin each entry with a dash.")
    return value


def _each(one: Mapping[str, Any], place: str, name: str) -> list[tuple[str, Any]]:
    return [(f"{place}.{name}[{index}]", entry) for index, entry in enumerate(_list(one, place, name))]
