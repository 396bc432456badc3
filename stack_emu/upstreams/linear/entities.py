"""Mutations of comments, labels, projects, attachments and relations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from stack_emu.upstreams.linear.call import Document, LinearCall
from stack_emu.upstreams.linear.errors import LinearError, invalid
from stack_emu.upstreams.linear.filters import instant_text
from stack_emu.upstreams.linear.issues import slug_of

Given = Mapping[str, Any]


def comment_create(call: LinearCall, given: Given) -> Any:
    """Comment on an issue, or answer a comment."""
    fields = given["input"]
    parent = call.find("comments", fields["parentId"]) if fields.get("parentId") else None
    issue = call.find("issues", fields.get("issueId") or (parent or {}).get("issueId"))
    if not (fields.get("body") or "").strip():
        raise invalid("body should not be empty")
    key = call.new_id("comments", fields.get("id"))
    created = instant_text(fields["createdAt"]) if fields.get("createdAt") else call.now
    return call.payload(
        comment=new_comment(call, key, issue, fields["body"], created, parent["id"] if parent else None)
    )


def new_comment(
    call: LinearCall, key: str, issue: Document, body: str, created: str, parent: str | None = None
) -> Document:
    """Put a comment of the acting user."""
    comment = {
        "id": key,
        "body": body,
        "issueId": issue["id"],
        "parentId": parent,
        "userId": call.workspace()["viewerId"],
        "createdAt": created,
        "updatedAt": created,
        "archivedAt": None,
        "url": f"{issue['url']}#comment-{key[:8]}",
    }
    return call.collection("comments").put(key, comment)


def comment_update(call: LinearCall, given: Given) -> Any:
    """Change a comment's text."""
    comment = call.find("comments", given["id"])
    body = given["input"].get("body", comment["body"])
    if not (body or "").strip():
        raise invalid("body should not be empty")
    edited = comment.get("editedAt") if given.get("skipEditedAt") else call.now
    changed = call.collection("comments").change(comment["id"], body=body, updatedAt=call.now, editedAt=edited)
    return call.payload(comment=changed)


def comment_delete(call: LinearCall, given: Given) -> Any:
    """Delete a comment and its answers."""
    comment = call.find("comments", given["id"])
    for answer in call.listed("Comment", "children", comment):
        call.collection("comments").delete(answer["id"])
    return _delete(call, "comments", comment)


def _delete(call: LinearCall, collection: str, document: Document) -> Any:
    call.collection(collection).delete(document["id"])
    return call.payload(entityId=document["id"])


def issue_label_create(call: LinearCall, given: Given) -> Any:
    """Create a label of the workspace, or of a team."""
    fields = given["input"]
    if given.get("replaceTeamLabels"):
        call.ineffective.add("replaceTeamLabels")
    team = call.find("teams", fields["teamId"])["id"] if fields.get("teamId") else None
    parent = call.find("labels", fields["parentId"])["id"] if fields.get("parentId") else None
    name = fields["name"].strip()
    if not name:
        raise invalid("name should not be empty")
    same = [one for one in call.collection("labels").all() if one["name"].casefold() == name.casefold()]
    if any(one.get("teamId") in (None, team) or team is None for one in same):
        raise LinearError("duplicate label name", f'Label with the name "{name}" already exists.')
    key = call.new_id("labels", fields.get("id"))
    label = {
        "id": key,
        "name": name,
        "color": fields.get("color") or "#bec2c8",
        "description": fields.get("description"),
        "isGroup": bool(fields.get("isGroup")),
        "teamId": team,
        "parentId": parent,
        "creatorId": call.workspace()["viewerId"],
        "createdAt": call.now,
        "updatedAt": call.now,
        "archivedAt": None,
    }
    return call.payload(issueLabel=call.collection("labels").put(key, label))


def project_create(call: LinearCall, given: Given) -> Any:
    """Create a project of one or more teams."""
    for name in ("aiConversationId", "projectDraftId", "slackChannelName"):
        if given.get(name) is not None:
            call.ineffective.add(name)
    fields = given["input"]
    changes = _project_fields(call, fields)
    if not changes["teamIds"]:
        raise invalid("teamIds must contain at least 1 elements")
    key = call.new_id("projects", fields.get("id"))
    backlog = next(one for one in call.collection("project_statuses").all() if one["type"] == "backlog")
    project = {"statusId": backlog["id"], "state": backlog["type"], **changes}
    return call.payload(project=new_project(call, key, project))


