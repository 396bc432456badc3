"""YAML with the 1.2 core schema, positions for every key and value, and no surprises.

Only the parser of PyYAML is used (libyaml's where it is compiled in); resolving and composing happen here, because
PyYAML's own resolver follows YAML 1.1, where `on` is true, `12:30` is 750, `010` is 8 and `2026-01-01` is a date.
Composing is iterative and bounded, so that no input can exhaust the stack or, through aliases, the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack_emu.scenario.positions import Mark, Node
from stack_emu.scenario.problems import Location, shortened
from stack_emu.scenario.values import MAX_INTEGER

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 64
MAX_ALIASED = 50_000
"""How much aliases may add, in values; a long text counts as one for every hundred characters."""
MAX_VALUES = 200_000
MAX_PROBLEMS = 100
"""After how many mistakes the rest is not read."""
_TOO_DEEP = f"values nest deeper than {MAX_DEPTH} levels; make it flatter"

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAG_PREFIX = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class TextProblem:
    """A mistake in the YAML itself.

    Args:
        mark: where it is.
        location: the keys that lead there, as far as they are known.
        sentence: what is wrong and what would have worked.
    """

    mark: Mark
    location: Location
    sentence: str


@dataclass
class Composed:
    """A text, read.

    Args:
        root: the only document, or None when there is none or it cannot be read.
        problems: the mistakes found, in the order of the text.
    """

    root: Node | None
    problems: list[TextProblem]


def compose(text: str, *, pure: bool = False, source: str = "", kind: str = "a scenario") -> Composed:
    """Read one YAML document.

    Args:
        text: the document, without a byte order mark.
        pure: use PyYAML's own parser even where libyaml's is compiled in. The pure one dislikes
            tabs outside quotes; otherwise both accept the same.
        source: the file that every place names, where a scenario has several.
        kind: what the document is, for sentences.
    """
    odd = _UNPRINTABLE.search(text)
    if odd:
        sentence = f"the character U+{ord(odd[0]):04X} is not allowed in YAML; remove it"
        return Composed(None, [TextProblem(_mark_at(text, odd.start()), (), sentence)])
    return _Composer(text, source, kind).run(pure)


@dataclass
class _Frame:
    """A list or mapping that is not closed yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    is_mapping: bool = False


