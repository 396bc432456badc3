"""The control API through its typed client: every route does what it says, to the world it names."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pytest_httpserver import HTTPServer

from stack_emu import __version__
from stack_emu.client import ControlConnection, EmulatorClient, EmulatorError, WorldClient
from stack_emu.domain.canonical_audit import verify
from stack_emu.domain.families import registry
from stack_emu.domain.state import Agent
from tests.conftest import Served
from tests.control.conftest import SHOP

ORDER = "https://orders.example.com/orders/7"
ROUTES = [
    "DELETE /_emu/faults",
    "DELETE /_emu/journal",
    "DELETE /_emu/snapshots/{snapshot}",
    "DELETE /_emu/world",
    "DELETE /_emu/worlds/{name}",
    "GET /_emu/approvals",
    "GET /_emu/audit",
    "GET /_emu/audit/canonical",
    "GET /_emu/audit/checkpoint",
    "GET /_emu/checkout/{session_id}",
    "GET /_emu/clock",
    "GET /_emu/consents",
    "GET /_emu/deliveries",
    "GET /_emu/diff",
    "GET /_emu/export",
    "GET /_emu/faults",
    "GET /_emu/health",
    "GET /_emu/journal",
    "GET /_emu/journal/canonical",
    "GET /_emu/model",
    "GET /_emu/openapi.json",
    "GET /_emu/outbox",
    "GET /_emu/received",
    "GET /_emu/snapshots",
    "GET /_emu/upstreams/{name}/requests",
    "GET /_emu/verdict",
    "GET /_emu/world",
    "GET /_emu/worlds",
    "POST /_emu/approvals/{approval_id}",
    "POST /_emu/checkout/{session_id}",
    "POST /_emu/clock/advance",
    "POST /_emu/consents/{consent_id}",
    "POST /_emu/faults",
    "POST /_emu/identity/{session_ref}",
    "POST /_emu/model",
    "POST /_emu/passports",
    "POST /_emu/reload",
    "POST /_emu/reset",
    "POST /_emu/signals",
    "POST /_emu/snapshots/{snapshot}/restore",
    "POST /_emu/team/{member_id}/accept",
    "POST /_emu/verify",
    "POST /_emu/worlds",
    "PUT /_emu/snapshots/{snapshot}",
    "PUT /_emu/upstreams/{name}/forward",
    "PUT /_emu/world",
]


def look_up(world: WorldClient, url: str = ORDER) -> httpx.Response:
    """A proxied call with the shop's passport, over plain HTTP."""
    headers = {
        "Authorization": f"Bearer {world.api_key}",
        "X-Passport-Token": world.description["passports"]["SHOP_PASSPORT"],
    }
    body = {"service": "orders", "method": "GET", "url": url}
    return httpx.post(f"{world.base_url}/v1/proxy", json=body, headers=headers, trust_env=False)


def register(world: WorldClient, name: str) -> str:
    headers = {"Authorization": f"Bearer {world.api_key}"}
    reply = httpx.post(f"{world.base_url}/v1/agents/register", json={"name": name}, headers=headers, trust_env=False)
    assert reply.status_code == 201
    return str(reply.json()["id"])


def ask(world: WorldClient, text: str) -> str:
    with world.anthropic(max_retries=0) as claude:
        said = claude.messages.create(model="m", max_tokens=99, messages=[{"role": "user", "content": text}])
    return str(said.content[0].text)


# --- the emulator and its worlds --------------------------------------------------------------------------------------


def test_health_says_what_is_running_and_lists_every_route(emulator: EmulatorClient) -> None:
    health = emulator.health()
    operations = registry()
    opened = health.pop("open")
    assert set(opened) == {"connections", "tasks", "calls"}
    assert opened["connections"] >= 1
    assert opened["calls"] == 0
    assert health == {
        "status": "ok",
        "name": "stack-emu",
        "version": __version__,
        "worlds": ["default"],
        "operations": len(operations.operations),
        "tools": len(operations.tools),
        "control": ROUTES,
    }


