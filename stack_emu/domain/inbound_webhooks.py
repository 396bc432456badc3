"""Inbound webhooks: URLs at STACK that providers call for an agent; what they send is checked and passed on.

The plain functions ``create_webhook``, ``set_secret``, ``list_webhooks``, ``require_webhook`` and ``revoke_webhook`` do the
work for whichever account is named; the operations here name the caller's own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from stack_emu.domain import deliveries, faults
from stack_emu.domain.agents import require_agent
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.destinations import WEB_ADDRESS, is_web_address
from stack_emu.domain.secret_kinds import WEBHOOK
from stack_emu.domain.tokens import base64url
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, Audit, Auth, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

AGENTMAIL, GENERIC = "agentmail", "generic"
PATH = "/v1/webhooks/inbound/"
Algorithm = Literal["hmac-sha256", "hmac-sha1"]
_READ = Auth(bearers=ACCOUNT, scope="webhooks:read")
_WRITE = Auth(bearers=ACCOUNT, scope="webhooks:write", role="admin")


@dataclass(frozen=True)
class InboundWebhook:
    """A URL for a provider. ``slug`` is its last segment, ``config`` how a generic provider signs.

    What is passed on is signed with the ``SigningSecret`` of its id, the downstream secret.
    """

    TABLE: ClassVar[str] = "inbound_webhooks"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "slug")
    id: str
    operator_id: str
    agent_id: str
    provider: str
    slug: str
    created_at: int
    forward_url: str | None = None
    config: Mapping[str, Any] | None = None
    incoming_secret: str | None = None
    revoked_at: int | None = None


class GenericConfig(Command):
    """How a generic provider signs: HMAC over the raw body, in hex or base64."""

    signature_header: str = Field(
        "X-Signature", pattern=r"^[A-Za-z0-9-]{1,100}$", description="Header of the signature"
    )
    signature_algorithm: Algorithm | None = Field(None, description="hmac-sha256, which is the default, or hmac-sha1")
    algorithm: Algorithm | None = Field(None, description="The same under a shorter name")
    delivery_id_header: str = Field(
        "X-Delivery-Id", pattern=r"^[A-Za-z0-9-]{1,100}$", description="Header by which repeated deliveries are known"
    )
    timestamp_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,100}$",
        description="Header of the Unix time; with it <time>.<body> is what is signed, at most five minutes ago",
    )


class WebhookTerms(Command):
    """What an inbound webhook shall be."""

    provider: Literal["agentmail", "generic"] = Field(description="Who calls it: agentmail or generic")
    agent_id: str = Field(description="Agent it is for (agt_…)")
    forward_url: str | None = Field(
        None,
        max_length=2048,
        description="Where what arrives is passed on to; without it, it is kept",
        json_schema_extra=written_as(pattern=WEB_ADDRESS),
    )
    generic_config: GenericConfig | None = Field(None, description="With generic: how the provider signs")


class WebhookById(Command):
    """Names an inbound webhook."""

    webhook_id: str = Field(description="Inbound webhook id (iwh_…)")


class SecretTerms(Command):
    """The secrets of an inbound webhook."""

    signing_secret: Annotated[str, SECRET] = Field(
        min_length=16, max_length=512, description="What the provider signs with"
    )
    downstream_signing_secret: Annotated[str | None, SECRET] = Field(
        None, min_length=16, max_length=512, description="What to sign with when passing on; made anew for generic"
    )


class SetSecret(SecretTerms, WebhookById):
    """An inbound webhook and its secrets."""


class WebhookReply(Reply):
    """An inbound webhook, without its secrets."""

    id: str
    operator_id: str
    provider: str
    slug: str
    webhook_url: str
    agent_id: str
    forward_url: str | None
    generic_config: dict[str, Any] | None
    status: str = Field(description="active, awaiting_secret until the provider's secret is set, or revoked")
    created_at: str
    revoked_at: str | None


class CreatedWebhook(WebhookReply):
    """A new inbound webhook with its secrets, which are shown this once."""

    webhook_secret: str = Field(description="What is passed on is signed with it")
    incoming_signing_secret: str | None = Field(description="With generic: what the provider shall sign with")


class WebhookList(Reply):
    """The account's inbound webhooks."""

    webhooks: list[WebhookReply]