@dataclass
class _Composer:
    text: str
    source: str = ""
    kind: str = "a scenario"
    problems: list[TextProblem] = field(default_factory=list)
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)
    root: Node | None = None
    documents: int = 0
    aliased: int = 0
    values: int = 0

    def run(self, pure: bool) -> Composed:
        import yaml

        handlers: dict[type[Any], Callable[[Any], None]] = {
            yaml.DocumentStartEvent: self._document,
            yaml.AliasEvent: self._alias,
            yaml.ScalarEvent: self._scalar,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceEndEvent: self._close,
            yaml.MappingEndEvent: self._close,
        }
        try:
            for event in _events(self.text, pure):
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(event)
                    self._bound(event)
        except yaml.YAMLError as error:
            return Composed(None, [*self.problems, _syntax_problem(error, self.text)])
        except _TooMuch as limit:
            return Composed(None, [*self.problems, limit.problem])
        return Composed(self.root, self.problems)

    def _bound(self, event: yaml.Event) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            sentence = f"the text has more than {MAX_VALUES:,} keys and values, which no scenario needs; split it up"
            raise _TooMuch(self._problem(event, sentence))
        if len(self.problems) >= MAX_PROBLEMS:
            sentence = f"the rest is not read after {MAX_PROBLEMS} mistakes; put these right first"
            raise _TooMuch(self._problem(event, sentence))

    def _document(self, event: yaml.Event) -> None:
        self.documents += 1
        if self.documents > 1:
            raise _TooMuch(self._problem(event, f"{self.kind} is one YAML document; remove this --- and what follows"))

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        if name not in self.anchors:
            sentence = f"there is no anchor &{name} above; text that starts with * needs quotes"
            self._refuse(event, sentence)
            return
        node = self.anchors[name]
        if node is None:
            self._refuse(
                event, f"*{name} stands inside its own anchor; move &{name} to a value that is complete before it"
            )
            return
        self.aliased += node.weight
        if self.aliased > MAX_ALIASED:
            sentence = f"aliases expand to more than {MAX_ALIASED:,} values; write the values out or use fewer aliases"
            raise _TooMuch(self._problem(event, sentence))
        self._add(node, event)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        node = Node(event.value, self._mark(event), event.value)
        node.weight = 1 + len(event.value) // 100
        tag = _short_tag(event.tag)
        if tag not in (None, "!", "str"):
            self.problems.append(self._problem(event, _tag_sentence(event.tag)))
        elif tag is None and event.implicit[0]:
            node.value, sentence = resolve(event.value)
            if sentence and not self._at_key():
                self.problems.append(self._problem(event, sentence))
        self._anchor(event.anchor, node)
        self._add(node, event)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        import yaml

        if len(self.stack) >= MAX_DEPTH:
            raise _TooMuch(TextProblem(self._mark(event), (), _TOO_DEEP))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!") and _short_tag(event.tag) != ("map" if is_mapping else "seq"):
            self.problems.append(self._problem(event, _tag_sentence(event.tag)))
        if self._at_key():
            raise _TooMuch(self._problem(event, self._key_sentence(event)))
        node = Node({} if is_mapping else [], self._mark(event))
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(node, event.anchor, is_mapping=is_mapping))

    def _mark(self, event: yaml.Event) -> Mark:
        start: Any = event.start_mark
        return Mark(start.line + 1, start.column + 1, self.source)

    def _close(self, event: yaml.Event) -> None:
        if "<<" in self.stack[-1].node.keys:
            self._merge(self.stack[-1].node)
        frame = self.stack.pop()
        self._anchor(frame.anchor, frame.node)
        self._add(frame.node, event)

    def _add(self, node: Node, event: yaml.Event) -> None:
        """Put a complete value where it belongs: into the open list or mapping, as its next key, or as the root."""
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if not frame.is_mapping:
            frame.node.value.append(node)
        elif frame.key is None:
            frame.key = self._new_key(frame, node, event)
            return
        else:
            frame.node.value.setdefault(frame.key, node)
            frame.key = None
        frame.node.weight += node.weight

    def _new_key(self, frame: _Frame, node: Node, event: yaml.Event) -> str:
        key = node.text
        if key is None:
            raise _TooMuch(self._problem(event, "a key must be text; write the key out instead of the alias"))
        if key in frame.node.keys:
            sentence = (
                f"the key {shortened(key)} is already there in line {frame.node.keys[key].line}; keep one of them"
            )
            self.problems.append(self._problem(event, sentence))
        frame.node.keys.setdefault(key, self._mark(event))
        return key

    def _merge(self, node: Node) -> None:
        """Put the keys of the mappings under `<<` into the mapping that has it, where it has none of its own."""
        mark, merged = node.keys.pop("<<"), node.value.pop("<<")
        for part in merged.value if isinstance(merged.value, list) else [merged]:
            if not isinstance(part.value, dict):
                steps = (frame.key if frame.is_mapping else len(frame.node.value) for frame in self.stack[:-1])
                location = tuple(step for step in steps if step is not None)
                sentence = "<< takes a mapping or a list of mappings, such as <<: *defaults"
                self.problems.append(TextProblem(mark, location, sentence))
                continue
            for key, value in part.value.items():
                node.value.setdefault(key, value)
                node.keys.setdefault(key, part.keys[key])

    def _anchor(self, name: str | None, node: Node) -> None:
        if name is not None:
            self.anchors[name] = node

    def _at_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].is_mapping and self.stack[-1].key is None

    def _refuse(self, event: yaml.Event, sentence: str) -> None:
        """Report a value and go on with null in its place."""
        self.problems.append(self._problem(event, sentence))
        self._add(Node(None, self._mark(event), ""), event)

    def _key_sentence(self, event: yaml.Event) -> str:
        line = self.text.split("\n", _mark(event).line)[_mark(event).line - 1]
        if line.startswith("{{", max(_mark(event).column - 2, 0)):
            return 'a template needs quotes in YAML; write "{{ … }}"'
        return "a key must be text, not a list or a mapping"

    def _problem(self, event: yaml.Event, sentence: str) -> TextProblem:
        steps = (frame.key if frame.is_mapping else len(frame.node.value) for frame in self.stack)
        return TextProblem(self._mark(event), tuple(step for step in steps if step is not None), sentence)


