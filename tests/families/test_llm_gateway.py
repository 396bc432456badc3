"""The LLM gateway: scripted replies in each provider's shape, under a passport, checked, kept and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import meters
from stack_emu.domain.proxy_operations import recover
from stack_emu.domain.state import Connection, Mission
from stack_emu.kernel.store import replace
from tests.families.drivers import McpTools
from tests.families.llm_world import GPT, OPERATOR, OTHER, WORLD, ask, events, seen, token
from tests.families.passport_world import bearer, error, get, row

Serve = Callable[..., Any]
TOOL = {"name": "get_weather", "description": "Weather", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
REQUEST_ID = "r" * 24


def refused(call: Callable[[], Any]) -> getstack.StackError:
    with pytest.raises(getstack.StackError) as caught:
        call()
    return caught.value


def post(served: Any, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{served.base_url}/v1/llm/{path}", json=body, headers={**bearer(), **headers})


def test_anthropics_shape_and_a_tool_called_by_the_client(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    body = ask("What is the weather?", tools=[TOOL])
    first = client.llm.anthropic.messages.create(body, passport=passport)
    assert (first["type"], first["role"], first["stop_reason"]) == ("message", "assistant", "tool_use")
    text, call = first["content"]
    assert (text["text"], call["name"], call["input"]) == ("Looking.", "get_weather", {"city": "Bern"})
    assert first["usage"]["input_tokens"] > 0
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": json.dumps({"sky": "clear"})}
    body["messages"] += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
    second = client.llm.anthropic.messages.create(body, passport=passport)
    assert second["content"][0]["text"].startswith("It is clear in Bern")
    assert second["stop_reason"] == "end_turn"


@pytest.mark.parametrize("provider", ["openai", "openrouter"])
def test_openais_shape_and_a_function_called_by_the_client(serve: Serve, sdk: Any, provider: str) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    completions = getattr(client.llm, provider).chat.completions
    body = ask("What is the weather?", GPT, tools=[FUNCTION])
    first = completions.create(body, passport=passport)
    choice = first["choices"][0]
    assert (first["object"], choice["finish_reason"]) == ("chat.completion", "tool_calls")
    [call] = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Bern"}'}
    usage = first["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    body["messages"] += [
        choice["message"],
        {"role": "tool", "tool_call_id": call["id"], "content": json.dumps({"sky": "grey"})},
    ]
    second = completions.create(body, passport=passport)["choices"][0]
    assert second["message"]["content"].startswith("It is grey in Bern")
    assert second["finish_reason"] == "stop"


def test_streams_add_up_to_the_whole_replies(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    whole = client.llm.anthropic.messages.create(ask("weather", tools=[TOOL]), passport=passport)
    stream = client.llm.anthropic.messages.create(ask("weather", tools=[TOOL]), passport=passport, stream=True)
    got = events(client, stream)
    assert [event["type"] for event in (got[0], got[-2], got[-1])] == ["message_start", "message_delta", "message_stop"]
    deltas = [event["delta"] for event in got if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == whole["content"][0]["text"]
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == whole["content"][1]["input"]
    assert got[-2]["delta"]["stop_reason"] == "tool_use"
    asked = ask("weather", GPT, tools=[FUNCTION], stream_options={"include_usage": True})
    got = events(client, client.llm.openai.chat.completions.create(asked, passport=passport, stream=True))
    deltas = [event["choices"][0]["delta"] for event in got if event["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "Looking."
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert (calls[0]["function"]["name"], calls[0]["id"][:5]) == ("get_weather", "call_")
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Bern"}
    assert got[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert got[-1]["usage"]["total_tokens"] > 0


def test_a_stream_is_lines_of_data_with_openais_end_mark(serve: Serve) -> None:
    served = serve(WORLD)
    header = {"X-Passport-Token": token(served)}
    reply = post(served, "openrouter/chat/completions", ask("hello", stream=True), **header)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = [line for line in reply.text.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    reply = post(served, "anthropic/messages?beta=true", ask("hello", stream=True), **header)
    lines = [line for line in reply.text.splitlines() if line]
    assert {line.partition(": ")[0] for line in lines} == {"event", "data"}


def test_stacks_prompt_is_seen_by_the_model_unless_the_agent_has_it_off(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    for system in (None, "Be brief", [{"type": "text", "text": "Be brief"}]):
        body = ask("who sent you", **({"system": system} if system else {}))
        reply = client.llm.anthropic.messages.create(body, passport=token(served))
        assert reply["content"][0]["text"] == "STACK did."
    reply = client.llm.openai.chat.completions.create(ask("who sent you", GPT), passport=token(served))
    assert reply["choices"][0]["message"]["content"] == "STACK did."
    prompt = seen(served)[-1].request["system"]
    assert "Answer support tickets" in prompt
    assert "slack (chat:write)" in prompt
    assert row(served, "llm.call").metadata["injected_prompt"] is True
    client.llm.anthropic.messages.create(ask("hello", system="Mine"), passport=token(served, "pp_bare"))
    assert seen(served)[-1].request["system"] == "Mine"
    assert "injected_prompt" not in row(served, "llm.call").metadata


def test_personal_data_is_taken_out_unless_the_agent_has_it_off(serve: Serve) -> None:
    served = serve(WORLD)
    header = {"X-Passport-Token": token(served)}
    assert post(served, "anthropic/messages", ask("hello from jo@example.com"), **header).status_code == 200
    assert seen(served)[-1].request["user"] == "hello from [REDACTED_EMAIL]"
    assert row(served, "llm.call").metadata["redacted"] == {"email": 1}
    assert "jo@example.com" not in repr(list(served.world.journal.entries()))
    header = {"X-Passport-Token": token(served, "pp_bare")}
    assert post(served, "anthropic/messages", ask("hello from jo@example.com"), **header).status_code == 200
    assert seen(served)[-1].request["user"] == "hello from jo@example.com"


def test_a_credential_in_the_prompt_is_a_leak(serve: Serve) -> None:
    served = serve(WORLD)
    secret = served.world.store.get(Connection, "scon_slack").credential
    reply = post(served, "anthropic/messages", ask(f"hello {secret}"), **{"X-Passport-Token": token(served)})
    assert reply.status_code == 200
    entry = seen(served)[-1]
    assert entry.problem == "leak"
    assert "scon_slack" in entry.hint
    assert secret not in repr(list(served.world.journal.entries()))
    served.world.journal.clear()
    post(served, "anthropic/messages", ask("hello"), **{"X-Passport-Token": token(served)})
    assert not served.world.journal.violations()


def test_who_may_call(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    assert error(post(served, "anthropic/messages", ask("hello"))) == (401, "UNAUTHORIZED")
    foreign = refused(lambda: client.llm.anthropic.messages.create(ask("hello"), passport=token(served, "pp_foreign")))
    assert (foreign.status_code, foreign.code) == (403, "FORBIDDEN")
    own = httpx.post(f"{served.base_url}/v1/llm/anthropic/messages", json=ask("hello"), headers=bearer(token(served)))
    assert own.status_code == 200
    passport = token(served)
    client.passports.revoke("pp_bot")
    revoked = refused(lambda: client.llm.anthropic.messages.create(ask("hello"), passport=passport))
    assert (revoked.status_code, revoked.code) == (401, "PASSPORT_REVOKED")
    assert (row(served, "llm.call").outcome, row(served, "llm.call").error_code) == ("blocked", "PASSPORT_REVOKED")
    client.missions.revoke("ms_bare", reason="adversarial")
    ended = refused(lambda: client.llm.anthropic.messages.create(ask("hello"), passport=token(served, "pp_bare")))
    assert ended.status_code in (401, 403)
    with pytest.raises(RuntimeError, match="PASSPORT_REVOKED"):
        events(client, client.llm.anthropic.messages.create(ask("hello"), passport=passport, stream=True))


def test_a_connection_of_the_provider_needs_a_grant_and_its_constraints_hold(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    create = sdk(served.base_url, OPERATOR).llm.openai.chat.completions.create
    create(ask("hello", GPT), passport=token(served))
    assert row(served, "llm.call").metadata["connection"] == "scon_openai"
    wrong = refused(lambda: create(ask("hello", "o9"), passport=token(served)))
    assert (wrong.status_code, wrong.details["constraint"]["path"]) == (403, "body.model")
    bare = refused(lambda: create(ask("hello", GPT), passport=token(served, "pp_bare")))
    assert (bare.status_code, bare.code) == (403, "FORBIDDEN")
    assert bare.details["missing_grant"]["connection_id"] == "scon_openai"
    assert "no grant on scon_openai" in str(bare)
    narrow = refused(lambda: create(ask("hello", GPT), passport=token(served, "pp_slack")))
    assert "leaves out scon_openai" in str(narrow)
    served.call(
        lambda: served.world.store.put(
            replace(served.world.store.get(Connection, "scon_openai"), credential_expires_at=1)
        )
    )
    assert refused(lambda: create(ask("hello", GPT), passport=token(served))).status_code == 409


def test_calls_count_in_the_missions_caps(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    create = sdk(served.base_url, OPERATOR).llm.anthropic.messages.create
    mission = served.world.store.get(Mission, "ms_bot")
    served.call(lambda: served.world.store.put(replace(mission, limits={"max_actions": 1})))
    create(ask("hello"), passport=token(served))
    assert served.world.store.get(Mission, "ms_bot").actions_per_service == {"anthropic": 1}
    over = refused(lambda: create(ask("hello"), passport=token(served)))
    assert (over.status_code, over.code) == (403, "MISSION_LIMIT_EXCEEDED")


def test_an_unchanged_retry_gets_the_recorded_reply(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    create = client.llm.anthropic.messages.create
    first = create(ask("hello"), passport=passport, authority_request_id=REQUEST_ID)
    assert create(ask("hello"), passport=passport, authority_request_id=REQUEST_ID) == first
    assert row(served, "llm.call").metadata["replayed"] is True
    assert len(seen(served)) == 1
    assert len(client.llm.usage.list()["rows"]) == 1
    changed = refused(lambda: create(ask("hello again"), passport=passport, authority_request_id=REQUEST_ID))
    assert (changed.status_code, changed.code) == (409, "CONFLICT")
    kept = client.proxy.get_operation(REQUEST_ID, passport_token=passport, include_response=True)
    kept = kept if isinstance(kept, dict) else vars(kept)
    assert (kept["provider"], kept["delivery_state"]) == ("anthropic", "response_received")
    assert dict(kept["response"])["body"] == first


@pytest.mark.parametrize(
    ("inject", "status", "kind"),
    [
        ("status: 529", 529, "overloaded_error"),
        ("error: rate_limit_error", 429, "rate_limit_error"),
        ("stream: {error: overloaded_error}", 529, "overloaded_error"),
    ],
)
def test_failures_of_the_provider_come_through(serve: Serve, sdk: Any, inject: str, status: int, kind: str) -> None:
    rule = f"faults: [{{on: {{operation: messages.create, nth: 1}}, inject: {{{inject}}}}}]\n"
    served = serve(WORLD + rule)
    client = sdk(served.base_url, OPERATOR)
    failed = refused(lambda: client.llm.anthropic.messages.create(ask("hello"), passport=token(served)))
    assert (failed.status_code, failed.code, failed.details["type"]) == (status, "LLM_PROVIDER_ERROR", kind)
    assert row(served, "llm.call").outcome == "failure"
    assert client.llm.anthropic.messages.create(ask("hello"), passport=token(served))["type"] == "message"
    assert [each["status"] for each in client.llm.usage.list()["rows"]] == ["success", "error"]


def test_a_broken_connection_and_headers_of_a_failure(serve: Serve) -> None:
    rules = """
