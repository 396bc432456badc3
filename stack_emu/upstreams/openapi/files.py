"""The files of an OpenAPI document: read with the place of every value, and their references followed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from json import JSONDecodeError
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from stack_emu.kernel import strict_json
from stack_emu.scenario.findings import DocumentProblem
from stack_emu.scenario.positions import Mark, Node
from stack_emu.scenario.problems import nearest
from stack_emu.scenario.yaml_reader import BIG_NUMBER, compose

MAX_BYTES = 16 * 1024 * 1024
"""The size above which a file is not read."""

MAX_FILES = 200
"""Most files a document may consist of."""

_LITERAL = frozenset({"example", "default", "enum", "const"})
_NAMED = frozenset(
    {"properties", "patternProperties", "schemas", "$defs", "definitions", "dependentSchemas", "responses"}
    | {"parameters", "headers", "requestBodies", "paths", "pathItems", "callbacks", "webhooks", "content"}
)
_INT = re.compile(r"[-+]?[0-9]+")


@dataclass(frozen=True)
class At:
    """A value of a document, and where it stands.

    Args:
        file: absolute path of its file.
        pointer: the keys and list positions that lead to it, as text.
        value: the value as JSON data.
    """

    file: str
    pointer: tuple[str, ...]
    value: Any

    def get(self, key: str) -> At | None:
        """The value under a key of a mapping, or None when there is none."""
        if not isinstance(self.value, dict) or key not in self.value:
            return None
        return At(self.file, (*self.pointer, key), self.value[key])

    def items(self) -> Iterator[tuple[str, At]]:
        """The entries of a mapping, or those of a list by position; none of anything else."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, At(self.file, (*self.pointer, key), value)
        elif isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield str(index), At(self.file, (*self.pointer, str(index)), value)

    @property
    def path(self) -> str:
        """How the place is written for people, such as ``paths./pets.get``."""
        return ".".join(self.pointer)


@dataclass(frozen=True)
class _Text:
    """One file, read."""

    root: Node | None
    data: Any
    problems: tuple[tuple[Mark, str], ...]


