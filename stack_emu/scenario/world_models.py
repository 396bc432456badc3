"""What exists when a world starts: operators, agents, services with their grants, missions and passports.

Names, limits and allowed values are STACK's own: the agent name rule and the modes of `docs/api/agents`, the key roles
of `docs/api/team`, the constraint operators and limits of `docs/concepts/constraints`, the `ms_` prefix the SDK 4.0.0
looks for in mission errors (`errors.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stack_emu.scenario.values import MAX_INTEGER, Duration, Flag, Identifier, Int, Json, Model, Offset, SinceStart

DEFAULT_OPERATOR_ID = "op_emu"
"""The operator of a scenario that names none."""

DEFAULT_OPERATOR_KEY = "sk_live_emu_operator"
"""The key of an operator that lists none."""

AGENT_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]*[a-z0-9]$"
KEY_PATTERN = r"^sk_live_[A-Za-z0-9_-]+$"
MISSION_ID_PATTERN = r"^ms_[A-Za-z0-9_-]+$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

Count = Annotated[Int, Field(ge=0, le=MAX_INTEGER)]
Tier = Literal["free", "developer", "studio", "enterprise", "partner"]
KeyRole = Literal["operator", "readonly", "standard", "admin"]
ConstraintOp = Literal["eq", "not_eq", "in", "not_in", "matches", "starts_with"]


class OperatorKey(Model):
    """One API key. The role `operator` is the master key; the others are keys of team members."""

    key: Annotated[
        str,
        Field(
            pattern=KEY_PATTERN,
            max_length=128,
            description="The API key itself: sk_live_ and then letters, digits, _ or -.",
        ),
    ]
    role: KeyRole = Field(
        "operator", description="What the key may do: operator (everything), admin, standard or readonly."
    )
    member: str | None = Field(
        None, description="E-mail address of the team member the key belongs to; not for the role operator."
    )
    allowed_connections: tuple[str, ...] | None = Field(
        None, description="Ids of the services a member key is limited to; left out means all."
    )


class PartnerTerms(Model):
    """What an operator that is a partner has agreed with STACK."""

    tenants: Annotated[Int, Field(ge=0)] | None = Field(None, description="Most tenants; no limit when left out.")
    allowance: Annotated[Int, Field(ge=0)] | None = Field(
        None, description="Proxied calls a month for the partner and its tenants together; no limit when left out."
    )
    active: Flag = Field(True, description="Whether the billing account is in order; false suspends it.")

    @model_validator(mode="before")
    @classmethod
    def _accept_true(cls, value: object) -> object:
        """`partner: true` is short for a partner without limits."""
        return {} if value is True else value


class Usage(Model):
    """What an account has used of its month when the world starts, so that limits are near."""

    passports: Count = Field(0, description="Passports issued.")
    proxy_calls: Count = Field(0, description="Proxied calls.")
    llm_calls: Count = Field(0, description="Calls of the LLM gateway.")
    dropoffs: Count = Field(0, description="Drop-offs.")
    skill_invocations: Count = Field(0, description="Skill invocations.")
    scans: Count = Field(0, description="Scans.")


class Operator(Model):
    """One STACK customer: it owns agents, services and an audit chain."""

    id: Identifier = Field(DEFAULT_OPERATOR_ID, description="The operator's id, such as op_acme; op_emu when left out.")
    name: str | None = Field(None, description="Display name.")
    email: str | None = Field(None, description="The operator's own e-mail address.")
    tier: Tier = Field(
        "studio", description="The plan, which decides limits: free, developer, studio, enterprise or partner."
    )
    partner: PartnerTerms | None = Field(
        None, description="true, or limits: the operator is a partner that may have tenants and connect customers."
    )
    tenant_of: str | None = Field(None, description="Id of the partner whose white-label tenant the operator is.")
    wallet_cents: Count = Field(0, description="What the wallet holds when the world starts, in cents.")
    usage: Usage = Field(Usage.model_construct(), description="What was used of the month before the world starts.")
    keys: Annotated[
        tuple[OperatorKey, ...],
        Field(
            min_length=1, description="The API keys that exist; one operator key, sk_live_emu_operator, when left out."
        ),
    ] = (OperatorKey.model_construct(key=DEFAULT_OPERATOR_KEY, role="operator"),)


class Agent(Model):
    """One registered agent. Fields left out take STACK's defaults, or those of `profile`."""

    id: Identifier | None = Field(
        None, description="The agent's id, such as agent_deploy_bot; derived from the seed when left out."
    )
    name: Annotated[
        str,
        Field(
            pattern=AGENT_NAME_PATTERN,
            max_length=64,
            description="Lower-case letters, digits and inner hyphens, 2 to 64 characters.",
        ),
    ]
    operator: str | None = Field(
        None, description="Id of the operator that owns the agent; the first one when left out."
    )
    description: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="What the agent is for, up to 256 characters."
    )
    profile: str | None = Field(
        None, description="A STACK profile such as proxied-llm-bot; fields given explicitly win over it."
    )
    accountability_mode: Literal["enforced", "logged", "standard"] | None = Field(
        None, description="enforced (checkpoints, auto-revoke), logged or standard."
    )
    credential_access: Literal["direct", "proxy_preferred", "proxy_only"] | None = Field(
        None, description="Whether the agent may fetch credentials itself: direct, proxy_preferred or proxy_only."
    )
    key_mode: Literal["stack_managed", "customer_managed", "co_signed"] | None = Field(
        None, description="Who holds the agent's signing key."
    )
    on_warning: Literal["notify", "block"] | None = Field(None, description="What a warning signal does to the agent.")
    on_critical: Literal["notify", "block"] | None = Field(
        None, description="What a critical signal does to the agent."
    )
    icon_url: Annotated[str, Field(max_length=100_000)] | None = Field(None, description="URL or data URI of an icon.")
    llm_inject_system_prompt: Flag | None = Field(
        None, description="Whether STACK's LLM gateway adds its system prompt."
    )
    llm_redact_pii: Flag | None = Field(None, description="Whether STACK's LLM gateway redacts personal data.")
    skill_access_mode: Literal["any", "own", "none"] | None = Field(
        None, description="Skills the agent may invoke: any, own (the operator's own) or none."
    )
    allowed_skills: tuple[str, ...] | None = Field(
        None, description="Ids of the only skills the agent may invoke; * stands for every skill."
    )


