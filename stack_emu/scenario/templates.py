"""The `{{ ... }}` expressions in scenario values: sandboxed Jinja2, strict about missing names.

Only string values that contain `{{` are rendered, anywhere inside lists and mappings. A string that is exactly one
expression keeps the type of its result, so that `"{{ result.body.count }}"` is a number. STACK's own placeholders
`{{instance_url}}` and `{{account_id}}` belong to the proxy and pass through untouched. Nothing random is on offer:
Jinja2's `random` filter and `lipsum` are removed, so that the same scenario renders the same bytes on every run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from stack_emu.scenario.problems import nearest

if TYPE_CHECKING:
    import jinja2

    from stack_emu.scenario.template_bounds import BoundedEnvironment

PLACEHOLDERS = ("instance_url", "account_id")
"""What STACK's proxy fills in itself."""

_PLACEHOLDER = re.compile(r"\{\{\s*(?:instance_url|account_id)\s*\}\}")
_PLAIN_NAME = r"(?!(?:if|else|in|is|not|and|or)\b)[A-Za-z_]\w*"
_PLAIN_EXPRESSION = rf"\{{\{{ *{_PLAIN_NAME}(?:\.{_PLAIN_NAME}|\[[0-9]+\])*(?:\('[\w-]*'\))? *\}}\}}"
_PLAIN_TEMPLATE = re.compile(rf"(?:[^{{}}%#]|{_PLAIN_EXPRESSION}|[{{}}%#](?![{{}}%#]))*")
_Render = Callable[[Mapping[str, Any]], Any]


class TemplateError(Exception):
    """A template that cannot be read or rendered; its text is one sentence."""


class Templates:
    """Renders templates and remembers the compiled ones for as long as it lives."""

    def __init__(self) -> None:
        self._compiled: dict[str, _Render] = {}
        self._environment: BoundedEnvironment | None = None

    def render(self, value: Any, variables: Mapping[str, Any]) -> Any:
        """A copy of a value with its templates rendered; the value itself when it holds none.

        Args:
            value: any JSON value.
            variables: what templates may name: JSON values and functions.

        Raises:
            TemplateError: when a template cannot be read, names what is not there, or fails.
        """
        if isinstance(value, str):
            return self._text(value, variables) if "{{" in value else value
        if isinstance(value, dict):
            return {key: self.render(part, variables) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.render(part, variables) for part in value]
        return value

    def check(self, template: str) -> str | None:
        """What is wrong with the syntax of a template, as one sentence, or None."""
        if not has_expression(template) or _PLAIN_TEMPLATE.fullmatch(template):
            return None  # what is plainly right does not cost the import of Jinja2
        try:
            self._compile(template)
        except TemplateError as error:
            return str(error)
        return None

    def _text(self, template: str, variables: Mapping[str, Any]) -> Any:
        if not has_expression(template):
            return template
        run = self._compiled.get(template)
        if run is None:
            run = self._compiled[template] = self._compile(template)
        try:
            if self._environment is not None:
                self._environment.begin()
            return _plain(run(variables))
        except TemplateError:
            raise
        except Exception as error:
            raise TemplateError(_failure(template, error, variables)) from error

    def _compile(self, template: str) -> _Render:
        import jinja2

        environment = self._environment
        if environment is None:
            environment = self._environment = _environment()
        source = _PLACEHOLDER.sub(r"{% raw %}\g<0>{% endraw %}", template)
        try:
            if _is_one_expression(environment, source):
                return _native(environment, source)
            compiled = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            message = (error.message or "it cannot be read").rstrip(".")
            raise TemplateError(f"the template {_shown(template)} cannot be read: {message}") from error
        except (RecursionError, SyntaxError, MemoryError) as error:  # of the compiler: it has limits of its own
            raise TemplateError(f"the template {_shown(template)} cannot be read: it is nested too deeply") from error

        def whole(variables: Mapping[str, Any]) -> str:
            return environment.said(compiled.generate(variables))

        return whole


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """Render once, without keeping anything; see `Templates.render`."""
    return Templates().render(value, variables)


