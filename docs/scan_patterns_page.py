"""Writes ``docs/scan-patterns.md`` from the patterns: ``python docs/scan_patterns_page.py``."""

from __future__ import annotations

from pathlib import Path

from stack_emu.domain.scan_patterns import HIDDEN_TEXT, PATTERNS
from stack_emu.domain.scan_spellings import ENCODINGS, MAX_SPELLINGS, MAX_TEXT

PAGE = Path(__file__).parent / "scan-patterns.md"


def page() -> str:
    """The page."""
    rows = [f"| `{one.id}` | {one.severity} | {one.about} | {_code(one.sample)} |" for one in PATTERNS]
    rows.append(f"| `{HIDDEN_TEXT.id}` | {HIDDEN_TEXT.severity} | {HIDDEN_TEXT.about} | |")
    listed = ", ".join(f"`{name}`" for name in ENCODINGS)
    return "\n".join(
        (
            "# The patterns of prompt injection",
            "",
            "What `POST /v1/scan` and the bodies of proxied calls are held against. STACK's own catalogue is not published;",
            "these patterns are ours. They tell a test apart that should be stopped from one that should not; they protect",
            "nobody.",
            "",
            "A critical match gives the verdict `critical`, a warning `suspicious`. The severest match is reported, then the",
            "first. An account grades them with `severity_overrides` of the detector `prompt_injection`, adds",
            "`custom_patterns` (critical, named `custom_1` …) and passes matches over with `whitelist_patterns`. Patterns are",
            "RE2 and without regard to case.",
            "",
            "| `pattern_id` | severity | looks for what | an example |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Spellings",
            "",
            f"A text is looked at as it is (`none`) and decoded: {listed}.",
            "What was decoded is decoded once more, so that a match's `encoding` may read `base64+html`. `unicode` takes away",
            "invisible characters and look-alikes of Latin letters; `tags` reads invisible tag characters; `spaced` joins",
            f"letters that were set apart. Of a text the first {MAX_TEXT:,} characters are looked at, in at most",
            f"{MAX_SPELLINGS} decoded spellings.",
            "",
        )
    )


def _code(sample: str) -> str:
    shown = sample.replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
