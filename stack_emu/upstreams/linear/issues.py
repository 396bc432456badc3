"""Mutations of issues."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from stack_emu.upstreams.linear.call import Document, LinearCall
from stack_emu.upstreams.linear.errors import LinearError, invalid
from stack_emu.upstreams.linear.filters import instant_text

PRIORITIES = ("No priority", "Urgent", "High", "Medium", "Low")
_REFERENCES = {"assigneeId": "users", "cycleId": "cycles", "parentId": "issues", "projectId": "projects"}
_REFERENCE_LISTS = {"labelIds": "labels", "subscriberIds": "users"}
_TEAMLESS = ("teamId", "addedLabelIds", "removedLabelIds", "trashed", "id", "createdAt")


def issue_create(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Create an issue in a team; its number is derived from the call."""
    fields = given["input"]
    team = call.find("teams", fields["teamId"])
    changes = checked(call, fields, team)
    if not changes.get("title"):
        raise invalid("title should not be empty")
    key = call.new_id("issues", fields.get("id"))
    created = instant_text(fields["createdAt"]) if fields.get("createdAt") else call.now
    issue = new_issue(call, key, free_number(call, team), team, {"createdAt": created, **changes})
    return call.payload(issue=issue)


def free_number(call: LinearCall, team: Document) -> int:
    """A number no issue of the team has, derived from the act and not counted, so that racing calls get the same."""
    taken = call.collection("identifiers")
    identifier = taken.free(lambda: f"{team['key']}-{call.number('issue', 6)}")
    return int(identifier.rpartition("-")[2])


def new_issue(call: LinearCall, key: str, number: int, team: Document, fields: Mapping[str, Any]) -> Document:
    """Put an issue with everything a new one has."""
    identifier = f"{team['key']}-{number}"
    workspace = call.workspace()
    issue = {
        "id": key,
        "number": number,
        "identifier": identifier,
        "createdAt": call.now,
        "updatedAt": call.now,
        "teamId": team["id"],
        "creatorId": workspace["viewerId"],
        "stateId": team["defaultIssueStateId"],
        "labelIds": [],
        "subscriberIds": [workspace["viewerId"]],
        "priority": 0,
        "sortOrder": -float(number),
        "prioritySortOrder": -float(number),
        "archivedAt": None,
        "sharedAccess": {"isShared": False},
        **fields,
    }
    call.collection("identifiers").put(call.mint(identifier), {"id": key})
    return call.collection("issues").put(key, shown(call, _stamped(call, {}, issue)))


def shown(call: LinearCall, issue: Mapping[str, Any]) -> dict[str, Any]:
    """An issue with what follows from its other fields: address, branch, label of its priority."""
    workspace = call.workspace()
    slug = slug_of(issue["title"])
    place = f"https://linear.app/{workspace['urlKey']}/issue/{issue['identifier']}"
    name = slug_of(call.viewer()["displayName"])
    return {
        **issue,
        "url": f"{place}/{slug}",
        "branchName": f"{name}/{issue['identifier'].lower()}-{slug}",
        "priorityLabel": PRIORITIES[issue["priority"]],
    }


def slug_of(text: str) -> str:
    """Text as it stands in an address."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")


def checked(call: LinearCall, fields: Mapping[str, Any], team: Document) -> dict[str, Any]:
    """The fields of an input whose references all exist, with ids as they are stored."""
    changes = {name: value for name, value in fields.items() if name not in _TEAMLESS}
    for name, collection in _REFERENCES.items():
        if changes.get(name) is not None:
            changes[name] = call.find(collection, changes[name])["id"]
    for name, collection in _REFERENCE_LISTS.items():
        if name in changes:
            changes[name] = [call.find(collection, one)["id"] for one in changes[name] or ()]
    _check_labels(call, changes.get("labelIds", ()), team)
    if "stateId" in changes and call.find("states", changes["stateId"])["teamId"] != team["id"]:
        raise LinearError("Discrepancy between issue team and state team", "The state is of another team.")
    if changes.get("priority", 0) not in range(len(PRIORITIES)):
        raise invalid("priority must be an integer from 0 to 4")
    if "title" in changes and not (changes["title"] or "").strip():
        raise invalid("title should not be empty")
    if changes.get("dueDate") is not None:
        try:
            date.fromisoformat(changes["dueDate"])
        except ValueError:
            raise invalid("dueDate must be a date such as 2026-01-31") from None
    return changes


def _check_labels(call: LinearCall, labels: Any, team: Document) -> None:
    for key in labels:
        label = call.find("labels", key)
        if label.get("teamId") not in (None, team["id"]):
            raise LinearError("Label not associated with the issue's team", "The label is of another team.")


def issue_update(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Change an issue."""
    issue = call.find("issues", given["id"])
    fields = given["input"]
    moved = fields.get("teamId")
    team = call.find("teams", moved or issue["teamId"])
    changes = checked(call, fields, team)
    labels = changes["labelIds"] if "labelIds" in changes else issue["labelIds"]
    added = [call.find("labels", one)["id"] for one in fields.get("addedLabelIds") or ()]
    removed = fields.get("removedLabelIds") or ()
    kept = dict.fromkeys([*(one for one in labels if one not in removed), *added])
    _check_labels(call, kept, team)
    changes["labelIds"] = list(kept)
    if team["id"] != issue["teamId"]:
        changes.update(_moved(call, issue, team, changes))
    if fields.get("trashed") is not None:
        changes.update(trashed=fields["trashed"] or None, archivedAt=call.now if fields["trashed"] else None)
    return call.payload(issue=_save(call, issue, changes))