def test_a_world_describes_itself_with_all_a_client_needs(emulator: EmulatorClient, shop: WorldClient) -> None:
    base = emulator.connection.url
    described = dict(shop.description)
    passports = described.pop("passports")
    assert list(passports) == ["SHOP_PASSPORT"]
    assert passports["SHOP_PASSPORT"].count(".") == 2
    assert described == {
        "name": "default",
        "scenario": "shop",
        "base_url": base,
        "mcp_url": f"{base}/mcp",
        "anthropic_base_url": f"{base}/anthropic",
        "anthropic_api_key": "sk-ant-emu",
        "openai_base_url": f"{base}/openai/v1",
        "openai_api_key": "sk-emu",
        "gateway_url": None,
        "ca_file": None,
        "api_key": "sk_live_emu_shop",
        "upstreams": ["orders"],
        "clock": "virtual",
        "strict": False,
    }
    assert shop.env["STACK_API_KEY"] == "sk_live_emu_shop"
    assert shop.env["SHOP_PASSPORT"] == passports["SHOP_PASSPORT"]


def test_worlds_are_made_listed_replaced_and_removed(emulator: EmulatorClient, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    blue = emulator.create_world("blue", scenario=file, seed=9, clock="real", strict=True)
    green = emulator.create_world("green", scenario_yaml=SHOP)
    empty = emulator.create_world("empty")
    try:
        assert (blue.description["clock"], blue.description["strict"]) == ("real", True)
        assert (green.description["clock"], green.description["strict"]) == ("virtual", False)
        assert empty.api_key == "sk_live_emu_operator"
        assert [item["name"] for item in emulator.connection.json("GET", "/_emu/worlds")["worlds"]] == [
            "default",
            "blue",
            "green",
            "empty",
        ]
        register(green, "only-here")
        assert [len(world.audit.entries()) for world in (blue, green, empty)] == [0, 1, 0]
        assert emulator.create_world("green", scenario_yaml=SHOP).audit.entries() == []
        emulator.remove_world("green")
        emulator.remove_world("green")
        assert emulator.health()["worlds"] == ["blue", "default", "empty"]
        with pytest.raises(EmulatorError, match="There is no world named green"):
            green.audit.entries()
    finally:
        for world in (blue, green, empty):
            world.close_clients()


def test_a_world_is_made_with_overlays_and_variables(emulator: EmulatorClient, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SHOP)
    file = tmp_path / "shop.yaml"
    file.write_text("extends: base.yaml\nvariables: {mode: virtual}\noverlays: {ci: {clock: {mode: '${mode}'}}}\n")
    blue = emulator.create_world("blue", scenario=file, overlays=["ci"], variables={"mode": "real"})
    assert blue.description["clock"] == "real"
    (tmp_path / "base.yaml").write_text(SHOP.replace("sk_live_emu_", "sk_live_emu_changed_"))
    again = emulator.create_world("blue", scenario=file, overlays=["ci"])
    assert again.description["clock"] == "virtual"
    assert again.api_key != blue.api_key, "a file that is extended changed"
    with pytest.raises(EmulatorError, match="there is no overlay cj; overlays in it: ci"):
        emulator.create_world("red", scenario=file, overlays=["cj"])


def test_a_seed_given_to_a_world_decides_its_ids(emulator: EmulatorClient) -> None:
    ids = [register(emulator.create_world("blue", scenario_yaml=SHOP, seed=seed), "new") for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_reset_returns_to_the_scenario_s_seed(shop: WorldClient) -> None:
    first = register(shop, "new")
    shop.clock.advance("1h")
    shop.faults.add(on={"operation": "agents.list"}, inject={"error": "NOT_FOUND"})
    shop.model.script({"turns": [{"say": "Anything."}]})
    shop.reset()
    assert shop.audit.entries() == []
    assert shop.journal == []
    assert shop.clock.now() == "2026-01-01T00:00:00.000Z"
    assert shop.control("GET", "/faults") == {"rules": 0, "unfired": [], "each": []}
    with pytest.raises(Exception, match="No scripted"):
        ask(shop, "anything")
    assert register(shop, "new") == first


# --- the clock --------------------------------------------------------------------------------------------------------


def test_the_clock_moves_when_told_and_fires_what_is_due(shop: WorldClient) -> None:
    assert shop.clock.now() == "2026-01-01T00:00:00.000Z"
    start = shop.clock.now_ms()
    shop.clock.advance("15m")
    shop.clock.advance("+30s")
    shop.clock.advance(500)
    assert shop.clock.now_ms() - start == 930_500
    state = shop.control("GET", "/clock")
    assert (state["mode"], state["elapsed_ms"]) == ("virtual", 930_500)
    assert state["next_timer_ms"] == start + 8 * 3_600_000, "the mission's end"
    assert shop.clock.advance("8h") >= 1


def test_freezing_sets_this_process_s_clock_to_the_world_s(shop: WorldClient) -> None:
    shop.clock.advance("1h")
    with shop.clock.freeze():
        assert time.time() * 1000 == shop.clock.now_ms()
    assert time.time() * 1000 > shop.clock.now_ms()


def test_freezing_to_a_real_clock_is_refused(emulator: EmulatorClient) -> None:
    world = emulator.create_world("real", clock="real")
    with pytest.raises(EmulatorError, match="freeze needs a virtual clock"):
        world.clock.freeze()


# --- what happened ----------------------------------------------------------------------------------------------------


def test_the_journal_shows_exchanges_masked_and_can_be_cleared(shop: WorldClient) -> None:
    assert look_up(shop).status_code == 200
    surfaces = [entry["surface"] for entry in shop.journal]
    assert "rest" in surfaces
    assert "upstream" in surfaces
    [only] = shop.control("GET", "/journal?surface=rest")["entries"]
    assert (only["operation"], only["status"]) == ("proxy.request", 200)
    text = json.dumps(shop.journal)
    assert shop.description["passports"]["SHOP_PASSPORT"] not in text
    assert "<masked>" in text
    shop.control("DELETE", "/journal")
    assert shop.journal == []


def test_the_journal_tells_of_overlaps(emulator: EmulatorClient) -> None:
    slow = SHOP.replace("state: open}}", "state: open}, delay: 300ms}").replace("clock: {mode: virtual}\n", "")
    world = emulator.create_world("slow", scenario_yaml=slow)
    threads = [threading.Thread(target=look_up, args=(world, f"{ORDER}{number}")) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    [overlap] = world.control("GET", "/journal")["overlaps"]
    assert (overlap["first"], overlap["second"]) == ("proxy.request", "proxy.request")
    assert [item["kind"] for item in world.verdict()["warnings"]] == ["overlap"]


def test_the_audit_log_comes_as_rows_and_as_the_canonical_log(shop: WorldClient) -> None:
    look_up(shop)
    [row] = shop.audit.entries()
    assert (row["action"], row["outcome"], row["agent_id"]) == ("credential.proxy", "success", "agent_clerk")
    assert (row["lane"], row["operation"]) == ("agent:agent_clerk/passport:pp_day", "proxy.request")
    assert verify(shop.audit.canonical()) == []
    assert verify(shop.audit.canonical("content")) == []


def test_a_lane_s_client_leaves_its_acts_in_that_lane(shop: WorldClient) -> None:
    look_up(shop.lane("left"))
    assert [row["lane"] for row in shop.audit.entries()] == ["agent:agent_clerk/passport:pp_day/left"]


def test_the_verdict_tells_failures_and_warnings(emulator: EmulatorClient) -> None:
    strict = emulator.create_world(
        "strict", scenario_yaml=SHOP + "expect: {upstream: [{to: orders, times: 1}]}\n", strict=True
    )
    [unmet] = strict.verdict()["failures"]
    assert unmet["sentence"] == "expected exactly 1 call to orders, saw 0"
    look_up(strict)
    assert strict.verdict() == {"ok": True, "failures": [], "warnings": [], "unread": []}
    strict.faults.add(on={"operation": "agents.list"}, inject={"error": "NOT_FOUND"})
    judged = strict.verdict()
    assert not judged["ok"]
    assert [item["kind"] for item in judged["failures"]] == ["unfired_fault"]


# --- what a test arranges ---------------------------------------------------------------------------------------------


def test_faults_are_added_counted_and_cleared(shop: WorldClient) -> None:
    shop.faults.add(on={"upstream": "orders", "nth": 1}, inject={"status": 503, "json": {"down": True}})
    shop.faults.add(on={"operation": "agents.list"}, inject={"error": "NOT_FOUND"})
    assert look_up(shop).json()["status"] == 503
    assert look_up(shop).json()["status"] == 200
    listed = shop.control("GET", "/faults")
    assert (listed["rules"], listed["unfired"]) == (2, [{"operation": "agents.list"}])
    assert [(rule["rule"], rule["seen"], rule["fired"]) for rule in shop.faults.list()] == [
        ("added[0]", 2, 1),
        ("added[1]", 0, 0),
    ]
    shop.faults.clear()
    assert shop.control("GET", "/faults") == {"rules": 0, "unfired": [], "each": []}


def test_model_rules_come_before_the_scenario_s(shop: WorldClient) -> None:
    assert ask(shop, "hello") == "Hello to you."
    shop.model.script({"when": {"user": "hello"}, "turns": [{"say": "Changed."}]}, {"turns": [{"say": "Else."}]})
    assert (ask(shop, "hello"), ask(shop, "bye")) == ("Changed.", "Else.")
    with pytest.raises(EmulatorError, match="only in process"):
        shop.model.script(lambda body: None)


def test_what_an_upstream_received_can_be_read(shop: WorldClient) -> None:
    assert shop.upstream("orders").requests == []
    look_up(shop)
    [request] = shop.upstream("orders").requests
    assert (request["method"], request["path"], request["status"]) == ("GET", "/orders/7", 200)
    assert request["credential"] == "scon_orders"


def test_an_upstream_can_be_forwarded_to_a_server_on_this_machine_and_back(
    shop: WorldClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/orders/7").respond_with_json({"state": "from the server"})
    shop.upstream("orders").forward(httpserver.url_for("").rstrip("/"))
    assert look_up(shop).json()["body"] == {"state": "from the server"}
    shop.control("PUT", "/upstreams/orders/forward", {"url": None})
    assert look_up(shop).json()["body"]["state"] == "open"


def test_a_forward_may_bring_hosts_along_and_make_an_upstream(shop: WorldClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/jobs").respond_with_json({"jobs": []})
    url = httpserver.url_for("").rstrip("/")
    shop.control("PUT", "/upstreams/orders/forward", {"url": url, "hosts": ["jobs.example.com"]})
    assert look_up(shop, "https://jobs.example.com/jobs").json()["body"] == {"jobs": []}
    shop.control("PUT", "/upstreams/printer/forward", {"url": url, "hosts": ["printer.example.com"]})
    shop.faults.add(on={"upstream": "printer"}, inject={"status": 503})
    assert look_up(shop, "https://printer.example.com/jobs").json()["status"] == 503
    assert [request["path"] for request in shop.upstream("printer").requests] == ["/jobs"]


def test_passports_are_minted_in_a_new_mission_or_a_given_one(shop: WorldClient) -> None:
    with shop.stack() as stack:
        for token in (
            shop.passport("clerk"),
            shop.passport("agent_clerk", services=["orders"], ttl="5m", intent="Just one order"),
            shop.passport("clerk", mission="ms_day"),
        ):
            reply = stack.proxy.get("orders", ORDER, passport_token=token)
            assert reply.body["state"] == "open"
    minted = shop.control("POST", "/passports", {"agent": "clerk"})
    assert minted["mission_id"].startswith("ms_")
    with pytest.raises(EmulatorError):
        shop.passport("clerk", services=["slack"], mission="ms_day", ttl="2h")


def test_approvals_are_listed_and_decided(shop: WorldClient, served: Served) -> None:
    for agent in ("agent_clerk", "agent_idle"):
        held = served.world.store.get(Agent, agent)
        served.call(lambda held=held: served.world.store.put(replace(held, passport_blocked=True)))
    headers = {"Authorization": f"Bearer {shop.api_key}"}

    def unblock(agent: str, approval: str | None = None) -> httpx.Response:
        given = {**headers, **({"X-Governance-Approval": approval} if approval else {})}
        return httpx.post(f"{shop.base_url}/v1/agents/{agent}/unblock", headers=given, trust_env=False)

    assert shop.approvals.all() == []
    assert [unblock(agent).status_code for agent in ("agent_clerk", "agent_idle")] == [403, 403]
    waiting = shop.approvals.pending()
    assert {item["agent_id"] for item in waiting} == {"agent_clerk", "agent_idle"}
    by_agent = {item["agent_id"]: item["id"] for item in waiting}
    shop.approvals.approve(by_agent["agent_clerk"])
    shop.approvals.reject(by_agent["agent_idle"])
    assert shop.approvals.pending() == []
    assert {item["status"] for item in shop.approvals.all()} == {"approved", "rejected"}
    assert unblock("agent_clerk", by_agent["agent_clerk"]).status_code == 200
    assert unblock("agent_idle", by_agent["agent_idle"]).status_code == 403
    with pytest.raises(EmulatorError, match="only a pending one can be decided"):
        shop.approvals.approve(by_agent["agent_idle"])


def test_a_signal_is_raised_on_demand(shop: WorldClient) -> None:
    event = shop.signal("clerk", "scope_drift", severity="critical", message="far off", metadata={"novelty": 0.9})
    assert (event["agent_id"], event["signal_type"], event["severity"]) == ("agent_clerk", "scope_drift", "critical")
    with shop.stack() as stack:
        (found,) = stack.security_events.list()["events"]
    assert found == event
    assert (found["message"], found["metadata"], found["passport_jti"]) == ("far off", {"novelty": 0.9}, None)
    jti = shop.control("POST", "/passports", {"agent": "clerk"})["jti"]
    assert shop.signal("clerk", "made_up", passport=jti)["passport_jti"] == jti
    with pytest.raises(EmulatorError, match="is agent agent_clerk's"):
        shop.signal("idle", "made_up", passport=jti)


def test_snapshots_bring_a_world_back(shop: WorldClient) -> None:
    register(shop, "first")
    kept = shop.snapshot("one agent more")
    second = register(shop, "second")
    shop.clock.advance("1h")
    shop.restore(kept)
    assert len(shop.audit.entries()) == 1
    assert shop.clock.now() == "2026-01-01T00:00:00.000Z"
    assert register(shop, "second") == second
    shop.snapshot()
    with pytest.raises(EmulatorError, match="There is no snapshot two; there is one agent more, snapshot"):
        shop.restore("two")


# --- the client -------------------------------------------------------------------------------------------------------


def test_a_world_s_controls_touch_no_other_world(emulator: EmulatorClient, shop: WorldClient) -> None:
    blue = emulator.create_world("blue", scenario_yaml=SHOP)
    blue.clock.advance("1h")
    register(blue, "blue-only")
    blue.snapshot("mine")
    assert shop.clock.now() == "2026-01-01T00:00:00.000Z"
    assert shop.audit.entries() == []
    with pytest.raises(EmulatorError, match="There is no snapshot mine"):
        shop.restore("mine")


def test_a_world_is_found_by_its_url(emulator: EmulatorClient) -> None:
    blue = emulator.create_world("blue", scenario_yaml=SHOP)
    found = WorldClient.connect(f"{blue.base_url}/")
    assert found.description == blue.description
    found.connection.close()


def test_each_thread_has_a_connection_of_its_own_and_a_closed_one_is_opened_again(
    emulator: EmulatorClient,
) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(emulator.health()["status"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == ["ok"] * 8
    emulator.close()
    assert emulator.health()["status"] == "ok"


def test_an_emulator_that_is_gone_is_said_in_one_sentence() -> None:
    client = EmulatorClient("http://127.0.0.1:9")
    with pytest.raises(EmulatorError, match=r"^no emulator answers at http://127\.0\.0\.1:9 "):
        client.health()
    client.close()
    with pytest.raises(EmulatorError, match="is not the URL of an emulator"):
        ControlConnection("ftp://127.0.0.1:1")
