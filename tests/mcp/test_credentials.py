"""Who may use the endpoint, what they see there, and whose a session is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stack_emu.domain.issuance import token_for
from stack_emu.domain.state import Passport
from tests.mcp.conftest import KEY, Raw, connected, payload, run

READER = "sk_live_emu_reader"
SCENARIO = """
stack_emu: 1
operators:
  - id: op_emu
    keys:
      - {key: sk_live_emu_operator}
      - {key: sk_live_emu_reader, role: readonly, member: reader@example.com}
  - id: op_other
    keys: [{key: sk_live_emu_other}]
agents:
  - {id: agt_deploy, name: deploy-bot, accountability_mode: standard}
  - {id: agt_other, name: other-bot, accountability_mode: standard}
missions:
  - {id: ms_deploy, agent: agt_deploy, intent: Tell the team about the deployment}
passports:
  - {id: pp_deploy, agent: agt_deploy, mission: ms_deploy}
"""


@pytest.fixture
def served(serve: Callable[..., Any]) -> Any:
    return serve(SCENARIO)


def passport_of(served: Any, jti: str = "pp_deploy", world: Any = None) -> str:
    home = world if world is not None else served.world
    return str(served.call(lambda: token_for(home, home.store.get(Passport, jti))))


def names(response: httpx.Response) -> set[str]:
    return {tool["name"] for tool in response.json()["result"]["tools"]}


# --- 401 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_without_a_bearer_every_method_is_a_401_that_asks_for_one(served: Any, raw: Any, method: str) -> None:
    response = raw(served, None).send(method)
    assert response.status_code == 401
    document = f"{served.base_url}/.well-known/oauth-protected-resource/mcp"
    assert response.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{document}"'
    error = response.json()["error"]
    assert error["code"] == "UNAUTHORIZED"
    assert "an operator key, a member key, an agent JWT or a passport" in error["message"]
    entry = list(served.world.journal.entries(surface="mcp"))[-1]
    assert (entry.method, entry.status, entry.code) == (method, 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("bearer", "code"),
    [("sk_live_unknown", "INVALID_API_KEY"), ("a.b.c", "UNAUTHORIZED")],
)
def test_a_bearer_that_is_nobodys_is_an_invalid_token(served: Any, raw: Any, bearer: str, code: str) -> None:
    response = raw(served, bearer).initialize()
    assert response.status_code == 401
    assert response.json()["error"]["data"]["code"] == code
    assert response.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token", error_description="')
    assert bearer not in response.text


def test_another_scheme_than_bearer_is_refused_with_the_form_it_must_have(served: Any) -> None:
    response = httpx.post(f"{served.base_url}/mcp", json={}, headers={"Authorization": "Basic abc"})
    assert response.status_code == 401
    assert "Bearer <key or token>" in response.json()["error"]["message"]


def test_a_401_names_the_resource_metadata_when_there_is_some(served: Any, raw: Any) -> None:
    served.server._mcp.resource_metadata = lambda world, origin: f"{origin}/.well-known/{world.name}"
    response = raw(served, None).send()
    assert response.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{served.base_url}/.well-known/default"'


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_belongs_to_the_credential_that_opened_it(served: Any, raw: Any) -> None:
    client = raw(served)
    client.initialize()
    assert client.post("tools/list").status_code == 200
    for stranger in (READER, "sk_live_emu_other", passport_of(served)):
        refused = client.post("tools/list", bearer=stranger)
        assert (refused.status_code, refused.json()["error"]["message"]) == (404, "Session not found")
    assert client.post("tools/list").status_code == 200


def test_a_session_of_one_world_does_not_exist_in_another(served: Any, raw: Any) -> None:
    hosting, scenario = served.server.hosting, served.hosted.scenario
    served.call(lambda: hosting.create("second", scenario))
    client = raw(served)
    client.initialize()
    elsewhere = Raw(f"{served.base_url}/w/second/mcp", KEY, session=client.session)
    assert elsewhere.post("tools/list").status_code == 404
    assert elsewhere.send("DELETE").status_code == 404
    assert client.post("tools/list").status_code == 200


def test_a_tool_called_in_one_world_changes_only_that_world(served: Any) -> None:
    hosting, scenario = served.server.hosting, served.hosted.scenario
    second = served.call(lambda: hosting.create("second", scenario))

    async def work() -> None:
        async with connected(f"{served.base_url}/w/second/mcp", KEY) as client:
            await client.call_tool("stack_register_agent", {"name": "only-here"})

    run(work())
    assert served.rows() == []
    assert [row.action for row in second.world.audit.rows("op_emu")] == ["agent.register"]


def test_a_lane_can_be_named_in_the_url(served: Any) -> None:
    hosting, scenario = served.server.hosting, served.hosted.scenario
    second = served.call(lambda: hosting.create("second", scenario))

    async def work() -> None:
        async with connected(f"{served.base_url}/w/second/~left/mcp", KEY) as client:
            await client.call_tool("stack_register_agent", {"name": "in-a-lane"})

    run(work())
    (entry,) = second.world.journal.entries(surface="mcp")
    assert entry.lane == "key:0/left"


def test_a_session_ended_by_its_client_is_gone(served: Any, raw: Any) -> None:
    client = raw(served)
    client.initialize()
    assert client.send("DELETE").status_code == 200
    assert client.post("tools/list").status_code == 404


# --- what a caller sees ----------------------------------------------------------------------------------------------


def listed(served: Any, raw: Any, bearer: str) -> set[str]:
    client = raw(served, bearer)
    client.initialize()
    return names(client.post("tools/list"))


def test_an_operator_key_sees_the_tools_of_the_whole_account(served: Any, raw: Any) -> None:
    tools = served.server.hosting.registry.tools
    admitted = {name for name, op in tools.items() if not op.auth.bearers or "operator" in op.auth.bearers}
    assert listed(served, raw, KEY) == admitted
    assert {"stack_register_agent", "stack_get_agent", "stack_issue_passport"} <= admitted


def test_a_readonly_member_sees_no_tool_that_needs_a_higher_role(served: Any, raw: Any) -> None:
    seen = listed(served, raw, READER)
    assert "stack_get_agent" in seen
    assert "stack_register_agent" not in seen


def test_a_passport_sees_only_what_a_passport_may_do(served: Any, raw: Any) -> None:
    tools = served.server.hosting.registry.tools
    admitted = {name for name, op in tools.items() if not op.auth.bearers or "passport" in op.auth.bearers}
    seen = listed(served, raw, passport_of(served))
    assert seen == admitted
    assert "stack_get_agent" in seen
    assert not seen & {"stack_register_agent", "stack_list_agents", "stack_get_credential", "stack_issue_passport"}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_tool_out_of_reach_is_refused_naming_the_credential_that_would_do(served: Any, mode: str) -> None:
    token = passport_of(served)

    async def work() -> Any:
        async with connected(f"{served.base_url}/mcp", token, mode) as client:
            return await client.call_tool("stack_register_agent", {})

    refused = run(work())
    error = payload(refused)["error"]
    assert refused.is_error
    assert error["code"] == "FORBIDDEN"
    assert "cannot be called with a passport; use an operator key" in error["message"]
    assert error["details"]["presented"] == "passport"


def test_a_passport_reads_its_own_agent_and_no_other(served: Any) -> None:
    token = passport_of(served)

    async def work() -> tuple[Any, Any]:
        async with connected(f"{served.base_url}/mcp", token) as client:
            own = await client.call_tool("stack_get_agent", {"agent_id": "agt_deploy"})
            return own, await client.call_tool("stack_get_agent", {"agent_id": "agt_other"})

    own, other = run(work())
    assert payload(own)["id"] == "agt_deploy"
    assert payload(other)["error"]["code"] == "NOT_FOUND"


def test_the_list_of_one_caller_is_never_another_callers(served: Any, raw: Any) -> None:
    by_key, by_passport = listed(served, raw, KEY), listed(served, raw, passport_of(served))
    assert listed(served, raw, KEY) == by_key
    assert listed(served, raw, passport_of(served)) == by_passport
    assert by_passport < by_key


# --- revocation and expiry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_passport_revoked_during_a_session_is_refused_on_its_very_next_call(served: Any, mode: str) -> None:
    token, url = passport_of(served), f"{served.base_url}/mcp"

    async def work() -> None:
        async with connected(url, token, mode) as agent, connected(url, KEY) as operator:
            ask = ("stack_get_agent", {"agent_id": "agt_deploy"})
            assert not (await agent.call_tool(*ask)).is_error
            revoked = await operator.call_tool("stack_revoke_passport", {"jti": "pp_deploy"})
            assert not revoked.is_error, payload(revoked)
            with pytest.raises(Exception, match=r"."):
                await agent.call_tool(*ask)

    run(work())
    last = list(served.world.journal.entries(surface="mcp"))[-1]
    assert (last.status, last.code) == (401, "PASSPORT_REVOKED")


def test_a_revoked_passport_gets_a_401_with_stacks_code(served: Any, raw: Any) -> None:
    client = raw(served, passport_of(served))
    client.initialize()
    raw(served)  # the operator revokes over REST
    done = httpx.post(
        f"{served.base_url}/v1/passports/revoke", json={"jti": "pp_deploy"}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert done.status_code == 200, done.text
    response = client.call("stack_get_agent", {"agent_id": "agt_deploy"})
    assert response.status_code == 401
    assert response.json()["error"]["data"]["code"] == "PASSPORT_REVOKED"
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_an_expired_passport_gets_a_401_with_stacks_code(serve: Callable[..., Any], raw: Any) -> None:
    served = serve(SCENARIO, clock="virtual")
    client = raw(served, passport_of(served))
    client.initialize()
    served.advance(3_600_000)
    response = client.call("stack_get_agent", {"agent_id": "agt_deploy"})
    assert response.status_code == 401
    assert response.json()["error"]["data"]["code"] == "PASSPORT_EXPIRED"


# --- agent JWTs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def enrolled(served: Any) -> Callable[[], str]:
    """A function that signs JWTs of agt_deploy with a key enrolled over MCP."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from stack_emu.domain.tokens import base64url

    key = Ed25519PrivateKey.generate()
    x = base64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    async def enroll() -> None:
        async with connected(f"{served.base_url}/mcp", KEY) as client:
            asked = payload(await client.call_tool("stack_create_enrollment_challenge", {"agent_id": "agt_deploy"}))
            proof = base64url(key.sign(asked["challenge"].encode()))
            made = await client.call_tool(
                "stack_enroll_agent",
                {
                    "agent_id": "agt_deploy",
                    "public_key": {"kty": "OKP", "crv": "Ed25519", "x": x},
                    "challenge_id": asked["challenge_id"],
                    "signed_challenge": proof,
                },
            )
            assert not made.is_error, payload(made)

    run(enroll())
    made = iter(range(1000))

    def sign() -> str:
        import jwt

        now = int(time.time())
        claims = {
            "iss": "stack-sdk",
            "aud": "stack:agent",
            "sub": "agt_deploy",
            "jti": f"jti-{next(made)}",
            "iat": now,
            "exp": now + 60,
        }
        return jwt.encode(claims, key, algorithm="EdDSA")

    return sign


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_one_agent_jwt_serves_a_client_for_its_sixty_seconds(served: Any, enrolled: Any, mode: str) -> None:
    async def work() -> None:
        async with connected(f"{served.base_url}/mcp", enrolled(), mode) as client:
            for _ in range(2):
                own = await client.call_tool("stack_get_agent", {"agent_id": "agt_deploy"})
                assert payload(own)["id"] == "agt_deploy"

    run(work())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_signs_a_fresh_jwt_for_each_request_keeps_its_session(
    served: Any, enrolled: Any, mode: str
) -> None:
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    class Signing(httpx2.Auth):
        def auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = f"Bearer {enrolled()}"
            yield request

    async def work() -> None:
        async with (
            httpx2.AsyncClient(auth=Signing()) as http,
            Client(streamable_http_client(f"{served.base_url}/mcp", http_client=http), mode=mode) as client,
        ):
            for _ in range(3):
                own = await client.call_tool("stack_get_agent", {"agent_id": "agt_deploy"})
                assert payload(own)["id"] == "agt_deploy"

    run(work())


def test_an_agent_jwt_spent_on_rest_is_spent_here_too(served: Any, enrolled: Any, raw: Any) -> None:
    token = enrolled()
    spent = httpx.get(f"{served.base_url}/v1/agents/agt_deploy", headers={"Authorization": f"Bearer {token}"})
    assert spent.status_code == 200
    refused = raw(served, token).initialize()
    assert refused.status_code == 401
    assert "used before" in refused.json()["error"]["message"]


# --- where requests come from ----------------------------------------------------------------------------------------


def test_a_page_of_another_site_may_not_call(served: Any, raw: Any) -> None:
    assert raw(served, Origin="https://evil.example").initialize().status_code == 403
    assert raw(served, Origin="http://localhost:3000").initialize().status_code == 200


def test_a_host_that_is_not_the_emulators_is_refused(served: Any, raw: Any) -> None:
    assert raw(served, Host="evil.example").initialize().status_code == 421
