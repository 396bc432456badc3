"""Which credential a request carries, and whether it carries one that belongs elsewhere."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as Set
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from stack_emu.kernel.journal import Redactor
from stack_emu.upstreams.requests import UpstreamRequest


@dataclass(frozen=True)
class AcceptedCredential:
    """A credential an upstream accepts.

    Args:
        secret: the secret text as it is injected (without a scheme such as ``Bearer``).
        connection_id: the connection it belongs to, for example ``scon_slack``.
        scopes: what it may do; None when the connection names no scopes, which permits everything.
        connection_scopes: what the connection may do, where ``scopes`` is what a caller's grant leaves of that.
    """

    secret: str = field(repr=False)
    connection_id: str
    scopes: tuple[str, ...] | None = None
    connection_scopes: tuple[str, ...] | None = None


def presented(request: UpstreamRequest) -> Iterator[str]:
    """Every text in a request that could be a credential.

    That is headers, their values after the scheme, the two halves of basic authentication, query values and the
    top-level fields of the body.
    """
    for value in request.headers.values():
        yield value
        scheme, _, rest = value.partition(" ")
        if rest:
            yield rest.strip()
            yield rest.partition("=")[2].strip().strip('"')  # Token token="..."
        if scheme.lower() == "basic":
            yield from _basic(rest)
    yield from (value for _, value in request.query)
    content = request.content
    yield from (value for value in _top_level(content) if isinstance(value, str))


def accepted_in(request: UpstreamRequest, accepted: Sequence[AcceptedCredential]) -> AcceptedCredential | None:
    """The accepted credential the request carries, or None. Secrets are compared in constant time."""
    found: AcceptedCredential | None = None
    for text in presented(request):
        raw = text.encode()
        for credential in accepted:
            if hmac.compare_digest(raw, credential.secret.encode()) and found is None:
                found = credential
    return found


def foreign_secrets(
    redactor: Redactor, request: UpstreamRequest, accepted: Iterable[AcceptedCredential]
) -> tuple[str, ...]:
    """Names of the known secrets in a request that the upstream does not accept.

    Every form they travel in counts: encoded, escaped, compressed, in pieces.

    Args:
        redactor: knows every secret of the world.
        request: searched as a whole: URL, headers (basic authentication decoded) and body.
        accepted: what the upstream accepts; these do not count.
    """
    known = {credential.secret for credential in accepted}
    text = _everything(request, known)
    for secret in known:
        text = text.replace(secret, "")
    found = [one.name for one in redactor.scanner.find(text.encode("utf-8", "surrogatepass"))]
    # What is masked but no secret to the scanner, such as a user name, is still somebody else's.
    names = [name for name in redactor.names_in(text) if not any(one.startswith(name) for one in found)]
    return tuple(dict.fromkeys((*names, *found)))


def _everything(request: UpstreamRequest, accepted: Set[str]) -> str:
    values = [value for value in request.headers.values() if not accepted & set(_basic(value.partition(" ")[2]))]
    headers = "\n".join(values)
    basic = (part for value in values for part in _basic(value.partition(" ")[2]))
    url = request.full_url
    return "\n".join((url, unquote(url), headers, *basic, request.text, unquote(request.text)))


def _basic(encoded: str) -> Iterator[str]:
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return
    yield text
    yield from text.split(":", 1)


def _top_level(content: Any) -> Iterable[Any]:
    return content.values() if isinstance(content, dict) else ()
