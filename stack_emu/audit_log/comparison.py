"""What happened differently in two canonical logs, in words.

Acts are aligned inside their lane: first those that say the same, then, between them, those that are the same act with
another end, then what moved. Ids that the emulator derives from what was asked differ wherever the asking does; they are
followed, so that one other word in a request is not told as a difference of every row after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from stack_emu.audit_log.acts import (
    LoggedAct,
    actor,
    acts_of,
    brief,
    derived_ids,
    ended,
    kind_of,
    result,
    title_of,
    without_ids,
)
from stack_emu.audit_log.canonical_file import CHAIN_FIELDS, canonical
from stack_emu.audit_log.chains import label_bytes

_LISTED = 12
"""Most acts that one sentence lists."""
_ENDS = ("outcome", "code", "upstream_status")
_APART = (*CHAIN_FIELDS, *_ENDS, "at_ms")


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Args:
        kind: ``outcome``, ``field``, ``rows``, ``only_in_a``, ``only_in_b``, ``order``, ``time``, ``ids`` or ``log``.
        lane: the lane in the second log, or in the first where only that has it; empty for the log as a whole.
        sentence: it in words.
        lines: lines of the first and of the second log it is about.
    """

    kind: str
    lane: str
    sentence: str
    lines: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def as_data(self) -> dict[str, Any]:
        """It as JSON data."""
        return {
            "kind": self.kind,
            "lane": self.lane,
            "sentence": self.sentence,
            "lines_a": list(self.lines[0]),
            "lines_b": list(self.lines[1]),
        }


def compare(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], names: tuple[str, str] = ("A", "B")
) -> list[Difference]:
    """Everything that differs between two logs, lane by lane; empty when they tell the same.

    Args:
        old: rows of the first log.
        new: rows of the second.
        names: what sentences call the two logs.
    """
    comparison = _Comparison(names)
    before, after = acts_of(old), acts_of(new)
    for old_lane, new_lane in _lanes(before, after):
        comparison.lane(before.get(old_lane or "", []), after.get(new_lane or "", []))
    return comparison.told()


def _lanes(
    before: Mapping[str, list[LoggedAct]], after: Mapping[str, list[LoggedAct]]
) -> Iterator[tuple[str | None, str | None]]:
    """Lanes that belong together: of one label, or, where derived ids stand in labels, those most alike."""
    renamed: dict[str, str] = {}
    left = [lane for lane in before if lane not in after]
    for lane in (lane for lane in after if lane not in before):
        likely = [other for other in left if without_ids(other) == without_ids(lane) and other != lane]
        if likely:
            kinds = Counter(act.kind for act in after[lane])
            best = max(
                likely, key=lambda other: (_shared(kinds, before[other]), -abs(len(before[other]) - len(after[lane])))
            )
            left.remove(best)
            renamed[lane] = best
    pairs: list[tuple[str | None, str | None]] = [(lane, None) for lane in left]
    pairs += [(renamed.get(lane, lane if lane in before else None), lane) for lane in after]
    yield from sorted(pairs, key=lambda pair: label_bytes(pair[1] or pair[0] or ""))


def _shared(kinds: Counter[tuple[str, ...]], acts: Iterable[LoggedAct]) -> int:
    return sum((kinds & Counter(act.kind for act in acts)).values())


