"""Evidence packs: everything the account knows about a mission, a session, an incident or a quarter, signed as of now.

A pack is two things (sdk 4.0.0 evidence_packs): the manifest, whose exact bytes can be downloaded, and a claim about its
SHA-256 as COSE_Sign1. Both can be checked offline with the published key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from stack_emu.domain import cose, faults
from stack_emu.domain.authentication import ACCOUNT
from stack_emu.domain.evidence_scopes import SCOPES, Evidence, gather
from stack_emu.domain.state import Operator
from stack_emu.domain.tokens import signer
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Context
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.operations import Audit, Auth, Caller, Command, Download, Reply, Rest, Tool, operation, written_as
from stack_emu.kernel.store import replace
from stack_emu.kernel.world import World

FORMAT = "stack-emu/evidence-pack/1"
TIERS = ("enterprise",)


@dataclass(frozen=True)
class EvidencePack:
    """A pack that was exported. ``manifest`` is the text whose UTF-8 bytes are downloaded, ``envelope`` base64url."""

    TABLE: ClassVar[str] = "evidence_packs"
    INDEXES: ClassVar[tuple[str, ...]] = ("operator_id", "scope")
    id: str
    operator_id: str
    claim_id: str
    scope: str
    created_at: int
    manifest: str
    sha256: str
    claim: Mapping[str, Any]
    envelope: str
    air_gap: bool = False
    supersedes: str | None = None
    superseded_by: str | None = None


class PackScope(Command):
    """What a pack is about."""

    kind: Literal["mission", "session", "incident", "period"] = Field(
        description="mission, session, incident or period"
    )
    ref: str = Field(
        min_length=1, max_length=256, description="ms_… id, ses_… id, security event id (sev_…), or a quarter: 2026-Q1"
    )

    @property
    def reference(self) -> str:
        """The reference without the kind some callers put before it, as in ``period:2026-Q1``."""
        return self.ref.removeprefix(f"{self.kind}:")

    @property
    def label(self) -> str:
        """``<kind>:<reference>``, as lists are filtered by."""
        return f"{self.kind}:{self.reference}"


class ExportPack(Command):
    """What to export."""

    scope: PackScope = Field(description="What the pack is about")
    supersedes: str | None = Field(None, description="Id of an earlier pack of the same scope that this one replaces")
    air_gap: bool = Field(False, description="Put the public key into the manifest, for checking without a network")


class PackById(Command):
    """Names a pack."""

    pack_id: str = Field(description="Pack id (pck_…)")


class ListPacks(Command):
    """Which packs to list."""

    scope: str | None = Field(
        None,
        description="Only packs of this scope: <kind>:<reference>, such as mission:ms_1",
        json_schema_extra=written_as(pattern=f"^({'|'.join(SCOPES)}):[!-~]+$"),
    )


class PackReply(Reply):
    """A pack without its manifest."""

    pack_id: str
    claim_id: str
    operator_id: str
    scope: dict[str, str]
    created_at: str
    supersedes: str | None
    superseded_by: str | None
    air_gap: bool
    manifest_sha256: str = Field(description="SHA-256 of the exact bytes that are downloaded, hex")
    manifest_bytes: int
    pack_claim: dict[str, Any] = Field(description="What was signed, readable")
    envelope_cose: str = Field(description="The signed claim: a tagged COSE_Sign1, base64url without padding")


class ExportedPack(PackReply):
    """A pack with its manifest."""

    manifest: dict[str, Any]


class PackList(Reply):
    """Packs, newest first."""

    items: list[PackReply]
    total: int


def _whole_account(world: World, caller: Caller, command: Any) -> None:
    """Packs show everything of their scope, so a member limited to some connections gets none."""
    if caller.allowed_connections is not None:
        reason = "Evidence packs show a whole account; a key limited by allowed_connections cannot use them"
        raise Fault(faults.FORBIDDEN, reason=reason)


_READS = Auth(bearers=ACCOUNT, scope="audit:read", narrow=_whole_account)


@operation(
    "evidence_packs.export",
    rest=Rest("POST", "/v1/evidence-packs", status=201),
    tool=Tool("stack_export_evidence_pack"),
    auth=Auth(bearers=ACCOUNT, scope="audit:read", role="standard", narrow=_whole_account),
    audit=Audit("evidence.export"),
    source="sdk 4.0.0 evidence_packs.export; the manifest's shape is not published",
    grade="documented",
)
def export_pack(ctx: Context, command: ExportPack) -> ExportedPack:
    """Export a pack: rows, missions, passports, reviews and signals of a scope as of now, with a signed claim.

    Raises:
        Fault: FORBIDDEN below the enterprise tier, NOT_FOUND for an unknown mission, session, incident or earlier pack,
            INVALID_REQUEST for a period that is no quarter, CONFLICT for an earlier pack of another scope, or one that
            was replaced before.
    """
    label = command.scope.label
    ctx.row.set(scope=label)
    _require_tier(ctx)
    earlier = _superseded(ctx, command)
    evidence = gather(ctx, command.scope.kind, command.scope.reference)
    pack = _sealed(ctx, command, evidence)
    ctx.world.store.put(pack)
    if earlier is not None:
        ctx.world.store.put(replace(earlier, superseded_by=pack.id))
    ctx.row.set(pack=pack.id, claim=pack.claim_id, supersedes=pack.supersedes)
    ctx.row.payload_hash = pack.sha256
    return ExportedPack(**_fields(pack), manifest=json.loads(pack.manifest))


@operation(
    "evidence_packs.get",
    rest=Rest("GET", "/v1/evidence-packs/{pack_id}"),
    tool=Tool("stack_get_evidence_pack"),
    auth=_READS,
    source="sdk 4.0.0 evidence_packs.get",
    grade="documented",
)
def get_pack(ctx: Context, command: PackById) -> PackReply:
    """Read one pack: its signed envelope and what was signed.

    Raises:
        Fault: NOT_FOUND.
    """
    return PackReply(**_fields(_require_pack(ctx, command.pack_id)))


@operation(
    "evidence_packs.download",
    rest=Rest("GET", "/v1/evidence-packs/{pack_id}/download"),
    tool=Tool("stack_download_evidence_pack"),
    auth=_READS,
    source="sdk 4.0.0 evidence_packs.download",
    grade="documented",
)
def download_pack(ctx: Context, command: PackById) -> Download:
    """Download the exact bytes of a pack's manifest, whose SHA-256 the signed claim names.

    Raises:
        Fault: NOT_FOUND.
    """
    pack = _require_pack(ctx, command.pack_id)
    return Download(pack.manifest.encode("utf-8"), "application/json", f"{pack.id}.json")


@operation(
    "evidence_packs.list",
    rest=Rest("GET", "/v1/evidence-packs"),
    tool=Tool("stack_list_evidence_packs"),
    auth=Auth(bearers=ACCOUNT, scope="audit:read"),
    source="sdk 4.0.0 evidence_packs.list",
    grade="documented",
)
def list_packs(ctx: Context, command: ListPacks) -> PackList:
    """List the account's packs, newest first; a key that is limited to some connections is shown none.

    Raises:
        Fault: INVALID_REQUEST for a scope that is not <kind>:<reference>.
    """
    if command.scope is not None and not re.fullmatch(rf"(?:{'|'.join(SCOPES)}):.+", command.scope):
        problem = f"scope: write <kind>:<reference> with a kind of {', '.join(SCOPES)}, such as mission:ms_1"
        raise Fault(faults.INVALID_REQUEST, problem=problem, details={"fields": {"scope": problem}})
    may_see = ctx.caller.allowed_connections is None
    found = ctx.world.store.find(EvidencePack, operator_id=ctx.operator_id) if may_see else ()
    packs = [pack for pack in found if command.scope in (None, pack.scope)]
    return PackList(items=[PackReply(**_fields(pack)) for pack in reversed(packs)], total=len(packs))


def _require_tier(ctx: Context) -> None:
    operator = ctx.world.store.get(Operator, ctx.operator_id)
    tier = operator.tier if operator is not None else "free"
    if tier not in TIERS:
        reason = f"Evidence packs need the tier {' or '.join(TIERS)}; this account is on {tier}"
        raise Fault(faults.FORBIDDEN, reason=reason, details={"needs_tier": list(TIERS), "tier": tier})


def _require_pack(ctx: Context, pack_id: str) -> EvidencePack:
    pack = ctx.world.store.get(EvidencePack, pack_id)
    if pack is None or pack.operator_id != ctx.operator_id:
        raise Fault(faults.NOT_FOUND, what="Evidence pack", id=pack_id)
    return pack


def _superseded(ctx: Context, command: ExportPack) -> EvidencePack | None:
    if command.supersedes is None:
        return None
    earlier = _require_pack(ctx, command.supersedes)
    if earlier.scope != command.scope.label:
        problem = f"Pack {earlier.id} is about {earlier.scope}, so a pack about {command.scope.label} cannot replace it"
        raise Fault(faults.CONFLICT, problem=problem)
    if earlier.superseded_by is not None:
        problem = f"Pack {earlier.id} was replaced before, by {earlier.superseded_by}: supersede that one"
        raise Fault(faults.CONFLICT, problem=problem)
    return earlier


def _sealed(ctx: Context, command: ExportPack, evidence: Evidence) -> EvidencePack:
    pack_id = ctx.act.new_id("evidence_pack", "pck_")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "pack_id": pack_id,
        "operator_id": ctx.operator_id,
        "scope": {"kind": command.scope.kind, "ref": command.scope.reference},
        "generated_at": iso(ctx.stamp_ms),
        "supersedes": command.supersedes,
        "air_gap": command.air_gap,
        **evidence.sections(),
    }
    if command.air_gap:
        manifest["jwks"] = signer(ctx.world).jwks()
    text = canonical_json(manifest)
    digest = hashlib.sha256(text).hexdigest()
    claim = cose.claim(
        operator_id=ctx.operator_id,
        subject=f"stack://operator/{ctx.operator_id}/evidence-pack/{pack_id}",
        issued_at_ms=ctx.stamp_ms,
        claim_type="evidence_pack",
        payload={
            "pack_id": pack_id,
            "scope": command.scope.label,
            "manifest_sha256": digest,
            "manifest_bytes": len(text),
            "chain_head": evidence.chain_head,
            "counts": evidence.counts(),
            "supersedes": command.supersedes,
        },
    )
    return EvidencePack(
        id=pack_id,
        operator_id=ctx.operator_id,
        claim_id=ctx.act.new_id("claim", "pc_"),
        scope=command.scope.label,
        created_at=ctx.stamp_ms,
        manifest=text.decode("utf-8"),
        sha256=digest,
        claim=claim,
        envelope=cose.as_text(cose.sign1(ctx.world, claim)),
        air_gap=command.air_gap,
        supersedes=command.supersedes,
    )


def _fields(pack: EvidencePack) -> dict[str, Any]:
    kind, _, reference = pack.scope.partition(":")
    return {
        "pack_id": pack.id,
        "claim_id": pack.claim_id,
        "operator_id": pack.operator_id,
        "scope": {"kind": kind, "ref": reference},
        "created_at": iso(pack.created_at),
        "supersedes": pack.supersedes,
        "superseded_by": pack.superseded_by,
        "air_gap": pack.air_gap,
        "manifest_sha256": pack.sha256,
        "manifest_bytes": len(pack.manifest.encode("utf-8")),
        "pack_claim": dict(pack.claim),
        "envelope_cose": pack.envelope,
    }
