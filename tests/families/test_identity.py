"""Identity with the real SDK: verifying, what passports carry of it, what services require, and what revoking takes along."""

from __future__ import annotations

from typing import Any

import getstack
import pytest

from stack_emu.domain.identity_claims import trust_level
from stack_emu.domain.state import Passport
from tests.families.drivers import McpTools
from tests.families.passport_world import (
    BODY,
    MEMBER,
    OPERATOR,
    OTHER,
    READER,
    actions,
    claims,
    error,
    issue,
    post,
    row,
)

ADMIN = "sk_live_emu_narrow_admin"
HEAD = "stack_emu: 1\nclock: {mode: virtual, start: 2026-01-01T00:00:00Z}\n"
WORLD = (
    HEAD
    + BODY.replace(
        f"      - {{key: {READER}",
        f"      - {{key: {ADMIN}, role: admin, member: n@acme.test, allowed_connections: [scon_slack]}}\n"
        f"      - {{key: {READER}",
    )
    + "upstreams: {slack: {hosts: [slack.com], routes: [{when: {path: /ok}, reply: {json: {ok: true}}}]}}\n"
)
SLACK = "https://slack.com/ok"
NEEDED = {
    "layer": "identity",
    "requires_claim": "verified_identity",
    "minimum_assurance": "substantial",
    "requires_pii": True,
    "lawful_basis": "contract",
}


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def verify(client: Any, provider: str = "persona", *claim_types: str) -> list[dict[str, Any]]:
    """The claims of a verification that is approved at once."""
    begun = client.identity.initiate_verification(provider, requested_claims=list(claim_types) or None)
    return client.identity.complete_verification(provider, begun.session_ref)["claims"]


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(getstack.StackError) as caught:
        call()
    return caught.value.status_code, caught.value.code


def carried(token: str) -> list[str]:
    return [claim["claim_type"] for claim in claims(token)["stk"]["identity_claims"]]


def naming(served: Any, *claim_ids: str) -> Any:
    """Issue a passport with these claims; the SDK's helper has no argument for them."""
    body = {"agent_id": "agt_logged", "mission_ids": ["ms_logged"], "identity_claim_ids": list(claim_ids)}
    return post(served, "/v1/passports/issue", {**body, "intent": {"summary": "Announce", "services": ["slack"]}})


# --- verifying -------------------------------------------------------------------------------------------------------


def test_the_named_providers_are_listed(stack: Any, served: Any) -> None:
    listed = {one.key: one for one in stack.identity.list_providers()}
    assert set(listed) == {"bankid_se", "persona", "stripe_identity", "idnow", "oidc", "cloudflare_turnstile"}
    assert (listed["bankid_se"].layers, listed["bankid_se"].assurance) == (["humanity", "identity"], "high")
    assert listed["cloudflare_turnstile"].layers == ["humanity"]
    [first, *_] = McpTools(served.base_url, OPERATOR)("stack_list_identity_providers")
    assert (first["id"], first["provider_key"]) == ("idp_bankid_se", "bankid_se")
    assert first["supported_layers"] == ["humanity", "identity"]


def test_a_verification_becomes_claims(stack: Any, served: Any) -> None:
    begun = stack.identity.initiate_verification("bankid_se", return_url="http://127.0.0.1:9/back")
    assert begun.status == "pending"
    assert begun.authorization_url == f"{served.base_url}/identity/verify/{begun.session_ref}"
    assert stack.identity.list_claims() == []
    done = stack.identity.complete_verification("bankid_se", begun.session_ref)
    assert (done["status"], [one["claim_type"] for one in done["claims"]]) == (
        "completed",
        ["verified_human", "verified_identity"],
    )
    human, person = stack.identity.list_claims()
    assert [human.id, person.id] == [one["id"] for one in done["claims"]]
    assert human.id.startswith("clm_")
    assert (person.layer, person.assurance_level, person.provider_key) == ("identity", "high", "bankid_se")
    assert person.operator_id == "op_emu"
    again = stack.identity.complete_verification("bankid_se", begun.session_ref)
    assert again["claims"] == done["claims"]
    assert len(stack.identity.list_claims()) == 2
    assert actions(served)[:2] == [("identity.verify_initiate", "success"), ("identity.verify_complete", "success")]
    assert row(served, "identity.verify_complete").metadata["verification"] == begun.session_ref


