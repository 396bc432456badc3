"""The identity providers there are: what each verifies, and how surely. Nobody is called: who decides is the scenario."""

from __future__ import annotations

from dataclasses import dataclass

from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.identity_claims import READ
from stack_emu.domain.identity_records import HUMAN, HUMANITY, IDENTITY, PERSON
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Auth, Command, Reply, Rest, Tool, operation

LAYER_OF = {HUMAN: HUMANITY, PERSON: IDENTITY, "age_over_18": IDENTITY, "verified_email": IDENTITY}
"""The layer a type of claim belongs to."""


@dataclass(frozen=True)
class Provider:
    """An identity provider. ``default`` are the claims a verification is for when none are asked for."""

    key: str
    name: str
    assurance: str
    description: str
    default: tuple[str, ...] = (HUMAN, PERSON)
    more: tuple[str, ...] = ("age_over_18",)

    @property
    def claim_types(self) -> tuple[str, ...]:
        """Everything it can verify."""
        return (*self.default, *self.more)

    @property
    def layers(self) -> list[str]:
        """The layers of what it can verify."""
        return list(dict.fromkeys(LAYER_OF[name] for name in self.claim_types))


PROVIDERS = (
    Provider("bankid_se", "BankID (Sweden)", "high", "Sign with Swedish BankID"),
    Provider("persona", "Persona", "substantial", "Identity document and selfie"),
    Provider("stripe_identity", "Stripe Identity", "substantial", "Identity document and selfie"),
    Provider("idnow", "IDnow", "high", "Identity document, checked by video"),
    Provider("oidc", "OpenID Connect", "low", "Sign in at Auth0, Okta or Entra", (PERSON,), ("verified_email",)),
    Provider("cloudflare_turnstile", "Cloudflare Turnstile", "low", "Proof that a person is there", (HUMAN,), ()),
)


class ProviderReply(Reply):
    """A provider, under the names of SDK 4.0.0 and those of the older page."""

    id: str
    key: str
    provider_key: str
    name: str
    layers: list[str]
    supported_layers: list[str]
    claim_types: list[str]
    assurance: str
    assurance_level: str
    description: str


def find(key: str) -> Provider | None:
    """The provider of that key."""
    return next((provider for provider in PROVIDERS if provider.key == key), None)


@operation(
    "identity.list_providers",
    rest=Rest("GET", "/v1/identity/providers"),
    tool=Tool("stack_list_identity_providers"),
    auth=Auth(bearers=ACCOUNT, scope=READ),
    source="sdk 4.0.0 identity.list_providers; docs/api/identity names the providers, what each verifies is invented",
    grade="documented",
)
def list_providers(ctx: Context, command: Command) -> list[ProviderReply]:
    """List the identity providers, with what each verifies and how surely."""
    return [
        ProviderReply(
            id=f"idp_{provider.key}",
            key=provider.key,
            provider_key=provider.key,
            name=provider.name,
            layers=provider.layers,
            supported_layers=provider.layers,
            claim_types=list(provider.claim_types),
            assurance=provider.assurance,
            assurance_level=provider.assurance,
            description=provider.description,
        )
        for provider in PROVIDERS
    ]
