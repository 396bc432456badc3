"""The rest of the recorded calls: every parameter a method has, and the required ones alone, each where it can succeed.

For versions from 4.0.0 on; what older ones send is in the acts before.
"""

from __future__ import annotations

from play import aside, call
from play.fleets import member_of

WRITE = {
    "service": "slack",
    "method": "POST",
    "url": "https://slack.com/api/chat.postMessage",
    "body": {"channel": "#engineering", "text": "swept"},
}
UNNEEDED = "gvr_not_needed"
"""An approval sent along with a change that waits for none."""
ANYTHING = {"type": "object"}


def swept(label, keep, check=None, **arguments):
    """A call of the newest version, with meaning checked where the reply has any."""
    return call(label, f"{keep} swept", check, applies=lambda s: s.config["sweeps"], **arguments)


def governed(label, keep, check=None, **arguments):
    """A change that waits for a human's approval, which is then sent along."""
    return call(label, f"{keep} swept", check, governed=True, applies=lambda s: s.config["sweeps"], **arguments)


def _token(stage, **more):
    """A fresh passport of the player's."""
    body = {
        "agent_id": "agt_play",
        "mission_ids": ["ms_play"],
        "intent": {"summary": "Sweep", "services": ["slack", "things"]},
        **more,
    }
    return stage.api("POST", "/v1/passports/issue", body)


def approved(stage, token, intent):
    """An approved intent for a call of a passport."""
    url = stage.config["base_url"] + "/v1/intents/submit"
    key = f"Bearer {stage.config['api_key']}"
    made = stage.request("POST", url, {"intent": intent}, Authorization=key, X_Passport_Token=token)
    if stage.api("GET", f"/v1/intents/{made['approval_id']}")["status"] == "pending":
        stage.api("POST", f"/v1/intents/{made['approval_id']}/approve", {})
    return made["approval_id"]


def with_token(name, **more):
    """A step's arguments that share one fresh passport."""

    def given(stage):
        stage.kept[name] = _token(stage, **more)
        return stage[name]["token"]

    return given


def _checked_out(stage):
    made = _token(stage)
    body = {"services_used": ["stripe"], "actions_count": 1}
    return stage.api("POST", f"/v1/passports/{made['jti']}/checkout", body)["checkout_id"]


def _authority(stage, path, body, number=1):
    url, key = stage.config["base_url"] + f"/v1/authority/{path}", f"Bearer {stage.config['api_key']}"
    sent = {"Authorization": key, "Idempotency_Key": f"idem-key-sweep-{number}-{path.replace('/', '-')}"[:60]}
    return next(iter(stage.request("POST", url, body, **sent).values()))


def _bind(stage):
    """A binding of a principal's that waits to be activated, and a proof."""
    if not stage.config["sweeps"]:
        return
    principal = _authority(stage, "principals", {"principal_kind": "individual", "alias": "Swept"})
    proof = _authority(stage, "proofs/import", {"principal_id": principal["id"], "proof_kind": "mandate"})
    made = {"principal_id": principal["id"], "agent_id": "agt_play", "services": ["slack"]}
    binding = _authority(stage, "bindings", made)
    _authority(stage, f"bindings/{binding['id']}/approval-requests", {})
    stage.kept.update({"swept proof": proof["id"], "swept binding": binding["id"]})
    member = stage.kept["swept member"] = member_of(stage, "swept-member")["agent_id"]
    theirs = _authority(stage, "bindings", {**made, "agent_id": member}, 2)["id"]
    _authority(stage, f"bindings/{theirs}/approval-requests", {}, 2)
    stage.kept["member's binding"] = _authority(stage, f"bindings/{theirs}/activate", {}, 2)["id"]


