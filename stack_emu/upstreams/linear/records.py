"""Where the entities of each GraphQL type are kept, and which lists hang on which entity."""

from __future__ import annotations

COLLECTIONS = {
    "Attachment": "attachments",
    "Comment": "comments",
    "Cycle": "cycles",
    "Issue": "issues",
    "IssueLabel": "labels",
    "IssueRelation": "relations",
    "Project": "projects",
    "ProjectStatus": "project_statuses",
    "Team": "teams",
    "User": "users",
    "WorkflowState": "states",
}
"""GraphQL type to collection. A document names another as ``<field>Id``, or as ``<field>Ids``."""

ENTITY_OF = {collection: entity for entity, collection in COLLECTIONS.items()}
"""Collection to GraphQL type."""

LISTS: dict[tuple[str, str], tuple[str, str]] = {
    ("Comment", "children"): ("comments", "parentId"),
    ("Cycle", "issues"): ("issues", "cycleId"),
    ("Issue", "attachments"): ("attachments", "issueId"),
    ("Issue", "children"): ("issues", "parentId"),
    ("Issue", "comments"): ("comments", "issueId"),
    ("Issue", "inverseRelations"): ("relations", "relatedIssueId"),
    ("Issue", "labels"): ("labels", "*labelIds"),
    ("Issue", "relations"): ("relations", "issueId"),
    ("Issue", "subscribers"): ("users", "*subscriberIds"),
    ("IssueLabel", "children"): ("labels", "parentId"),
    ("IssueLabel", "issues"): ("issues", "labelIds"),
    ("Organization", "labels"): ("labels", ""),
    ("Organization", "teams"): ("teams", ""),
    ("Organization", "users"): ("users", ""),
    ("Project", "accessibleTeams"): ("teams", "*teamIds"),
    ("Project", "issues"): ("issues", "projectId"),
    ("Project", "members"): ("users", "*memberIds"),
    ("Project", "teams"): ("teams", "*teamIds"),
    ("Team", "cycles"): ("cycles", "teamId"),
    ("Team", "issues"): ("issues", "teamId"),
    ("Team", "labels"): ("labels", "teamId"),
    ("Team", "members"): ("users", "*memberIds"),
    ("Team", "projects"): ("projects", "teamIds"),
    ("Team", "states"): ("states", "teamId"),
    ("User", "assignedIssues"): ("issues", "assigneeId"),
    ("User", "createdIssues"): ("issues", "creatorId"),
    ("User", "teams"): ("teams", "memberIds"),
    ("WorkflowState", "issues"): ("issues", "stateId"),
}
"""Type and field to the collection it lists and the link: a field of the listed documents that holds this id (alone or
in a list), with ``*`` the field of this document that holds theirs, or everything."""
