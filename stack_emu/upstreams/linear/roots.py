"""Every root field with what it needs, and fields that are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stack_emu.upstreams.linear import entities, issues
from stack_emu.upstreams.linear.call import LinearCall
from stack_emu.upstreams.linear.filters import cycle_phase
from stack_emu.upstreams.linear.paging import connection
from stack_emu.upstreams.linear.queries import QUERIES, Root
from stack_emu.upstreams.linear.records import ENTITY_OF, LISTS

MUTATIONS: dict[str, Root] = {
    "attachmentCreate": entities.attachment_create,
    "attachmentDelete": entities.attachment_delete,
    "commentCreate": entities.comment_create,
    "commentDelete": entities.comment_delete,
    "commentUpdate": entities.comment_update,
    "issueAddLabel": issues.issue_add_label,
    "issueArchive": issues.issue_archive,
    "issueCreate": issues.issue_create,
    "issueDelete": issues.issue_delete,
    "issueLabelCreate": entities.issue_label_create,
    "issueRelationCreate": entities.issue_relation_create,
    "issueRelationDelete": entities.issue_relation_delete,
    "issueRemoveLabel": issues.issue_remove_label,
    "issueUnarchive": issues.issue_unarchive,
    "issueUpdate": issues.issue_update,
    "projectCreate": entities.project_create,
    "projectUpdate": entities.project_update,
}
"""Root fields of ``Mutation``."""

ROOTS: dict[str, Root] = {**QUERIES, **MUTATIONS}

_NARROW = {"issueCreate": "issues:create", "attachmentCreate": "issues:create", "commentCreate": "comments:create"}


def scopes_of(root: str) -> tuple[str, ...]:
    """The scopes any one of which lets a credential use a root field."""
    if root in QUERIES:
        return ("read", "write", "admin")
    narrow = (_NARROW[root],) if root in _NARROW else ()
    return ("write", *narrow, "admin")


Own = Callable[[LinearCall, Any, Mapping[str, Any]], Any]


def own_resolver(kind: str, name: str) -> Own | None:
    """The resolver of a field that is computed; None for one that is read from its document."""
    if kind in ("Query", "Mutation"):
        return _root(name)
    if (kind, name) in LISTS:
        return _listed(kind, name)
    return _COMPUTED.get((kind, name))


def _root(name: str) -> Own:
    def own(call: LinearCall, source: Any, arguments: Mapping[str, Any]) -> Any:
        value = ROOTS[name](call, arguments)
        call.done = True
        return value

    return own


def _listed(kind: str, name: str) -> Own:
    entity = ENTITY_OF[LISTS[kind, name][0]]

    def own(call: LinearCall, source: Any, arguments: Mapping[str, Any]) -> Any:
        return connection(call, entity, call.listed(kind, name, source), arguments)

    return own


def _phase(name: str) -> Own:
    return lambda call, source, arguments: cycle_phase(call, source) == name


_COMPUTED: dict[tuple[str, str], Own] = {
    ("Cycle", "isActive"): _phase("isActive"),
    ("Cycle", "isFuture"): _phase("isFuture"),
    ("Cycle", "isPast"): _phase("isPast"),
    ("Organization", "projectStatuses"): lambda call, source, arguments: call.collection("project_statuses").all(),
    ("Organization", "userCount"): lambda call, source, arguments: len(call.collection("users").all()),
    ("Project", "progress"): lambda call, source, arguments: _progress(call, call.listed("Project", "issues", source)),
    ("Team", "issueCount"): lambda call, source, arguments: len(call.listed("Team", "issues", source)),
    ("User", "createdIssueCount"): lambda call, source, arguments: len(call.listed("User", "createdIssues", source)),
    ("User", "isMe"): lambda call, source, arguments: source["id"] == call.workspace()["viewerId"],
}


def _progress(call: LinearCall, listed: Any) -> float:
    kinds = [call.find("states", one["stateId"])["type"] for one in listed]
    counted = [kind for kind in kinds if kind not in ("canceled", "duplicate")]
    return counted.count("completed") / len(counted) if counted else 0.0
