"""Pydantic's validation errors in sentences for the author of a scenario."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from stack_emu.scenario import composition, fault_models, upstream_models, values, world_models
from stack_emu.scenario.models import Scenario
from stack_emu.scenario.problems import Location, nearest, shortened, suggestion

PATTERN_HINTS = {
    values.ID_PATTERN: "use letters, digits, _, - and . only, such as agent_deploy_bot",
    values.HOST_PATTERN: "write a host name alone, in lower case, such as slack.com or *.slack.com",
    world_models.AGENT_NAME_PATTERN: "use 2 to 64 lower-case letters, digits and inner hyphens, such as deploy-bot",
    world_models.KEY_PATTERN: "a key is sk_live_ and then letters, digits, _ or -, such as sk_live_emu_acme",
    world_models.ENV_PATTERN: "use letters, digits and _, not starting with a digit, such as STACK_PASSPORT",
    world_models.MISSION_ID_PATTERN: "a mission's id starts with ms_, such as ms_deploy",
    upstream_models.PATH_PATTERN: "a path starts with /, such as /api/chat.postMessage",
    upstream_models.BASE64_PATTERN: "this is not base64; encode the bytes, or use text",
    upstream_models.SIGNAL_PATTERN: "a signal is written in lower case, such as scope_drift",
    fault_models.CODE_PATTERN: "an error code is written in capitals, such as TIER_LIMIT_EXCEEDED, "
    "or is a type of the Messages API, such as overloaded_error",
}
"""What to write instead of a text that does not match, by the pattern it should match."""

SECRET_KEYS = {"key", "text", "fields", "credential", "as"}
"""Keys whose values are not repeated in messages."""

_Error = Mapping[str, Any]


def explain(error: _Error) -> tuple[Location, str, bool]:
    """One of pydantic's errors as a location, a sentence, and whether the key rather than the value is to blame."""
    location: Location = tuple(error["loc"])
    kind = error["type"]
    if location and location[-1] == "[key]":
        location = location[:-1]
        return location, _SENTENCES.get(kind, _other)(error, location), True
    if kind == "missing":
        return location[:-1], _missing(error, location), False
    if kind == "both_forms":
        return (*location, error["ctx"]["key"]), error["msg"], True
    return location, _SENTENCES.get(kind, _other)(error, location), kind == "extra_forbidden"


def known_keys(location: Location) -> list[str]:
    """The keys a mapping at this location may have; empty when there is no such mapping or it is free."""
    model = _model_at(location)
    if model is None:
        return []
    own = [field.alias or name for name, field in model.model_fields.items()]
    composing = composition.KEYS if model is Scenario else ()
    return [*own, *model.short_forms, *composing]


