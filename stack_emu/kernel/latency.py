"""How long an injected delay is: a fixed time, or a draw from a distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

LONGEST_MS = 30_000
"""Where a drawn delay is cut off when the rule says no ``max`` of its own."""

_Z95 = NormalDist().inv_cdf(0.95)
_BITS = 53


def unit(raw: bytes) -> float:
    """A number strictly between 0 and 1 from at least eight derived bytes."""
    return (int.from_bytes(raw[:8], "big") >> (64 - _BITS) | 1) / 2.0**_BITS


def delay_ms(delay: Any, draw: float) -> int:
    """The milliseconds of a delay.

    Args:
        delay: milliseconds; or a mapping with one of ``uniform`` (least and most), ``normal`` (``mean``, ``sd``),
            ``lognormal`` (``median`` with ``sigma`` or ``p95``) and ``exponential`` (``mean``), and perhaps ``max``; all
            in milliseconds but for ``sigma``.
        draw: a number strictly between 0 and 1; the same gives the same delay.
    """
    if not isinstance(delay, Mapping):
        return int(delay or 0)
    most = delay.get("max")
    return max(0, min(round(_drawn(delay, draw)), LONGEST_MS if most is None else int(most)))


def _drawn(delay: Mapping[str, Any], draw: float) -> float:
    if delay.get("uniform") is not None:
        least, most = delay["uniform"]
        return float(least + (most - least) * draw)
    if delay.get("exponential") is not None:
        return float(-delay["exponential"]["mean"] * math.log(1 - draw))
    z = NormalDist().inv_cdf(draw)
    if delay.get("normal") is not None:
        return float(delay["normal"]["mean"] + delay["normal"]["sd"] * z)
    shape = delay["lognormal"]
    median, sigma = shape["median"], shape.get("sigma")
    if sigma is None:
        sigma = math.log(shape["p95"] / median) / _Z95
    return float(median * math.exp(sigma * z))
