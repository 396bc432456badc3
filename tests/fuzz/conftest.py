"""The tour's ground, for runs that fuzz it."""

from tests.guarantees.conftest import ground_of

__all__ = ["ground_of"]
