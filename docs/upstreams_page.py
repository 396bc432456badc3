"""Writes the tables of docs/upstreams.md from the packs.

    python docs/upstreams_page.py

Between ``<!-- packs -->`` and ``<!-- end -->`` stands what each bundled pack serves, declines and is driven by.
"""

from __future__ import annotations

import re
from pathlib import Path

from stack_emu.upstreams.packs import Pack, bundled_packs

PAGE = Path(__file__).with_name("upstreams.md")
_BLOCK = re.compile(r"<!-- packs -->\n.*?<!-- end -->", re.DOTALL)


def filled(page: str) -> str:
    """The page with its tables as the packs say."""
    return _BLOCK.sub(lambda _: f"<!-- packs -->\n{tables()}\n<!-- end -->", page)


def tables() -> str:
    """The overview and one section for each pack."""
    packs = sorted(bundled_packs().items(), key=lambda item: item[1].title.lower())
    overview = ["| `pack` | service | operations | hosts | driven in the tests by |", "|---|---|---|---|---|"]
    for name, pack in packs:
        hosts = ", ".join(f"`{host}`" for host in pack.hosts) or "those the scenario names"
        overview.append(
            f"| [`{name}`](#{name}) | {pack.title} | {len(pack.operations)} | {hosts} | {', '.join(pack.clients)} |"
        )
    return "\n".join([*overview, *(line for name, pack in packs for line in _section(name, pack))])


def _section(name: str, pack: Pack) -> list[str]:
    lines = ["", f"### {name}", "", _about(pack)]
    if pack.seed_keys:
        lines += ["", "| key of `seed` | meaning |", "|---|---|"]
        lines += [f"| `{key}` | {_cell(meaning)} |" for key, meaning in pack.seed_keys.items()]
    if pack.operations:
        lines += ["", "| operation | call | what it does | any scope of | known from |", "|---|---|---|---|---|"]
        for row in pack.operations:
            scopes = ", ".join(f"`{scope}`" for scope in row.scopes) or "–"
            lines.append(f"| `{row.name}` | `{row.call}` | {_cell(row.summary)} | {scopes} | {_cell(row.source)} |")
    if pack.declined:
        lines += ["", "Not served:", ""]
        lines += [f"- {one.name}: {one.reason}." for one in pack.declined]
    return lines


def _about(pack: Pack) -> str:
    return " ".join((type(pack).__doc__ or pack.title).strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
