"""Looking for prompt injection: the chain behind ``/v1/scan``, which also sees the bodies of proxied calls.

A text is held against the patterns in every spelling (``scan_spellings``), an object one level deep: each of its values
by itself, what is nested in one as its JSON text (sdk 4.0.0 scan.scan). The severest match counts, then the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.domain import detectors, scan_patterns, signals
from stack_emu.domain.detectors import DetectorSettings
from stack_emu.domain.scan_patterns import HIDDEN_TEXT, PATTERNS, Pattern
from stack_emu.domain.scan_spellings import has_tags, spellings
from stack_emu.domain.state import Passport
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.world import World

VERDICTS = {"info": "clean", "warning": "suspicious", "critical": "critical"}
_RANK = {"info": 0, "warning": 1, "critical": 2}
_EXCERPT = 120


@dataclass(frozen=True)
class Match:
    """A match.

    Args:
        pattern_id: which pattern.
        severity: how bad, as the account grades it.
        about: what it looks for.
        encoding: how it was spelled: ``none`` or the decoders in order, such as ``base64+html``.
        field: key of the object it stood under, or None.
        excerpt: the text that matched, decoded and cut.
    """

    pattern_id: str
    severity: str
    about: str
    encoding: str
    field: str | None
    excerpt: str

    @property
    def verdict(self) -> str:
        """What a scan says of it: clean, suspicious or critical."""
        return VERDICTS[self.severity]


def inspect(world: World, operator_id: str, content: Any) -> Match | None:
    """The severest match in a text or in JSON data; None when there is none or the account has the detector off.

    Args:
        world: the world.
        operator_id: whose settings count.
        content: text, or JSON data.
    """
    settings = detectors.settings_of(world, operator_id, detectors.INJECTION)
    if not settings.enabled:
        return None
    worst: Match | None = None
    for field, text in _texts(content):
        for found in _matches(settings, field, text):
            if worst is None or _RANK[found.severity] > _RANK[worst.severity]:
                worst = found
            if worst.severity == "critical":
                return worst
    return worst


def _texts(content: Any) -> Iterator[tuple[str | None, str]]:
    if isinstance(content, str):
        yield None, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(value, str):
                yield str(key), value
            elif isinstance(value, (Mapping, list)):
                yield str(key), json.dumps(value, ensure_ascii=False)
    elif isinstance(content, list):
        yield None, json.dumps(content, ensure_ascii=False)


def _matches(settings: DetectorSettings, field: str | None, text: str) -> Iterator[Match]:
    if has_tags(text):
        yield _match(settings, HIDDEN_TEXT, field, "tags", "")
    for encoding, spelled in spellings(text):
        allowed: list[tuple[int, int]] | None = None
        for pattern in _candidates(settings, spelled):
            for hit in scan_patterns.compile_pattern(pattern.expression).finditer(spelled):
                if allowed is None:
                    allowed = _whitelisted(settings, spelled)
                if not any(start < hit.end() and end > hit.start() for start, end in allowed):
                    yield _match(settings, pattern, field, encoding, spelled[hit.start() : hit.end()])
                    break


def _candidates(settings: DetectorSettings, text: str) -> Iterator[Pattern]:
    if scan_patterns.any_pattern().search(text) is not None:
        yield from PATTERNS
    for number, expression in enumerate(settings.custom_patterns, 1):
        yield Pattern(f"custom_{number}", scan_patterns.CRITICAL, "a pattern of the account", expression, "")


def _whitelisted(settings: DetectorSettings, text: str) -> list[tuple[int, int]]:
    """Where the account's exceptions match: what overlaps one of these places is passed over."""
    return [
        (allowed.start(), allowed.end())
        for expression in settings.whitelist_patterns
        for allowed in scan_patterns.compile_pattern(expression).finditer(text)
    ]


def _match(settings: DetectorSettings, pattern: Pattern, field: str | None, encoding: str, excerpt: str) -> Match:
    severity = settings.severity_overrides.get(pattern.id, pattern.severity)
    return Match(pattern.id, severity, pattern.about, encoding, field, excerpt[:_EXCERPT])


def raise_signal(ctx: Context, passport: Passport, match: Match, where: str, **metadata: Any) -> None:
    """Raise the signal for a match that is not merely noted.

    Args:
        ctx: the call.
        passport: the passport it concerns.
        match: what was found; its text goes nowhere, it is somebody else's.
        where: where it stood, for people.
        **metadata: what else is known.
    """
    if match.verdict == "clean":
        return
    kept = {"pattern_id": match.pattern_id, "encoding": match.encoding, "field": match.field, **metadata}
    signals.note(
        ctx.world,
        ctx.act,
        agent_id=passport.agent_id,
        passport=passport,
        signal_type=detectors.INJECTION,
        severity=match.severity,
        message=f"Prompt injection in {where}: it {match.about} ({match.pattern_id})",
        metadata={name: value for name, value in kept.items() if value is not None},
    )
