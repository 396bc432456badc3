"""Points in time as the Calendar API writes them: whole days, and instants with a time zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?")
_LAST_YEAR = 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class BadTimeError(ValueError):
    """Something that should be a point in time is none. The message is one word: what is wrong with it."""


@dataclass(frozen=True)
class Moment:
    """A whole day, or an instant.

    Args:
        local: what a clock on the wall of ``zone`` shows; midnight for a whole day.
        zone: IANA name of a time zone.
        whole: whether it is a whole day.
    """

    local: datetime
    zone: str
    whole: bool

    @property
    def ms(self) -> int:
        """Epoch milliseconds; a whole day begins at midnight in its zone."""
        moment = self.local.replace(tzinfo=zone_of(self.zone))
        return int((moment - _EPOCH) / timedelta(milliseconds=1))

    @property
    def stamp(self) -> str:
        """How ids of instances and rules of recurrence spell it."""
        if self.whole:
            return self.local.strftime("%Y%m%d")
        return utc(self.ms).strftime("%Y%m%dT%H%M%SZ")

    def at(self, local: datetime) -> Moment:
        """The moment when the same wall's clock shows something else."""
        return Moment(local, self.zone, self.whole)

    def shown(self, zone: str) -> dict[str, str]:
        """As the API shows it, the instant in ``zone``."""
        if self.whole:
            return {"date": self.local.date().isoformat()}
        return {"dateTime": in_zone(self.ms, zone), "timeZone": self.zone}

    def kept(self) -> dict[str, str]:
        """As it is stored."""
        if self.whole:
            return {"date": self.local.date().isoformat()}
        return {"dateTime": self.local.isoformat(timespec="seconds"), "timeZone": self.zone}


def read_point(value: Any, default_zone: str) -> Moment:
    """A ``start`` or ``end`` of an event, with ``date`` or with ``dateTime`` and perhaps ``timeZone``.

    Raises:
        BadTimeError: when it is none.
    """
    if not isinstance(value, Mapping):
        raise BadTimeError("missing")
    day, instant = value.get("date"), value.get("dateTime")
    zone = value.get("timeZone") or default_zone
    if not is_zone(zone):
        raise BadTimeError("zone")
    if (day is None) == (instant is None):
        raise BadTimeError("missing" if day is None else "invalid")
    if day is not None:
        return Moment(_day(day), default_zone, True)
    text, offset = _clock(instant)
    if offset is None:
        if not value.get("timeZone"):
            raise BadTimeError("zone")
        return Moment(text, zone, False)
    return Moment(text.replace(tzinfo=offset).astimezone(zone_of(zone)).replace(tzinfo=None), zone, False)


def read_instant(text: Any) -> int:
    """An RFC 3339 time stamp with an offset in epoch milliseconds.

    Raises:
        BadTimeError: when it is none.
    """
    moment, offset = _clock(text)
    if offset is None:
        raise BadTimeError("offset")
    return int((moment.replace(tzinfo=offset) - _EPOCH) / timedelta(milliseconds=1))


def stamp_ms(stamp: str) -> int:
    """The instant, in epoch milliseconds, of the stamp of an instance; of a day, its midnight in UTC.

    Raises:
        BadTimeError: when it is none.
    """
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)Z)?", stamp)
    if found is None:
        raise BadTimeError("invalid")
    year, month, day, hour, minute, second = (part or "00" for part in found.groups())
    return read_instant(f"{year}-{month}-{day}T{hour}:{minute}:{second}Z")


def utc(ms: int) -> datetime:
    """An instant in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def in_zone(ms: int, zone: str) -> str:
    """An instant as RFC 3339 to the second, in a time zone; ``Z`` stands for UTC."""
    return utc(ms).astimezone(zone_of(zone)).isoformat(timespec="seconds").replace("+00:00", "Z")


def is_zone(name: Any) -> bool:
    """Whether there is a time zone of that name."""
    if not isinstance(name, str) or not name:
        return False
    try:
        zone_of(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name."""
    return timezone.utc if name == "UTC" else ZoneInfo(name)


def _day(text: Any) -> datetime:
    if not isinstance(text, str) or re.fullmatch(r"\d{4}-\d\d-\d\d", text) is None:
        raise BadTimeError("invalid")
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise BadTimeError("invalid") from None
    if not 1 < found.year < _LAST_YEAR:
        raise BadTimeError("invalid")
    return datetime(found.year, found.month, found.day)  # noqa: DTZ001  wall time: its zone stands beside it


def _clock(text: Any) -> tuple[datetime, tzinfo | None]:
    found = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise BadTimeError("invalid")
    day, clock, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}")
    except ValueError:
        raise BadTimeError("invalid") from None
    if not 1 < moment.year < _LAST_YEAR:
        raise BadTimeError("invalid")
    if offset is None:
        return moment, None
    if offset in "Zz":
        return moment, timezone.utc
    return moment, datetime.fromisoformat(f"{day}T{clock}{offset}").tzinfo