def test_a_verification_is_refused_with_what_would_work(stack: Any, sdk: Any, served: Any) -> None:
    begin = stack.identity.initiate_verification
    assert refused(lambda: begin("facebook")) == (400, "INVALID_REQUEST")
    assert refused(lambda: begin("cloudflare_turnstile", requested_claims=["verified_identity"])) == (
        400,
        "INVALID_REQUEST",
    )
    for url in ("javascript:alert(1)", "//evil.test", "http://a@b.test/", "http://evil.test\\@127.0.0.1/", "http:///x"):
        assert refused(lambda url=url: begin("persona", return_url=url)) == (400, "INVALID_REQUEST"), url
    begun = begin("persona", return_url="http://127.0.0.1/?mail=a@b.test")
    assert refused(lambda: stack.identity.complete_verification("oidc", begun.session_ref)) == (400, "INVALID_REQUEST")
    assert refused(lambda: stack.identity.complete_verification("persona", "ivs_nobody")) == (404, "NOT_FOUND")
    other = sdk(served.base_url, OTHER)
    assert refused(lambda: other.identity.complete_verification("persona", begun.session_ref)) == (404, "NOT_FOUND")
    reader = sdk(served.base_url, READER)
    assert refused(lambda: reader.identity.initiate_verification("persona")) == (403, "FORBIDDEN")


def test_a_scenario_may_deny_or_leave_it_to_the_page(serve: Any, sdk: Any) -> None:
    denying = sdk(serve(WORLD + "identity: {verification: deny}\n").base_url, OPERATOR)
    begun = denying.identity.initiate_verification("persona")
    complete = denying.identity.complete_verification
    assert refused(lambda: complete("persona", begun.session_ref)) == (403, "FORBIDDEN")
    assert denying.identity.list_claims() == []
    waiting = serve(WORLD + "identity: {verification: page}\n")
    client = sdk(waiting.base_url, OPERATOR)
    begun = client.identity.initiate_verification("persona")
    assert refused(lambda: client.identity.complete_verification("persona", begun.session_ref)) == (409, "CONFLICT")
    decided = post(waiting, f"/_emu/identity/{begun.session_ref}", {"decide": "approve"})
    assert decided.json() == {"session_ref": begun.session_ref, "status": "approved"}
    assert client.identity.complete_verification("persona", begun.session_ref)["claims"]
    assert post(waiting, f"/_emu/identity/{begun.session_ref}", {"decide": "deny"}).status_code == 409
    assert post(waiting, f"/_emu/identity/{begun.session_ref}", {"decide": "maybe"}).status_code == 400
    assert post(waiting, "/_emu/identity/ivs_nobody", {"decide": "deny"}).status_code == 404


def test_a_verification_expires_after_fifteen_minutes(stack: Any, served: Any) -> None:
    begun = stack.identity.initiate_verification("persona")
    served.advance(15 * 60_000)
    assert refused(lambda: stack.identity.complete_verification("persona", begun.session_ref)) == (409, "CONFLICT")


# --- settings, expiry, delegation ------------------------------------------------------------------------------------


