"""JSONPath queries (RFC 9535) that scenarios write, over bodies that clients send: bounded in time.

The regular expressions of ``match`` and ``search`` are run by RE2, which has all that I-Regexp (RFC 9485) has. ``..`` may
stand in a query three times, because each looks at all there is below all the one before found.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

from stack_emu.kernel import text_patterns

MAX_DESCENTS = 3
"""How often ``..`` may stand in a query."""
MAX_FOUND = 10_000
"""How many values of a body a query finds."""


def found_at(query: str, content: Any) -> list[Any]:
    """The values a query finds in a body; none in one that is not JSON data.

    Raises:
        ValueError: when the query cannot be read.
    """
    if not isinstance(content, (Mapping, list)):
        return []
    return [one.obj for one in islice(compiled(query).finditer(content), MAX_FOUND)]


@lru_cache(maxsize=256)
def compiled(query: str) -> Any:
    """A compiled query.

    Raises:
        ValueError: when it cannot be read.
    """
    import jsonpath
    from jsonpath.token import TOKEN_DDOT

    environment = _environment()
    try:
        if sum(token.kind == TOKEN_DDOT for token in environment.lexer.tokenize(query)) > MAX_DESCENTS:
            raise jsonpath.JSONPathError(f".. stands in it more than {MAX_DESCENTS} times", token=None)
        return environment.compile(query)
    except (jsonpath.JSONPathError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{query} is not a JSONPath query ({reason}); write one such as $.lines[?@.qty > 2].sku"
        ) from None


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jsonpath
    from jsonpath.filter import StringLiteral
    from jsonpath.function_extensions import ExpressionType, FilterFunction

    class Expression(FilterFunction):
        """``match`` or ``search``, run by RE2."""

        arg_types: ClassVar = [ExpressionType.VALUE, ExpressionType.VALUE]
        return_type = ExpressionType.LOGICAL

        def __init__(self, way: str) -> None:
            self.way = way

        def __call__(self, value: object, pattern: object) -> bool:
            if not isinstance(value, str) or not isinstance(pattern, str) or text_patterns.problem(pattern):
                return False
            return getattr(text_patterns.compiled(pattern), self.way)(value) is not None

    class Environment(jsonpath.JSONPathEnvironment):
        """Strict RFC 9535, with expressions that cannot take for ever, refused when they cannot be run."""

        max_recursion_depth = 1000

        def setup_function_extensions(self) -> None:
            super().setup_function_extensions()
            self.function_extensions["match"] = Expression("fullmatch")
            self.function_extensions["search"] = Expression("search")

        def validate_function_extension_signature(self, token: Any, args: list[Any]) -> list[Any]:
            given = super().validate_function_extension_signature(token, args)
            if token.value in ("match", "search") and isinstance(given[1], StringLiteral):
                problem = text_patterns.problem(given[1].value)
                if problem is not None:
                    raise jsonpath.JSONPathSyntaxError(f"{given[1].value}: {problem}", token=token)
            return given

    return Environment(strict=True)
