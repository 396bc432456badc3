"""What the author of a request may have overlooked, where it misses a route by little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stack_emu.kernel.matching import Difference, PathTemplate, Pattern
from stack_emu.upstreams.requests import UpstreamRequest

_JSON_BEGINS = ("{", "[")


def oversights(pattern: Pattern, request: UpstreamRequest, differences: Sequence[Difference]) -> Iterator[str]:
    """Clauses about a slash too many, the case of a path, an encoded slash, a body that was not read as JSON.

    Args:
        pattern: the route's.
        request: what missed it.
        differences: how it missed it.
    """
    fields = {difference.field for difference in differences}
    if "path" in fields and isinstance(pattern.path, str):
        yield from _of_path(PathTemplate(pattern.path), request.path)
    body = request.content
    if "body" in fields and isinstance(body, str) and body.lstrip().startswith(_JSON_BEGINS):
        yield f"the body was not read as JSON, because its Content-Type is {request.content_type or 'missing'}"


def _of_path(template: PathTemplate, path: str) -> Iterator[str]:
    if template.match(path.rstrip("/") or "/") is not None:
        yield "only the slash at the end of the path is too many"
    elif template.match(path + "/") is not None:
        yield "only a slash at the end of the path is lacking"
    elif PathTemplate(template.text.lower()).match(path.lower()) is not None:
        yield "only the case of the path differs"
    elif "%2f" in path.lower() and template.match(path.replace("%2F", "/").replace("%2f", "/")) is not None:
        yield "%2F in the path is no slash"
    elif template.match(path.replace("//", "/")) is not None:
        yield "only a doubled slash in the path is too many"