class SecretReply(Reply):
    """Secrets that were set. ``webhook_secret`` is the new downstream secret where one was made, shown this once."""

    id: str
    provider: str
    status: str
    webhook_secret: str | None
    updated_at: str


class RevokedWebhook(Reply):
    """An inbound webhook that answers no more."""

    id: str
    revoked: bool
    revoked_at: str


def subject_webhook(world: World, command: Any) -> str | None:
    """The agent of the webhook a command names."""
    found = world.store.get(InboundWebhook, command.webhook_id)
    return found.agent_id if found is not None else None


def create_webhook(ctx: Context, operator_id: str, terms: WebhookTerms) -> CreatedWebhook:
    """Make an inbound webhook for an agent of an account.

    Args:
        ctx: the call.
        operator_id: the account the agent and the webhook belong to.
        terms: what it shall be.

    Raises:
        Fault: NOT_FOUND for the agent, INVALID_REQUEST for a forward_url that is none, or generic_config with agentmail.
    """
    agent = require_agent(ctx.world, operator_id, terms.agent_id)
    if terms.forward_url is not None and not is_web_address(terms.forward_url):
        raise _invalid("forward_url", "it must be a URL such as http://127.0.0.1:9000/hook")
    if terms.provider == AGENTMAIL and terms.generic_config is not None:
        raise _invalid("generic_config", "it goes with the provider generic; agentmail always signs the same way")
    generic = terms.provider == GENERIC
    incoming = "whsec_" + base64url(ctx.act.new_bytes("incoming-secret")) if generic else None
    made = InboundWebhook(
        id=ctx.act.new_id("inbound-webhook", "iwh_"),
        operator_id=operator_id,
        agent_id=agent.id,
        provider=terms.provider,
        slug=ctx.act.new_id("inbound-slug", "in", 32),
        created_at=ctx.stamp_ms,
        forward_url=terms.forward_url,
        config=_config(terms.generic_config or GenericConfig()) if generic else None,
        incoming_secret=incoming,
    )
    ctx.world.store.put(made)
    if incoming is not None:
        ctx.world.redactor.add(incoming, f"incoming-secret:{made.id}", WEBHOOK)
    secret = deliveries.new_secret(ctx.world, ctx.act, made.id)
    ctx.row.set(agent_id=agent.id, webhook=made.id, via=made.provider)
    shown = describe(made, ctx.origin).model_dump()
    return CreatedWebhook(**shown, webhook_secret=secret, incoming_signing_secret=incoming)


def _config(given: GenericConfig) -> dict[str, Any]:
    return {
        "signature_header": given.signature_header,
        "signature_algorithm": given.signature_algorithm or given.algorithm or "hmac-sha256",
        "delivery_id_header": given.delivery_id_header,
        "timestamp_header": given.timestamp_header,
    }


