"""Times in a scenario: every place the schema has for one takes what it should, and says what is wrong with the rest."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stack_emu import Emulator
from stack_emu.client import EmulatorError
from stack_emu.scenario.loader import Inspection, inspect_text
from stack_emu.scenario.schema import json_schema
from stack_emu.scenario.values import DURATION_PATTERN, INSTANT_PATTERN, OFFSET_PATTERN, SINCE_START_PATTERN
from stack_emu.scenario.yaml_reader import compose
from tests.time.deadlines import MINUTE, OPERATOR, START, Worlds

KINDS = {
    DURATION_PATTERN: "duration",
    OFFSET_PATTERN: "offset",
    SINCE_START_PATTERN: "since start",
    INSTANT_PATTERN: "instant",
}
SCHEMA = json_schema()
Path_ = tuple[Any, ...]


def plain(text: str) -> Any:
    composed = compose(text)
    assert composed.root is not None
    return composed.root.plain()


FILE = Path(__file__).parents[1] / "scenario" / "full.yaml"
FULL = plain(FILE.read_text("utf-8"))


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = SCHEMA["$defs"][name]
    return schema


def times(schema: Mapping[str, Any], data: Any, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Where in a scenario a time stands, by what the schema says may stand there."""
    schema = resolved(schema)
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from times(option, data, path)
    if isinstance(data, str) and schema.get("pattern") in KINDS:
        yield path, KINDS[schema["pattern"]]
    if isinstance(data, dict):
        for key, value in data.items():
            part = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(part, Mapping):
                yield from times(part, value, (*path, key))
    if isinstance(data, list):
        heads = schema.get("prefixItems", ())
        for place, value in enumerate(data):
            part = heads[place] if place < len(heads) else schema.get("items")
            if isinstance(part, Mapping):
                yield from times(part, value, (*path, place))


FOUND = dict(times(SCHEMA, FULL))


def written(path: Path_, value: Any) -> str:
    """The full scenario with something else at one place, as YAML (JSON is YAML)."""
    data = copy.deepcopy(FULL)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(data)


def read(path: Path_, value: Any) -> Inspection:
    """The scenario with this value, as a file beside the ones it names."""
    return inspect_text(written(path, value), file=FILE)


def loaded(path: Path_, value: Any) -> Any:
    """What stands at a place of the loaded scenario."""
    found: Any = read(path, value).require()
    for step in path:
        if isinstance(step, int):
            found = found[step]
            continue
        names = {field.alias or name: name for name, field in type(found).model_fields.items()}
        found = getattr(found, names[step])
    return found