class Credential(Model):
    """The secret of a service connection; without `text` and `fields` a canary, unique and derived from the seed."""

    text: str | None = Field(None, description="The secret as one text.")
    fields: Annotated[dict[str, str], Field(min_length=1)] | None = Field(
        None, description="The secret as named fields; the value canary asks for a unique one."
    )
    expires: Offset | None = Field(
        None, description="When the credential stops working, as an offset from the world's start."
    )

    @property
    def is_canary(self) -> bool:
        """Whether the whole secret is derived from the seed instead of given."""
        return self.text is None and self.fields is None

    @model_validator(mode="before")
    @classmethod
    def _accept_text(cls, value: object) -> object:
        """`credential: canary` and `credential: xoxb-1` are short for the object form."""
        if value == "canary":
            return {}
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_form(self) -> Credential:
        if self.text is not None and self.fields is not None:
            raise ValueError("a credential is either text or fields; remove one of them")
        return self


class Constraint(Model):
    """A condition that every proxied call under a grant must meet."""

    path: Annotated[str, Field(min_length=1)] = Field(
        description="Part of the call: method, url.pathname, url.host, url.origin, headers.<name>, query.<key> or "
        "body.<dotted.path>."
    )
    op: ConstraintOp = Field(description="How to compare: eq, not_eq, in, not_in, matches (RE2) or starts_with.")
    value: Json = Field(
        description="What to compare with: a list for in and not_in, a pattern of at most 256 characters for matches."
    )


