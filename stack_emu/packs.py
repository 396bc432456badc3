"""What a pack in your own project is written with; see ``docs/upstreams.md``."""

from __future__ import annotations

from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.pack_calls import PackOperation, PackRefusal, RestCall
from stack_emu.upstreams.packs import Declined, Pack, PackContext, PackRow
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack, check_keys

__all__ = [
    "Collection",
    "Declined",
    "Pack",
    "PackContext",
    "PackOperation",
    "PackRefusal",
    "PackRow",
    "RestCall",
    "RestPack",
    "UpstreamReply",
    "UpstreamRequest",
    "check_keys",
]
