"""Deadlines around STACK: injected faults, callbacks, the timeline, the scripted model, and the fake services."""

from __future__ import annotations

import json
from typing import Any

import anthropic

from tests.time.access_deadlines import post
from tests.time.account_deadlines import NOBODY, START_S, webhook
from tests.time.deadlines import DAY, ECHO, HOUR, MINUTE, OPERATOR, SECOND, WORLD, Bench, Probe, deadline, plus, said

MODEL = "claude-opus-5-5"


# --- faults, callbacks, the timeline -----------------------------------------------------------------------------------


def faulty(on: dict[str, Any], inject: dict[str, Any]) -> str:
    return plus(WORLD, faults=[{"on": on, "inject": inject}])


def agents(bench: Bench) -> Probe:
    return lambda: said(lambda: bench.own.agents.list())


@deadline(
    "kernel.faults.FaultRule.after_ms",
    over="TIER_LIMIT_EXCEEDED",
    world=faulty({"operation": "agents.list", "after": "10m"}, {"error": "TIER_LIMIT_EXCEEDED"}),
)
def beginning_of_a_fault(bench: Bench) -> tuple[int, Probe]:
    return 10 * MINUTE, agents(bench)


@deadline(
    "kernel.faults.FaultRule.until_ms",
    "kernel.dispatch._take_fault",
    "scenario.fault_models.FaultTarget.until",
    good="TIER_LIMIT_EXCEEDED",
    over="ok",
    world=faulty({"operation": "agents.list", "until": "10m"}, {"error": "TIER_LIMIT_EXCEEDED"}),
)
def end_of_a_fault(bench: Bench) -> tuple[int, Probe]:
    return 10 * MINUTE, agents(bench)


@deadline(
    "upstreams.engine._take_fault",
    good="503",
    over="200",
    world=faulty({"upstream": "slack", "until": "10m"}, {"status": 503}),
)
def end_of_an_upstream_s_fault(bench: Bench) -> tuple[int, Probe]:
    return 10 * MINUTE, lambda: str(post(bench).status)


@deadline(
    "surfaces.model_faults.take_fault",
    good="529",
    over="200",
    world=faulty({"operation": "messages.create", "until": "10m"}, {"status": 529}),
)
def end_of_a_model_s_fault(bench: Bench) -> tuple[int, Probe]:
    return 10 * MINUTE, lambda: str(ask(bench))


@deadline(
    "surfaces.llm_model.GatewayModel._answer",
    over="LLM_PROVIDER_ERROR",
    good="ok",
    world=faulty({"operation": "messages.create", "after": "10m"}, {"status": 503}),
)
def beginning_of_a_gateway_model_s_fault(bench: Bench) -> tuple[int, Probe]:
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "are you there"}]}

    def probe() -> str:
        token = bench.issue(ttl_seconds=3_600).token
        return said(lambda: bench.own.llm.anthropic.messages.create(body, passport=token))

    return 10 * MINUTE, probe


@deadline(
    "surfaces.mcp_calls.ToolCalls.hidden",
    good="hidden",
    over="there",
    world=faulty({"tool": "stack_scan", "until": "10m"}, {"hide": True}),
)
def end_of_a_hidden_tool(bench: Bench) -> tuple[int, Probe]:
    from tests.guarantees.wire import McpClient

    client = McpClient(bench.world.base_url)
    bench.closers.append(client.close)
    return 10 * MINUTE, lambda: "there" if "stack_scan" in client.tools(OPERATOR) else "hidden"


@deadline(
    "webhook_sender._take_fault",
    good="an injected status",
    over="nobody there",
    world=faulty({"operation": "webhook.deliver", "until": "5s"}, {"status": 503}),
)
def end_of_a_webhook_s_fault(bench: Bench) -> tuple[int, Probe]:
    """The first attempt is made at once, the second five seconds later."""
    webhook(bench)

    def probe() -> str:
        last = bench.world.deliveries[0]["attempts"][-1]
        return "nobody there" if last["status"] is None else "an injected status"

    return 5 * SECOND, probe


CALLBACK = {"when": {"path": "/order"}, "reply": {"json": {}}, "callbacks": [{"url": NOBODY, "after": "2s"}]}


@deadline(
    "upstreams.callbacks.arm_callbacks",
    "timer upstream.callback",
    good="0",
    over="1",
    world=plus(
        WORLD,
        ("echo: {hosts: [echo.test], routes: [", f"echo: {{hosts: [echo.test], routes: [{json.dumps(CALLBACK)}, "),
    ),
)
def callback(bench: Bench) -> tuple[int, Probe]:
    bench.own.proxy.get("echo", "https://echo.test/order")
    return 2 * SECOND, lambda: str(sum(entry["surface"] == "callback" for entry in bench.world.journal))


STEP = {"at": "+10m", "as": OPERATOR, "operation": "agents.register", "input": {"name": "timely"}}


