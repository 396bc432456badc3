"""Intents, skills and the LLM gateway."""

from __future__ import annotations

from play import aside, call, ids

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
INTENT = {"type": "proxy", "service": "slack", "method": "POST"}
MESSAGES = {"model": "claude-play", "max_tokens": 64, "messages": [{"role": "user", "content": "play"}]}
CHAT = {"model": "gpt-play", "messages": [{"role": "user", "content": "play"}]}


def _token(stage):
    """A live passport of the player's, made through the API."""
    if "market passport" not in stage:
        body = {"agent_id": "agt_play", "intent": {"summary": "Market", "services": ["slack"]}, "ttl_seconds": 3600}
        if stage.config["binds"]:
            body["mission_ids"] = ["ms_play"]
        stage.kept["market passport"] = stage.api("POST", "/v1/passports/issue", body)
    return stage["market passport"]["token"]


def _submitted(stage, name):
    """An intent of a passport of its own that waits for a decision: the scenario's approvals leave this agent alone."""
    body = {"agent_id": "agt_wait", "intent": {"summary": name, "services": ["slack"]}, "ttl_seconds": 900}
    if stage.config["binds"]:
        body["mission_ids"] = ["ms_wait"]
    token = stage.api("POST", "/v1/passports/issue", body)["token"]
    key = stage.config["api_key"]
    url = stage.config["base_url"] + "/v1/intents/submit"
    made = stage.request("POST", url, {"intent": INTENT}, Authorization=f"Bearer {key}", X_Passport_Token=token)
    stage.kept[name] = made
    return made["approval_id"]


def _invoked(stage, name):
    """An invocation of the open skill that waits for its publisher."""
    made = stage.api(
        "POST", f"/v1/skills/{stage['skill']['id']}/invoke", {"agent_id": "agt_play", "input": {"text": name}}
    )
    stage.kept[name] = made
    return made["id"]


