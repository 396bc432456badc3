"""The sandbox templates are rendered in: no escape from it, and no template that takes all time or memory there is.

Values have a largest size, loops a number of rounds for the whole of a rendering, and what a template says a length.
Statements that could call themselves, or keep what they say to themselves, are not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

MAX_REPEAT = 100_000
"""The most repetitions of a text or list, and the widest a text is made."""
MAX_SIZE = 10_000_000
"""The longest text or list, in characters or elements."""
MAX_BITS = 100_000
"""The largest whole number."""
MAX_ROUNDS = 100_000
"""The rounds of all loops of one rendering."""

_NOT_THERE: dict[type[nodes.Node], str] = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.AssignBlock: "set without =",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Include: "include",
    nodes.Extends: "extends",
    nodes.Block: "block",
}
_WIDTH = re.compile(r"[0-9]{6,}")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox with limits; ``begin`` comes before each rendering."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rounds = 0
        for name, function in list(self.filters.items()):
            self.filters[name] = _checked(function)
        self.filters["within_rounds"] = self._counted
        self.filters["within_size"] = bounded

    def begin(self) -> None:
        """Begin a rendering."""
        self._rounds = MAX_ROUNDS

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(tuple(_NOT_THERE)):
            word = next(word for kind, word in _NOT_THERE.items() if isinstance(node, kind))
            raise TemplateSyntaxError(f"there is no {{% {word} %}} here", node.lineno, name, filename)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise TemplateSyntaxError("loops cannot be recursive here", loop.lineno, name, filename)
            loop.iter = nodes.Filter(loop.iter, "within_rounds", [], [], None, None, lineno=loop.lineno)
            loop.iter.set_environment(self)
        for kept in tree.find_all(nodes.Assign):
            kept.node = nodes.Filter(kept.node, "within_size", [], [], None, None, lineno=kept.lineno)
            kept.node.set_environment(self)
        return tree

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self._rounds -= 1
            if self._rounds < 0:
                raise ValueError(f"its loops go round more than {MAX_ROUNDS} times")
            yield value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator's result, when it is not too big to hold."""
        _check_operands(operator, left, right)
        return bounded(SandboxedEnvironment.call_binop(self, context, operator, left, right))

    def call(self, context: Any, function: Any, *arguments: Any, **named: Any) -> Any:
        """A call's result, when what it makes of a text is not too long."""
        owner = getattr(getattr(function, "__wrapped__", function), "__self__", None)
        if isinstance(owner, str):
            _check_arguments(owner, (*arguments, *named.values()))
        return SandboxedEnvironment.call(self, context, function, *arguments, **named)


def bounded(value: Any) -> Any:
    """The value itself.

    Raises:
        ValueError: when it is too big.
    """
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("the number is too large")
    if isinstance(value, (str, list, tuple)) and len(value) > MAX_SIZE:
        raise ValueError(f"the value is longer than {MAX_SIZE}")
    return value


def pieces(rendered: Iterator[str]) -> str:
    """What a template says, piece by piece.

    Raises:
        ValueError: when it is too long.
    """
    said, length = [], 0
    for piece in rendered:
        length += len(piece)
        if length > MAX_SIZE:
            raise ValueError(f"it says more than {MAX_SIZE} characters")
        said.append(piece)
    return "".join(said)


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "%" and isinstance(left, str):
        _check_arguments(left, right if isinstance(right, tuple) else (right,))
    numbers = [side for side in (left, right) if isinstance(side, int)]
    if operator == "**" and isinstance(right, (int, float)):
        bits = left.bit_length() if isinstance(left, int) else 1
        if abs(right) > 1000 or bits * abs(right) > MAX_BITS:
            raise ValueError("the exponent is above 1000, or the number too large")
    if operator != "*":
        return
    sizes = [len(side) for side in (left, right) if isinstance(side, (str, list, tuple))]
    if sizes and numbers and sizes[0] * numbers[0] > MAX_REPEAT:
        raise ValueError(f"the repetition is longer than {MAX_REPEAT}")
    if len(numbers) == 2 and sum(number.bit_length() for number in numbers) > MAX_BITS:
        raise ValueError("the number is too large")


def _check_arguments(subject: Any, arguments: Iterable[Any]) -> None:
    """Refuse what would make a long text of a short one: wide fields, and long texts put in many places."""
    if isinstance(subject, str) and _WIDTH.search(subject) and ("%" in subject or "{" in subject):
        raise ValueError(f"a field is wider than {MAX_REPEAT}")
    size = len(subject) + 1 if isinstance(subject, (str, list, tuple, Mapping)) else 1
    for one in arguments:
        if isinstance(one, int) and not isinstance(one, bool) and abs(one) > MAX_REPEAT:
            raise ValueError(f"{one if one.bit_length() < 64 else 'the number'} is above {MAX_REPEAT}")
        width = one if isinstance(one, int) else len(one) if isinstance(one, (str, list, tuple)) else 1
        if size * abs(width) > 5 * MAX_SIZE:
            raise ValueError(f"the value would be longer than {MAX_SIZE}")
        if isinstance(one, str) and _WIDTH.search(one) and "{" in str(subject):
            raise ValueError(f"a field is wider than {MAX_REPEAT}")


_UNBOUNDED_NUMBERS = frozenset(
    {"round", "default", "d", "abs", "sum", "int", "float", "filesizeformat", "truncate", "map"}
)
"""Filters whose numbers are no widths."""


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    skip = 1 if getattr(function, "jinja_pass_arg", None) is not None else 0
    free = function.__name__.removeprefix("do_").removeprefix("sync_do_") in _UNBOUNDED_NUMBERS

    @wraps(function)
    def check(*arguments: Any, **named: Any) -> Any:
        given = arguments[skip:]
        if given and not free:
            _check_arguments(given[0], (*given[1:], *named.values()))
        return bounded(function(*arguments, **named))

    return check
