"""Reactions to issues, to their comments and to comments on a pull request's lines."""

from __future__ import annotations

from collections import Counter
from typing import Any

from stack_emu.upstreams.github.dialect import invalid, page_of, refused, text
from stack_emu.upstreams.github.repositories import Data, Repo, actor, show_user
from stack_emu.upstreams.pack_calls import Handler, RestCall
from stack_emu.upstreams.requests import UpstreamReply

CONTENTS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
"""What somebody can react with."""


def reaction_counts(repo: Repo, kind: str, key: str, url: str) -> dict[str, Any]:
    """How often something was reacted to, as GitHub sums it up.

    Args:
        repo: the repository.
        kind: collection the thing is in: ``issues``, ``comments`` or ``review_comments``.
        key: its key there.
        url: its address.
    """
    counts = Counter(one["content"] for one in repo.has(f"reactions/{kind}/{key}").all())
    return {"url": f"{url}/reactions", "total_count": counts.total(), **{name: counts[name] for name in CONTENTS}}


def lister(kind: str, param: str) -> Handler:
    """The handler that lists the reactions to things of a kind, which the path names by ``param``."""

    def handler(call: RestCall) -> Any:
        """List the reactions, oldest first, also by ``content``."""
        repo, key = _thing(call, kind, param)
        wanted = call.query("content")
        found = list(repo.has(f"reactions/{kind}/{key}").items())
        return [
            _show(repo, number, one)
            for number, one in page_of(call, [one for one in found if wanted in (None, one[1]["content"])])
        ]

    return handler


def creator(kind: str, param: str) -> Handler:
    """The handler that reacts to things of a kind."""

    def handler(call: RestCall) -> Any:
        """React; a second time answers 200 with the reaction there is."""
        repo, key = _thing(call, kind, param)
        content = text(call, "content", required=True)
        if content not in CONTENTS:
            raise invalid("Reaction", "content", "invalid", value=content)
        kept, me = repo.has(f"reactions/{kind}/{key}"), actor(call)
        for number, one in kept.items():
            if (one["user"], one["content"]) == (me, content):
                return UpstreamReply.of_json(_show(repo, number, one))
        number = kept.free(lambda: str(call.number("reaction", 9)))
        return _show(repo, number, kept.put(number, {"user": me, "content": content, "created_at": call.now}))

    return handler


def remover(kind: str, param: str) -> Handler:
    """The handler that takes a reaction back."""

    def handler(call: RestCall) -> Any:
        """Take a reaction back."""
        repo, key = _thing(call, kind, param)
        if not repo.has(f"reactions/{kind}/{key}").delete(call.params["reaction_id"]):
            raise refused(404)

    return handler


def _thing(call: RestCall, kind: str, param: str) -> tuple[Repo, str]:
    repo, key = Repo(call), call.params[param]
    if repo.has(kind).get(key) is None:
        raise refused(404)
    return repo, key


def _show(repo: Repo, number: str, one: Data) -> dict[str, Any]:
    return {
        "id": int(number),
        "node_id": f"REA_{number}",
        "user": show_user(repo.call, one["user"]),
        "content": one["content"],
        "created_at": one["created_at"],
    }