def show(value: object, location: Location) -> str:
    """A value as its author wrote it, shortened; a secret only by its type."""
    if any(part in SECRET_KEYS for part in location):
        return "the value"
    if isinstance(value, str) and len(value) <= 60:
        return repr(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _model_at(location: Location) -> type[values.Model] | None:
    annotation: Any = Scenario
    for part in location:
        annotation = _step(_unwrapped(annotation), part)
    found = _unwrapped(annotation)
    return found if isinstance(found, type) and issubclass(found, values.Model) else None


def _step(annotation: Any, part: str | int) -> Any:
    """The type one key or position further down."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return arguments[0]
    if origin is dict:
        return arguments[1]
    if not (isinstance(annotation, type) and issubclass(annotation, values.Model)):
        return None
    by_key = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
    return by_key.get(str(part))


def _unwrapped(annotation: Any) -> Any:
    """The type behind `Annotated` and `| None`."""
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            annotation = arguments[0]
        elif origin is Union or origin is types.UnionType:
            annotation = next(choice for choice in arguments if choice is not types.NoneType)
        else:
            return annotation


def _description(location: Location) -> str:
    model = _model_at(location[:-1])
    if model is None:
        return ""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    field = fields.get(str(location[-1]))
    return (field.description or "") if field is not None else ""


def _missing(error: _Error, location: Location) -> str:
    if location == ("stack_emu",):
        return "the version of the format is missing; begin with stack_emu: 1"
    description = _description(location).rstrip(".")
    about = f" ({description[:1].lower()}{description[1:]})" if description else ""
    return f"{location[-1]} is missing; add it{about}"


def _unknown(error: _Error, location: Location) -> str:
    key = str(location[-1])
    return f"unknown key {shortened(key)}; {suggestion(key, known_keys(location[:-1]), 'known keys are')}"


def _text(error: _Error, location: Location) -> str:
    value = error["input"]
    if value is None:
        return "there is no text here; write one, or remove the key"
    if isinstance(value, (bool, int, float)):
        how = "put it in quotes" if set(location) & SECRET_KEYS else f'write "{json.dumps(value)}" in quotes'
        return f"{show(value, location)} is not text; {how}"
    return f"text is needed here, not {_kind(value)}"


def _whole_number(error: _Error, location: Location) -> str:
    return f"a whole number is needed here, not {_seen(error['input'], location)}"


def _true_or_false(error: _Error, location: Location) -> str:
    return f"true or false is needed here, not {_seen(error['input'], location)}"


def _choice(error: _Error, location: Location) -> str:
    value = error["input"]
    expected = _choices(location) or re.findall("'([^']*)'", str(error["ctx"]["expected"]))
    if location == ("stack_emu",):
        return f"{show(value, location)} is not a version this release reads; write stack_emu: 1"
    close = nearest(value, expected) if isinstance(value, str) else None
    listed = ", ".join(expected)
    if len(expected) == 1:
        return f"{show(value, location)} cannot stand here; write {listed}"
    return f"{show(value, location)} is not one of {listed}" + (f"; did you mean {close}?" if close else "")


def _choices(location: Location) -> list[str]:
    model = _model_at(location[:-1])
    if model is None:
        return []
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    return [str(choice) for choice in get_args(_unwrapped(fields.get(str(location[-1]))))]


def _pattern(error: _Error, location: Location) -> str:
    hint = PATTERN_HINTS.get(error["ctx"]["pattern"], f"it must match {error['ctx']['pattern']}")
    shown = location[-1] if error["loc"][-1] == "[key]" else show(error["input"], location)
    return f"{shown} cannot stand here; {hint}"


def _long_text(error: _Error, location: Location) -> str:
    return f"the text has {len(error['input'])} characters; at most {error['ctx']['max_length']} are allowed"


def _short_text(error: _Error, location: Location) -> str:
    least = error["ctx"]["min_length"] if "ctx" in error else 1
    if least == 1:
        return "the text is empty; write one, or remove the key"
    return f"the text is too short; write at least {least} characters"


def _long_list(error: _Error, location: Location) -> str:
    return f"there are {len(error['input'])} entries; at most {error['ctx']['max_length']} are allowed"


def _empty_list(error: _Error, location: Location) -> str:
    return "at least one entry is needed here; add one, or remove the key"


def _too_small(error: _Error, location: Location) -> str:
    return f"{show(error['input'], location)} is too small; the least is {error['ctx']['ge']}"


def _too_big(error: _Error, location: Location) -> str:
    return f"{show(error['input'], location)} is too big; the most is {error['ctx']['le']}"


def _mapping(error: _Error, location: Location) -> str:
    if _model_at(location) is world_models.Credential:
        return "a credential is canary, a text in quotes, or a mapping with text, fields or expires"
    keys: Iterable[str] = known_keys(location)
    listed = f" with keys such as {', '.join(list(keys)[:4])}" if keys else ""
    if error["input"] is None:
        return f"there is nothing here; write a mapping{listed}, or remove the key"
    return f"a mapping{listed} is needed here, not {_kind(error['input'])}"


def _list(error: _Error, location: Location) -> str:
    if error["input"] is None:
        return "there is nothing here; write a list, [] for an empty one, or remove the key"
    return f"a list is needed here, not {_kind(error['input'])}; put - before each entry"


def _own_sentence(error: _Error, location: Location) -> str:
    return str(error["ctx"]["error"])


def _other(error: _Error, location: Location) -> str:
    return str(error["msg"])


def _seen(value: object, location: Location) -> str:
    return show(value, location) if isinstance(value, (str, bool, int, float)) else _kind(value)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"


_SENTENCES: Mapping[str, Callable[[_Error, Location], str]] = types.MappingProxyType(
    {
        "extra_forbidden": _unknown,
        "string_type": _text,
        "int_type": _whole_number,
        "bool_type": _true_or_false,
        "literal_error": _choice,
        "string_pattern_mismatch": _pattern,
        "string_too_long": _long_text,
        "string_too_short": _short_text,
        "too_long": _long_list,
        "too_short": _empty_list,
        "greater_than_equal": _too_small,
        "less_than_equal": _too_big,
        "model_type": _mapping,
        "dict_type": _mapping,
        "tuple_type": _list,
        "value_error": _own_sentence,
    }
)
