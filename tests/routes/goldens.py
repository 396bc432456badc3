"""Writes what is said into the table of near misses:  python -m tests.routes.goldens"""

from __future__ import annotations

from stack_emu.emulator import Emulator
from tests.diagnosis.driving import read_cases
from tests.routes.driving import SCENARIO, TABLE, said


def main() -> None:
    """Write the table anew; look at the difference before you commit it."""
    parts = [TABLE.read_text(encoding="utf-8").split("\n# ")[0].rstrip("\n")]
    with Emulator() as emulator:
        for number, case in enumerate(read_cases(TABLE)):
            world = emulator.world(f"near{number}", scenario=SCENARIO)
            lines = [f"# {case.name}", *(f"$ {call}" for call in case.calls)]
            parts.append("\n".join([*lines, *(f"> {line}".rstrip() for line in said(world, case.calls))]))
    TABLE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
