"""`stack-emu check` and `schema`: mistakes with their place, and the format for editors."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from stack_emu.scenario.yaml_reader import compose
from tests.cli.conftest import SCENARIOS, WORLD, Cli

BUNDLED = sorted(folder.name for folder in SCENARIOS.iterdir() if (folder / "scenario.yaml").is_file())


def test_good_scenarios_are_summed_up_and_pass(cli: Cli, shop: Path) -> None:
    ran = cli("check", shop, *(f"scenarios/{name}" for name in BUNDLED))
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"{shop}: ok: 1 operator, 1 agent, 1 service, 1 mission, 1 passport, 1 upstream, 1 script"
    assert len(lines) == 1 + len(BUNDLED)


def test_mistakes_stand_with_file_line_and_column_and_fail(cli: Cli, shop: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "stack_emu: 1\nsed: 7\nupstreams: {chat: {pack: slak}}\nfaults: [{on: {operation: a.b}, inject: {status: 500}}]\n"
    )
    ran = cli("check", bad, shop)
    assert ran.code == 2
    assert ran.err.splitlines() == [
        f"{bad}:2:1: unknown key sed; did you mean seed?",
        f"{bad}:3:26: upstreams.chat.pack: there is no pack slak; did you mean slack?",
        (
            f"{bad}:4:27: faults[0].on.operation: there is no operation a.b; operations there are: agents.create_"
            "enrollment_challenge, agents.delete, agents.enroll, agents.get, agents.list, agents.permissions, "
            "agents.register, agents.unblock, agents.update, audit.chain_head, audit.export, audit.list, …"
        ),
    ]
    assert ran.out.splitlines() == [
        f"{bad}: 3 errors",
        f"{shop}: ok: 1 operator, 1 agent, 1 service, 1 mission, 1 passport, 1 upstream, 1 script",
    ]


def test_what_has_no_effect_is_a_warning(cli: Cli, shop: Path) -> None:
    shop.write_text(WORLD + "approvals: [{when: {operation: audit.export}, decide: approve}]\n")
    ran = cli("check", shop)
    assert ran.code == 0
    assert "warning: approvals[0].when.operation: audit.export asks nobody for approval" in ran.err
    assert ran.out.endswith("; 1 warning\n")


def test_faults_may_hit_the_messages_api_by_its_own_words(cli: Cli, shop: Path) -> None:
    operations = ("messages.create", "messages.count_tokens", "models.list", "models.get")
    codes = ("OVERLOADED_ERROR", "overloaded_error", "request_too_large", "PASSPORT_REVOKED")
    faults = [f"  - {{on: {{operation: {name}}}, inject: {{error: {code}}}}}" for name in operations for code in codes]
    shop.write_text("\n".join(["stack_emu: 1", "faults:", *faults, ""]))
    ran = cli("check", shop)
    assert (ran.code, ran.err) == (0, "")


def test_faults_may_hit_the_openai_api_by_its_own_words(cli: Cli, shop: Path) -> None:
    operations = ("chat.completions.create", "responses.create", "responses.retrieve", "traces.ingest")
    codes = ("RATE_LIMIT_EXCEEDED", "insufficient_quota", "server_error")
    faults = [f"  - {{on: {{operation: {name}}}, inject: {{error: {code}}}}}" for name in operations for code in codes]
    shop.write_text("\n".join(["stack_emu: 1", "faults:", *faults, ""]))
    ran = cli("check", shop)
    assert (ran.code, ran.err) == (0, "")


def test_a_missing_file_and_a_folder_without_a_scenario_are_named(cli: Cli, tmp_path: Path) -> None:
    ran = cli("check", "scenarios/deploy-bt", tmp_path)
    assert ran.code == 2
    first, second = ran.err.splitlines()
    assert first == "scenarios/deploy-bt: there is no such file or folder; did you mean scenarios/deploy-bot?"
    assert second.startswith(f"{tmp_path}: ")
    assert "scenario.yaml" in second


def test_check_without_a_scenario_is_bad_usage(cli: Cli) -> None:
    ran = cli("check")
    assert ran.code == 2
    assert "SCENARIO" in ran.err


def test_a_file_named_after_two_dashes_is_a_file(cli: Cli, shop: Path) -> None:
    assert cli("check", "--", shop).code == 0


def test_the_schema_is_a_json_schema_that_the_bundled_scenarios_meet(cli: Cli) -> None:
    ran = cli("schema")
    assert (ran.code, ran.err) == (0, "")
    schema = json.loads(ran.out)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    for name in BUNDLED:
        root = compose((SCENARIOS / name / "scenario.yaml").read_text()).root
        assert root is not None
        validator(schema).validate(root.plain())
    with pytest.raises(jsonschema.ValidationError):
        validator(schema).validate({"stack_emu": 1, "agnets": []})
