"""Writes what is said into the table of near misses:  python -m tests.diagnosis.goldens"""

from __future__ import annotations

from stack_emu.emulator import Emulator
from tests.diagnosis.driving import TABLE, Driver, read_cases


def main() -> None:
    """Write the table anew; look at the difference before you commit it."""
    cases = read_cases()
    head = TABLE.read_text(encoding="utf-8").split("\n# ")[0]
    parts = [head.rstrip("\n")]
    with Emulator() as emulator:
        for number, case in enumerate(cases):
            driver = Driver(emulator, f"case-{number}")
            lines = [f"# {case.name}", *(f"$ {call}" for call in case.calls)]
            lines += [f"> {line}".rstrip() for line in driver.run(case.calls)]
            driver.close()
            parts.append("\n".join(lines))
    TABLE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
