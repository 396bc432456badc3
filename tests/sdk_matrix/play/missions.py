"""Missions, the context managers around them, and the audit chain."""

from __future__ import annotations

from play import Step, aside, call
from play.fleets import fleet_mission


def _inside(label, keep, check, **arguments):
    """A step that enters the mission a context manager yields and logs a call in it."""

    def given(stage):
        made = {name: value(stage) if callable(value) else value for name, value in arguments.items()}
        return {**made, "agent_id": "agt_play", "intent": "Work inside", "services": ["slack"]}

    return Step(label, given, keep, check)


STEPS = (
    call(
        "missions.open",
        "opened",
        lambda r, s: r["mission_id"].startswith("ms_"),
        intent_summary="Open and complete",
        agent_id="agt_play",
        intent_services=["slack"],
        max_actions=9,
        expires_in_seconds=900,
    ),
    call(
        "missions.start",
        "started",
        lambda r, s: r["passport"]["token"].count(".") == 2,
        request=lambda s: None if s.config["operator_start"] else fleet_mission(s),
        agent_id="agt_play",
        mission={"intent_summary": "Start", "intent_services": ["slack"]},
        passport={"intent": {"summary": "Start", "services": ["slack"], "will_delegate": False}, "ttl_seconds": 600},
    ),
    call(
        "missions.renew",
        "renewed",
        lambda r, s: r["mission_id"] == s["started"]["mission_id"],
        mission_id=lambda s: s["started"]["mission_id"],
    ),
    call(
        "missions.get",
        "",
        lambda r, s: "opened" not in s or r["status"] in ("active", "open"),
        mission_id=lambda s: s["opened"]["mission_id"],
    ),
    call("missions.list", "", lambda r, s: s["opened"]["mission_id"] in str(r)),
    call("missions.activity", "", lambda r, s: r["total"] > 0, mission_id=lambda s: s["opened"]["mission_id"]),
    call("missions.replay", "", lambda r, s: r["total"] > 0, mission_id=lambda s: s["opened"]["mission_id"]),
    call(
        "missions.complete",
        "",
        lambda r, s: r["terminal_state"] == "completed_successful",
        mission_id=lambda s: s["opened"]["mission_id"],
        output={"done": True},
    ),
    call(
        "missions.get",
        "completed",
        lambda r, s: r["status"] == "completed",
        mission_id=lambda s: s["opened"]["mission_id"],
    ),
    call(
        "missions.revoke",
        "",
        None,
        mission_id=lambda s: s["started"]["mission_id"] if "started" in s else "ms_play_2",
        reason="adversarial",
        notes="n",
    ),
    call(
        "missions.get",
        "revoked",
        lambda r, s: r["status"] == "revoked",
        mission_id=lambda s: s["started"]["mission_id"] if "started" in s else "ms_play_2",
    ),
    aside(
        lambda s: (
            s.api(
                "POST",
                f"/v1/missions/{s['opened']['mission_id']}/dossier",
                {"narrative": "n", "lessons_learned": "l", "incident_classification": "none"},
            )
            if "opened" in s
            else None
        )
    ),
    call(
        "missions.list_operator_reviews",
        "reviews of a mission",
        lambda r, s: len(r["items"]) >= 1,
        mission_id=lambda s: s["opened"]["mission_id"],
    ),
    call(
        "missions.download_operator_review",
        "",
        lambda r, s: r["head"].startswith("d284"),
        mission_id=lambda s: s["opened"]["mission_id"],
        claim_id=lambda s: s["reviews of a mission"]["items"][0]["claim_id"],
    ),
    call(
        "missions.create_dossier",
        "",
        None,
        mission_id=lambda s: s["opened"]["mission_id"],
        narrative="n",
        lessons_learned="l",
        incident_classification="none",
    ),
    call(
        "missions.list_dossiers", "", lambda r, s: len(r["items"]) >= 1, mission_id=lambda s: s["opened"]["mission_id"]
    ),
    _inside("passports.mission", "in a mission", lambda r, s: r["review_status"] in ("clean", "flagged")),
    _inside(
        "passports.continuous_mission",
        "in rotation",
        lambda r, s: r["review_status"] in ("clean", "flagged"),
        rotation_interval="1h",
    ),
    call("audit.list", "", lambda r, s: len(r["entries"] if isinstance(r, dict) else r) == 5, limit=5, page=1),
    call("audit.chain_head", "", lambda r, s: len(r["entry_hash"]) == 64),
    call("audit.verify_chain", "", lambda r, s: r["valid"] is True and r["checked"] > 20),
)