def set_secret(
    ctx: Context, operator_id: str, webhook_id: str, signing_secret: str, downstream: str | None = None
) -> SecretReply:
    """Set what a provider signs with, and what is passed on is signed with.

    Args:
        ctx: the call.
        operator_id: the account of the webhook.
        webhook_id: which.
        signing_secret: the provider's; agentmail's is whsec_ and base64.
        downstream: for passing on; a generic webhook gets a new one when it is left out, another one keeps its own.

    Raises:
        Fault: NOT_FOUND, CONFLICT for a revoked webhook, INVALID_REQUEST for a secret agentmail never gives.
    """
    webhook = require_webhook(ctx, operator_id, webhook_id)
    if webhook.revoked_at is not None:
        raise Fault(faults.CONFLICT, problem=f"Inbound webhook {webhook.id} is revoked; create another one")
    if webhook.provider == AGENTMAIL and svix_key(signing_secret) is None:
        raise _invalid("signing_secret", "agentmail's begins with whsec_, followed by base64")
    ctx.world.redactor.add(signing_secret, f"incoming-secret:{webhook.id}", WEBHOOK)
    done = ctx.world.store.put(replace(webhook, incoming_secret=signing_secret))
    made = None
    if downstream is not None:
        deliveries.keep_secret(ctx.world, webhook.id, downstream)
    elif webhook.provider == GENERIC:
        made = deliveries.new_secret(ctx.world, ctx.act, webhook.id)
    return SecretReply(
        id=done.id, provider=done.provider, status=status_of(done), webhook_secret=made, updated_at=iso(ctx.stamp_ms)
    )


def svix_key(secret: str) -> bytes | None:
    """The key in a secret of the form ``whsec_<base64>``, the prefix being optional; None when it is no such secret."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def list_webhooks(ctx: Context, operator_id: str) -> WebhookList:
    """An account's inbound webhooks, oldest first, the revoked ones too."""
    found = ctx.world.store.find(InboundWebhook, operator_id=operator_id)
    return WebhookList(webhooks=[describe(webhook, ctx.origin) for webhook in found])


def require_webhook(ctx: Context, operator_id: str, webhook_id: str) -> InboundWebhook:
    """An inbound webhook of an account.

    Raises:
        Fault: NOT_FOUND.
    """
    found = ctx.world.store.get(InboundWebhook, webhook_id)
    if found is None or found.operator_id != operator_id:
        raise Fault(faults.NOT_FOUND, what="Inbound webhook", id=webhook_id)
    if ctx.maybe_act is not None:
        ctx.row.set(agent_id=found.agent_id, webhook=found.id, via=found.provider)
    return found


def revoke_webhook(ctx: Context, operator_id: str, webhook_id: str) -> RevokedWebhook:
    """Let an inbound webhook answer no more; doing it again changes nothing.

    Raises:
        Fault: NOT_FOUND.
    """
    webhook = require_webhook(ctx, operator_id, webhook_id)
    revoked_at = webhook.revoked_at
    if revoked_at is None:
        revoked_at = ctx.stamp_ms
        end_webhook(ctx, webhook)
    else:
        ctx.row.set(repeated=True)
    return RevokedWebhook(id=webhook.id, revoked=True, revoked_at=iso(revoked_at))


def end_webhook(ctx: Context, webhook: InboundWebhook) -> None:
    """Let a live webhook answer no more, and forget its secrets."""
    ctx.world.store.put(replace(webhook, revoked_at=ctx.stamp_ms, incoming_secret=None))
    ctx.world.store.delete(deliveries.SigningSecret, webhook.id)


def status_of(webhook: InboundWebhook) -> str:
    """Whether a webhook takes anything in: active, awaiting_secret or revoked."""
    if webhook.revoked_at is not None:
        return "revoked"
    return "active" if webhook.incoming_secret is not None else "awaiting_secret"


def describe(webhook: InboundWebhook, origin: str) -> WebhookReply:
    """An inbound webhook as replies show it; its URL follows the authority the client used."""
    return WebhookReply(
        id=webhook.id,
        operator_id=webhook.operator_id,
        provider=webhook.provider,
        slug=webhook.slug,
        webhook_url=f"{origin}{PATH}{webhook.slug}",
        agent_id=webhook.agent_id,
        forward_url=webhook.forward_url,
        generic_config=None if webhook.config is None else dict(webhook.config),
        status=status_of(webhook),
        created_at=iso(webhook.created_at),
        revoked_at=None if webhook.revoked_at is None else iso(webhook.revoked_at),
    )


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, details={"fields": {field: problem}}, problem=f"{field}: {problem}")


