"""The pages on which a person lets a client, a device or an agent's key in. Loopback peers only, no scripts.

A form counts when it carries the value of its own page and, from a browser, comes from this very origin.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from stack_emu.domain import oauth_consent, oauth_device
from stack_emu.domain.oauth_clients import terms_of
from stack_emu.domain.oauth_records import APPROVED, DENIED, DEVICE, ENROLLMENT, PENDING, ConsentRequest, OAuthClient
from stack_emu.domain.oauth_scopes import SCOPES
from stack_emu.domain.state import Agent
from stack_emu.kernel.errors import Fault
from stack_emu.surfaces import html_page
from stack_emu.surfaces.control import is_loopback_peer
from stack_emu.surfaces.hosts_and_origins import is_of_another_page
from stack_emu.surfaces.rest import read_object

if TYPE_CHECKING:
    from stack_emu.kernel.world import World

_FOOTER = "A page of stack-emu. It stands for STACK's consent screen; nothing leaves this machine."
_SENTENCES = {
    APPROVED: "You approved. You can close this page and go back to the application.",
    DENIED: "You denied. Nothing was given out.",
    oauth_consent.EXPIRED: "This request has expired. Ask for another one in the application.",
}


def serves(path: str) -> bool:
    """Whether a path is one of these pages."""
    return path == oauth_device.PAGE or path.startswith(oauth_consent.PAGE)


async def answer(world: World, request: web.BaseRequest, path: str, origin: str) -> web.Response:
    """Answer a request for a page, or for the form on it.

    Args:
        world: the world.
        request: the HTTP request.
        path: raw path inside the world.
        origin: scheme, authority and world prefix the client used.
    """
    if not is_loopback_peer(request.remote):
        return html_page.page(403, "Not served", "This page answers loopback peers only.")
    if request.method not in ("GET", "HEAD", "POST"):
        return html_page.page(405, "Not served", "This page is opened with GET and decided with its form.")
    if request.method == "POST" and path != oauth_device.PAGE:
        return await _decided(world, request, path.removeprefix(oauth_consent.PAGE))
    if path == oauth_device.PAGE:
        if request.method == "POST":
            return html_page.page(405, "Not served", "The code is sent with GET; the page it leads to is decided.")
        return _device(world, request.rel_url.query.get("user_code"), origin)
    asked = world.store.get(ConsentRequest, path.removeprefix(oauth_consent.PAGE))
    if asked is None:
        return html_page.page(404, "Unknown request", "There is no such request in this world.")
    status = oauth_consent.status_at(asked, world.now_ms())
    return _form(world, asked, origin) if status == PENDING else html_page.page(200, "Consent", _SENTENCES[status])


def _device(world: World, user_code: str | None, origin: str) -> web.Response:
    asked = oauth_device.by_user_code(world, user_code) if user_code else None
    if asked is not None:
        return _form(world, asked, origin)
    wrong = "<p>There is no open request with this code.</p>" if user_code else ""
    body = (
        f'{wrong}<form method="get"><label>Code shown on your device '
        '<input name="user_code" autocomplete="off" required></label><p><button>Continue</button></p></form>'
    )
    return html_page.html(404 if user_code else 200, "Connect a device", body, "", _FOOTER)


async def _decided(world: World, request: web.BaseRequest, request_id: str) -> web.Response:
    try:
        if is_of_another_page(request):
            return html_page.page(403, "Not decided", "This form was sent from another origin; open the page itself.")
        form = await read_object(request)
        decision = form.get("decision")
        if decision not in ("approve", "deny"):
            return html_page.page(400, "Not decided", "The form's decision is approve or deny.")
        target = oauth_consent.decide(
            world,
            request_id,
            decision == "approve",
            csrf=str(form.get("csrf", "")),
            operator_id=str(form["operator"]) if "operator" in form else None,
        )
    except Fault as fault:
        return html_page.page(fault.status, "Not decided", fault.message)
    if target is None:
        return html_page.page(200, "Consent", _SENTENCES[APPROVED if decision == "approve" else DENIED])
    return web.Response(status=303, headers={**html_page.headers(""), "Location": target})


def _form(world: World, asked: ConsentRequest, origin: str) -> web.Response:
    title, question = _question(world, asked)
    afterwards = ""
    if asked.kind != DEVICE:
        afterwards = f"<p><small>Afterwards: <code>{escape(asked.redirect_uri)}</code></small></p>"
    body = (
        f'{question}<form method="post" action="{escape(origin)}{oauth_consent.PAGE}{escape(asked.id)}">'
        f'<input type="hidden" name="csrf" value="{escape(asked.csrf)}">{_accounts(world, asked)}'
        '<button name="decision" value="approve">Approve</button>'
        '<button name="decision" value="deny">Deny</button></form>'
        f"<p><small>Good until {escape(oauth_consent.expiry_text(asked))}.</small></p>{afterwards}"
    )
    target = "" if asked.kind == DEVICE else html_page.source_of(asked.redirect_uri)
    return html_page.html(200, title, body, target, _FOOTER)


def _question(world: World, asked: ConsentRequest) -> tuple[str, str]:
    if asked.kind == ENROLLMENT:
        agent = world.store.get(Agent, asked.agent_id or "")
        name = agent.name if agent is not None else asked.agent_id or ""
        where = f"<p>Program <code>{escape(asked.process or '-')}</code> on <code>{escape(asked.machine or '-')}</code>"
        return "Enroll an agent's key", (
            f"<p>A program asks to act as agent <b>{escape(name)}</b> (<code>{escape(asked.agent_id or '')}</code>) "
            f"with a key of its own.</p>{where}</p>"
        )
    client = world.store.get(OAuthClient, asked.client_id)
    name = client.name if client is not None else asked.client_id
    scopes = "".join(f"<li>{escape(SCOPES.get(one, one))} <code>{escape(one)}</code></li>" for one in asked.scopes)
    code = f"<p>Code: <code>{escape(asked.user_code)}</code></p>" if asked.user_code else ""
    account = f"the account <code>{escape(asked.operator_id)}</code>" if asked.operator_id else "your account"
    return f"Let {name} in?", f"{code}<p><b>{escape(name)}</b> asks to do this in {account}:</p><ul>{scopes}</ul>"


def _accounts(world: World, asked: ConsentRequest) -> str:
    if asked.operator_id is not None:
        return ""
    choices = "".join(
        f'<label><input type="radio" name="operator" value="{escape(one)}" required> {escape(one)}</label>'
        for one in terms_of(world).operators
    )
    return f"<fieldset><legend>Account</legend>{choices}</fieldset>"