def test_settings_decide_how_long_claims_live(stack: Any, sdk: Any, served: Any) -> None:
    before = stack.identity.get_settings()
    assert (before.identity_claim_ttl, before.identity_claim_inheritance, before.identity_auto_revoke) == (
        "90d",
        "auto",
        True,
    )
    assert stack.identity.update_settings(identity_claim_ttl="30d").identity_claim_ttl == "30d"
    assert stack.identity.get_settings().identity_auto_revoke is True
    [human, _] = verify(stack)
    assert human["expires_at"].startswith("2026-01-31T00:00:00")
    served.advance(30 * 86_400_000 - 1)
    assert len(stack.identity.list_claims()) == 2
    served.advance(1)
    assert stack.identity.list_claims() == []
    assert actions(served)[-1] == ("identity.claim_expire", "success")
    assert refused(lambda: stack.identity.revoke_claim(human["id"])) == (404, "NOT_FOUND")
    assert refused(lambda: stack.identity.update_settings(identity_claim_ttl="2y")) == (400, "INVALID_REQUEST")
    assert refused(lambda: sdk(served.base_url, MEMBER).identity.update_settings(identity_auto_revoke=False)) == (
        403,
        "FORBIDDEN",
    )
    assert sdk(served.base_url, OTHER).identity.get_settings().identity_claim_ttl == "90d"


def test_delegation_stands_on_a_verified_identity(stack: Any, served: Any) -> None:
    verify(stack, "cloudflare_turnstile")
    assert refused(lambda: stack.identity.grant_delegation(["tax:file"])) == (403, "FORBIDDEN")
    [_, weak] = verify(stack)
    [_, strong] = verify(stack, "bankid_se")
    granted = stack.identity.grant_delegation(["tax:file", "tax:file"])
    assert (granted.layer, granted.claim_type, granted.assurance_level) == ("delegation", "delegated_authority", "high")
    assert granted.provider_key == "bankid_se"
    assert granted.expires_at == strong["expires_at"]
    assert refused(lambda: stack.identity.grant_delegation([])) == (400, "INVALID_REQUEST")
    assert level(served) == "L3"
    gone = stack.identity.revoke_claim(strong["id"])
    assert gone["revoked_claims"] == [strong["id"], granted.id]
    assert granted.id not in [one.id for one in stack.identity.list_claims()]
    assert weak["id"] in [one.id for one in stack.identity.list_claims()]
    assert level(served) == "L2"


def level(served: Any, jti: str | None = None) -> str:
    def look() -> str:
        passport = served.world.store.get(Passport, jti) if jti is not None else None
        return trust_level(served.world, "op_emu", passport)

    return served.call(look)


def test_trust_levels_of_accounts_and_passports(stack: Any, served: Any) -> None:
    early = issue(stack)
    assert level(served) == "L0"
    verify(stack, "cloudflare_turnstile")
    assert level(served) == "L1"
    [_, person] = verify(stack)
    assert level(served) == "L2"
    assert level(served, early.jti) == "L0"
    late = issue(stack)
    assert level(served, late.jti) == "L2"
    stack.identity.update_settings(identity_auto_revoke=False)
    stack.identity.revoke_claim(person["id"])
    assert level(served, late.jti) == "L1"


# --- passports -------------------------------------------------------------------------------------------------------


def test_passports_carry_claims_and_pass_them_on(stack: Any, served: Any) -> None:
    assert carried(issue(stack).token) == []
    [human, person] = verify(stack)
    passport = issue(stack, will_delegate=True)
    [first, second] = claims(passport.token)["stk"]["identity_claims"]
    assert first["claim_id"] == human["id"]
    assert second == {
        "claim_id": person["id"],
        "provider": "persona",
        "layer": "identity",
        "claim_type": "verified_identity",
        "assurance_level": "substantial",
        "verified_at": person["verified_at"],
        "expires_at": person["expires_at"],
    }
    assert carried(stack.passports.refresh(passport.token).token) == ["verified_human", "verified_identity"]
    child = stack.passports.delegate(passport.token, "agt_helper")
    assert carried(child.token) == ["verified_human", "verified_identity"]
    assert carried(naming(served, person["id"]).json()["token"]) == ["verified_identity"]
    assert carried(naming(served).json()["token"]) == []