@dataclass
class Files:
    """The files of one document.

    Args:
        main: absolute path of the document itself.
        texts: every file by its absolute path.
        problems: what is wrong with them.
    """

    main: str
    texts: dict[str, _Text] = field(default_factory=dict)
    problems: list[DocumentProblem] = field(default_factory=list)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, the document itself first; a missing one too, so that its coming is noticed."""
        return tuple(Path(file) for file in self.texts)

    @property
    def root(self) -> At:
        """The document as a whole."""
        return At(self.main, (), self.texts[self.main].data)

    @property
    def failed(self) -> bool:
        """Whether there are errors."""
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, at: At, sentence: str) -> None:
        """Note a mistake at a place."""
        self.problems.append(DocumentProblem(self._mark(at), at.path, sentence))

    def warn(self, at: At, sentence: str) -> None:
        """Note something that is allowed and worth knowing."""
        self.problems.append(DocumentProblem(self._mark(at), at.path, sentence, "warning"))

    def follow(self, at: At) -> At:
        """What a place stands for: itself, or what its ``$ref`` leads to."""
        for _ in range(64):
            ref = at.value.get("$ref") if isinstance(at.value, dict) else None
            if not isinstance(ref, str):
                return at
            at = self.target(at.file, ref) or At(at.file, at.pointer, None)
        return At(at.file, at.pointer, None)

    def target(self, file: str, ref: str) -> At | None:
        """The place a reference in a file leads to, or None when it leads nowhere."""
        name, _, fragment = ref.partition("#")
        path = file if not name else _beside(file, name)
        if path not in self.texts or (fragment and not fragment.startswith("/")):
            return None
        at: At | None = At(path, (), self.texts[path].data)
        for part in fragment.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if at is not None and isinstance(at.value, list):
                at = dict(at.items()).get(key)
            else:
                at = at.get(key) if at is not None else None
        return at

    def _mark(self, at: At) -> Mark:
        node = self.texts[at.file].root
        mark = node.mark if node is not None else Mark(1, 1)
        for part in at.pointer:
            if node is None:
                break
            if isinstance(node.value, dict) and part in node.value:
                node, mark = node.value[part], node.keys.get(part, node.mark)
            elif isinstance(node.value, list) and part.isdecimal() and int(part) < len(node.value):
                node = node.value[int(part)]
                mark = node.mark
            else:
                break
        return Mark(mark.line, mark.column, at.file)


def read_files(path: str) -> Files:
    """Read a document and every file it refers to.

    Args:
        path: absolute path of the document.
    """
    files = Files(os.path.normpath(path))
    _read_one(files, files.main, None)
    if files.failed:
        return files
    waiting = [files.main]
    while waiting:
        file = waiting.pop(0)
        for at, ref in _references(At(file, (), files.texts[file].data)):
            known = len(files.texts)
            _check_reference(files, at, ref)
            waiting += list(files.texts)[known:]
    for file in [*files.texts]:
        for at, ref in _references(At(file, (), files.texts[file].data)):
            _check_target(files, at, ref)
    return files


def stamps(paths: tuple[Path, ...]) -> tuple[tuple[str, int, int], ...]:
    """What changes when one of the files does: path, time in nanoseconds and size of each."""
    return tuple((str(path), *_stamp(str(path))) for path in paths)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _read_one(files: Files, path: str, named: At | None) -> None:
    text = _read_text(path, *_stamp(path))
    files.texts[path] = text
    for mark, sentence in text.problems:
        if named is not None and not mark.line:
            files.error(named, f"{Path(path).name} {sentence}")
        else:
            files.problems.append(DocumentProblem(Mark(mark.line, mark.column, path), "", sentence))


@lru_cache(maxsize=256)
def _read_text(path: str, changed_ns: int, size: int) -> _Text:
    """A file, read; its time and size are only there so that a changed one is read again."""
    del changed_ns
    if size > MAX_BYTES:
        return _unread(f"is larger than {MAX_BYTES // 1024 // 1024} MB; keep to the operations you need")
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return _unread(f"is not there{_meant(path)}")
    except OSError as error:
        return _unread(f"cannot be read ({error.strerror or error}); check the path and its permissions")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unread(f"is not UTF-8 at byte {error.start}; save it as UTF-8")
    composed = compose(text, source=path, kind="an OpenAPI file")
    if path.endswith(".json") or (composed.root is None and text.lstrip()[:1] == "{"):
        try:
            data = strict_json.loads(text)
        except ValueError as error:
            if path.endswith(".json"):
                return _Text(None, None, (_no_json(error),))
        else:
            if composed.root is None:
                return _Text(None, data, ())  # JSON that YAML reads otherwise, such as escaped surrogate pairs
    problems = [(one.mark, one.sentence) for one in composed.problems if one.sentence != BIG_NUMBER]
    if composed.root is None and not problems:
        problems = [(Mark(1, 1), "the file is empty; begin with openapi: 3.1.0")]
    data = _plain(composed.root) if composed.root is not None else None
    return _Text(composed.root, data, tuple(problems))


def _no_json(error: ValueError) -> tuple[Mark, str]:
    if isinstance(error, JSONDecodeError):
        return Mark(error.lineno, error.colno), f"this is not JSON: {error.msg}"
    return Mark(1, 1), f"this is not JSON: {error}"


def _unread(sentence: str) -> _Text:
    return _Text(None, None, ((Mark(0, 0), sentence),))


def _meant(path: str) -> str:
    folder = Path(path).parent
    names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    close = nearest(Path(path).name, names)
    return f"; did you mean {close}?" if close else "; paths are relative to the file that names it"


def _plain(node: Node) -> Any:
    """A node as JSON data, numbers as they were written however large."""
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and _INT.fullmatch(node.text or "")
        and len(node.text or "") < 40
    ):
        return int(node.text or "0")
    return value


def _references(at: At, names: bool = False) -> Iterator[tuple[At, str]]:
    """Every reference below a place; values that only look like references are passed over."""
    ref = at.value.get("$ref") if isinstance(at.value, dict) else None
    if isinstance(ref, str) and not names:
        yield At(at.file, (*at.pointer, "$ref"), ref), ref
    for key, inner in at.items():
        if isinstance(inner.value, (dict, list)) and (names or not (key in _LITERAL or key.startswith("x-"))):
            if names and key == "value":
                continue
            below = isinstance(at.value, dict) and not names and key in _NAMED and isinstance(inner.value, dict)
            yield from _references(inner, below)


def _beside(file: str, name: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(file), unquote(name)))


def _check_reference(files: Files, at: At, ref: str) -> None:
    """Read the file a reference names, unless it must not or cannot be read."""
    name = ref.partition("#")[0]
    if not name:
        return
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name) or name.startswith("//"):
        files.error(at, f"{ref} is a URL, and nothing is fetched; save it beside the document and name that file")
        return
    path, folder = _beside(at.file, name), os.path.dirname(files.main)
    if os.path.isabs(name) or os.path.commonpath([folder, path]) != folder:
        files.error(at, f"{ref} leads out of {folder}; keep what the document refers to beside it or below")
    elif path not in files.texts:
        if len(files.texts) >= MAX_FILES:
            files.error(at, f"the document needs more than {MAX_FILES} files; put some of them together")
        else:
            _read_one(files, path, at)


def _check_target(files: Files, at: At, ref: str) -> None:
    name, _, fragment = ref.partition("#")
    path = at.file if not name else _beside(at.file, name)
    if path not in files.texts or files.texts[path].problems:
        return  # the file itself was reported
    if fragment and not fragment.startswith("/"):
        files.error(at, f"{ref} names an anchor; write the way to it, such as #/components/schemas/Pet")
        return
    found = files.target(at.file, ref)
    if found is None:
        above = files.target(at.file, ref.rpartition("/")[0]) if "/" in fragment else None
        known: Mapping[str, Any] = above.value if above is not None and isinstance(above.value, dict) else {}
        close = nearest(ref.rpartition("/")[2], known)
        hint = f"did you mean {close}?" if close else f"there are: {', '.join([*known][:12]) or 'none'}"
        files.error(at, f"{ref} leads nowhere; {hint}")
    elif isinstance(found.value, dict) and "$ref" in found.value and files.follow(found).value is None:
        files.error(at, f"{ref} leads back to itself; let one of them say what it is")
