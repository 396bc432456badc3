"""The device flow (RFC 8628): a program without a browser shows a short code, a person types it in at ``/oauth/device``.

That the command line signs in this way is known; its URLs and figures are not published.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from stack_emu.domain import oauth_consent
from stack_emu.domain import oauth_faults as faults
from stack_emu.domain.authentication import key_digest
from stack_emu.domain.oauth_authorize import require_scopes, require_target
from stack_emu.domain.oauth_clients import (
    DEVICE,
    FROM_HEADER,
    ClientCommand,
    SparseReply,
    asking,
    new_secret,
    proven_client,
    require_grant_type,
)
from stack_emu.domain.oauth_records import DEVICE as DEVICE_KIND
from stack_emu.domain.oauth_records import PENDING, ConsentRequest, DeviceCode
from stack_emu.domain.oauth_urls import issuer_of, mcp_resource_of
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import VOLATILE, Audit, Auth, Caller, Rest, operation
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

PAGE = "/oauth/device"
INTERVAL_SECONDS = 5
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class AuthorizeDevice(ClientCommand):
    """What a device asks for."""

    scope: str | None = Field(None, max_length=2000, description="Scopes asked for; all of the client's when left out")
    resource: Annotated[str | None, VOLATILE] = Field(
        None, description="https://api.getstack.run, this world's URL, or its MCP endpoint"
    )


class DeviceAuthorized(SparseReply):
    """The codes of a device flow."""

    device_code: str = Field(description="What the device polls with")
    user_code: str = Field(description="What the person types in")
    verification_uri: str
    verification_uri_complete: str
    expires_in: int = Field(description="Seconds")
    interval: int = Field(description="Seconds between polls")


def _device(world: World, command: AuthorizeDevice) -> Caller:
    client = proven_client(world, command)
    require_grant_type(client, DEVICE)
    return asking(world, client.id)


@operation(
    "oauth.device_authorization",
    rest=Rest("POST", "/oauth/device_authorization", headers=FROM_HEADER, errors="oauth"),
    auth=Auth(bearers=frozenset(), identify=_device),
    audit=Audit("oauth.device_authorization"),
    source="the command line's device flow is known; path and figures are invented; RFC 8628",
    grade="invented",
)
def authorize_device(ctx: Context, command: AuthorizeDevice) -> DeviceAuthorized:
    """Begin a device flow: a code to poll with, and one for the person to type in within ten minutes.

    Raises:
        Fault: invalid_client, unauthorized_client, invalid_scope or invalid_target.
    """
    client = proven_client(ctx.world, command)
    ctx.row.set(oauth_client=client.id)
    scopes = require_scopes(command.scope, client)
    require_target(ctx, command.resource)
    ctx.row.set(scopes=list(scopes))
    user_code = _user_code(ctx)
    request = oauth_consent.ask(
        ctx,
        {
            "kind": DEVICE_KIND,
            "client_id": client.id,
            "scopes": scopes,
            "resource": command.resource or mcp_resource_of(ctx.origin),
            "issuer": issuer_of(ctx.origin),
            "user_code": user_code,
        },
    )
    device_code = new_secret(ctx.world, ctx.act, "odc_", "oauth-device-code")
    ctx.world.store.put(
        DeviceCode(key_digest(device_code), client.id, request.id, request.expires_at, INTERVAL_SECONDS)
    )
    if request.status != PENDING:
        oauth_consent.outcome(ctx.world, ctx.act, request)
        ctx.row.outcome, ctx.row.error_code = "success", None  # the device's request was good, whatever the answer
    page = f"{issuer_of(ctx.origin)}{PAGE}"
    return DeviceAuthorized(
        device_code=device_code,
        user_code=user_code,
        verification_uri=page,
        verification_uri_complete=f"{page}?user_code={user_code}",
        expires_in=oauth_consent.LIFETIME_MS // 1000,
        interval=INTERVAL_SECONDS,
    )


def _user_code(ctx: Context) -> str:
    """Eight letters that spell nothing and are told apart by eye (RFC 8628, 6.1)."""
    letters = "".join(_LETTERS[ctx.act.new_number("user-code", len(_LETTERS))] for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def by_user_code(world: World, text: str) -> ConsentRequest | None:
    """The open question a person's code belongs to, however it was typed."""
    letters = "".join(letter for letter in text.upper() if letter in _LETTERS)
    code = f"{letters[:4]}-{letters[4:]}"
    found: Iterator[ConsentRequest] = world.store.find(ConsentRequest, user_code=code)
    now = world.now_ms()
    return next((one for one in found if oauth_consent.status_at(one, now) == PENDING), None)


def polled(world: World, client_id: str, device_code: str) -> DeviceCode:
    """A device code whose question is answered with yes.

    While it is not, polling leaves no row: how often a device polls is nothing a program decides.

    Raises:
        Fault: invalid_grant, expired_token, access_denied, authorization_pending or slow_down.
    """
    device = world.store.get(DeviceCode, key_digest(device_code))
    if device is None or device.client_id != client_id:
        raise Fault(faults.INVALID_GRANT, problem="This device_code was not given to this client; begin another flow")
    if device.used:
        raise Fault(faults.INVALID_GRANT, problem="This device_code was exchanged before; begin another flow")
    now = world.now_ms()
    if device.expires_at <= now:
        raise Fault(faults.EXPIRED_TOKEN, problem="This device_code has expired; begin another flow")
    request = world.store.get(ConsentRequest, device.consent_id)
    if request is None or request.status == PENDING:
        _refuse_early(world, device, now)
    if device.grant_id is None:
        raise Fault(faults.ACCESS_DENIED, problem="The person denied this device access")
    return device


def _refuse_early(world: World, device: DeviceCode, now: int) -> None:
    early = device.polled_at is not None and now - device.polled_at < device.interval_seconds * 1000
    seconds = device.interval_seconds + (5 if early else 0)
    world.store.put(replace(device, polled_at=now, interval_seconds=seconds))
    if early:
        raise Fault(faults.SLOW_DOWN, problem=f"Polled too early; wait {seconds} s from now on")
    problem = f"The person has not answered yet; poll again in {seconds} s"
    raise Fault(faults.AUTHORIZATION_PENDING, problem=problem)
