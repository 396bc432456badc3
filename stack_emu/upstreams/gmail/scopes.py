"""The scopes of Gmail's methods, as the reference page of each method lists them."""

from __future__ import annotations

_AUTH = "https://www.googleapis.com/auth/gmail."

ALL = "https://mail.google.com/"
MODIFY = f"{_AUTH}modify"
READONLY = f"{_AUTH}readonly"
METADATA = f"{_AUTH}metadata"
COMPOSE = f"{_AUTH}compose"
SEND = f"{_AUTH}send"
INSERT = f"{_AUTH}insert"
LABELS = f"{_AUTH}labels"

READ = (ALL, MODIFY, READONLY, METADATA)
READ_CONTENT = (ALL, MODIFY, READONLY)
PROFILE = (ALL, MODIFY, COMPOSE, READONLY, METADATA)
CHANGE = (ALL, MODIFY)
DELETE = (ALL,)
SENDING = (ALL, MODIFY, COMPOSE, SEND)
INSERTING = (ALL, MODIFY, INSERT)
DRAFTING = (ALL, MODIFY, COMPOSE)
READ_DRAFTS = (ALL, MODIFY, COMPOSE, READONLY)
CHANGE_LABELS = (ALL, MODIFY, LABELS)
READ_LABELS = (ALL, MODIFY, LABELS, READONLY, METADATA)
