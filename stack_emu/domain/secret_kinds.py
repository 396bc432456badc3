"""Kinds of secrets, and who may see which: the reply that hands a secret out is the only one that may hold it.

STACK's pages say of each secret that it is shown once or never; what they leave open is decided here for the safer side.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stack_emu.domain.state import Passport
from stack_emu.domain.tokens import TokenError, unverified_claims
from stack_emu.kernel.secret_scan import CREDENTIAL
from stack_emu.kernel.world import World
from stack_emu.scenario.models import ModelRule

API_KEY = "api_key"
PASSPORT = "passport"
AGENT_TOKEN = "agent_token"  # noqa: S105  names of kinds
PRIVATE_KEY = "private_key"
OAUTH = "oauth"
OAUTH_CLIENT = "oauth_client"
WEBHOOK = "webhook"
ENROLLMENT = "enrollment"
FLEET_SESSION = "fleet_session"
GRANT_TOKEN = "grant_token"  # noqa: S105
MODEL_KEY = "model_key"

SHORTEST_MODEL_KEY = 12
"""Characters; a shorter key of a model is a placeholder."""
MOST_MODEL_KEYS = 100
"""How many keys of models a world learns: a client that makes one up for each request teaches no more."""


@dataclass(frozen=True)
class Kind:
    """A kind of secrets.

    Args:
        noun: what one is called in sentences.
        seen_by: who may see it, and when.
    """

    noun: str
    seen_by: str


KINDS: Mapping[str, Kind] = {
    CREDENTIAL: Kind("credential", "the upstream its connection belongs to; an agent by direct retrieval only"),
    API_KEY: Kind("API key", "whoever it is made for, in the reply that makes it"),
    PASSPORT: Kind("passport", "the agent it is for, in the reply that issues it; the model that agent runs"),
    AGENT_TOKEN: Kind("agent JWT", "STACK, as the bearer of the request"),
    PRIVATE_KEY: Kind("private key", "the agent alone; STACK refuses to be sent one"),
    OAUTH: Kind("OAuth code or token", "the client it is for, in the reply or redirect that issues it"),
    OAUTH_CLIENT: Kind("OAuth client secret", "the client, in the reply that registers it"),
    WEBHOOK: Kind("webhook secret", "the operator, in the reply that makes or rotates it"),
    ENROLLMENT: Kind("enrollment ticket", "the agent that enrolls, in the reply that issues it"),
    FLEET_SESSION: Kind("fleet session", "the machine that enrolls, in the reply that begins the session"),
    GRANT_TOKEN: Kind("partner's token", "the partner, in the reply that makes or rotates it"),
    MODEL_KEY: Kind("model's API key", "the model's API, in its header"),
}

PUBLIC_FIELDS = frozenset(
    {"username", "user", "email", "account_id", "account_sid", "instance_url", "region", "subdomain", "domain"}
)
"""Fields of a credential that are no secret: who it is for, and where."""

HANDED_OUT: Mapping[str, frozenset[str]] = {
    "credentials.get": frozenset({CREDENTIAL}),
    "credentials.get_by_connection": frozenset({CREDENTIAL}),
    "delivery_methods.add": frozenset({WEBHOOK}),
    "delivery_methods.rotate_secret": frozenset({WEBHOOK}),
    "fleets.session": frozenset({FLEET_SESSION}),
    "inbound_webhooks.create": frozenset({WEBHOOK}),
    "inbound_webhooks.set_provider_signing_secret": frozenset({WEBHOOK}),
    "missions.renew": frozenset({PASSPORT}),
    "missions.start": frozenset({PASSPORT}),
    "notifications.create": frozenset({WEBHOOK}),
    "oauth.authorize": frozenset({OAUTH}),
    "oauth.device_authorization": frozenset({OAUTH}),
    "oauth.register": frozenset({OAUTH_CLIENT}),
    "oauth.sdk_bootstrap": frozenset({ENROLLMENT}),
    "oauth.token": frozenset({OAUTH, PASSPORT}),
    "partner_connect.connect": frozenset({GRANT_TOKEN}),
    "partner_connect.rotate_token": frozenset({GRANT_TOKEN}),
    "partner_tenants.create": frozenset({API_KEY}),
    "partner_tenants.create_inbound_webhook": frozenset({WEBHOOK}),
    "partner_tenants.issue_passport": frozenset({PASSPORT}),
    "partner_tenants.set_inbound_webhook_signing_secret": frozenset({WEBHOOK}),
    "passports.delegate": frozenset({PASSPORT}),
    "passports.issue": frozenset({PASSPORT}),
    "passports.refresh": frozenset({PASSPORT}),
    "team.accept": frozenset({API_KEY}),
}
"""Operations whose replies hand secrets out, and the kinds they hand out."""

BROUGHT: Mapping[str, frozenset[str]] = {}
"""Fields of operations that are there to bring a secret, beside those declared ``TOKEN`` or ``SECRET``."""

HANDED_OUT_BY_CONTROL: Mapping[str, frozenset[str]] = {
    "GET /_emu/world": frozenset({API_KEY, PASSPORT}),
    "GET /_emu/worlds": frozenset({API_KEY, PASSPORT}),
    "POST /_emu/worlds": frozenset({API_KEY, PASSPORT}),
    "PUT /_emu/world": frozenset({API_KEY, PASSPORT}),
    "POST /_emu/passports": frozenset({PASSPORT}),
    "POST /_emu/team/*/accept": frozenset({API_KEY}),
}
"""Control requests whose purpose is to hand out what a client needs; ``*`` stands for any text."""

HANDED_OUT_BY_PAGES: Mapping[str, frozenset[str]] = {"POST /oauth/consent/*": frozenset({OAUTH, ENROLLMENT})}
"""Pages that hand out a code or a ticket once a person has agreed."""

FOR_MODELS = frozenset({PASSPORT, OAUTH, AGENT_TOKEN})
"""Kinds a model may see: STACK's tools give it passports to call with, and a client's own tokens are the client's."""

