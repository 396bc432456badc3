"""What holds for every request: keys, headers, paths, models, injected faults, the journal, lanes, leaks and the gateway."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import httpx2
import openai
import pytest

from stack_emu.emulator import Emulator
from stack_emu.kernel.faults import FaultRule
from tests.openai.conftest import entries

SCRIPT = "stack_emu: 1\nmodel: [{turns: [{say: Hello.}]}]"
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CALLS = {
    "chat.completions.create": lambda client: client.chat.completions.create(**CHAT),
    "responses.create": lambda client: client.responses.create(model="m", input="hi"),
    "responses.retrieve": lambda client: client.responses.retrieve("resp_x"),
    "responses.delete": lambda client: client.responses.delete("resp_x"),
    "responses.input_items.list": lambda client: client.responses.input_items.list("resp_x"),
    "models.list": lambda client: client.models.list(),
    "models.get": lambda client: client.models.retrieve("gpt-5"),
}
ANSWERED = ["chat.completions.create", "responses.create"]


def url(served: Any, path: str) -> str:
    return f"{served.base_url}/openai{path}"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
def test_no_key_is_401(serve, headers):
    reply = httpx.get(url(serve(SCRIPT), "/v1/models"), headers=headers, trust_env=False)
    assert reply.status_code == 401
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.json()["error"]["code"] == "invalid_api_key"


def test_every_answer_has_the_headers_clients_read(serve, sdk):
    served = serve(SCRIPT)
    for call in (sdk(served).chat.completions, sdk(served).models):
        raw = call.with_raw_response
        reply = raw.create(**CHAT) if hasattr(raw, "create") else raw.list()
        assert reply.headers["x-request-id"].startswith("req_")
        assert int(reply.headers["x-ratelimit-remaining-requests"]) < int(reply.headers["x-ratelimit-limit-requests"])
        assert reply.headers["x-ratelimit-reset-tokens"].endswith("ms")


def test_models(serve, sdk):
    client = sdk(serve(SCRIPT))
    listed = [model.id for model in client.models.list()]
    assert client.models.retrieve(listed[0]).id == listed[0]
    with pytest.raises(openai.NotFoundError, match="catalogue") as caught:
        client.models.retrieve("gpt-0")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status", "why"),
    [
        ("POST", "/v1/embeddings", 404, "/v1/chat/completions, /v1/responses"),
        ("POST", "/chat/completions", 404, "/v1/chat/completions"),
        ("GET", "/v1/chat/completions", 405, "answers POST, not GET"),
        ("PUT", "/v1/responses/resp_x", 405, "answers GET and DELETE"),
        ("GET", "", 404, "/v1/models"),
    ],
)
def test_what_is_not_served_is_named(serve, method, path, status, why):
    reply = httpx.request(method, url(serve(SCRIPT), path), headers={"Authorization": "Bearer k"}, trust_env=False)
    assert reply.status_code == status
    assert why in reply.json()["error"]["message"]
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_no_json(serve):
    reply = httpx.post(
        url(serve(SCRIPT), "/v1/responses"), content=b"{", headers={"Authorization": "Bearer k"}, trust_env=False
    )
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("operation", CALLS)
def test_every_operation_can_fail(serve, sdk, operation):
    served = serve(SCRIPT)
    served.world.faults.add(FaultRule(on={"operation": operation}, inject={"status": 500}))
    with pytest.raises(openai.InternalServerError, match="fault rule"):
        CALLS[operation](sdk(served))
    assert entries(served)[-1].operation == operation


@pytest.mark.parametrize("operation", ANSWERED)
@pytest.mark.parametrize(
    ("inject", "error", "code"),
    [
        ({"status": 429}, openai.RateLimitError, "rate_limit_exceeded"),
        ({"error": "INSUFFICIENT_QUOTA"}, openai.RateLimitError, "insufficient_quota"),
        ({"error": "server_error"}, openai.InternalServerError, "server_error"),
        ({"status": 503}, openai.InternalServerError, None),
        ({"status": 401}, openai.AuthenticationError, "invalid_api_key"),
    ],
)
def test_an_injected_failure_is_the_sdk_s_error(serve, sdk, operation, inject, error, code):
    served = serve(SCRIPT)
    served.world.faults.add(FaultRule(on={"operation": operation, "model": "m"}, inject=inject))
    with pytest.raises(error) as caught:
        CALLS[operation](sdk(served))
    assert caught.value.code == code
    assert (caught.value.response.headers.get("retry-after-ms") == "1") is (caught.value.status_code != 401)


@pytest.mark.parametrize("operation", ANSWERED)
def test_clients_retry_at_once_and_get_the_turn(serve, sdk, operation):
    served = serve(SCRIPT)
    served.world.faults.add(FaultRule(on={"operation": operation}, inject={"status": 429}, times=2))
    made = CALLS[operation](sdk(served, max_retries=2))
    assert "Hello." in made.model_dump_json()
    assert [entry.status for entry in entries(served)] == [429, 429, 200]


@pytest.mark.parametrize("operation", ANSWERED)
@pytest.mark.parametrize("drop", ["request", "reply", True])
def test_a_dropped_connection(serve, sdk, operation, drop):
    served = serve(SCRIPT)
    served.world.faults.add(FaultRule(on={"operation": operation}, inject={"drop": drop, "delay": 5}))
    with pytest.raises(openai.APIConnectionError):
        CALLS[operation](sdk(served))
    assert bool(entries(served)[-1].response.get("content")) is (drop == "reply")


@pytest.mark.parametrize("operation", ANSWERED)
def test_a_stream_breaks_off(serve, sdk, operation):
    served = serve(SCRIPT)
    served.world.faults.add(FaultRule(on={"operation": operation}, inject={"drop": "reply"}))
    client = sdk(served)
    ask = {"chat.completions.create": (client.chat.completions, CHAT), "responses.create": (client.responses, None)}
    resource, body = ask[operation]
    with pytest.raises(Exception, match=r"peer closed|incomplete|[Rr]ead|reset|[Cc]onnection"):
        list(resource.create(**(body or {"model": "m", "input": "hi"}), stream=True))


@pytest.mark.parametrize("operation", ANSWERED)
def test_a_credential_the_model_sees_is_a_leak(serve, sdk, operation):
    served = serve(SCRIPT + "\nservices: [{id: scon_slack, provider: slack, credential: xoxb-canary-of-the-test}]")
    client, text = sdk(served), "use xoxb-canary-of-the-test"
    if operation == "responses.create":
        client.responses.create(model="m", input=text)
    else:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    last = entries(served)[-1]
    assert last.problem == "leak"
    assert "scon_slack" in last.hint
    assert "xoxb-canary-of-the-test" not in repr(last)


def test_traces_are_taken_and_looked_through(serve):
    served = serve(SCRIPT + "\nservices: [{id: scon_slack, provider: slack, credential: xoxb-canary-of-the-test}]")
    for text, problem in (("fine", None), ("xoxb-canary-of-the-test", "leak")):
        reply = httpx.post(
            url(served, "/v1/traces/ingest"),
            json={"data": [{"object": "trace", "metadata": {"note": text}}]},
            headers={"Authorization": "Bearer k"},
            trust_env=False,
        )
        assert reply.status_code == 204
        assert entries(served)[-1].problem == problem


def test_a_rule_may_ask_for_the_key_and_the_tools(serve, sdk):
    served = serve(
        "stack_emu: 1\nmodel: [{when: {key: sk-blue, model: gpt-*}, turns: [{say: Blue.}]}, {turns: [{say: Other.}]}]"
    )
    said = [
        sdk(served, api_key=key).responses.create(model=model, input="hi").output_text
        for key, model in (("sk-blue", "gpt-5"), ("sk-red", "gpt-5"), ("sk-blue", "o9"))
    ]
    assert said == ["Blue.", "Other.", "Other."]
    assert "sk-blue" not in repr([entry.request for entry in entries(served)])


STACK = """
stack_emu: 1
operator: {keys: [{key: sk_live_emu_acme}]}
agents: [{id: agent_deploy_bot, name: deploy-bot}]
model:
  - {when: {user: register}, turns: [{call: {tool: stack_register_agent, input: {name: new-one}}}, {say: "{{ result.name }}"}]}
