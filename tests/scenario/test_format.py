"""What a scenario means once it is loaded."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stack_emu.scenario.loader import from_data, inspect_path, load, loads
from stack_emu.scenario.models import Credential, Scenario
from stack_emu.scenario.values import format_duration, format_instant, parse_duration, parse_instant, parse_offset
from stack_emu.scenario.yaml_reader import compose

FULL = Path(__file__).parent / "full.yaml"

SECTIONS = {
    "head": "name: deploy-bot\nseed: 7\nclock: {mode: virtual, start: 2026-01-01T00:00:00Z, tick: 1ms}\nstrict: true",
    "operator": """\
operator:
  id: op_acme
  tier: studio
  keys:
    - {key: sk_live_emu_acme, role: operator}
    - {key: sk_live_emu_dev, role: standard, member: dev@acme.test, allowed_connections: [scon_slack]}""",
    "agents": "agents:\n  - {id: agent_deploy_bot, name: deploy-bot, accountability_mode: logged}",
    "services": """\
services:
  - id: scon_slack
    provider: slack
    credential: canary
    scopes: [chat:write, channels:read]
    upstream: slack
    grants:
      - agent: agent_deploy_bot
        scopes: [chat:write]
        constraints: [{path: body.channel, op: in, value: ["#engineering"]}]""",
    "missions": "missions: [{id: ms_deploy, agent: agent_deploy_bot, intent: Tell, services: [slack], expires: 1h}]",
    "passports": "passports: [{id: pp_deploy, agent: agent_deploy_bot, mission: ms_deploy, ttl: 15m, env: PASSPORT}]",
    "upstreams": """\
upstreams:
  slack: {hosts: [slack.com], pack: slack, seed: {channels: [{name: engineering}]}}
  incidents:
    hosts: [incidents.example.com]
    routes:
      - when: {method: POST, path: /v1/incidents, body: {severity: high}}
        reply: {status: 201, json: {id: "inc_{{ counter('incident') }}"}}""",
    "model": """\
model:
  - when: {user: deploy started}
    turns:
      - say: Posting it.
        call: {tool: stack_proxy_request, input: {service: slack, method: POST, url: "https://slack.com/api/x"}}
      - say: "Done: {{ result.body.ts }}" """,
    "rules": """\
approvals: [{when: {operation: proxy.request, agent: agent_deploy_bot}, decide: approve, after: 5s}]
detectors: [{when: {agent: agent_deploy_bot, nth: 3}, signal: scope_drift, severity: warning}]
oauth: {consent: auto, clients: [{id: cli_demo, redirect_uris: ["http://127.0.0.1/callback"]}]}
revocation: {propagation: 0s}""",
    "timeline": """\
timeline: [{at: +10m, as: sk_live_emu_acme, operation: passports.revoke_agent, input: {agent_id: agent_deploy_bot}}]
gateway: {allow: []}""",
    "faults": """\
faults:
  - {on: {upstream: slack, path: /api/chat.postMessage, nth: 2}, inject: {status: 429, headers: {Retry-After: "1"}}}
  - {on: {operation: proxy.request, after: 30s}, inject: {error: TIER_LIMIT_EXCEEDED}}""",
    "expect": """\