_JWT_BEGINNINGS = ("eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi")
_JWT_REST = r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+"


def watch_tokens(world: World) -> None:
    """Let the world's scanner know passports, agents' JWTs and private keys by their form."""
    for prefix in _JWT_BEGINNINGS:
        world.redactor.scanner.add_form(prefix, _JWT_REST, "token", PASSPORT, partial(_token_named, world))
    for label in ("", "EC ", "RSA ", "OPENSSH "):
        beginning = f"-----BEGIN {label}PRIVATE KEY-----"
        world.redactor.scanner.add_form(beginning, r"", "a private key", PRIVATE_KEY)


def learn(world: World, connection_id: str, credential: str | Mapping[str, Any]) -> None:
    """Teach the world's redactor a connection's credential, so that nothing that is kept or sent shows it."""
    if isinstance(credential, str):
        world.redactor.add(credential, connection_id)
        return
    for name, value in credential.items():
        world.redactor.add(str(value), f"{connection_id}.{name}", None if name in PUBLIC_FIELDS else CREDENTIAL)
        for user in credential.values() if name not in PUBLIC_FIELDS else ():
            pair = base64.b64encode(f"{user}:{value}".encode()).decode()  # as basic authentication has it
            world.redactor.look_for(pair, f"{connection_id}.{name}", CREDENTIAL)


def learn_model_key(world: World, key: str) -> None:
    """Teach the world's redactor the key a client calls the model with, when it is seen for the first time.

    Keys of less than twelve characters are taken for placeholders such as ``test``, which would mask ordinary text. What is
    known as another secret already, such as an operator's key, keeps its name. Of one world a hundred keys are learnt.
    """
    scanner = world.redactor.scanner
    if len(key) < SHORTEST_MODEL_KEY or scanner.kind_of(key) is not None or world.redactor.names_in(key):
        return
    if scanner.find(key.encode("utf-8", "surrogatepass")):
        return
    seen = sum(kind == MODEL_KEY for _, _, kind in scanner.known())
    if seen < MOST_MODEL_KEYS:
        world.redactor.add(key, f"model-key:{seen}", MODEL_KEY)


def learn_script_keys(world: World, rules: Iterable[ModelRule]) -> None:
    """Teach the world's redactor the keys that rules of the model ask for."""
    for rule in rules:
        if rule.when.key is not None:
            learn_model_key(world, rule.when.key)


def named(kind: str, name: str) -> str:
    """A secret in a sentence."""
    if kind == CREDENTIAL:
        return f"credential of {name}"
    return name


def _token_named(world: World, text: str) -> tuple[str, str] | None:
    """What a JWT is; None for one that is neither a passport of this world nor an agent's."""
    try:
        claims = unverified_claims(text)
    except TokenError:
        return None
    passport = world.store.get(Passport, str(claims.get("jti", "")))
    if passport is not None:
        return f"passport:{passport.id}", PASSPORT
    if claims.get("iss") == "stack-sdk":
        return f"agent-jwt:{claims.get('sub')}", AGENT_TOKEN
    return None
