"""The rest of the recorded calls, continued: work under approved intents, settings, partners and fleets."""

from __future__ import annotations

import base64

from play.settings import code_sent
from play.sweep import ANYTHING, UNNEEDED, WRITE, approved, governed, swept, with_token

HOOK = "https://hooks.play.test/in"
CLEAN = {"model": "play-model", "messages": [{"role": "user", "content": "play"}]}


def _request_id(number):
    return base64.urlsafe_b64encode(bytes([number]) * 18).decode()


def _waiting(stage):
    """An intent that waits for a human."""
    made = stage.api(
        "POST",
        "/v1/passports/issue",
        {"agent_id": "agt_wait", "mission_ids": ["ms_wait"], "intent": {"summary": "Wait", "services": ["slack"]}},
    )
    url, key = stage.config["base_url"] + "/v1/intents/submit", f"Bearer {stage.config['api_key']}"
    return stage.request("POST", url, {"intent": WRITE}, Authorization=key, X_Passport_Token=made["token"])[
        "approval_id"
    ]


STEPS = (
    # --- missions with every cap, and the two context managers
    swept(
        "missions.open",
        "all",
        lambda r, s: r["mission_id"].startswith("ms_"),
        intent_summary="Sweep with every cap",
        agent_id=lambda s: s["swept member"],
        fleet_policy_id="flp_play",
        idempotency_key="idem-key-sweep-open",
        requested_access=[{"connection_id": "scon_slack", "scopes": ["chat:write"]}],
        requested_operations=[{"producer": "skill"}],
        limits={"max_actions": 1},
        intent_services=["slack"],
        expected_counterparties=["customer"],
        baseline_profile={"calls": 1},
        expected_output_shape=ANYTHING,
        max_actions=1,
        max_dropoff_bytes=2,
        coverage_cap_cents=3,
        max_duration_seconds=400,
        max_concurrent_intents=5,
        max_actions_per_service={"slack": 1},
        cap_behavior={"max_actions": "block"},
        expires_in_seconds=900,
        parent_passport_services=["slack"],
        authority_binding_ids=lambda s: [s["member's binding"]],
    ),
    swept(
        "passports.mission",
        "all",
        None,
        agent_id="agt_play",
        intent="Do it",
        services=["slack"],
        will_delegate=True,
        estimated_duration="30m",
        checkpoint_interval="5m",
        expires_in="2h",
    ),
    swept(
        "passports.continuous_mission",
        "all",
        None,
        agent_id="agt_play",
        intent="Do it",
        services=["slack"],
        rotation_interval="1h",
        will_delegate=True,
        checkpoint_interval="5m",
        expires_in="24h",
    ),
    # --- calls through the proxy, to models and to skills, each under an approved intent
    swept(
        "proxy.request",
        "all",
        lambda r, s: r["body"]["ok"] is True,
        passport_token=with_token("proxied"),
        approval_id=lambda s: approved(s, s["proxied"]["token"], WRITE),
        authority_request_id=_request_id(1),
        headers={"X-A": "1"},
        query={"q": "1"},
        **WRITE,
    ),
    swept(
        "intents.simulate",
        "all",
        lambda r, s: r["claim_id"] is None,
        intent=WRITE,
        passport_token=with_token("e"),
        intent_claim_ref="pc_1",
        persist=False,
    ),
    swept("intents.simulate", "least", lambda r, s: r["claim_id"], intent=WRITE, passport_token=with_token("f")),
    swept("intents.list_pending", "every", lambda r, s: isinstance(r["items"], list)),
    swept("intents.list_pending", "page", lambda r, s: r["limit"] == 10, page=1, limit=10),
    swept("intents.approve", "least", lambda r, s: r["status"] == "approved", approval_id=lambda s: _waiting(s)),
    swept("intents.reject", "least", lambda r, s: r["status"] == "rejected", approval_id=lambda s: _waiting(s)),
    swept(
        "intents.reject",
        "all",
        lambda r, s: r["agent_suspended"] is True,
        approval_id=lambda s: _waiting(s),
        notes="no",
        block_future=True,
    ),
    *(
        swept(
            f"llm.{name}.create",
            "all",
            None,
            body={**CLEAN, **more},
            passport=with_token(name),
            intent_approval_id=lambda s, name=name, more=more: approved(
                s, s[name]["token"], {"provider": name.partition(".")[0], **CLEAN, **more}
            ),
            authority_request_id=_request_id(number),
        )
        for number, (name, more) in enumerate(
            (
                ("anthropic.messages", {"max_tokens": 8}),
                ("openai.chat.completions", {}),
                ("openrouter.chat.completions", {}),
            ),
            start=2,
        )
    ),
    swept("llm.usage.list", "every", lambda r, s: len(r["rows"]) > 1),
    swept("llm.usage.list", "page", lambda r, s: len(r["rows"]) == 1, limit=1),
    swept(
        "llm.usage.list",
        "all",
        lambda r, s: r["rows"] == [] or r["rows"][0]["provider"] == "openai",
        limit=1,
        cursor=lambda s: s["page swept"]["next_cursor"],
        provider="openai",
        passport_jti=lambda s: s["openai.chat.completions"]["jti"],
        mission_id="ms_play",
        agent_id="agt_play",
        since="2020-01-01",
        until="2099-01-01",
    ),
    swept("llm.usage.summary", "least", None),
    swept(
        "llm.usage.summary",
        "all",
        None,
        provider="openai",
        passport_jti=lambda s: s["openai.chat.completions"]["jti"],
        mission_id="ms_play",
        agent_id="agt_play",
        since="2020-01-01",
        until="2099-01-01",
        group_by_model=True,
    ),
    swept("skills.browse", "every", lambda r, s: len(r) >= 1),
    swept(
        "skills.browse",
        "all",
        lambda r, s: r == [],
        query="play",
        tags="play",
        trust_level="L1",
        status="active",
        limit=5,
        offset=10,
    ),
    swept("skills.list_requests", "every", lambda r, s: len(r) >= 1),
    swept("skills.list_requests", "page", lambda r, s: isinstance(r, list), status="open", limit=5, offset=0),
    swept("skills.list_pending_invocations", "every", lambda r, s: isinstance(r, list)),
    swept(
        "skills.invoke",
        "least",
        lambda r, s: r["id"],
        skill_id=lambda s: s["skill"]["id"],
        input={"text": "go"},
        agent_id="agt_play",
    ),
    swept(
        "skills.invoke",
        "all",
        lambda r, s: r["id"],
        skill_id=lambda s: s["skill"]["id"],
        input={"text": "go on"},
        agent_id="agt_play",
        passport_id=lambda s: (with_token("skilled")(s), s["skilled"]["jti"])[1],
        approval_id=lambda s: approved(
            s, s["skilled"]["token"], {"skill_id": s["skill"]["id"], "input": {"text": "go on"}}
        ),
        authority_request_id=_request_id(5),
        idempotency_key="idem-key-sweep-0001",
    ),
    # --- drop-offs
    swept(
        "dropoffs.create",
        "least drop",
        lambda r, s: r["status"] == "created",
        from_agent_id="agt_play",
        to_agent_id="agt_peer",
        schema=ANYTHING,
    ),
    swept(
        "dropoffs.create",
        "all of a drop",
        lambda r, s: r["status"] == "created",
        from_agent_id="agt_play",
        to_agent_id="agt_play",
        schema=ANYTHING,
        ttl_seconds=60,
        on_expire="notify",
        passport_token=with_token("dropping"),
    ),
    swept(
        "dropoffs.deposit",
        "all",
        lambda r, s: r["status"] == "deposited",
        dropoff_id=lambda s: s["all of a drop swept"]["id"],
        data={"v": 1},
        agent_id="agt_play",
        passport_jti=lambda s: s["dropping"]["jti"],
        mission_id="ms_play",
        passport_token=lambda s: s["dropping"]["token"],
    ),
    swept(
        "dropoffs.collect",
        "all",
        lambda r, s: r["payload"] == {"v": 1},
        dropoff_id=lambda s: s["all of a drop swept"]["id"],
        agent_id="agt_play",
        passport_token=lambda s: s["dropping"]["token"],
    ),
    # --- settings
    swept(
        "detector_config.upsert",
        "all",
        lambda r, s: r["enabled"] is True,
        detector_key="prompt_injection",
        governance_approval_id=UNNEEDED,
        free={"enabled": True, "custom_patterns": ["x"], "whitelist_patterns": [], "severity_overrides": {}},
    ),
    governed("detector_config.upsert", "least", None, detector_key="prompt_injection"),
    governed("detector_config.reset", "after", None, detector_key="prompt_injection"),
    governed(
        "pii_config.update",
        "all",
        lambda r, s: r["countries"] == ["SE"],
        free={"enabled": True, "threshold": 0.9, "countries": ["SE"]},
    ),
    governed("pii_config.update", "least", None),
    governed("pii_config.reset", "after", None),
    swept("identity.update_settings", "least", None),
    swept(
        "identity.update_settings",
        "all",
        lambda r, s: r["identity_auto_revoke"] is False,
        identity_claim_ttl="90d",
        identity_claim_inheritance="opt_in",
        identity_auto_revoke=False,
    ),
    swept(
        "identity.initiate_verification",
        "all",
        lambda r, s: r["session_ref"],
        provider_key="bankid_se",
        requested_claims=["age_over_18"],
        return_url="https://r",
    ),
    swept(
        "notifications.create", "least", lambda r, s: r["verified"] is False, channel_type="email", destination="a@b"
    ),
    swept(
        "delivery_methods.add",
        "all of a destination",
        lambda r, s: r["webhook_secret"],
        kind="webhook",
        destination=lambda s: s.config["sink"] + "/swept",
        free={"label": "ops"},
        governance_approval_id=UNNEEDED,
    ),
    *(
        swept(
            f"delivery_methods.{verb}",
            "all",
            None,
            destination_id=lambda s: s["all of a destination swept"]["id"],
            governance_approval_id=UNNEEDED,
        )
        for verb in ("rotate_secret", "send_verification_code")
    ),
    swept(
        "delivery_methods.verify",
        "all",
        None,
        destination_id=lambda s: s["all of a destination swept"]["id"],
        code=lambda s: code_sent(s, s.config["sink"] + "/swept"),
        governance_approval_id=UNNEEDED,
    ),
    swept(
        "delivery_methods.test",
        "all",
        None,
        destination_id=lambda s: s["all of a destination swept"]["id"],
        governance_approval_id=UNNEEDED,
    ),
    # --- partners and webhooks
    swept("partner_tenants.create", "least", lambda r, s: r["operator_id"]),
    swept(
        "partner_tenants.issue_passport",
        "least",
        lambda r, s: r["token"],
        tenant_id="op_play_tenant",
        agent_id="agt_tenant",
        mission_ids=["ms_tenant"],
    ),
    swept(
        "partner_tenants.issue_passport",
        "all",
        lambda r, s: r["token"],
        tenant_id="op_play_tenant",
        agent_id="agt_tenant",
        mission_ids=["ms_tenant"],
        ttl_seconds=60,
        services=[{"service_connection_id": "scon_tenant", "scopes": ["mail:send"]}],
        named_intents=["mail.to"],
        accountability_mode="logged",
    ),
    swept(
        "partner_tenants.mint_outbound_passport",
        "all",
        lambda r, s: r["header_value"],
        tenant_id="op_play_tenant",
        agent_id="agt_tenant",
        mission_id="ms_tenant",
        scopes=["mail:send"],
        ttl_seconds=60,
        accountability_mode="logged",
        named_intents=["mail.to"],
    ),
    swept(
        "partner_tenants.create_inbound_webhook",
        "least hook of a tenant",
        lambda r, s: r["id"],
        tenant_id="op_play_tenant",
        provider="generic",
        agent_id="agt_tenant",
    ),
    swept(
        "partner_tenants.create_inbound_webhook",
        "all",
        lambda r, s: r["forward_url"] == HOOK,
        tenant_id="op_play_tenant",
        provider="generic",
        agent_id="agt_tenant",
        forward_url=HOOK,
        generic_config={"signature_header": "X-Sig"},
    ),
    swept(
        "partner_tenants.set_inbound_webhook_signing_secret",
        "all",
        None,
        tenant_id="op_play_tenant",
        webhook_id=lambda s: s["least hook of a tenant swept"]["id"],
        signing_secret="s" * 32,
        downstream_signing_secret="d" * 32,
    ),
    swept("inbound_webhooks.create", "least hook", lambda r, s: r["id"], provider="generic", agent_id="agt_play"),
    swept(
        "inbound_webhooks.create",
        "all",
        lambda r, s: r["forward_url"] == HOOK,
        provider="generic",
        agent_id="agt_play",
        forward_url=HOOK,
        generic_config={"signature_header": "X-Sig"},
    ),
    swept(
        "inbound_webhooks.set_provider_signing_secret",
        "least",
        None,
        webhook_id=lambda s: s["least hook swept"]["id"],
        signing_secret="s" * 32,
    ),
    swept("partner_connect.connect", "least", lambda r, s: r["grant_token"], email="least@customer.test"),
    swept("evidence_packs.export", "first", lambda r, s: r["pack_id"], scope_kind="mission", scope_ref="ms_play"),
    swept(
        "evidence_packs.export",
        "all",
        lambda r, s: (r["supersedes"], r["air_gap"]) == (s["first swept"]["pack_id"], True),
        scope_kind="mission",
        scope_ref="ms_play",
        supersedes=lambda s: s["first swept"]["pack_id"],
        air_gap=True,
    ),
    swept("evidence_packs.list", "every", lambda r, s: r["total"] >= 2),
    # --- fleets and authority
    swept("fleets.session", "least", lambda r, s: r["session_token"]),
    *(
        swept(
            "fleets.activate",
            keep,
            lambda r, s: r["name"] == "P" and r["revision"] == 1,
            definition={"name": "P"},
            idempotency_key=f"idem-key-sweep-{keep.replace(' ', '-')}",
            **more,
        )
        for keep, more in (("least fleet", {}), ("approved fleet", {"governance_approval_id": UNNEEDED}))
    ),
    *(
        swept(
            "fleets.revise",
            f"revised {keep}",
            lambda r, s: r["name"] == "Q" and r["revision"] == 2,
            policy_id=lambda s, keep=keep: s[f"{keep} swept"]["id"],
            definition={"name": "Q"},
            expected_revision=1,
            idempotency_key=f"idem-key-sweep-revised-{keep.replace(' ', '-')}",
            **more,
        )
        for keep, more in (("least fleet", {}), ("approved fleet", {"governance_approval_id": UNNEEDED}))
    ),
)
