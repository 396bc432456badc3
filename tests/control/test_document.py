"""The control API's OpenAPI document: it is valid, names every route, and every reply is as it says."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from stack_emu.client import ControlConnection, EmulatorClient, EmulatorError, WorldClient
from stack_emu.surfaces.control_document import ROUTES, control_document
from tests.conftest import Served

SIGN_IN = """
stack_emu: 1
seed: 4
operator: {id: op_in, keys: [{key: sk_live_emu_in}]}
oauth: {consent: page, clients: [{id: cli_demo, redirect_uris: ["http://127.0.0.1/callback"]}]}
"""


def test_the_document_is_valid_and_has_every_route(control: ControlConnection) -> None:
    document = control.json("GET", "/_emu/openapi.json")
    validate(document)
    routes = control.json("GET", "/_emu/health")["control"]
    assert sorted(f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each) == routes
    assert sorted(ROUTES) == routes, "no entry is left over"
    ids = [operation["operationId"] for each in document["paths"].values() for operation in each.values()]
    assert len(set(ids)) == len(ids)
    assert control.json("GET", "/w/default/_emu/openapi.json") == document


def test_a_route_without_an_entry_is_noticed() -> None:
    with pytest.raises(KeyError):
        control_document("1", ["GET /_emu/nothing"])


def test_a_refusal_is_as_the_document_says(control: ControlConnection, served: Served) -> None:
    schema = control.json("GET", "/_emu/openapi.json")["components"]["schemas"]["Error"]
    for method, path, body in (
        ("POST", "/worlds", {}),
        ("GET", "/diff?against=x", None),
        ("DELETE", "/snapshots/x", None),
    ):
        reply = httpx.request(method, f"{served.base_url}/_emu{path}", json=body, trust_env=False)
        assert reply.status_code in (400, 404)
        jsonschema.validate(reply.json(), schema)


def test_a_person_s_consent_is_decided_from_a_test(emulator: EmulatorClient, tmp_path: Path) -> None:
    world = emulator.create_world("sign-in", scenario_yaml=SIGN_IN)
    assert world.consents.all() == []
    reply = httpx.post(f"{world.base_url}/oauth/device_authorization", data={"client_id": "cli_demo"}, trust_env=False)
    asked = reply.json()
    (consent,) = world.consents.pending()
    assert (consent["kind"], consent["status"], consent["client_id"]) == ("device", "pending", "cli_demo")
    assert consent["user_code"] == asked["user_code"]

    def poll(device: WorldClient) -> httpx.Response:
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": asked["device_code"]}
        return httpx.post(f"{device.base_url}/oauth/token", data={**grant, "client_id": "cli_demo"}, trust_env=False)

    assert poll(world).json()["error"] == "authorization_pending"
    assert world.consents.approve(consent["id"]) is None
    world.clock.advance("10s")
    token = poll(world).json()
    assert token["token_type"] == "Bearer"
    assert world.consents.pending() == []
    with pytest.raises(EmulatorError, match="This request is approved"):
        world.consents.deny(consent["id"])
    with pytest.raises(EmulatorError, match="There is no consent ocr_x; this world was asked for ocr_"):
        world.consents.approve("ocr_x")
    assert json.loads(world.raw("GET", "/consents"))["consents"][0]["status"] == "approved"