def has_expression(text: str) -> bool:
    """Whether a text holds an expression that is not one of STACK's own placeholders."""
    return "{{" in text and "{{" in _PLACEHOLDER.sub("", text)


class _Missing(Exception):
    """A name or attribute that a template asked for and that is not there."""

    def __init__(self, name: object, owner: object, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner


def _environment() -> BoundedEnvironment:
    import jinja2
    from jinja2.utils import missing

    from stack_emu.scenario.template_bounds import BoundedEnvironment

    class Strict(jinja2.StrictUndefined):
        """Remembers what was asked for, so that the sentence can say what there is instead."""

        __slots__ = ()

        def __init__(
            self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None
        ) -> None:
            super().__init__(hint, obj, name, exc or jinja2.UndefinedError)
            owner = None if obj is missing else obj
            raised: Any = partial(_Missing, name, _Global if obj is missing else owner)
            self._undefined_exception = raised

    environment = BoundedEnvironment(undefined=Strict, keep_trailing_newline=True, autoescape=False)
    environment.filters.pop("random")
    environment.globals.pop("lipsum")
    as_json = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    environment.filters["tojson"] = environment.checked("tojson", as_json)
    return environment


class _Global:
    """Stands for the template's variables as the owner of a missing name."""


def _is_one_expression(environment: jinja2.Environment, source: str) -> bool:
    """Whether a template is `{{ expression }}` and nothing else."""
    import jinja2.nodes

    if not (source.startswith("{{") and source.endswith("}}")):
        return False
    body = environment.parse(source).body
    if len(body) != 1 or not isinstance(body[0], jinja2.nodes.Output) or len(body[0].nodes) != 1:
        return False
    return not isinstance(body[0].nodes[0], jinja2.nodes.TemplateData)


def _native(environment: BoundedEnvironment, source: str) -> _Render:
    inner = source[2:-2].strip("-+")
    expression = partial(_call, environment.compile_expression(inner.strip(), undefined_to_none=False))
    if _PLAIN_TEMPLATE.fullmatch(source):
        return expression  # a value as it came makes nothing larger
    return lambda variables: environment.weighed(expression(variables))


def _call(expression: Callable[..., Any], variables: Mapping[str, Any]) -> Any:
    return expression(**variables)


def _plain(value: Any) -> Any:
    """The result as a JSON value.

    Raises:
        _Missing: when the result is a name that is not there.
        TypeError: when the result is something JSON cannot hold.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "_fail_with_undefined_error"):
        value._fail_with_undefined_error()
    if callable(value):
        raise TypeError("it gives a function, not a value; call it with ( )")
    raise TypeError(f"it gives a {type(value).__name__}, which JSON cannot hold; add | list or | string")


def _failure(template: str, error: Exception, variables: Mapping[str, Any]) -> str:
    """One sentence about a template that failed while rendering."""
    if not isinstance(error, _Missing):
        return f"the template {_shown(template)} failed: {error}"
    owner: Any = variables if error.owner is _Global else error.owner
    available = sorted(str(name) for name in owner) if isinstance(owner, Mapping) else []
    place = "" if error.owner is _Global else f" in {_described(owner)}"
    close = nearest(str(error.name), available)
    listed = ", ".join(available[:20]) + (", …" if len(available) > 20 else "") or "nothing"
    hint = f"did you mean {close}? available: {listed}" if close else f"available: {listed}"
    return f"the template {_shown(template)} asks for {error.name}, which is not there{place}; {hint}"


def _described(owner: object) -> str:
    if isinstance(owner, Mapping):
        return "that mapping"
    if isinstance(owner, (list, tuple)):
        return f"a list of {len(owner)}"
    return "nothing" if owner is None else f"a {type(owner).__name__}"


def _shown(template: str) -> str:
    flat = " ".join(template.split())
    return f'"{flat}"' if len(flat) <= 120 else f'"{flat[:117]}…"'