def test_with_opt_in_passports_carry_only_what_is_named(stack: Any, sdk: Any, served: Any) -> None:
    [human, _] = verify(stack)
    stack.identity.update_settings(identity_claim_inheritance="opt_in", identity_auto_revoke=False)
    assert carried(issue(stack).token) == []
    assert carried(naming(served, human["id"]).json()["token"]) == ["verified_human"]
    assert error(naming(served, "clm_nobody")) == (404, "NOT_FOUND")
    [foreign, _] = verify(sdk(served.base_url, OTHER))
    assert error(naming(served, foreign["id"])) == (404, "NOT_FOUND")
    stack.identity.revoke_claim(human["id"])
    assert error(naming(served, human["id"])) == (409, "CONFLICT")


def test_revoking_a_claim_revokes_the_passports_that_carry_it(stack: Any, sdk: Any, served: Any) -> None:
    bare = issue(stack)
    [human, person] = verify(stack)
    parent = issue(stack, will_delegate=True)
    child = stack.passports.delegate(parent.token, "agt_helper")
    spared = naming(served, human["id"]).json()
    other = sdk(served.base_url, OTHER)
    assert refused(lambda: other.identity.revoke_claim(person["id"])) == (404, "NOT_FOUND")
    assert refused(lambda: sdk(served.base_url, MEMBER).identity.revoke_claim(person["id"])) == (403, "FORBIDDEN")
    gone = stack.identity.revoke_claim(person["id"])
    assert (gone["revoked"], gone["revoked_passports"]) == (True, 2)
    for token, valid in ((parent.token, False), (child.token, False), (spared["token"], True), (bare.token, True)):
        assert stack.passports.verify(token)["valid"] is valid
    told = [one for one in served.rows() if one.action.startswith("passport.revoke")]
    assert {one.passport_jti for one in told} == {parent.jti, child.jti}
    assert {one.metadata["revocation"] for one in told} == {"bulk_claim"}
    assert row(served, "identity.claim_revoke").metadata["revoked_passports"] == 2


def test_auto_revoke_can_be_switched_off(stack: Any) -> None:
    [human, _] = verify(stack)
    passport = issue(stack)
    stack.identity.update_settings(identity_auto_revoke=False)
    assert stack.identity.revoke_claim(human["id"])["revoked_passports"] == 0
    assert stack.passports.verify(passport.token)["valid"] is True


# --- what services require -------------------------------------------------------------------------------------------


def test_a_requirement_holds_for_passports_and_calls(stack: Any, served: Any) -> None:
    assert stack.identity.get_service_requirements("svc_slack") == []
    early = issue(stack, "standard")
    assert stack.proxy.request("slack", SLACK, passport_token=early.token).status == 200
    made = stack.identity.set_service_requirement("slack", **NEEDED)
    assert (made["service_id"], made["operator_id"], made["accepted_providers"]) == ("svc_slack", "op_emu", [])
    assert stack.identity.get_service_requirements("svc_slack") == [made]
    unmet = (403, "IDENTITY_REQUIREMENTS_NOT_MET")
    with pytest.raises(getstack.ForbiddenError) as caught:
        issue(stack, "standard")
    assert (caught.value.code, caught.value.details["missing"]["claim_type"]) == (unmet[1], "verified_identity")
    assert "svc_slack" in str(caught.value)
    assert refused(lambda: stack.proxy.request("slack", SLACK, passport_token=early.token)) == unmet
    assert refused(lambda: stack.proxy.request("slack", SLACK)) == unmet
    assert refused(lambda: stack.credentials.get("slack")) == unmet
    assert refused(lambda: stack.passports.refresh(early.token)) == unmet
    foreseen = stack.intents.simulate({"service": "slack", "url": SLACK, "method": "GET"}, early.token)
    assert (foreseen["allowed"], foreseen["code"]) == (False, unmet[1])
    verify(stack, "oidc")
    assert refused(lambda: issue(stack, "standard")) == unmet  # its assurance is low
    [_, person] = verify(stack)
    late = issue(stack, "standard")
    assert stack.proxy.request("slack", SLACK, passport_token=late.token).status == 200
    assert stack.proxy.request("slack", SLACK).status == 200
    assert stack.credentials.get("slack").credential
    assert refused(lambda: stack.proxy.request("slack", SLACK, passport_token=early.token)) == unmet
    stack.identity.update_settings(identity_auto_revoke=False)
    stack.identity.revoke_claim(person["id"])
    assert refused(lambda: stack.proxy.request("slack", SLACK, passport_token=late.token)) == unmet
    assert row(served, "credential.proxy").error_code == unmet[1]
    stack.identity.delete_service_requirement("svc_slack", made["id"])
    assert stack.proxy.request("slack", SLACK, passport_token=early.token).status == 200


