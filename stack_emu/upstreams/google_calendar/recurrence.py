"""Rules of recurrence (RFC 5545), as far as calendars of people use them.

Known are ``RRULE`` with FREQ DAILY, WEEKLY, MONTHLY and YEARLY and with INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH,
BYSETPOS and WKST, and ``EXDATE`` and ``RDATE``. Anything else is refused as not served. Instances keep the time on the
wall of the event's time zone.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from stack_emu.upstreams.google_calendar.times import BadTimeError, Moment, stamp_ms, utc, zone_of

MOST_INSTANCES = 730
"""How many instances of a series without an end are looked at when no upper bound is asked for."""

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST")
_BYDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_LAST_YEAR = 2200
_MOST_STEPS = 10_000
_EMPTY_PERIODS = 1000


class UnknownRuleError(Exception):
    """A rule that RFC 5545 allows and the fake does not know."""


class BadRuleError(Exception):
    """A rule that is none."""


@dataclass(frozen=True)
class Rule:
    """A parsed ``RRULE``.

    Args:
        freq: DAILY, WEEKLY, MONTHLY or YEARLY.
        interval: periods from one to the next.
        count: how many instances; None without a bound.
        until_ms: the last instant, inclusive; None without a bound.
        days: weekdays (0 is Monday), each with its ordinal in the month, 0 for every one.
        month_days: days of the month, negative from its end.
        months: months of the year.
        positions: which of a period's instances count; all when empty.
        week_start: weekday that begins a week.
    """

    freq: str
    interval: int = 1
    count: int | None = None
    until_ms: int | None = None
    days: tuple[tuple[int, int], ...] = ()
    month_days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    def moments(self, start: Moment) -> Iterator[Moment]:
        """The instances in order, the first one at ``start`` or after it."""
        given, empty = 0, 0
        for period in count(0, self.interval):
            days = self._chosen(start.local, period)
            empty = 0 if days else empty + 1
            if days is None or empty > _EMPTY_PERIODS:
                return
            for day in days:
                moment = start.at(day)
                if day < start.local:
                    continue
                if self.until_ms is not None and moment.ms > self.until_ms:
                    return
                yield moment
                given += 1
                if given == self.count:
                    return

    def _chosen(self, first: datetime, period: int) -> list[datetime] | None:
        """The days of one period, sorted; None when time is up."""
        days = self._candidates(first, period)
        if days is None or not self.positions:
            return days
        places = sorted({place - 1 if place > 0 else len(days) + place for place in self.positions})
        return [days[place] for place in places if 0 <= place < len(days)]

    def _candidates(self, first: datetime, period: int) -> list[datetime] | None:
        if self.freq == "DAILY":
            day = first + timedelta(days=period)
            return None if day.year > _LAST_YEAR else self._fitting([day])
        if self.freq == "WEEKLY":
            monday = first - timedelta(days=(first.weekday() - self.week_start) % 7) + timedelta(weeks=period)
            if monday.year > _LAST_YEAR:
                return None
            wanted = {day for day, _ in self.days} or {first.weekday()}
            week = [monday + timedelta(days=offset) for offset in range(7)]
            return [day for day in week if day.weekday() in wanted and self._in_month(day)]
        if self.freq == "MONTHLY":
            year, month = divmod(first.year * 12 + first.month - 1 + period, 12)
            return None if year > _LAST_YEAR else self._month(first, year, month + 1)
        if first.year + period > _LAST_YEAR:
            return None
        months = self.months or (tuple(range(1, 13)) if self.days or self.month_days else (first.month,))
        return [day for month in sorted(months) for day in self._month(first, first.year + period, month)]

    def _month(self, first: datetime, year: int, month: int) -> list[datetime]:
        if self.months and month not in self.months:
            return []
        length = calendar.monthrange(year, month)[1]
        every = [first.replace(year=year, month=month, day=day) for day in range(1, length + 1)]
        if not self.days and not self.month_days:
            return every[first.day - 1 : first.day]
        return self._fitting(every)

    def _fitting(self, days: list[datetime]) -> list[datetime]:
        return [day for day in days if self._in_month(day) and self._on_weekday(day) and self._on_month_day(day)]

    def _in_month(self, day: datetime) -> bool:
        return not self.months or day.month in self.months

    def _on_weekday(self, day: datetime) -> bool:
        length = calendar.monthrange(day.year, day.month)[1]
        places = (0, (day.day - 1) // 7 + 1, -((length - day.day) // 7 + 1))
        return not self.days or any(day.weekday() == wanted and place in places for wanted, place in self.days)

    def _on_month_day(self, day: datetime) -> bool:
        length = calendar.monthrange(day.year, day.month)[1]
        return not self.month_days or day.day in self.month_days or day.day - length - 1 in self.month_days


@dataclass(frozen=True)
class Recurrence:
    """The ``recurrence`` of an event: its rules, and moments that are left out or added."""

    rules: tuple[Rule, ...]
    left_out: frozenset[str] = frozenset()
    added: tuple[str, ...] = ()

    def moments(self, start: Moment, until_ms: int | None, most: int = MOST_INSTANCES) -> list[Moment]:
        """The instances that begin before ``until_ms``, in order; without a bound at most ``most`` of them."""
        found: dict[str, Moment] = {} if self.rules else {start.stamp: start}
        for rule in self.rules:
            for number, moment in enumerate(rule.moments(start)):
                if moment.ms >= until_ms if until_ms is not None else number >= most:
                    break
                found[moment.stamp] = moment
        for stamp in self.added:
            moment = _from_stamp(stamp, start)
            if until_ms is None or moment.ms < until_ms:
                found[stamp] = moment
        return sorted((one for stamp, one in found.items() if stamp not in self.left_out), key=lambda one: one.ms)


def read_recurrence(lines: Sequence[str], start: Moment) -> Recurrence:
    """The ``recurrence`` of an event that begins at ``start``.

    Raises:
        BadRuleError: when a line is no rule.
        UnknownRuleError: when it is one the fake does not know.
    """
    rules: list[Rule] = []
    left_out: list[str] = []
    added: list[str] = []
    for line in lines:
        head, colon, value = str(line).partition(":")
        name = head.upper().partition(";")[0]
        if name == "RRULE" and colon:
            rules.append(_rule(value.upper(), start))
        elif name in ("EXDATE", "RDATE") and colon:
            zone = next((part[5:] for part in head.split(";") if part.upper().startswith("TZID=")), start.zone)
            stamps = [_stamp(text, replace(start, zone=zone)) for text in value.split(",")]
            (left_out if name == "EXDATE" else added).extend(stamps)
        elif name == "EXRULE":
            raise UnknownRuleError(name)
        else:
            raise BadRuleError(str(line))
    return Recurrence(tuple(rules), frozenset(left_out), tuple(added))


def _rule(text: str, start: Moment) -> Rule:
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    if parts.get("FREQ") in ("HOURLY", "MINUTELY", "SECONDLY"):
        raise UnknownRuleError(f"FREQ={parts['FREQ']}")
    if parts.get("FREQ") not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        raise BadRuleError(text)
    strange = next((name for name in parts if name not in _PARTS), None)
    if strange is not None:
        raise UnknownRuleError(strange)
    if "COUNT" in parts and "UNTIL" in parts:
        raise BadRuleError(text)
    try:
        return Rule(
            parts["FREQ"],
            _positive(parts.get("INTERVAL", "1")),
            _positive(parts["COUNT"]) if "COUNT" in parts else None,
            _until(parts["UNTIL"], start) if "UNTIL" in parts else None,
            tuple(_byday(one) for one in parts["BYDAY"].split(",")) if "BYDAY" in parts else (),
            _numbers(parts, "BYMONTHDAY"),
            _numbers(parts, "BYMONTH"),
            _numbers(parts, "BYSETPOS"),
            _DAYS.index(parts.get("WKST", "MO")),
        )
    except (ValueError, BadTimeError):
        raise BadRuleError(text) from None


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST_STEPS:
        raise ValueError(text)
    return number


def _numbers(parts: dict[str, str], name: str) -> tuple[int, ...]:
    return tuple(int(one) for one in parts[name].split(",")) if name in parts else ()


def _byday(text: str) -> tuple[int, int]:
    found = _BYDAY.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return _DAYS.index(found[2]), int(found[1] or 0)


def _until(text: str, start: Moment) -> int:
    """The instant of UNTIL: of a day it is the last moment, in the event's time zone."""
    if "T" in text:
        return _from_stamp(_stamp(text, start), start).ms
    return start.at(_wall(text) + timedelta(days=1)).ms - 1


def _stamp(text: str, start: Moment) -> str:
    """A moment of EXDATE, RDATE or UNTIL as instances are stamped: UTC, or in the event's time zone."""
    text = text.strip()
    try:
        if start.whole:
            return _wall(text[:8]).strftime("%Y%m%d")
        if text.endswith("Z"):
            return _wall(text[:-1]).strftime("%Y%m%dT%H%M%SZ")
        return start.at(_wall(text)).stamp
    except ValueError:
        raise BadRuleError(text) from None


def _from_stamp(stamp: str, start: Moment) -> Moment:
    if start.whole:
        return start.at(_wall(stamp))
    return start.at(utc(stamp_ms(stamp)).astimezone(zone_of(start.zone)).replace(tzinfo=None))


def _wall(text: str) -> datetime:
    form = "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d"
    wall = datetime.strptime(text, form)  # noqa: DTZ007  wall time: its zone stands beside it
    if not 1 < wall.year < _LAST_YEAR:
        raise ValueError(text)
    return wall
