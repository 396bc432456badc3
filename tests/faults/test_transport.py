"""Connections that break under an answer, as the published clients of each surface meet them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from getstack import AsyncStack, Stack

from tests.conftest import KEY, Served

Serve = Callable[..., Served]

BROKEN = {
    "connection_reset_by_peer": (httpx.ReadError, 56),
    "empty_response": (httpx.RemoteProtocolError, 52),
    "random_data_then_close": (httpx.RemoteProtocolError, 1),
    "malformed_response_chunk": (httpx.RemoteProtocolError, 56),
    "truncated_body": (httpx.RemoteProtocolError, 18),
}
"""Kinds after which nothing whole arrives: what httpx raises, and curl's exit status (see ``curl(1)``)."""
SCRIPT = "model: [{turns: [{say: Hello to you all.}]}]\n"


def faulty(on: str, inject: str, more: str = "") -> str:
    return f"stack_emu: 1\n{more}faults: [{{on: {{{on}}}, inject: {{{inject}}}}}]\n"


# --- STACK's own API ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BROKEN)
def test_the_sdk_and_its_asynchronous_twin_raise_what_their_transport_raises(serve: Serve, kind: str) -> None:
    served = serve(faulty("operation: agents.list", f"transport: {kind}"))
    with Stack(api_key=KEY, base_url=served.base_url) as stack, pytest.raises(BROKEN[kind][0]):
        stack.agents.list()

    async def ask() -> None:
        async with AsyncStack(api_key=KEY, base_url=served.base_url) as stack:
            await stack.agents.list()

    with pytest.raises(BROKEN[kind][0]):
        asyncio.run(ask())
    assert [entry.injected for entry in served.world.journal.entries(surface="rest")] == ["faults[0]"] * 2


@pytest.mark.parametrize("kind", BROKEN)
def test_curl_names_what_happened(serve: Serve, kind: str) -> None:
    curl = shutil.which("curl")
    assert curl is not None, "curl is needed"
    served = serve(faulty("operation: agents.list", f"transport: {kind}"))
    url, bearer = f"{served.base_url}/v1/agents", f"Authorization: Bearer {KEY}"
    done = subprocess.run([curl, "-sS", "--noproxy", "*", "-H", bearer, url], capture_output=True, timeout=30)
    assert done.returncode == BROKEN[kind][1], done.stderr


def test_a_truncated_body_says_more_than_comes(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "transport: truncated_body", "agents: [{name: alpha}]\n"))
    with agents_of(served) as reply:
        assert reply.status_code == 200
        said, came = int(reply.headers["Content-Length"]), b""
        with pytest.raises(httpx.RemoteProtocolError):
            for piece in reply.iter_raw():
                came += piece
    assert came.startswith(b"[{")
    assert len(came) == said // 2


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


@contextmanager
def agents_of(served: Served, timeout: float = 10) -> Iterator[httpx.Response]:
    """The list of agents, its body unread."""
    with (
        httpx.Client(headers=bearer(), trust_env=False, timeout=timeout) as client,
        client.stream("GET", f"{served.base_url}/v1/agents") as reply,
    ):
        yield reply


def test_the_effect_stands_though_its_answer_is_lost(serve: Serve) -> None:
    served = serve(faulty("operation: agents.register", "transport: connection_reset_by_peer"))
    with Stack(api_key=KEY, base_url=served.base_url) as stack:
        with pytest.raises(httpx.ReadError):
            stack.agents.register("beta")
        assert [agent.name for agent in stack.agents.list()] == ["beta"]
    assert [row.action for row in served.rows()] == ["agent.register"]


def test_a_reset_before_the_request_takes_effect(serve: Serve) -> None:
    inject = "drop: request, transport: connection_reset_by_peer"
    served = serve(faulty("operation: agents.register", inject))
    with Stack(api_key=KEY, base_url=served.base_url) as stack, pytest.raises(httpx.ReadError):
        stack.agents.register("beta")
    assert served.rows() == []


def test_an_injected_answer_can_break_too(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "status: 503, json: {down: true}, transport: garbage_body"))
    reply = httpx.get(f"{served.base_url}/v1/agents", headers=bearer(), trust_env=False)
    assert (reply.status_code, reply.headers["Content-Type"].partition(";")[0]) == (503, "application/json")
    with pytest.raises(ValueError):
        reply.json()


def test_a_garbage_body_is_no_json_to_the_sdk(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "transport: garbage_body"))
    with Stack(api_key=KEY, base_url=served.base_url) as stack, pytest.raises(ValueError):
        stack.agents.list()


