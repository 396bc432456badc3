"""Filters and sorts of a query, evaluated over pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from stack_emu.upstreams.notion.objects import Doc, stamps, value_of
from stack_emu.upstreams.notion.values import Invalid, find_property, plain

Test = Callable[[Doc], bool]

_TEXT = (
    "equals",
    "does_not_equal",
    "contains",
    "does_not_contain",
    "starts_with",
    "ends_with",
    "is_empty",
    "is_not_empty",
)
_DATES = ("equals", "before", "after", "on_or_before", "on_or_after", "is_empty", "is_not_empty", "this_week")
_SPANS = {"past_week": -7, "past_month": -30, "past_year": -365, "next_week": 7, "next_month": 30, "next_year": 365}
_SELECT = ("equals", "does_not_equal", "is_empty", "is_not_empty")
_MANY = ("contains", "does_not_contain", "is_empty", "is_not_empty")
CONDITIONS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("title", "rich_text", "url", "email", "phone_number"), _TEXT),
    "number": ("equals", "does_not_equal", "greater_than", "less_than", "greater_than_or_equal_to",
               "less_than_or_equal_to", "is_empty", "is_not_empty"),
    "checkbox": ("equals", "does_not_equal"),
    **dict.fromkeys(("select", "status"), _SELECT),
    **dict.fromkeys(("multi_select", "people", "relation", "created_by", "last_edited_by"), _MANY),
    "files": ("is_empty", "is_not_empty"),
    **dict.fromkeys(("date", "created_time", "last_edited_time"), (*_DATES, *_SPANS)),
}  # fmt: skip
"""Type of a property to the conditions its filter takes."""

_DEEPEST = 2


def read_filter(asked: Any, known: Mapping[str, Any], now_ms: int, depth: int = 0) -> Test:
    """What a filter asks of a page.

    Args:
        asked: the filter: ``and``/``or`` of filters (up to two levels), a property's, or a time stamp's.
        known: the schema.
        now_ms: the instant that ``past_week`` and its like count from.
        depth: how many filters it is nested in.
    """
    if not isinstance(asked, dict):
        raise Invalid("body.filter should be an object.")
    for word, combine in (("and", all), ("or", any)):
        if word in asked:
            if depth == _DEEPEST or not isinstance(asked[word], list):
                raise Invalid(f"body.filter.{word} should be an array, nested up to two levels.")
            tests = [read_filter(one, known, now_ms, depth + 1) for one in asked[word]]
            return lambda page, tests=tests, combine=combine: combine(test(page) for test in tests)  # type: ignore[misc]
    if "timestamp" in asked:
        kind = asked["timestamp"]
        if kind not in ("created_time", "last_edited_time"):
            raise Invalid("body.filter.timestamp should be created_time or last_edited_time.")
        return _property(asked.get(kind), kind, lambda page: stamps(page)[kind], now_ms)
    name = find_property(known, str(asked.get("property")))
    if name is None:
        raise Invalid(
            f"Could not find property with name or id: {asked.get('property')}; there are: {', '.join(known)}."
        )
    kind = known[name]["type"]
    given = next((one for one in CONDITIONS if one in asked), None)
    if given != kind:
        raise Invalid(f"database property {kind} does not match filter {given}")
    return _property(asked[kind], kind, lambda page: value_of(page, known[name]), now_ms)


def _property(asked: Any, kind: str, held: Callable[[Doc], Any], now_ms: int) -> Test:
    if not isinstance(asked, dict) or len(asked) != 1 or next(iter(asked)) not in CONDITIONS[kind]:
        raise Invalid(f"body.filter.{kind} should hold one of {', '.join(CONDITIONS[kind])}.")
    [(condition, wanted)] = asked.items()
    compare = _Comparison(kind, condition, wanted, now_ms)
    return lambda page: compare(held(page))


class _Comparison:
    def __init__(self, kind: str, condition: str, wanted: Any, now_ms: int) -> None:
        self.kind, self.condition, self.wanted, self.now_ms = kind, condition, wanted, now_ms
        if condition in ("is_empty", "is_not_empty") and wanted is not True:
            raise Invalid(f"body.filter.{kind}.{condition} should be `true`.")
        if kind == "checkbox" and not isinstance(wanted, bool):
            raise Invalid(f"body.filter.checkbox.{condition} should be a boolean, instead was `{wanted!r}`.")
        if (
            kind == "number"
            and "empty" not in condition
            and (isinstance(wanted, bool) or not isinstance(wanted, (int, float)))
        ):
            raise Invalid(f"body.filter.number.{condition} should be a number, instead was `{wanted!r}`.")
        if condition in _DATES[:5] and kind in ("date", "created_time", "last_edited_time"):
            instant(wanted)

    def __call__(self, held: Any) -> bool:
        if self.condition == "is_empty":
            return held is None or held in ([], "")
        if self.condition == "is_not_empty":
            return not (held is None or held in ([], ""))
        if self.kind in ("title", "rich_text"):
            held = plain(held)
        if self.condition.startswith("does_not"):
            positive = {"does_not_equal": "equals", "does_not_contain": "contains"}[self.condition]
            return not self.holds(positive, held)
        return held is not None and self.holds(self.condition, held)

    def holds(self, condition: str, held: Any) -> bool:
        """Whether a value meets a condition that is no denial."""
        if held is None:
            return False
        if self.kind in ("date", "created_time", "last_edited_time"):
            return self.dated(condition, held["start"] if isinstance(held, dict) else held)
        if self.kind in ("select", "status"):
            return bool(held["name"] == self.wanted)
        if isinstance(held, dict):
            return bool(held["id"] == self.wanted)
        if isinstance(held, list):
            return any(self.wanted in (one.get("id"), one.get("name")) for one in held)
        if self.kind == "number":
            compared: dict[str, bool] = {
                "equals": held == self.wanted,
                "greater_than": held > self.wanted,
                "less_than": held < self.wanted,
                "greater_than_or_equal_to": held >= self.wanted,
                "less_than_or_equal_to": held <= self.wanted,
            }
            return compared[condition]
        if self.kind == "checkbox":
            return bool(held == self.wanted)
        mine, other = str(held).lower(), str(self.wanted).lower()
        return {
            "equals": mine == other,
            "contains": other in mine,
            "starts_with": mine.startswith(other),
            "ends_with": mine.endswith(other),
        }[condition]

    def dated(self, condition: str, held: str) -> bool:
        """Whether a date meets a condition; a condition without a time looks at the day."""
        mine = instant(held)
        now = datetime.fromtimestamp(self.now_ms / 1000, timezone.utc)
        if condition in _SPANS:
            edge = now + timedelta(days=_SPANS[condition])
            return min(now, edge) <= mine <= max(now, edge)
        if condition == "this_week":
            return mine.isocalendar()[:2] == now.isocalendar()[:2]
        other = instant(self.wanted)
        if "T" not in self.wanted:
            mine, other = mine.replace(hour=0, minute=0, second=0, microsecond=0), other
        return {
            "equals": mine == other,
            "before": mine < other,
            "after": mine > other,
            "on_or_before": mine <= other,
            "on_or_after": mine >= other,
        }[condition]


def instant(value: Any) -> datetime:
    """A date or an instant, in UTC when it names no zone."""
    try:
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"A date should be a valid ISO 8601 date string, instead was `{value}`.") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def arrange(found: list[Doc], asked: Any, known: Mapping[str, Any]) -> list[Doc]:
    """Pages in the order that ``sorts`` asks for, empty values last; newest first where it says nothing."""
    found = list(found)
    found.reverse()
    found.sort(key=lambda page: -page["_ms"])
    if asked is not None and not isinstance(asked, list):
        raise Invalid("body.sorts should be an array.")
    for sort in reversed(asked or []):
        direction = sort.get("direction", "ascending") if isinstance(sort, dict) else None
        if direction not in ("ascending", "descending"):
            raise Invalid("body.sorts should have the direction ascending or descending.")
        key = _sort_key(sort, known)
        empty = [page for page in found if key(page) is None]
        rest = [page for page in found if key(page) is not None]
        found = sorted(rest, key=key, reverse=direction == "descending") + empty
    return found


def _sort_key(sort: Mapping[str, Any], known: Mapping[str, Any]) -> Callable[[Doc], Any]:
    if "timestamp" in sort:
        name = {"created_time": "_ms", "last_edited_time": "_edited"}.get(sort["timestamp"])
        if name is None:
            raise Invalid("body.sorts.timestamp should be created_time or last_edited_time.")
        return lambda page: page[name]
    found = find_property(known, str(sort.get("property")))
    if found is None:
        raise Invalid(f"Could not find sort property with name or id: {sort.get('property')}")
    return lambda page: _sortable(known[found], value_of(page, known[found]))


def _sortable(known: Mapping[str, Any], value: Any) -> Any:
    kind = known["type"]
    if value is None or value in ([], ""):
        return None
    if kind in ("title", "rich_text"):
        return plain(value).lower()
    if kind in ("select", "status"):
        names = [one["name"] for one in known[kind]["options"]]
        return names.index(value["name"]) if value["name"] in names else len(names)
    if kind == "date":
        return instant(value["start"])
    if isinstance(value, list):
        return [str(one.get("name") or one.get("id")) for one in value]
    return str(value["id"]) if isinstance(value, dict) else value
