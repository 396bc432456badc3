"""OAuth clients: dynamic registration (RFC 7591), and who a client is when it asks for tokens.

The SDK registers a public client for each sign-in (4.0.0 browser_bootstrap); a scenario's ``oauth.clients`` are there from
the start and may have a secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from stack_emu.domain import oauth_faults as faults
from stack_emu.domain.authentication import key_digest
from stack_emu.domain.oauth_records import OAuthClient
from stack_emu.domain.oauth_scopes import SCOPES, split, unknown
from stack_emu.domain.oauth_urls import redirect_problem
from stack_emu.domain.secret_kinds import OAUTH, OAUTH_CLIENT
from stack_emu.domain.state import Operator
from stack_emu.domain.tokens import base64url
from stack_emu.kernel.acts import Act
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import SECRET, VOLATILE, Audit, Auth, Caller, Command, Reply, Rest, operation
from stack_emu.kernel.world import World
from stack_emu.scenario.models import Scenario

SETTING = "oauth"
CODE, REFRESH, DEVICE, EXCHANGE = (
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
)
GRANT_TYPES = (CODE, REFRESH, DEVICE, EXCHANGE)
AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post")
SECRETS = {
    "oac_": "oauth code",
    "oat_": "oauth access token",
    "ort_": "oauth refresh token",
    "odc_": "oauth device code",
}
"""What codes and tokens begin with, and what they are called where they must not be shown."""


@dataclass(frozen=True)
class OAuthTerms:
    """How a scenario lets people sign in: ``consent`` is auto, page or deny; ``operator_id`` who answers, when that is fixed."""

    consent: str
    operators: tuple[str, ...]
    operator_id: str | None


class SparseReply(Reply):
    """A reply whose absent values are left out, as the OAuth documents want it."""

    @model_serializer(mode="wrap")
    def _leave_out(self, inner: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        return {name: value for name, value in inner(self).items() if value is not None}


def provision_oauth(world: World, scenario: Scenario) -> None:
    """Put the scenario's clients into the store, and note how consent goes and whose it is."""
    settings = scenario.oauth
    operators = tuple(operator.id for operator in scenario.operators)
    only = operators[0] if len(operators) == 1 else None
    world.settings[SETTING] = OAuthTerms(settings.consent, operators, settings.operator or only)
    for prefix, name in SECRETS.items():
        world.redactor.add_form(prefix, r"[A-Za-z0-9_-]{43}", name, OAUTH)
    for declared in settings.clients:
        if declared.secret is not None:
            world.redactor.add(declared.secret, f"oauth-client:{declared.id}", OAUTH_CLIENT)
        client = OAuthClient(
            id=declared.id,
            name=declared.name or declared.id,
            redirect_uris=declared.redirect_uris,
            scopes=declared.scopes if declared.scopes is not None else tuple(SCOPES),
            grant_types=GRANT_TYPES,
            created_at=world.now_ms(),
            secret=None if declared.secret is None else key_digest(declared.secret),
            auth_method="none" if declared.secret is None else "client_secret_basic",
        )
        world.store.put(client)


def terms_of(world: World) -> OAuthTerms:
    """How people sign in to a world."""
    terms: OAuthTerms | None = world.settings.get(SETTING)
    return terms if terms is not None else OAuthTerms("auto", tuple(one.id for one in world.store.all(Operator)), None)


def first_operator(world: World) -> str:
    """The account that answers where nobody else is named."""
    terms = terms_of(world)
    return terms.operator_id or terms.operators[0]


def lane_of(client_id: str) -> str:
    """The lane of what a client asks for in its own name, and of what its tokens do beyond an agent's things."""
    return f"oauth:{client_id}"


def asking(world: World, client_id: str, operator_id: str | None = None) -> Caller:
    """A client that asks without a bearer; its rows go to the account it asks for."""
    return Caller("anonymous", operator_id or first_operator(world), lane_of(client_id))


