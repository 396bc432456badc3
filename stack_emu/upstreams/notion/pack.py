"""The Notion pack: its operations, its capabilities and its way to refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from hashlib import sha256
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.notion import blocks, pages, people, sources
from stack_emu.upstreams.notion.objects import NEW, OLD, error, refuse, request_id
from stack_emu.upstreams.notion.seeding import SEED_KEYS, check_seed, write_seed
from stack_emu.upstreams.notion.values import Invalid, uuid_of
from stack_emu.upstreams.pack_calls import PackOperation, RestCall
from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest, json_bytes
from stack_emu.upstreams.rest_pack import RestPack

_WORDS = {
    400: "validation_error",
    401: "unauthorized",
    403: "restricted_resource",
    404: "object_not_found",
    409: "conflict_error",
    429: "rate_limited",
    500: "internal_server_error",
    503: "service_unavailable",
    504: "gateway_timeout",
}


class NotionPack(RestPack):
    """A workspace with pages, blocks, databases, data sources, comments and users, spoken to as api.notion.com is.

    Both ``Notion-Version: 2025-09-03`` and ``2022-06-28`` are served. The capabilities of an integration are the scopes:
    ``read_content``, ``update_content``, ``insert_content``, ``read_comment``, ``insert_comment``, ``read_user``. Everything
    in the workspace is shared with the integration.
    """

    title = "Notion"
    hosts = ("api.notion.com",)
    clients = ("notion-client 3.1 (sync and async)",)
    seed_keys = SEED_KEYS

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work.

        Raises:
            ValueError: one sentence that begins with the place.
        """
        check_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the workspace that the upstream ``name`` begins with."""
        write_seed(world, name, seed)

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """401 ``unauthorized``."""
        key = uuid_of(sha256(f"{request.method} {request.path}".encode()).digest())
        return UpstreamReply.of_json(error(401, "unauthorized", "API token is invalid.", key), 401)

    def injected(self, status: int) -> Any:
        """The body Notion sends with a bare status."""
        word = _WORDS.get(status, "internal_server_error" if status >= 500 else "validation_error")
        return error(status, word, f"The request failed with {status}.")

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """403 ``restricted_resource``."""
        message = f"Insufficient permissions for this endpoint: the integration lacks {call.operation.scopes[0]}."
        return UpstreamReply.of_json(error(403, "restricted_resource", message), 403)

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """400 ``invalid_json``."""
        return UpstreamReply.of_json(error(400, "invalid_json", sentence), 400)

    def before(self, call: RestCall) -> None:
        """Require a version that is served.

        Raises:
            PackRefusal: without ``Notion-Version``, with another, or when the version has no such endpoint.
        """
        version = call.request.headers.get("Notion-Version")
        if version is None:
            raise refuse(400, "missing_version", "The Notion-Version header is missing.")
        if version not in (OLD, NEW):
            raise refuse(400, "validation_error", f"Notion-Version {version} is not served; send {NEW} or {OLD}.")
        newer = call.operation.path.startswith("/v1/data_sources")
        if (version == OLD and newer) or (version == NEW and call.operation.name == "databases.query"):
            other = "data_sources.query" if not newer else "databases.query"
            raise refuse(400, "invalid_request_url", f"Invalid request URL in version {version}.", f"Use {other}.")

    def after(self, call: RestCall, reply: UpstreamReply) -> UpstreamReply:
        """Name the request in the headers and in refusals."""
        headers = reply.headers.copy()
        headers["x-notion-request-id"] = request_id(call)
        body = reply.body
        if reply.status >= 400:
            body = json_bytes({**reply.json(), "request_id": request_id(call)})
        return UpstreamReply(reply.status, headers, body)


def _refusing(handler: Callable[[RestCall], Any]) -> Callable[[RestCall], Any]:
    """The handler, with what is not valid refused as ``validation_error``."""

    @wraps(handler)
    def answer(call: RestCall) -> Any:
        try:
            return handler(call)
        except Invalid as problem:
            raise refuse(400, "validation_error", f"body failed validation: {problem}") from None

    return answer


def _operation(name: str, call: str, handler: Callable[[RestCall], Any], *scopes: str) -> PackOperation:
    method, _, path = call.partition(" ")
    source = f"developers.notion.com/reference {name}; notion-client 3.1"
    return PackOperation(name, method, f"/v1{path}", _refusing(handler), source, scopes)


NotionPack.served = (
    _operation("users.me", "GET /users/me", people.get_me),
    _operation("users.list", "GET /users", people.list_users, "read_user"),
    _operation("users.retrieve", "GET /users/{id}", people.get_user, "read_user"),
    _operation("search", "POST /search", pages.search, "read_content"),
    _operation("pages.create", "POST /pages", pages.create_page, "insert_content"),
    _operation("pages.retrieve", "GET /pages/{id}", pages.get_page, "read_content"),
    _operation("pages.update", "PATCH /pages/{id}", pages.update_page, "update_content"),
    _operation(
        "pages.properties.retrieve", "GET /pages/{id}/properties/{property}", pages.get_property, "read_content"
    ),
    _operation("databases.create", "POST /databases", sources.create_database, "insert_content"),
    _operation("databases.retrieve", "GET /databases/{id}", sources.get_database, "read_content"),
    _operation("databases.update", "PATCH /databases/{id}", sources.update_database, "update_content"),
    _operation("databases.query", "POST /databases/{id}/query", pages.query_source, "read_content"),
    _operation("data_sources.create", "POST /data_sources", sources.create_source, "insert_content"),
    _operation("data_sources.retrieve", "GET /data_sources/{id}", sources.get_source, "read_content"),
    _operation("data_sources.update", "PATCH /data_sources/{id}", sources.update_source, "update_content"),
    _operation("data_sources.query", "POST /data_sources/{id}/query", pages.query_source, "read_content"),
    _operation("blocks.retrieve", "GET /blocks/{id}", blocks.get_block, "read_content"),
    _operation("blocks.children.list", "GET /blocks/{id}/children", blocks.list_children, "read_content"),
    _operation("blocks.children.append", "PATCH /blocks/{id}/children", blocks.append_children, "insert_content"),
    _operation("blocks.update", "PATCH /blocks/{id}", blocks.update_block, "update_content"),
    _operation("blocks.delete", "DELETE /blocks/{id}", blocks.delete_block, "update_content"),
    _operation("comments.create", "POST /comments", people.create_comment, "insert_comment"),
    _operation("comments.list", "GET /comments", people.list_comments, "read_comment"),
    _operation("comments.retrieve", "GET /comments/{id}", people.get_comment, "read_comment"),
)

NotionPack.declined = (
    Declined("pages.move", "a page stays where it was created", "POST", "/v1/pages/{id}/move"),
    Declined("pages.retrieve_markdown", "content is served as blocks", path="/v1/pages/{id}/markdown"),
    Declined("data_sources.list_templates", "there are no templates", path="/v1/data_sources/{id}/templates"),
    Declined("comments.update", "comments stay as they are", "PATCH", "/v1/comments/{id}"),
    Declined("comments.delete", "comments stay as they are", "DELETE", "/v1/comments/{id}"),
    Declined("views", "they are shown in Notion's own client", path="/v1/views*"),
    Declined("file_uploads", "files are named by their URLs", path="/v1/file_uploads*"),
    Declined("oauth", "STACK holds the connection's token", path="/v1/oauth/*"),
    Declined(
        "Formulas, rollups, unique_id, verification and button properties", "they are computed by Notion's own engine"
    ),
)
