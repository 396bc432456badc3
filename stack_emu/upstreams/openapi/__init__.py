"""A service made from an OpenAPI document in the user's project."""

from __future__ import annotations

from stack_emu.upstreams.openapi.pack import ApiPack, OpenApiPack

__all__ = ["PACK", "ApiPack", "OpenApiPack"]

PACK = OpenApiPack()
