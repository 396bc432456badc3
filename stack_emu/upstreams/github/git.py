"""Files, commits and branches. A commit keeps its whole tree: path to blob."""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Mapping
from hashlib import sha1
from typing import Any

from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.github.dialect import page_of, refused, text
from stack_emu.upstreams.github.repositories import Repo, actor, show_user
from stack_emu.upstreams.pack_calls import RestCall

Tree = Mapping[str, str]


def blob_sha(content: bytes) -> str:
    """Git's own name of a file's content."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def store_blob(blobs: Collection, content: bytes) -> str:
    """Keep a file's content and return its name."""
    sha = blob_sha(content)
    if blobs.get(sha) is None:
        blobs.put(sha, {"content": base64.b64encode(content).decode()})
    return sha


def commit_record(tree: Tree, parents: list[str], message: str, who: str, email: str, date: str) -> dict[str, Any]:
    """A commit as it is kept."""
    return {"tree": dict(tree), "parents": parents, "message": message, "login": who, "email": email, "date": date}


def first_commit(call: RestCall, key: str, files: Mapping[str, bytes], message: str) -> None:
    """Begin a repository with files on its default branch."""
    blobs = call.collection(f"blobs/{key}")
    tree = {path: store_blob(blobs, content) for path, content in files.items()}
    repo = call.collection("repos").get(key) or {}
    sha = _new_sha(call)
    call.collection(f"commits/{key}").put(sha, commit_record(tree, [], message, actor(call), _email(call), call.now))
    call.collection(f"refs/{key}").put(f"heads/{repo['default_branch']}", {"sha": sha})


def add_commit(repo: Repo, branch: str, tree: Tree, parents: list[str], message: str) -> str:
    """Commit a tree onto a branch and return the commit's name."""
    call = repo.call
    sha = _new_sha(call)
    record = commit_record(tree, parents, message, actor(call), _email(call), call.now)
    repo.has("commits").put(sha, record)
    repo.has("refs").put(f"heads/{branch}", {"sha": sha})
    return sha


def head_of(repo: Repo, branch: str) -> str | None:
    """The commit a branch is at, or None."""
    found = repo.has("refs").get(f"heads/{branch}")
    return None if found is None else str(found["sha"])


def resolve(repo: Repo, name: str | None) -> str | None:
    """The commit that a branch, tag, full ref or SHA names; the default branch's without a name."""
    if name is None:
        return head_of(repo, repo.data["default_branch"])
    refs = repo.has("refs")
    for key in (f"heads/{name}", f"tags/{name}", name.removeprefix("refs/")):
        found = refs.get(key)
        if found is not None:
            return str(found["sha"])
    return name if repo.has("commits").get(name) is not None else None


def tree_of(repo: Repo, sha: str | None) -> Tree:
    """Path to blob of a commit."""
    found = repo.has("commits").get(sha) if sha else None
    tree: Tree = found["tree"] if found else {}
    return tree


def content_of(repo: Repo, sha: str) -> bytes:
    """The content of a blob."""
    found = repo.has("blobs").get(sha)
    return base64.b64decode(found["content"]) if found else b""


def ancestors(repo: Repo, sha: str | None) -> list[str]:
    """A commit and those before it, newest first, first parents first."""
    commits, seen, queue = repo.has("commits"), [], [sha] if sha else []
    while queue:
        one = queue.pop(0)
        found = commits.get(one)
        if one in seen or found is None:
            continue
        seen.append(one)
        queue.extend(found["parents"])
    return seen


def merge_base(repo: Repo, one: str, other: str) -> str | None:
    """The newest commit that two have in common."""
    theirs = set(ancestors(repo, other))
    return next((sha for sha in ancestors(repo, one) if sha in theirs), None)


