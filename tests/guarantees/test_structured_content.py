"""What every tool answers with over the tour holds to what it announces: its schema, its text, its hints."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from stack_emu.surfaces.mcp_schemas import WRAPPED
from stack_emu.surfaces.mcp_tools import Catalogue
from tests.guarantees.conftest import Ground
from tests.guarantees.tour import registry
from tests.guarantees.wire import McpClient

NOTED = {("stack_get_credential", "Connection")}
"""Reads that leave a mark for the emulator itself: a credential that was handed out may be seen at its agent from then on."""


class Recording(McpClient):
    """A client that keeps every tool's results."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.results: list[tuple[str, dict[str, Any]]] = []

    def post(self, method: str, params: Any, bearer: str | None) -> Any:
        response = super().post(method, params, bearer)
        if method == "tools/call" and response.status_code == 200:
            self.results.append((params["name"], response.json().get("result", {})))
        return response


def test_structured_content_holds_to_the_schema_and_repeats_the_text(ground: Ground) -> None:
    entries = Catalogue(registry()).entries
    ground.mcp.close()
    ground.mcp = client = Recording(ground.served.base_url)
    ground.take_tour(ground.over_mcp)
    judged, refused = set(), 0
    for name, result in client.results:
        if result.get("isError"):
            refused += 1
            assert "structuredContent" not in result, name
            continue
        schema = entries[name].definition.get("outputSchema")
        if schema is None:
            continue
        structured = result["structuredContent"]
        jsonschema.validate(structured, schema, jsonschema.Draft202012Validator)
        bare = structured[WRAPPED] if entries[name].wrapped else structured
        assert json.loads(result["content"][0]["text"]) == bare, name
        judged.add(name)
    documents = {"stack_export_audit", "stack_download_operator_review", "stack_download_evidence_pack"}
    assert set(entries) - judged == documents
    assert refused > 0


def test_a_tool_that_says_it_reads_only_changes_nothing(ground: Ground) -> None:
    entries = Catalogue(registry()).entries
    changed: set[tuple[str, str]] = set()

    def rows() -> dict[type, Any]:
        return {kind: dict(table.rows) for kind, table in ground.world.store.image().tables.items()}

    def watched(step: Any, raw: dict[str, Any], *bearer: str) -> Any:
        declared = registry().operations[step.operation]
        before = ground.do(rows)
        answer = ground.over_mcp(step, raw, *bearer)
        if declared.tool is not None and entries[declared.tool.name].definition["annotations"]["readOnlyHint"]:
            after = ground.do(rows)
            changed.update((declared.tool.name, kind.__name__) for kind in after if after[kind] != before.get(kind, {}))
        return answer

    ground.take_tour(watched)
    assert changed == NOTED
