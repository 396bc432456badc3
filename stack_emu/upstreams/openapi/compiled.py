"""A document ready to answer by, and everything that would keep it from answering, found before the first call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from stack_emu.scenario.findings import DocumentProblem, DocumentReport
from stack_emu.upstreams.openapi.checking import is_checked
from stack_emu.upstreams.openapi.document import Api, Media, Operation
from stack_emu.upstreams.openapi.files import Files, read_files, stamps
from stack_emu.upstreams.openapi.kinds import Kind, Role, kinds_of
from stack_emu.upstreams.openapi.mistakes import mistakes
from stack_emu.upstreams.openapi.reading import read_api
from stack_emu.upstreams.openapi.values import CannotMake, Maker, Origin

JSON_PATCH = "application/json-patch+json"
"""A content type whose bodies are operations on the thing rather than its fields; it is not served."""

_TRIAL = Origin(b"trial", 0)


@dataclass(frozen=True)
class Compiled:
    """A document, read and tried out.

    Args:
        files: the files it consists of.
        problems: what is wrong with it.
        api: what it declares; None when it cannot be used.
        kinds: the kinds of things that are kept, by name.
        roles: what operations do to them, by the operations' titles.
    """

    files: tuple[Path, ...]
    problems: tuple[DocumentProblem, ...]
    api: Api | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)

    @property
    def error(self) -> DocumentProblem | None:
        """The first mistake that keeps it from being used."""
        return next((one for one in self.problems if one.severity == "error"), None)


def compile_document(path: str) -> Compiled:
    """Read a document; one that did not change since is not read again.

    Args:
        path: absolute path.
    """
    return _compiled(path, stamps(read_files(path).paths))


def report_of(path: str) -> DocumentReport:
    """What ``stack-emu check`` says of a document.

    Args:
        path: absolute path.
    """
    compiled = compile_document(path)
    return DocumentReport(compiled.files, compiled.problems)


@lru_cache(maxsize=64)
def _compiled(path: str, versions: tuple[tuple[str, int, int], ...]) -> Compiled:
    """A document; ``versions`` of its files are only there so that a changed one is read again."""
    del versions
    files = read_files(path)
    api = read_api(files) if not files.failed else None
    if api is None or files.failed:
        return Compiled(files.paths, tuple(files.problems))
    kinds, roles = kinds_of(api)
    for operation in api.operations:
        _try_reply(files, api, operation)
        _tell_unchecked(files, api, operation)
    compiled = Compiled(files.paths, tuple(files.problems), api, kinds, roles)
    return replace(compiled, api=None) if compiled.error is not None else compiled


def example_of(api: Api, media: Media) -> tuple[Any, bool]:
    """The first of a reply's examples that holds to its schema, and whether there is one."""
    for example in media.examples:
        if media.schema is None or api.replies.valid(media.schema, example):
            return example, True
    return None, False


def is_text(media: Media) -> bool:
    """Whether a reply is text other than JSON."""
    return media.kind.startswith("text/") or media.kind in ("application/xml", "application/yaml", "application/csv")


def _try_reply(files: Files, api: Api, operation: Operation) -> None:
    """Make the reply of success once, so that one which cannot be made is known before it is asked for."""
    assert operation.success is not None
    _, reply = operation.success
    maker = Maker(api.replies, _TRIAL)
    for media in reply.media[:1] if reply.json is None else [reply.json]:
        _, shown = example_of(api, media)
        if media.examples and media.schema is not None and media.is_json:
            wrong = mistakes(api.replies, media.schema, media.examples[0], "example")
            if wrong:
                said = "a value is made instead" if not shown else "another is used"
                files.warn(media.place, f"the example does not hold to its schema ({wrong[0]}); {said}")
        if media.is_json and media.schema is not None:
            _try(files, maker, media, operation)
        elif media.kind.endswith("xml") and not isinstance(media.examples[:1] and media.examples[0], str):
            files.error(media.place, f"no reply of {media.kind} can be made; give it an example as text")
    for name, (schema, required) in reply.headers.items():
        if required and schema is not None:
            try:
                maker.make(schema, name)
            except CannotMake as error:
                files.error(
                    operation.place, f"the header {name} of its reply cannot be made: {error}; give it an example"
                )


def _try(files: Files, maker: Maker, media: Media, operation: Operation) -> None:
    try:
        maker.make(media.schema, "reply")
    except CannotMake as error:
        files.error(media.place, f"no reply of {operation.title} can be made: {error}; give the schema an example")


def _tell_unchecked(files: Files, api: Api, operation: Operation) -> None:
    for media in operation.body or ():
        if media.kind == JSON_PATCH:
            files.warn(media.place, "JSON patches are not served; send a merge patch, or write a route")
        elif not is_checked(api.requests, media):
            files.warn(media.place, f"bodies of {media.kind} are not checked against this schema")
