"""Checks that the parts of a scenario make sense together: keys, grants, passports, the scripted model."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from stack_emu.scenario.expressions import check_expression
from stack_emu.scenario.findings import Findings, Place, Vocabulary, check_word
from stack_emu.scenario.model_checks import check_model
from stack_emu.scenario.problems import suggestion
from stack_emu.scenario.templates import Templates
from stack_emu.scenario.values import format_duration, parse_duration

MAX_CONSTRAINTS = 32
"""Constraints in one grant (`docs/concepts/constraints`)."""

MAX_PATTERN = 256
"""Characters in the pattern of `matches` (`docs/concepts/constraints`)."""

_CONSTRAINT_PATH = re.compile(r"method|url\.(pathname|host|origin)|headers\..+|query\..+|body(\..+)?")
_CONSTRAINT_PATHS = ["method", "url.pathname", "url.host", "url.origin", "headers.<name>", "query.<key>", "body.<path>"]


def check_rules(root: Place, vocabulary: Vocabulary, findings: Findings) -> None:
    """Report what cannot work although every part of it is well formed."""
    _check_keys(root, findings)
    for service in root.each("services"):
        _check_service(service, findings)
    _check_passports(root, findings)
    check_model(root, findings)
    _check_templates(root, findings)
    _check_operations(root, vocabulary, findings)


def _check_keys(root: Place, findings: Findings) -> None:
    for operator in root.each("operators"):
        for key in operator.each("keys"):
            if not isinstance(key.value, dict) or key.value.get("role", "operator") != "operator":
                continue
            for name in ("member", "allowed_connections"):
                if key.value.get(name) is not None:
                    sentence = f"{name} is for member keys; give the key a role of standard, readonly or admin"
                    findings.error(key.at(name), sentence)


def _check_service(service: Place, findings: Findings) -> None:
    scopes = {scope.value for scope in service.each("scopes")}
    intents = {name: intent for intent in service.each("intents") if (name := intent.text("name"))}
    for intent in service.each("intents"):
        for constraint in intent.each("constraints"):
            _check_constraint(constraint, findings)
    for grant in service.each("grants"):
        total = 0
        for scope in grant.each("scopes"):
            if scopes and isinstance(scope.value, str) and scope.value not in scopes:
                hint = suggestion(scope.value, [str(known) for known in scopes], "its scopes are")
                findings.error(scope, f"the service does not have the scope {scope.value}; {hint}")
        for constraint in grant.each("constraints"):
            total += 1
            _check_constraint(constraint, findings)
        for use in grant.each("intents"):
            total += _check_intent(use, intents, findings)
        if total > MAX_CONSTRAINTS and len(grant.each("constraints")) <= MAX_CONSTRAINTS:
            sentence = f"constraints and intents come to {total} constraints; at most {MAX_CONSTRAINTS} are allowed"
            findings.error(grant, sentence)


def _check_intent(use: Place, intents: dict[str, Place], findings: Findings) -> int:
    """Check the use of a named intent; returns how many constraints it expands to."""
    name = use.text("name")
    if name is None or not intents:
        return 0
    if name not in intents:
        hint = suggestion(name, intents, "its intents are")
        findings.error(use.at("name"), f"the service declares no intent {name}; {hint}")
        return 0
    wanted = [str(param.value) for param in intents[name].each("params")]
    given = use.at("params").value if isinstance(use.at("params").value, dict) else {}
    missing = [param for param in wanted if param not in given]
    if missing:
        findings.error(use, f"the intent {name} needs params: {', '.join(missing)}")
    for param in given:
        if param not in wanted:
            hint = suggestion(param, wanted, "its params are")
            findings.error(use.at("params", param), f"the intent {name} has no param {param}; {hint}")
    return len(intents[name].each("constraints"))


def _check_constraint(constraint: Place, findings: Findings) -> None:
    path, op, value = constraint.text("path"), constraint.text("op"), constraint.at("value")
    if path and not _CONSTRAINT_PATH.fullmatch(path):
        listed = ", ".join(_CONSTRAINT_PATHS)
        findings.error(constraint.at("path"), f"{path} is no part of a call that constraints see; use one of {listed}")
    if not isinstance(constraint.value, dict) or "value" not in constraint.value or _is_template(value.value):
        return
    if op in ("in", "not_in") and not isinstance(value.value, (list, tuple)):
        findings.error(value, f"{op} compares with a list; write [ ] around the value, or use eq")
    if op in ("matches", "starts_with") and not isinstance(value.value, str):
        findings.error(value, f"{op} compares with text; put the value in quotes")
    if op == "matches" and isinstance(value.value, str):
        _check_pattern(value, findings)


def _check_pattern(place: Place, findings: Findings) -> None:
    if len(place.value) > MAX_PATTERN:
        sentence = f"the pattern has {len(place.value)} characters; at most {MAX_PATTERN} are allowed"
        findings.error(place, sentence)
        return
    check_expression(place, findings)


def _is_template(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def _check_passports(root: Place, findings: Findings) -> None:
    needs_mission = root.text("compat") in (None, "sdk-4")
    for passport in root.each("passports"):
        if isinstance(passport.value, dict) and needs_mission and passport.value.get("mission") is None:
            sentence = "mission is missing; name one of missions, or set compat: docs-2026-05"
            findings.error(passport, sentence)
        for key in ("ttl", "checkpoint_interval"):
            _check_span(passport.at(key), findings)


def _check_span(place: Place, findings: Findings) -> None:
    """STACK accepts 60 to 3600 seconds for lifetimes and check-in intervals (`docs/api/passports`)."""
    try:
        length = parse_duration(place.value) if isinstance(place.value, str) else None
    except ValueError:
        return
    if length is not None and not 60_000 <= length <= 3_600_000:
        findings.error(place, f"{format_duration(length)} is outside what STACK accepts; write 60s to 3600s")


def check_routes_reach(upstream: Place, findings: Findings) -> None:
    """Warn about routes behind one that matches every request, in every state and as often as one likes."""
    routes = upstream.each("routes")
    for number, route in enumerate(routes[:-1]):
        ends = any(route.at(key).value for key in ("requires", "times")) or route.at("repeat").value == "none"
        if isinstance(route.value, dict) and not route.at("when").value and not ends:
            sentence = (
                "this route is never reached: one above it has no when and matches everything; move that one last"
            )
            findings.warn(routes[number + 1], sentence)
            return


def _check_templates(root: Place, findings: Findings) -> None:
    templates = Templates()
    rendered = [turn for rule in root.each("model") for turn in rule.each("turns")]
    rendered += [rule.at("inject") for rule in root.each("faults")]
    rendered += [intent.at("constraints") for service in root.each("services") for intent in service.each("intents")]
    for _, upstream in root.entries("upstreams"):
        routes = upstream.each("routes")
        replies = [reply for route in routes for reply in (route.at("reply"), *route.each("replies"))]
        rendered += [reply for reply in replies if reply.at("template").value is not False]
        rendered += [route.at(key) for route in routes for key in ("requires", "sets", "callbacks")]
    for part in rendered:
        for string in part.strings():
            problem = templates.check(string.value) if "{{" in string.value else None
            if problem:
                findings.error(string, problem)


def _check_operations(root: Place, vocabulary: Vocabulary, findings: Findings) -> None:
    faulted = vocabulary.faulted if vocabulary.faulted is not None else vocabulary.operations
    for rule in root.each("faults"):
        _check_matchers(rule.at("on", "where"), vocabulary, findings)
        _check_names(findings, rule.at("on", "operation"), faulted, "operation")
        _check_names(findings, rule.at("on", "tool"), vocabulary.tools, "tool")
        _check_code(rule.at("inject", "error"), vocabulary.codes, findings)
    for rule in root.each("approvals"):
        place = rule.at("when", "operation")
        check_word(findings, place, vocabulary.operations, "operation")
        known, approved = vocabulary.operations, vocabulary.approved
        if known is not None and approved is not None and place.value in known and place.value not in approved:
            asking = ", ".join(sorted(approved))
            findings.warn(place, f"{place.value} asks nobody for approval; {asking} do")
    for rule in root.each("detectors"):
        check_word(findings, rule.at("when", "operation"), vocabulary.operations, "operation")
        check_word(findings, rule.at("signal"), vocabulary.detectors, "signal")
    for step in root.each("timeline"):
        check_word(findings, step.at("operation"), vocabulary.operations, "operation")
    for _, upstream in root.entries("upstreams"):
        _check_pack(upstream, vocabulary, findings)
        for route in upstream.each("routes"):
            _check_matchers(route.at("when"), vocabulary, findings)
    expect = root.at("expect")
    steps = [step.at(kind) for step in expect.each("order") for kind in ("upstream", "operations", "model", "sent")]
    sections = [call for section in ("upstream", "operations", "model", "sent") for call in expect.each(section)]
    for call in (*sections, *steps):
        _check_matchers(call, vocabulary, findings)
    for name, sentence in vocabulary.unserved.items():
        if root.at(name).value:
            findings.warn(root.at(name), f"{sentence}; remove {name}, or leave it for a version that has it")


def _check_matchers(when: Place, vocabulary: Vocabulary, findings: Findings) -> None:
    if vocabulary.pattern_problems is None or not isinstance(when.value, dict):
        return
    for place, sentence in vocabulary.pattern_problems(when.value):
        findings.error(when.at(*_steps(when.value, place)), sentence)


def _steps(value: Any, place: str) -> list[str | int]:
    """The keys of a place such as `body.lines[0].sku`, as far as the value has them; keys may have dots in them."""
    steps: list[str | int] = []
    while place:
        place = place.lstrip(".")
        if isinstance(value, dict):
            key = max((key for key in value if place.startswith(str(key))), key=lambda key: len(str(key)), default=None)
            if key is None:
                break
            steps.append(key)
            value, place = value[key], place[len(str(key)) :]
        elif isinstance(value, (list, tuple)) and place.startswith("["):
            index, _, place = place[1:].partition("]")
            steps.append(int(index))
            value = value[int(index)]
        else:
            break
    return steps


def _check_pack(upstream: Place, vocabulary: Vocabulary, findings: Findings) -> None:
    place = upstream.at("pack")
    name, seed, short = place.value, upstream.at("seed").value, None
    usable = isinstance(seed, (dict, type(None)))
    if usable and name in (None, "resources") and upstream.at("resources").value is not None:
        short = name = "resources"
        seed = {**(seed or {}), "resources": upstream.at("resources").value}
    elif usable and name in (None, "openapi") and isinstance(upstream.at("openapi").value, str):
        short = name = "openapi"
        seed = {"document": upstream.at("openapi").value, "items": seed or {}}
    if not isinstance(name, str) or not _is_known(name, place, vocabulary, findings) or not usable:
        return
    if name == "openapi" and not _check_document(upstream, short, (seed or {}).get("document"), vocabulary, findings):
        return
    sentence = vocabulary.pack_problem(name, seed or {}) if vocabulary.pack_problem is not None else None
    if sentence is None:
        return
    begins = re.match(r"seed((?:\.[A-Za-z_][\w-]*|\[\d+\])*)", sentence)
    if begins is None:
        findings.error(place, sentence.rstrip("."))
        return
    path: list[str | int] = [
        int(index) if index else key for key, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", begins[1])
    ]
    where, prefix = _in_short(upstream, short, path)
    said = sentence.rstrip(".")
    findings.error(where, said.removeprefix(prefix).lstrip(".: ") if prefix else said)


def _is_known(name: str, place: Place, vocabulary: Vocabulary, findings: Findings) -> bool:
    if "/" in name:
        return True
    check_word(findings, place, vocabulary.packs, "pack")
    return vocabulary.packs is None or name in vocabulary.packs


def _check_document(
    upstream: Place, short: str | None, document: object, vocabulary: Vocabulary, findings: Findings
) -> bool:
    """Report what is wrong with an OpenAPI document; whether it can be used."""
    if vocabulary.document is None or not isinstance(document, str) or not document:
        return True
    place = upstream.at("openapi") if short is not None else upstream.at("seed", "document")
    report = vocabulary.document(document)
    findings.tell(place, report)
    return all(problem.severity != "error" for problem in report.problems)


def _in_short(upstream: Place, short: str | None, path: list[str | int]) -> tuple[Place, str]:
    """Where a part of a pack's seed stands, and what its sentence begins with that is not written there."""
    if short == "resources" and path[:1] == ["resources"]:
        return upstream.at(*path), "seed."
    if short == "openapi" and path[:1] == ["document"]:
        return upstream.at("openapi"), "seed.document"
    if short == "openapi" and path[:1] == ["items"]:
        return upstream.at("seed", *path[1:]), "seed.items"
    return upstream.at("seed", *path), ""


def _check_names(findings: Findings, place: Place, known: Collection[str] | None, kind: str) -> None:
    """Report a word that is neither a known one nor, with a final *, the beginning of one."""
    begins = place.value[:-1] if isinstance(place.value, str) and place.value.endswith("*") else None
    if begins is None or not any(word.startswith(begins) for word in known or ()):
        check_word(findings, place, known, kind)


def _check_code(place: Place, codes: Collection[str] | None, findings: Findings) -> None:
    if isinstance(place.value, str) and codes is not None and place.value.lower() not in codes:
        check_word(findings, place, codes, "error code")
