"""`/openapi.json` describes the REST surface as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from stack_emu import __version__
from stack_emu.domain.families import registry
from tests.conftest import KEY, Served

WORLD = """
stack_emu: 1
agents: [{id: agent_clerk, name: clerk, accountability_mode: logged}]
services: [{id: scon_orders, provider: orders, scopes: [read], grants: [{agent: agent_clerk}]}]
missions: [{id: ms_day, agent: agent_clerk, intent: Look orders up, services: [orders]}]
"""
BEARER = {"Authorization": f"Bearer {KEY}"}
TAIL = re.compile(r"\{(\w+)\+\}")


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve(WORLD)


@pytest.fixture
def spec(served: Served) -> dict[str, Any]:
    reply = httpx.get(f"{served.base_url}/openapi.json", trust_env=False)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = reply.json()
    return found


def test_it_is_a_valid_openapi_3_1_document(spec: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(spec).validate()
    assert spec["openapi"] == "3.1.0"
    assert spec["info"]["version"] == __version__
    assert "not made by or affiliated" in spec["info"]["description"]


def test_every_rest_route_stands_in_it_and_nothing_else(spec: dict[str, Any]) -> None:
    declared = {
        (item.rest.method.lower(), TAIL.sub(r"{\1}", path))
        for item in registry()
        if item.rest is not None
        for path in (item.rest.path, *item.rest.aliases)
    }
    described = {(method, path) for path, methods in spec["paths"].items() for method in methods}
    assert described == declared


def test_operations_are_called_what_they_are_called_everywhere(spec: dict[str, Any]) -> None:
    ids = [
        item["operationId"] for methods in spec["paths"].values() for item in methods.values() if "operationId" in item
    ]
    assert sorted(ids) == sorted(item.name for item in registry() if item.rest is not None)
    for methods in spec["paths"].values():
        for item in methods.values():
            assert ("operationId" in item) != item.get("deprecated", False)


def test_parameters_stand_where_they_are_read(spec: dict[str, Any]) -> None:
    export = spec["paths"]["/v1/audit/export"]["get"]
    assert {(item["name"], item["in"]) for item in export["parameters"]} == {
        ("from", "query"),
        ("to", "query"),
        ("agent_id", "query"),
        ("passport_jti", "query"),
        ("action", "query"),
        ("format", "query"),
    }
    proxy = spec["paths"]["/v1/proxy"]["post"]
    assert {(item["name"], item["in"]) for item in proxy["parameters"]} == {
        ("X-Passport-Token", "header"),
        ("X-Intent-Approval-Id", "header"),
        ("X-STACK-Authority-Request-Id", "header"),
    }
    body = proxy["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"service", "url", "method", "headers", "body", "query"}
    assert {"service", "url"} <= set(body["required"])
    agent = spec["paths"]["/v1/agents/{agent_id}"]["get"]
    assert [(item["name"], item["in"], item["required"]) for item in agent["parameters"]] == [
        ("agent_id", "path", True)
    ]
    assert "requestBody" not in agent


def test_every_parameter_and_field_is_described(spec: dict[str, Any]) -> None:
    silent = []
    for path, methods in spec["paths"].items():
        for method, item in methods.items():
            parts = [(entry["name"], entry) for entry in item["parameters"]]
            body = item.get("requestBody", {"content": {"application/json": {"schema": {}}}})
            [media] = body["content"].values()
            parts += media["schema"].get("properties", {}).items()
            silent += [f"{method} {path} {name}" for name, entry in parts if not entry.get("description")]
            if not item["summary"]:
                silent.append(f"{method} {path}")
    assert silent == []


def test_security_names_every_credential_with_its_role_and_scope(spec: dict[str, Any]) -> None:
    register = spec["paths"]["/v1/agents/register"]["post"]
    assert {"operator": []} in register["security"]
    assert {"member": ["standard"]} in register["security"]
    assert {"oauth": ["agents:write"]} in register["security"]
    assert not any("passport" in item for item in register["security"])
    assert spec["paths"]["/v1/passports/verify"]["post"]["security"] == []
    assert {kind for item in register["security"] for kind in item} <= set(spec["components"]["securitySchemes"])


def resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": spec["components"]}


@pytest.mark.parametrize(
    ("method", "path", "template", "body", "status"),
    [
        ("POST", "/v1/agents/register", None, {"name": "new"}, 201),
        ("GET", "/v1/agents", None, None, 200),
        ("GET", "/v1/agents/agent_clerk", "/v1/agents/{agent_id}", None, 200),
        ("GET", "/v1/agents/agent_clerk/permissions", "/v1/agents/{agent_id}/permissions", None, 200),
        ("GET", "/v1/services/connected", None, None, 200),
        ("GET", "/v1/missions", None, None, 200),
        ("GET", "/v1/missions/ms_day", "/v1/missions/{mission_id}", None, 200),
        ("GET", "/v1/audit", None, None, 200),
        ("GET", "/v1/audit/verify-chain", None, None, 200),
        ("GET", "/v1/proxy/usage", None, None, 200),
        ("GET", "/v1/.well-known/jwks.json", None, None, 200),
        ("POST", "/v1/missions/ms_day/renew", "/v1/missions/{mission_id}/renew", {}, 200),
    ],
)
def test_replies_have_the_described_form(
    served: Served, spec: dict[str, Any], method: str, path: str, template: str | None, body: Any, status: int
) -> None:
    reply = httpx.request(method, served.base_url + path, json=body, headers=BEARER, trust_env=False)
    assert reply.status_code == status
    described = spec["paths"][template or path][method.lower()]["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(resolved(spec, schema)).validate(reply.json())


def test_errors_have_the_described_form(served: Served, spec: dict[str, Any]) -> None:
    schema = resolved(spec, spec["components"]["schemas"]["Error"])
    for path, headers in (("/v1/agents", {}), ("/v1/agents/none", BEARER), ("/v1/nothing", BEARER)):
        reply = httpx.get(served.base_url + path, headers=headers, trust_env=False)
        assert reply.status_code >= 400
        jsonschema.Draft202012Validator(schema).validate(reply.json())


def test_each_world_answers_with_its_own_url(served: Served) -> None:
    httpx.post(f"{served.base_url}/_emu/worlds", json={"name": "blue"}, trust_env=False).raise_for_status()
    there = f"{served.base_url}/w/blue"
    assert httpx.get(f"{there}/openapi.json", trust_env=False).json()["servers"] == [{"url": there}]
    assert httpx.get(f"{there}/", trust_env=False).json()["openapi"] == f"{there}/openapi.json"
    assert httpx.post(f"{there}/openapi.json", trust_env=False).status_code == 501
