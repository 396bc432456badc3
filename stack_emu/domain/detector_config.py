"""Detector settings: switching a detector off, moving its thresholds, grading its signals, adding patterns.

Everybody may read them. Writing needs the studio tier or a higher one, and what loosens a detector waits for a human
when it is asked for with a key (sdk 4.0.0 detector_config).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from stack_emu.domain import detectors, faults, governance
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.detectors import DETECTORS, Detector, DetectorSettings
from stack_emu.domain.scan_patterns import compile_pattern
from stack_emu.domain.state import Operator
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context, Refused
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Reply, Rest, Tool, operation
from stack_emu.kernel.store import replace

LOW_TIERS = ("free", "developer")
"""Tiers that may only read."""

Severity = Literal["info", "warning", "critical"]
_RANK = {"info": 0, "warning": 1, "critical": 2}
_FIELDS = ("enabled", "thresholds", "severity_overrides", "custom_patterns", "whitelist_patterns")
_HEADERS = {governance.HEADER: "governance_approval_id"}
_READ = Auth(bearers=ACCOUNT, scope="agents:read")
_WRITE = Auth(bearers=ACCOUNT, scope="agents:write", role="admin")
_KEY = f"Detector, one of {', '.join(DETECTORS)}"


class ReadDetectorConfigs(Command):
    """Nothing to say."""


class DetectorByKey(Command):
    """Names a detector."""

    detector_key: str = Field(description=_KEY)


class UpsertDetectorConfig(Command):
    """What to set; what is left out stays as it is."""

    detector_key: str = Field(description=_KEY)
    enabled: bool = Field(True, description="Whether it fires at all")
    thresholds: dict[str, float] = Field({}, description="Its numbers by name; it fires when they are reached")
    severity_overrides: dict[str, Severity] = Field(
        {}, description="Severity of its signals: under its own key for all, under a pattern's id for that pattern"
    )
    custom_patterns: list[str] = Field(
        [], max_length=100, description="Further patterns (RE2) of a detector that looks for patterns"
    )
    whitelist_patterns: list[str] = Field(
        [], max_length=100, description="Patterns (RE2) whose matches are passed over by such a detector"
    )
    governance_approval_id: str | None = Field(
        None, description="Approval id (gvr_…) a refused change was answered with"
    )


class ResetDetectorConfig(Command):
    """Names a detector and who agreed."""

    detector_key: str = Field(description=_KEY)
    governance_approval_id: str | None = Field(
        None, description="Approval id (gvr_…) a refused reset was answered with"
    )


class DetectorConfigReply(Reply):
    """What an account has set of a detector."""

    detector_key: str
    enabled: bool
    thresholds: dict[str, float]
    severity_overrides: dict[str, str]
    custom_patterns: list[str]
    whitelist_patterns: list[str]
    created_at: str
    updated_at: str


class DetectorConfigs(Reply):
    """What an account has set, by detector."""

    configs: list[DetectorConfigReply]


class DetectorResetReply(Reply):
    """A detector that is back on its defaults."""

    detector_key: str
    reset: bool = Field(description="Whether there was anything to reset")


@operation(
    "detector_config.list",
    rest=Rest("GET", "/v1/detectors/config"),
    tool=Tool("stack_list_detector_configs"),
    auth=_READ,
    source="sdk 4.0.0 detector_config.list",
    grade="documented",
)
def list_detector_configs(ctx: Context, command: ReadDetectorConfigs) -> DetectorConfigs:
    """List what the account has set; a detector that is not listed is on its defaults."""
    found = sorted(ctx.world.store.find(DetectorSettings, operator_id=ctx.operator_id), key=lambda one: one.id)
    return DetectorConfigs(configs=[_reply(settings) for settings in found])


@operation(
    "detector_config.get",
    rest=Rest("GET", "/v1/detectors/{detector_key}/config"),
    tool=Tool("stack_get_detector_config"),
    auth=_READ,
    source="sdk 4.0.0 detector_config.get",
    grade="documented",
)
def get_detector_config(ctx: Context, command: DetectorByKey) -> DetectorConfigReply:
    """Read what the account has set of a detector.

    Raises:
        Fault: NOT_FOUND when there is no such detector, or it is on its defaults.
    """
    detector = _require(command.detector_key)
    settings = ctx.world.store.get(DetectorSettings, _place(ctx, detector))
    if settings is None:
        message = f"Detector {detector.key} has no settings of this account: it is on its defaults"
        raise Fault(faults.NOT_FOUND, message, details={"thresholds": dict(detector.thresholds)})
    return _reply(settings)


@operation(
    "detector_config.upsert",
    rest=Rest("PUT", "/v1/detectors/{detector_key}/config", headers=_HEADERS),
    tool=Tool("stack_upsert_detector_config", idempotent=True),
    auth=_WRITE,
    audit=Audit("detector_config.upsert"),
    source="sdk 4.0.0 detector_config.upsert (the field thresholds is invented)",
    grade="documented",
)
def upsert_detector_config(ctx: Context, command: UpsertDetectorConfig) -> DetectorConfigReply | Refused:
    """Set some of a detector's settings. Switching it off, firing less or grading lower waits for a human.

    Raises:
        Fault: NOT_FOUND for an unknown detector, FORBIDDEN below the studio tier, INVALID_REQUEST,
            GOVERNANCE_APPROVAL_REQUIRED.
    """
    detector = _require(command.detector_key)
    given = {name: getattr(command, name) for name in _FIELDS if name in command.model_fields_set}
    ctx.row.set(name=detector.key, changed=sorted(given) or None)
    _require_tier(ctx)
    _check(detector, given)
    old = detectors.settings_of(ctx.world, ctx.operator_id, detector.key)
    new = replace(old, created_at=old.created_at or ctx.stamp_ms, updated_at=ctx.stamp_ms, **_frozen(given))
    if _loosens(detector, old, new):
        subject, change = governance.described(detector.key, f"detector {detector.key}", given)
        waiting = governance.gate(ctx, subject=subject, change=change, approval_id=command.governance_approval_id)
        if waiting is not None:
            return waiting
    ctx.world.store.put(new)
    return _reply(new)


@operation(
    "detector_config.reset",
    rest=Rest("DELETE", "/v1/detectors/{detector_key}/config", headers=_HEADERS),
    tool=Tool("stack_reset_detector_config", destructive=True),
    auth=_WRITE,
    audit=Audit("detector_config.reset"),
    source="sdk 4.0.0 detector_config.reset",
    grade="documented",
)
def reset_detector_config(ctx: Context, command: ResetDetectorConfig) -> DetectorResetReply | Refused:
    """Put a detector back on its defaults. This waits for a human whatever its settings are.

    Raises:
        Fault: NOT_FOUND for an unknown detector, FORBIDDEN below the studio tier, GOVERNANCE_APPROVAL_REQUIRED.
    """
    detector = _require(command.detector_key)
    ctx.row.set(name=detector.key)
    _require_tier(ctx)
    change = f"Resetting detector {detector.key} to its defaults"
    waiting = governance.gate(ctx, subject=detector.key, change=change, approval_id=command.governance_approval_id)
    if waiting is not None:
        return waiting
    place = _place(ctx, detector)
    there = ctx.world.store.get(DetectorSettings, place) is not None
    ctx.world.store.delete(DetectorSettings, place)
    return DetectorResetReply(detector_key=detector.key, reset=there)


def _place(ctx: Context, detector: Detector) -> str:
    return f"{ctx.operator_id}/{detector.key}"


def _require(key: str) -> Detector:
    detector = DETECTORS.get(key)
    if detector is None:
        raise Fault(faults.NOT_FOUND, f"There is no detector {key}; there are {', '.join(DETECTORS)}")
    return detector


def _require_tier(ctx: Context) -> None:
    operator = ctx.world.store.get(Operator, ctx.operator_id)
    tier = operator.tier if operator is not None else "free"
    if tier in LOW_TIERS:
        reason = f"setting detectors needs the studio tier or a higher one; this account is on {tier}"
        raise Fault(faults.FORBIDDEN, reason=reason, details={"tier": tier, "needs": "studio"})


def _check(detector: Detector, given: Mapping[str, Any]) -> None:
    """Refuse thresholds the detector does not have and patterns it does not look for, or that are none."""
    for name, value in given.get("thresholds", {}).items():
        if name not in detector.thresholds:
            known = ", ".join(detector.thresholds) or "none"
            raise _invalid("thresholds", f"{detector.key} has no threshold {name}; it has {known}")
        if not 0 < value <= 1_000_000:
            raise _invalid("thresholds", f"{name} must be above 0, at most 1000000")
    for field in ("custom_patterns", "whitelist_patterns"):
        patterns = given.get(field, [])
        if patterns and not detector.patterns:
            raise _invalid(field, f"{detector.key} looks for no patterns")
        for pattern in patterns:
            _check_pattern(field, pattern)


def _check_pattern(field: str, pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise _invalid(field, str(error)) from None


def _invalid(field: str, problem: str) -> Fault:
    return Fault(faults.INVALID_REQUEST, problem=f"{field}: {problem}", details={"fields": {field: problem}})


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _loosens(detector: Detector, old: DetectorSettings, new: DetectorSettings) -> bool:
    if old.enabled and not new.enabled:
        return True
    if any(_fires_less(detector, name, old.threshold(name), new.threshold(name)) for name in detector.thresholds):
        return True
    graded = old.severity_overrides.keys() | new.severity_overrides.keys()
    if any(_RANK[_grade(detector, new, key)] < _RANK[_grade(detector, old, key)] for key in graded):
        return True
    return not set(old.custom_patterns) <= set(new.custom_patterns) or not (
        set(new.whitelist_patterns) <= set(old.whitelist_patterns)
    )


def _fires_less(detector: Detector, name: str, old: float, new: float) -> bool:
    return new < old if name in detector.lower_fires_less else new > old


def _grade(detector: Detector, settings: DetectorSettings, key: str) -> str:
    return settings.severity_overrides.get(key) or detectors.default_severity(detector, key)


def _reply(settings: DetectorSettings) -> DetectorConfigReply:
    return DetectorConfigReply(
        **detectors.as_json(settings),
        created_at=iso(settings.created_at),
        updated_at=iso(settings.updated_at),
    )
