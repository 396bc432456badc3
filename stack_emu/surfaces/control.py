"""The control API under ``/_emu``: what a test or a developer does to a world from outside.

Paths without a world act on ``default``; ``/w/<name>/_emu/…`` on the world of that name. Only loopback peers are answered.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from stack_emu.domain.secret_kinds import learn_script_keys
from stack_emu.domain.state import Agent, Connection, Grant, Operator
from stack_emu.hosting import HostedWorld, fault_rule, recorded_rules
from stack_emu.kernel.audit import ActEntry, as_dict
from stack_emu.kernel.clock import iso
from stack_emu.kernel.dispatch import Call, dump, perform
from stack_emu.kernel.errors import Fault, WorldError
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.operations import Caller, Download, Operation
from stack_emu.kernel.world import World
from stack_emu.scenario.problems import ScenarioError
from stack_emu.surfaces import control_clock, control_worlds
from stack_emu.surfaces.control_fields import (
    ControlError,
    audit_order,
    checkpoint_before,
    expectation_of,
    fault_of,
    milliseconds,
    model_rules_of,
    signal_of,
)
from stack_emu.surfaces.control_worlds import WorldRoutes
from stack_emu.surfaces.hosts_and_origins import is_of_another_page
from stack_emu.surfaces.lane import WORLD_NAME_KEY
from stack_emu.surfaces.pieces import headers_of, send_download
from stack_emu.surfaces.rest import json_response, read_object
from stack_emu.surfaces.routing import PathTable
from stack_emu.surfaces.secret_exits import screened_pieces
from stack_emu.verdict import verdict
from stack_emu.verification import unmet

if TYPE_CHECKING:
    from stack_emu.surfaces.server import Server

_PIECE = 64 * 1024
"""About how many characters of a long reply are made at a time."""

Handler = Callable[[HostedWorld, Mapping[str, Any], Mapping[str, str]], "Any | Awaitable[Any]"]


class ControlSurface:
    """Answers ``/_emu`` requests.

    Args:
        server: whose worlds to control.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._worlds = WorldRoutes(server)
        self._routes: PathTable[Handler] = PathTable()
        for method, path, handler in self._table():
            self._routes.add(method, path, handler)

    def _table(self) -> list[tuple[str, str, Handler]]:
        worlds = self._worlds
        return [
            ("GET", "/_emu/health", self._health),
            ("GET", "/_emu/openapi.json", self._document),
            ("GET", "/_emu/worlds", worlds.worlds),
            ("POST", "/_emu/worlds", worlds.create),
            ("DELETE", "/_emu/worlds/{name}", worlds.remove),
            ("GET", "/_emu/world", worlds.world),
            ("PUT", "/_emu/world", worlds.put),
            ("DELETE", "/_emu/world", worlds.remove_this),
            ("GET", "/_emu/export", worlds.export),
            ("GET", "/_emu/diff", worlds.diff),
            ("POST", "/_emu/reset", _reset),
            ("POST", "/_emu/reload", worlds.reload),
            ("GET", "/_emu/clock", control_clock.clock),
            ("POST", "/_emu/clock/advance", self._advance),
            ("GET", "/_emu/journal", _journal),
            ("DELETE", "/_emu/journal", _clear_journal),
            ("GET", "/_emu/journal/canonical", _canonical_journal),
            ("GET", "/_emu/audit", _audit),
            ("GET", "/_emu/audit/canonical", _canonical),
            ("GET", "/_emu/audit/checkpoint", _checkpoint),
            ("GET", "/_emu/faults", _faults),
            ("POST", "/_emu/faults", self._add_fault),
            ("DELETE", "/_emu/faults", _clear_faults),
            ("GET", "/_emu/model", _recorded_model),
            ("POST", "/_emu/model", self._add_model_rules),
            ("GET", "/_emu/upstreams/{name}/requests", _upstream_requests),
            ("PUT", "/_emu/upstreams/{name}/forward", _forward_upstream),
            ("POST", "/_emu/passports", self._mint_passport),
            ("GET", "/_emu/checkout/{session_id}", _pay_checkout),
            ("POST", "/_emu/checkout/{session_id}", _pay_checkout),
            ("GET", "/_emu/approvals", _approvals),
            ("POST", "/_emu/approvals/{approval_id}", _decide_approval),
            ("GET", "/_emu/consents", _consents),
            ("POST", "/_emu/consents/{consent_id}", _decide_consent),
            ("POST", "/_emu/signals", _raise_signal),
            ("POST", "/_emu/identity/{session_ref}", _decide_verification),
            ("POST", "/_emu/team/{member_id}/accept", _accept_invite),
            ("GET", "/_emu/snapshots", control_worlds.snapshots),
            ("PUT", "/_emu/snapshots/{snapshot}", worlds.take_snapshot),
            ("DELETE", "/_emu/snapshots/{snapshot}", control_worlds.remove_snapshot),
            ("GET", "/_emu/outbox", _outbox),
            ("GET", "/_emu/deliveries", self._deliveries),
            ("GET", "/_emu/received", _received),
            ("POST", "/_emu/snapshots/{snapshot}/restore", control_worlds.restore_snapshot),
            ("GET", "/_emu/verdict", _verdict),
            ("POST", "/_emu/verify", self._verify),
        ]

    async def handle(self, hosted: HostedWorld, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer one control request for a world."""
        if not is_loopback_peer(request.remote):
            return _error(403, f"The control API answers loopback peers only, not {request.remote}.")
        if is_of_another_page(request):
            return _error(403, "The control API is not for web pages of other origins, on this machine or elsewhere.")
        found = self._routes.match(request.method, path)
        if found is None:
            return _error(404, f"{request.method} {path} is not part of the control API; see GET /_emu/health.")
        handler, params = found
        # What a client calls this server, and the world its URL names: that one need not be there yet.
        asked = {
            "authority": f"{request.scheme}://{request.host}",
            "world": request.get(WORLD_NAME_KEY, hosted.world.name),
        }
        try:
            body = await read_object(request)
            result = handler(hosted, {**request.rel_url.query, **body}, {**params, **asked})
            if isinstance(result, Awaitable):
                result = await result
        except ControlError as error:
            return _error(error.status, str(error))
        except ScenarioError as error:
            return _error(400, f"The scenario has mistakes:\n{error}")
        except WorldError as error:
            return _error(400, str(error))
        except Fault as fault:
            return _error(fault.status, fault.message)
        if isinstance(result, Download):
            return await self._in_pieces(hosted.world, request, path, result)
        return json_response(result)

    @staticmethod
    async def _in_pieces(world: World, request: web.BaseRequest, path: str, reply: Download) -> web.StreamResponse:
        def entry() -> Entry:
            return world.journal.add(world.now_ms(), "control", request.method, path, status=200)

        pieces = screened_pieces(world, entry, reply, f"the reply to {request.method} {path}")
        return await send_download(request, pieces, headers_of(reply))

    def _health(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        from stack_emu import __version__

        registry = self._server.hosting.registry
        return {
            "status": "ok",
            "name": "stack-emu",
            "version": __version__,
            "worlds": sorted(item.world.name for item in self._server.hosting),
            "open": self._server.open_things(),
            "operations": len(registry.operations),
            "tools": len(registry.tools),
            "control": sorted({f"{method} {path}" for method, path, _ in self._table()}),
        }

    def _document(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """The API as an OpenAPI document."""
        from stack_emu import __version__
        from stack_emu.surfaces.control_document import control_document

        return control_document(__version__, [f"{method} {path}" for method, path, _ in self._table()])

    async def _mint_passport(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """Mint a passport as the scenario's first operator would: in a given mission, or in a new one."""
        operations = self._server.hosting.registry.operations
        if not body.get("agent"):
            raise ControlError('agent is missing: send {"agent": id or name}.')
        agent_id = _agent_id(hosted, str(body["agent"]))
        services = body.get("services")
        summary = body.get("intent") or "Test"
        intent = {"summary": summary, "services": services if services is not None else _granted(hosted, agent_id)}
        fields: dict[str, Any] = {"intent": intent}
        if "ttl" in body:
            fields["ttl_seconds"] = milliseconds(body, "ttl") // 1000
        if "mission" in body:
            raw = {"agent_id": agent_id, "mission_ids": [body["mission"]], **fields}
            return dump(
                await perform(hosted.world, self._call(hosted, operations["passports.issue"], raw), self._server.spawn)
            )
        mission = {"intent_summary": summary, "intent_services": intent["services"]}
        raw = {"agent_id": agent_id, "mission": mission, "passport": fields}
        started = dump(
            await perform(hosted.world, self._call(hosted, operations["missions.start"], raw), self._server.spawn)
        )
        return {**started["passport"], "mission_id": started["mission_id"]}

    def _add_fault(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        names = hosted.world.settings["upstreams"].names
        rule = fault_of(body, names, self._server.scenarios.vocabulary())
        hosted.world.faults.add(fault_rule(rule, "added"))
        return {"rules": len(hosted.world.faults)}

    def _verify(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        names = hosted.world.settings["upstreams"].names
        found = unmet(hosted, expectation_of(body, names, self._server.scenarios.vocabulary()))
        shown = hosted.world.redactor.value([asdict(one) for one in found])
        return {"ok": not found, "unmet": shown}

    def _add_model_rules(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        rules = model_rules_of(body, self._server.scenarios.vocabulary())
        learn_script_keys(hosted.world, rules)
        hosted.model_rules[:0] = rules
        return {"rules": len(hosted.model_rules)}

    @staticmethod
    def _call(hosted: HostedWorld, declared: Operation, raw: Mapping[str, Any]) -> Call:
        return Call(declared, Caller("operator", hosted.scenario.operators[0].id, "key:0"), raw)

    async def _advance(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        return await control_clock.advance(self._server.hosting.sender, hosted, milliseconds(body, "by"))

    async def _deliveries(self, hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
        """What was sent to webhooks; attempts under way are waited for."""
        from stack_emu.domain import deliveries

        await self._server.hosting.sender.drain(hosted.world)
        return {"deliveries": [deliveries.as_json(item) for item in deliveries.deliveries(hosted.world)]}


def _outbox(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain import outbox

    return {"messages": [outbox.as_json(message) for message in outbox.messages(hosted.world)]}


def _received(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain import inbound_receive

    return {"messages": [inbound_receive.as_json(message) for message in inbound_receive.received(hosted.world)]}


def is_loopback_peer(remote: str | None) -> bool:
    """Whether a request came from this machine."""
    if remote is None:
        return True  # a connection handed over inside the process
    try:
        return ipaddress.ip_address(remote.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _error(status: int, message: str) -> web.Response:
    return json_response({"error": {"code": "CONTROL", "message": message, "details": {}}}, status)


def _agent_id(hosted: HostedWorld, reference: str) -> str:
    agents = [agent for agent in hosted.world.store.all(Agent) if not agent.deleted]
    for agent in agents:
        if reference in (agent.id, agent.name):
            return agent.id
    known = ", ".join(agent.name for agent in agents) or "none"
    raise ControlError(f"There is no agent {reference}; this world has {known}.", 404)


def _granted(hosted: HostedWorld, agent_id: str) -> list[str]:
    connections = (
        hosted.world.store.get(Connection, grant.connection_id)
        for grant in hosted.world.store.find(Grant, agent_id=agent_id)
    )
    return list(dict.fromkeys(connection.provider for connection in connections if connection is not None))


def _recorded_model(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """What the model answered so far, as rules of a scenario."""
    return {"rules": recorded_rules(hosted)}


def _reset(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    hosted.reset()
    return {"reset": hosted.world.name}


def _journal(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    entries = [asdict(entry) for entry in hosted.world.journal.entries(surface=body.get("surface"))]
    return {"entries": entries, "overlaps": [asdict(item) for item in hosted.world.lanes.overlaps]}


def _clear_journal(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    hosted.world.journal.clear()
    return {"cleared": True}


def _audit(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    return Download(_rows_as_json(hosted.world.audit.acts().picture()), "application/json; charset=utf-8")


def _rows_as_json(acts: Iterable[ActEntry]) -> Iterator[bytes]:
    """``{"entries": [row, …]}``, some rows at a time."""
    separator, piece = '{"entries":[', ""
    for act in acts:
        for row in act.rows:
            shown = {**as_dict(row), "lane": act.lane, "operation": act.operation}
            piece += separator + json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
            separator = ","
            if len(piece) >= _PIECE:
                yield piece.encode("utf-8")
                piece = ""
    yield (piece + (separator if separator != "," else "") + "]}").encode("utf-8")


def _canonical(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain.canonical_audit import canonical_pieces

    return Download(canonical_pieces(hosted.world, order=audit_order(body)), "application/x-ndjson")


def _checkpoint(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """The canonical log's signed checkpoint, or with ``operator`` that of an account's raw chain, and the key set."""
    from stack_emu.domain.audit_checkpoints import canonical_checkpoint, checkpoint_keys, raw_checkpoint

    world, previous, operator = hosted.world, checkpoint_before(body), body.get("operator")
    if operator is None:
        text = canonical_checkpoint(world, audit_order(body), previous)
    elif world.store.get(Operator, str(operator)) is None:
        known = ", ".join(sorted(item.id for item in world.store.all(Operator)))
        raise ControlError(f"there is no operator {operator}; this world has {known}.", 404)
    else:
        text = raw_checkpoint(world, str(operator), previous)
    return {"checkpoint": text, "keys": checkpoint_keys(world)}


def _canonical_journal(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain.canonical_journal import canonical_journal

    return Download([canonical_journal(hosted.world, audit_order(body))], "application/x-ndjson")


def _faults(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Every rule with how often it met a call and fired, and what those hit that never fired."""
    faults = hosted.world.faults
    each = [
        {"rule": tally.name, "on": dict(tally.rule.on), "inject": dict(tally.rule.inject)}
        | {"seen": tally.seen, "fired": tally.fired}
        for tally in faults.tallies()
    ]
    return {"rules": len(faults), "unfired": [dict(rule.on) for rule in faults.unfired()], "each": each}


def _clear_faults(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    hosted.world.faults.clear()
    return {"rules": 0}


def _upstream_requests(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    _require_upstream(hosted, params["name"])
    return {"requests": hosted.world.settings["upstreams"].requests(hosted.world, params["name"])}


def _forward_upstream(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    url, hosts = body.get("url"), body.get("hosts") or []
    if "url" not in body or not isinstance(url, (str, type(None))):
        raise ControlError('url is missing: send {"url": "http://127.0.0.1:9000"}, or null to end a forward.')
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ControlError(f"hosts must be a list of host names, not {hosts!r}.")
    if not hosts:
        _require_upstream(hosted, params["name"], " To make a new one, send hosts as well.")
    hosted.world.settings["upstreams"].set_forward(params["name"], url, tuple(hosts))
    return {"forward": url}


def _require_upstream(hosted: HostedWorld, name: str, hint: str = "") -> None:
    known = hosted.world.settings["upstreams"].names
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise ControlError(f"There is no upstream {name}; this world has {there}.{hint}", 404)


def _approvals(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain import authority_approvals, governance, intent_approvals

    world = hosted.world
    asked = [governance.as_json(item) for item in governance.approvals(world)]
    asked += [intent_approvals.as_json(world, item) for item in intent_approvals.approvals(world)]
    asked += [authority_approvals.as_json(item) for item in authority_approvals.approvals(world)]
    return {"approvals": sorted(asked, key=lambda item: str(item["created_at"]))}


def _decide_approval(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain import authority_approvals, governance, intents

    decision = body.get("decide")
    if decision not in ("approve", "reject"):
        raise ControlError('decide must be "approve" or "reject".')
    deciders: Any = {"iap_": intents.decide, authority_approvals.PREFIX: authority_approvals.decide}
    decide = deciders.get(params["approval_id"][:4], governance.decide)
    decide(hosted.world, params["approval_id"], decision == "approve")
    return {"approval_id": params["approval_id"], "decided": decision}


def _consents(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Every sign-in that asked a person, oldest first."""
    from stack_emu.domain.oauth_consent import status_at
    from stack_emu.domain.oauth_records import ConsentRequest

    asked = [
        {
            "id": one.id,
            "kind": one.kind,
            "status": status_at(one, hosted.world.now_ms()),
            "client_id": one.client_id,
            "scopes": list(one.scopes),
            "user_code": one.user_code,
            "agent_id": one.agent_id,
            "created_at": iso(one.created_at),
            "expires_at": iso(one.expires_at),
        }
        for one in hosted.world.store.all(ConsentRequest)
    ]
    return {"consents": asked}


def _decide_consent(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Decide a consent as the person on the page would."""
    from stack_emu.domain import oauth_consent
    from stack_emu.domain.oauth_records import ConsentRequest

    decision, operator = body.get("decide"), body.get("operator")
    if decision not in ("approve", "deny"):
        raise ControlError('decide must be "approve" or "deny".')
    asked = hosted.world.store.get(ConsentRequest, params["consent_id"])
    if asked is None:
        known = ", ".join(one.id for one in hosted.world.store.all(ConsentRequest)) or "none"
        raise ControlError(f"There is no consent {params['consent_id']}; this world was asked for {known}.", 404)
    approve = decision == "approve"
    target = oauth_consent.decide(hosted.world, asked.id, approve, csrf=asked.csrf, operator_id=operator)
    return {"consent_id": asked.id, "decided": decision, "redirect": target}


def _decide_verification(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Decide a verification as the person at the provider's page would."""
    from stack_emu.domain import identity_verification

    decision = body.get("decide")
    if decision not in ("approve", "deny"):
        raise ControlError('decide must be "approve" or "deny".')
    session = identity_verification.decide(hosted.world, params["session_ref"], decision == "approve")
    return {"session_ref": session.id, "status": session.status}


def _accept_invite(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """Accept an invitation as the invited person would: the reply has the member's key."""
    from stack_emu.domain import team

    return dump(team.accept(hosted.world, params["member_id"]))


def _raise_signal(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    from stack_emu.domain import forced_signals, security_events

    event = forced_signals.raise_on_demand(hosted.world, **signal_of(body))
    return security_events.as_json(event)


def _pay_checkout(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    """What a checkout_url leads to: opening it pays."""
    from stack_emu.domain import billing, wallet

    paid = billing.pay(hosted.world, params["session_id"])
    return {
        "session_id": paid.id,
        "status": "paid",
        "amount_cents": paid.amount_cents,
        "tier": paid.tier,
        "balance_cents": wallet.balance(hosted.world, paid.operator_id),
    }


def _verdict(hosted: HostedWorld, body: Mapping[str, Any], params: Mapping[str, str]) -> Any:
    return verdict(hosted).as_dict()
