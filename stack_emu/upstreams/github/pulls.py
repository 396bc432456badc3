"""Pull requests: opening, changing, merging, files, commits and who is asked for a review."""

from __future__ import annotations

from typing import Any

from stack_emu.upstreams.github import git
from stack_emu.upstreams.github.dialect import choice, custom, invalid, one_of, page_of, refused, text, texts
from stack_emu.upstreams.github.issues import moved, new_issue, show_issue
from stack_emu.upstreams.github.repositories import Data, Repo, actor, known_user, show, show_user
from stack_emu.upstreams.pack_calls import RestCall


def show_pull(repo: Repo, number: str, *, whole: bool = True) -> dict[str, Any]:
    """A pull request as GitHub prints it; with figures when ``whole``."""
    one = pull_of(repo, number)
    pull, call = one["pull"], repo.call
    issue = show_issue(repo, number)
    for name in ("pull_request", "reactions", "state_reason", "repository_url", "events_url", "labels_url", "comments"):
        issue.pop(name)
    head, base = head_of(repo, one), pull["base_sha"] or git.head_of(repo, pull["base"])
    shown: dict[str, Any] = {
        **issue,
        "url": f"{repo.url}/pulls/{number}",
        "issue_url": f"{repo.url}/issues/{number}",
        "commits_url": f"{repo.url}/pulls/{number}/commits",
        "head": _side(repo, pull["head"], head),
        "base": _side(repo, pull["base"], base),
        "draft": pull["draft"],
        "merged_at": pull["merged_at"],
        "merge_commit_sha": pull["merge_sha"],
        "requested_reviewers": [show_user(call, login) for login in pull["reviewers"]],
        "requested_teams": [],
    }
    if not whole:
        return shown
    files = files_of(repo, one)
    able = not pull["merged_at"] and one["state"] == "open"
    clean = able and _merged_tree(repo, base, head) is not None
    return {
        **shown,
        "merged": bool(pull["merged_at"]),
        "merged_by": show_user(call, pull["merged_by"]) if pull["merged_by"] else None,
        "mergeable": clean if able else None,
        "mergeable_state": ("clean" if clean else "dirty") if able else "unknown",
        "comments": sum(comment["issue"] == number for comment in repo.has("comments").all()),
        "review_comments": sum(one["pull"] == number for one in repo.has("review_comments").all()),
        "commits": len(commits_of(repo, one)),
        "additions": sum(file["additions"] for file in files),
        "deletions": sum(file["deletions"] for file in files),
        "changed_files": len(files),
        "maintainer_can_modify": False,
    }


def create(call: RestCall) -> Any:
    """Open a pull request from one branch into another of the same repository."""
    repo = Repo(call)
    call.ignore("maintainer_can_modify")
    head = (text(call, "head", required=True) or "").removeprefix(f"{repo.data['owner']}:")
    base = text(call, "base", required=True) or ""
    title = text(call, "title", required=True) or ""
    if not title:
        raise invalid("PullRequest", "title", "missing_field")
    for name, branch in (("head", head), ("base", base)):
        if git.head_of(repo, branch) is None:
            raise invalid("PullRequest", name, "invalid")
    into, tip = git.head_of(repo, base), git.head_of(repo, head)
    if tip in git.ancestors(repo, into):
        raise custom("PullRequest", f"No commits between {base} and {head}")
    for one in repo.has("issues").all():
        pull = one["pull"]
        if pull and one["state"] == "open" and (pull["head"], pull["base"]) == (head, base):
            raise custom("PullRequest", f"A pull request already exists for {repo.data['owner']}:{head}.")
    pull = {"head": head, "base": base, "draft": bool(call.field("draft", False)), "reviewers": [], "merged_at": None}
    pull |= {"merged_by": None, "merge_sha": None, "head_sha": None, "base_sha": None}
    return show_pull(repo, new_issue(repo, title, pull=pull, body=text(call, "body")))


