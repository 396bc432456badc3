"""Labels and milestones of a repository, and the labels on an issue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.github.dialect import choice, invalid, one_of, page_of, refused, text, texts
from stack_emu.upstreams.github.repositories import Repo, actor, number_of, show_user
from stack_emu.upstreams.pack_calls import RestCall

COLOR = "ededed"
"""The colour of a label that an issue brought along."""


def show_label(repo: Repo, one: Mapping[str, Any]) -> dict[str, Any]:
    """A label as GitHub prints it."""
    number = number_of("label", repo.key, str(one["key"]))
    shown = {"id": number, "node_id": f"LA_{number}", "url": f"{repo.url}/labels/{one['name']}"}
    return {**shown, "name": one["name"], "color": one["color"], "default": False, "description": one["description"]}


def shown_labels(repo: Repo, keys: list[str]) -> list[dict[str, Any]]:
    """The labels of an issue, by name."""
    labels = repo.has("labels")
    found = [labels.get(key) for key in sorted(keys)]
    return [show_label(repo, one) for one in found if one is not None]


def label_keys(repo: Repo, names: list[str]) -> list[str]:
    """Keys of labels by name; a name there is no label of becomes one."""
    labels = repo.has("labels")
    keys = []
    for name in names:
        key = name.lower()
        if not name.strip():
            raise invalid("Label", "name", "missing_field")
        if labels.get(key) is None:
            labels.put(key, {"key": key, "name": name, "color": COLOR, "description": None})
        if key not in keys:
            keys.append(key)
    return keys


def list_labels(call: RestCall) -> Any:
    """List a repository's labels by name."""
    repo = Repo(call)
    found = sorted(repo.has("labels").all(), key=lambda one: str(one["name"]).lower())
    return [show_label(repo, one) for one in page_of(call, found)]


def get_label(call: RestCall) -> Any:
    """Read a label."""
    repo = Repo(call)
    return show_label(repo, _label(repo))


def create_label(call: RestCall) -> Any:
    """Create a label."""
    repo = Repo(call)
    name = text(call, "name", required=True) or ""
    if not name.strip():
        raise invalid("Label", "name", "missing_field")
    key = name.lower()
    if repo.has("labels").get(key) is not None:
        raise invalid("Label", "name", "already_exists")
    record = {"key": key, "name": name, "color": _color(call, COLOR), "description": text(call, "description")}
    return show_label(repo, repo.has("labels").put(key, record))


def update_label(call: RestCall) -> Any:
    """Rename a label, or change its colour or description; issues keep it."""
    repo = Repo(call)
    one = _label(repo)
    name = text(call, "new_name") or text(call, "name") or one["name"]
    old, key = call.params["name"].lower(), name.lower()
    labels = repo.has("labels")
    if key != old and labels.get(key) is not None:
        raise invalid("Label", "name", "already_exists")
    description = text(call, "description", one["description"])
    record = {**one, "name": name, "color": _color(call, one["color"]), "description": description}
    if key != old:
        labels.delete(old)
        for number, issue in list(repo.has("issues").items()):
            if old in issue["labels"]:
                repo.has("issues").change(number, labels=[key if label == old else label for label in issue["labels"]])
    return show_label(repo, labels.put(key, record))


def delete_label(call: RestCall) -> Any:
    """Delete a label; issues lose it."""
    repo = Repo(call)
    _label(repo)
    key = call.params["name"].lower()
    repo.has("labels").delete(key)
    for number, issue in list(repo.has("issues").items()):
        if key in issue["labels"]:
            repo.has("issues").change(number, labels=[label for label in issue["labels"] if label != key])


def of_issue(call: RestCall) -> Any:
    """List the labels of an issue."""
    repo = Repo(call)
    return page_of(call, shown_labels(repo, _issue(repo)["labels"]))


def add_to_issue(call: RestCall) -> Any:
    """Add labels to an issue; those there are none of are created."""
    repo = Repo(call)
    before = _issue(repo)["labels"]
    keys = label_keys(repo, _names(call))
    return _put(repo, [*before, *(key for key in keys if key not in before)])


def set_on_issue(call: RestCall) -> Any:
    """Replace the labels of an issue."""
    repo = Repo(call)
    _issue(repo)
    return _put(repo, label_keys(repo, _names(call)))


def remove_from_issue(call: RestCall) -> Any:
    """Take one label off an issue."""
    repo = Repo(call)
    before, key = _issue(repo)["labels"], call.params["name"].lower()
    if key not in before:
        raise refused(404, "Label does not exist")
    return _put(repo, [one for one in before if one != key])