def new_secret(world: World, act: Act, prefix: str, kind: str) -> str:
    """A new code or token: a prefix and 32 derived bytes."""
    secret = prefix + base64url(act.new_bytes(kind))
    world.redactor.look_for(secret, SECRETS[prefix], OAUTH)
    return secret


# --- registration -----------------------------------------------------------------------------------------------------


class RegisterClient(Command):
    """The metadata of a client (RFC 7591, 2)."""

    redirect_uris: Annotated[list[str], VOLATILE] = Field(
        default_factory=list, max_length=16, description="Where codes may be sent; on loopback any port matches"
    )
    client_name: Annotated[str | None, VOLATILE] = Field(None, max_length=200, description="Shown to the person asked")
    grant_types: list[str] | None = Field(None, description="Grants it will use; codes and refreshing when left out")
    response_types: list[str] | None = Field(None, description="code, which is also meant when left out")
    token_endpoint_auth_method: str | None = Field(
        None, description="none (when left out), client_secret_basic or client_secret_post"
    )
    scope: str | None = Field(None, max_length=2000, description="Scopes it may ask for; all when left out")
    software_id: str | None = Field(None, max_length=200, description="The program it is an installation of")
    client_uri: Annotated[str | None, VOLATILE] = Field(None, max_length=2048, description="A page about it")


class RegisteredClient(SparseReply):
    """A client as it was registered; its secret is shown this once."""

    client_id: str
    client_id_issued_at: int
    client_name: str
    redirect_uris: list[str]
    grant_types: list[str]
    response_types: list[str]
    token_endpoint_auth_method: str
    scope: str
    client_secret: str | None = None
    client_secret_expires_at: int | None = None
    software_id: str | None = None
    client_uri: str | None = None


def _registrar(world: World, command: Any) -> Caller:
    return Caller("anonymous", first_operator(world), "oauth")


@operation(
    "oauth.register",
    rest=Rest("POST", "/oauth/register", status=201, errors="oauth"),
    auth=Auth(bearers=frozenset(), identify=_registrar),
    audit=Audit("oauth.register"),
    source="sdk 4.0.0 browser_bootstrap; docs/integrations/mcp; RFC 7591",
    grade="documented",
)
def register_client(ctx: Context, command: RegisterClient) -> RegisteredClient:
    """Register a client. It needs no credential; a client without a secret has to use PKCE, as every client has.

    Raises:
        Fault: invalid_redirect_uri or invalid_client_metadata.
    """
    grants = tuple(dict.fromkeys(command.grant_types or (CODE, REFRESH)))
    method = command.token_endpoint_auth_method or "none"
    scopes = split(command.scope) or tuple(SCOPES)
    _refuse_metadata(command, grants, method, scopes)
    client_id = ctx.act.new_id("oauth-client", "ocl_")
    secret = None if method == "none" else "ocs_" + base64url(ctx.act.new_bytes("oauth-client-secret"))
    if secret is not None:
        ctx.world.redactor.add(secret, f"oauth-client:{client_id}", OAUTH_CLIENT)
    client = OAuthClient(
        id=client_id,
        name=command.client_name or "An unnamed client",
        redirect_uris=tuple(command.redirect_uris),
        scopes=scopes,
        grant_types=grants,
        created_at=ctx.stamp_ms,
        secret=None if secret is None else key_digest(secret),
        auth_method=method,
    )
    ctx.world.store.put(client)
    ctx.row.set(oauth_client=client.id, scopes=list(scopes))
    return RegisteredClient(
        client_id=client.id,
        client_id_issued_at=client.created_at // 1000,
        client_name=client.name,
        redirect_uris=list(client.redirect_uris),
        grant_types=list(grants),
        response_types=["code"] if CODE in grants else [],
        token_endpoint_auth_method=method,
        scope=" ".join(scopes),
        client_secret=secret,
        client_secret_expires_at=None if secret is None else 0,
        software_id=command.software_id,
        client_uri=command.client_uri,
    )


