"""The ways a secret can be written, and a count of what was tried."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

Way = Callable[[str], str]


def _base64(text: str, before: str = "") -> str:
    return base64.b64encode((before + text + "!?").encode()).decode()


WAYS: dict[str, Way] = {
    "in clear": lambda text: text,
    "inside a sentence": lambda text: f"the key is {text}.",
    "base64": _base64,
    "base64 after one byte": lambda text: _base64(text, "x"),
    "base64 after two bytes": lambda text: _base64(text, "xy"),
    "base64 without padding": lambda text: _base64(text).rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"??>>~~{text}".encode()).decode(),
    "base64 in wrapped lines": lambda text: base64.encodebytes(f"a text that is long enough, {text}".encode()).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "basic authentication": lambda text: f"Basic {base64.b64encode(f'somebody:{text}'.encode()).decode()}",
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "URL-encoded": lambda text: quote(text.replace("-", "%2D"), safe="%"),
    "URL-encoded all over": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "URL-encoded twice": lambda text: "".join(f"%25{byte:02X}" for byte in text.encode()),
    "HTML entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML entities in hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "JSON escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"a": [text]})),
    "backwards": lambda text: text[::-1],
    "upper case": lambda text: text.upper(),
    "letters apart": lambda text: " ".join(text),
    "base64 of gzip": lambda text: base64.b64encode(gzip.compress(text.encode())).decode(),
}
"""Text ways. Those of bytes (UTF-16, gzip, deflate) are in ``BYTES``."""

BYTES: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32-be"),
    "gzip": lambda text: gzip.compress(f"it is {text}".encode()),
    "deflate": lambda text: zlib.compress(f"it is {text}".encode()),
    "after a NUL and bytes that are no text": lambda text: b"\0\xff\xfe" + text.encode() + b"\x80",
}

ONLY_IN_LOWER_CASE = frozenset({"upper case"})
"""Ways that say nothing of a secret with letters of both cases: what comes back is another text."""


def letters_of_one_case(secret: str) -> bool:
    return secret == secret.lower()


def rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


@dataclass
class Tally:
    """How much was tried, and what got away."""

    what: str
    attempts: int = 0
    escaped: list[str] = field(default_factory=list)

    def note(self, caught: bool, attempt: str) -> None:
        self.attempts += 1
        if not caught:
            self.escaped.append(attempt)

    def end(self) -> None:
        print(f"{self.what}: {self.attempts} attempts, {len(self.escaped)} got away")
        assert self.attempts
        assert not self.escaped, "\n".join(self.escaped)
