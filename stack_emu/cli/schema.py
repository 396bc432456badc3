"""``stack-emu schema``: print the JSON Schema of the scenario format, or write it to a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it to this file instead")


def run(options: argparse.Namespace) -> int:
    """Print or write the schema; returns 0."""
    from stack_emu.scenario.schema import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    if options.write is None:
        print(text)
    else:
        options.write.write_text(text + "\n", encoding="utf-8")
        print(f"first line for a scenario beside it: # yaml-language-server: $schema=./{options.write.name}")
    return 0
