"""The JSON Schema of the scenario format, for completion and hover texts in editors.

It is derived from the models, so it cannot drift from what the loader accepts. To use it, put this in the first line of
a scenario, with the path that `stack-emu schema --write scenario.schema.json` wrote to:

    # yaml-language-server: $schema=./scenario.schema.json

The bundled scenarios name the copy that is published beside them, ``scenarios/scenario.schema.json``.
The schema describes structure. References between the parts, constraint patterns and template syntax are the loader's.
"""

from __future__ import annotations

import json
from typing import Any

from stack_emu.scenario.models import Scenario
from stack_emu.scenario.values import DURATION_PATTERN, Model

SCHEMA_ID = "urn:stack-emu:scenario:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as it is published: indented JSON with a final newline."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def json_schema() -> dict[str, Any]:
    """The schema of version 1 in draft 2020-12, with the descriptions of every key."""
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        """Leaves out generated titles, and defaults, which have another form in Python than in YAML."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

        def default_schema(self, schema: Any) -> dict[str, Any]:
            generated = super().default_schema(schema)
            generated.pop("default", None)
            return generated

    generated = Scenario.model_json_schema(by_alias=True, mode="validation", schema_generator=Generator)
    definitions = generated.pop("$defs")
    models: dict[str, type[Model]] = {model.__name__: model for model in _all_models(Model)}
    for name, definition in definitions.items():
        _finish(definition, models[name])
    _finish(generated, Scenario)
    generated["properties"].update(_composing(generated["properties"]))
    credential = definitions["Credential"]
    definitions["Credential"] = {
        "description": "canary (a unique secret), the secret as text, or {fields, text, expires}.",
        "anyOf": [{"type": "string"}, credential],
    }
    latency = definitions["Latency"]
    definitions["Latency"] = {
        "description": "A duration such as 200ms, or a distribution to draw one from.",
        "anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, latency],
    }
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        **generated,
        "title": "A stack-emu scenario",
        "$defs": dict(sorted(definitions.items())),
    }


def _composing(properties: dict[str, Any]) -> dict[str, Any]:
    """The keys by which a scenario is put together; they are gone before the models see it."""
    paths = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    scalar = {"type": ["string", "number", "boolean", "null"]}
    # What an overlay holds is a scenario without its required key.
    overlay = {
        "type": "object",
        "properties": {
            **{key: {"$ref": f"#/properties/{key}"} for key in properties},
            **{key: {"$ref": f"#/properties/{key}"} for key in ("variables", "replace", "drop")},
        },
        "additionalProperties": False,
    }
    return {
        "extends": {
            "description": "Scenarios this one builds on, relative to this file; what stands here wins.",
            "examples": ["../base.yaml"],
            **paths,
        },
        "overlays": {
            "description": "Parts of a scenario by name, laid over it by --overlay NAME.",
            "examples": [{"ci": {"clock": {"mode": "virtual"}}}],
            "type": "object",
            "additionalProperties": overlay,
        },
        "variables": {
            "description": "Values that ${name} stands for in every text; --set NAME=VALUE gives another.",
            "examples": [{"channel": "engineering"}],
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
            "additionalProperties": scalar,
        },
        "replace": {
            "description": "Paths whose value here stands in place of the extended one instead of being merged with it.",
            "examples": [["faults", "upstreams.slack.routes"]],
            **paths,
        },
        "drop": {
            "description": "Paths of what is extended and not wanted, with ids or names of things in lists.",
            "examples": [["agents.scribe"]],
            **paths,
        },
    }


def _all_models(base: type[Model]) -> list[type[Model]]:
    return [found for model in base.__subclasses__() for found in (model, *_all_models(model))]


def _finish(definition: dict[str, Any], model: type[Model]) -> None:
    """Add the keys that are short for a list of one, and drop the generated title."""
    definition.pop("title", None)
    properties = definition["properties"]
    for name, field in model.model_fields.items():
        properties[field.alias or name].setdefault("description", field.description)
    for described in properties.values():
        if "patternProperties" in described:
            described["additionalProperties"] = False
    for singular, plural in model.short_forms.items():
        about = f"One entry of {plural}. {properties[plural].get('description', '')}".strip()
        properties[singular] = {"description": about, **_entry(properties[plural])}
        definition.setdefault("allOf", []).append({"not": {"required": [singular, plural]}})


def _entry(schema: dict[str, Any]) -> dict[str, Any]:
    entry = schema["items"]
    assert isinstance(entry, dict)
    return entry
