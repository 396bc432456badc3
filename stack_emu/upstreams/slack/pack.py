"""The Slack pack: takes a request to a method and its reply to HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stack_emu.kernel.errors import KernelError
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.upstreams.not_served import not_served
from stack_emu.upstreams.packs import PackContext, PackRow, summary_of
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.slack import files, scheduled, tokens
from stack_emu.upstreams.slack.call import SlackCall, SlackError, read_arguments
from stack_emu.upstreams.slack.methods import DECLINED, METHODS, WITHOUT_TOKEN, is_deprecated, may_exist
from stack_emu.upstreams.slack.records import Workspace
from stack_emu.upstreams.slack.seeding import SEED_KEYS, read_seed, write_seed

_API = "/api/"


class SlackPack:
    """A workspace with channels, users, messages, threads, files and what hangs on them, spoken to as slack.com is.

    Besides: scheduled messages, reactions, pins, bookmarks, reminders, user groups, profiles, views and search.

    Every connection acts as the workspace's one bot user. Requests may be GET with a query, or POST with a form,
    multipart or JSON. Message time stamps are described in :mod:`stack_emu.upstreams.slack.stamps`. Text is kept as
    it was sent: nothing is escaped or linked, and coming, going and renaming leave no message in a channel.
    """

    title = "Slack"
    hosts = ("slack.com", "*.slack.com")
    declined = DECLINED
    clients = ("slack_sdk 3.48 (sync and async)",)
    seed_keys = SEED_KEYS

    @property
    def operations(self) -> tuple[PackRow, ...]:
        """The methods served."""
        return tuple(
            PackRow(
                name,
                f"POST {_API}{name}",
                summary_of(method).removeprefix(f"``{name}``").lstrip(": "),
                (),
                f"docs.slack.dev {name}; slack_sdk 3.48",
            )
            for name, method in METHODS.items()
        )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work; the keys are those of :mod:`stack_emu.upstreams.slack.seeding`.

        Raises:
            ValueError: one sentence that says which part is wrong and what to write.
        """
        read_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the workspace that the upstream ``name`` begins with."""
        write_seed(world, name, read_seed(seed))

    def presigned(self, world: World, name: str, request: UpstreamRequest) -> bool:
        """Whether the request goes to an upload address that was handed out, or to a method that needs no token."""
        if _method(request) in WITHOUT_TOKEN:
            return True
        return files.upload_ticket(world.store, name, request) is not None

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """``not_authed`` without a token, ``invalid_auth`` with one that is not known."""
        content = request.content if isinstance(request.content, dict) else {}
        presented = "Authorization" in request.headers or "token" in content or "token" in dict(request.query)
        return UpstreamReply.of_json({"ok": False, "error": "invalid_auth" if presented else "not_authed"})

    def injected(self, status: int) -> dict[str, Any] | None:
        """The words Slack sends with 429, 503 and other server failures."""
        words = {429: "ratelimited", 503: "service_unavailable"}
        word = words.get(status, "internal_error" if status >= 500 else None)
        return None if word is None else {"ok": False, "error": word}

    def handle(self, context: PackContext) -> UpstreamReply:
        """Answer a call of the web API or take an upload."""
        method = _method(context.request)
        if method is not None:
            return _call(context, method)
        file = files.upload_ticket(context.world.store, context.upstream, context.request)
        if file is not None:
            context.route = f"{files.UPLOAD_PATH}{{ticket}}"
            return files.receive(context.world.store, file, context.request)
        return _not_served(context)


def _method(request: UpstreamRequest) -> str | None:
    if request.method not in ("GET", "POST") or not request.path.startswith(_API):
        return None
    return request.path[len(_API) :].rstrip("/") or None


def _call(context: PackContext, method: str) -> UpstreamReply:
    handler = METHODS.get(method)
    context.route = f"{_API}{method}" if handler is not None else None
    if handler is None:
        return _unknown(context, method)
    call: SlackCall | None = None
    try:
        call = SlackCall(context, _workspace(context), read_arguments(context.request))
        tokens.need_valid(call)
        scheduled.post_due(call)
        data = {"ok": True, **handler(call)}
    except SlackError as error:
        context.discard = True
        data = error.reply()
    if call is not None:
        context.unread = call.unread
    return UpstreamReply.of_json(data, headers=_headers(context))


def _unknown(context: PackContext, method: str) -> UpstreamReply:
    """Slack's own word where Slack itself would refuse; otherwise an honest 501 that names what is served."""
    if is_deprecated(method):
        return UpstreamReply.of_json({"ok": False, "error": "method_deprecated"}, headers=_headers(context))
    if not may_exist(method):
        near = close_matches(method, METHODS, 1, 0.8)
        context.hint = f"Slack has no method {method}" + (f"; did you mean {near[0]}?" if near else ".")
        data = {"ok": False, "error": "unknown_method", "req_method": method}
        return UpstreamReply.of_json(data, headers=_headers(context))
    return _not_served(context)


def _not_served(context: PackContext) -> UpstreamReply:
    """Slack takes every method as GET and as POST, so the rows are compared in the way the request came."""
    verb = context.request.method if context.request.method in ("GET", "POST") else "POST"
    rows = [replace(row, call=row.call.replace("POST", verb, 1)) for row in SlackPack().operations]
    return not_served(context, "Slack", rows, DECLINED)


def _workspace(context: PackContext) -> Workspace:
    workspace = context.world.store.get(Workspace, context.upstream)
    if workspace is None:
        raise KernelError(f"upstream {context.upstream} has no workspace; call Upstreams.seed(world) first")
    return workspace


def _headers(context: PackContext) -> dict[str, str]:
    credential = context.credential
    if credential is None or credential.scopes is None:
        return {}
    return {"X-OAuth-Scopes": ",".join(credential.scopes)}