def clear_issue(call: RestCall) -> Any:
    """Take every label off an issue."""
    repo = Repo(call)
    _issue(repo)
    _put(repo, [])


def _put(repo: Repo, keys: list[str]) -> list[dict[str, Any]]:
    repo.has("issues").change(repo.call.params["number"], labels=keys, updated_at=repo.call.now)
    return shown_labels(repo, keys)


def _names(call: RestCall) -> list[str]:
    return texts(call, "labels") or []


def _issue(repo: Repo) -> Mapping[str, Any]:
    found = repo.has("issues").get(repo.call.params["number"])
    if found is None:
        raise refused(404)
    return found


def _label(repo: Repo) -> Mapping[str, Any]:
    found = repo.has("labels").get(repo.call.params["name"].lower())
    if found is None:
        raise refused(404)
    return found


def _color(call: RestCall, default: str) -> str:
    color = text(call, "color") or default
    if not re.fullmatch("[0-9A-Fa-f]{6}", color):
        raise invalid("Label", "color", "invalid")
    return color


# --- milestones -----------------------------------------------------------------------------------------------------


def show_milestone(repo: Repo, number: str) -> dict[str, Any] | None:
    """A milestone as GitHub prints it."""
    one = repo.has("milestones").get(number)
    if one is None:
        return None
    there = [issue for issue in repo.has("issues").all() if issue["milestone"] == number]
    closed = sum(issue["state"] == "closed" for issue in there)
    return {
        "id": number_of("milestone", repo.key, number),
        "number": int(number),
        "url": f"{repo.url}/milestones/{number}",
        "html_url": f"{repo.html}/milestone/{number}",
        "title": one["title"],
        "description": one["description"],
        "state": one["state"],
        "due_on": one["due_on"],
        "creator": show_user(repo.call, one["creator"]),
        "open_issues": len(there) - closed,
        "closed_issues": closed,
        "created_at": one["created_at"],
        "updated_at": one["updated_at"],
        "closed_at": one["closed_at"],
    }


def list_milestones(call: RestCall) -> Any:
    """List milestones, those due first at the top."""
    repo = Repo(call)
    state = choice(call, "state", ("open", "closed", "all"), "open")
    sort = choice(call, "sort", ("due_on", "completeness"), "due_on")
    down = choice(call, "direction", ("asc", "desc"), "asc") == "desc"
    found = sorted(repo.has("milestones").items())
    found = [one for one in found if state in ("all", one[1]["state"])]
    if sort == "due_on":
        found.sort(key=lambda one: str(one[1]["due_on"] or "~"), reverse=down)
    return [show_milestone(repo, number) for number, _ in page_of(call, found)]


def get_milestone(call: RestCall) -> Any:
    """Read a milestone."""
    return _milestone(Repo(call))


def create_milestone(call: RestCall) -> Any:
    """Create a milestone."""
    repo = Repo(call)
    title = text(call, "title", required=True) or ""
    if not title:
        raise invalid("Milestone", "title", "missing_field")
    if any(one["title"] == title for one in repo.has("milestones").all()):
        raise invalid("Milestone", "title", "already_exists")
    number = repo.has("milestones").free(lambda: str(call.number("milestone", 6)))
    record = {
        "title": title,
        "description": text(call, "description"),
        "state": one_of(call, "state", ("open", "closed"), "Milestone") or "open",
        "due_on": text(call, "due_on"),
        "creator": actor(call),
        "created_at": call.now,
        "updated_at": call.now,
        "closed_at": None,
    }
    repo.has("milestones").put(number, record)
    return show_milestone(repo, number)


def update_milestone(call: RestCall) -> Any:
    """Change a milestone, or close it."""
    repo = Repo(call)
    _milestone(repo)
    number = call.params["number"]
    changed: dict[str, Any] = {name: text(call, name) for name in ("title", "description", "due_on") if call.has(name)}
    state = one_of(call, "state", ("open", "closed"), "Milestone")
    if state:
        changed |= {"state": state, "closed_at": call.now if state == "closed" else None}
    repo.has("milestones").change(number, updated_at=call.now, **changed)
    return show_milestone(repo, number)


def delete_milestone(call: RestCall) -> Any:
    """Delete a milestone; issues lose it."""
    repo = Repo(call)
    _milestone(repo)
    number = call.params["number"]
    repo.has("milestones").delete(number)
    for key, issue in list(repo.has("issues").items()):
        if issue["milestone"] == number:
            repo.has("issues").change(key, milestone=None)


def _milestone(repo: Repo) -> dict[str, Any]:
    found = show_milestone(repo, repo.call.params["number"])
    if found is None:
        raise refused(404)
    return found
