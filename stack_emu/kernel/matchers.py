"""The words a pattern may use instead of a plain value: ``{regex: …}``, ``{gt: 3}``, ``{one_of: […]}`` and so on.

An object whose every key is such a word is a matcher; its words must all hold. Anything else is compared as it stands, so an
object of the same form that is meant literally is written ``{equals: {…}}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stack_emu.kernel import text_patterns
from stack_emu.kernel.missing import MISSING
from stack_emu.kernel.near_words import close_matches

WORDS: Final[Mapping[str, str]] = {
    "regex": "text in which the regular expression is found",
    "contains": "text with this in it, or a list with an element like this",
    "equals": "exactly this value, with no further fields",
    "one_of": "one of these",
    "not": "anything but this, but it must be there",
    "gt": "a number above this",
    "gte": "a number of at least this",
    "lt": "a number below this",
    "lte": "a number of at most this",
    "any": "true: anything at all, but it must be there",
    "absent": "true: it must not be there",
}
"""The words and what they ask for."""

_NUMBERS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}


def is_matcher(expected: Any) -> bool:
    """Whether a pattern's value is a matcher rather than a value to compare with."""
    return isinstance(expected, Mapping) and bool(expected) and all(key in WORDS for key in expected)


def problems(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """What is wrong with the matchers inside a value: where (``lines[0].sku``), and a sentence.

    Args:
        value: a value of a pattern.
        place: its own place.
    """
    if is_matcher(value):
        for word, wanted in value.items():
            sentence = _problem(word, wanted)
            if sentence is not None:
                yield f"{place}.{word}" if place else word, sentence
        for word in ("not", "contains", "one_of"):
            if word in value:
                yield from problems(value[word], f"{place}.{word}" if place else word)
    elif isinstance(value, Mapping):
        near = _nearly(value)
        if near is not None:
            yield place, near
        for key, item in value.items():
            yield from problems(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from problems(item, f"{place}[{index}]")


def _nearly(value: Mapping[str, Any]) -> str | None:
    """The sentence for an object that mixes words with other keys, which is most likely a typo."""
    words = [key for key in value if key in WORDS and key in (*_NUMBERS, "regex", "one_of", "absent")]
    others = [key for key in value if key not in WORDS]
    if not words or not others:
        return None
    near = close_matches(str(others[0]), WORDS, 1)
    meant = f"did you mean {near[0]}?" if near else f"matchers are {', '.join(WORDS)}"
    return f"{words[0]} makes this a matcher, and {others[0]} is none; {meant} (write equals: around it if it is meant literally)"


def _problem(word: str, wanted: Any) -> str | None:
    if word == "regex":
        return _regex_problem(wanted)
    if word in _NUMBERS and (isinstance(wanted, bool) or not isinstance(wanted, (int, float))):
        return f"{word} needs a number, such as {word}: 3"
    if word == "one_of" and not (isinstance(wanted, (list, tuple)) and wanted):
        return "one_of needs a list, such as one_of: [open, closed]"
    if word in ("any", "absent") and wanted is not True:
        return f"{word} is only ever true; leave it out, or write not: {{{word}: true}}"
    return None


def _regex_problem(wanted: Any) -> str | None:
    if not isinstance(wanted, str):
        return "regex needs text, such as regex: ^inv_"
    return text_patterns.problem(wanted)


def described(matcher: Mapping[str, Any]) -> str:
    """What a matcher asks for, in words that follow "expected"."""
    return " and ".join(_described(word, wanted) for word, wanted in matcher.items())


def _described(word: str, wanted: Any) -> str:
    inner = described(wanted) if is_matcher(wanted) else json.dumps(wanted, ensure_ascii=False, default=str)
    if word in _NUMBERS:
        return f"{_NUMBERS[word]} {inner}"
    if word == "regex":
        return f"text matching /{wanted}/"
    if word == "one_of":
        return f"one of {', '.join(json.dumps(one, ensure_ascii=False, default=str) for one in wanted)}"
    if word in ("any", "absent"):
        return "anything" if word == "any" else "nothing"
    return {"contains": "something with {} in it", "equals": "exactly {}", "not": "anything but {}"}[word].format(inner)


def compares(word: str, wanted: Any, got: Any, loose: bool) -> bool:
    """Whether a value satisfies a word that looks at nothing inside it: all but ``contains``, ``not`` and ``one_of``.

    Args:
        word: the word.
        wanted: what it was given.
        got: the value, or :data:`MISSING`.
        loose: read text as a number where a number is asked for, as forms and query strings carry them.
    """
    if word == "absent":
        return got is MISSING
    if got is MISSING:
        return False
    if word == "any":
        return True
    if word == "regex":
        return not isinstance(got, (Mapping, list, tuple)) and text_patterns.found(wanted, _spelled(got))
    number = _number(got, loose)
    if number is None:
        return False
    return bool({"gt": number > wanted, "gte": number >= wanted, "lt": number < wanted, "lte": number <= wanted}[word])


def _number(got: Any, loose: bool) -> float | int | None:
    if isinstance(got, (int, float)) and not isinstance(got, bool):
        return got
    if loose and isinstance(got, str):
        try:
            return float(got)
        except ValueError:
            return None
    return None


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
