"""From a GraphQL request to Linear's reply: parsing, validation, scopes, execution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)

from stack_emu.kernel.near_words import close_matches
from stack_emu.upstreams.linear.call import LinearCall
from stack_emu.upstreams.linear.errors import LinearError, extensions, failed
from stack_emu.upstreams.linear.roots import ROOTS, scopes_of
from stack_emu.upstreams.linear.schema import resolve, schema
from stack_emu.upstreams.packs import Declined, PackContext
from stack_emu.upstreams.requests import UpstreamReply

_LIMIT, _COMPLEXITY = 5000, 3_000_000
HEADERS = {
    "X-RateLimit-Requests-Limit": str(_LIMIT),
    "X-RateLimit-Requests-Remaining": str(_LIMIT - 1),
    "X-RateLimit-Complexity-Limit": str(_COMPLEXITY),
    "X-RateLimit-Complexity-Remaining": str(_COMPLEXITY - 1),
}
"""The same on every reply: a count would depend on who came first."""

_READ = ("query", "variables", "operationName", "extensions")


def answer(context: PackContext, title: str, declined: Sequence[Declined]) -> UpstreamReply:
    """Answer a request to ``/graphql``."""
    try:
        body = context.request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        context.discard = True
        return failed(400, "The body is not a JSON object with a query")
    if not isinstance(body.get("variables") or {}, dict):
        context.discard = True
        return failed(400, "variables is not a JSON object")
    context.unread = tuple(sorted(set(body) - set(_READ)))
    try:
        document = parse(body["query"])
    except GraphQLError as error:
        return _refused(context, [error], "GRAPHQL_PARSE_FAILED")
    operation = get_operation_ast(document, body.get("operationName"))
    if operation is None:
        return _refused(context, [GraphQLError("Must provide the name of an operation in the query")], "BAD_REQUEST")
    roots = root_fields(document, operation)
    context.route = f"/graphql#{roots[0]}" if roots and roots[0] in ROOTS else "/graphql"
    unknown = next((one for one in roots if one not in ROOTS and not one.startswith("__")), None)
    if unknown is not None:
        return _unknown_root(context, title, declined, unknown)
    problems = validate(schema(), document)
    if problems:
        context.problem = "unmatched"
        context.hint = f"{title}'s fake refuses the query: {problems[0].message}"
        return _refused(context, problems, "GRAPHQL_VALIDATION_FAILED")
    for root in roots:
        if root in ROOTS and not _allowed(context, scopes_of(root)):
            return _forbidden(context, root)
    return _executed(context, document, body)


def _executed(context: PackContext, document: DocumentNode, body: dict[str, Any]) -> UpstreamReply:
    call = LinearCall(context)
    result = execute_sync(
        schema(),
        document,
        context_value=call,
        root_value={},
        variable_values=body.get("variables") or {},
        operation_name=body.get("operationName"),
        field_resolver=resolve,
    )
    assert isinstance(result, ExecutionResult)
    if result.errors and not call.done:
        context.discard = True
    if result.errors and any(one.path is None for one in result.errors):
        return _refused(context, result.errors, "BAD_USER_INPUT")
    context.unread = tuple(sorted({*context.unread, *call.ineffective}))
    data: dict[str, Any] = {"data": result.data}
    if result.errors:
        data = {"errors": [_shown(one) for one in result.errors], **data}
        context.hint = result.errors[0].message
    return UpstreamReply.of_json(data, 200, HEADERS)


def _shown(error: GraphQLError) -> dict[str, Any]:
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        raise error.original_error
    shown: dict[str, Any] = dict(error.formatted)
    if isinstance(error.original_error, LinearError):
        shown["extensions"] = error.original_error.extensions
    return shown


def root_fields(document: DocumentNode, operation: OperationDefinitionNode) -> list[str]:
    """Names of the root fields of an operation, those of fragments too."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}

    def names(chosen: SelectionSetNode, seen: frozenset[str]) -> list[str]:
        found: list[str] = []
        for one in chosen.selections:
            if isinstance(one, FieldNode):
                found.append(one.name.value)
            elif isinstance(one, InlineFragmentNode):
                found += names(one.selection_set, seen)
            elif isinstance(one, FragmentSpreadNode) and one.name.value in fragments and one.name.value not in seen:
                found += names(fragments[one.name.value].selection_set, seen | {one.name.value})
        return found

    return names(operation.selection_set, frozenset())


def _allowed(context: PackContext, scopes: tuple[str, ...]) -> bool:
    credential = context.credential
    if credential is None or credential.scopes is None:
        return True
    return any(scope in credential.scopes for scope in scopes)


def _forbidden(context: PackContext, root: str) -> UpstreamReply:
    needed = scopes_of(root)
    context.discard = True
    context.hint = f"{root} needs the scope {' or '.join(needed)}."
    return failed(403, f"Invalid scope: `{needed[0]}` required")


def _refused(context: PackContext, errors: list[GraphQLError], code: str) -> UpstreamReply:
    context.discard = True
    listed = []
    for error in errors:
        shown: dict[str, Any] = dict(error.formatted)
        shown["extensions"] = extensions(code, "graphql error", 400, error.message)
        listed.append(shown)
    return UpstreamReply.of_json({"errors": listed}, 400, HEADERS)


def _unknown_root(context: PackContext, title: str, declined: Sequence[Declined], name: str) -> UpstreamReply:
    near = close_matches(name, ROOTS, 3, 0)
    refusal = next((one for one in declined if name.lower().startswith(one.name.lower().rstrip("s"))), None)
    why = f": {refusal.reason}" if refusal is not None else ";"
    context.problem, context.discard = "unmatched", True
    context.hint = (
        f"{title}'s fake does not serve {name}{why} the nearest it serves: {', '.join(near)}. "
        "Add a route for it to the upstream, or use one of these."
    )
    candidates = [{"operation": one, "call": f"POST /graphql#{one}", "differences": []} for one in near]
    details = {
        "upstream": context.upstream,
        "nearest": candidates[0]["call"],
        "differences": [],
        "candidates": candidates,
    }
    error = {"code": "UPSTREAM_UNMATCHED", "message": context.hint, "details": details}
    return UpstreamReply.of_json({"error": error}, 501)
