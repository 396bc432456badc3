"""Upstreams whose replies break: what STACK's proxy says of them, and what clients of their own hosts meet."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from getstack import Stack
from getstack.errors import StackError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from stack_emu.surfaces.host_gateway import HostGateway
from tests.conftest import KEY, Served

Serve = Callable[..., Served]
WORLD = """
stack_emu: 1
agents: [{id: agent_a, name: alpha, accountability_mode: standard}]
services:
  - {id: scon_s, provider: shop, scopes: [x], grants: [{agent: alpha}], credential_access: direct}
  - {id: scon_slack, provider: slack, credential: xoxb-emu-slack-token, scopes: [chat:write], grants: [{agent: alpha}]}
missions: [{id: ms_a, agent: agent_a, intent: Look, services: [shop, slack], expires: 1h}]
passports: [{id: pp_a, agent: agent_a, mission: ms_a, env: P}]
upstreams:
  shop: {hosts: [shop.example.com], routes: [{when: {path: /open}, reply: {json: {ok: true, items: [1, 2, 3]}}}]}
  slack: {pack: slack, seed: {channels: [{name: random}, {name: eng}]}}
"""
LOST = {
    "connection_reset_by_peer": "was reset before its reply arrived",
    "empty_response": "closed the connection without an answer",
    "random_data_then_close": "answered with something that is no HTTP",
    "malformed_response_chunk": "broke off in a malformed chunk",
    "truncated_body": "broke off before its end",
}


def world(*rules: str) -> str:
    plain = WORLD.replace(", credential_access: direct", "")
    return plain + "faults:\n" + "".join(f"  - {rule}\n" for rule in rules)


def proxied(served: Served, service: str, url: str, **more: Any) -> Any:
    with Stack(api_key=KEY, base_url=served.base_url) as stack:
        token = stack.missions.start(agent_id="agent_a", mission={"intent_summary": "x"})["passport"]["token"]
        method = stack.proxy.post if more else stack.proxy.get
        return method(service, url, passport_token=token, **more)


@pytest.mark.parametrize("kind", LOST)
def test_the_proxy_says_that_nothing_whole_came(serve: Serve, kind: str) -> None:
    served = serve(world(f"{{on: {{upstream: shop}}, inject: {{transport: {kind}}}}}"))
    with pytest.raises(StackError, match=LOST[kind]) as refused:
        proxied(served, "shop", "https://shop.example.com/open")
    assert refused.value.code == "UPSTREAM_UNREACHABLE"
    [entry] = served.world.journal.entries(surface="upstream")
    assert (entry.injected, entry.code) == ("faults[0]", "UpstreamUnreachable")


def test_a_body_that_is_no_json_comes_through_as_it_is(serve: Serve) -> None:
    served = serve(world("{on: {upstream: shop}, inject: {transport: garbage_body}}"))
    reply = proxied(served, "shop", "https://shop.example.com/open")
    assert reply.status == 200
    assert "items" not in str(reply.body)


def test_a_wrong_content_type_makes_the_body_text(serve: Serve) -> None:
    served = serve(world("{on: {upstream: shop}, inject: {content_type: text/html}}"))
    reply = proxied(served, "shop", "https://shop.example.com/open")
    assert (reply.headers["content-type"], reply.body) == ("text/html", '{"ok":true,"items":[1,2,3]}')


def test_a_reply_too_slow_for_the_proxy_is_its_timeout(serve: Serve) -> None:
    rule = "{on: {upstream: shop}, inject: {dribble: {chunks: 3, over: 40s}}}"
    served = serve("clock: {mode: virtual}\n" + world(rule).replace("stack_emu: 1", "", 1).lstrip() + "stack_emu: 1\n")
    with pytest.raises(StackError) as refused:
        proxied(served, "shop", "https://shop.example.com/open")
    assert refused.value.code == "UPSTREAM_TIMEOUT"


def test_only_posts_to_one_channel_fail_and_in_slack_s_words(serve: Serve) -> None:
    where = "where: {body: {channel: {regex: random}}}"
    served = serve(world(f"{{on: {{upstream: slack, method: POST, {where}}}, inject: {{status: 500}}}}"))
    url = "https://slack.com/api/chat.postMessage"
    hit = proxied(served, "slack", url, body={"channel": "#random", "text": "a"})
    missed = proxied(served, "slack", url, body={"channel": "#eng", "text": "b"})
    assert (hit.status, hit.body["ok"]) == (500, False)
    assert (missed.status, missed.body["ok"]) == (200, True)
    entries = list(served.world.journal.entries(surface="upstream"))
    assert [entry.injected for entry in entries] == ["faults[0]", None]


# --- straight to the host -----------------------------------------------------------------------------------------------


@pytest.fixture
def gateway(
    serve: Serve, _loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[..., tuple[Served, str, ssl.SSLContext]]]:
    opened: list[HostGateway] = []

    def on_loop(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, _loop).result(20)

    def start(text: str) -> tuple[Served, str, ssl.SSLContext]:
        served = serve(text)

        async def begin() -> HostGateway:
            made = HostGateway(served.server)
            await made.start()
            return made

        opened.append(on_loop(begin()))
        return served, opened[-1].url(), ssl.create_default_context(cafile=opened[-1].ca_file)

    yield start
    for one in opened:
        on_loop(one.stop())


UNDER_TLS = (httpx.ReadError, httpx.RemoteProtocolError)
"""A reset under TLS: the kernel says ECONNRESET, of which Python's ssl makes the end of the stream."""
RAISED = {
    "connection_reset_by_peer": httpx.ReadError,
    "empty_response": httpx.RemoteProtocolError,
    "random_data_then_close": httpx.RemoteProtocolError,
    "malformed_response_chunk": httpx.RemoteProtocolError,
    "truncated_body": httpx.RemoteProtocolError,
}


