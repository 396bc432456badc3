"""A short catalogue of well-known providers: how each takes its credential and under which hosts its API is found.

Facts from the providers' own API references. STACK's catalogue is longer (docs/api/services names 60 and more); what is
not here can be connected as a custom service.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

CUSTOM_PREFIX = "custom_"
SERVICE_PREFIX = "svc_"


@dataclass(frozen=True)
class Injection:
    """Where one part of a credential goes in a request.

    Args:
        where: ``header``, ``basic`` (the header ``Authorization``, Base64 of ``template``) or ``query``.
        template: text with ``{field}`` for fields of the credential; a credential that is one text is ``{credential}``.
        name: name of the header or query parameter.
    """

    where: str
    template: str
    name: str = "Authorization"


BEARER = (Injection("header", "Bearer {credential}"),)


@dataclass(frozen=True)
class Provider:
    """A service that can be connected.

    Args:
        slug: provider key, for example ``slack``.
        name: display name.
        auth: ``oauth`` (an access token) or ``credential`` (keys entered by hand).
        hosts: where its API is; ``{{instance_url}}`` stands for the host of the customer's own instance.
        injections: how its credential is sent.
        fields: fields of a credential that is not one text.
    """

    slug: str
    name: str
    auth: str
    hosts: tuple[str, ...]
    injections: tuple[Injection, ...] = BEARER
    fields: tuple[str, ...] = ()

    @property
    def service_id(self) -> str:
        """Its id in the catalogue."""
        return SERVICE_PREFIX + self.slug


def _header(name: str, template: str = "{credential}") -> tuple[Injection, ...]:
    return (Injection("header", template, name),)


PROVIDERS: tuple[Provider, ...] = (
    Provider("airtable", "Airtable", "oauth", ("api.airtable.com",)),
    Provider("anthropic", "Anthropic", "credential", ("api.anthropic.com",), _header("x-api-key")),
    Provider("asana", "Asana", "oauth", ("app.asana.com",)),
    Provider("cloudflare", "Cloudflare", "credential", ("api.cloudflare.com",)),
    Provider(
        "datadog",
        "Datadog",
        "credential",
        ("api.datadoghq.com", "api.datadoghq.eu"),
        (Injection("header", "{api_key}", "DD-API-KEY"), Injection("header", "{app_key}", "DD-APPLICATION-KEY")),
        ("api_key", "app_key"),
    ),
    Provider("discord", "Discord", "credential", ("discord.com",), _header("Authorization", "Bot {credential}")),
    Provider("dropbox", "Dropbox", "oauth", ("api.dropboxapi.com", "content.dropboxapi.com")),
    Provider("figma", "Figma", "credential", ("api.figma.com",), _header("X-Figma-Token")),
    Provider("github", "GitHub", "oauth", ("api.github.com", "uploads.github.com")),
    Provider("gitlab", "GitLab", "oauth", ("gitlab.com",)),
    Provider("gmail", "Gmail", "oauth", ("gmail.googleapis.com",)),
    Provider("google_calendar", "Google Calendar", "oauth", ("www.googleapis.com",)),
    Provider("google_drive", "Google Drive", "oauth", ("www.googleapis.com",)),
    Provider("hubspot", "HubSpot", "oauth", ("api.hubapi.com",)),
    Provider("intercom", "Intercom", "oauth", ("api.intercom.io",)),
    Provider("jira", "Jira", "oauth", ("api.atlassian.com",)),
    Provider("linear", "Linear", "oauth", ("api.linear.app",)),
    Provider("microsoft_graph", "Microsoft Graph", "oauth", ("graph.microsoft.com",)),
    Provider("notion", "Notion", "oauth", ("api.notion.com",)),
    Provider("openai", "OpenAI", "credential", ("api.openai.com",)),
    Provider(
        "pagerduty",
        "PagerDuty",
        "credential",
        ("api.pagerduty.com",),
        _header("Authorization", "Token token={credential}"),
    ),
    Provider("salesforce", "Salesforce", "oauth", ("{{instance_url}}",)),
    Provider("sendgrid", "SendGrid", "credential", ("api.sendgrid.com",)),
    Provider("shopify", "Shopify", "credential", ("{{instance_url}}",), _header("X-Shopify-Access-Token")),
    Provider("slack", "Slack", "oauth", ("slack.com",)),
    Provider("stripe", "Stripe", "credential", ("api.stripe.com",)),
    Provider(
        "trello",
        "Trello",
        "credential",
        ("api.trello.com",),
        (Injection("query", "{api_key}", "key"), Injection("query", "{token}", "token")),
        ("api_key", "token"),
    ),
    Provider(
        "twilio",
        "Twilio",
        "credential",
        ("api.twilio.com",),
        (Injection("basic", "{account_sid}:{auth_token}"),),
        ("account_sid", "auth_token"),
    ),
    Provider(
        "zendesk",
        "Zendesk",
        "credential",
        ("{{instance_url}}",),
        (Injection("basic", "{email}/token:{api_token}"),),
        ("email", "api_token"),
    ),
)


def provider(slug: str) -> Provider | None:
    """The provider of that key, or None."""
    return next((entry for entry in PROVIDERS if entry.slug == slug), None)


def by_service_id(service_id: str) -> Provider | None:
    """The provider of that catalogue id (``svc_slack``), or None."""
    return next((entry for entry in PROVIDERS if entry.service_id == service_id), None)


def custom_slug(name: str) -> str:
    """The provider key of a custom service: ``Internal CRM`` is ``custom_internal_crm``."""
    return CUSTOM_PREFIX + (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "service")


def injections(slug: str, credential: str | Mapping[str, object]) -> tuple[Injection, ...]:
    """How a provider's credential is sent; what the catalogue does not know goes out as a bearer or basic credential.

    Args:
        slug: provider key.
        credential: text, or fields. Fields the catalogue does not know are sent as basic authentication when they are
            ``username`` and ``password``, as a bearer when there is one field or one is named ``token`` or ``api_key``,
            else as headers so named.
    """
    known = provider(slug)
    fields = () if isinstance(credential, str) else tuple(credential)
    if known is not None and (not fields or set(known.fields) <= set(fields)) and bool(known.fields) == bool(fields):
        return known.injections
    if not fields:
        return BEARER
    if {"username", "password"} <= set(fields):
        return (Injection("basic", "{username}:{password}"),)
    one = fields[0] if len(fields) == 1 else next((name for name in ("token", "api_key") if name in fields), None)
    if one is not None:
        return (Injection("header", f"Bearer {{{one}}}"),)
    return tuple(Injection("header", f"{{{name}}}", name) for name in fields)


def injected(slug: str, credential: str | Mapping[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and query parameters that carry a credential.

    Args:
        slug: provider key.
        credential: text, or fields.
    """
    values = {"credential": credential} if isinstance(credential, str) else credential
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    for injection in injections(slug, credential):
        text = re.sub(r"\{([^{}]+)\}", lambda match: str(values.get(match[1], "")), injection.template)
        if injection.where == "query":
            query[injection.name] = text
        elif injection.where == "basic":
            headers[injection.name] = "Basic " + base64.b64encode(text.encode("utf-8")).decode("ascii")
        else:
            headers[injection.name] = text
    return headers, query
