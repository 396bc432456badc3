"""The GitHub pack: its operations and its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.github import (
    git,
    issues,
    labels,
    pulls,
    reactions,
    repositories,
    review_comments,
    reviews,
    search,
)
from stack_emu.upstreams.github.dialect import DOCS, SENTENCES, dressed, failure
from stack_emu.upstreams.github.seeding import SEED_KEYS, check_seed, write_seed
from stack_emu.upstreams.pack_calls import Handler, PackOperation, RestCall
from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack

REPO = "/repos/{owner}/{repo}"
ISSUE = f"{REPO}/issues/{{number}}"
PULL = f"{REPO}/pulls/{{number}}"
COMMENT = f"{REPO}/issues/comments/{{comment_id}}"
LINE = f"{REPO}/pulls/comments/{{comment_id}}"
WRITE = ("repo", "public_repo")
_Row = tuple[str, str, Handler, tuple[str, ...], int]


def _reactions(what: str, path: str, kind: str, param: str) -> tuple[_Row, ...]:
    return (
        (f"reactions.listFor{what}", f"GET {path}/reactions", reactions.lister(kind, param), (), 200),
        (f"reactions.createFor{what}", f"POST {path}/reactions", reactions.creator(kind, param), WRITE, 201),
        (
            f"reactions.deleteFor{what}"
            if what != "PullRequestReviewComment"
            else "reactions.deleteForPullRequestComment",
            f"DELETE {path}/reactions/{{reaction_id}}",
            reactions.remover(kind, param),
            WRITE,
            204,
        ),
    )


_ROWS: tuple[_Row, ...] = (
    ("users.getAuthenticated", "GET /user", repositories.me, (), 200),
    ("users.getByUsername", "GET /users/{username}", repositories.user, (), 200),
    ("rateLimit.get", "GET /rate_limit", repositories.rate_limit, (), 200),
    ("repos.get", f"GET {REPO}", repositories.get, (), 200),
    ("repos.listForAuthenticatedUser", "GET /user/repos", repositories.mine, (), 200),
    ("repos.listForUser", "GET /users/{username}/repos", repositories.of_user, (), 200),
    ("repos.listForOrg", "GET /orgs/{org}/repos", repositories.of_org, (), 200),
    ("repos.createForAuthenticatedUser", "POST /user/repos", repositories.create, WRITE, 201),
    ("repos.createInOrg", "POST /orgs/{org}/repos", repositories.create_in_org, WRITE, 201),
    ("issues.list", "GET /issues", issues.assigned, (), 200),
    ("issues.listForRepo", f"GET {REPO}/issues", issues.listed, (), 200),
    ("issues.create", f"POST {REPO}/issues", issues.create, WRITE, 201),
    ("issues.get", f"GET {ISSUE}", issues.get, (), 200),
    ("issues.update", f"PATCH {ISSUE}", issues.update, WRITE, 200),
    ("issues.lock", f"PUT {ISSUE}/lock", issues.lock, WRITE, 204),
    ("issues.unlock", f"DELETE {ISSUE}/lock", issues.unlock, WRITE, 204),
    ("issues.addAssignees", f"POST {ISSUE}/assignees", issues.add_assignees, WRITE, 201),
    ("issues.removeAssignees", f"DELETE {ISSUE}/assignees", issues.remove_assignees, WRITE, 200),
    ("issues.listAssignees", f"GET {REPO}/assignees", issues.list_assignable, (), 200),
    ("issues.checkUserCanBeAssigned", f"GET {REPO}/assignees/{{assignee}}", issues.check_assignable, (), 204),
    ("issues.createComment", f"POST {ISSUE}/comments", issues.create_comment, WRITE, 201),
    ("issues.listComments", f"GET {ISSUE}/comments", issues.list_comments, (), 200),
    ("issues.listCommentsForRepo", f"GET {REPO}/issues/comments", issues.list_all_comments, (), 200),
    ("issues.getComment", f"GET {REPO}/issues/comments/{{comment_id}}", issues.get_comment, (), 200),
    ("issues.updateComment", f"PATCH {REPO}/issues/comments/{{comment_id}}", issues.update_comment, WRITE, 200),
    ("issues.deleteComment", f"DELETE {REPO}/issues/comments/{{comment_id}}", issues.delete_comment, WRITE, 204),
    ("issues.listLabelsForRepo", f"GET {REPO}/labels", labels.list_labels, (), 200),
    ("issues.createLabel", f"POST {REPO}/labels", labels.create_label, WRITE, 201),
    ("issues.getLabel", f"GET {REPO}/labels/{{name}}", labels.get_label, (), 200),
    ("issues.updateLabel", f"PATCH {REPO}/labels/{{name}}", labels.update_label, WRITE, 200),
    ("issues.deleteLabel", f"DELETE {REPO}/labels/{{name}}", labels.delete_label, WRITE, 204),
    ("issues.listLabelsOnIssue", f"GET {ISSUE}/labels", labels.of_issue, (), 200),
    ("issues.addLabels", f"POST {ISSUE}/labels", labels.add_to_issue, WRITE, 200),
    ("issues.setLabels", f"PUT {ISSUE}/labels", labels.set_on_issue, WRITE, 200),
    ("issues.removeAllLabels", f"DELETE {ISSUE}/labels", labels.clear_issue, WRITE, 204),
    ("issues.removeLabel", f"DELETE {ISSUE}/labels/{{name}}", labels.remove_from_issue, WRITE, 200),
    ("issues.listMilestones", f"GET {REPO}/milestones", labels.list_milestones, (), 200),
    ("issues.createMilestone", f"POST {REPO}/milestones", labels.create_milestone, WRITE, 201),
    ("issues.getMilestone", f"GET {REPO}/milestones/{{number}}", labels.get_milestone, (), 200),
    ("issues.updateMilestone", f"PATCH {REPO}/milestones/{{number}}", labels.update_milestone, WRITE, 200),
    ("issues.deleteMilestone", f"DELETE {REPO}/milestones/{{number}}", labels.delete_milestone, WRITE, 204),
    ("pulls.list", f"GET {REPO}/pulls", pulls.listed, (), 200),
    ("pulls.create", f"POST {REPO}/pulls", pulls.create, WRITE, 201),
    ("pulls.get", f"GET {PULL}", pulls.get, (), 200),
    ("pulls.update", f"PATCH {PULL}", pulls.update, WRITE, 200),
    ("pulls.merge", f"PUT {PULL}/merge", pulls.merge, WRITE, 200),
    ("pulls.checkIfMerged", f"GET {PULL}/merge", pulls.merged, (), 204),
    ("pulls.listFiles", f"GET {PULL}/files", pulls.files, (), 200),
    ("pulls.listCommits", f"GET {PULL}/commits", pulls.commits, (), 200),
    ("pulls.createReview", f"POST {PULL}/reviews", reviews.create_review, WRITE, 200),
    ("pulls.listReviews", f"GET {PULL}/reviews", reviews.list_reviews, (), 200),
    ("pulls.getReview", f"GET {PULL}/reviews/{{review_id}}", reviews.get_review, (), 200),
    ("pulls.listCommentsForReview", f"GET {PULL}/reviews/{{review_id}}/comments", review_comments.of_review, (), 200),
    ("pulls.createReviewComment", f"POST {PULL}/comments", review_comments.create, WRITE, 201),
    ("pulls.listReviewComments", f"GET {PULL}/comments", review_comments.listed, (), 200),
    (
        "pulls.createReplyForReviewComment",
        f"POST {PULL}/comments/{{comment_id}}/replies",
        review_comments.reply,
        WRITE,
        201,
    ),
    ("pulls.listReviewCommentsForRepo", f"GET {REPO}/pulls/comments", review_comments.list_all, (), 200),
    ("pulls.getReviewComment", f"GET {LINE}", review_comments.get, (), 200),
    ("pulls.updateReviewComment", f"PATCH {LINE}", review_comments.update, WRITE, 200),
    ("pulls.deleteReviewComment", f"DELETE {LINE}", review_comments.delete, WRITE, 204),
    *_reactions("Issue", ISSUE, "issues", "number"),
    *_reactions("IssueComment", COMMENT, "comments", "comment_id"),
    *_reactions("PullRequestReviewComment", LINE, "review_comments", "comment_id"),
    ("pulls.requestReviewers", f"POST {PULL}/requested_reviewers", pulls.request_reviewers, WRITE, 201),
    ("pulls.removeRequestedReviewers", f"DELETE {PULL}/requested_reviewers", pulls.remove_reviewers, WRITE, 200),
    ("pulls.listRequestedReviewers", f"GET {PULL}/requested_reviewers", pulls.list_reviewers, (), 200),
    ("repos.getContent", f"GET {REPO}/contents/*", git.get_contents, (), 200),
    ("repos.createOrUpdateFileContents", f"PUT {REPO}/contents/*", git.put_contents, WRITE, 200),
    ("repos.deleteFile", f"DELETE {REPO}/contents/*", git.delete_contents, WRITE, 200),
    ("git.getRef", f"GET {REPO}/git/ref/*", git.get_ref, (), 200),
    ("git.listMatchingRefs", f"GET {REPO}/git/matching-refs/*", git.list_refs, (), 200),
    ("git.createRef", f"POST {REPO}/git/refs", git.create_ref, WRITE, 201),
    ("git.updateRef", f"PATCH {REPO}/git/refs/*", git.update_ref, WRITE, 200),
    ("git.deleteRef", f"DELETE {REPO}/git/refs/*", git.delete_ref, WRITE, 204),
    ("repos.listBranches", f"GET {REPO}/branches", git.list_branches, (), 200),
    ("repos.getBranch", f"GET {REPO}/branches/*", git.get_branch, (), 200),
    ("repos.listCommits", f"GET {REPO}/commits", git.list_commits, (), 200),
    ("repos.getCommit", f"GET {REPO}/commits/*", git.get_commit, (), 200),
    ("search.issuesAndPullRequests", "GET /search/issues", search.issues, (), 200),
    ("search.repos", "GET /search/repositories", search.repositories, (), 200),
    ("search.code", "GET /search/code", search.code, (), 200),
)

_PAGES = {
    "users": "users/users",
    "rateLimit": "rate-limit",
    "repos": "repos",
    "issues": "issues",
    "pulls": "pulls",
    "reactions": "reactions/reactions",
    "git": "git/refs",
    "search": "search/search",
}


def _operation(name: str, call: str, handler: Handler, scopes: tuple[str, ...], status: int) -> PackOperation:
    method, _, path = call.partition(" ")
    page = f"docs.github.com/rest/{_PAGES[name.partition('.')[0]]}"
    return PackOperation(name, method, path, handler, f"{page}; PyGithub 2.10", scopes, status)


class GitHubPack(RestPack):
    """Repositories with issues, pull requests, files and search, spoken to as api.github.com is."""

    title = "GitHub"
    hosts = ("api.github.com",)
    served = tuple(_operation(*row) for row in _ROWS)
    clients = ("PyGithub 2.10 (Python)", "@octokit/rest 22.0 (Node)")
    seed_keys = SEED_KEYS
    declined = (
        Declined("GraphQL", "use the REST operations", "POST", "/graphql"),
        Declined("reactions to commits, releases and discussions", "those are not served either"),
        Declined("reactions.deleteLegacy", "delete it where it is, as GitHub wants", "DELETE", "/reactions/{id}"),
        Declined("actions.*", "nothing runs here", None, f"{REPO}/actions/*"),
        Declined("checks.* and commit statuses", "nothing runs here", None, f"{REPO}/statuses/{{sha}}"),
        Declined("issues.listEvents", "read the issue instead", None, f"{ISSUE}/events"),
        Declined("repos.createFork", "open pull requests from a branch of the same repository", None, f"{REPO}/forks"),
        Declined("repos.delete", "a repository stays for the run", "DELETE", REPO),
        Declined("repos.createWebhook", "it calls an address of yours; poll", None, f"{REPO}/hooks"),
        Declined("git.createTree, git.createCommit and git.createBlob", "commit with repos.createOrUpdateFileContents"),
        Declined("releases, projects, gists, teams and packages", "agents rarely touch them; add routes"),
    )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work, with a sentence that names the place."""
        check_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the account, people and repositories."""
        write_seed(world, name, seed)

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """401: ``Bad credentials`` for a token nobody knows, ``Requires authentication`` without one."""
        if "Authorization" in request.headers:
            return failure(401)
        return failure(401, "Requires authentication")

    def injected(self, status: int) -> Any:
        """The body of a bare status; 403 and 429 are worded as a secondary rate limit."""
        return {"message": SENTENCES.get(status, "Error"), "documentation_url": DOCS, "status": str(status)}

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """404, as GitHub hides what a token may not touch; the journal says which scope it was."""
        return failure(404)

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """400, for a body that is no JSON object."""
        return failure(400, "Body should be a JSON object" if "object" in sentence else "Problems parsing JSON")

    def read_fields(self, request: UpstreamRequest) -> Mapping[str, Any]:
        """The fields of the body; a bare list of labels counts as ``labels``, as PyGithub sends it."""
        if request.path.endswith("/labels") and isinstance(request.content, list):
            return {"labels": request.content}
        return super().read_fields(request)

    def after(self, call: RestCall, reply: UpstreamReply) -> UpstreamReply:
        """Puts GitHub's headers on every reply; 304 when the caller has it already."""
        return dressed(call, reply)
