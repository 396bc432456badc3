"""Answers and sentences of the engine's own, where neither a pack nor a route has the word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from multidict import CIMultiDict

from stack_emu.kernel.journal import Redactor
from stack_emu.kernel.matching import Difference, explain
from stack_emu.kernel.near_miss import Candidate, sent_of, side_by_side
from stack_emu.upstreams.credentials import AcceptedCredential
from stack_emu.upstreams.errors import UpstreamUnreachable
from stack_emu.upstreams.packs import Pack
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest

_ANSWERS = ("status", "headers", "json", "body", "text")


def leak_hint(names: Sequence[str], host: str) -> str:
    """The sentence for secrets that arrived where they do not belong.

    Args:
        names: names of the secrets, usually connection ids.
        host: where they were sent.
    """
    own = ", ".join(name for name in names if _is_connection(name))
    others = [name for name in names if not _is_connection(name)]
    named = " and ".join(filter(None, (own and f"credential of {own}", *others)))
    return (
        f"{named} sent to {host}; the URL chooses the host and the service chooses the "
        "credential, so name a service that belongs to this host."
    )


def _is_connection(name: str) -> bool:
    """Whether a secret's name is that of a connection; others say what they are, as in ``passport:pp_1``."""
    return ":" not in name and not name.startswith("oauth ")


def bypass_hint(host: str, credential: AcceptedCredential | None) -> str:
    """The sentence for a call that went around STACK.

    Args:
        host: where it went.
        credential: the accepted credential it carried all the same.
    """
    carried = ""
    if credential is not None:
        carried = f" with the credential of {credential.connection_id}, which no agent was given"
    return (
        f"{host} was called around STACK{carried}; send the call through POST /v1/proxy or stack_proxy_request, which "
        "add the credential."
    )


def without_credential(pack: Pack | None, upstream: str, request: UpstreamRequest) -> UpstreamReply:
    """What an upstream answers to a request without an accepted credential: the pack's words, else a plain 401."""
    if pack is not None:
        return pack.without_credential(request)
    message = f"{upstream} accepts no credential in this request; connect a service whose upstream is {upstream}."
    error = {"code": "UPSTREAM_UNAUTHORIZED", "message": message, "details": {"upstream": upstream}}
    return UpstreamReply.of_json({"error": error}, 401, {"WWW-Authenticate": "Bearer"})


def unmatched(
    upstream: str,
    request: UpstreamRequest,
    near: Sequence[Candidate],
    redactor: Redactor,
    elsewhere: str | None = None,
) -> tuple[UpstreamReply, str, str]:
    """The 501 for a request no route answers, the sentence that says why the nearest one did not, and all side by side.

    Args:
        upstream: its name.
        request: the request.
        near: the nearest routes; empty when there are none.
        redactor: masks what the request had.
        elsewhere: name of another upstream that has a route for it.
    """
    asked = f"no route of upstream {upstream} answers {request.method} {request.path}"
    if not near:
        return unmatched_reply(upstream, f"{asked}; it has no routes, so add one.", request, [], redactor)
    masked = [replace(one, differences=tuple(_masked(found) for found in one.differences)) for one in near]
    first = masked[0]
    note = f"; {first.note}" if first.note else ""
    other = (
        f" Upstream {elsewhere} has a route for it; a call goes to the upstream that its host belongs to."
        if elsewhere
        else ""
    )
    nearest = explain(first.name, first.differences) if first.differences else f"closest: {first.name}"
    message = f"{asked}; {nearest}{note}.{other}"
    return unmatched_reply(upstream, message, request, masked, redactor)


def unmatched_reply(
    upstream: str, message: str, request: UpstreamRequest, near: Sequence[Candidate], redactor: Redactor
) -> tuple[UpstreamReply, str, str]:
    """The 501 with the nearest candidates in its details, its sentence, and the candidates side by side; all masked."""
    table = redactor.text(side_by_side(sent_of(request), near))
    details = {
        "upstream": upstream,
        "nearest": near[0].name if near else None,
        "differences": [difference.as_json() for difference in near[0].differences] if near else [],
        "candidates": [candidate.as_json() for candidate in near],
        "side_by_side": table.splitlines(),
    }
    error = redactor.value({"code": "UPSTREAM_UNMATCHED", "message": message, "details": details})
    return UpstreamReply.of_json({"error": error}, 501), str(error["message"]), table


def crashed(upstream: str, message: str) -> UpstreamReply:
    """The 500 of a fake that failed."""
    return UpstreamReply.of_json(
        {"error": {"code": "UPSTREAM_CRASHED", "message": message, "details": {"upstream": upstream}}}, 500
    )


def injected(pack: Pack | None, inject: Mapping[str, Any]) -> UpstreamReply | None:
    """The reply a fault injects, or None when it injects none.

    Args:
        pack: gives a bare failure status its body in the service's own words.
        inject: ``status``, ``headers``, ``json`` and ``body`` or ``text``.
    """
    given = {key: inject[key] for key in _ANSWERS if inject.get(key) is not None}
    if not given:
        return None
    status = int(given.get("status", 200))
    headers = given.get("headers") or {}
    text = given.get("body", given.get("text"))
    if "json" in given:
        return UpstreamReply.of_json(given["json"], status, headers)
    if isinstance(text, str):
        return UpstreamReply.of_text(text, status, headers)
    data = text if text is not None else (pack.injected(status) if pack is not None else None)
    if data is None:
        return UpstreamReply(status, headers)
    return UpstreamReply.of_json(data, status, headers)


_BREAKS = {
    "connection_reset_by_peer": "the connection to {host} was reset before its reply arrived.",
    "empty_response": "{host} closed the connection without an answer.",
    "random_data_then_close": "{host} answered with something that is no HTTP.",
    "malformed_response_chunk": "the reply of {host} broke off in a malformed chunk.",
    "truncated_body": "the reply of {host} broke off before its end.",
}
GARBAGE = b"\xff\xfe\x00" + bytes(range(128, 256))
"""A body that is neither text nor JSON."""


def broken(reply: UpstreamReply, wire: Mapping[str, Any], host: str) -> UpstreamReply:
    """A reply as the proxy would get it after what a fault does to its bytes.

    Args:
        reply: what the upstream answered.
        wire: ``transport`` and ``content_type``.
        host: names the upstream in errors.

    Raises:
        UpstreamUnreachable: when nothing whole arrives.
    """
    kind = wire.get("transport")
    if kind in _BREAKS:
        raise UpstreamUnreachable(_BREAKS[kind].format(host=host))
    headers = CIMultiDict(reply.headers)
    if wire.get("content_type") is not None:
        headers["Content-Type"] = str(wire["content_type"])
    return UpstreamReply(reply.status, headers, GARBAGE if kind == "garbage_body" else reply.body)


def _masked(difference: Difference) -> Difference:
    """A header's value may be a credential nobody registered, so only that it differs is shown."""
    if difference.field.startswith("headers.") and isinstance(difference.got, str):
        return Difference(difference.field, "<masked>", difference.expected)
    return difference
