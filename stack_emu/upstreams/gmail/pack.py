"""The Gmail pack: its operations, what it leaves out, and its seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.gmail import account, drafts, labels, messages, scopes, threads
from stack_emu.upstreams.gmail.seeding import SEED_KEYS, check_seed, write_seed
from stack_emu.upstreams.google_api import GooglePack
from stack_emu.upstreams.google_batch import run_batch
from stack_emu.upstreams.pack_calls import Handler, PackOperation, RestCall
from stack_emu.upstreams.packs import Declined

_ROOT = "/gmail/v1/users/{userId}"
_CLIENT = "google-api-python-client 2.202"


def _operation(name: str, method: str, path: str, handler: Handler, allowed: tuple[str, ...], status: int = 200) -> Any:
    source = f"developers.google.com/workspace/gmail/api/reference/rest users.{name}; {_CLIENT}"
    return PackOperation(f"users.{name}", method, _ROOT + path, handler, source, allowed, status)


def _upload(name: str, method: str, path: str, handler: Handler, allowed: tuple[str, ...]) -> Any:
    source = f"developers.google.com/workspace/gmail/api/guides/uploads; {_CLIENT}"
    return PackOperation(f"users.{name} (upload)", method, f"/upload{_ROOT}{path}", handler, source, allowed)


def _batch(call: RestCall) -> Any:
    """Up to 100 calls in one request, each answered by itself; a new boundary every time changes no id."""
    return run_batch(GmailPack(), call, 100)


class GmailPack(GooglePack):
    """One account's mailbox with messages, threads, labels, drafts, attachments, search and history.

    Mail that is sent goes nowhere: it stays in the mailbox as sent, and arrives in it when it goes to the account itself.
    Under a clock that stands still, mail of one instant sorts by what it answers; ``clock: {tick: 1ms}`` spaces it.
    To have an agent find new mail, seed it, or let a test insert or import it.
    """

    title = "Gmail"
    service = "gmail.googleapis.com"
    hosts = ("gmail.googleapis.com",)
    clients = (f"{_CLIENT} (Python)", "@googleapis/gmail 22.0 (Node)")
    seed_keys = SEED_KEYS
    served = (
        _operation("getProfile", "GET", "/profile", account.profile, scopes.PROFILE),
        _operation("messages.list", "GET", "/messages", messages.list_messages, scopes.READ),
        _operation("messages.get", "GET", "/messages/{id}", messages.get, scopes.READ),
        _operation("messages.send", "POST", "/messages/send", messages.send, scopes.SENDING),
        _operation("messages.insert", "POST", "/messages", messages.insert, scopes.INSERTING),
        _operation("messages.import", "POST", "/messages/import", messages.import_message, scopes.INSERTING),
        _operation("messages.modify", "POST", "/messages/{id}/modify", messages.modify, scopes.CHANGE),
        _operation("messages.trash", "POST", "/messages/{id}/trash", messages.trash, scopes.CHANGE),
        _operation("messages.untrash", "POST", "/messages/{id}/untrash", messages.untrash, scopes.CHANGE),
        _operation("messages.delete", "DELETE", "/messages/{id}", messages.delete, scopes.DELETE),
        _operation("messages.batchModify", "POST", "/messages/batchModify", messages.batch_modify, scopes.CHANGE),
        _operation("messages.batchDelete", "POST", "/messages/batchDelete", messages.batch_delete, scopes.DELETE),
        _operation(
            "messages.attachments.get",
            "GET",
            "/messages/{messageId}/attachments/{id}",
            messages.attachment,
            scopes.READ_CONTENT,
        ),
        _operation("threads.list", "GET", "/threads", threads.list_threads, scopes.READ),
        _operation("threads.get", "GET", "/threads/{id}", threads.get, scopes.READ),
        _operation("threads.modify", "POST", "/threads/{id}/modify", threads.modify, scopes.CHANGE),
        _operation("threads.trash", "POST", "/threads/{id}/trash", threads.trash, scopes.CHANGE),
        _operation("threads.untrash", "POST", "/threads/{id}/untrash", threads.untrash, scopes.CHANGE),
        _operation("threads.delete", "DELETE", "/threads/{id}", threads.delete, scopes.DELETE),
        _operation("labels.list", "GET", "/labels", labels.list_labels, scopes.READ_LABELS),
        _operation("labels.get", "GET", "/labels/{id}", labels.get, scopes.READ_LABELS),
        _operation("labels.create", "POST", "/labels", labels.create, scopes.CHANGE_LABELS),
        _operation("labels.update", "PUT", "/labels/{id}", labels.update, scopes.CHANGE_LABELS),
        _operation("labels.patch", "PATCH", "/labels/{id}", labels.patch, scopes.CHANGE_LABELS),
        _operation("labels.delete", "DELETE", "/labels/{id}", labels.delete, scopes.CHANGE_LABELS),
        _operation("drafts.list", "GET", "/drafts", drafts.list_drafts, scopes.READ_DRAFTS),
        _operation("drafts.get", "GET", "/drafts/{id}", drafts.get, scopes.READ_DRAFTS),
        _operation("drafts.create", "POST", "/drafts", drafts.create, scopes.DRAFTING),
        _operation("drafts.update", "PUT", "/drafts/{id}", drafts.update, scopes.DRAFTING),
        _operation("drafts.delete", "DELETE", "/drafts/{id}", drafts.delete, scopes.DRAFTING),
        _operation("drafts.send", "POST", "/drafts/send", drafts.send, scopes.DRAFTING),
        _operation("history.list", "GET", "/history", account.list_history, scopes.READ),
        PackOperation(
            "batch",
            "POST",
            "/batch*",
            _batch,
            f"developers.google.com/workspace/gmail/api/guides/batch; {_CLIENT}",
        ),
        _upload("messages.send", "POST", "/messages/send", messages.send, scopes.SENDING),
        _upload("messages.insert", "POST", "/messages", messages.insert, scopes.INSERTING),
        _upload("messages.import", "POST", "/messages/import", messages.import_message, scopes.INSERTING),
        _upload("drafts.create", "POST", "/drafts", drafts.create, scopes.DRAFTING),
        _upload("drafts.update", "PUT", "/drafts/{id}", drafts.update, scopes.DRAFTING),
        _upload("drafts.send", "POST", "/drafts/send", drafts.send, scopes.DRAFTING),
    )
    declined = (
        Declined(
            "users.settings.*",
            "filters, forwarding, send-as and delegates are an administrator's, and nothing here acts by them",
            path=f"{_ROOT}/settings/*",
        ),
        Declined(
            "users.watch",
            "it publishes to Cloud Pub/Sub, which is not there; poll history.list",
            "POST",
            f"{_ROOT}/watch",
        ),
        Declined("users.stop", "there is nothing to stop without users.watch", "POST", f"{_ROOT}/stop"),
        Declined(
            "resumable uploads",
            "a message fits into one request; use uploadType=media or multipart",
            path="/resumable/upload/gmail/*",
        ),
    )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work.

        Raises:
            ValueError: one sentence that says which part is wrong and what to write.
        """
        check_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the mailbox that the upstream ``name`` begins with."""
        write_seed(world, name, seed)