@deadline("timer timeline", good="0", over="1", world=plus(WORLD, timeline=[STEP]))
def step_of_the_timeline(bench: Bench) -> tuple[int, Probe]:
    return 10 * MINUTE, lambda: str(sum(agent.name == "timely" for agent in bench.own.agents.list()))


# --- the scripted model ------------------------------------------------------------------------------------------------


def ask(bench: Bench, **headers: str) -> int:
    try:
        bench.model.messages.create(
            model=MODEL,
            max_tokens=9,
            messages=[{"role": "user", "content": "are you there"}],
            extra_headers=headers,
        )
    except anthropic.APIStatusError as error:
        return error.status_code
    return 200


def cached(ttl: str, lasts: int) -> None:
    """A case of the prompt cache for one of its lives."""

    @deadline(
        "surfaces.messages_cache._TTL_MS",
        "surfaces.messages_cache.PromptCache._read",
        "surfaces.messages_cache.PromptCache._write",
        "surfaces.messages_cache._Written.expires_ms",
        "surfaces.messages_cache._Written.ttl_ms",
        good="read",
        over="written",
        name=f"prompt cached for {ttl}",
    )
    def prompt(bench: Bench) -> tuple[int, Probe]:
        def probe() -> str:
            text = {"type": "text", "text": "word " * 3_000, "cache_control": {"type": "ephemeral", "ttl": ttl}}
            said = bench.model.messages.create(
                model=MODEL, max_tokens=9, messages=[{"role": "user", "content": [text]}]
            )
            return "read" if said.usage.cache_read_input_tokens else "written"

        assert probe() == "written"
        return lasts, probe


cached("5m", 5 * MINUTE)
cached("1h", HOUR)


@deadline(
    "surfaces.messages_recording._KEPT_MS",
    "surfaces.messages_recording.Replays.find",
    good="400",
    over="200",
)
def idempotency_key_of_a_message(bench: Bench) -> tuple[int, Probe]:
    """Another request under the key is refused as long as the key is known."""
    header = {"idempotency-key": "one"}
    assert ask(bench, **header) == 200

    def probe() -> str:
        body = {"model": MODEL, "max_tokens": 8, "messages": [{"role": "user", "content": "or not"}]}
        key = bench.world.description["anthropic_api_key"]
        named = {"x-api-key": key, "anthropic-version": "2023-06-01", **header}
        return str(bench.http.post("/anthropic/v1/messages", json=body, headers=named).status_code)

    return DAY, probe


def batch(bench: Bench) -> tuple[Any, str]:
    params = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    made = bench.model.messages.batches.create(requests=[{"custom_id": "a", "params": params}])  # type: ignore[typeddict-item]
    return bench.model.messages.batches, made.id


@deadline(
    "surfaces.messages_batches.PROCESSING_MS",
    "surfaces.messages_batches._item",
    "surfaces.messages_batches.Batches.settle",
    "surfaces.messages_batches._Item.done_ms",
    good="in_progress",
    over="ended",
)
def message_batch(bench: Bench) -> tuple[int, Probe]:
    batches, made = batch(bench)
    return SECOND, lambda: str(batches.retrieve(made).processing_status)


@deadline(
    "surfaces.messages_batches._EXPIRES_MS",
    good="in_progress",
    over="expired",
    world=faulty({"operation": "messages.batches.process"}, {"delay": "25h"}),
)
def message_batch_that_takes_too_long(bench: Bench) -> tuple[int, Probe]:
    batches, made = batch(bench)

    def probe() -> str:
        if batches.retrieve(made).processing_status != "ended":
            return "in_progress"
        [only] = batches.results(made)
        return str(only.result.type)

    return DAY, probe


@deadline(
    "surfaces.messages_batches._ARCHIVED_MS",
    "surfaces.messages_batches.Batches.shown",
    "surfaces.messages_batches.Batches.results",
    over="archived",
)
def results_of_a_message_batch(bench: Bench) -> tuple[int, Probe]:
    batches, made = batch(bench)

    def probe() -> str:
        try:
            list(batches.results(made))
        except anthropic.AnthropicError:
            return "archived" if batches.retrieve(made).archived_at is not None else "gone"
        return "ok"

    bench.advance(SECOND)
    assert batches.retrieve(made).processing_status == "ended"
    return 29 * DAY - SECOND, probe


# --- the fake services -------------------------------------------------------------------------------------------------


