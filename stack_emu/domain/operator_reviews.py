"""Operator reviews: what a human concluded about a mission, kept as signed revisions (COSE_Sign1).

The SDK lists and downloads them (sdk 4.0.0 missions.list_operator_reviews, download_operator_review). Two things make one:
deciding on a checkout of the mission's passports, and filing a dossier, which SDKs 0.9.0 to 0.19.1 do themselves
(missions.create_dossier, 409 unless the mission has ended).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from stack_emu.domain import cose, faults
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.issuance import is_visible
from stack_emu.domain.missions import MissionById, require_visible_mission, status_of
from stack_emu.domain.state import Mission, Passport
from stack_emu.kernel.acts import Act
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Command, Download, Reply, Rest, Tool, operation
from stack_emu.kernel.world import World

DOSSIER, CHECKOUT_REVIEW = "dossier", "checkout_review"


@dataclass(frozen=True)
class OperatorReview:
    """One signed revision; ``id`` is its claim id, ``envelope`` the signed bytes as base64url text."""

    TABLE: ClassVar[str] = "operator_reviews"
    INDEXES: ClassVar[tuple[str, ...]] = ("mission_id", "operator_id")
    id: str
    operator_id: str
    mission_id: str
    revision: int
    issued_at: int
    claim: Mapping[str, Any]
    envelope: str


class OperatorReviewItem(Reply):
    """A revision as lists show it."""

    claim_id: str
    mission_id: str
    operator_id: str
    revision: int
    issued_at: str
    issued_at_ms: int
    claim: dict[str, Any] = Field(description="What was signed; type is dossier or checkout_review")
    body: dict[str, Any] = Field(description="The same, under the name SDKs before 1.0.0 read")
    envelope_cose: str = Field(description="The signed bytes, base64url without padding")


class OperatorReviewList(Reply):
    """Revisions of one mission, oldest first."""

    items: list[OperatorReviewItem]
    total: int


class DossierInput(Command):
    """A dossier about a mission that has ended."""

    mission_id: str = Field(description="Mission id (ms_…)")
    narrative: str = Field(min_length=1, max_length=20_000, description="What happened, in words")
    lessons_learned: str | list[Any] | dict[str, Any] = Field(description="What is to be learned from it")
    incident_classification: str | dict[str, Any] = Field(description="How serious it was")
    alerts_walkthrough: Any = Field(None, description="The alerts that were raised, and what became of them")
    decision_tree: Any = Field(None, description="The decisions that were taken")


class ReviewOfMission(Command):
    """Names one revision."""

    mission_id: str = Field(description="Mission id (ms_…)")
    claim_id: str = Field(description="Claim id (pc_…) of the revision")


def record(world: World, act: Act, mission: Mission, kind: str, content: Mapping[str, Any]) -> OperatorReview:
    """Sign and keep the next revision about a mission.

    Args:
        world: the world.
        act: the act that makes it.
        mission: what it is about.
        kind: ``dossier`` or ``checkout_review``.
        content: what was concluded, JSON data without secrets.
    """
    earlier = list(world.store.find(OperatorReview, mission_id=mission.id))
    body = {"type": kind, "mission_id": mission.id, "revision": len(earlier) + 1, **content}
    subject = f"stack://operator/{mission.operator_id}/mission/{mission.id}"
    envelope = cose.claim(
        operator_id=mission.operator_id,
        subject=subject,
        issued_at_ms=act.stamp_ms,
        claim_type="operator_review",
        payload=body,
    )
    return world.store.put(
        OperatorReview(
            id=act.new_id("claim", "pc_"),
            operator_id=mission.operator_id,
            mission_id=mission.id,
            revision=len(earlier) + 1,
            issued_at=act.stamp_ms,
            claim=body,
            envelope=cose.as_text(cose.sign1(world, envelope)),
        )
    )


def review_item(review: OperatorReview) -> OperatorReviewItem:
    """The public form of a revision."""
    return OperatorReviewItem(
        claim_id=review.id,
        mission_id=review.mission_id,
        operator_id=review.operator_id,
        revision=review.revision,
        issued_at=iso(review.issued_at),
        issued_at_ms=review.issued_at,
        claim=dict(review.claim),
        body=dict(review.claim),
        envelope_cose=review.envelope,
    )


def _may_see(ctx: Context, review: OperatorReview) -> bool:
    """A key limited to some connections sees no revision about a passport that uses others."""
    passport = ctx.world.store.get(Passport, str(review.claim.get("passport_jti")))
    return passport is None or is_visible(ctx.caller, passport)


def _subject(world: World, command: Any) -> str | None:
    mission = world.store.get(Mission, command.mission_id)
    return mission.agent_id if mission is not None else None


@operation(
    "missions.create_dossier",
    rest=Rest("POST", "/v1/missions/{mission_id}/dossier", status=201),
    tool=Tool("stack_create_mission_dossier"),
    auth=Auth(bearers=ACCOUNT, scope="audit:read", role="standard"),
    audit=Audit("mission.dossier"),
    subject=_subject,
    source="sdk 0.9.0 to 0.19.1 missions.create_dossier",
    grade="sdk-implied",
)
def create_dossier(ctx: Context, command: DossierInput) -> OperatorReviewItem:
    """File a dossier about a mission that has ended; it is signed and cannot be changed, only followed by another.

    Raises:
        Fault: NOT_FOUND, or CONFLICT while the mission is active.
    """
    ctx.row.set(mission=command.mission_id)
    mission = require_visible_mission(ctx, command.mission_id)
    ctx.row.set(agent_id=mission.agent_id, intent=mission.intent_summary)
    if status_of(ctx.world, mission) == "active":
        raise Fault(faults.CONFLICT, problem=f"Mission {mission.id} is active: complete or revoke it first")
    content = command.model_dump(mode="json", exclude={"mission_id"}, exclude_none=True)
    review = record(ctx.world, ctx.act, mission, DOSSIER, content)
    ctx.row.set(claim=review.id)
    return review_item(review)


@operation(
    "missions.list_operator_reviews",
    rest=Rest("GET", "/v1/missions/{mission_id}/operator-reviews", aliases=("/v1/missions/{mission_id}/dossiers",)),
    tool=Tool("stack_list_operator_reviews"),
    auth=Auth(bearers=ACCOUNT, scope="audit:read"),
    source="sdk 4.0.0 missions.list_operator_reviews, list_dossiers; sdk 0.9.0 missions.list_dossiers",
    grade="documented",
)
def list_operator_reviews(ctx: Context, command: MissionById) -> OperatorReviewList:
    """List the signed revisions about a mission, oldest first.

    Raises:
        Fault: NOT_FOUND.
    """
    mission = require_visible_mission(ctx, command.mission_id)
    found = ctx.world.store.find(OperatorReview, mission_id=mission.id)
    items = [review_item(review) for review in found if _may_see(ctx, review)]
    return OperatorReviewList(items=items, total=len(items))


@operation(
    "missions.download_operator_review",
    rest=Rest("GET", "/v1/missions/{mission_id}/operator-reviews/{claim_id}/download", media=(cose.MEDIA,)),
    tool=Tool("stack_download_operator_review"),
    auth=Auth(bearers=ACCOUNT, scope="audit:read"),
    source="sdk 4.0.0 missions.download_operator_review",
    grade="documented",
)
def download_operator_review(ctx: Context, command: ReviewOfMission) -> Download:
    """Download the exact signed bytes of one revision: a tagged COSE_Sign1 (RFC 9052).

    Raises:
        Fault: NOT_FOUND for the mission, or a revision that is not this mission's.
    """
    mission = require_visible_mission(ctx, command.mission_id)
    review = ctx.world.store.get(OperatorReview, command.claim_id)
    if review is None or review.mission_id != mission.id or not _may_see(ctx, review):
        raise Fault(faults.NOT_FOUND, what="Operator review", id=command.claim_id)
    return Download(cose.as_bytes(review.envelope), cose.MEDIA, f"{review.id}.cose")