STEPS = (
    call("intents.simulate", "", lambda r, s: r["allowed"] is True, intent=INTENT, passport_token=_token, persist=True),
    call(
        "intents.submit",
        "intent",
        lambda r, s: r["status"] == "pending",
        intent=INTENT,
        passport_token=_token,
        expires_in_seconds=60,
        skip_simulation=True,
    ),
    call(
        "intents.submit_and_wait",
        "waited",
        lambda r, s: r["timed_out"] is False,
        intent=INTENT,
        passport_token=_token,
        timeout_seconds=5.0,
        poll_interval_seconds=0.02,
    ),
    call("intents.get", "", lambda r, s: r["status"] == "approved", approval_id=lambda s: s["intent"]["approval_id"]),
    call(
        "intents.list_pending",
        "",
        lambda r, s: s["listed"]["approval_id"] in str(r),
        page=lambda s: (_submitted(s, "listed"), 1)[1],
    ),
    call(
        "intents.approve",
        "",
        lambda r, s: r["status"] == "approved",
        approval_id=lambda s: _submitted(s, "approved"),
        notes="ok",
    ),
    aside(lambda s: _status(s, "approved", "approved")),
    call(
        "intents.reject",
        "",
        lambda r, s: r["status"] == "rejected",
        approval_id=lambda s: _submitted(s, "rejected"),
        notes="no",
    ),
    aside(lambda s: _status(s, "rejected", "rejected")),
    call(
        "skills.publish",
        "skill",
        lambda r, s: r["status"] == "active",
        free={
            "name": "play-skill",
            "description": "Plays a text",
            "agent_id": "agt_peer",
            "execution_mode": "open",
            "input_schema": TEXT,
            "output_schema": TEXT,
            "tags": ["play"],
        },
    ),
    call("skills.get", "", lambda r, s: r["name"] == "play-skill", skill_id=lambda s: s["skill"]["id"]),
    call("skills.browse", "", lambda r, s: s["skill"]["id"] in ids(r), query="play", tags="play", limit=5),
    call("skills.list_owned", "", lambda r, s: s["skill"]["id"] in ids(r)),
    call(
        "skills.update",
        "",
        lambda r, s: r["description"] == "Plays better",
        skill_id=lambda s: s["skill"]["id"],
        free={"description": "Plays better"},
    ),
    call("skills.suspend", "", lambda r, s: r["status"] == "suspended", skill_id=lambda s: s["skill"]["id"]),
    call("skills.activate", "", lambda r, s: r["status"] == "active", skill_id=lambda s: s["skill"]["id"]),
    call("skills.check_trust", "", lambda r, s: r["meets_requirement"] is True, skill_id=lambda s: s["skill"]["id"]),
    call(
        "skills.invoke",
        "invocation",
        lambda r, s: r["status"] == "pending",
        skill_id=lambda s: s["skill"]["id"],
        agent_id="agt_play",
        input={"text": "go"},
        idempotency_key="idem-key-0123456789",
    ),
    call(
        "skills.list_pending_invocations",
        "",
        lambda r, s: s["invocation"]["id"] in ids(r),
        skill_id=lambda s: s["skill"]["id"],
    ),
    call("skills.claim_invocation", "", None, invocation_id=lambda s: s["invocation"]["id"]),
    call(
        "skills.complete_invocation", "", None, invocation_id=lambda s: s["invocation"]["id"], output={"text": "went"}
    ),
    call(
        "skills.get_invocation",
        "",
        lambda r, s: r["output"] == {"text": "went"},
        invocation_id=lambda s: s["invocation"]["id"],
    ),
    call(
        "skills.poll",
        "",
        lambda r, s: r["status"] == "completed",
        invocation_id=lambda s: s["invocation"]["id"],
        interval_seconds=0.01,
        timeout_seconds=2.0,
    ),
    call("skills.fail_invocation", "", None, invocation_id=lambda s: _invoked(s, "to fail"), code="E", message="m"),
    call("skills.list_invocations", "", lambda r, s: s["invocation"]["id"] in ids(r)),
    call(
        "skills.post_request",
        "request",
        lambda r, s: r["status"] == "open",
        free={"description": "Somebody who plays a text", "tags": ["play"], "desired_input_schema": TEXT},
    ),
    call("skills.list_requests", "", lambda r, s: s["request"]["id"] in ids(r), status="open"),
    call("skills.get_request", "", lambda r, s: r["id"] == s["request"]["id"], request_id=lambda s: s["request"]["id"]),
    call(
        "skills.get_request_matches",
        "",
        lambda r, s: s["skill"]["id"] in str(r),
        request_id=lambda s: s["request"]["id"],
    ),
    call("skills.suggest_composition", "", None, request_id=lambda s: s["request"]["id"]),
    call(
        "llm.anthropic.messages.create",
        "",
        lambda r, s: r["content"][0]["text"] == "Played.",
        body=MESSAGES,
        passport=_token,
    ),
    call(
        "llm.anthropic.messages.create",
        "streamed",
        lambda r, s: "Played." in str(r),
        body=MESSAGES,
        passport=_token,
        stream=True,
    ),
    call(
        "llm.openai.chat.completions.create",
        "",
        lambda r, s: r["choices"][0]["message"]["content"] == "Played.",
        body=CHAT,
        passport=_token,
    ),
    call(
        "llm.openrouter.chat.completions.create",
        "",
        lambda r, s: r["choices"][0]["message"]["content"] == "Played.",
        body=CHAT,
        passport=_token,
    ),
    call("llm.usage.list", "", lambda r, s: "claude-play" in str(r), limit=5),
    call("llm.usage.summary", "", lambda r, s: "gpt-play" in str(r), group_by_model=True),
)


def _status(stage, name, wanted):
    if name in stage:
        found = stage.api("GET", f"/v1/intents/{stage[name]['approval_id']}")["status"]
        assert found == wanted, f"{name} is {found}"