def test_a_claim_that_expires_meets_nothing_any_more(stack: Any, served: Any) -> None:
    stack.identity.update_settings(identity_claim_ttl="30d")
    verify(stack)
    stack.identity.set_service_requirement("slack", **NEEDED)
    served.advance(30 * 86_400_000)
    assert refused(lambda: stack.proxy.request("slack", SLACK)) == (403, "IDENTITY_REQUIREMENTS_NOT_MET")


def test_providers_and_delegated_scopes_can_be_required(stack: Any) -> None:
    verify(stack)
    stack.identity.set_service_requirement("scon_slack", **NEEDED, accepted_providers=["bankid_se"])
    unmet = (403, "IDENTITY_REQUIREMENTS_NOT_MET")
    assert refused(lambda: issue(stack)) == unmet
    verify(stack, "bankid_se")
    issue(stack)
    needed = {"layer": "delegation", "requires_claim": "delegated_authority", "minimum_assurance": "high"}
    stack.identity.set_service_requirement("slack", **needed, required_scopes=["post:write"])
    assert refused(lambda: issue(stack)) == unmet
    stack.identity.grant_delegation(["tax:file"])
    assert refused(lambda: issue(stack)) == unmet
    stack.identity.grant_delegation(["post:write", "tax:file"])
    issue(stack)


def test_requirements_are_replaced_and_taken_away(stack: Any, served: Any) -> None:
    human = {"layer": "humanity", "requires_claim": "verified_human", "minimum_assurance": "low"}
    first = stack.identity.set_service_requirement("slack", **NEEDED)
    second = stack.identity.set_service_requirement("slack", **{**NEEDED, "minimum_assurance": "high"})
    assert stack.identity.get_service_requirements("slack") == [second]
    assert first["id"] != second["id"]
    stack.identity.set_service_requirement("slack", **human)
    assert len(stack.identity.get_service_requirements("slack")) == 2
    [only] = stack.identity.replace_service_requirement("slack", human)["requirements"]
    assert only["layer"] == "humanity"
    assert stack.identity.get_service_requirements("slack") == [only]
    assert stack.identity.replace_service_requirement("slack", None) == {"requirements": []}
    assert refused(lambda: stack.identity.delete_service_requirement("slack", only["id"])) == (404, "NOT_FOUND")
    issue(stack)
    assert row(served, "identity.requirement_replace").outcome == "success"


