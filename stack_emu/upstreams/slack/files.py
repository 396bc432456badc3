"""The methods ``files.*``.

Files come by ``files.getUploadURLExternal``, the bytes to the address it gives, ``files.completeUploadExternal``.

docs.slack.dev/messaging/working-with-files and slack_sdk 3.48 ``files_upload_v2``. The address is its own permission:
Slack's clients send the bytes without a token.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from stack_emu.kernel.ids import text_id
from stack_emu.kernel.store import Store
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.slack.call import SlackCall, SlackError, invalid_arguments
from stack_emu.upstreams.slack.paging import DEFAULT_COUNT, numbered
from stack_emu.upstreams.slack.places import channel_by_id, message_at, need_writable, post
from stack_emu.upstreams.slack.records import Channel, File, Workspace
from stack_emu.upstreams.slack.shapes import file_shape
from stack_emu.upstreams.slack.stamps import new_id

UPLOAD_PATH = "/upload/v1/"
"""Front of the path of every upload address."""

FILES_HOST = "files.slack.com"
_TICKET_LENGTH = 40


def get_upload_url(call: SlackCall) -> dict[str, Any]:
    """``files.getUploadURLExternal``: the address is on ``files.slack.com`` when the upstream answers for it."""
    call.need("files:write")
    name = call.required("filename")
    call.required("length")
    length = call.number("length") or 0
    if length <= 0:
        raise invalid_arguments("must be greater than 0: length")
    number = new_id(call.act, "F")
    ticket = text_id(call.act.new_bytes("slack.ticket"), _TICKET_LENGTH)
    call.store.put(
        File(
            id=f"{call.upstream}/{number}",
            upstream=call.upstream,
            file=number,
            ticket=ticket,
            name=name,
            title=name,
            user=call.bot,
            length=length,
        )
    )
    return {"upload_url": f"{_upload_origin(call)}{UPLOAD_PATH}{ticket}", "file_id": number}


def complete_upload(call: SlackCall) -> dict[str, Any]:
    """``files.completeUploadExternal``: names the files and shares them as one message in each channel."""
    call.need("files:write")
    call.required("files")
    wanted = call.array("files", "invalid_arguments") or []
    given = call.text("channel_id")
    channels = [channel_by_id(call, name) for name in ([given] if given else []) + call.names("channels")]
    for channel in channels:
        need_writable(call, channel)
    files = [_completed(call, entry, channels) for entry in wanted]
    comment, thread = call.text("initial_comment") or "", call.text("thread_ts")
    for channel in channels:
        if thread is not None:
            message_at(call, channel, thread, "thread_not_found")
        post(call, channel, comment, thread_ts=thread, files=tuple(file.file for file in files))
    return {"files": [file_shape(call, file) for file in files]}


def info(call: SlackCall) -> dict[str, Any]:
    """``files.info``: one shared file."""
    call.need("files:read")
    file = call.store.get(File, f"{call.upstream}/{call.required('file')}")
    if file is None or not file.shared:
        raise SlackError("file_not_found")
    return {"file": file_shape(call, file), "comments": [], "response_metadata": {"next_cursor": ""}}


def list_files(call: SlackCall) -> dict[str, Any]:
    """``files.list``: the last shared first, by user, channel, kind and time."""
    call.need("files:read")
    user, channel, kinds = call.text("user"), call.text("channel"), set(call.names("types"))
    first, last = call.number("ts_from"), call.number("ts_to")
    where = None if channel is None else channel_by_id(call, channel).channel
    found = [
        file
        for file in shared(call)
        if (user is None or file.user == user)
        and (where is None or where in file.channels)
        and (not kinds or "all" in kinds or kinds & _kinds(file))
        and (first is None or file.at_ms >= first * 1000)
        and (last is None or file.at_ms <= last * 1000)
    ]
    shown, paging = numbered(call, found, DEFAULT_COUNT)
    return {"files": [file_shape(call, file) for file in shown], "paging": paging}


def delete(call: SlackCall) -> dict[str, Any]:
    """``files.delete``: the token's own; messages lose it."""
    call.need("files:write")
    file = call.store.get(File, f"{call.upstream}/{call.required('file')}")
    if file is None or not file.shared:
        raise SlackError("file_not_found")
    if file.user != call.bot:
        raise SlackError("cant_delete_file")
    call.store.delete(File, file.id)
    return {}


def shared(call: SlackCall) -> list[File]:
    """The files the token's user may see: its own, and those of conversations it may see; the last shared first."""
    found = [
        file
        for file in call.store.find(File, upstream=call.upstream)
        if file.shared and (file.user == call.bot or any(_may_see(call, channel) for channel in file.channels))
    ]
    return sorted(found, key=lambda file: (-file.position, file.file))


def _may_see(call: SlackCall, channel: str) -> bool:
    found = call.store.get(Channel, f"{call.upstream}/{channel}")
    return found is not None and (found.kind == "public" or call.bot in found.members)


def _kinds(file: File) -> set[str]:
    """The words of ``types`` a file falls under."""
    ending = file.name.rpartition(".")[2].lower()
    words = {"images": ("png", "gif", "jpg", "jpeg"), "pdfs": ("pdf",), "zips": ("zip",), "snippets": ("txt", "log")}
    return {word for word, endings in words.items() if ending in endings}


def upload_ticket(store: Store, upstream: str, request: UpstreamRequest) -> File | None:
    """The file whose upload address a request goes to, or None."""
    if request.method != "POST" or not request.path.startswith(UPLOAD_PATH):
        return None
    ticket = request.path[len(UPLOAD_PATH) :]
    return next(store.find(File, ticket=ticket, upstream=upstream), None)


def receive(store: Store, file: File, request: UpstreamRequest) -> UpstreamReply:
    """Take the bytes of a file, raw or as the file part of a form."""
    content = next((part.content for part in request.parts if part.filename is not None), request.body)
    encoded = base64.b64encode(content).decode()
    store.put(replace(file, content=encoded, size=len(content)))
    return UpstreamReply.of_text(f"OK - {len(content)}")


def _completed(call: SlackCall, entry: Any, channels: list[Channel]) -> File:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise invalid_arguments("must provide an object with id: files")
    file = call.store.get(File, f"{call.upstream}/{entry['id']}")
    if file is None or file.content is None:
        raise SlackError("file_not_found")
    title = str(entry.get("title") or file.name)
    where = tuple(channel.channel for channel in channels)
    workspace = call.store.get(Workspace, call.upstream) or call.workspace
    call.store.put(replace(workspace, next_position=workspace.next_position + 1))
    shared_file = replace(file, title=title, shared=True, channels=where)
    return call.store.put(replace(shared_file, position=workspace.next_position, at_ms=call.act.now_ms))


def _upload_origin(call: SlackCall) -> str:
    request = call.context.request
    if request.host.endswith("slack.com") and call.context.owns(FILES_HOST):
        return f"https://{FILES_HOST}"
    return request.origin
