"""Root fields of ``Query``: single entities, lists and searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.upstreams.linear.call import Document, LinearCall
from stack_emu.upstreams.linear.paging import connection
from stack_emu.upstreams.linear.records import COLLECTIONS

Arguments = Mapping[str, Any]
Root = Callable[[LinearCall, Arguments], Any]


def viewer(call: LinearCall, given: Arguments) -> Any:
    """The user the credential acts as."""
    return call.viewer()


def organization(call: LinearCall, given: Arguments) -> Any:
    """The workspace."""
    return call.workspace()


def _one(kind: str, words: str) -> Root:
    def root(call: LinearCall, given: Arguments) -> Any:
        return call.find(COLLECTIONS[kind], given.get("id"))

    root.__doc__ = words
    return root


def _list(kind: str, words: str) -> Root:
    def root(call: LinearCall, given: Arguments) -> Any:
        return connection(call, kind, call.collection(COLLECTIONS[kind]).all(), given)

    root.__doc__ = words
    return root


def attachments_for_url(call: LinearCall, given: Arguments) -> Any:
    """Attachments with exactly this URL."""
    found = [one for one in call.collection("attachments").all() if one["url"] == given["url"]]
    return connection(call, "Attachment", found, given)


def issue_search(call: LinearCall, given: Arguments) -> Any:
    """Issues whose identifier, title or description has every word; the older way."""
    return connection(call, "Issue", _found(call, given.get("query") or "", comments=False), given)


def search_issues(call: LinearCall, given: Arguments) -> Any:
    """Issues whose identifier, title, description or, if asked, comments have every word."""
    found = _found(call, given["term"], comments=bool(given.get("includeComments")))
    team = call.find("teams", given["teamId"])["id"] if given.get("teamId") else None
    if team is not None:
        found = [one for one in found if one["teamId"] == team]
    page = connection(call, "Issue", found, given)
    return {**page, "archivePayload": {"success": True}}


def _found(call: LinearCall, term: str, *, comments: bool) -> list[Document]:
    words = term.casefold().split()
    return [one for one in call.collection("issues").all() if _has_all(_text(call, one, comments=comments), words)]


def _has_all(text: str, words: list[str]) -> bool:
    return all(word in text for word in words)


def _text(call: LinearCall, issue: Document, *, comments: bool) -> str:
    parts = [issue["identifier"], issue["title"], issue.get("description") or ""]
    if comments:
        parts += [one["body"] for one in call.listed("Issue", "comments", issue)]
    return "\n".join(parts).casefold()


QUERIES: dict[str, Root] = {
    "attachment": _one("Attachment", "One attachment."),
    "attachments": _list("Attachment", "Attachments of all issues."),
    "attachmentsForURL": attachments_for_url,
    "comment": _one("Comment", "One comment."),
    "comments": _list("Comment", "Comments on all issues."),
    "cycle": _one("Cycle", "One cycle."),
    "cycles": _list("Cycle", "Cycles of all teams."),
    "issue": _one("Issue", "One issue, by its UUID or an identifier such as ENG-123."),
    "issueLabel": _one("IssueLabel", "One label."),
    "issueLabels": _list("IssueLabel", "Labels of the workspace and its teams."),
    "issueRelation": _one("IssueRelation", "One relation of two issues."),
    "issueRelations": _list("IssueRelation", "Relations of all issues."),
    "issueSearch": issue_search,
    "issues": _list("Issue", "Issues of all teams."),
    "organization": organization,
    "project": _one("Project", "One project, by its UUID or slug id."),
    "projectStatus": _one("ProjectStatus", "One status a project may have."),
    "projectStatuses": _list("ProjectStatus", "Statuses a project may have."),
    "projects": _list("Project", "Projects."),
    "searchIssues": search_issues,
    "team": _one("Team", "One team, by its UUID or key."),
    "teams": _list("Team", "Teams."),
    "user": _one("User", "One member of the workspace."),
    "users": _list("User", "Members of the workspace; deactivated ones only when asked for."),
    "viewer": viewer,
    "workflowState": _one("WorkflowState", "One workflow state."),
    "workflowStates": _list("WorkflowState", "Workflow states of all teams."),
}
"""Root fields of ``Query``."""