faults:
  - {on: {operation: chat.completions.create, nth: 1}, inject: {drop: request}}
  - {on: {operation: chat.completions.create, nth: 2}, inject: {status: 429, headers: {Retry-After: "7"}}}
"""
    served = serve(WORLD + rules)
    header = {"X-Passport-Token": token(served)}
    assert error(post(served, "openai/chat/completions", ask("hello", GPT), **header)) == (502, "UPSTREAM_UNREACHABLE")
    assert served.world.store.get(Mission, "ms_bot").reserved == 0
    limited = post(served, "openai/chat/completions", ask("hello", GPT), **header)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")


def test_a_conversation_without_a_turn_says_so_and_fails_a_strict_run(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    failed = refused(lambda: client.llm.anthropic.messages.create(ask("unheard of"), passport=token(served)))
    assert (failed.status_code, failed.code) == (501, "LLM_UNSCRIPTED")
    assert "No scripted turn answers" in str(failed)
    assert [entry.problem for entry in served.world.journal.violations()] == ["unscripted"]
    assert client.llm.usage.list()["rows"] == []


def test_bodies_that_are_not_the_providers(serve: Serve) -> None:
    served = serve(WORLD)
    header = {"X-Passport-Token": token(served)}
    assert error(post(served, "openai/chat/completions", {"model": GPT}, **header)) == (400, "INVALID_REQUEST")
    wrong = post(served, "anthropic/messages", ask("hello", colour="red"), **header)
    assert error(wrong) == (400, "LLM_PROVIDER_ERROR")
    assert "colour" in wrong.json()["error"]["message"]
    wrong = post(served, "openai/chat/completions", {"model": GPT, "messages": [{"role": "king"}]}, **header)
    assert error(wrong) == (400, "LLM_PROVIDER_ERROR")
    assert "messages" in wrong.json()["error"]["message"]


def test_the_whole_body_counts_in_the_act_key(serve: Serve) -> None:
    served = serve(WORLD)
    header = {"X-Passport-Token": token(served)}
    for temperature in (0, 1, 1):
        assert post(served, "anthropic/messages", ask("hello", temperature=temperature), **header).status_code == 200
    keys = [act.key for act in served.world.audit.acts() if act.operation == "llm.anthropic_messages"]
    assert keys[0] != keys[1] == keys[2]


def test_tools_answer_whole_replies(serve: Serve) -> None:
    served = serve(WORLD)
    tools = McpTools(served.base_url, OPERATOR)
    reply = tools("stack_create_anthropic_message", passport_token=token(served), temperature=0, **ask("hello"))
    assert reply["content"][0]["text"] == "Hello"
    assert seen(served)[-1].request["messages"] == 1
    chat = tools("stack_create_openai_chat_completion", passport_token=token(served), **ask("hello", GPT))
    assert chat["choices"][0]["message"]["content"] == "Hello"
    bare = tools("stack_create_openrouter_chat_completion", passport_token=token(served, "pp_bare"), **ask("hello"))
    assert bare["choices"][0]["message"]["content"] == "Hello bare"
    refusal, failed = tools.result(
        "stack_create_anthropic_message", passport_token=token(served), stream=True, **ask("hello")
    )
    assert (failed, refusal["error"]["code"]) == (True, "INVALID_REQUEST")


def test_usage_is_added_up_from_the_calls_made(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    replies = []
    for model in ("claude-opus-5", "claude-sonnet-5", "claude-sonnet-5"):
        replies.append(client.llm.anthropic.messages.create(ask("hello", model), passport=token(served)))
        served.advance(60_000)
    client.llm.openai.chat.completions.create(ask("hello", GPT), passport=token(served))
    total = client.llm.usage.summary()
    assert [(bucket["provider"], bucket["calls"]) for bucket in total["buckets"]] == [("anthropic", 3), ("openai", 1)]
    spent = sum(reply["usage"]["input_tokens"] for reply in replies)
    assert total["buckets"][0]["input_tokens"] == spent
    by_model = client.llm.usage.summary(provider="anthropic", group_by_model=True)["buckets"]
    assert [(bucket["model"], bucket["calls"]) for bucket in by_model] == [("claude-opus-5", 1), ("claude-sonnet-5", 2)]
    used = replies[0]["usage"]
    opus = (used["input_tokens"] * 1500 + used["output_tokens"] * 7500) / 1_000_000
    assert by_model[0]["cost_cents"] == pytest.approx(opus, abs=1e-6)
    window = client.llm.usage.summary(since="2026-01-01T00:01:00Z", until="2026-01-01T00:02:00Z")
    assert window["total"]["calls"] == 1
    assert client.llm.usage.summary(agent_id="agent_bare")["total"]["calls"] == 0
    assert client.llm.usage.summary(mission_id="ms_bot", passport_jti="pp_bot")["total"]["calls"] == 4
    usage = client.usage.get()
    assert usage["consumption"]["llm_calls"] == {"used": 4, "limit": None}
    assert usage["passthrough"]["llm_calls"] == 1
    assert usage["spend_cents"]["llm_compute"] == pytest.approx(total["buckets"][0]["cost_cents"])


def test_pages_of_usage_stand_still_while_calls_are_made(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)

    def call() -> None:
        client.llm.anthropic.messages.create(ask("hello"), passport=token(served))
        served.advance(1_000)

    for _ in range(3):
        call()
    every = [each["id"] for each in client.llm.usage.list()["rows"]]
    first = client.llm.usage.list(limit=2)
    call()
    second = client.llm.usage.list(limit=2, cursor=first["next_cursor"])
    assert [each["id"] for each in first["rows"] + second["rows"]] == every
    assert second["next_cursor"] is None
    wrong = refused(lambda: client.llm.usage.list(cursor="nonsense"))
    assert (wrong.status_code, wrong.code) == (400, "INVALID_REQUEST")
    backwards = refused(lambda: client.llm.usage.summary(since="2026-01-02T00:00:00Z", until="2026-01-01T00:00:00Z"))
    assert backwards.status_code == 400
    assert sdk(served.base_url, OTHER).llm.usage.list()["rows"] == []
    # pp_bot uses a connection this member may not see.
    assert sdk(served.base_url, "sk_live_emu_dev").llm.usage.list()["rows"] == []


def test_a_recorded_reply_is_streamed_again(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    create = client.llm.anthropic.messages.create
    first = events(client, create(ask("hello"), passport=passport, stream=True, authority_request_id=REQUEST_ID))
    again = events(client, create(ask("hello"), passport=passport, stream=True, authority_request_id=REQUEST_ID))
    assert first == again
    assert first[0]["type"] == "message_start"
    assert len(seen(served)) == 1


def test_an_answer_that_is_lost_is_of_unknown_outcome(serve: Serve, sdk: Any) -> None:
    rule = "faults: [{on: {operation: messages.create}, inject: {drop: reply}}]\n"
    served = serve(WORLD + rule)
    client, passport = sdk(served.base_url, OPERATOR), token(served)
    create = client.llm.anthropic.messages.create
    lost = refused(lambda: create(ask("hello"), passport=passport, authority_request_id=REQUEST_ID))
    assert (lost.status_code, lost.code) == (502, "UPSTREAM_UNREACHABLE")
    assert client.usage.get()["consumption"]["llm_calls"]["used"] == 0
    again = refused(lambda: create(ask("hello"), passport=passport, authority_request_id=REQUEST_ID))
    assert (again.status_code, again.details["delivery_state"]) == (409, "outcome_unknown")


def test_a_call_under_way_when_the_run_ends_is_settled(serve: Serve) -> None:
    rule = "faults: [{on: {operation: messages.create}, inject: {delay: 300ms}}]\n"
    served = serve(WORLD + rule)
    header = {"X-Passport-Token": token(served)}
    with pytest.raises(httpx.TimeoutException):
        httpx.post(
            f"{served.base_url}/v1/llm/anthropic/messages",
            json=ask("hello"),
            headers={**bearer(), **header},
            timeout=0.05,
        )
    assert served.world.store.get(Mission, "ms_bot").reserved == 1
    assert served.call(lambda: recover(served.world)) == 1
    assert served.world.store.get(Mission, "ms_bot").reserved == 0
    lost = row(served, "llm.call")
    assert (lost.outcome, lost.error_code, lost.metadata["service"]) == ("failure", "INTERRUPTED", "anthropic")


def test_a_fault_rule_can_give_the_providers_words(serve: Serve, sdk: Any) -> None:
    rules = """
