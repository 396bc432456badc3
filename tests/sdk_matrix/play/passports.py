"""Agents, services, credentials, passports, proxied calls, reviews, drop-offs, intents."""

from __future__ import annotations

from play import aside, call, ids

SLACK = "https://slack.com/api/chat.postMessage"
HTTP = "https://things.test/things"
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
REQUEST = "AAAAAAAAAAAAAAAAAAAAAAAA"


def _mission(stage):
    """A mission of the worker's, for versions that bind passports to one."""
    if not stage.config["binds"]:
        return None
    if "worker mission" not in stage:
        body = {"intent_summary": "Play", "agent_id": stage["worker"]["id"], "expires_in_seconds": 3600}
        stage.kept["worker mission"] = stage.api("POST", "/v1/missions", body)
    return [stage["worker mission"]["mission_id"]]


def _refresh_worker(stage):
    """A live passport token of the logged agent, made outside the SDK when the version cannot."""
    return stage["worker passport"]["token"]


STEPS = (
    call(
        "agents.register",
        "worker",
        lambda r, s: r["status"] == "active",
        name="worker",
        description="d",
        accountability_mode="logged",
        credential_access="direct",
        profile=None,
    ),
    call(
        "agents.register",
        "guarded",
        lambda r, s: r["accountability_mode"] == "enforced",
        name="guarded",
        accountability_mode="enforced",
    ),
    call("agents.get", "", lambda r, s: r["name"] == "worker", agent_id=lambda s: s["worker"]["id"]),
    call("agents.list", "", lambda r, s: {s["worker"]["id"], s["guarded"]["id"]} <= set(ids(r))),
    call(
        "agents.update",
        "",
        lambda r, s: r["description"] == "changed",
        agent_id=lambda s: s["worker"]["id"],
        free={"description": "changed"},
    ),
    call("agents.suspend", "", lambda r, s: r["status"] == "suspended", agent_id=lambda s: s["guarded"]["id"]),
    call("agents.activate", "", lambda r, s: r["status"] == "active", agent_id=lambda s: s["guarded"]["id"]),
    call("agents.get", "unknown agent", refusal="not found", agent_id="agt_nobody"),
    call("services.list_available", "", lambda r, s: any(one["provider"] == "slack" for one in r)),
    call("services.list_templates", "", lambda r, s: len(r) > 0),
    call(
        "services.connect",
        "github",
        lambda r, s: r["provider"] == "github",
        service_id="svc_github",
        provider="github",
        credential="ghp-play-credential",
        oauth_token="ghp-play-credential",
        scopes=["repo"],
    ),
    call(
        "services.connect_custom",
        "custom",
        lambda r, s: "play-custom-key" not in str(r),
        name="Play CRM",
        credential={"api_key": "play-custom-key"},
        description="d",
        scopes=["read"],
    ),
    call(
        "services.list",
        "",
        lambda r, s: {"scon_slack", s.api("GET", "/v1/services/connected")[-1]["id"]} <= set(ids(r)),
    ),
    call("services.verify", "", lambda r, s: r["verified"] is True, connection_id="scon_slack"),
    call(
        "services.grant_agent_access",
        "",
        lambda r, s: r["scopes"] == ["chat:write"],
        agent_id=lambda s: s["worker"]["id"],
        service_connection_id="scon_slack",
        scopes=["chat:write"],
    ),
    aside(
        lambda s: [
            s.api("POST", "/v1/services/grant", {"agent_id": s["worker"]["id"], "service_connection_id": one})
            for one in ("scon_slack", "scon_things")
        ]
    ),
    call(
        "services.get_agent_permissions", "", lambda r, s: "scon_slack" in str(r), agent_id=lambda s: s["worker"]["id"]
    ),
    call("credentials.get", "", lambda r, s: r["provider"] == "things" and bool(r["credential"]), provider="things"),
    call("credentials.get_by_connection", "", lambda r, s: r["provider"] == "more", connection_id="scon_more"),
    call(
        "passports.issue",
        "worker passport",
        lambda r, s: r["jti"] and r["token"].count(".") == 2,
        agent_id=lambda s: s["worker"]["id"],
        intent="Post",
        services=["slack", "things"],
        will_delegate=True,
        ttl_seconds=900,
        mission_ids=_mission,
    ),
    call(
        "stack.issue_passport",
        "session",
        None,
        agent_id="agt_play",
        mission_ids=["ms_play"],
        ttl_seconds=900,
        free={"intent": {"summary": "Play on", "services": ["slack"], "will_delegate": False}},
    ),
    call(
        "passports.list_active",
        "",
        lambda r, s: s["worker passport"]["jti"] in str(r),
        agent_id=lambda s: s["worker"]["id"],
    ),
    call("passports.verify", "", lambda r, s: r["valid"] is True, token=lambda s: s["worker passport"]["token"]),
    call(
        "proxy.request",
        "posted",
        lambda r, s: r["status"] == 200 and r["body"]["ok"] is True,
        service="slack",
        url=SLACK,
        method="POST",
        body={"channel": "#engineering", "text": "played"},
        passport_token=_refresh_worker,
        authority_request_id=REQUEST,
    ),
    aside(lambda s: _seen(s, "slack", "played") if "posted" in s else None),
    call(
        "proxy.get",
        "",
        lambda r, s: r["body"]["did"] == "GET",
        service="things",
        url=HTTP,
        free={"passport_token": None},
    ),
    call(
        "proxy.post",
        "",
        lambda r, s: r["body"]["did"] == "POST",
        service="things",
        url=HTTP,
        free={"body": {"a": 1}, "passport_token": None},
    ),
    call(
        "proxy.put",
        "",
        lambda r, s: r["body"]["did"] == "PUT",
        service="things",
        url=HTTP,
        free={"body": {"a": 1}, "passport_token": None},
    ),
    call(
        "proxy.patch",
        "",
        lambda r, s: r["body"]["did"] == "PATCH",
        service="things",
        url=HTTP,
        free={"body": {"a": 1}, "passport_token": None},
    ),
    call(
        "proxy.delete",
        "",
        lambda r, s: r["body"]["did"] == "DELETE",
        service="things",
        url=HTTP,
        free={"passport_token": None},
    ),
    call(
        "proxy.get_operation",
        "",
        lambda r, s: r["delivery_state"] == "response_received",
        operation_id=REQUEST,
        passport_token=_refresh_worker,
        include_response=True,
    ),
    call("proxy.usage", "", lambda r, s: r["used"] >= 6),
    call(
        "passports.checkpoint",
        "",
        lambda r, s: r["passport_jti"] == s["worker passport"]["jti"],
        passport_jti=lambda s: s["worker passport"]["jti"],
        services_used=["slack"],
        actions_count=1,
        tool_calls=[{"service": "slack", "method": "POST"}],
        summary="s",
        delegated_to=[],
    ),
    call("passports.refresh", "refreshed", lambda r, s: r["jti"] != "", token=_refresh_worker, ttl_seconds=600),
    call(
        "passports.delegate",
        "child",
        lambda r, s: r["jti"] != s["refreshed"]["jti"],
        parent_token=lambda s: s["refreshed"]["token"],
        child_agent_id="agt_play",
        scopes=["slack"],
        ttl_seconds=60,
    ),
    call(
        "passports.report",
        "",
        lambda r, s: r["passport"]["jti"] == s["worker passport"]["jti"] and len(r["checkpoints"]) == 1,
        passport_jti=lambda s: s["worker passport"]["jti"],
    ),
    call(
        "passports.checkout",
        "checkout",
        lambda r, s: r["review_status"] == "flagged",
        passport_jti=lambda s: s["refreshed"]["jti"],
        services_used=["stripe"],
        actions_count=1,
    ),
    call("reviews.list", "", lambda r, s: s["checkout"]["checkout_id"] in str(r)),
    call(
        "reviews.decide",
        "",
        lambda r, s: r["decision"] == "blocked" and r["passport_blocked"] is True,
        checkout_id=lambda s: s["checkout"]["checkout_id"],
        decision="blocked",
        notes="n",
        block_future=True,
    ),
    call(
        "passports.issue",
        "blocked",
        refusal="may hold no passports",
        agent_id=lambda s: s["worker"]["id"],
        intent="Post",
        services=["slack"],
        mission_ids=_mission,
    ),
    call("agents.unblock", "", None, governed=True, agent_id=lambda s: s["worker"]["id"]),
    call(
        "dropoffs.create",
        "drop",
        lambda r, s: r["status"] == "created",
        from_agent_id="agt_play",
        to_agent_id="agt_peer",
        schema=SCHEMA,
        ttl_seconds=600,
        on_expire="notify",
    ),
    call(
        "dropoffs.deposit",
        "misfit",
        refusal="n",
        dropoff_id=lambda s: s["drop"]["id"],
        data={"n": "x"},
        agent_id="agt_play",
    ),
    call(
        "dropoffs.deposit",
        "",
        lambda r, s: r["status"] == "deposited",
        dropoff_id=lambda s: s["drop"]["id"],
        data={"n": 5},
        agent_id="agt_play",
    ),
    call(
        "dropoffs.collect",
        "",
        lambda r, s: r["payload"] == {"n": 5},
        dropoff_id=lambda s: s["drop"]["id"],
        agent_id="agt_peer",
    ),
    call("dropoffs.collect", "again", refusal="collected", dropoff_id=lambda s: s["drop"]["id"], agent_id="agt_peer"),
    call("dropoffs.get", "", lambda r, s: r["status"] == "collected", dropoff_id=lambda s: s["drop"]["id"]),
    call("dropoffs.list", "", lambda r, s: s["drop"]["id"] in ids(r)),
    call(
        "dropoffs.create",
        "doomed",
        None,
        from_agent_id="agt_play",
        to_agent_id="agt_peer",
        schema=SCHEMA,
        ttl_seconds=60,
    ),
    call("dropoffs.expire", "", None, dropoff_id=lambda s: s["doomed"]["id"]),
    aside(
        lambda s: (
            _is("expired", s.api("GET", f"/v1/dropoffs/{s['doomed']['id']}")["status"])
            if "dropoffs.expire" in s
            else None
        )
    ),
)


def _seen(stage, upstream, text):
    requests = stage.request("GET", stage.config["control"] + f"/_emu/upstreams/{upstream}/requests")
    assert text in str(requests), f"{upstream} never saw {text!r}"


def _is(expected, value):
    assert value == expected, f"{value!r} is not {expected!r}"
