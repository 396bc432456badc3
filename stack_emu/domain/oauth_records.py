"""The records of signing in over OAuth. Codes, tokens and secrets are kept as digests; times are epoch milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

PENDING, APPROVED, DENIED = "pending", "approved", "denied"
AUTHORIZATION, DEVICE, ENROLLMENT = "authorization", "device", "enrollment"


@dataclass(frozen=True)
class OAuthClient:
    """A program that signs people in. ``id`` is the client_id, ``secret`` the digest of its secret; None: a public client.

    ``scopes`` are those it may ask for, ``grant_types`` the grants it may use.
    """

    TABLE: ClassVar[str] = "oauth_clients"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    name: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    grant_types: tuple[str, ...]
    created_at: int
    secret: str | None = None
    auth_method: str = "none"


@dataclass(frozen=True)
class ConsentRequest:
    """A question for a person: may this client, or this agent's key, be let in?

    ``kind`` is authorization, device or enrollment. ``operator_id`` is None while several accounts could answer. ``csrf`` is
    what the form on the page carries; ``issuer`` the origin the client asked under.
    """

    TABLE: ClassVar[str] = "oauth_consents"
    INDEXES: ClassVar[tuple[str, ...]] = ("user_code",)
    id: str
    kind: str
    csrf: str
    created_at: int
    expires_at: int
    operator_id: str | None = None
    status: str = PENDING
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    resource: str | None = None
    redirect_uri: str = ""
    redirect_given: bool = True
    challenge: str = ""
    state: str | None = None
    issuer: str = ""
    user_code: str | None = None
    agent_id: str | None = None
    machine: str | None = None
    process: str | None = None


@dataclass(frozen=True)
class OAuthGrant:
    """What a person agreed to: every code and token that came of it belongs to it, and ends with it."""

    TABLE: ClassVar[str] = "oauth_grants"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "client_id")
    id: str
    operator_id: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str | None
    created_at: int
    revoked_at: int | None = None
    revoked_because: str | None = None


@dataclass(frozen=True)
class AuthorizationCode:
    """A code on its way to the client; ``id`` is its digest. A used one is kept to know it again."""

    TABLE: ClassVar[str] = "oauth_codes"
    INDEXES: ClassVar[tuple[str, ...]] = ("grant_id",)
    id: str
    grant_id: str
    client_id: str
    redirect_uri: str
    redirect_given: bool
    challenge: str
    expires_at: int
    used: bool = False


@dataclass(frozen=True)
class AccessToken:
    """A bearer; ``id`` is its digest."""

    TABLE: ClassVar[str] = "oauth_access_tokens"
    INDEXES: ClassVar[tuple[str, ...]] = ("grant_id",)
    id: str
    grant_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token; ``id`` is its digest. ``rotated_at`` is when it was first used."""

    TABLE: ClassVar[str] = "oauth_refresh_tokens"
    INDEXES: ClassVar[tuple[str, ...]] = ("grant_id",)
    id: str
    grant_id: str
    issued_at: int
    expires_at: int
    rotated_at: int | None = None


@dataclass(frozen=True)
class DeviceCode:
    """What a device polls with; ``id`` is the code's digest. ``used`` once it was exchanged."""

    TABLE: ClassVar[str] = "oauth_device_codes"
    INDEXES: ClassVar[tuple[str, ...]] = ("consent_id",)
    id: str
    client_id: str
    consent_id: str
    expires_at: int
    interval_seconds: int
    polled_at: int | None = None
    grant_id: str | None = None
    used: bool = False