faults:
  - {on: {operation: chat.completions.create, nth: 1}, inject: {status: 400, json: {error: {code: context_length}}}}
  - {on: {operation: chat.completions.create, nth: 2}, inject: {json: {choices: []}}}
  - {on: {operation: llm.openai_chat_completions, nth: 3}, inject: {error: TIER_LIMIT_EXCEEDED}}
"""
    served = serve(WORLD + rules)
    create = sdk(served.base_url, OPERATOR).llm.openai.chat.completions.create
    failed = refused(lambda: create(ask("hello", GPT), passport=token(served)))
    assert failed.details["body"] == {"error": {"code": "context_length"}}
    assert create(ask("hello", GPT), passport=token(served)) == {"choices": []}
    assert refused(lambda: create(ask("hello", GPT), passport=token(served))).code == "TIER_LIMIT_EXCEEDED"


def test_the_limits_of_llm_calls_are_the_meters(serve: Serve, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "LIMITS", {**meters.LIMITS, meters.LLM_CALLS: {"free": 1}})
    served = serve(WORLD)
    llm = sdk(served.base_url, OPERATOR).llm
    llm.anthropic.messages.create(ask("hello"), passport=token(served))
    over = refused(lambda: llm.anthropic.messages.create(ask("hello"), passport=token(served)))
    assert (over.code, over.details["what"]) == ("TIER_LIMIT_EXCEEDED", "LLM calls a month")
    over = refused(lambda: llm.openai.chat.completions.create(ask("hello", GPT), passport=token(served)))
    assert (over.code, over.details["what"]) == ("TIER_LIMIT_EXCEEDED", "LLM calls a month")


def test_a_client_that_leaves_a_stream_takes_nothing_back(serve: Serve) -> None:
    served = serve(WORLD.replace("say: Hello}", f"say: {'Hello ' * 200_000}}}"))
    with httpx.stream(
        "POST",
        f"{served.base_url}/v1/llm/anthropic/messages",
        json=ask("hello", stream=True),
        headers={**bearer(), "X-Passport-Token": token(served)},
    ) as reply:
        assert next(reply.iter_bytes())
    assert row(served, "llm.call").outcome == "success"
    assert served.world.store.get(Mission, "ms_bot").actions == 1
    assert get(served, "/v1/llm/usage").json()["rows"][0]["streamed"] is True
