"""stack-emu: a local emulator of STACK (getstack.run) for testing AI agents offline.

Independent of STACK and not affiliated with it. The public API is what this module exports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack_emu.client import WorldClient
    from stack_emu.emulator import Emulator

__version__ = "0.1.0"
__all__ = ["Emulator", "WorldClient", "__version__"]


def __getattr__(name: str) -> Any:
    # Importing the package must stay cheap: the pytest plugin is loaded in every run, used or not.
    if name == "Emulator":
        from stack_emu.emulator import Emulator

        return Emulator
    if name == "WorldClient":
        from stack_emu.client import WorldClient

        return WorldClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
