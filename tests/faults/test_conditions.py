"""Which calls a rule hits: by their content, by chance, in a window of the clock; and how long it lets them wait."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from getstack import Stack
from getstack.errors import StackError

from stack_emu.client import EmulatorError, WorldClient
from stack_emu.hosting import fault_rule
from stack_emu.kernel.faults import CallView, FaultRule, FaultRules
from stack_emu.kernel.latency import LONGEST_MS, delay_ms, unit
from stack_emu.kernel.matching import Pattern
from stack_emu.scenario.loader import loads
from stack_emu.verdict import verdict
from tests.conftest import KEY, Served

Serve = Callable[..., Served]


def faulty(on: str, inject: str, more: str = "") -> str:
    return f"stack_emu: 1\n{more}faults: [{{on: {{{on}}}, inject: {{{inject}}}}}]\n"


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


# --- what the request looks like ------------------------------------------------------------------------------------------


def test_a_rule_looks_at_the_body_of_a_rest_call(serve: Serve) -> None:
    served = serve(faulty("operation: agents.register, where: {body: {name: {regex: '^bad-'}}}", "error: CONFLICT"))
    with Stack(api_key=KEY, base_url=served.base_url) as stack:
        stack.agents.register("good-one")
        with pytest.raises(StackError) as refused:
            stack.agents.register("bad-one")
    assert (refused.value.code, refused.value.details) == ("CONFLICT", {"injected": True})


@pytest.mark.parametrize(
    ("where", "sent", "hit"),
    [
        ("query: {limit: 5}", {"params": {"limit": "5"}}, True),
        ("query: {limit: 5}", {"params": {"limit": "6"}}, False),
        ("headers: {X-Team: red-1}", {"headers": {"x-team": "red-1"}}, True),
        ("headers: {X-Team: red-1}", {}, False),
        ("path: /v1/agents", {}, True),
        ("method: DELETE", {}, False),
    ],
)
def test_a_rule_looks_at_query_headers_and_path(serve: Serve, where: str, sent: dict[str, Any], hit: bool) -> None:
    served = serve(faulty(f"operation: agents.list, where: {{{where}}}", "status: 503"))
    headers = {**bearer(), **sent.pop("headers", {})}
    reply = httpx.get(f"{served.base_url}/v1/agents", headers=headers, trust_env=False, **sent)
    assert reply.status_code == (503 if hit else 200)


def test_a_rule_looks_at_the_arguments_of_a_tool(serve: Serve) -> None:
    from tests.mcp.conftest import connected, run

    served = serve(faulty("tool: stack_register_agent, where: {body: {name: bad}}", "error: CONFLICT"))

    async def ask() -> list[bool]:
        async with connected(f"{served.base_url}/mcp", KEY) as client:
            return [
                (await client.call_tool("stack_register_agent", {"name": name})).is_error for name in ("good", "bad")
            ]

    assert run(ask()) == [False, True]
    entries = [entry for entry in served.world.journal.entries(surface="mcp") if entry.route]
    assert [entry.injected for entry in entries] == [None, "faults[0]"]


def test_a_rule_looks_at_the_model_and_what_it_is_asked(serve: Serve) -> None:
    import anthropic

    script = "model: [{turns: [{say: Hello.}]}]\n"
    on = "operation: messages.create, model: claude-opus-*, where: {body: {max_tokens: 7}}"
    served = serve(faulty(on, "error: overloaded_error", script))
    with anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="k", max_retries=0) as client:

        def ask(model: str, most: int) -> Any:
            messages = [{"role": "user", "content": "hi"}]
            return client.messages.create(model=model, max_tokens=most, messages=messages)  # type: ignore[arg-type]

        ask("claude-opus-4", 8)
        ask("claude-haiku-4", 7)
        with pytest.raises(anthropic.InternalServerError) as refused:
            ask("claude-opus-4", 7)
    assert refused.value.status_code == 529


@pytest.mark.parametrize("api", ["messages", "chat", "responses"])
def test_a_rule_hits_one_turn_of_one_conversation(serve: Serve, api: str) -> None:
    import anthropic
    import openai

    names = {"messages": "messages.create", "chat": "chat.completions.create", "responses": "responses.create"}
    script = "model: [{turns: [{say: One.}, {say: Two.}]}]\n"
    served = serve(faulty(f"operation: {names[api]}, turn: 1, user: deploy", "status: 500", script))
    said: list[dict[str, Any]] = [{"role": "user", "content": "deploy it"}]
    again = [*said, {"role": "assistant", "content": "One."}]
    other = [{"role": "user", "content": "stop it"}, {"role": "assistant", "content": "One."}]

    def ask(messages: Any) -> int:
        if api == "messages":
            with anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="k", max_retries=0) as client:
                client.messages.create(model="m", max_tokens=9, messages=messages)
        else:
            with openai.OpenAI(base_url=f"{served.base_url}/openai/v1", api_key="k", max_retries=0) as sdk:
                if api == "chat":
                    sdk.chat.completions.create(model="m", messages=messages)
                else:
                    sdk.responses.create(model="m", input=messages)
        return 200

    assert ask(said) == ask(other) == 200
    with pytest.raises((anthropic.InternalServerError, openai.InternalServerError)):
        ask(again)


# --- windows of the clock -------------------------------------------------------------------------------------------------


def test_a_window_follows_the_virtual_clock(serve: Serve) -> None:
    more = "clock: {mode: virtual}\n"
    served = serve(faulty("operation: agents.list, after: 10m, until: 20m", "status: 503", more))
    world = WorldClient.connect(served.base_url)
    try:
        statuses = []
        for _ in range(5):
            reply = httpx.get(f"{served.base_url}/v1/agents", headers=bearer(), trust_env=False)
            statuses.append(reply.status_code)
            world.clock.advance("5m")
    finally:
        world.close_clients()
        world.connection.close()
    assert statuses == [200, 200, 503, 503, 200]


def test_a_window_follows_the_real_clock(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list, after: 1h", "status: 503", "clock: {mode: real}\n"))
    url = f"{served.base_url}/v1/agents"
    assert httpx.get(url, headers=bearer(), trust_env=False).status_code == 200
    early = serve(faulty("operation: agents.list, until: 1h", "status: 503", "clock: {mode: real}\n"))
    assert httpx.get(f"{early.base_url}/v1/agents", headers=bearer(), trust_env=False).status_code == 503
    assert len(served.world.faults.unfired()) == 1


# --- chance -------------------------------------------------------------------------------------------------------------


NAMES = [f"agent-{number:02d}" for number in range(40)]


def outcomes(served: Served, names: list[str], workers: int = 1) -> dict[str, int]:
    def register(name: str) -> int:
        url, headers = f"{served.base_url}/v1/agents/register", {**bearer(), "X-Stack-Emu-Lane": name}
        return httpx.post(url, headers=headers, json={"name": name}, trust_env=False).status_code

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(register, names), strict=True))


def test_chance_falls_alike_on_every_run_and_in_any_order(serve: Serve) -> None:
    text = faulty("operation: agents.register, chance: 0.4", "status: 503", "seed: 5\n")
    first = outcomes(serve(text), NAMES)
    assert outcomes(serve(text), NAMES[::-1]) == first
    assert outcomes(serve(text), NAMES, workers=4) == first
    assert 5 < sum(status == 503 for status in first.values()) < 28
    assert outcomes(serve(text.replace("seed: 5", "seed: 6")), NAMES) != first


def test_equal_calls_draw_anew(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list, chance: 0.5", "status: 503"))
    url = f"{served.base_url}/v1/agents"
    statuses = [httpx.get(url, headers=bearer(), trust_env=False).status_code for _ in range(24)]
    assert {200, 503} == set(statuses)


def test_a_reset_world_draws_the_same_again(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list, chance: 0.5", "status: 503"))
    url = f"{served.base_url}/v1/agents"

    def run() -> list[int]:
        return [httpx.get(url, headers=bearer(), trust_env=False).status_code for _ in range(12)]

    first = run()
    served.call(served.hosted.reset)
    assert run() == first


# --- delays -------------------------------------------------------------------------------------------------------------


DRAWS = [unit(number.to_bytes(8, "big")) for number in range(1, 2**64, 2**64 // 2000)]


@pytest.mark.parametrize(
    ("delay", "median"),
    [
        ({"uniform": (50, 200)}, 125),
        ({"normal": {"mean": 100, "sd": 20}}, 100),
        ({"lognormal": {"median": 80, "sigma": 0.5}}, 80),
        ({"lognormal": {"median": 80, "p95": 400}}, 80),
        ({"exponential": {"mean": 100}}, 100 * math.log(2)),
    ],
)
def test_a_distribution_has_its_median_and_grows_with_the_draw(delay: Any, median: float) -> None:
    drawn = [delay_ms(delay, draw) for draw in DRAWS]
    assert drawn == sorted(drawn)
    assert abs(drawn[len(drawn) // 2] - median) <= 2
    assert drawn[0] >= 0
    assert drawn[-1] <= LONGEST_MS


def test_the_tail_of_a_lognormal_is_where_it_is_said_to_be() -> None:
    drawn = [delay_ms({"lognormal": {"median": 80, "p95": 400}}, draw) for draw in DRAWS]
    assert abs(sum(one <= 400 for one in drawn) / len(drawn) - 0.95) < 0.01


def test_a_drawn_delay_is_cut_off() -> None:
    assert delay_ms({"normal": {"mean": 0, "sd": 10}}, 0.001) == 0
    assert delay_ms({"exponential": {"mean": 10_000_000}}, 0.9) == LONGEST_MS
    assert delay_ms({"exponential": {"mean": 1000}, "max": 5}, 0.9) == 5
    assert delay_ms(250, 0.5) == 250


def test_delays_follow_the_call_and_not_the_order() -> None:
    rule = FaultRule({"operation": "x"}, {"delay": {"uniform": (0, 10_000)}})

    def drawn(identities: list[str]) -> dict[str, int]:
        rules = FaultRules(b"seed")
        rules.add(rule)
        found = {name: rules.take("lane", 0, identity=name, operation="x") for name in identities}
        return {name: injection["delay"] for name, injection in found.items() if injection is not None}

    names = [f"call-{number}" for number in range(20)]
    assert drawn(names) == drawn(names[::-1])
    assert len(set(drawn(names).values())) > 10


def test_a_scenario_s_delays_are_those_of_the_kernel() -> None:
    text = "stack_emu: 1\nfaults:\n" + "".join(
        f"  - {{on: {{operation: agents.list}}, inject: {{delay: {delay}}}}}\n"
        for delay in ("200ms", "{uniform: [50ms, 1s]}", "{lognormal: {median: 1s, sigma: 0.5}, max: 2s}")
    )
    assert [fault_rule(rule).inject["delay"] for rule in loads(text).faults] == [
        200,
        {"uniform": (50, 1000)},
        {"lognormal": {"median": 1000, "sigma": 0.5}, "max": 2000},
    ]


def test_a_drawn_delay_is_waited_for_and_the_call_goes_on(serve: Serve) -> None:
    served = serve(faulty("operation: agents.list", "delay: {uniform: [10s, 20s]}"))
    url = f"{served.base_url}/v1/agents"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(url, headers=bearer(), trust_env=False, timeout=0.4)
    short = serve(faulty("operation: agents.list", "delay: {uniform: [10s, 20s], max: 5ms}"))
    assert httpx.get(f"{short.base_url}/v1/agents", headers=bearer(), trust_env=False, timeout=5).json() == []


def test_where_needs_a_request_to_look_at() -> None:
    rules = FaultRules()
    rules.add(FaultRule({"operation": "x"}, {"status": 500}, where=Pattern(body={"a": 1})))
    assert rules.take("lane", 0, operation="x") is None
    assert rules.take("lane", 0, request=CallView("GET", "/", content={"a": 2}), operation="x") is None
    assert rules.take("lane", 0, request=CallView("GET", "/", content={"a": 1, "b": 2}), operation="x") is not None
    assert [(tally.seen, tally.fired) for tally in rules.tallies()] == [(1, 1)]


# --- the control API ------------------------------------------------------------------------------------------------------


def test_the_control_api_takes_the_same_words_and_counts(serve: Serve) -> None:
    served = serve(faulty("operation: agents.get", "status: 503"))
    world = WorldClient.connect(served.base_url)
    try:
        world.faults.add(
            on={"operation": "agents.list", "where": {"query": {"x": {"regex": "1"}}}, "times": 2},
            inject={"transport": "truncated_body"},
        )
        url = f"{served.base_url}/v1/agents"
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}?x=1", headers=bearer(), trust_env=False)
        assert httpx.get(url, headers=bearer(), trust_env=False).status_code == 200
        listed = world.faults.list()
        assert [(rule["rule"], rule["seen"], rule["fired"]) for rule in listed] == [
            ("faults[0]", 0, 0),
            ("added[0]", 1, 1),
        ]
        assert listed[1]["inject"] == {"transport": "truncated_body"}
    finally:
        world.close_clients()
        world.connection.close()


@pytest.mark.parametrize(
    ("on", "inject", "sentence"),
    [
        ({"operation": "agents.lst"}, {"status": 500}, "did you mean agents.list?"),
        ({"tool": "stack_lst_agents"}, {"status": 500}, "did you mean stack_list_agents?"),
        ({"upstream": "shopp"}, {"status": 500}, "did you mean shop?"),
        ({"operation": "agents.list"}, {"transport": "reset"}, "is not one of connection_reset_by_peer"),
        ({"operation": "agents.list"}, {"delay": {"unifrm": ["1s", "2s"]}}, "did you mean uniform?"),
        ({"operation": "agents.list"}, {"error": "CONFLICTT"}, "did you mean CONFLICT?"),
        (
            {"operation": "agents.list", "where": {"body": {"regex": "("}}},
            {"status": 500},
            "is not a regular expression",
        ),
    ],
)
def test_what_is_misspelt_is_refused_with_the_nearest(serve: Serve, on: Any, inject: Any, sentence: str) -> None:
    served = serve("stack_emu: 1\nupstreams: {shop: {hosts: [shop.example.com], routes: [{reply: {}}]}}\n")
    world = WorldClient.connect(served.base_url)
    try:
        with pytest.raises(EmulatorError, match=r"faults\[0\]") as refused:
            world.faults.add(on=on, inject=inject)
        assert sentence in str(refused.value)
        assert world.faults.list() == ()
    finally:
        world.close_clients()
        world.connection.close()


@pytest.mark.parametrize(
    "rule",
    [
        "{on: {operation: agents.list, where: {query: {x: y}}}, inject: {status: 500}}",
        "{on: {operation: agents.list, chance: 0.000001}, inject: {status: 500}}",
        "{on: {operation: agents.get}, inject: {transport: truncated_body}}",
        "{on: {host: api.getstack.run}, inject: {status: 500}}",
        "{on: {operation: webhook.deliver}, inject: {status: 500}}",
    ],
)
def test_a_rule_that_never_fired_fails_a_strict_run(serve: Serve, rule: str) -> None:
    served = serve(f"stack_emu: 1\nstrict: true\nfaults: [{rule}]\n", strict=True)
    assert httpx.get(f"{served.base_url}/v1/agents", headers=bearer(), trust_env=False).status_code == 200
    assert [failure.kind for failure in verdict(served.hosted).failures] == ["unfired_fault"]