def get(call: RestCall) -> Any:
    """Read a pull request, and whether it can be merged."""
    return show_pull(Repo(call), call.params["number"])


def listed(call: RestCall) -> Any:
    """List pull requests, newest first; open ones by default."""
    repo = Repo(call)
    state = choice(call, "state", ("open", "closed", "all"), "open")
    sort = choice(call, "sort", ("created", "updated"), "created")
    down = choice(call, "direction", ("asc", "desc"), "desc") == "desc"
    head, base = call.query("head"), call.query("base")
    found = [one for one in repo.has("issues").items() if one[1]["pull"] and state in ("all", one[1]["state"])]
    if head is not None:
        found = [one for one in found if f"{repo.data['owner']}:{one[1]['pull']['head']}" == head]
    if base is not None:
        found = [one for one in found if one[1]["pull"]["base"] == base]
    if down:
        found.reverse()
    found.sort(key=lambda one: str(one[1][f"{sort}_at"]), reverse=down)
    return [show_pull(repo, number, whole=False) for number, _ in page_of(call, found)]


def update(call: RestCall) -> Any:
    """Change a pull request's title, text, state or base."""
    repo, number = Repo(call), call.params["number"]
    one = pull_of(repo, number)
    call.ignore("maintainer_can_modify")
    changed: dict[str, Any] = {name: text(call, name) for name in ("title", "body") if call.has(name)}
    if "title" in changed and not changed["title"]:
        raise invalid("PullRequest", "title", "missing_field")
    state = one_of(call, "state", ("open", "closed"), "PullRequest")
    if state == "open" and one["pull"]["merged_at"]:
        raise custom("PullRequest", "state cannot be changed. The pull request has been merged.")
    if state and state != one["state"]:
        changed |= moved(call, state) | {"state_reason": None}
    base = text(call, "base")
    if base:
        if git.head_of(repo, base) is None:
            raise invalid("PullRequest", "base", "invalid")
        changed["pull"] = {**one["pull"], "base": base}
    repo.has("issues").change(number, updated_at=call.now, **changed)
    return show_pull(repo, number)


def merge(call: RestCall) -> Any:
    """Merge a pull request with a merge commit, squashed or rebased."""
    repo, number = Repo(call), call.params["number"]
    one = pull_of(repo, number)
    pull, head = one["pull"], head_of(repo, one)
    method = one_of(call, "merge_method", ("merge", "squash", "rebase"), "PullRequest") or "merge"
    base = git.head_of(repo, pull["base"])
    if pull["merged_at"] or one["state"] != "open" or head is None or base is None:
        raise refused(405, "Pull Request is not mergeable")
    if text(call, "sha") not in (None, head):
        raise refused(409, "Head branch was modified. Review and try the merge again.")
    tree = _merged_tree(repo, base, head)
    if tree is None:
        raise refused(405, "Pull Request is not mergeable")
    title = text(call, "commit_title") or _default_title(repo, number, one, method)
    more = text(call, "commit_message")
    message = f"{title}\n\n{more}" if more else title
    sha = git.add_commit(repo, pull["base"], tree, [base, head] if method == "merge" else [base], message)
    done = {"merged_at": call.now, "merged_by": actor(call), "merge_sha": sha, "head_sha": head, "base_sha": base}
    closed = moved(call, "closed") | {"state_reason": None}
    repo.has("issues").change(number, updated_at=call.now, pull={**pull, **done}, **closed)
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


def merged(call: RestCall) -> Any:
    """Whether a pull request was merged: 204, or 404."""
    repo = Repo(call)
    if not pull_of(repo, call.params["number"])["pull"]["merged_at"]:
        raise refused(404)


def files(call: RestCall) -> Any:
    """List the files a pull request changes, with their patches."""
    repo = Repo(call)
    return page_of(call, files_of(repo, pull_of(repo, call.params["number"])))


def commits(call: RestCall) -> Any:
    """List the commits of a pull request, oldest first."""
    repo = Repo(call)
    found = commits_of(repo, pull_of(repo, call.params["number"]))
    return [git.show_commit(repo, sha) for sha in page_of(call, found[::-1])]