def differences(repo: Repo, old: Tree, new: Tree) -> list[dict[str, Any]]:
    """The files that differ between two trees, as GitHub prints them."""
    found = []
    for path in sorted({*old, *new}):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        lines = [_lines(content_of(repo, sha)) if sha else [] for sha in (before, after)]
        diff = list(difflib.unified_diff(lines[0], lines[1], lineterm=""))[2:]
        added = sum(line.startswith("+") for line in diff)
        removed = sum(line.startswith("-") for line in diff)
        status = "added" if before is None else "removed" if after is None else "modified"
        found.append(
            {
                "sha": after or before,
                "filename": path,
                "status": status,
                "additions": added,
                "deletions": removed,
                "changes": added + removed,
                "contents_url": f"{repo.url}/contents/{path}",
                "patch": "\n".join(diff),
            }
        )
    return found


def show_commit(repo: Repo, sha: str, *, whole: bool = False) -> dict[str, Any]:
    """A commit as GitHub prints it; with its files when ``whole``."""
    one = repo.has("commits").get(sha)
    if one is None:
        raise refused(422, f"No commit found for SHA: {sha}")
    who = {"name": one["login"], "email": one["email"], "date": one["date"]}
    tree = _tree_sha(one["tree"])
    inner = {"author": who, "committer": who, "message": one["message"], "comment_count": 0}
    inner["tree"] = {"sha": tree, "url": f"{repo.url}/git/trees/{tree}"}
    shown: dict[str, Any] = {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": f"{repo.url}/commits/{sha}",
        "html_url": f"{repo.html}/commit/{sha}",
        "commit": {**inner, "url": f"{repo.url}/git/commits/{sha}"},
        "author": show_user(repo.call, one["login"]),
        "committer": show_user(repo.call, one["login"]),
        "parents": [{"sha": parent, "url": f"{repo.url}/commits/{parent}"} for parent in one["parents"]],
    }
    if whole:
        before = tree_of(repo, one["parents"][0]) if one["parents"] else {}
        files = differences(repo, before, one["tree"])
        added, removed = (sum(file[name] for file in files) for name in ("additions", "deletions"))
        shown |= {"files": files, "stats": {"additions": added, "deletions": removed, "total": added + removed}}
    return shown


# --- contents -------------------------------------------------------------------------------------------------------


def get_contents(call: RestCall) -> Any:
    """Read a file in base64, or list a directory."""
    repo, path = Repo(call), call.rest.strip("/")
    ref = call.query("ref")
    sha = resolve(repo, ref)
    if sha is None:
        raise refused(404, f"No commit found for the ref {ref}" if ref else "This repository is empty.")
    tree = tree_of(repo, sha)
    if path in tree:
        return _show_file(repo, path, tree[path], ref, whole=True)
    inside = f"{path}/" if path else ""
    names = sorted({one[len(inside) :].split("/")[0] for one in tree if one.startswith(inside)})
    if not names and path:
        raise refused(404)
    return [_show_entry(repo, tree, inside + name, ref) for name in names]