class IntentUse(Model):
    """A named intent with its parameters, which expands to constraints."""

    name: str = Field(description="Name of an intent the service declares, such as slack.post_to_channel.")
    params: dict[str, Json] = Field(default_factory=dict, description="Values for the intent's parameters.")


class IntentDefinition(Model):
    """A named intent a service offers."""

    name: str = Field(description="The intent's name, such as slack.post_to_channel.")
    description: str | None = Field(None, description="What the intent allows.")
    params: tuple[str, ...] = Field((), description="Names of the parameters a grant must give.")
    constraints: tuple[Constraint, ...] = Field(
        (), description='The constraints it expands to; "{{ params.channel }}" stands for a parameter.'
    )


class Grant(Model):
    """What one agent may do with a service."""

    agent: str = Field(description="Id or name of the agent.")
    scopes: tuple[str, ...] | None = Field(
        None, description="The scopes granted; all of the service's scopes when left out."
    )
    constraints: Annotated[tuple[Constraint, ...], Field(max_length=32)] = Field(
        (), description="Conditions every call must meet, at most 32."
    )
    intents: tuple[IntentUse, ...] = Field(
        (), description="Named intents, expanded to constraints when the grant is made."
    )


class Service(Model):
    """One connected service: a credential in the vault and who may use it."""

    id: Identifier | None = Field(
        None, description="The connection's id, such as scon_slack; derived from the seed when left out."
    )
    provider: Identifier = Field(
        description="The provider's key, such as slack; custom services use a key of their own."
    )
    name: str | None = Field(None, description="Display name.")
    description: str | None = Field(None, description="What the connection is for.")
    operator: str | None = Field(
        None, description="Id of the operator that owns the connection; the first one when left out."
    )
    credential: Credential = Field(
        Credential.model_construct(), description="canary (the default: a unique secret), a text, or {fields, expires}."
    )
    scopes: tuple[str, ...] = Field((), description="The scopes the connection has.")
    upstream: str | None = Field(
        None,
        description="Name of the upstream that belongs to this service; the one named like the provider when left out.",
    )
    instance_url: str | None = Field(None, description="What the proxy puts in place of {{instance_url}}.")
    account_id: str | None = Field(None, description="What the proxy puts in place of {{account_id}}.")
    intents: tuple[IntentDefinition, ...] = Field((), description="Named intents the service offers.")
    grants: tuple[Grant, ...] = Field((), description="Which agents may use the service, and how far.")


class Mission(Model):
    """An open mission at the world's start."""

    id: Annotated[str, Field(pattern=MISSION_ID_PATTERN, max_length=128)] | None = Field(
        None, description="The mission's id, starting with ms_; derived from the seed when left out."
    )
    agent: str = Field(description="Id or name of the agent the mission is for.")
    intent: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="What the mission is to achieve, up to 500 characters."
    )
    services: tuple[str, ...] = Field((), description="Providers or service ids the mission will use.")
    expires: SinceStart = Field(
        86_400_000, description="How long the mission lives from the world's start; 24h when left out."
    )


class Passport(Model):
    """A passport minted when the world starts."""

    id: Identifier | None = Field(
        None, description="The passport's jti, such as pp_deploy; derived from the seed when left out."
    )
    agent: str = Field(description="Id or name of the agent.")
    mission: str | None = Field(None, description="Id of the mission; needed unless compat is docs-2026-05.")
    ttl: Duration = Field(900_000, description="Lifetime, 60s to 3600s; 15m when left out.")
    services: tuple[str, ...] | None = Field(
        None, description="Providers or service ids to include; all the agent's grants when left out."
    )
    intent: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="What the passport is for; the mission's intent when left out."
    )
    checkpoint_interval: Duration | None = Field(
        None, description="How often the agent must check in, 60s to 3600s; 300s when left out."
    )
    env: Annotated[str, Field(pattern=ENV_PATTERN)] | None = Field(
        None, description="Environment variable in which exec and env hand the token to the agent."
    )