STEPS = (
    # --- authority: a version of a record
    aside(_bind, "authority"),
    swept(
        "authority.get_proof",
        "version",
        lambda r, s: r["version"] == 1,
        proof_id=lambda s: s["swept proof"],
        version=1,
    ),
    swept("authority.get_binding", "now", None, binding_id=lambda s: s["swept binding"]),
    swept(
        "authority.get_binding",
        "version",
        lambda r, s: r["version"] == 1,
        binding_id=lambda s: s["swept binding"],
        version=1,
    ),
    swept(
        "authority.activate_binding",
        "version",
        lambda r, s: r["status"] == "active",
        binding_id=lambda s: s["swept binding"],
        idempotency_key="idem-key-sweep-activate",
        version=lambda s: s["now swept"]["version"],
    ),
    # --- accounts, agents, logs
    swept(
        "agents.register",
        "all of an agent",
        lambda r, s: (r["llm_redact_pii"], r["on_critical"], r["key_mode"]) == (False, "block", "stack_managed"),
        name="swept",
        description="d",
        profile="proxied-llm-bot",
        accountability_mode="logged",
        credential_access="proxy_only",
        key_mode="stack_managed",
        on_warning="block",
        on_critical="block",
        llm_inject_system_prompt=False,
        llm_redact_pii=False,
    ),
    swept(
        "agents.register", "least of an agent", lambda r, s: r["accountability_mode"] == "enforced", name="swept-least"
    ),
    swept(
        "agents.update",
        "agent",
        lambda r, s: (r["name"], r["llm_redact_pii"]) == ("swept-anew", True),
        agent_id=lambda s: s["all of an agent swept"]["id"],
        free={"name": "swept-anew", "llm_redact_pii": True},
    ),
    swept(
        "audit.list",
        "rows of an agent",
        lambda r, s: r["entries"] and all(row["agent_id"] == "agt_play" for row in r["entries"]),
        limit=5,
        since=1_000,
        agent_id="agt_play",
        passport_jti=lambda s: _token(s)["jti"],
    ),
    swept(
        "audit.verify_chain",
        "window of the chain",
        lambda r, s: r["valid"] is True,
        from_date="2020-01-01",
        to_date="2099-01-01",
        limit=10,
    ),
    swept(
        "credentials.get",
        "credential",
        lambda r, s: bool(r["credential"]),
        provider="things",
        passport_token=with_token("a"),
    ),
    swept(
        "credentials.get_by_connection",
        "credential",
        lambda r, s: bool(r["credential"]),
        connection_id="scon_things",
        passport_token=with_token("b"),
    ),
    swept(
        "services.connect_custom",
        "least",
        lambda r, s: "play-least-key" not in str(r),
        name="Play least",
        credential={"api_key": "play-least-key"},
    ),
    swept("team.invite", "least", lambda r, s: r["role"] == "standard", email="least@play.test", name="Least"),
    swept("usage.get", "window", lambda r, s: "consumption" in r, since="2020-01-01", until="2099-01-01"),
    swept("missions.list", "page", lambda r, s: len(r["items"]) <= 10, status="active", page=1, limit=10),
    swept("security_events.list", "page", lambda r, s: r["page"] == 2, agent_id="agt_play", page=2, limit=5),
    swept(
        "scan.scan",
        "in context",
        lambda r, s: r["verdict"] == "clean",
        content="Good morning",
        context="email",
        source="a@b",
        passport_token=with_token("c"),
    ),
    # --- passports and missions
    swept(
        "missions.open", "least", lambda r, s: r["mission_id"].startswith("ms_"), intent_summary="Sweep with the least"
    ),
    swept(
        "missions.revoke",
        "without notes",
        lambda r, s: r["terminal_state"],
        mission_id=lambda s: s["least swept"]["mission_id"],
        reason="adversarial",
    ),
    swept(
        "missions.start",
        "least",
        lambda r, s: r["passport"]["token"],
        agent_id="agt_play",
        mission={"intent_summary": "Start with the least"},
    ),
    swept(
        "passports.issue",
        "least",
        lambda r, s: r["token"].count(".") == 2,
        agent_id="agt_free",
        mission_ids=["ms_free"],
    ),
    swept(
        "passports.issue",
        "all",
        lambda r, s: r["token"].count(".") == 2,
        agent_id="agt_play",
        mission_ids=["ms_play"],
        intent="Do it",
        services=["slack"],
        will_delegate=True,
        estimated_duration="30m",
        checkpoint_interval="5m",
        ttl_seconds=600,
        scopes=[{"service_connection_id": "scon_slack", "scopes": ["chat:write"]}],
        authority_binding_ids=lambda s: [s["swept binding"]],
    ),
    swept("stack.issue_passport", "least", None, agent_id="agt_free", mission_ids=["ms_free"]),
    swept(
        "stack.issue_passport",
        "all",
        None,
        agent_id="agt_play",
        mission_ids=["ms_play"],
        ttl_seconds=900,
        accountability_mode="logged",
        authority_binding_ids=lambda s: [s["swept binding"]],
        free={
            "services": [{"service_connection_id": "scon_slack"}],
            "intents": [{"name": "slack.post_to", "params": {"channel": "#engineering"}}],
            "intent": {"summary": "Sweep", "services": ["slack"]},
        },
    ),
    swept("passports.list_active", "every", lambda r, s: len(r) > 0),
    swept(
        "passports.list_active",
        "of a session",
        lambda r, s: len(r) >= 1 and {one["agent_id"] for one in r} == {"agt_play"},
        agent_id="agt_play",
        session_id=lambda s: next(one["session_id"] for one in s["every swept"] if one["agent_id"] == "agt_play"),
    ),
    swept("passports.refresh", "least", lambda r, s: r["jti"], token=with_token("d")),
    swept(
        "passports.delegate",
        "least",
        lambda r, s: r["jti"],
        parent_token=lambda s: s["least swept"]["token"] if "token" in s["least swept"] else _token(s)["token"],
        child_agent_id="agt_peer",
    ),
    swept(
        "passports.checkpoint",
        "all",
        lambda r, s: r["passport_jti"] == s["d"]["jti"] or r["passport_jti"],
        passport_jti=lambda s: s["a"]["jti"],
        services_used=["slack"],
        actions_count=1,
        tool_calls=[{"service": "slack", "method": "POST"}],
        summary="s",
        delegated_to=["agt_peer"],
    ),
    swept(
        "passports.checkpoint",
        "least",
        None,
        passport_jti=lambda s: s["a"]["jti"],
        services_used=["slack"],
        actions_count=1,
    ),
    swept(
        "passports.checkout",
        "all",
        lambda r, s: r["checkout_id"],
        passport_jti=lambda s: s["a"]["jti"],
        services_used=["things"],
        actions_count=1,
        tool_calls=[{"service": "things", "method": "GET"}],
        summary="s",
        delegated_to=["agt_peer"],
    ),
    governed(
        "reviews.decide",
        "least",
        lambda r, s: r["decision"] == "approved",
        checkout_id=lambda s: s.kept.setdefault("to approve", _checked_out(s)),
        decision="approved",
    ),
    swept(
        "reviews.decide",
        "all",
        lambda r, s: (r["decision"], r["passport_blocked"]) == ("blocked", True),
        checkout_id=_checked_out,
        decision="blocked",
        notes="n",
        block_future=True,
        governance_approval_id=UNNEEDED,
    ),
    governed("agents.unblock", "agent", None, agent_id="agt_play"),
)