def _refuse_metadata(command: RegisterClient, grants: tuple[str, ...], method: str, scopes: tuple[str, ...]) -> None:
    for uri in command.redirect_uris:
        problem = redirect_problem(uri)
        if problem is not None:
            raise Fault(faults.INVALID_REDIRECT_URI, problem=f"redirect_uris: {uri} {problem}")
    if CODE in grants and not command.redirect_uris:
        raise Fault(
            faults.INVALID_REDIRECT_URI, problem="redirect_uris: name at least one, such as http://127.0.0.1/cb"
        )
    _among("grant_types", grants, GRANT_TYPES)
    _among("response_types", command.response_types or (), ("code",))
    _among("token_endpoint_auth_method", (method,), AUTH_METHODS)
    _among("scope", scopes, SCOPES)


def _among(field: str, values: Any, known: Any) -> None:
    strange = unknown(values, known)
    if strange:
        problem = f"{field}: {', '.join(strange)} cannot be had; there are {', '.join(known)}"
        raise Fault(faults.INVALID_CLIENT_METADATA, problem=problem)


# --- who a client is --------------------------------------------------------------------------------------------------


class ClientCommand(Command):
    """Base of what a client asks in its own name: it says who it is in the form, or by HTTP Basic."""

    client_id: str | None = Field(None, max_length=200, description="The client; may stand in HTTP Basic instead")
    client_secret: Annotated[str | None, SECRET] = Field(
        None, max_length=400, description="Its secret, for a client that has one; may stand in HTTP Basic instead"
    )
    authorization: Annotated[str | None, SECRET, VOLATILE] = Field(
        None, max_length=8000, description="HTTP Basic with client_id and secret; a bearer proves nothing here"
    )


FROM_HEADER = {"Authorization": "authorization"}


def known_client(world: World, client_id: str) -> OAuthClient:
    """A client.

    Raises:
        Fault: invalid_client.
    """
    client = world.store.get(OAuthClient, client_id)
    if client is None:
        problem = "This client_id is not registered in this world; register with POST /oauth/register"
        raise Fault(faults.INVALID_CLIENT, problem=problem)
    return client


def proven_client(world: World, command: ClientCommand) -> OAuthClient:
    """The client a request comes from, its secret checked when it has one.

    Raises:
        Fault: invalid_request when it does not say who it is, invalid_client when it is not who it says.
    """
    client_id, secret = command.client_id, command.client_secret
    if command.authorization is not None and not command.authorization.lower().startswith("bearer "):
        named, in_header = _basic(command.authorization)
        if secret is not None:
            raise Fault(faults.INVALID_REQUEST, problem="The secret stands in the form and in HTTP Basic; send it once")
        secret = in_header
        if client_id is not None and client_id != named:
            raise Fault(faults.INVALID_REQUEST, problem="client_id and HTTP Basic name two clients; send one of them")
        client_id = named
    if not client_id:
        raise Fault(faults.INVALID_REQUEST, problem="client_id is missing; send it in the form or as HTTP Basic")
    client = known_client(world, client_id)
    if client.secret is not None and not hmac.compare_digest(key_digest(secret or ""), client.secret):
        what = "is wrong" if secret else "is missing; send client_secret, or HTTP Basic"
        raise Fault(faults.INVALID_CLIENT, problem=f"The secret of client {client.id} {what}")
    return client


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        if not colon:
            raise ValueError
    except (ValueError, binascii.Error):
        problem = "The Authorization header here is HTTP Basic with client_id and secret, or is left out"
        raise Fault(faults.INVALID_CLIENT, problem=problem) from None
    return unquote(name), unquote(secret)


def require_grant_type(client: OAuthClient, grant_type: str) -> None:
    """Refuse a grant the client did not register for.

    Raises:
        Fault: unauthorized_client.
    """
    if grant_type not in client.grant_types:
        problem = f"Client {client.id} is not registered for {grant_type}; register one with that in grant_types"
        raise Fault(faults.UNAUTHORIZED_CLIENT, problem=problem)