def test_requirements_are_refused_with_what_would_work(stack: Any, sdk: Any, served: Any) -> None:
    require = stack.identity.set_service_requirement
    without = {name: value for name, value in NEEDED.items() if name not in ("requires_pii", "lawful_basis")}
    assert refused(lambda: require("slack", **without)) == (400, "INVALID_REQUEST")
    assert refused(lambda: require("slack", **without, requires_pii=True)) == (400, "INVALID_REQUEST")
    assert refused(lambda: require("slack", **{**NEEDED, "minimum_assurance": "L2"})) == (400, "INVALID_REQUEST")
    assert refused(lambda: require("slack", **NEEDED, accepted_providers=["nobody"])) == (400, "INVALID_REQUEST")
    assert refused(lambda: require("slack", **NEEDED, required_scopes=["x"])) == (400, "INVALID_REQUEST")
    assert refused(lambda: require("svc_nowhere", **NEEDED)) == (404, "NOT_FOUND")
    other = sdk(served.base_url, OTHER)
    assert refused(lambda: other.identity.set_service_requirement("scon_slack", **NEEDED)) == (404, "NOT_FOUND")
    made = require("slack", **NEEDED)
    assert other.identity.get_service_requirements("slack") == []
    assert refused(lambda: other.identity.delete_service_requirement("slack", made["id"])) == (404, "NOT_FOUND")
    assert refused(lambda: sdk(served.base_url, MEMBER).identity.set_service_requirement("slack", **NEEDED)) == (
        403,
        "FORBIDDEN",
    )


def test_a_key_limited_to_connections_requires_only_of_those(sdk: Any, served: Any) -> None:
    narrow = sdk(served.base_url, ADMIN)
    assert narrow.identity.set_service_requirement("scon_slack", **NEEDED)["service_id"] == "scon_slack"
    assert narrow.identity.get_service_requirements("slack") == []
    assert refused(lambda: narrow.identity.set_service_requirement("slack", **NEEDED)) == (403, "FORBIDDEN")
    assert refused(lambda: narrow.identity.get_service_requirements("scon_github")) == (404, "NOT_FOUND")
    assert refused(lambda: narrow.identity.get_service_requirements("github")) == (404, "NOT_FOUND")


# --- scenarios, tools, tenants ---------------------------------------------------------------------------------------

SEEDED = """
identity:
  claims:
    - {id: clm_person, provider: bankid_se, expires: 10d}
    - {claim: delegated_authority, provider: bankid_se, delegated_scopes: [tax:file]}
    - {operator: op_other, claim: verified_human, provider: cloudflare_turnstile}
passports: [{id: pp_seeded, agent: agt_logged, mission: ms_logged, env: AGENT}]
"""


def test_a_scenario_starts_with_claims(serve: Any, sdk: Any) -> None:
    served = serve(WORLD + SEEDED)
    client = sdk(served.base_url, OPERATOR)
    person, delegated = client.identity.list_claims()
    assert (person.id, person.assurance_level) == ("clm_person", "high")
    assert (delegated.claim_type, delegated.expires_at) == ("delegated_authority", person.expires_at)
    [foreign] = sdk(served.base_url, OTHER).identity.list_claims()
    assert foreign.claim_type == "verified_human"
    assert level(served) == "L3"
    assert level(served, "pp_seeded") == "L3"
    served.advance(10 * 86_400_000)
    assert client.identity.list_claims() == []


def test_the_tools_do_the_same(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    begun = tools("stack_start_identity_verification", provider_key="persona")
    done = tools("stack_complete_identity_verification", provider_key="persona", session_ref=begun["session_ref"])
    listed = tools("stack_list_identity_claims")
    assert [one["id"] for one in listed] == [one["id"] for one in done["claims"]]
    tools("stack_set_service_requirement", service_id="slack", **NEEDED)
    gone = tools("stack_revoke_identity_claim", claim_id=listed[1]["id"])
    assert gone["revoked_claims"] == [listed[1]["id"]]
    reply, failed = tools.result("stack_proxy_request", service="slack", url=SLACK)
    assert (failed, reply["error"]["code"]) == (True, "IDENTITY_REQUIREMENTS_NOT_MET")


def test_agents_verify_nobody(served: Any, stack: Any) -> None:
    passport = issue(stack)
    answer = post(served, "/v1/identity/verify/initiate", {"provider_key": "persona"}, passport.token)
    assert error(answer) == (403, "FORBIDDEN")
