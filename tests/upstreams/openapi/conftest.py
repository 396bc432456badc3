"""Services made from the documents beside this file, and an independent judge of what they answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from openapi_schema_validator import OAS30ReadValidator, OAS31Validator, oas30_format_checker, oas31_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.upstreams.conftest import TOKEN, Service

HERE = Path(__file__).parent
CLINIC = HERE / "clinic.yaml"
RATES = HERE / "rates.yaml"
Served = Callable[..., httpx.Client]


class Judge:
    """Says whether a reply is one its document declares; it reads the document by itself, with other libraries.

    Replies are looked up by method and path template, so it needs none of the emulator's own matching.
    """

    def __init__(self, document: Path) -> None:
        self.file = document.as_uri()
        self.data = _load(self.file)
        self.old = str(self.data["openapi"]).startswith("3.0")
        self.registry: Registry[Any] = Registry(retrieve=lambda uri: DRAFT202012.create_resource(_load(uri)))
        self.judged: list[str] = []

    def judge(self, reply: httpx.Response) -> None:
        """Hold a 2xx reply against the document."""
        if not 200 <= reply.status_code < 300:
            return
        reply.read()
        operation, where = self._operation(reply.request.method, urlsplit(str(reply.request.url)).path)
        declared, file, pointer = self._step(operation, where, "responses", str(reply.status_code))
        kind = reply.headers.get("Content-Type", "").partition(";")[0]
        if "content" not in declared:
            assert reply.content == b"", f"{where}: the document declares no body"
            return
        assert kind in declared["content"], f"{where}: {kind} is not declared"
        self.judged.append(f"{reply.request.method} {where}")
        if "schema" in declared["content"][kind] and "json" in kind:
            at = f"{file}#{pointer}/content/{kind.replace('/', '~1')}/schema"
            schema = {"$ref": at}
            if self.old:
                validator = OAS30ReadValidator(schema, registry=self.registry, format_checker=oas30_format_checker)
            else:
                validator = OAS31Validator(schema, registry=self.registry, format_checker=oas31_format_checker)
            errors = [error.message for error in validator.iter_errors(reply.json())]
            assert not errors, f"{where}: {errors} in {reply.text}"

    def _operation(self, method: str, path: str) -> tuple[Mapping[str, Any], str]:
        base = urlsplit(self.data["servers"][0]["url"]).path
        fitting = [
            template
            for template in self.data["paths"]
            if re.fullmatch(base + re.sub(r"\{[^}]+\}", "[^/]+", template), path)
        ]
        template = min(fitting, key=lambda one: one.count("{"))
        return self.data["paths"][template][method.lower()], f"/paths/{template.replace('/', '~1')}/{method.lower()}"

    def _step(self, value: Mapping[str, Any], pointer: str, *keys: str) -> tuple[Mapping[str, Any], str, str]:
        for key in keys:
            value, pointer = value[key], f"{pointer}/{key}"
        ref = value.get("$ref")
        if ref is None:
            return value, self.file, pointer
        found: Any = self.data
        for key in ref.removeprefix("#/").split("/"):
            found = found[key]
        return found, self.file, ref.removeprefix("#")


def _load(uri: str) -> Any:
    return yaml.safe_load(Path(urlsplit(uri).path).read_text("utf-8"))


@pytest.fixture
def made(serve: Callable[..., Service]) -> Iterator[Callable[..., tuple[Service, httpx.Client, Judge]]]:
    """Serve a document: ``made(CLINIC, {"owners": [...]}) -> (service, client, judge)``; every 2xx reply is judged."""
    clients: list[httpx.Client] = []

    def start(
        document: Path, items: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[Service, httpx.Client, Judge]:
        service = serve("openapi", seed={"document": str(document), "items": dict(items or {})}, **options)
        judge = Judge(document)
        hooks = {"response": [judge.judge]}
        client = httpx.Client(
            base_url=service.base_url, headers={"Authorization": f"Bearer {TOKEN}"}, event_hooks=hooks
        )
        clients.append(client)
        return service, client, judge

    yield start
    for client in clients:
        client.close()
