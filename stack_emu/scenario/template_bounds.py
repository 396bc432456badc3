"""The sandbox templates are rendered in: no escape from it, and no template that takes all time or memory there is.

Every rendering has so many steps. Whatever goes into an operator, a filter, a test, a call or a comparison, and whatever
comes out, is weighed: its size, all it holds included as often as it is held, has a limit, and looking at it takes steps.
So does every round of a loop. What would make a long text of a short one is worked out before it is done. Statements that
could call themselves, or keep what they say to themselves, are not there.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import wraps
from itertools import chain, islice
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from stack_emu.scenario import template_sizes

STEPS = 4_000_000
"""What one rendering may take: a step for each value looked at, each 64 characters, and each part of a loop in each round."""
MAX_SIZE = 32 * 1024 * 1024
"""The largest value and the longest result, in characters; an element, a key or a number counts for eight."""
MAX_BITS = 100_000
"""The largest whole number."""
MAX_NESTING = 100
"""How many lists and mappings may lie in one another."""
MAX_TOKENS = 50_000
"""The words and signs of one template."""

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
_SIMPLE = frozenset({str, bytes, int, float, bool, type(None)})
_CONTAINERS = (dict, list, tuple, Mapping, Namespace, set, frozenset, KeysView, ValuesView, ItemsView)
_DEAR = {"pprint": 20, "urlize": 20, "sort": 4, "groupby": 4, "dictsort": 4, "wordwrap": 8}
"""Filters that take longer than looking at what they are given, and how many times."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox with limits; ``begin`` comes before each rendering."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._left = 0
        tables: tuple[dict[str, Any], ...] = (self.filters, self.tests)
        for table in tables:
            for name in list(table):
                table[name] = self.checked(name, table[name])
        self.filters["within_rounds"] = self._rounds
        self.filters["within_size"] = self.weighed

    def begin(self) -> None:
        """Begin a rendering."""
        self._left = STEPS

    def spend(self, steps: int) -> None:
        """Take some of the steps of this rendering.

        Raises:
            ValueError: when there are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise ValueError(f"it takes more than {STEPS:,} steps; let it do less, or use smaller values")

    def weighed(self, value: Any) -> Any:
        """The value itself; steps are taken for looking at it.

        Raises:
            ValueError: when it is too large or too deep, or there are no steps left.
        """
        if isinstance(value, str):
            self._weigh_text(len(value))
        elif isinstance(value, _CONTAINERS):
            self._weigh_container(value)
        elif isinstance(value, int):
            bits = value.bit_length()
            if bits > MAX_BITS:
                raise ValueError(f"a number is larger than {MAX_BITS:,} bits")
            self.spend(1 + bits // 64)
        elif isinstance(value, bytes):
            self._weigh_text(len(value))
        else:
            self.spend(1)
        return value

    def checked(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or a test that is held to the limits."""
        skip = 1 if getattr(function, "jinja_pass_arg", None) is not None else 0
        times = _DEAR.get(name, 1)

        @wraps(function)
        def check(*arguments: Any, **named: Any) -> Any:
            given = list(arguments[skip:])
            if given and name in ("join", "sum") and isinstance(given[0], Iterator):
                given[0] = list(given[0])
            for _ in range(times):
                for one in (*given, *named.values()):
                    self.weighed(one)
            if given:
                template_sizes.foresee_filter(name, given[0], given[1:], named, MAX_SIZE)
            return self._taken(function(*arguments[:skip], *given, **named))

        return check

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What ``obj.attribute`` is: a field of that name, and only then a method such as ``items``."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator's result, when it is not too large to hold."""
        self.weighed(left)
        self.weighed(right)
        template_sizes.foresee_operator(operator, left, right, MAX_SIZE, MAX_BITS)
        return self.weighed(SandboxedEnvironment.call_binop(self, context, operator, left, right))

    def call(self, context: Any, function: Any, *arguments: Any, **named: Any) -> Any:
        """What a call gives, when that is not too large to hold."""
        for one in (*arguments, *named.values()):
            self.weighed(one)
        owner = getattr(getattr(function, "__wrapped__", function), "__self__", None)
        if isinstance(owner, (str, bytes, int, float)):
            self.weighed(owner)
            template_sizes.foresee_method(str(function.__name__), owner, arguments, named, MAX_SIZE)
        return self._taken(SandboxedEnvironment.call(self, context, function, *arguments, **named))

    def said(self, pieces: Iterable[str]) -> str:
        """What a template says, of its pieces.

        Raises:
            ValueError: when it is too long.
        """
        kept, length = [], 0
        for piece in pieces:
            length += len(piece)
            if length > MAX_SIZE:
                raise ValueError(f"it says more than {MAX_SIZE:,} characters")
            kept.append(piece)
        return "".join(kept)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if sum(1 for _ in islice(self.lex(source), MAX_TOKENS + 1)) > MAX_TOKENS:
            raise TemplateSyntaxError(f"it has more than {MAX_TOKENS:,} words and signs", 1, name, filename)
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(tuple(_NOT_THERE)):
            word = next(word for kind, word in _NOT_THERE.items() if isinstance(node, kind))
            raise TemplateSyntaxError(f"there is no {{% {word} %}} here", node.lineno, name, filename)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise TemplateSyntaxError("loops cannot be recursive here", loop.lineno, name, filename)
        _Weighing().visit(tree)
        tree.set_environment(self)
        return tree

    def _rounds(self, values: Iterable[Any], cost: int) -> Iterator[Any]:
        for value in self.weighed(values):
            self.spend(cost)
            yield value

    def _taken(self, value: Any) -> Any:
        return (self.weighed(one) for one in value) if isinstance(value, Iterator) else self.weighed(value)

    def _weigh_text(self, length: int) -> None:
        if length > MAX_SIZE:
            raise ValueError(f"a text is longer than {MAX_SIZE:,} characters")
        self.spend(1 + length // 64)

    def _weigh_container(self, value: Any) -> None:
        size = steps = 0
        left: list[Iterator[Any]] = [_inner(value)]
        while left:
            for one in left[-1]:
                steps += 1
                size += 8
                kind = type(one)
                if kind in (str, bytes):
                    size += len(one)
                elif kind is int:
                    size += one.bit_length() // 4
                if size > MAX_SIZE or steps > self._left:
                    self.spend(steps)
                    raise ValueError(f"a value is larger than {MAX_SIZE:,} characters, with all it holds")
                if kind not in _SIMPLE and isinstance(one, _CONTAINERS):
                    left.append(_inner(one))
                    break
            else:
                left.pop()
            if len(left) > MAX_NESTING:
                raise ValueError(f"a value nests deeper than {MAX_NESTING} levels")
        self.spend(steps + size // 64)


def _inner(value: Any) -> Iterator[Any]:
    """What a list, a mapping or a namespace holds, keys included."""
    if isinstance(value, Namespace):
        value = object.__getattribute__(value, "_Namespace__attrs")
    return chain(value.keys(), value.values()) if isinstance(value, Mapping) else iter(value)


class _Weighing(NodeTransformer):
    """Puts the scales where values pass that no filter, call or operator sees."""

    def visit(self, node: nodes.Node, *arguments: Any, **named: Any) -> Any:
        """The node, its parts and it itself with scales."""
        self.generic_visit(node)
        if isinstance(node, nodes.Output):
            node.nodes = [one if isinstance(one, nodes.TemplateData) else _weighed(one) for one in node.nodes]
        elif isinstance(node, nodes.Concat):
            node.nodes = [_weighed(one) for one in node.nodes]
        elif isinstance(node, nodes.Compare):
            node.expr = _weighed(node.expr)
            for operand in node.ops:
                operand.expr = _weighed(operand.expr)
        elif isinstance(node, nodes.Assign):
            node.node = _weighed(node.node)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return _weighed(node)
        elif isinstance(node, nodes.For):
            cost = nodes.Const(sum(1 for _ in node.find_all(nodes.Node)), lineno=node.lineno)
            node.iter = nodes.Filter(node.iter, "within_rounds", [cost], [], None, None, lineno=node.lineno)
        return node


def _weighed(node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, "within_size", [], [], None, None, lineno=node.lineno)