def new_project(call: LinearCall, key: str, fields: Given) -> Document:
    """Put a project with everything a new one has."""
    slug = key.replace("-", "")[:12]
    address = f"https://linear.app/{call.workspace()['urlKey']}/project/{slug_of(fields['name'])}-{slug}"
    project = {
        "id": key,
        "slugId": call.mint(slug),
        "description": "",
        "color": "#bec2c8",
        "priority": 0,
        "priorityLabel": "No priority",
        "memberIds": [],
        "creatorId": call.workspace()["viewerId"],
        "createdAt": call.now,
        "updatedAt": call.now,
        "archivedAt": None,
        "url": address,
        **fields,
    }
    return call.collection("projects").put(key, project)


def project_update(call: LinearCall, given: Given) -> Any:
    """Change a project."""
    project = call.find("projects", given["id"])
    changes = _project_fields(call, given["input"])
    if changes.get("teamIds") == []:
        raise invalid("teamIds must contain at least 1 elements")
    return call.payload(project=call.collection("projects").change(project["id"], **changes, updatedAt=call.now))


def _project_fields(call: LinearCall, fields: Given) -> dict[str, Any]:
    changes = {name: value for name, value in fields.items() if name != "id"}
    if "name" in changes and not (changes["name"] or "").strip():
        raise invalid("name should not be empty")
    if changes.get("leadId"):
        changes["leadId"] = call.find("users", changes["leadId"])["id"]
    for name, collection in (("memberIds", "users"), ("teamIds", "teams")):
        if name in changes:
            changes[name] = [call.find(collection, one)["id"] for one in changes[name] or ()]
    if changes.get("statusId"):
        changes["state"] = call.find("project_statuses", changes["statusId"])["type"]
    return changes


def attachment_create(call: LinearCall, given: Given) -> Any:
    """Attach a URL to an issue; a URL it already has is changed instead."""
    fields = given["input"]
    issue = call.find("issues", fields["issueId"])
    if urlsplit(fields["url"]).scheme not in ("http", "https"):
        raise invalid("url must be a URL address")
    attachments = call.listed("Issue", "attachments", issue)
    known = next((one for one in attachments if one["url"] == fields["url"]), None)
    values = {name: fields.get(name) for name in ("title", "subtitle", "iconUrl")}
    if known is not None:
        changed = {**values, "metadata": fields.get("metadata") or known["metadata"], "updatedAt": call.now}
        return call.payload(attachment=call.collection("attachments").change(known["id"], **changed))
    key = call.new_id("attachments", fields.get("id"))
    attachment = {
        "id": key,
        "url": fields["url"],
        **values,
        "metadata": fields.get("metadata") or {},
        "issueId": issue["id"],
        "creatorId": call.workspace()["viewerId"],
        "createdAt": call.now,
        "updatedAt": call.now,
        "archivedAt": None,
    }
    return call.payload(attachment=call.collection("attachments").put(key, attachment))


def attachment_delete(call: LinearCall, given: Given) -> Any:
    """Delete an attachment."""
    return _delete(call, "attachments", call.find("attachments", given["id"]))


def issue_relation_create(call: LinearCall, given: Given) -> Any:
    """Relate two issues: blocks, duplicate, related or similar."""
    fields = given["input"]
    issue, related = call.find("issues", fields["issueId"]), call.find("issues", fields["relatedIssueId"])
    if issue["id"] == related["id"]:
        raise invalid("relatedIssueId must be another issue")
    key = call.new_id("relations", fields.get("id"))
    created = instant_text(given["overrideCreatedAt"]) if given.get("overrideCreatedAt") else call.now
    relation = {
        "id": key,
        "type": fields["type"],
        "issueId": issue["id"],
        "relatedIssueId": related["id"],
        "createdAt": created,
        "updatedAt": created,
        "archivedAt": None,
    }
    return call.payload(issueRelation=call.collection("relations").put(key, relation))


def issue_relation_delete(call: LinearCall, given: Given) -> Any:
    """Delete a relation."""
    return _delete(call, "relations", call.find("relations", given["id"]))
