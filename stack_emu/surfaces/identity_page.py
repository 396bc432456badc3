"""The page behind a verification's ``authorization_url``: what would be verified, and buttons to agree or deny.

It stands for the provider's own page. Loopback peers only; nothing on it runs scripts, and its form carries a value of its
own that no other page can read.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from stack_emu.domain import identity_verification as verification
from stack_emu.domain.identity_providers import find
from stack_emu.domain.identity_records import PENDING, VerificationSession
from stack_emu.kernel.errors import Fault
from stack_emu.surfaces import html_page
from stack_emu.surfaces.connector import is_loopback
from stack_emu.surfaces.control import is_loopback_peer
from stack_emu.surfaces.hosts_and_origins import is_of_another_page
from stack_emu.surfaces.rest import read_object

if TYPE_CHECKING:
    from stack_emu.kernel.world import World

_SENTENCES = {
    "approved": "You agreed. The application can complete the verification now.",
    "denied": "You denied. Nothing was verified.",
    "expired": "This verification has expired. Begin another one.",
    "completed": "This verification is complete.",
}
_FOOTER = "A page of stack-emu. It stands for an identity provider; nobody is verified."


async def answer(world: World, request: web.BaseRequest, path: str) -> web.Response:
    """Answer a request for a verification's page, or for the form on it.

    Args:
        world: the world.
        request: the HTTP request.
        path: raw path inside the world.
    """
    if not is_loopback_peer(request.remote):
        return _page(403, "Not served", "This page answers loopback peers only.")
    session = world.store.get(VerificationSession, path.removeprefix(verification.PAGE))
    if session is None:
        return _page(404, "Unknown verification", "There is no such verification in this world.")
    if request.method == "POST":
        return await _decided(world, request, session)
    if request.method not in ("GET", "HEAD"):
        return _page(405, "Not served", "This page is opened with GET and decided with its form.")
    status = verification.status_at(session, world.now_ms())
    if status == PENDING:
        return _form(world, session)
    return _page(200, "Verification", _SENTENCES[status])


async def _decided(world: World, request: web.BaseRequest, session: VerificationSession) -> web.Response:
    try:
        if is_of_another_page(request):
            return _page(403, "Not decided", "This form was sent from another origin; open the page itself.")
        form = await read_object(request)
        decision = form.get("decision")
        if decision not in ("approve", "deny"):
            return _page(400, "Not decided", "The form's decision is approve or deny.")
        session = verification.decide(world, session.id, decision == "approve", csrf=str(form.get("csrf", "")))
    except Fault as fault:
        return _page(fault.status, "Not decided", fault.message)
    target = _return_url(world, session)
    if target is None:
        return _page(200, "Verification", _SENTENCES[session.status])
    return web.Response(status=303, headers={"Location": target, **html_page.headers("")})


def leads_back(world: World, url: str) -> bool:
    """Whether the page may lead to a URL: to loopback, or to an origin the scenario names."""
    if is_loopback(url):
        return True
    return _origin(url) in {str(one).lower() for one in world.settings.get(verification.RETURN_ORIGINS, ())}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _return_url(world: World, session: VerificationSession) -> str | None:
    """Where the browser goes after the decision, or None when it stays."""
    url = session.return_url
    if url is None or not leads_back(world, url):
        return None
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("session_ref", session.id), ("status", session.status)]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), parts.fragment))


def _form(world: World, session: VerificationSession) -> web.Response:
    provider = find(session.provider_key)
    name = provider.name if provider is not None else session.provider_key
    claims = "".join(f"<li><code>{escape(claim)}</code></li>" for claim in session.claim_types)
    url, target = session.return_url, ""
    back = ""
    if url is not None and leads_back(world, url):
        target = _origin(url)
        back = f"<p><small>Afterwards: <code>{escape(url)}</code></small></p>"
    elif url is not None:
        back = (
            f"<p><small>This page does not lead back to <code>{escape(url)}</code>: it is not on loopback, and the "
            "scenario's identity.return_origins do not name its origin.</small></p>"
        )
    body = (
        f"<p>{escape(session.operator_id)} asks {escape(name)} to verify:</p><ul>{claims}</ul>"
        '<form method="post">'
        f'<input type="hidden" name="csrf" value="{escape(session.csrf)}">'
        '<button name="decision" value="approve">Approve</button>'
        '<button name="decision" value="deny">Deny</button>'
        f"</form>{back}"
    )
    return html_page.html(200, f"Verify with {name}", body, target, _FOOTER)


def _page(status: int, title: str, sentence: str) -> web.Response:
    return html_page.html(status, title, f"<p>{escape(sentence)}</p>", "", _FOOTER)