def _moved(call: LinearCall, issue: Document, team: Document, changes: Mapping[str, Any]) -> dict[str, Any]:
    number = free_number(call, team)
    identifier = f"{team['key']}-{number}"
    call.collection("identifiers").put(call.mint(identifier), {"id": issue["id"]})
    return {
        "teamId": team["id"],
        "number": number,
        "identifier": identifier,
        "previousIdentifiers": [*issue.get("previousIdentifiers", ()), issue["identifier"]],
        "stateId": changes.get("stateId") or team["defaultIssueStateId"],
    }


def _save(call: LinearCall, issue: Document, changes: Mapping[str, Any]) -> Document:
    merged = {**issue, **changes, "updatedAt": call.now}
    return call.collection("issues").put(issue["id"], shown(call, _stamped(call, issue, merged)))


def _stamped(call: LinearCall, before: Mapping[str, Any], issue: dict[str, Any]) -> dict[str, Any]:
    """With the instants at which it was started, completed or canceled."""
    if before.get("stateId") == issue["stateId"]:
        return issue
    kind = call.find("states", issue["stateId"])["type"]
    started = issue.get("startedAt") or (call.now if kind == "started" else None)
    completed = call.now if kind == "completed" else None
    canceled = call.now if kind in ("canceled", "duplicate") else None
    return {**issue, "startedAt": started, "completedAt": completed, "canceledAt": canceled}


def issue_archive(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Archive an issue."""
    trash = {"trashed": True} if given.get("trash") else {}
    issue = _save(call, call.find("issues", given["id"]), {"archivedAt": call.now, **trash})
    return call.payload(entity=issue)


def issue_unarchive(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Take an issue back from the archive or the trash."""
    issue = _save(call, call.find("issues", given["id"]), {"archivedAt": None, "trashed": None})
    return call.payload(entity=issue)


def issue_delete(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Move an issue to the trash, or delete it for good when asked to."""
    issue = call.find("issues", given["id"])
    if not given.get("permanentlyDelete"):
        return call.payload(entity=_save(call, issue, {"archivedAt": call.now, "trashed": True}))
    if not call.viewer().get("admin"):
        raise LinearError("Only admins can permanently delete issues", None, "FORBIDDEN", "forbidden", 403)
    call.collection("issues").delete(issue["id"])
    for identifier in (issue["identifier"], *issue.get("previousIdentifiers", ())):
        call.collection("identifiers").delete(identifier)
    for name in ("comments", "attachments", "relations"):
        documents = call.collection(name)
        for key, one in list(documents.items()):
            if issue["id"] in (one.get("issueId"), one.get("relatedIssueId")):
                documents.delete(key)
    return call.payload(entity=None)


def issue_add_label(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Put a label on an issue."""
    issue = call.find("issues", given["id"])
    label = call.find("labels", given["labelId"])
    _check_labels(call, [label["id"]], call.find("teams", issue["teamId"]))
    labels = list(dict.fromkeys([*issue["labelIds"], label["id"]]))
    return call.payload(issue=_save(call, issue, {"labelIds": labels}))


def issue_remove_label(call: LinearCall, given: Mapping[str, Any]) -> Any:
    """Take a label off an issue."""
    issue = call.find("issues", given["id"])
    label = call.find("labels", given["labelId"])
    labels = [one for one in issue["labelIds"] if one != label["id"]]
    return call.payload(issue=_save(call, issue, {"labelIds": labels}))
