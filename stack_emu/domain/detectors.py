"""The detectors there are, their thresholds, and what an account has set of them.

Four names and the thresholds of ``scope_drift`` are published (docs/concepts/detectors, docs/api/security-events); the
other names and thresholds are chosen here. An account's settings decide whether a detector fires, when, and how
severe its signals are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stack_emu.domain.scan_patterns import BY_ID
from stack_emu.kernel.world import World

OUTSIDE_SCOPE = "credential_outside_scope"
SCOPE_DRIFT = "scope_drift"
BURST = "credential_burst"
SILENCE = "checkpoint_silence"
POST_CHECKOUT = "post_checkout_access"
INJECTION = "prompt_injection"


@dataclass(frozen=True)
class Detector:
    """A detector.

    Args:
        key: its name, which is the type of its signals.
        about: what it notices, in words.
        severity: the highest its signals have by default; out of scope and after checkout it is lower in logged mode.
        thresholds: its numbers; it fires when they are reached, so higher ones fire less.
        lower_fires_less: names of thresholds that work the other way round, such as the length of a window.
        patterns: whether it looks for patterns, which an account may add to or take from.
    """

    key: str
    about: str
    severity: str = "warning"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    lower_fires_less: frozenset[str] = frozenset()
    patterns: bool = False


DETECTORS: dict[str, Detector] = {
    detector.key: detector
    for detector in (
        Detector(
            OUTSIDE_SCOPE, "a passport reaches for a service outside its scope, or reports having used one", "critical"
        ),
        Detector(
            SCOPE_DRIFT,
            "proxied calls drift away from what the intent declares",
            thresholds={"cumulative": 2.0, "novelty": 0.8},
        ),
        Detector(
            BURST,
            "an agent retrieves more than count credentials within window_seconds",
            thresholds={"count": 10, "window_seconds": 60},
            lower_fires_less=frozenset({"window_seconds"}),
        ),
        Detector(SILENCE, "an enforced passport misses its checkpoint"),
        Detector(POST_CHECKOUT, "a passport is used after it was checked out", "critical"),
        Detector(INJECTION, "scanned content tries to instruct the model that reads it", "critical", patterns=True),
    )
}


@dataclass(frozen=True)
class DetectorSettings:
    """What an account has set of a detector. ``id`` is ``<operator id>/<detector key>``."""

    TABLE: ClassVar[str] = "detector_settings"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id",)
    id: str
    operator_id: str
    detector_key: str
    created_at: int = 0
    updated_at: int = 0
    enabled: bool = True
    thresholds: Mapping[str, float] = field(default_factory=dict)
    severity_overrides: Mapping[str, str] = field(default_factory=dict)
    custom_patterns: tuple[str, ...] = ()
    whitelist_patterns: tuple[str, ...] = ()

    def threshold(self, name: str) -> float:
        """A threshold: the account's, or the detector's default."""
        default = DETECTORS[self.detector_key].thresholds[name]
        return self.thresholds.get(name, default)


def default_severity(detector: Detector, key: str) -> str:
    """What a key of ``severity_overrides`` grades without an override: the detector, or one of its patterns."""
    pattern = BY_ID.get(key)
    return pattern.severity if pattern is not None else detector.severity


def settings_of(world: World, operator_id: str, key: str) -> DetectorSettings:
    """The settings in force: the account's own, or the defaults; any signal type is a key."""
    place = f"{operator_id}/{key}"
    return world.store.get(DetectorSettings, place) or DetectorSettings(place, operator_id, key)


def as_json(settings: DetectorSettings) -> dict[str, Any]:
    """The settings an account has made, as JSON data without instants; thresholds with their defaults."""
    detector = DETECTORS[settings.detector_key]
    return {
        "detector_key": settings.detector_key,
        "enabled": settings.enabled,
        "thresholds": {name: settings.threshold(name) for name in detector.thresholds},
        "severity_overrides": dict(settings.severity_overrides),
        "custom_patterns": list(settings.custom_patterns),
        "whitelist_patterns": list(settings.whitelist_patterns),
    }
