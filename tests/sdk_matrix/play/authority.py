"""Authority: principals, proofs, bindings, receivers, profiles, uses and presentations."""

from __future__ import annotations

import itertools

from play import call

_numbers = itertools.count()


def _key(stage):
    return f"idem-key-play-{next(_numbers):04}"


def write(label, keep="", check=None, **arguments):
    """A write of the family, which always carries an idempotency key; bodies are free keywords."""
    return call(label, keep, check, idempotency_key=_key, **arguments)


STEPS = ()
