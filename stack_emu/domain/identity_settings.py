"""How long an account's identity claims live, whether passports inherit them, and what revoking one takes along."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.identity_claims import READ, WRITE
from stack_emu.domain.identity_records import IdentitySettings, settings_of
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace


class UpdateSettings(Command):
    """What to change; what is left out stays as it is."""

    identity_claim_ttl: Literal["30d", "90d", "180d", "1y"] | None = Field(
        None, description="How long claims verified from now on live: 30d, 90d, 180d or 1y"
    )
    identity_claim_inheritance: Literal["auto", "opt_in"] | None = Field(
        None, description="auto: passports carry every active claim; opt_in: only those named when they are issued"
    )
    identity_auto_revoke: bool | None = Field(
        None, description="Whether revoking a claim revokes the passports that carry it"
    )


class SettingsReply(Reply):
    """The account's identity settings."""

    identity_claim_ttl: str
    identity_claim_inheritance: str
    identity_auto_revoke: bool


def _reply(settings: IdentitySettings) -> SettingsReply:
    return SettingsReply(
        identity_claim_ttl=settings.identity_claim_ttl,
        identity_claim_inheritance=settings.identity_claim_inheritance,
        identity_auto_revoke=settings.identity_auto_revoke,
    )


@operation(
    "identity.get_settings",
    rest=Rest("GET", "/v1/operators/me/identity-settings"),
    tool=Tool("stack_get_identity_settings"),
    auth=Auth(bearers=ACCOUNT, scope=READ),
    source="sdk 4.0.0 identity.get_settings; docs/api/identity",
    grade="documented",
)
def get_settings(ctx: Context, command: Command) -> SettingsReply:
    """Read the account's identity settings."""
    return _reply(settings_of(ctx.world, ctx.operator_id))


@operation(
    "identity.update_settings",
    rest=Rest("PATCH", "/v1/operators/me/identity-settings"),
    tool=Tool("stack_update_identity_settings", idempotent=True),
    auth=Auth(bearers=ACCOUNT, scope=WRITE, role="admin"),
    audit=Audit("identity.settings_update"),
    source="sdk 4.0.0 identity.update_settings; docs/api/identity",
    grade="documented",
)
def update_settings(ctx: Context, command: UpdateSettings) -> SettingsReply:
    """Change the account's identity settings. Claims verified before keep their life, passports their claims."""
    known = settings_of(ctx.world, ctx.operator_id)
    given = command.model_dump(exclude_unset=True)
    changes = {name: value for name, value in given.items() if value != getattr(known, name)}
    ctx.row.set(changed=sorted(changes))
    return _reply(ctx.world.store.put(replace(known, **changes)) if changes else known)
