"""Taking personal data out of texts and JSON data, as an account's settings say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from stack_emu.domain import pii_kinds
from stack_emu.kernel.world import World

DEFAULT_THRESHOLD = 0.4


@dataclass(frozen=True)
class PiiSettings:
    """An account's settings. ``id`` is the operator's; None in ``threshold`` and ``countries`` is the default."""

    TABLE: ClassVar[str] = "pii_settings"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    updated_at: int = 0
    enabled: bool = True
    threshold: float | None = None
    countries: tuple[str, ...] | None = None

    @property
    def least(self) -> float:
        """The confidence needed."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


def settings_of(world: World, operator_id: str) -> PiiSettings:
    """The settings in force: the account's own, or the defaults."""
    return world.store.get(PiiSettings, operator_id) or PiiSettings(operator_id)


def redact(world: World, operator_id: str, text: str) -> tuple[str, dict[str, int]]:
    """Take personal data out of a text.

    Args:
        world: the world.
        operator_id: whose settings say what counts.
        text: the text.

    Returns:
        The text with ``[REDACTED_<KIND>]`` in place of each, and how many there were of each kind.
    """
    counts: Counter[str] = Counter()
    return _text(text, settings_of(world, operator_id), counts), dict(sorted(counts.items()))


def redact_json(
    world: World, operator_id: str, value: Any, *, skip: frozenset[str] = frozenset()
) -> tuple[Any, dict[str, int]]:
    """Take personal data out of every text inside JSON data; keys of objects and numbers stay as they are.

    Args:
        world: the world.
        operator_id: whose settings say what counts.
        value: JSON data; it is not changed.
        skip: keys whose values are left alone, such as those of base64 data.

    Returns:
        The data, redacted, and how many there were of each kind.
    """
    counts: Counter[str] = Counter()
    return _walk(value, settings_of(world, operator_id), skip, counts), dict(sorted(counts.items()))


def _walk(value: Any, settings: PiiSettings, skip: frozenset[str], counts: Counter[str]) -> Any:
    if isinstance(value, str):
        return _text(value, settings, counts)
    if isinstance(value, dict):
        return {key: item if key in skip else _walk(item, settings, skip, counts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_walk(item, settings, skip, counts) for item in value]
    return value


def _text(text: str, settings: PiiSettings, counts: Counter[str]) -> str:
    if not settings.enabled:
        return text
    countries = None if settings.countries is None else frozenset(settings.countries)
    parts, end = [], 0
    for found in pii_kinds.find(text, settings.least, countries):
        parts += [text[end : found.start], f"[REDACTED_{found.kind.upper()}]"]
        end = found.end
        counts[found.kind] += 1
    return "".join([*parts, text[end:]]) if parts else text
