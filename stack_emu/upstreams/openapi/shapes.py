"""Things in the shape that a schema gives them: gaps filled, and nothing shown that it does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.upstreams.openapi.values import CHANGED, CREATED, CannotMake, Maker, folded


@dataclass(frozen=True)
class Shaper:
    """Fits things to schemas of replies.

    Args:
        maker: makes what is missing.
    """

    maker: Maker

    def filled(self, schema: Any, value: Any, place: str = "value") -> Any:
        """A value with what a schema requires, presets or keeps to itself added; what is there stays.

        Raises:
            CannotMake: when something required cannot be made.
        """
        if isinstance(value, list):
            items = self._form(schema, value).get("items", {})
            return [self.filled(items, one, f"{place}[{number}]") for number, one in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        form = self._form(schema, value)
        required = form.get("required") or []
        made = dict(value)
        for name, inner in _properties(form).items():
            if name in value:
                made[name] = self.filled(inner, value[name], f"{place}.{name}")
                continue
            found = self.maker.schemas.merged(inner)
            if found.get("writeOnly"):
                continue
            if name in required or found.get("readOnly") or "default" in found or "const" in found:
                self._add(made, name, inner, found, f"{place}.{name}", name in required)
        return made

    def shown(self, schema: Any, value: Any, place: str = "value") -> Any:
        """A value as a reply of this schema shows it: filled, without fields it does not have or that are write-only.

        Raises:
            CannotMake: when it cannot be made to hold to the schema.
        """
        shown = self._cut(schema, self.filled(schema, value, place))
        if isinstance(shown, dict):
            for error in self.maker.schemas.errors(schema, shown):
                self._mend(schema, shown, error.absolute_path, place)
        if not self.maker.schemas.valid(schema, shown):
            raise CannotMake("what is kept does not hold to the schema of the reply")
        return shown

    def read_only(self, schema: Any, value: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a value that clients do not write."""
        properties = _properties(self._form(schema, value))
        schemas = self.maker.schemas
        hidden = {name for name, inner in properties.items() if schemas.is_hidden(inner, "readOnly")}
        return {name: one for name, one in value.items() if name in hidden}

    def touched(self, schema: Any, value: Mapping[str, Any]) -> dict[str, Any]:
        """A value whose read-only fields of the last change say that it was now."""
        made = dict(value)
        for name, inner in _properties(self._form(schema, value)).items():
            found = self.maker.schemas.merged(inner)
            if folded(name) in CHANGED and found.get("readOnly") and name in made:
                self._add(made, name, inner, found, f"value.{name}", needed=False)
        return made

    def _add(
        self, made: dict[str, Any], name: str, schema: Any, whole: Mapping[str, Any], place: str, needed: bool
    ) -> None:
        if whole.get("readOnly") and folded(name) in CREATED | CHANGED:
            schema = whole = {key: one for key, one in whole.items() if key not in ("example", "examples", "default")}
        try:
            if "default" in whole and self.maker.schemas.valid(schema, whole["default"]):
                made[name] = whole["default"]
            elif not whole.get("readOnly") and self.maker.schemas.valid(schema, None):
                made[name] = None  # clients could have sent it and did not
            else:
                made[name] = self.maker.make(schema, place)
        except CannotMake:
            if needed:
                raise

    def _mend(self, schema: Any, shown: dict[str, Any], path: Any, place: str) -> None:
        """Give a field that this reply shows otherwise than it was sent a value that it may have."""
        name = next(iter(path), None)
        if not isinstance(name, str) or name not in shown:
            return
        form = self._form(schema, shown)
        if name in (form.get("required") or []):
            shown[name] = self.maker.make(_properties(form).get(name, {}), f"{place}.{name}")
        else:
            del shown[name]

    def _form(self, schema: Any, value: Any) -> Mapping[str, Any]:
        """The form of a schema that a value has, or comes nearest to."""
        forms = self.maker.schemas.forms(schema)
        if len(forms) == 1:
            return forms[0]
        return min(forms, key=lambda form: _distance(self.maker, form, value))

    def _cut(self, schema: Any, value: Any) -> Any:
        if isinstance(value, list):
            items = self._form(schema, value).get("items", {})
            return [self._cut(items, one) for one in value]
        if not isinstance(value, Mapping):
            return value
        form = self._form(schema, value)
        properties = _properties(form)
        is_open = not form.get("properties") or form.get("additionalProperties", False) is not False
        return {
            name: self._cut(properties.get(name, {}), one)
            for name, one in value.items()
            if (is_open or name in properties)
            and not (name in properties and self.maker.schemas.is_hidden(properties[name], "writeOnly"))
        }


def _distance(maker: Maker, form: Mapping[str, Any], value: Any) -> tuple[int, int]:
    """How far a value is from a form; what is only missing counts less than what is wrong."""
    wrong = missing = 0
    for error in maker.schemas.errors(form, value):
        if error.validator == "required":
            missing += 1
        else:
            wrong += 1
    known = _properties(form)
    strange = sum(name not in known for name in value) if isinstance(value, Mapping) else 0
    return (wrong, missing + strange)


def _properties(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields a form knows; of those it only requires, anything will do."""
    return {**{name: {} for name in form.get("required") or ()}, **(form.get("properties") or {})}
