"""Checks that what a scenario refers to exists in it, once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stack_emu.scenario.findings import Findings, Place
from stack_emu.scenario.problems import suggestion
from stack_emu.scenario.world_models import DEFAULT_OPERATOR_ID, DEFAULT_OPERATOR_KEY


def check_references(root: Place, findings: Findings) -> None:
    """Report ids that are there twice and references that lead nowhere."""
    _unique_names(root, findings)
    names = _Names(root)
    _operators_known(root, names, findings)
    _keys_limited(root, names, findings)
    _grants_known(root, names, findings)
    _missions_known(root, names, findings)
    _passports_known(root, names, findings)
    _skills_known(root, names, findings)
    _fleets_known(root, names, findings)
    _rules_known(root, names, findings)
    _upstreams_known(root, names, findings)
    _expectations_known(root, names, findings)


class _Names:
    """What the scenario declares, by kind."""

    def __init__(self, root: Place) -> None:
        operators = root.each("operators")
        self.operators = [operator.text("id") or DEFAULT_OPERATOR_ID for operator in operators] or [DEFAULT_OPERATOR_ID]
        self.keys = {key for operator in operators for key, _ in keys_of(operator)} or {DEFAULT_OPERATOR_KEY}
        self.agents = _texts(root.each("agents"), "id", "name")
        self.services = _texts(root.each("services"), "id", "provider")
        self.connections = _texts(root.each("services"), "id")
        self.missions = _texts(root.each("missions"), "id")
        self.passports = _texts(root.each("passports"), "id")
        self.upstreams = {name for name, _ in root.entries("upstreams")}
        self.owner = {name: owner for agent in root.each("agents") for name, owner in self._owned(agent)}

    def _owned(self, agent: Place) -> Iterable[tuple[str, str]]:
        owner = agent.text("operator") or self.operators[0]
        return [(name, owner) for name in (agent.text("id"), agent.text("name")) if name]


def keys_of(operator: Place) -> list[tuple[str, Place]]:
    """The API keys of an operator as written, or its default key."""
    if not isinstance(operator.value, dict) or "keys" not in operator.value:
        return [(DEFAULT_OPERATOR_KEY, operator)]
    return [(entry.text("key") or "", entry.at("key")) for entry in operator.each("keys")]


def granted_to(service: Place, agent_names: Collection[str]) -> bool:
    """Whether a service has a grant for an agent with one of these names."""
    return any(grant.text("agent") in agent_names for grant in service.each("grants"))


def _texts(places: Iterable[Place], *keys: str) -> set[str]:
    return {text for place in places for key in keys if (text := place.text(key))}


def _unique_names(root: Place, findings: Findings) -> None:
    operators = root.each("operators")
    _unique(findings, [(o.text("id") or DEFAULT_OPERATOR_ID, o.at("id")) for o in operators], "operators", "id")
    keys = [pair for operator in operators for pair in keys_of(operator)]
    _unique(findings, [pair for pair in keys if pair[0]], "API keys", "value", secret=True)
    for kind in ("agents", "services", "missions", "passports", "skills", "fleets"):
        _unique(findings, _named(root.each(kind), "id"), kind, "id")
    _unique(findings, _named(root.each("agents"), "name"), "agents", "name")
    _unique(findings, _named(root.each("passports"), "env"), "passports", "environment variable")
    _unique(findings, _named(root.at("identity").each("claims"), "id"), "identity claims", "id")
    _unique(findings, _named(root.at("oauth").each("clients"), "id"), "OAuth clients", "id")


def _named(places: Iterable[Place], key: str) -> list[tuple[str, Place]]:
    return [(text, place.at(key)) for place in places if (text := place.text(key))]


def _unique(findings: Findings, named: list[tuple[str, Place]], kind: str, what: str, secret: bool = False) -> None:
    first: dict[str, Place] = {}
    for name, place in named:
        if name not in first:
            first[name] = place
            continue
        shown = "" if secret else f" {name}"
        sentence = f"two {kind} have the same {what}{shown} (the other is {{other}}); give each its own"
        findings.error(place, sentence, first[name])


def _known(findings: Findings, place: Place, known: Collection[str], kind: str, kinds: str) -> bool:
    """Report a reference that leads nowhere; whether it leads somewhere."""
    if not isinstance(place.value, str):
        return False
    if place.value in known:
        return True
    findings.error(place, f"there is no {kind} {place.value} in this scenario; {_instead(place.value, known, kinds)}")
    return False


def _expected(findings: Findings, place: Place, known: Collection[str], kind: str) -> None:
    """Warn about a reference to something the program may still create while it runs."""
    if isinstance(place.value, str) and place.value not in known:
        close = suggestion(place.value, known, "")
        hint = f"; {close}" if close.startswith("did you mean") else ""
        sentence = f"there is no {kind} {place.value} in this scenario, so the program has to create it{hint}"
        findings.warn(place, sentence)


def _instead(word: str, known: Collection[str], kinds: str) -> str:
    return suggestion(word, known, f"{kinds} there are" if known else f"{kinds} in it")


def _operators_known(root: Place, names: _Names, findings: Findings) -> None:
    for owned in (
        *root.each("agents"),
        *root.each("services"),
        *root.each("skills"),
        *root.each("fleets"),
        *root.at("identity").each("claims"),
        root.at("oauth"),
    ):
        _known(findings, owned.at("operator"), names.operators, "operator", "operators")


def _keys_limited(root: Place, names: _Names, findings: Findings) -> None:
    for operator in root.each("operators"):
        _known(findings, operator.at("tenant_of"), names.operators, "operator", "operators")
        for key in operator.each("keys"):
            for connection in key.each("allowed_connections"):
                _known(findings, connection, names.connections, "service with the id", "service ids")


def _grants_known(root: Place, names: _Names, findings: Findings) -> None:
    for service in root.each("services"):
        owner = service.text("operator") or names.operators[0]
        _known(findings, service.at("upstream"), names.upstreams, "upstream", "upstreams")
        for grant in service.each("grants"):
            place = grant.at("agent")
            if not _known(findings, place, names.agents, "agent", "agents"):
                continue
            if names.owner[place.value] != owner:
                sentence = f"{place.value} belongs to {names.owner[place.value]} and the service to {owner}"
                findings.error(place, f"{sentence}; grant it to an agent of the same operator")


def _missions_known(root: Place, names: _Names, findings: Findings) -> None:
    for mission in root.each("missions"):
        _known(findings, mission.at("agent"), names.agents, "agent", "agents")
        for service in mission.each("services"):
            if isinstance(service.value, str) and service.value not in names.services:
                sentence = f"no service in this scenario has the id or provider {service.value}"
                findings.warn(service, f"{sentence}; {_instead(service.value, names.services, 'services')}")


def _passports_known(root: Place, names: _Names, findings: Findings) -> None:
    aliases = [{name for name in (agent.text("id"), agent.text("name")) if name} for agent in root.each("agents")]
    agent_of = {mission.text("id"): mission.text("agent") for mission in root.each("missions")}
    for passport in root.each("passports"):
        known = _known(findings, passport.at("agent"), names.agents, "agent", "agents")
        holder = next((same for same in aliases if passport.text("agent") in same), set[str]())
        mission = passport.at("mission")
        if _known(findings, mission, names.missions, "mission", "missions") and known:
            other = agent_of[mission.value]
            if other in names.agents and other not in holder:
                sentence = f"{mission.value} is a mission of {other}, not of {passport.text('agent')}"
                findings.error(mission, f"{sentence}; a passport is bound to a mission of its own agent")
        for service in passport.each("services"):
            if _known(findings, service, names.services, "service", "services") and known:
                _check_granted(root, service, holder, findings)


def _fleets_known(root: Place, names: _Names, findings: Findings) -> None:
    for fleet in root.each("fleets"):
        for part in ("access", "requested_access"):
            for entry in fleet.at("definition").each(part):
                for name in ("connection_id", "service_connection_id", "service"):
                    _known(findings, entry.at(name), names.services, "service", "services")


def _check_granted(root: Place, service: Place, holder: set[str], findings: Findings) -> None:
    named = [place for place in root.each("services") if service.value in (place.text("id"), place.text("provider"))]
    if not any(granted_to(place, holder) for place in named):
        names = " or ".join(sorted(holder))
        findings.error(service, f"{service.value} has no grant for {names}; add one to the service, or leave it out")


def _skills_known(root: Place, names: _Names, findings: Findings) -> None:
    for skill in root.each("skills"):
        owner = skill.text("operator") or names.operators[0]
        place = skill.at("agent")
        if _known(findings, place, names.agents, "agent", "agents") and names.owner[place.value] != owner:
            sentence = f"{place.value} belongs to {names.owner[place.value]} and the skill to {owner}"
            findings.error(place, f"{sentence}; let an agent of the same operator serve it")


def _rules_known(root: Place, names: _Names, findings: Findings) -> None:
    for rule in root.each("faults"):
        _known(findings, rule.at("on", "upstream"), names.upstreams, "upstream", "upstreams")
    conditions = [rule.at("on") for rule in root.each("faults")]
    conditions += [rule.at("when") for kind in ("approvals", "detectors", "model") for rule in root.each(kind)]
    for condition in conditions:
        _expected(findings, condition.at("agent"), names.agents, "agent")
        _expected(findings, condition.at("service"), names.services, "service")


def _upstreams_known(root: Place, names: _Names, findings: Findings) -> None:
    for step in root.each("timeline"):
        if step.at("as").value is not None and step.text("as") not in names.keys:
            findings.error(step.at("as"), "this is no API key of the scenario; use one that an operator has under keys")
    for call in _expected_of(root, "upstream"):
        _known(findings, call.at("to"), names.upstreams, "upstream", "upstreams")


def _expected_of(root: Place, section: str) -> list[Place]:
    """What is expected of one kind, by itself and as a step of the order."""
    expect = root.at("expect")
    steps = [step.at(section) for step in expect.each("order") if step.at(section).value]
    return [*expect.each(section), *steps]


def _expectations_known(root: Place, names: _Names, findings: Findings) -> None:
    for call in _expected_of(root, "upstream"):
        _expected(findings, call.at("credential"), names.services, "service")
    for row in _expected_of(root, "audit"):
        _expected(findings, row.at("agent"), names.agents, "agent")
        _expected(findings, row.at("service"), names.services, "service")
        _expected(findings, row.at("mission"), names.missions, "mission")
        _expected(findings, row.at("passport"), names.passports, "passport")