def request_reviewers(call: RestCall) -> Any:
    """Ask people for a review."""
    return _reviewers(call, add=True)


def remove_reviewers(call: RestCall) -> Any:
    """Take back that people were asked for a review."""
    return _reviewers(call, add=False)


def list_reviewers(call: RestCall) -> Any:
    """List who was asked for a review."""
    repo = Repo(call)
    pull = pull_of(repo, call.params["number"])["pull"]
    return {"users": [show_user(call, login) for login in pull["reviewers"]], "teams": []}


def _reviewers(call: RestCall, *, add: bool) -> Any:
    repo, number = Repo(call), call.params["number"]
    one = pull_of(repo, number)
    given, before = texts(call, "reviewers") or [], one["pull"]["reviewers"]
    call.ignore(*(["team_reviewers"] if not call.fields.get("team_reviewers") else []))
    for login in given if add else ():
        if known_user(call, login) is None:
            owner = f"{repo.data['owner']}/{repo.data['name']}"
            raise refused(
                422,
                f"Reviews may only be requested from collaborators. One or more of the users or teams you "
                f"specified is not a collaborator of the {owner} repository.",
            )
        if login.lower() == one["user"].lower():
            raise refused(422, "Review cannot be requested from pull request author.")
    after = [*before, *(x for x in given if x not in before)] if add else [x for x in before if x not in given]
    repo.has("issues").change(number, updated_at=call.now, pull={**one["pull"], "reviewers": after})
    return show_pull(repo, number, whole=False)


def pull_of(repo: Repo, number: str) -> Data:
    """The record of a pull request.

    Raises:
        PackRefusal: 404 when there is none.
    """
    found = repo.has("issues").get(number)
    if found is None or not found["pull"]:
        raise refused(404)
    return found


def head_of(repo: Repo, one: Data) -> str | None:
    """The commit a pull request ends with."""
    pull = one["pull"]
    return pull["head_sha"] or git.head_of(repo, pull["head"])


def _side(repo: Repo, branch: str, sha: str | None) -> dict[str, Any]:
    owner, call = repo.data["owner"], repo.call
    side = {"label": f"{owner}:{branch}", "ref": branch, "sha": sha, "user": show_user(call, owner)}
    return {**side, "repo": show(call, repo.data)}


def files_of(repo: Repo, one: Data) -> list[dict[str, Any]]:
    """The files a pull request changes."""
    head = head_of(repo, one)
    base = one["pull"]["base_sha"] or git.head_of(repo, one["pull"]["base"])
    common = git.merge_base(repo, head, base) if head and base else None
    return git.differences(repo, git.tree_of(repo, common), git.tree_of(repo, head))


def commits_of(repo: Repo, one: Data) -> list[str]:
    """The commits of a pull request, newest first."""
    base = one["pull"]["base_sha"] or git.head_of(repo, one["pull"]["base"])
    known = set(git.ancestors(repo, base))
    return [sha for sha in git.ancestors(repo, head_of(repo, one)) if sha not in known]


def _merged_tree(repo: Repo, base: str | None, head: str | None) -> dict[str, str] | None:
    """The tree after a merge; None when both sides changed a file differently."""
    common = git.tree_of(repo, git.merge_base(repo, head, base) if head and base else None)
    ours, theirs = git.tree_of(repo, base), git.tree_of(repo, head)
    tree = dict(ours)
    for path in {*common, *theirs}:
        was, now, here = common.get(path), theirs.get(path), ours.get(path)
        if now in (was, here):
            continue
        if here != was:
            return None
        if now is None:
            del tree[path]
        else:
            tree[path] = now
    return tree


def _default_title(repo: Repo, number: str, one: Data, method: str) -> str:
    if method == "merge":
        return f"Merge pull request #{number} from {repo.data['owner']}/{one['pull']['head']}"
    return f"{one['title']} (#{number})"