def keys(schema: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every place of the schema that has a pattern of a time."""
    if isinstance(schema, Mapping):
        if schema.get("pattern") in KINDS:
            yield path
        for key, part in schema.items():
            yield from keys(part, (*path, key))
    elif isinstance(schema, list):
        for place, part in enumerate(schema):
            yield from keys(part, (*path, place))


def name_of(path: Path_) -> str:
    return ".".join(map(str, path))


def kinds(*wanted: str) -> list[Any]:
    return [pytest.param(path, id=name_of(path)) for path, kind in FOUND.items() if kind in wanted]


def test_the_full_scenario_has_a_time_of_every_key_that_takes_one() -> None:
    assert len(FOUND) > 30
    assert set(FOUND.values()) == set(KINDS.values())
    there = {part[-1] for part in FOUND if isinstance(part[-1], str)} | {
        part[-2] for part in FOUND if isinstance(part[-1], int)
    }
    named = {
        next(step for step in reversed(path) if isinstance(step, str) and step not in ("anyOf", "prefixItems", "items"))
        for path in keys(SCHEMA)
        if "properties" in path
    }
    assert named - there == {"fixed"}, "a delay that is fixed is written as the duration itself"


@pytest.mark.parametrize("path", kinds("offset", "since start"))
def test_an_offset_stands_wherever_a_moment_after_the_start_does(path: Path_) -> None:
    assert loaded(path, "+90m") == 90 * MINUTE
    assert [str(one) for one in read(path, "+90m").problems if "offset" in str(one)] == []


@pytest.mark.parametrize("path", kinds("since start", "duration"))
def test_a_duration_stands_wherever_a_length_does(path: Path_) -> None:
    below = path[-1] in ("median", 0)  # there is a longer one beside it
    found = loaded(path, "7ms" if below else "12m")
    assert getattr(found, "fixed", found) == (7 if below else 12 * MINUTE)


def problem(path: Path_, value: Any) -> str:
    found = [str(one) for one in read(path, value).problems]
    last = str(path[-1]) if isinstance(path[-1], str) else str(path[-2])
    assert found, f"{name_of(path)}: {value!r} was taken"
    return next((one for one in found if last in one), found[0])


@pytest.mark.parametrize("path", kinds("offset"))
def test_what_is_no_offset_is_refused_with_what_to_write(path: Path_) -> None:
    assert "write +10m" in problem(path, "10m")
    assert "write + and a duration, such as +10m" in problem(path, "soon")
    assert "write + and a duration, such as +10m" in problem(path, START)
    assert "it has no unit; write +5s for seconds" in problem(path, 5)


@pytest.mark.parametrize("path", kinds("since start"))
def test_what_is_neither_a_duration_nor_an_offset_is_refused_with_what_to_write(path: Path_) -> None:
    assert "such as 500ms, 30s, 15m, 24h or 30d" in problem(path, "soon")
    assert "it has no unit; write 5s for seconds" in problem(path, 5)
    assert "it has no unit; write 5s for seconds" in problem(path, "+5")
    assert "is not a duration" in problem(path, "++5m")
    assert "write one number and one unit" in problem(path, "-5m")


@pytest.mark.parametrize("path", kinds("duration"))
def test_what_is_no_duration_is_refused_with_what_to_write(path: Path_) -> None:
    assert "write 10m" in problem(path, "+10m")
    assert "it has no unit; write 5s for seconds" in problem(path, "5")


@pytest.mark.parametrize("path", kinds("instant"))
def test_an_instant_cannot_be_an_offset_from_itself(path: Path_) -> None:
    assert loaded(path, "2026-01-01T00:00:00.5+01:00") == 1_767_222_000_500
    for wrong in ("+10m", "10m", "2026-01-01", "2026-13-01T00:00:00Z"):
        assert "write it like 2026-01-01T00:00:00Z" in problem(path, wrong)


# --- what offsets mean ---------------------------------------------------------------------------------------------------

WORLD = f"""
stack_emu: 1
clock: {{mode: virtual, start: {START}}}
operator: {{id: op_time, keys: [{{key: {OPERATOR}}}]}}
agents: [{{id: agt_bot, name: bot}}]
missions: [{{id: ms_bot, agent: agt_bot, intent: Keep time, expires: +90m}}]
identity: {{claims: [{{id: clm_one, provider: bankid_se, claim: verified_human, expires: +90m}}]}}
faults: [{{on: {{operation: agents.list, after: +90m, until: +100m}}, inject: {{error: TIER_LIMIT_EXCEEDED}}}}]
services: [{{provider: gmail, credential: canary, upstream: gmail}}, {{provider: cal, credential: canary, upstream: cal}}]
upstreams:
  gmail: {{hosts: [gmail.googleapis.com], pack: gmail, seed: {{messages: [{{from: a@b.test, subject: Later, date: +90m}}]}}}}
  cal:
    hosts: [www.googleapis.com]
    pack: google_calendar
    seed:
      timeZone: Europe/Berlin
      events:
        - {{summary: Later, start: +90m}}
        - {{summary: Span, start: +1d, end: +30h}}
        - {{summary: Mixed, start: 2020-01-01T00:00:00, end: +1m}}
"""


@pytest.fixture(scope="module")
def worlds(emulator: Emulator) -> Worlds:
    return Worlds(emulator.client)


def test_offsets_count_from_the_world_s_start(worlds: Worlds) -> None:
    bench = worlds.fresh(WORLD)
    try:
        assert bench.own.missions.get("ms_bot")["expires_at"] == "2026-03-01T01:30:00.000Z"
        assert bench.own.identity.list_claims()[0].expires_at == "2026-03-01T01:30:00.000Z"
        gmail = "https://gmail.googleapis.com/gmail/v1/users/me/messages"
        [listed] = bench.own.proxy.get("gmail", gmail).body["messages"]
        message = bench.own.proxy.get("gmail", f"{gmail}/{listed['id']}").body
        assert message["internalDate"] == str(1_772_328_600_000)
        events = bench.own.proxy.get("cal", "https://www.googleapis.com/calendar/v3/calendars/primary/events").body
        spans = {one["summary"]: (one["start"]["dateTime"], one["end"]["dateTime"]) for one in events["items"]}
        assert spans["Later"] == ("2026-03-01T02:30:00+01:00", "2026-03-01T03:30:00+01:00")
        assert spans["Span"] == ("2026-03-02T01:00:00+01:00", "2026-03-02T07:00:00+01:00")
        assert spans["Mixed"][1] == "2026-03-01T01:01:00+01:00"
    finally:
        bench.close()


@pytest.mark.parametrize("wrong", ["+90", "+soon", "+ 1m", "-5m"])
@pytest.mark.parametrize("right", ["date: +90m", "start: +90m"])
def test_an_offset_of_a_seed_that_is_none_is_refused(emulator: Emulator, right: str, wrong: str) -> None:
    name = right.partition(":")[0]
    text = WORLD.replace(right, f'{name}: "{wrong}"')
    with pytest.raises(EmulatorError, match=rf"seed\.\w+\[0\]\.{name} .*\+10m"):
        emulator.client.create_world("refused", scenario_yaml=text)
