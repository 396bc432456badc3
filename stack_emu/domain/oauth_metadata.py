"""The metadata documents: the authorization server (RFC 8414) and the protected resources (RFC 9728).

STACK's pages name the documents and the endpoints of code, token and registration; the rest of their bodies is invented.
"""

from __future__ import annotations

from pydantic import Field

from stack_emu.domain import faults
from stack_emu.domain.oauth_clients import AUTH_METHODS, GRANT_TYPES
from stack_emu.domain.oauth_scopes import SCOPES
from stack_emu.domain.oauth_urls import issuer_of, mcp_resource_of
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Auth, Command, Reply, Rest, operation

_PUBLIC = Auth(bearers=frozenset())


class ServerMetadata(Reply):
    """Where the endpoints of the authorization server are and what they can do."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    device_authorization_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool
    client_id_metadata_document_supported: bool
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str] = Field(
        description="Here for readers of OpenID documents; no id tokens are issued"
    )


class ResourceMetadata(Reply):
    """A protected resource and the authorization server whose tokens it takes."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str


@operation(
    "oauth.server_metadata",
    rest=Rest("GET", "/.well-known/oauth-authorization-server", aliases=("/.well-known/openid-configuration",)),
    auth=_PUBLIC,
    source="docs/integrations/mcp names three endpoints; the other fields are not published; RFC 8414",
    grade="documented",
)
def server_metadata(ctx: Context, command: Command) -> ServerMetadata:
    """Describe the authorization server of a world, under the authority the client used."""
    issuer = issuer_of(ctx.origin)
    return ServerMetadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/oauth/authorize",
        token_endpoint=f"{issuer}/oauth/token",
        registration_endpoint=f"{issuer}/oauth/register",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        introspection_endpoint=f"{issuer}/oauth/introspect",
        device_authorization_endpoint=f"{issuer}/oauth/device_authorization",
        jwks_uri=f"{issuer}/v1/.well-known/jwks.json",
        scopes_supported=list(SCOPES),
        response_types_supported=["code"],
        response_modes_supported=["query"],
        grant_types_supported=list(GRANT_TYPES),
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=list(AUTH_METHODS),
        revocation_endpoint_auth_methods_supported=list(AUTH_METHODS),
        introspection_endpoint_auth_methods_supported=list(AUTH_METHODS),
        authorization_response_iss_parameter_supported=True,
        client_id_metadata_document_supported=False,
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=["EdDSA"],
    )


class ResourceQuery(Command):
    """Which resource."""

    path: str | None = Field(None, description="mcp for the MCP endpoint; the whole world when left out")


@operation(
    "oauth.resource_metadata",
    rest=Rest(
        "GET",
        "/.well-known/oauth-protected-resource",
        aliases=("/.well-known/oauth-protected-resource/{path}",),
    ),
    auth=_PUBLIC,
    source="docs/security/mcp-setup names the document; its fields are not published; RFC 9728",
    grade="documented",
)
def resource_metadata(ctx: Context, command: ResourceQuery) -> ResourceMetadata:
    """Describe a protected resource of a world: the MCP endpoint, or the world as a whole.

    Raises:
        Fault: NOT_FOUND for any other path.
    """
    if command.path not in (None, "mcp"):
        raise Fault(faults.NOT_FOUND, what="Protected resource", id=command.path)
    endpoint = mcp_resource_of(ctx.origin)
    return ResourceMetadata(
        resource=endpoint if command.path == "mcp" else endpoint.removesuffix("/mcp"),
        authorization_servers=[issuer_of(ctx.origin)],
        scopes_supported=list(SCOPES),
        bearer_methods_supported=["header"],
        resource_name="STACK (local emulator)",
    )
