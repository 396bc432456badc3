"""First on PYTHONPATH under ``stack-emu exec --docs-client``: shapes ``getstack`` the moment a program imports it.

Runs in the command's own interpreter at its start, so it imports nothing that is not loaded by then, and hands over to
the ``sitecustomize`` that would have run without it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing takes longer to import than this file takes to run
if TYPE_CHECKING:
    from typing import Any


class _Finder:
    """Finds ``getstack`` where the other finders do and has its loader shape it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of ``getstack``, of nothing else."""
        if fullname != "getstack":
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(fullname, path, target) if find is not None and finder is not self else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """The real loader, which shapes the module once it is executed and then leaves no trace in it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        """Create the module as the real loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Execute the module, then shape it."""
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            _shape().apply(module)
        except Exception as problem:
            sys.stderr.write(f"stack-emu: --docs-client could not shape this getstack: {problem!r}\n")


def _shape() -> Any:
    """Load ``shape.py`` by its path: ``stack_emu`` may not be installed here."""
    from importlib.util import module_from_spec, spec_from_file_location

    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = spec_from_file_location("stack_emu_docs_shape", os.path.join(folder, "shape.py"))
    assert spec is not None
    assert spec.loader is not None
    shape = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(shape)
    return shape


def _hand_over() -> None:
    """Leave the path and run the ``sitecustomize`` that stands behind this one, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as problem:
        sys.modules["sitecustomize"] = ours
        if problem.name != "sitecustomize":
            raise


# A sitecustomize further on may bring this one in again: the finder is needed once.
if not any(type(finder).__module__ == __name__ and type(finder).__name__ == "_Finder" for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder())
if __name__ == "sitecustomize":
    _hand_over()
