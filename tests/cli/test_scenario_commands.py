"""`stack-emu check` and `schema`: mistakes with their place, and the format for editors."""

from __future__ import annotations

import json
import sys
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


def test_every_bundled_scenario_names_the_schema_beside_them_and_that_is_current(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    ran = cli("schema", "--write", file)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "# yaml-language-server: $schema=./s.json"
    shipped = SCENARIOS / "scenario.schema.json"
    assert file.read_text() == shipped.read_text(), "run stack-emu schema --write scenarios/scenario.schema.json"
    for name in BUNDLED:
        scenario = SCENARIOS / name / "scenario.yaml"
        directive, _, schema = scenario.read_text().split("\n", 1)[0].partition("$schema=")
        assert directive == "# yaml-language-server: "
        assert (scenario.parent / schema).resolve() == shipped


def test_every_key_of_the_schema_has_a_description(cli: Cli) -> None:
    schema = json.loads(cli("schema").out)
    for name, part in {"Scenario": schema, **schema["$defs"]}.items():
        bare = [key for key, about in part.get("properties", {}).items() if not about.get("description")]
        assert bare == [], name


LAYERED = """\
variables: {number: 3}
overlays: {ci: {seed: 44, description: "${number}"}}
"""


def test_check_shows_what_overlays_and_variables_make_of_a_scenario(cli: Cli, shop: Path) -> None:
    shop.write_text(WORLD + LAYERED)
    ran = cli("check", "--resolved", "--overlay", "ci", "--set", "number='5", shop)
    assert ran.code == 0
    assert f"# {shop}:3\nseed: 3\n" in cli("check", "--resolved", shop).out
    assert "seed: 44\n" in ran.out
    assert cli("check", "--resolved", shop, env={"STACK_EMU_OVERLAY": "ci"}).out.count("seed: 44") == 1
    wrong = cli("check", "--overlay", "cj", shop)
    assert (wrong.code, "there is no overlay cj; overlays in it: ci" in wrong.err) == (2, True)
    unset = cli("check", "--set", "number", shop)
    assert (unset.code, unset.err) == (2, "stack-emu: --set: write name=value, such as channel=random\n")


def test_check_fixes_keys_or_shows_what_it_would_change(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("stack_emu: 1\nsed: 1 # seed\n")
    shown = cli("check", "--fix", "--diff", file)
    assert shown.code == 2
    assert shown.out.splitlines()[2:5] == ["@@ -2 +2 @@", "-sed: 1 # seed", "+seed: 1 # seed"]
    assert file.read_text() == "stack_emu: 1\nsed: 1 # seed\n"
    assert cli("check", "--fix", file).code == 0
    assert file.read_text() == "stack_emu: 1\nseed: 1 # seed\n"
    assert cli("check", "--fix", file).out == f"{file}: ok: 1 operator\n"
    assert cli("check", "--diff", file).err == "stack-emu: --diff shows what --fix would change; give both\n"


def test_exec_serves_the_overlay_chosen(cli: Cli, shop: Path) -> None:
    shop.write_text(WORLD + "overlays: {ci: {passports: [{id: pp_day, env: OTHER_NAME}]}}\n")
    code = "import os; print('SHOP_PASSPORT' in os.environ, 'OTHER_NAME' in os.environ)"
    assert cli("exec", shop, "--overlay", "ci", "--", sys.executable, "-c", code).out.startswith("False True")
    assert cli("exec", shop, "--", sys.executable, "-c", code).out.startswith("True False")
    refused = cli("exec", "--overlay", "ci", "--", sys.executable, "-c", code)
    assert refused.err == "stack-emu: --overlay and --set change a scenario; name its file or folder\n"


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
