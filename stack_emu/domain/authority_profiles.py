"""Versions of authority profiles; one of a kind is active (sdk 4.0.0 authority)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stack_emu.domain.authority_records import (
    HEADERS,
    WRITES,
    OpenWrite,
    Profile,
    Shown,
    Write,
    base,
    change,
    conflict,
    entry_fields,
    invalid,
    known,
    named,
    once,
    own,
)
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.operations import Audit, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World

_KIND = r"^[a-z][a-z0-9_]{0,63}$"


class CreateProfile(OpenWrite):
    """A new version of a profile; whatever else is sent is kept with it."""

    profile_kind: str = Field(pattern=_KIND, description="What it is a profile of, for example receiver")


class ActivateProfile(Write):
    """Names the version to activate."""

    profile_id: str = Field(description="Profile version id (apv_…)")
    profile_kind: str = Field(pattern=_KIND, description="Its kind")


class ProfileReply(Reply):
    """A version of a profile."""

    profile: Shown


def profile_view(world: World, profile: Profile) -> dict[str, Any]:
    """A profile version as it is shown; ``version`` counts within its kind."""
    return {**base(profile), "profile_kind": profile.profile_kind, "version": profile.number}


@operation(
    "authority.create_profile_version",
    rest=Rest("POST", "/v1/authority/profile-versions", status=201, headers=HEADERS),
    tool=Tool("stack_create_authority_profile_version"),
    auth=WRITES,
    audit=Audit("authority.create_profile_version"),
    source="sdk 4.0.0 authority.create_profile_version",
    grade="sdk-implied",
)
def create_profile(ctx: Context, command: CreateProfile) -> ProfileReply:
    """Draft the next version of a profile of a kind.

    Raises:
        Fault: INVALID_REQUEST, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ProfileReply:
        earlier = [one for one in known(ctx, Profile) if one.profile_kind == command.profile_kind]
        profile = Profile(
            id=ctx.act.new_id("authority-profile", "apv_"),
            profile_kind=command.profile_kind,
            number=len(earlier) + 1,
            status="draft",
            **entry_fields(ctx, command.model_extra),
        )
        ctx.world.store.put(profile)
        ctx.row.set(**named(profile))
        return ProfileReply(profile=Shown.model_validate(profile_view(ctx.world, profile)))

    return once(ctx, command, ProfileReply, make)


@operation(
    "authority.activate_profile_version",
    rest=Rest("POST", "/v1/authority/profile-versions/{profile_id}/activate", headers=HEADERS),
    tool=Tool("stack_activate_authority_profile_version"),
    auth=WRITES,
    audit=Audit("authority.activate_profile_version"),
    source="sdk 4.0.0 authority.activate_profile_version",
    grade="sdk-implied",
)
def activate_profile(ctx: Context, command: ActivateProfile) -> ProfileReply:
    """Activate a version of a profile; the one of its kind that was active is superseded.

    Raises:
        Fault: NOT_FOUND, INVALID_REQUEST for another kind, CONFLICT when it is active, IDEMPOTENCY_CONFLICT.
    """

    def make() -> ProfileReply:
        profile = own(ctx, Profile, command.profile_id)
        ctx.row.set(**named(profile))
        if profile.profile_kind != command.profile_kind:
            raise invalid("profile_kind", f"{profile.id} is of kind {profile.profile_kind}")
        if profile.status == "active":
            raise conflict(f"{profile.id} is active already")
        for other in known(ctx, Profile):
            if (other.profile_kind, other.status) == (profile.profile_kind, "active"):
                change(ctx, other, profile_view, status="superseded")
        active = change(ctx, profile, profile_view, status="active")
        return ProfileReply(profile=Shown.model_validate(profile_view(ctx.world, active)))

    return once(ctx, command, ProfileReply, make)
