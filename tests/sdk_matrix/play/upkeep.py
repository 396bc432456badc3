"""The end: what takes things away, each with the read that shows it gone."""

from __future__ import annotations

from play import aside, call


def _revoked(stage, jti):
    found = [row for row in stage.api("GET", "/v1/passports/active") if row["jti"] == jti]
    assert found == [], f"{jti} is still active"


def _fresh(stage, name):
    """A passport of the player's, made through the API."""
    body = {"agent_id": "agt_play", "intent": {"summary": name, "services": ["slack"]}, "ttl_seconds": 900}
    if stage.config["binds"]:
        body["mission_ids"] = ["ms_play"]
    made = stage.kept[name] = stage.api("POST", "/v1/passports/issue", body)
    return made["jti"]


STEPS = (
    call("passports.revoke", "", None, jti=lambda s: _fresh(s, "to revoke"), reason="r"),
    aside(lambda s: _revoked(s, s["to revoke"]["jti"])),
    call(
        "passports.revoke_session",
        "",
        None,
        reason="r",
        session_id=lambda s: (
            _fresh(s, "of a session"),
            next(
                row["session_id"]
                for row in s.api("GET", "/v1/passports/active")
                if row["jti"] == s["of a session"]["jti"]
            ),
        )[1],
    ),
    aside(lambda s: _revoked(s, s["of a session"]["jti"]) if "of a session" in s else None),
    call("passports.revoke_agent", "", None, reason="r", agent_id=lambda s: (_fresh(s, "of an agent"), "agt_play")[1]),
    aside(lambda s: _revoked(s, s["of an agent"]["jti"]) if "of an agent" in s else None),
    call("passports.revoke_all", "", None, reason=lambda s: (_fresh(s, "of all"), "r")[1]),
    aside(lambda s: _revoked(s, s["of all"]["jti"]) if "of all" in s else None),
    call("services.revoke_agent_access", "", None, agent_id="agt_peer"),
    aside(lambda s: None),
    call("services.disconnect", "", None, connection_id=lambda s: s["custom"]["id"]),
    aside(lambda s: _gone(s, s["custom"]["id"])),
    call("agents.delete", "", None, agent_id=lambda s: s["guarded"]["id"]),
    call("agents.get", "deleted", refusal="not found", agent_id=lambda s: s["guarded"]["id"]),
)


def _gone(stage, connection_id):
    listed = [
        one["id"] for one in stage.api("GET", "/v1/services/connected") if one.get("status", "active") == "active"
    ]
    assert connection_id not in listed, f"{connection_id} is still connected"
