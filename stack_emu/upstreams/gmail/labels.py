"""Handlers of ``users.labels``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.upstreams.gmail.colors import PALETTE
from stack_emu.upstreams.gmail.mailbox import SYSTEM_LABELS, Mailbox, not_found
from stack_emu.upstreams.google_api import refuse
from stack_emu.upstreams.pack_calls import RestCall

_CHOICES = {
    "messageListVisibility": ("show", "hide"),
    "labelListVisibility": ("labelShow", "labelShowIfUnread", "labelHide"),
}
_MOST = 225
_TOTALS = ("messagesTotal", "messagesUnread", "threadsTotal", "threadsUnread")


def list_labels(call: RestCall) -> Any:
    """List the system labels and the user's, without totals."""
    labels = sorted(Mailbox(call).labels.all(), key=lambda label: (str(label["name"]).lower(), label["id"]))
    return {"labels": [*(system(name) for name in SYSTEM_LABELS), *labels]}


def get(call: RestCall) -> Any:
    """Read a label, with how many messages and threads have it."""
    box = Mailbox(call)
    label = _label(box, call.params["id"])
    hidden = {"TRASH", "SPAM"} - {label["id"]}
    messages = (message for message in box.messages.all() if not hidden & set(message["labelIds"]))
    carriers = [message for message in messages if label["id"] in message["labelIds"]]
    unread = [message for message in carriers if "UNREAD" in message["labelIds"]]
    threads = [len({one["threadId"] for one in some}) for some in (carriers, unread)]
    return {**label, **dict(zip(_TOTALS, (len(carriers), len(unread), *threads), strict=True))}


def create(call: RestCall) -> Any:
    """Add a label of the user's."""
    box = Mailbox(call)
    fields = _fields(call, box, None)
    key = call.mint(box.labels.free(lambda: f"Label_{10**18 + call.act.new_number('gmail.label', 9 * 10**18)}"))
    defaults = {"messageListVisibility": "show", "labelListVisibility": "labelShow"}
    return box.labels.put(key, {"id": key, **defaults, **fields, "type": "user"})


def update(call: RestCall) -> Any:
    """Replace a label of the user's."""
    box = Mailbox(call)
    label = _own(box, call.params["id"], "update")
    return box.labels.put(label["id"], {"id": label["id"], **_fields(call, box, label["id"]), "type": "user"})


def patch(call: RestCall) -> Any:
    """Change some fields of a label of the user's."""
    box = Mailbox(call)
    label = _own(box, call.params["id"], "update")
    fields = _fields(call, box, label["id"], name=str(label["name"]))
    return box.labels.put(label["id"], {**label, **fields})


def delete(call: RestCall) -> Any:
    """Delete a label of the user's; messages lose it."""
    box = Mailbox(call)
    label = _own(box, call.params["id"], "delete")
    box.labels.delete(label["id"])
    for message in box.messages.all():
        if label["id"] in message["labelIds"]:
            box.relabel(message, [], [label["id"]])


def system(name: str) -> dict[str, Any]:
    """A system label."""
    return {"id": name, "name": name, "type": "system"}


def _label(box: Mailbox, key: str) -> Mapping[str, Any]:
    if key in SYSTEM_LABELS:
        return system(key)
    found = box.labels.get(key)
    if found is None:
        not_found()
    return found


def _own(box: Mailbox, key: str, verb: str) -> Mapping[str, Any]:
    if key in SYSTEM_LABELS:
        refuse(400, "invalidArgument", f"Invalid {verb} request", hint=f"{key} is a system label.")
    return _label(box, key)


def _fields(call: RestCall, box: Mailbox, key: str | None, name: str | None = None) -> dict[str, Any]:
    """The checked fields of a label in a request; ``id``, ``type`` and totals are the service's own and passed over."""
    call.ignore("id", "type", *_TOTALS)
    wanted = call.field("name", name)
    if not isinstance(wanted, str) or not wanted.strip() or len(wanted) > _MOST:
        refuse(400, "invalidArgument", "Invalid label name")
    if wanted.upper() in SYSTEM_LABELS:
        refuse(400, "invalidArgument", "Invalid label name", hint=f"{wanted} is the name of a system label.")
    for other, taken in box.label_names().items():
        if other.lower() == wanted.lower() and taken != key:
            refuse(409, "aborted", "Label name exists or conflicts", hint=f"the label {taken} has the name {other}.")
    fields: dict[str, Any] = {"name": wanted}
    for field, choices in _CHOICES.items():
        value = call.field(field)
        if value is not None and value not in choices:
            refuse(
                400,
                "invalidArgument",
                f"Invalid value at 'label.{field}': {value}",
                hint=f"one of {', '.join(choices)}.",
            )
        if value is not None:
            fields[field] = value
    color = call.field("color")
    if color is not None:
        given = [str(color.get(part)) for part in ("textColor", "backgroundColor")] if isinstance(color, dict) else [""]
        strange = next((value for value in given if value not in PALETTE), None)
        if strange is not None:
            hint = (
                "textColor and backgroundColor are of the palette that the reference of labels lists, such as #ffffff."
            )
            refuse(400, "invalidArgument", f"Label color {strange} is not on the allowed color palette", hint=hint)
        fields["color"] = dict(color)
    return fields