class _TooMuch(Exception):
    """A mistake after which the rest of the text cannot be read."""

    def __init__(self, problem: TextProblem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


def resolve(text: str) -> tuple[Any, str | None]:
    """The value of a plain scalar under the YAML 1.2 core schema, and a sentence when JSON cannot hold it."""
    if text in _WORDS:
        return _WORDS[text], None
    if _INT.fullmatch(text) and len(text) <= 20:
        return _checked_int(int(text))
    if _BASED_INT.fullmatch(text) and len(text) <= 24:
        return _checked_int(int(text, 0))
    if _INT.fullmatch(text) or _BASED_INT.fullmatch(text):
        return 0, BIG_NUMBER
    if _NOT_FINITE.fullmatch(text):
        return 0.0, f"JSON has no {text}; put it in quotes if it is text"
    if _FLOAT.fullmatch(text):
        number = float(text)
        return (number, None) if abs(number) != float("inf") else (0.0, BIG_NUMBER)
    return text, None


BIG_NUMBER = "JSON readers cannot hold this number exactly; use a smaller one, or put it in quotes if it is text"
"""The sentence about a number whose value is then given as 0; what was written is the text of its node."""


def _checked_int(number: int) -> tuple[int, str | None]:
    return (number, None) if abs(number) <= MAX_INTEGER else (0, BIG_NUMBER)


def _events(text: str, pure: bool) -> Iterator[Any]:
    import yaml

    parser: Any
    if pure or not yaml.__with_libyaml__:
        parser = _pure_parser(text)
    else:
        from yaml._yaml import CParser

        parser = CParser(text)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


def _pure_parser(text: str) -> Any:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class PureParser(Reader, Scanner, Parser):
        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)

    return PureParser(text)


def _mark(event: yaml.Event) -> Mark:
    start: Any = event.start_mark
    return Mark(start.line + 1, start.column + 1)


def _mark_at(text: str, index: int) -> Mark:
    return Mark(text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1)


def _short_tag(tag: str | None) -> str | None:
    return tag[len(_TAG_PREFIX) :] if tag and tag.startswith(_TAG_PREFIX) else tag


def _tag_sentence(tag: str | None) -> str:
    shown = f"!!{_short_tag(tag)}" if tag and tag.startswith(_TAG_PREFIX) else tag
    return f"the tag {shown} is not allowed here; write a plain value"


def _syntax_problem(error: Any, text: str) -> TextProblem:
    """The parser's complaint in one sentence. It points at the start of what is not closed, else at what is wrong."""
    problem, context = getattr(error, "problem", None) or str(error), getattr(error, "context", None) or ""
    context_mark = getattr(error, "context_mark", None)
    mark = getattr(error, "problem_mark", None) or context_mark
    if context_mark is not None and ("end of stream" in problem or "flow" in context or "simple key" in context):
        mark = context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    lines = text.split("\n")
    line_text = lines[line - 1] if line <= len(lines) else ""
    if "unknown escape" in problem and line_text[column - 2 : column - 1] == "\\":
        column -= 1  # libyaml points at the backslash, PyYAML's own parser behind it
    rest = line_text[column - 1 :]
    return TextProblem(Mark(line, column), (), _syntax_sentence(problem, context, rest))


def _syntax_sentence(problem: str, context: str, rest: str) -> str:
    if rest.startswith("\t"):
        return "a tab indents this line; use spaces"
    if "cannot start any token" in problem:
        return f"a value cannot start with {rest[:1]}; put it in quotes"
    known = (
        ("", "maximum nesting depth", _TOO_DEEP),  # libyaml reads ahead, and has a limit of its own
        ("quoted scalar", "end of stream", "the quotes that open here are not closed"),
        (
            "flow sequence",
            "",
            "the [ that opens here needs a , or a ] further on; text with special characters needs quotes",
        ),
        (
            "flow mapping",
            "",
            "the { that opens here needs a , or a } further on; text with special characters needs quotes",
        ),
        (
            "",
            "mapping values are not allowed",
            "this : is out of place; text with a colon needs quotes, keys stand in one column",
        ),
        ("", "could not find expected ':'", "there is no : after this key; write key: value"),
        ("alias", "", "text that starts with * needs quotes"),
        ("anchor", "", "text that starts with & needs quotes"),
        ("", "unknown escape", "this is no escape sequence; use single quotes for text with a backslash"),
        ("block", "", "this does not belong here; check the indentation, and the quotes before it"),
    )
    for in_context, in_problem, sentence in known:
        if in_context in context and in_problem in problem:
            return sentence
    return f"this is not YAML: {problem}"
