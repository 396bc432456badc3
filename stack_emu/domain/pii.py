"""Personal data: what the LLM gateway takes out of the texts that pass it, and the account's settings for that.

Two dials (sdk 4.0.0 pii_config): how sure the scanner has to be, and the countries whose identifiers it looks for. More
redaction can be set by anybody who may change settings; less waits for a human.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from stack_emu.domain import governance
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.pii_redaction import DEFAULT_THRESHOLD, PiiSettings, redact, redact_json, settings_of
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.store import replace

__all__ = ["PiiSettings", "redact", "redact_json", "settings_of"]

_SUBJECT = "pii_config"
_HEADERS = {governance.HEADER: "governance_approval_id"}
_WRITE = Auth(bearers=ACCOUNT, scope="agents:write", role="admin")
_DIALS = ("enabled", "threshold", "countries")


class PiiConfigReply(Reply):
    """The settings in force."""

    configured: bool = Field(description="Whether the account has settings of its own")
    enabled: bool
    threshold: float = Field(description="Confidence needed to redact, from 0 to 1")
    countries: list[str] | None = Field(description="Countries whose identifiers are looked for; null for all")
    updated_at: str | None


class ReadPiiConfig(Command):
    """Nothing to say."""


class UpdatePiiConfig(Command):
    """What to change; null in threshold or countries returns to the default."""

    enabled: bool = Field(True, description="Whether anything is redacted")
    threshold: float | None = Field(None, ge=0, le=1, description="Confidence needed, 0 to 1; higher redacts less")
    countries: list[str] | None = Field(
        None,
        max_length=250,
        description="ISO 3166-1 alpha-2 codes; null for all",
        json_schema_extra=written_as(items={"type": "string", "pattern": "^[A-Za-z]{2}$"}),
    )
    governance_approval_id: str | None = Field(
        None, description="Approval id (gvr_…) a refused change was answered with"
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """Null clears the two dials that have a default to return to, and is absent anywhere else."""
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None or key in ("threshold", "countries")}
        return data

    @field_validator("countries")
    @classmethod
    def _codes(cls, countries: list[str] | None) -> list[str] | None:
        if countries is None:
            return None
        codes = sorted({country.upper() for country in countries})
        wrong = [code for code in codes if len(code) != 2 or not (code.isascii() and code.isalpha())]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: use ISO 3166-1 alpha-2 codes such as SE")
        return codes


class ResetPiiConfig(Command):
    """Nothing to say but who agreed."""

    governance_approval_id: str | None = Field(
        None, description="Approval id (gvr_…) a refused reset was answered with"
    )


@operation(
    "pii_config.get",
    rest=Rest("GET", "/v1/pii/config"),
    tool=Tool("stack_get_pii_config"),
    auth=Auth(bearers=ACCOUNT, scope="agents:read"),
    source="sdk 4.0.0 pii_config.get",
    grade="documented",
)
def get_pii_config(ctx: Context, command: ReadPiiConfig) -> PiiConfigReply:
    """Read the settings in force; an account that has set nothing gets the defaults."""
    return _reply(ctx, settings_of(ctx.world, ctx.operator_id))


@operation(
    "pii_config.update",
    rest=Rest("PUT", "/v1/pii/config", headers=_HEADERS),
    tool=Tool("stack_update_pii_config", idempotent=True),
    auth=_WRITE,
    audit=Audit("pii_config.update"),
    source="sdk 4.0.0 pii_config.update",
    grade="documented",
)
def update_pii_config(ctx: Context, command: UpdatePiiConfig) -> PiiConfigReply | Refused:
    """Change some of the settings. Redacting less (off, a higher threshold, fewer countries) waits for a human.

    Raises:
        Fault: INVALID_REQUEST, GOVERNANCE_APPROVAL_REQUIRED.
    """
    old = settings_of(ctx.world, ctx.operator_id)
    given: dict[str, Any] = {name: getattr(command, name) for name in _DIALS if name in command.model_fields_set}
    ctx.row.set(changed=sorted(given) or None)
    if given.get("countries") is not None:
        given["countries"] = tuple(given["countries"])
    new = replace(old, updated_at=ctx.stamp_ms, **given)
    if _loosens(old, new):
        subject, change = governance.described(_SUBJECT, "PII redaction", given)
        waiting = governance.gate(ctx, subject=subject, change=change, approval_id=command.governance_approval_id)
        if waiting is not None:
            return waiting
    ctx.world.store.put(new)
    return _reply(ctx, new)


@operation(
    "pii_config.reset",
    rest=Rest("DELETE", "/v1/pii/config", headers=_HEADERS),
    tool=Tool("stack_reset_pii_config", destructive=True),
    auth=_WRITE,
    audit=Audit("pii_config.reset"),
    source="sdk 4.0.0 pii_config.reset",
    grade="documented",
)
def reset_pii_config(ctx: Context, command: ResetPiiConfig) -> PiiConfigReply | Refused:
    """Return to the defaults. This waits for a human whatever the settings are.

    Raises:
        Fault: GOVERNANCE_APPROVAL_REQUIRED.
    """
    change = "Resetting PII redaction to its defaults"
    waiting = governance.gate(ctx, subject=_SUBJECT, change=change, approval_id=command.governance_approval_id)
    if waiting is not None:
        return waiting
    ctx.world.store.delete(PiiSettings, ctx.operator_id)
    return _reply(ctx, settings_of(ctx.world, ctx.operator_id))


def _loosens(old: PiiSettings, new: PiiSettings) -> bool:
    if (old.enabled and not new.enabled) or new.least > old.least:
        return True
    if new.countries is None:
        return False
    return old.countries is None or not set(old.countries) <= set(new.countries)


def _reply(ctx: Context, settings: PiiSettings) -> PiiConfigReply:
    configured = ctx.world.store.get(PiiSettings, ctx.operator_id) is not None
    return PiiConfigReply(
        configured=configured,
        enabled=settings.enabled,
        threshold=DEFAULT_THRESHOLD if settings.threshold is None else settings.threshold,
        countries=None if settings.countries is None else list(settings.countries),
        updated_at=iso(settings.updated_at) if configured else None,
    )
