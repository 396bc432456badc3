"""Injected errors in the words of whoever answers, as that product's own client raises them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from getstack import AsyncStack, Stack
from getstack.errors import ForbiddenError, NotFoundError, StackError, UnauthorizedError
from mcp.shared.exceptions import MCPError

from stack_emu.client import WorldClient
from stack_emu.verdict import verdict
from tests import evidence
from tests.conftest import KEY, Served
from tests.families.passport_world import OPERATOR, issue
from tests.families.webhook_world import WORLD, Receiver
from tests.mcp.conftest import connected, payload, run

Serve = Callable[..., Served]
SCRIPT = "model: [{turns: [{say: Hello to you all.}]}]\n"


def faulty(on: str, inject: str, more: str = "") -> str:
    return f"stack_emu: 1\n{more}faults: [{{on: {{{on}}}, inject: {{{inject}}}}}]\n"


# --- STACK ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("UNAUTHORIZED", UnauthorizedError),
        ("FORBIDDEN", ForbiddenError),
        ("NOT_FOUND", NotFoundError),
        ("TIER_LIMIT_EXCEEDED", StackError),
    ],
)
@pytest.mark.parametrize("operation", ["agents.list", "audit.list"])
def test_the_sdk_raises_the_class_of_the_code(
    serve: Serve, code: str, raised: type[StackError], operation: str
) -> None:
    served = serve(faulty(f"operation: {operation}", f"error: {code}"))

    async def ask() -> None:
        async with AsyncStack(api_key=KEY, base_url=served.base_url) as stack:
            await (stack.agents.list() if operation == "agents.list" else stack.audit.list())

    with Stack(api_key=KEY, base_url=served.base_url) as stack, pytest.raises(raised) as refused:
        stack.agents.list() if operation == "agents.list" else stack.audit.list()
    assert (refused.value.code, refused.value.details) == (code, {"injected": True})
    with pytest.raises(raised):
        asyncio.run(ask())


# --- MCP ------------------------------------------------------------------------------------------------------------------


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group of errors, or the one error."""
    inner = getattr(error, "exceptions", None)
    return [error] if inner is None else [leaf for one in inner for leaf in leaves(one)]


BREAKS = ("connection_reset_by_peer", "empty_response", "malformed_response_chunk", "truncated_body", "garbage_body")


@pytest.mark.parametrize("answers", ["json", "streams"])
@pytest.mark.parametrize("kind", BREAKS)
def test_the_mcp_client_fails_and_the_next_call_works(serve: Serve, kind: str, answers: str) -> None:
    more = f"mcp: {{answers: {answers}}}\n"
    served = serve(faulty("tool: stack_list_agents, nth: 1", f"transport: {kind}", more))

    async def ask() -> Any:
        async with connected(f"{served.base_url}/mcp", KEY, "2026-07-28") as client:
            return await asyncio.wait_for(client.call_tool("stack_list_agents", {}), 10)

    with pytest.raises(Exception) as failed:
        run(ask())
    assert all(isinstance(error, (MCPError, httpx2.TransportError)) for error in leaves(failed.value))
    assert payload(run(ask())) == []
    calls = [entry for entry in served.world.journal.entries(surface="mcp") if entry.route == "stack_list_agents"]
    assert [entry.injected for entry in calls] == ["faults[0]", None]


# --- OAuth ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inject", "status", "word"),
    [
        ("error: invalid_client_metadata", 400, "invalid_client_metadata"),
        ("error: temporarily_unavailable", 503, "temporarily_unavailable"),
        ("status: 503", 503, "temporarily_unavailable"),
        ("status: 500", 500, "server_error"),
        ("status: 429, headers: {Retry-After: 3}", 429, "slow_down"),
    ],
)
def test_an_oauth_endpoint_answers_with_an_error_of_oauth(serve: Serve, inject: str, status: int, word: str) -> None:
    served = serve(faulty("operation: oauth.register", inject))
    client = {"client_name": "app", "redirect_uris": ["http://127.0.0.1:5997/callback"]}
    reply = httpx.post(f"{served.base_url}/oauth/register", json=client, trust_env=False)
    assert (reply.status_code, reply.json()["error"]) == (status, word)
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers.get("Retry-After") == ("3" if status == 429 else None)


