"""Operator reviews and evidence packs."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of

STEPS = (
    Step("missions.open", fixed(intent_summary="To be told about", agent_id="agt_tour"), "told mission"),
    Step("missions.complete", of("told mission", mission_id="mission_id"), "told mission ended"),
    Step(
        "missions.create_dossier",
        lambda replies: {
            "mission_id": replies["told mission"]["mission_id"],
            "narrative": "All went well",
            "lessons_learned": "None",
            "incident_classification": "none",
        },
        "dossier",
    ),
    Step("missions.list_operator_reviews", of("told mission", mission_id="mission_id")),
    Step("missions.download_operator_review", of("dossier", mission_id="mission_id", claim_id="claim_id")),
    Step(
        "evidence_packs.export",
        lambda replies: {"scope": {"kind": "mission", "ref": replies["told mission"]["mission_id"]}},
        "pack",
    ),
    Step("evidence_packs.get", of("pack", pack_id="pack_id")),
    Step("evidence_packs.download", of("pack", pack_id="pack_id")),
    Step("evidence_packs.list", fixed()),
)