expect:
  upstream: [{to: slack, method: POST, path: /api/chat.postMessage, times: 1, body: {text: deploy started}}]
  audit: [{action: credential.proxy, agent: agent_deploy_bot, outcome: success}]
  leaks: none""",
}
NEEDS = {
    "operator": {"services", "agents", "upstreams"},
    "services": {"agents", "upstreams"},
    "missions": {"agents"},
    "passports": {"agents", "missions"},
    "timeline": {"operator", "services", "agents", "upstreams"},
    "faults": {"upstreams"},
    "expect": {"upstreams"},
}


def closed(names: tuple[str, ...]) -> bool:
    return all(NEEDS.get(name, set()) <= set(names) for name in names)


def written(names: tuple[str, ...]) -> str:
    return "\n".join(["stack_emu: 1", *(SECTIONS[name] for name in names)]) + "\n"


def test_every_closed_selection_of_sections_loads() -> None:
    selections = [
        names for size in range(len(SECTIONS) + 1) for names in itertools.combinations(SECTIONS, size) if closed(names)
    ]
    assert len(selections) > 200
    for names in selections:
        loads(written(names), "+".join(names))


def test_the_order_of_the_sections_does_not_matter() -> None:
    names = tuple(SECTIONS)
    assert loads(written(names)) == loads(written(names[::-1]))


def test_a_scenario_that_uses_everything_loads_without_a_warning() -> None:
    inspection = inspect_path(FULL)
    assert inspection.problems == ()
    assert inspection.require().name == "night-shift"


def test_a_scenario_that_uses_everything_uses_every_key() -> None:
    composed = compose(FULL.read_text(encoding="utf-8"))
    assert composed.root is not None
    scenario = inspect_path(FULL).require()
    unused: list[str] = []
    seen: dict[type[Any], set[str]] = {}
    collect(scenario, seen)
    for model, fields in seen.items():
        unused += [f"{model.__name__}.{name}" for name in model.model_fields if name not in fields]
    assert unused == []


def collect(value: Any, seen: dict[type[Any], set[str]]) -> None:
    if hasattr(value, "model_fields_set"):
        seen.setdefault(type(value), set()).update(value.model_fields_set)
        for name in type(value).model_fields:
            collect(getattr(value, name), seen)
    elif isinstance(value, (tuple, list)):
        for part in value:
            collect(part, seen)
    elif isinstance(value, dict):
        for part in value.values():
            collect(part, seen)


def test_an_empty_scenario_is_one_operator_with_one_key() -> None:
    scenario = loads("stack_emu: 1\n")
    [operator] = scenario.operators
    assert operator.id == "op_emu"
    assert [(key.key, key.role) for key in operator.keys] == [("sk_live_emu_operator", "operator")]
    assert (scenario.agents, scenario.services, scenario.upstreams, scenario.seed) == ((), (), {}, 0)


def test_the_default_scenario_equals_an_empty_one() -> None:
    assert Scenario.default() == from_data({"stack_emu": 1, "name": "default"})
    assert Scenario.default().model_dump(mode="json", by_alias=True, exclude_defaults=True) == {
        "stack_emu": 1,
        "name": "default",
    }


def test_a_virtual_clock_starts_in_2026_unless_told_otherwise() -> None:
    assert loads("stack_emu: 1\nclock: {mode: virtual}\n").clock.start_ms == parse_instant("2026-01-01T00:00:00Z")
    told = loads("stack_emu: 1\nclock: {mode: virtual, start: 2027-05-06T07:08:09Z}\n")
    assert told.clock.start_ms == parse_instant("2027-05-06T07:08:09Z")


def test_operator_is_short_for_operators() -> None:
    one = loads("stack_emu: 1\noperator: {id: op_a, tier: free}\n")
    assert one == loads("stack_emu: 1\noperators: [{id: op_a, tier: free}]\n")


def test_call_is_short_for_calls() -> None:
    one = loads("stack_emu: 1\nmodel: [{turns: [{call: {tool: a}}]}]\n")
    assert one == loads("stack_emu: 1\nmodel: [{turns: [{calls: [{tool: a}]}]}]\n")


def test_one_tool_is_short_for_a_list() -> None:
    one = loads("stack_emu: 1\nmodel: [{when: {tools: a}, turns: [{say: b}]}]\n")
    assert one.model[0].when.tools == ("a",)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("canary", Credential.model_construct()),
        ("xoxb-1", Credential.model_construct(text="xoxb-1")),
        ("{expires: +1h}", Credential.model_construct(expires=3_600_000)),
        (
            "{fields: {user: a, password: canary}}",
            Credential.model_construct(fields={"user": "a", "password": "canary"}),
        ),
    ],
)
def test_a_credential_has_a_short_form(written: str, expected: Credential) -> None:
    scenario = loads(f"stack_emu: 1\nservices: [{{provider: slack, credential: {written}}}]\n")
    assert scenario.services[0].credential == expected
    assert expected.is_canary == (expected.text is None and expected.fields is None)


def test_a_service_takes_the_upstream_named_like_its_provider() -> None:
    scenario = loads(
        "stack_emu: 1\nservices: [{provider: slack}, {provider: slack, upstream: other}, {provider: mail}]\n"
        "upstreams: {slack: {hosts: [slack.com]}, other: {hosts: [other.test]}}\n"
    )
    assert [scenario.upstream_of(service) for service in scenario.services] == ["slack", "other", None]


def test_things_are_found_by_id_or_name() -> None:
    scenario = load(FULL)
    agent = scenario.find_agent("scribe")
    assert agent is not None
    assert agent is scenario.find_agent("agent_scribe")
    assert scenario.find_agent("nobody") is None
    assert [service.id for service in scenario.find_services("tracker")] == ["scon_tracker"]
    assert scenario.find_services("scon_tracker") == scenario.find_services("tracker")


def test_a_scenario_is_named_like_its_folder_or_file(tmp_path: Path) -> None:
    folder = tmp_path / "deploy-bot"
    folder.mkdir()
    (folder / "scenario.yaml").write_text("stack_emu: 1\n")
    (folder / "other.yaml").write_text("stack_emu: 1\n")
    (folder / "named.yaml").write_text("stack_emu: 1\nname: mine\n")
    assert load(folder).name == "deploy-bot"
    assert load(folder / "scenario.yaml").name == "deploy-bot"
    assert load(str(folder / "other.yaml")).name == "other"
    assert load(folder / "named.yaml").name == "mine"


def test_a_scenario_survives_json() -> None:
    scenario = load(FULL)
    dumped = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert from_data(dumped) == scenario
    assert dumped["passports"][0]["checkpoint_interval"] == "5m"
    assert dumped["timeline"][0]["at"] == "+10m"
    assert dumped["clock"]["start"] == "2026-01-01T00:00:00.000Z"


def test_a_loaded_scenario_cannot_be_changed() -> None:
    scenario = load(FULL)
    with pytest.raises(ValidationError, match="frozen"):
        scenario.agents[0].name = "other"
    with pytest.raises(ValidationError, match="frozen"):
        scenario.seed = 8


def test_anchors_keep_values_apart() -> None:
    scenario = loads(
        "stack_emu: 1\nmodel:\n  - turns: [{call: {tool: a, input: &x {body: {n: 1}}}}, {call: {tool: b, input: *x}}]\n"
    )
    first, second = (turn.calls[0].input for turn in scenario.model[0].turns)
    assert first == second
    assert first["body"] is not second["body"]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0s", 0), ("500ms", 500), ("30s", 30_000), ("15m", 900_000), ("24h", 86_400_000), ("30d", 2_592_000_000)],
)
def test_durations_are_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds
    assert parse_offset(f"+{text}") == milliseconds
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1000, 1001, 60_000, 61_000, 3_600_000, 86_400_000, 90_000_000])
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "+5s", "5 s", "5S", "1h30m", "1.5h", "5sec", "٣s", "5s\n", "1" * 13 + "s"]
)
def test_other_ways_to_write_a_duration_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
    with pytest.raises(ValueError, match="is not an offset"):
        parse_offset(text.lstrip("+"))


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01T00:00:00.5Z", 1_767_225_600_500),
        ("2026-01-01T00:00:00.123Z", 1_767_225_600_123),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600_000),
    ],
)
def test_instants_are_milliseconds_since_1970(text: str, milliseconds: int) -> None:
    assert parse_instant(text) == milliseconds
    assert parse_instant(format_instant(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "now", "1767225600"])
def test_other_ways_to_write_an_instant_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 2026-01-01T00:00:00Z"):
        parse_instant(text)


def test_every_field_of_every_model_is_described() -> None:
    from stack_emu.scenario import models

    listed = [getattr(models, name) for name in models.__all__]
    found = [thing for thing in listed if isinstance(thing, type) and issubclass(thing, models.Model)]
    assert len(found) > 35
    bare = [
        f"{model.__name__}.{name}"
        for model in found
        for name, field in model.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert bare == []