"""


def test_the_lane_of_a_url_is_that_of_the_calls_it_leads_to(serve):
    served = serve(STACK)
    tool = {"type": "mcp", "server_label": "stack", "server_url": "https://mcp.getstack.run/mcp"}
    with openai.OpenAI(base_url=f"{served.base_url}/w/default/~blue/openai/v1", api_key="k", max_retries=0) as client:
        made = client.responses.create(
            model="m",
            input="register",
            tools=[{**tool, "require_approval": "never", "authorization": "sk_live_emu_acme"}],
        )
    assert made.output_text == "new-one"
    lanes = [
        entry.lane for entry in served.world.journal.entries(surface="mcp") if entry.operation == "agents.register"
    ]
    assert lanes
    assert all(lane.endswith("/blue") for lane in lanes)


@pytest.mark.parametrize("claimed", [False, True])
def test_the_real_name_leads_here_unless_an_upstream_has_it(claimed, tmp_path):
    routes = "[{when: {path: /v1/models}, reply: {json: {object: list, data: []}}}]"
    upstreams = f"\nupstreams: {{ai: {{hosts: [api.openai.com], routes: {routes}}}}}" if claimed else ""
    scenario = tmp_path / "world.yaml"
    scenario.write_text(SCRIPT + upstreams)
    with Emulator(scenario) as emulator:
        trusted = ssl.create_default_context(cafile=emulator.gateway.ca_file)
        proxied = httpx2.Client(proxy=emulator.gateway.url(), verify=trusted, trust_env=False)
        with openai.OpenAI(base_url="https://api.openai.com/v1", api_key="k", http_client=proxied) as client:
            listed = client.models.list().data
        seen = list(emulator.hosted("default").world.journal.entries(surface="openai"))
    assert (listed == []) is claimed
    assert [entry.operation for entry in seen] == ([] if claimed else ["models.list"])