def test_a_wrong_content_type_leaves_the_body_as_it_is(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "content_type: text/html"))
    reply = httpx.get(f"{served.base_url}/v1/agents", headers=bearer(), trust_env=False)
    assert (reply.headers["Content-Type"], reply.text) == ("text/html", "[]")


def test_a_dribbled_body_comes_whole_in_its_pieces(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "dribble: {chunks: 4, over: 200ms}", "agents: [{name: alpha}]\n"))
    with agents_of(served) as reply:
        pieces = list(reply.iter_raw())
    assert len(pieces) == 4
    assert json.loads(b"".join(pieces))[0]["name"] == "alpha"


def test_a_client_that_does_not_wait_that_long_gives_up_in_the_middle(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "dribble: {chunks: 2, over: 20s}"))
    with agents_of(served, timeout=0.5) as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            reply.read()


def test_a_head_that_comes_too_late_is_a_timeout(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "delay: 20s"))
    with Stack(api_key=KEY, base_url=served.base_url, timeout=0.5) as stack, pytest.raises(httpx.ReadTimeout):
        stack.agents.list()


# --- OAuth --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BROKEN)
def test_an_oauth_endpoint_can_break(serve: Serve, kind: str) -> None:
    served = serve(faulty("operation: oauth.register", f"transport: {kind}"))
    client = {"client_name": "app", "redirect_uris": ["http://127.0.0.1:5997/callback"]}
    with pytest.raises(BROKEN[kind][0]):
        httpx.post(f"{served.base_url}/oauth/register", json=client, trust_env=False)


# --- the model ----------------------------------------------------------------------------------------------------------


def ask_anthropic(served: Served, **more: Any) -> Any:
    with anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="sk-ant-emu", max_retries=0) as client:
        messages = [{"role": "user", "content": "hi"}]
        return client.messages.create(model="claude", max_tokens=20, messages=messages, **more)  # type: ignore[arg-type]


def ask_openai(served: Served, **more: Any) -> Any:
    with openai.OpenAI(base_url=f"{served.base_url}/openai/v1", api_key="sk-emu", max_retries=0) as client:
        return client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hi"}], **more)


def respond_openai(served: Served) -> Any:
    with openai.OpenAI(base_url=f"{served.base_url}/openai/v1", api_key="sk-emu", max_retries=0) as client:
        return client.responses.create(model="gpt", input="hi")


@pytest.mark.parametrize("kind", BROKEN)
def test_anthropic_s_sdk_raises_a_connection_error(serve: Serve, kind: str) -> None:
    served = serve(faulty("operation: messages.create, nth: 1", f"transport: {kind}", SCRIPT))
    with pytest.raises(anthropic.APIConnectionError):
        ask_anthropic(served)
    assert ask_anthropic(served).content[0].text == "Hello to you all."
    assert [entry.injected for entry in served.world.journal.entries(surface="messages")] == ["faults[0]", None]


@pytest.mark.parametrize("operation", ["chat.completions.create", "responses.create"])
@pytest.mark.parametrize("kind", BROKEN)
def test_openai_s_sdk_raises_a_connection_error(serve: Serve, kind: str, operation: str) -> None:
    served = serve(faulty(f"operation: {operation}", f"transport: {kind}", SCRIPT))
    ask = respond_openai if operation == "responses.create" else ask_openai
    with pytest.raises(openai.APIConnectionError):
        ask(served)


@pytest.mark.parametrize("ask", [ask_anthropic, ask_openai])
def test_a_body_that_is_no_json_is_an_error_of_the_sdk(serve: Serve, ask: Callable[..., Any]) -> None:
    rules = ", ".join(
        f"{{on: {{operation: {name}}}, inject: {{transport: garbage_body}}}}"
        for name in ("messages.create", "chat.completions.create")
    )
    served = serve(f"stack_emu: 1\n{SCRIPT}faults: [{rules}]\n")
    with pytest.raises((ValueError, anthropic.APIError, openai.APIError)):
        ask(served)


@pytest.mark.parametrize("ask", [ask_anthropic, ask_openai])
def test_a_stream_breaks_off_after_its_first_piece(serve: Serve, ask: Callable[..., Any]) -> None:
    rules = ", ".join(
        f"{{on: {{operation: {name}}}, inject: {{transport: connection_reset_by_peer}}}}"
        for name in ("messages.create", "chat.completions.create")
    )
    served = serve(f"stack_emu: 1\n{SCRIPT}faults: [{rules}]\n")
    with pytest.raises(
        (httpx.TransportError, httpx2.TransportError, anthropic.APIConnectionError, openai.APIConnectionError)
    ):
        list(ask(served, stream=True))
