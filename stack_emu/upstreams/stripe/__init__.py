"""A stateful fake of Stripe's API."""

from __future__ import annotations

from stack_emu.upstreams.stripe.pack import StripePack

__all__ = ["PACK", "StripePack"]

PACK = StripePack()