def charge(bench: Bench, amount: int = 500, **headers: str) -> Any:
    body = {"amount": amount, "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
    url = "https://api.stripe.com/v1/payment_intents"
    sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return bench.own.proxy.post("stripe", url, body="&".join(f"{k}={v}" for k, v in body.items()), headers=sent)


@deadline("upstreams.stripe.pack._DAY_MS", "upstreams.stripe.pack.StripePack.before", good="400", over="200")
def idempotency_key_of_stripe(bench: Bench) -> tuple[int, Probe]:
    key = {"Idempotency-Key": "one"}
    for _ in range(3):
        charge(bench)
    first = charge(bench, **key)
    assert first.status == 200, first.body
    return DAY, lambda: str(charge(bench, 501, **key).status)


@deadline(
    "upstreams.stripe.money._PENDING_DAYS",
    "upstreams.stripe.money._transaction",
    "upstreams.stripe.money.get_balance",
    good="pending",
    over="available",
    step=SECOND,
)
def pending_balance_of_stripe(bench: Bench) -> tuple[int, Probe]:
    assert charge(bench).status == 200

    def probe() -> str:
        balance = bench.own.proxy.get("stripe", "https://api.stripe.com/v1/balance").body
        return "pending" if balance["pending"][0]["amount"] else "available"

    return 7 * DAY, probe


@deadline(
    "upstreams.github.dialect.HOUR_MS",
    "upstreams.github.dialect.dressed",
    "upstreams.github.repositories.rate_limit",
    good="1",
    over="2",
)
def rate_limit_of_github(bench: Bench) -> tuple[int, Probe]:
    """The hour a reply says the limit begins anew at, counted from the start; more calls before it move nothing."""
    url = "https://api.github.com/rate_limit"
    for _ in range(3):
        bench.own.proxy.get("github", url)

    def probe() -> str:
        hour = bench.own.proxy.get("github", url).body["resources"]["core"]["reset"]
        return str((hour - START_S) // 3_600)

    return HOUR, probe


STRIPE = "https://api.stripe.com/v1"


def stripe(bench: Bench, method: str, path: str, **body: str) -> Any:
    sent = {"Content-Type": "application/x-www-form-urlencoded"} if body else None
    text = "&".join(f"{name}={value}" for name, value in body.items()) or None
    reply = bench.own.proxy.request("stripe", f"{STRIPE}{path}", method=method, body=text, headers=sent)
    assert reply.status == 200, reply.body
    return reply.body


@deadline(
    "upstreams.stripe.subscriptions._current",
    "upstreams.stripe.subscriptions._trial_end",
    good="trialing",
    over="active",
    step=SECOND,
)
def trial_of_a_subscription(bench: Bench) -> tuple[int, Probe]:
    product = stripe(bench, "POST", "/products", name="plan")["id"]
    price = {"product": product, "unit_amount": "900", "currency": "eur", "recurring[interval]": "month"}
    customer = stripe(bench, "POST", "/customers", name="acme", payment_method="pm_card_visa")["id"]
    made = stripe(
        bench,
        "POST",
        "/subscriptions",
        customer=customer,
        **{"items[0][price]": stripe(bench, "POST", "/prices", **price)["id"], "trial_period_days": "5"},
    )
    return 5 * DAY, lambda: str(stripe(bench, "GET", f"/subscriptions/{made['id']}")["status"])


def slack(bench: Bench, method: str, **body: Any) -> Any:
    return bench.own.proxy.post("slack", f"https://slack.com/api/{method}", body=body).body


def scheduled(bench: Bench, seconds: int) -> tuple[str, str]:
    """A message that Slack is to post: its channel and id."""
    [channel] = slack(bench, "conversations.list")["channels"]
    made = slack(bench, "chat.scheduleMessage", channel=channel["id"], text="later", post_at=START_S + seconds)
    assert made["ok"], made
    return channel["id"], made["scheduled_message_id"]


@deadline("upstreams.slack.scheduled.due", "upstreams.slack.scheduled._instant", good="waits", over="posted")
def message_that_slack_is_to_post(bench: Bench) -> tuple[int, Probe]:
    scheduled(bench, 600)

    def probe() -> str:
        return "waits" if slack(bench, "chat.scheduledMessages.list")["scheduled_messages"] else "posted"

    return 600 * SECOND, probe


@deadline(
    "upstreams.slack.scheduled.delete_scheduled",
    good="ok",
    over="invalid_scheduled_message_id",
    step=2 * SECOND,
)
def last_moment_to_delete_it(bench: Bench) -> tuple[int, Probe]:
    """A minute before it is posted; each probe has a message of its own."""
    made = [scheduled(bench, 600) for _ in range(2)]

    def probe() -> str:
        channel, message = made.pop()
        deleted = slack(bench, "chat.deleteScheduledMessage", channel=channel, scheduled_message_id=message)
        return "ok" if deleted["ok"] else str(deleted["error"])

    return 541 * SECOND, probe


# --- expectations ------------------------------------------------------------------------------------------------------


@deadline("verification._outside", over="too late")
def window_of_an_expectation(bench: Bench) -> tuple[int, Probe]:
    def probe() -> str:
        bench.own.proxy.get("echo", ECHO)
        try:
            bench.world.upstream("echo").verify(path="/ping", within={"before": "+10m"})
        except AssertionError:
            return "too late"
        return "ok"

    return 10 * MINUTE, probe
