"""The pack: one endpoint that executes GraphQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.linear.errors import bare, failed
from stack_emu.upstreams.linear.execution import answer
from stack_emu.upstreams.linear.roots import ROOTS, scopes_of
from stack_emu.upstreams.linear.seeding import SEED_KEYS, Seeding, check_seed
from stack_emu.upstreams.not_served import not_served
from stack_emu.upstreams.packs import Declined, PackContext, PackRow
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack

PATH = "/graphql"


class LinearPack(RestPack):
    """A Linear workspace behind its GraphQL endpoint."""

    title = "Linear"
    hosts = ("api.linear.app",)
    clients = ("@linear/sdk 98.0", "httpx 0.28")
    seed_keys = SEED_KEYS
    declined = (
        Declined(
            "webhooks", "Linear would have to call your agent; send it with the world's inbound webhooks instead."
        ),
        Declined("fileUpload", "uploads go to a storage service of another host."),
        Declined("documents, initiatives, customers, releases", "no part of the work an agent does on issues."),
        Declined("notifications, favorites, views, drafts", "they belong to a person's own screen."),
        Declined("issueBatchCreate, issueBatchUpdate", "call issueCreate or issueUpdate for each."),
        Declined("teamCreate, workflowStateCreate, cycleCreate", "set up the workspace in the scenario's seed."),
        Declined("complexity limits", "a rate limit is injected as a fault with status 429."),
    )

    @property
    def operations(self) -> tuple[PackRow, ...]:
        """The root fields of the schema."""
        source = "@linear/sdk 98.0.0; linear.app/developers"
        return tuple(
            PackRow(name, f"POST {PATH}#{name}", (root.__doc__ or "").strip(), scopes_of(name), source)
            for name, root in ROOTS.items()
        )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work."""
        check_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the workspace."""
        Seeding(world, name).write(seed)

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """Refuse with AUTHENTICATION_ERROR."""
        return failed(401)

    def injected(self, status: int) -> Any:
        """The error body of a bare status."""
        return bare(status)

    def handle(self, context: PackContext) -> UpstreamReply:
        """Execute a GraphQL request."""
        if context.request.method != "POST" or context.request.path.rstrip("/") != PATH:
            return not_served(context, self.title, self.operations, self.declined)
        return answer(context, self.title, self.declined)
