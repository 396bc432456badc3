"""The tour's steps by family: every module here has ``STEPS``, taken in the order of the modules' names.

They are taken while ``pp_tour`` is live and ``agt_tour`` unblocked, and must leave both so: what ends a passport, a
mission or an agent does that to one of its own.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.guarantees.step import Step


def _steps() -> tuple[Step, ...]:
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(step for module in modules for step in module.STEPS)


FAMILY_STEPS = _steps()