class _Comparison:
    def __init__(self, names: tuple[str, str]) -> None:
        self._a, self._b = names
        self._found: list[Difference] = []
        self._ids: dict[str, str] = {}

    def told(self) -> list[Difference]:
        """What was found, and at the end, in one sentence, the derived ids that differ."""
        if self._ids:
            first, *_ = self._ids.items()
            more = f", and {len(self._ids) - 1} more" if len(self._ids) > 1 else ""
            sentence = (
                f"ids that derive from what was asked differ: {first[1]} where {self._a} has {first[0]}{more}; some request "
                "that made them was another one"
            )
            self._found.append(Difference("ids", "", sentence))
        return self._found

    def lane(self, old: list[LoggedAct], new: list[LoggedAct]) -> None:
        """Compare the acts of one lane."""
        pairs, only_old, only_new = _aligned(old, new)
        if pairs:
            self._follow(old[0].lane, new[0].lane)
        counts = {id(act): place for place, act in _places(new)}
        late: list[tuple[LoggedAct, LoggedAct]] = []
        for one, other in pairs:
            self._pair(one, other, counts[id(other)])
            if one.row.get("at_ms") != other.row.get("at_ms"):
                late.append((one, other))
        moved, only_old, only_new = _moved(only_old, only_new)
        for one, other in moved:
            self._pair(one, other, counts[id(other)])
        if moved:
            self._order(moved, whole=not only_old and not only_new)
        self._only("only_in_a", self._a, only_old)
        self._only("only_in_b", self._b, only_new)
        self._late(late)

    def _pair(self, one: LoggedAct, other: LoggedAct, place: int) -> None:
        where = (one.lines, other.lines)
        said = f"{actor(other.lane)}: the {_ordinal(place)} {other.title}"
        a, b = one.row, other.row
        if any(a.get(name) != b.get(name) for name in _ENDS):
            self._note("outcome", other.lane, f"{said} {ended(b)} where {self._a} has {result(a)}", where)
        for sentence in self._fields(a, b):
            self._note("field", other.lane, f"{said} {sentence}", where)
        self._rows(one, other, said, where)

    def _rows(
        self, one: LoggedAct, other: LoggedAct, said: str, where: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> None:
        """The rows an act caused beside its own."""
        old, new = one.rows[1:], other.rows[1:]
        matcher = SequenceMatcher(None, [kind_of(row) for row in old], [kind_of(row) for row in new], autojunk=False)
        for what, first, first_end, second, second_end in matcher.get_opcodes():
            if what == "equal":
                for a, b in zip(old[first:first_end], new[second:second_end], strict=True):
                    if any(a.get(name) != b.get(name) for name in _ENDS):
                        sentence = f"{said} caused {title_of(b)}, which {ended(b)} where {self._a} has {result(a)}"
                        self._note("outcome", other.lane, sentence, where)
                    for sentence in self._fields(a, b):
                        self._note("field", other.lane, f"{said} caused {title_of(b)}, which {sentence}", where)
                continue
            for name, rows in ((self._a, old[first:first_end]), (self._b, new[second:second_end])):
                if rows:
                    titles = _listed([title_of(row) for row in rows])
                    self._note("rows", other.lane, f"{said} caused only in {name}: {titles}", where)

    def _fields(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
        for name in sorted({*a, *b}):
            if name in _APART or self._same(a.get(name), b.get(name)):
                continue
            if name not in b:
                yield f"has no {name} where {self._a} has {_shown(a[name])}"
            else:
                yield f"has {name} {_shown(b[name])} where {self._a} has {_shown(a[name]) if name in a else 'none'}"

    def _same(self, a: Any, b: Any) -> bool:
        """Whether two values are equal but for derived ids, which are followed."""
        if a == b:
            return True
        one, other = canonical(a).decode("utf-8"), canonical(b).decode("utf-8")
        if without_ids(one) != without_ids(other):
            return False
        return self._follow(one, other)

    def _follow(self, one: str, other: str) -> bool:
        """Whether ids at the same places of two texts can be the same thing in both logs; remembered when they can."""
        pairs = [(a, b) for a, b in zip(derived_ids(one), derived_ids(other), strict=False) if a != b]
        taken = {b: a for a, b in self._ids.items()}
        if any(self._ids.get(a, b) != b or taken.get(b, a) != a for a, b in pairs):
            return False
        self._ids.update(pairs)
        return True

    def _order(self, moved: list[tuple[LoggedAct, LoggedAct]], *, whole: bool) -> None:
        acts = [other for _, other in moved]
        lines = (_lines(one for one, _ in moved), _lines(acts))
        said = "the same acts in another order" if whole else f"{_count(len(acts), 'act')} in another place"
        told = _listed([f"{act.title} is act {act.number + 1}, in {self._a} {one.number + 1}" for one, act in moved])
        self._note("order", acts[0].lane, f"{actor(acts[0].lane)}: {said}: {told}", lines)

    def _only(self, kind: str, name: str, acts: list[LoggedAct]) -> None:
        if not acts:
            return
        told = _listed([f"{act.title} ({brief(act.row)})" for act in acts])
        lines = _lines(acts)
        sentence = f"{actor(acts[0].lane)}: {_count(len(acts), 'act')} only in {name}: {told}"
        self._note(kind, acts[0].lane, sentence, (lines, ()) if kind == "only_in_a" else ((), lines))

    def _late(self, pairs: list[tuple[LoggedAct, LoggedAct]]) -> None:
        if not pairs:
            return
        one, other = pairs[0]
        sentence = (
            f"{actor(other.lane)}: {_count(len(pairs), 'act')} at another time, first {other.title}: "
            f"{_instant(other.row)} where {self._a} has {_instant(one.row)}"
        )
        lines = (_lines(a for a, _ in pairs), _lines(b for _, b in pairs))
        self._note("time", other.lane, sentence, lines)

    def _note(self, kind: str, lane: str, sentence: str, lines: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        self._found.append(Difference(kind, lane, sentence, lines))


Pairs = list[tuple[LoggedAct, LoggedAct]]


def _aligned(old: list[LoggedAct], new: list[LoggedAct]) -> tuple[Pairs, list[LoggedAct], list[LoggedAct]]:
    """Acts that belong together, and those left over on either side."""
    said = [[_said(act) for act in acts] for acts in (old, new)]
    first = _common(said[0], said[1])
    last = _common(said[0][first:][::-1], said[1][first:][::-1])
    pairs: Pairs = list(zip(old[:first], new[:first], strict=True))
    middle_old, middle_new = old[first : len(old) - last], new[first : len(new) - last]
    if [act.kind for act in middle_old] == [act.kind for act in middle_new]:
        pairs += zip(middle_old, middle_new, strict=True)
        only_old: list[LoggedAct] = []
        only_new: list[LoggedAct] = []
    else:
        found, only_old, only_new = _matched(middle_old, middle_new)
        pairs += found
    pairs += zip(old[len(old) - last :], new[len(new) - last :], strict=True)
    return pairs, only_old, only_new


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """How many items both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _matched(old: list[LoggedAct], new: list[LoggedAct]) -> tuple[Pairs, list[LoggedAct], list[LoggedAct]]:
    """Acts that say the same, and between them those that are the same act with another end."""
    pairs: Pairs = []
    only_old: list[LoggedAct] = []
    only_new: list[LoggedAct] = []
    for same, first, second in _blocks(old, new, _said):
        if same:
            pairs += zip(first, second, strict=True)
            continue
        for alike, one, other in _blocks(first, second, lambda act: act.kind):
            if alike:
                pairs += zip(one, other, strict=True)
            else:
                only_old += one
                only_new += other
    return pairs, only_old, only_new


def _said(act: LoggedAct) -> Hashable:
    """All an act says, without ids that were derived and without its time."""
    rows = [{name: value for name, value in row.items() if name not in (*CHAIN_FIELDS, "at_ms")} for row in act.rows]
    return without_ids(canonical(rows).decode("utf-8"))


def _blocks(
    old: list[LoggedAct], new: list[LoggedAct], key: Any
) -> Iterator[tuple[bool, list[LoggedAct], list[LoggedAct]]]:
    matcher = SequenceMatcher(None, [key(act) for act in old], [key(act) for act in new], autojunk=False)
    for what, first, first_end, second, second_end in matcher.get_opcodes():
        yield what == "equal", old[first:first_end], new[second:second_end]


def _moved(old: list[LoggedAct], new: list[LoggedAct]) -> tuple[Pairs, list[LoggedAct], list[LoggedAct]]:
    """What is left over on both sides, at other places."""
    pairs: Pairs = []
    for key in (_said, lambda act: act.kind):
        waiting: dict[Hashable, list[LoggedAct]] = {}
        for act in old:
            waiting.setdefault(key(act), []).append(act)
        for act in new:
            if waiting.get(key(act)):
                pairs.append((waiting[key(act)].pop(0), act))
        taken = {id(act) for pair in pairs for act in pair}
        old = [act for act in old if id(act) not in taken]
        new = [act for act in new if id(act) not in taken]
    return sorted(pairs, key=lambda pair: pair[1].number), old, new


def _places(acts: list[LoggedAct]) -> Iterator[tuple[int, LoggedAct]]:
    """Each act with how many of its title there were up to it."""
    seen: Counter[str] = Counter()
    for act in acts:
        seen[act.title] += 1
        yield seen[act.title], act


def _lines(acts: Iterable[LoggedAct]) -> tuple[int, ...]:
    return tuple(line for act in acts for line in act.lines)


def _instant(row: Mapping[str, Any]) -> str:
    return f"{row['at_ms']} ms" if "at_ms" in row else "no time"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value).decode("utf-8")
    return text if len(text) <= 120 else text[:119] + "…"


def _listed(words: list[str]) -> str:
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f", and {more} more" if more > 0 else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
