"""Usage and billing: meters that count, limits that refuse, and the wallet."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import meters, wallet
from stack_emu.domain.agents import TIER_AGENTS
from stack_emu.domain.state import Operator
from stack_emu.emulator import Emulator
from stack_emu.kernel.acts import RowDraft
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.store import replace
from stack_emu.scenario.loader import loads
from tests.families.drivers import McpTools
from tests.families.llm_world import MEMBER, OPERATOR, OTHER, START_MS, WORLD, token
from tests.families.passport_world import error, get, post, row

Serve = Callable[..., Any]
POST_MESSAGE = "https://slack.com/api/chat.postMessage"


class Ctx:
    """What the wallet and the meters need of a call."""

    def __init__(self, world: Any, act: Any, operator_id: str = "op_emu") -> None:
        self.world, self.act, self.operator_id = world, act, operator_id
        self.now_ms, self.stamp_ms = act.now_ms, act.stamp_ms


def acting(served: Any, work: Callable[[Any], Any]) -> Any:
    """Do something inside an act of the account."""

    def run() -> Any:
        act = served.world.begin_act("test.act", "op_emu", "control", {}, RowDraft("test.act", "system"))
        with served.world.transaction(act):
            return work(Ctx(served.world, act))

    return served.call(run)


def say(client: Any, served: Any) -> Any:
    return client.proxy.post("slack", POST_MESSAGE, body={"channel": "#eng", "text": "x"}, passport_token=token(served))


def test_usage_counts_what_was_done(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    before = client.usage.get()
    assert (before["tier"], before["period_label"]) == ("free", "2026-01")
    assert (before["period_start"], before["period_end"]) == ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z")
    assert before["consumption"]["actions"]["used"] == 4_999
    assert before["consumption"]["actions"]["allowance_coverage"] == "covered"
    say(client, served)
    client.passports.issue(agent_id="agent_bot", mission_ids=["ms_bot"], intent="Go", services=["slack"])
    after = client.usage.get()
    assert after["consumption"]["actions"]["used"] == 5_000
    assert after["consumption"]["actions"]["allowance_coverage"] == "exhausted"
    assert after["consumption"]["passports"]["used"] == 1
    assert after["consumption"]["activity"]["total"] == before["consumption"]["activity"]["total"] + 2
    assert after["wallet_cents"] == {"balance": 5_000}
    assert after["account_since"] == "2026-01-01T00:00:00.000Z"
    assert client.proxy.usage()["used"] == 5_000


def test_the_limit_of_the_tier_is_met_after_what_was_used_before(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    say(client, served)
    with pytest.raises(getstack.ForbiddenError) as caught:
        say(client, served)
    assert caught.value.code == "TIER_LIMIT_EXCEEDED"
    assert caught.value.details["limit"] == 5_000
    served.advance(31 * 86_400_000)
    assert client.usage.get()["consumption"]["actions"]["used"] == 0


def test_passports_have_a_limit_too(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD.replace("proxy_calls: 4999", "passports: 50000"))
    client = sdk(served.base_url, OPERATOR)
    with pytest.raises(getstack.ForbiddenError) as caught:
        client.passports.issue(agent_id="agent_bot", mission_ids=["ms_bot"], intent="Go", services=["slack"])
    assert caught.value.code == "TIER_LIMIT_EXCEEDED"
    served.call(lambda: served.world.store.put(replace(served.world.store.get(Operator, "op_emu"), tier="studio")))
    client.passports.issue(agent_id="agent_bot", mission_ids=["ms_bot"], intent="Go", services=["slack"])
    assert client.usage.get()["consumption"]["passports"] == {"used": 50_001, "limit": 5_000_000}


def test_a_window_counts_only_itself(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    served.advance(60_000)
    say(client, served)
    client.agents.register(name="late", accountability_mode="logged")
    window = client.usage.get(since="2026-01-01T00:00:30Z", until=str(START_MS + 90_000))
    assert window["period_label"] == "window"
    assert window["passthrough"] is None
    assert window["consumption"]["actions"]["used"] == 1
    assert window["consumption"]["agents"] == {"used": 3, "limit": TIER_AGENTS["free"], "created_in_window": 1}
    assert client.usage.get(until="2026-01-01T00:00:30Z")["consumption"]["actions"]["used"] == 4_999
    with pytest.raises(getstack.StackError) as caught:
        client.usage.get(since="yesterday")
    assert (caught.value.status_code, caught.value.code) == (400, "INVALID_REQUEST")


def test_a_topup_is_credited_once_it_is_paid(serve: Serve) -> None:
    served = serve(WORLD)
    opened = post(served, "/v1/billing/topup", {"amount_cents": 2_500}).json()
    assert get(served, "/v1/billing/balance").json()["balance_cents"] == 5_000
    paid = httpx.get(opened["checkout_url"]).json()
    assert (paid["status"], paid["balance_cents"]) == ("paid", 7_500)
    assert httpx.post(opened["checkout_url"]).json()["balance_cents"] == 7_500, "paying twice changes nothing"
    page = get(served, "/v1/billing/transactions?type=topup").json()
    assert page["count"] == 1
    [made] = page["transactions"]
    assert (made["id"][:5], made["type"], made["amount_cents"], made["balance_after_cents"]) == (
        "wtxn_",
        "topup",
        2_500,
        7_500,
    )
    assert get(served, "/v1/billing/transactions?type=refund").json() == {"count": 0, "transactions": []}
    assert row(served, "billing.topup").metadata["amount_cents"] == 2_500
    assert row(served, "billing.paid").metadata["subject"] == opened["session_id"]
    assert get(served, "/v1/billing/transactions", OTHER).json()["count"] == 0


def test_checkouts_that_cannot_be_paid(serve: Serve) -> None:
    served = serve(WORLD)
    assert httpx.get(f"{served.base_url}/_emu/checkout/cs_none").status_code == 404
    for amount in (999, 1_000_001):
        assert error(post(served, "/v1/billing/topup", {"amount_cents": amount})) == (400, "INVALID_REQUEST")
    assert error(post(served, "/v1/billing/topup", {"amount_cents": 1_000}, MEMBER)) == (403, "FORBIDDEN")
    assert error(post(served, "/v1/billing/subscribe", {"tier": "studio"}, MEMBER)) == (403, "FORBIDDEN")
    assert error(get(served, "/v1/billing/balance", token(served))) == (403, "FORBIDDEN")
    assert error(get(served, "/v1/billing/transactions?limit=0")) == (400, "INVALID_REQUEST")
    assert error(get(served, "/v1/usage", token(served))) == (403, "FORBIDDEN")
    opened = post(served, "/v1/billing/topup", {"amount_cents": 1_000}).json()
    served.advance(24 * 3_600_000)
    assert httpx.get(opened["checkout_url"]).status_code == 409


def test_a_subscription_changes_the_tier_and_its_limits(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    assert error(post(served, "/v1/billing/subscribe", {"tier": "free"})) == (409, "CONFLICT")
    assert error(post(served, "/v1/billing/subscribe", {"tier": "enterprise"})) == (400, "INVALID_REQUEST")
    opened = post(served, "/v1/billing/subscribe", {"tier": "developer"}).json()
    assert client.usage.get()["tier"] == "free"
    assert httpx.get(opened["checkout_url"]).json()["tier"] == "developer"
    assert client.proxy.usage()["limit"] == 50_000
    say(client, served)
    say(client, served)


def test_the_wallet_pays_what_it_has(serve: Serve, sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    acting(served, lambda ctx: wallet.debit(ctx, "op_emu", 1_200, wallet.INVOCATION, "A skill"))
    acting(served, lambda ctx: wallet.credit(ctx, "op_other", 1_200, wallet.INVOCATION, "A skill of yours"))
    acting(served, lambda ctx: meters.count(ctx, meters.SKILL_INVOCATIONS, 3))
    with pytest.raises(Fault) as caught:
        acting(served, lambda ctx: wallet.debit(ctx, "op_emu", 3_801, wallet.INVOCATION, "Too dear"))
    assert (caught.value.code, caught.value.status) == ("INSUFFICIENT_CREDITS", 402)
    assert caught.value.details == {"needed_cents": 3_801, "balance_cents": 3_800}
    balance = get(served, "/v1/billing/balance").json()
    assert (balance["balance_cents"], balance["tier"]) == (3_800, "free")
    assert balance["usage"] == {"passports": 0, "dropoffs": 0, "proxy_calls": 4_999, "free_skill_invocations": 2}
    assert balance["billing_period_end"] == "2026-02-01T00:00:00.000Z"
    spent = client.usage.get()["spend_cents"]
    assert (spent["skills"], spent["total"]) == (1_200, 1_200)
    assert sdk(served.base_url, OTHER).usage.get()["earnings_cents"] == {"unpaid": 0, "lifetime": 1_200}


def test_the_same_as_tools(serve: Serve) -> None:
    served = serve(WORLD)
    tools = McpTools(served.base_url, OPERATOR)
    opened = tools("stack_top_up_wallet", amount_cents=1_000)
    httpx.post(opened["checkout_url"])
    assert tools("stack_get_billing_balance")["balance_cents"] == 6_000
    assert tools("stack_list_billing_transactions")["count"] == 1
    assert tools("stack_get_usage")["wallet_cents"] == {"balance": 6_000}
    assert tools("stack_list_llm_usage")["rows"] == []
    assert tools("stack_get_llm_usage_summary")["total"]["calls"] == 0
    refusal, failed = tools.result("stack_change_tier", tier="free")
    assert (failed, refusal["error"]["code"]) == (True, "CONFLICT")


def test_a_checkout_is_paid_where_the_client_reached_stack() -> None:
    with Emulator(loads(WORLD)) as emulator:
        gateway = emulator.gateway
        context = ssl.create_default_context(cafile=gateway.ca_file)
        with httpx.Client(proxy=gateway.url("default"), verify=context) as client:
            headers = {"Authorization": f"Bearer {OPERATOR}"}
            made = client.post(
                "https://api.getstack.run/v1/billing/topup", json={"amount_cents": 1_000}, headers=headers
            ).json()
            assert made["checkout_url"].startswith("https://api.getstack.run/")
            assert client.get(made["checkout_url"]).json()["balance_cents"] == 6_000
            assert client.get("https://api.getstack.run/_emu/health").status_code == 404