@operation(
    "inbound_webhooks.create",
    rest=Rest("POST", "/v1/operator/inbound-webhooks", status=201),
    tool=Tool("stack_create_inbound_webhook"),
    auth=_WRITE,
    audit=Audit("inbound_webhook.create"),
    subject=lambda world, command: command.agent_id,
    source="sdk 4.0.0 inbound_webhooks.create; fields of generic_config are invented",
    grade="documented",
)
def create_inbound_webhook(ctx: Context, command: WebhookTerms) -> CreatedWebhook:
    """Make a URL that a provider calls for an agent. Its secrets are in this reply only.

    A generic provider signs with the incoming secret; agentmail's own secret is to be set before anything is taken in.

    Raises:
        Fault: NOT_FOUND for the agent, INVALID_REQUEST.
    """
    return create_webhook(ctx, ctx.operator_id, command)


@operation(
    "inbound_webhooks.list",
    rest=Rest("GET", "/v1/operator/inbound-webhooks"),
    tool=Tool("stack_list_inbound_webhooks"),
    auth=_READ,
    source="sdk 4.0.0 inbound_webhooks.list",
    grade="documented",
)
def list_inbound_webhooks(ctx: Context, command: Command) -> WebhookList:
    """List the account's inbound webhooks, oldest first, the revoked ones too; never their secrets."""
    return list_webhooks(ctx, ctx.operator_id)


@operation(
    "inbound_webhooks.get",
    rest=Rest("GET", "/v1/operator/inbound-webhooks/{webhook_id}"),
    tool=Tool("stack_get_inbound_webhook"),
    auth=_READ,
    source="sdk 4.0.0 inbound_webhooks.get",
    grade="documented",
)
def get_inbound_webhook(ctx: Context, command: WebhookById) -> WebhookReply:
    """Get an inbound webhook; never its secrets.

    Raises:
        Fault: NOT_FOUND.
    """
    return describe(require_webhook(ctx, ctx.operator_id, command.webhook_id), ctx.origin)


@operation(
    "inbound_webhooks.set_provider_signing_secret",
    rest=Rest("PUT", "/v1/operator/inbound-webhooks/{webhook_id}/provider-signing-secret"),
    tool=Tool("stack_set_inbound_webhook_signing_secret"),
    auth=_WRITE,
    audit=Audit("inbound_webhook.set_secret"),
    subject=subject_webhook,
    source="sdk 4.0.0 inbound_webhooks.set_provider_signing_secret; the reply's shape is not published",
    grade="documented",
)
def set_inbound_webhook_signing_secret(ctx: Context, command: SetSecret) -> SecretReply:
    """Set the secret a provider signs with. A generic webhook gets a new downstream secret unless one is given.

    Raises:
        Fault: NOT_FOUND, CONFLICT for a revoked webhook, INVALID_REQUEST for a secret agentmail never gives.
    """
    return set_secret(
        ctx, ctx.operator_id, command.webhook_id, command.signing_secret, command.downstream_signing_secret
    )


@operation(
    "inbound_webhooks.revoke",
    rest=Rest("DELETE", "/v1/operator/inbound-webhooks/{webhook_id}"),
    tool=Tool("stack_revoke_inbound_webhook", destructive=True, idempotent=True),
    auth=_WRITE,
    audit=Audit("inbound_webhook.revoke"),
    subject=subject_webhook,
    source="sdk 4.0.0 inbound_webhooks.revoke; the reply's shape is not published",
    grade="documented",
)
def revoke_inbound_webhook(ctx: Context, command: WebhookById) -> RevokedWebhook:
    """Revoke an inbound webhook: its URL answers 404 from now on, and what waits to be passed on is dropped.

    Raises:
        Fault: NOT_FOUND.
    """
    return revoke_webhook(ctx, ctx.operator_id, command.webhook_id)