def test_the_mcp_sdk_s_sign_in_raises_its_own_error(serve: Serve) -> None:
    from mcp.client.auth import OAuthClientProvider
    from mcp.client.auth.exceptions import OAuthFlowError
    from mcp.shared.auth import OAuthClientMetadata
    from pydantic import AnyUrl

    served = serve(faulty("operation: oauth.register", "error: invalid_client_metadata"))
    url = f"{served.base_url}/mcp"

    class Nowhere:
        async def get_tokens(self) -> None:
            return None

        async def get_client_info(self) -> None:
            return None

        async def set_tokens(self, tokens: Any) -> None:
            raise AssertionError("no token was given")

        async def set_client_info(self, client_info: Any) -> None:
            raise AssertionError("no client was registered")

    async def never(*arguments: Any) -> Any:
        raise AssertionError("nobody is sent to a browser")

    metadata = OAuthClientMetadata(client_name="app", redirect_uris=[AnyUrl("http://127.0.0.1:5997/callback")])

    async def sign_in() -> None:
        auth = OAuthClientProvider(url, metadata, Nowhere(), never, never)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(auth=auth, timeout=10) as http:
            await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})

    with pytest.raises(OAuthFlowError):
        asyncio.run(sign_in())


# --- the model's providers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inject", "raised", "word"),
    [
        ("error: overloaded_error", anthropic.InternalServerError, "overloaded_error"),
        ("error: rate_limit_error", anthropic.RateLimitError, "rate_limit_error"),
        ("status: 401", anthropic.AuthenticationError, "authentication_error"),
        ("error: permission_error", anthropic.PermissionDeniedError, "permission_error"),
    ],
)
def test_anthropic_s_sdk_raises_its_classes(serve: Serve, inject: str, raised: type[Exception], word: str) -> None:
    served = serve(faulty("operation: messages.create", inject, SCRIPT))
    with (
        anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="k", max_retries=0) as client,
        pytest.raises(raised) as refused,
    ):
        client.messages.create(model="c", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    body: Any = refused.value.body  # type: ignore[attr-defined]
    assert (body["type"], body["error"]["type"]) == ("error", word)


@pytest.mark.parametrize(
    ("inject", "raised"),
    [
        ("error: rate_limit_exceeded", openai.RateLimitError),
        ("error: server_error", openai.InternalServerError),
        ("status: 401", openai.AuthenticationError),
        ("error: model_not_found", openai.NotFoundError),
    ],
)
def test_openai_s_sdk_raises_its_classes(serve: Serve, inject: str, raised: type[Exception]) -> None:
    served = serve(faulty("operation: chat.completions.create", inject, SCRIPT))
    with (
        openai.OpenAI(base_url=f"{served.base_url}/openai/v1", api_key="k", max_retries=0) as client,
        pytest.raises(raised) as refused,
    ):
        client.chat.completions.create(model="g", messages=[{"role": "user", "content": "hi"}])
    assert refused.value.body["message"]  # type: ignore[attr-defined]


# --- webhooks on their way out --------------------------------------------------------------------------------------------


@pytest.fixture
def hooked(serve: Serve) -> Iterator[tuple[Served, Stack, WorldClient, Receiver]]:
    served = serve(WORLD)
    world = WorldClient.connect(served.base_url)
    with Receiver().running() as receiver, Stack(api_key=OPERATOR, base_url=served.base_url) as stack:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert stack.delivery_methods.verify(made["id"], world.outbox.code(receiver.url))["verified"]
        stack.notifications.create("webhook", receiver.url)
        yield served, stack, world, receiver
    world.close_clients()
    world.connection.close()


@pytest.mark.parametrize(
    ("inject", "arrived", "words"),
    [
        ({"status": 503}, 0, "the receiver answered 503"),
        ({"drop": "request"}, 0, "closed the connection before it was sent"),
        ({"drop": "reply"}, 1, "the receiver's answer was lost"),
        ({"transport": "connection_reset_by_peer"}, 1, "the receiver's answer was lost"),
        ({"delay": "20s", "drop": "request"}, 0, "did not answer within 10 seconds"),
    ],
)
def test_an_attempt_of_a_delivery_fails_and_the_next_one_comes(
    hooked: Any, inject: dict[str, Any], arrived: int, words: str
) -> None:
    served, stack, world, receiver = hooked
    receiver.requests.clear()
    where = {"body": {"type": "passport.revoked"}}
    world.faults.add(on={"operation": "webhook.deliver", "where": where, "nth": 1}, inject=inject)
    stack.passports.revoke(issue(stack).jti)
    item = next(one for one in world.deliveries if one["event"] == "passport.revoked")
    assert words in json.dumps(item)
    assert sum(json.loads(body)["type"] == "passport.revoked" for _, _, body in receiver.requests) == arrived
    injected = [entry.injected for entry in served.world.journal.entries(surface="webhook") if entry.injected]
    assert injected == ["added[0]"]
    world.clock.advance("1d")
    assert sum(json.loads(body)["type"] == "passport.revoked" for _, _, body in receiver.requests) == arrived + 1


# --- what counts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """What the suite's own books have written down since the test began: refusals and methods of the SDK."""
    refused: dict[str, set[str]] = {}
    methods: dict[str, set[str]] = {}
    monkeypatch.setattr(evidence, "_refused", refused)
    monkeypatch.setattr(evidence, "_methods", methods)
    return refused, methods


def test_an_injected_answer_is_no_evidence(serve: Serve, noted: Any) -> None:
    from tests.witness import watching

    refused, methods = noted
    served = serve(
        "stack_emu: 1\nfaults:\n"
        "  - {on: {operation: agents.list, nth: 1}, inject: {error: CONFLICT}}\n"
        "  - {on: {operation: agents.list, nth: 2}, inject: {status: 503, json: {a: 1}}}\n"
        "  - {on: {operation: agents.register, nth: 1}, inject: {status: 201, json: {agent_id: agent_x, name: x}}}\n"
    )
    with (
        watching(served.world, lambda entry: "sdk-sync") as witness,
        Stack(api_key=KEY, base_url=served.base_url) as stack,
    ):
        for _ in range(2):
            with pytest.raises(StackError):
                stack.agents.list()
        httpx.post(
            f"{served.base_url}/v1/agents/register",
            json={"name": "beta"},
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
        )
        assert (refused, methods, witness.called) == ({}, {}, set())
        stack.agents.list()
        with pytest.raises(NotFoundError):
            stack.agents.get("agent_none")
    assert witness.called == {("agents.list", "sdk-sync")}
    assert (refused, methods) == ({"agents.get": {"NOT_FOUND"}}, {"agents.list": {"sync"}, "agents.get": {"sync"}})


def test_the_journal_says_which_rule_it_was(serve: Serve) -> None:
    served = serve(
        "stack_emu: 1\nfaults:\n"
        "  - {on: {operation: agents.list, nth: 2}, inject: {status: 503}}\n"
        "  - {on: {operation: agents.list, nth: 3}, inject: {delay: 1ms}}\n"
    )
    for _ in range(3):
        httpx.get(f"{served.base_url}/v1/agents", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    world = WorldClient.connect(served.base_url)
    entries = world.control("GET", "/journal")["entries"]
    world.connection.close()
    assert [entry["injected"] for entry in entries] == [None, "faults[0]", "faults[1]"]
    assert verdict(served.hosted).failures == []
