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