def put_contents(call: RestCall) -> Any:
    """Create or replace a file; replacing needs the SHA of what it replaces."""
    repo, path = Repo(call), call.rest.strip("/")
    message = text(call, "message", required=True) or ""
    try:
        content = base64.b64decode("".join((text(call, "content", required=True) or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise refused(422, "content is not valid Base64") from None
    branch, head, tree = _branch(repo, empty=True)
    before = tree.get(path)
    _check_sha(call, path, before)
    blob = store_blob(repo.has("blobs"), content)
    sha = add_commit(repo, branch, {**tree, path: blob}, [head] if head else [], message)
    shown = {"content": _show_file(repo, path, blob, branch), "commit": _git_commit(repo, sha)}
    from stack_emu.upstreams.requests import UpstreamReply

    return UpstreamReply.of_json(shown, 200 if before else 201)


def delete_contents(call: RestCall) -> Any:
    """Delete a file; needs its SHA."""
    repo, path = Repo(call), call.rest.strip("/")
    message = text(call, "message", required=True) or ""
    branch, head, tree = _branch(repo)
    if path not in tree:
        raise refused(404)
    _check_sha(call, path, tree[path])
    left = {name: blob for name, blob in tree.items() if name != path}
    sha = add_commit(repo, branch, left, [head] if head else [], message)
    return {"content": None, "commit": _git_commit(repo, sha)}


# --- refs, branches, commits ----------------------------------------------------------------------------------------


def get_ref(call: RestCall) -> Any:
    """Read a reference, such as heads/main."""
    repo = Repo(call)
    found = repo.has("refs").get(call.rest)
    if found is None:
        raise refused(404)
    return _show_ref(repo, call.rest, found["sha"])


def list_refs(call: RestCall) -> Any:
    """List the references that begin with a name."""
    repo = Repo(call)
    found = sorted((key, data["sha"]) for key, data in repo.has("refs").items() if key.startswith(call.rest))
    return [_show_ref(repo, key, sha) for key, sha in page_of(call, found)]


def create_ref(call: RestCall) -> Any:
    """Create a branch or tag at a commit."""
    repo = Repo(call)
    ref, sha = text(call, "ref", required=True) or "", text(call, "sha", required=True) or ""
    if not ref.startswith("refs/") or ref.count("/") < 2:
        raise refused(422, "Reference name must start with 'refs' and have at least two slashes.")
    if repo.has("commits").get(sha) is None:
        raise refused(422, "Object does not exist")
    key = ref.removeprefix("refs/")
    if repo.has("refs").get(key) is not None:
        raise refused(422, "Reference already exists")
    repo.has("refs").put(key, {"sha": sha})
    return _show_ref(repo, key, sha)


def update_ref(call: RestCall) -> Any:
    """Move a branch or tag to another commit; backwards only with force."""
    repo = Repo(call)
    found = repo.has("refs").get(call.rest)
    if found is None:
        raise refused(422, "Reference does not exist")
    sha = text(call, "sha", required=True) or ""
    if repo.has("commits").get(sha) is None:
        raise refused(422, "Object does not exist")
    if not call.field("force", False) and found["sha"] not in ancestors(repo, sha):
        raise refused(422, "Update is not a fast forward")
    repo.has("refs").put(call.rest, {"sha": sha})
    return _show_ref(repo, call.rest, sha)


def delete_ref(call: RestCall) -> Any:
    """Delete a branch or tag."""
    if not Repo(call).has("refs").delete(call.rest):
        raise refused(422, "Reference does not exist")


def list_branches(call: RestCall) -> Any:
    """List branches by name."""
    repo = Repo(call)
    call.query("protected")
    found = sorted((key[6:], data["sha"]) for key, data in repo.has("refs").items() if key.startswith("heads/"))
    return [_show_branch(repo, name, sha) for name, sha in page_of(call, found)]


def get_branch(call: RestCall) -> Any:
    """Read a branch with the commit it is at."""
    repo = Repo(call)
    sha = head_of(repo, call.rest)
    if sha is None:
        raise refused(404, "Branch not found")
    return {**_show_branch(repo, call.rest, sha), "commit": show_commit(repo, sha)}


def list_commits(call: RestCall) -> Any:
    """List commits of a branch, newest first; ``path``, ``author``, ``since`` and ``until`` narrow them."""
    repo = Repo(call)
    name = call.query("sha")
    sha = resolve(repo, name)
    if sha is None:
        raise refused(404) if name else refused(409, "Git Repository is empty.")
    commits = repo.has("commits")
    path, author = call.query("path"), call.query("author")
    since, until = call.query("since", "") or "", call.query("until", "~") or "~"
    found = []
    for one in ancestors(repo, sha):
        data = commits.get(one) or {}
        before = tree_of(repo, data["parents"][0]) if data["parents"] else {}
        touched = path is None or any(
            before.get(p) != data["tree"].get(p) for p in {*before, *data["tree"]} if _in(p, path)
        )
        if touched and since <= data["date"] <= until and author in (None, data["login"], data["email"]):
            found.append(one)
    return [show_commit(repo, one) for one in page_of(call, found)]


def get_commit(call: RestCall) -> Any:
    """Read a commit with the files it changed."""
    repo = Repo(call)
    call.query("page"), call.query("per_page")
    return show_commit(repo, resolve(repo, call.rest) or call.rest, whole=True)


def _branch(repo: Repo, *, empty: bool = False) -> tuple[str, str | None, Tree]:
    call = repo.call
    call.ignore("author", "committer")
    branch = text(call, "branch") or repo.data["default_branch"]
    head = head_of(repo, branch)
    if head is None and not (empty and not list(repo.has("refs").items())):
        raise refused(404, f"Branch {branch} not found")
    return branch, head, tree_of(repo, head)


def _check_sha(call: RestCall, path: str, before: str | None) -> None:
    sha = text(call, "sha")
    if before is not None and sha is None:
        raise refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if before is not None and sha != before:
        raise refused(409, f"{path} does not match {sha}")
    if before is None and sha:
        raise refused(422, "Validation Failed", [{"resource": "Content", "field": "sha", "code": "invalid"}])


def _show_entry(repo: Repo, tree: Tree, path: str, ref: str | None) -> dict[str, Any]:
    if path in tree:
        return _show_file(repo, path, tree[path], ref)
    sha = _tree_sha({name: blob for name, blob in tree.items() if name.startswith(f"{path}/")})
    return {**_place(repo, path, ref), "type": "dir", "size": 0, "sha": sha, "download_url": None}


def _show_file(repo: Repo, path: str, sha: str, ref: str | None, *, whole: bool = False) -> dict[str, Any]:
    content = content_of(repo, sha)
    raw = f"https://raw.githubusercontent.com/{repo.data['owner']}/{repo.data['name']}"
    shown = {**_place(repo, path, ref), "type": "file", "size": len(content), "sha": sha}
    shown["download_url"] = f"{raw}/{ref or repo.data['default_branch']}/{path}"
    if whole:
        shown |= {"encoding": "base64", "content": base64.encodebytes(content).decode()}
    return shown


def _place(repo: Repo, path: str, ref: str | None) -> dict[str, Any]:
    at = ref or repo.data["default_branch"]
    url = f"{repo.url}/contents/{path}?ref={at}"
    return {"name": path.split("/")[-1], "path": path, "url": url, "html_url": f"{repo.html}/blob/{at}/{path}"}


def _git_commit(repo: Repo, sha: str) -> dict[str, Any]:
    shown = show_commit(repo, sha)
    return {**shown["commit"], "sha": sha, "html_url": shown["html_url"], "parents": shown["parents"]}


def _show_ref(repo: Repo, key: str, sha: str) -> dict[str, Any]:
    target = {"type": "commit", "sha": sha, "url": f"{repo.url}/git/commits/{sha}"}
    return {"ref": f"refs/{key}", "node_id": f"REF_{key}", "url": f"{repo.url}/git/refs/{key}", "object": target}


def _show_branch(repo: Repo, name: str, sha: str) -> dict[str, Any]:
    return {"name": name, "commit": {"sha": sha, "url": f"{repo.url}/commits/{sha}"}, "protected": False}


def _new_sha(call: RestCall) -> str:
    return call.mint(call.act.new_bytes("github.commit").hex()[:40])


def _tree_sha(tree: Tree) -> str:
    return sha1(repr(sorted(tree.items())).encode(), usedforsecurity=False).hexdigest()


def _email(call: RestCall) -> str:
    found = call.collection("users").get(actor(call).lower()) or {}
    return str(found.get("email") or f"{actor(call)}@users.noreply.github.com")


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def _in(path: str, place: str) -> bool:
    place = place.strip("/")
    return path == place or path.startswith(f"{place}/")