def get(proxy: str, trust: ssl.SSLContext, url: str, **options: Any) -> httpx.Response:
    with httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=10) as client:
        return client.get(url, **options)


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_client_of_the_host_meets_it_itself(gateway: Any, kind: str, scheme: str) -> None:
    text = f"""
stack_emu: 1
upstreams: {{open: {{hosts: [open.example.com], routes: [{{reply: {{json: [1, 2, 3]}}}}]}}}}
faults: [{{on: {{upstream: open, nth: 1}}, inject: {{transport: {kind}}}}}]
"""
    _, proxy, trust = gateway(text)
    with pytest.raises(UNDER_TLS if scheme == "https" else RAISED[kind]):
        get(proxy, trust, f"{scheme}://open.example.com/")
    assert get(proxy, trust, f"{scheme}://open.example.com/").json() == [1, 2, 3]


@pytest.mark.parametrize(
    ("inject", "answer"),
    [
        ("{status: 502, body: bad gateway}", (502, "bad gateway")),
        ("{status: 200, json: {maintenance: true}}", (200, '{"maintenance": true}')),
    ],
)
def test_a_real_host_can_answer_something_else(gateway: Any, inject: str, answer: tuple[int, str]) -> None:
    served, proxy, trust = gateway(f"stack_emu: 1\nfaults: [{{on: {{host: api.getstack.run}}, inject: {inject}}}]\n")
    reply = get(proxy, trust, "https://api.getstack.run/v1/agents", headers={"Authorization": f"Bearer {KEY}"})
    assert (reply.status_code, reply.text) == answer
    [entry] = served.world.journal.entries()
    assert (entry.surface, entry.injected) == ("gateway", "faults[0]")


@pytest.mark.parametrize("kind", RAISED)
def test_a_real_host_can_break(gateway: Any, kind: str) -> None:
    rule = f"{{on: {{host: api.getstack.run, path: /v1/*}}, inject: {{transport: {kind}}}}}"
    _, proxy, trust = gateway(f"stack_emu: 1\nfaults: [{rule}]\n")
    with pytest.raises(UNDER_TLS):
        get(proxy, trust, "https://api.getstack.run/v1/agents", headers={"Authorization": f"Bearer {KEY}"})


def test_a_body_reaches_stack_through_the_gateway_while_there_are_fault_rules(gateway: Any) -> None:
    rule = "{on: {operation: agents.delete}, inject: {status: 500}}"
    served, proxy, trust = gateway(f"stack_emu: 1\nfaults: [{rule}]\n")
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(proxy=proxy, verify=trust, trust_env=False, timeout=10, headers=headers) as client:
        made = client.post("https://api.getstack.run/v1/agents/register", json={"name": "new"})
    assert (made.status_code, made.json()["name"]) == (201, "new")
    assert [row.action for row in served.rows()] == ["agent.register"]


def test_slack_s_sdk_raises_its_own_error_and_its_transport_s(gateway: Any) -> None:
    text = """
stack_emu: 1
upstreams: {slack: {pack: slack}}
faults:
  - {on: {upstream: slack, nth: 1}, inject: {status: 500}}
  - {on: {upstream: slack, nth: 2}, inject: {transport: connection_reset_by_peer}}
  - {on: {upstream: slack, nth: 3}, inject: {transport: truncated_body}}
"""
    _, proxy, trust = gateway(text)
    client = WebClient(token="xoxb-none", proxy=proxy, ssl=trust)
    client.retry_handlers.clear()
    with pytest.raises(SlackApiError):
        client.api_test()
    with pytest.raises((OSError, http.client.HTTPException)):
        client.api_test()
    with pytest.raises(http.client.IncompleteRead):
        client.api_test()
