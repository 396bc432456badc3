"""The Google Calendar pack: its operations, what it leaves out, and its seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.google_api import GooglePack
from stack_emu.upstreams.google_batch import run_batch
from stack_emu.upstreams.google_calendar import calendars, events, listing, scopes
from stack_emu.upstreams.google_calendar.seeding import SEED_KEYS, check_seed, write_seed
from stack_emu.upstreams.pack_calls import Handler, PackOperation, RestCall
from stack_emu.upstreams.packs import Declined

_ROOT = "/calendar/v3"
_CLIENT = "google-api-python-client 2.202"
_CALENDAR = "/calendars/{calendarId}"
_EVENTS = f"{_CALENDAR}/events"
_EVENT = f"{_EVENTS}/{{eventId}}"
_LIST = "/users/me/calendarList"


def _operation(name: str, method: str, path: str, handler: Handler, allowed: tuple[str, ...]) -> PackOperation:
    source = f"developers.google.com/workspace/calendar/api/v3/reference {name}; {_CLIENT}"
    return PackOperation(name, method, _ROOT + path, handler, source, allowed)


def _batch(call: RestCall) -> Any:
    """Up to 50 calls in one request, each answered by itself."""
    return run_batch(GoogleCalendarPack(), call, 50)


class GoogleCalendarPack(GooglePack):
    """One account's calendars with events, series and their instances, guests, conferences, sync tokens and free/busy.

    Recurrence is DAILY, WEEKLY, MONTHLY and YEARLY with INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS and
    WKST, with EXDATE and RDATE. Guests get no mail. The pack answers for www.googleapis.com, where Google's clients call it;
    ``hosts`` of the upstream changes that, and one host belongs to one upstream.
    """

    title = "Google Calendar"
    service = "calendar-json.googleapis.com"
    hosts = ("www.googleapis.com", "calendar.googleapis.com")
    clients = (f"{_CLIENT} (Python)", "@googleapis/calendar 20.0 (Node)")
    seed_keys = SEED_KEYS
    rpc_status = False
    served = (
        _operation("calendarList.list", "GET", _LIST, calendars.list_entries, scopes.LIST_ALL),
        _operation("calendarList.get", "GET", f"{_LIST}/{{calendarId}}", calendars.get_entry, scopes.READ_LIST),
        _operation("calendarList.patch", "PATCH", f"{_LIST}/{{calendarId}}", calendars.patch_entry, scopes.CHANGE_LIST),
        _operation("calendars.get", "GET", _CALENDAR, calendars.get, scopes.READ_CALENDAR),
        _operation("calendars.insert", "POST", "/calendars", calendars.insert, scopes.CHANGE_CALENDAR),
        _operation("calendars.patch", "PATCH", _CALENDAR, calendars.patch, scopes.CHANGE_CALENDAR),
        _operation("calendars.update", "PUT", _CALENDAR, calendars.update, scopes.CHANGE_CALENDAR),
        _operation("calendars.delete", "DELETE", _CALENDAR, calendars.delete, scopes.CHANGE_CALENDAR),
        _operation("calendars.clear", "POST", f"{_CALENDAR}/clear", calendars.clear, scopes.CLEAR),
        _operation("colors.get", "GET", "/colors", calendars.colors, scopes.COLORS),
        _operation("events.list", "GET", _EVENTS, listing.list_events, scopes.READ_EVENTS),
        _operation("events.get", "GET", _EVENT, events.get, scopes.READ_EVENTS),
        _operation("events.insert", "POST", _EVENTS, events.insert, scopes.CHANGE_EVENTS),
        _operation("events.import", "POST", f"{_EVENTS}/import", events.import_event, scopes.CHANGE_EVENTS),
        _operation("events.quickAdd", "POST", f"{_EVENTS}/quickAdd", events.quick_add, scopes.CHANGE_EVENTS),
        _operation("events.patch", "PATCH", _EVENT, events.patch, scopes.CHANGE_EVENTS),
        _operation("events.update", "PUT", _EVENT, events.update, scopes.CHANGE_EVENTS),
        _operation("events.delete", "DELETE", _EVENT, events.delete, scopes.CHANGE_EVENTS),
        _operation("events.move", "POST", f"{_EVENT}/move", events.move, scopes.MOVE_EVENTS),
        _operation("events.instances", "GET", f"{_EVENT}/instances", listing.list_instances, scopes.READ_EVENTS),
        _operation("freebusy.query", "POST", "/freeBusy", listing.free_busy, scopes.FREE_BUSY),
        PackOperation(
            "batch",
            "POST",
            "/batch/calendar/v3",
            _batch,
            f"developers.google.com/workspace/calendar/api/guides/batch; {_CLIENT}",
        ),
    )
    declined = (
        Declined("acl.*", "there is one account, so there is nobody to share with", path=f"{_ROOT}{_CALENDAR}/acl*"),
        Declined(
            "events.watch",
            "it calls a webhook of yours; poll events.list with a syncToken",
            "POST",
            f"{_ROOT}{_EVENTS}/watch",
        ),
        Declined("calendarList.watch", "it calls a webhook of yours; poll", "POST", f"{_ROOT}{_LIST}/watch"),
        Declined("channels.stop", "there is nothing to stop without watch", "POST", f"{_ROOT}/channels/stop"),
        Declined("settings.*", "nothing here acts by them", path=f"{_ROOT}/users/me/settings*"),
        Declined(
            "calendarList.insert", "there are no calendars of others to subscribe to; seed them", "POST", _ROOT + _LIST
        ),
        Declined("calendarList.update", "calendarList.patch changes the same", "PUT", f"{_ROOT}{_LIST}/{{calendarId}}"),
        Declined(
            "calendarList.delete",
            "hide a calendar with calendarList.patch, or delete it with calendars.delete",
            "DELETE",
            f"{_ROOT}{_LIST}/{{calendarId}}",
        ),
        Declined(
            "calendars.transferOwnership", "there is one account", "POST", f"{_ROOT}{_CALENDAR}/transferOwnership"
        ),
    )

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed that cannot work.

        Raises:
            ValueError: one sentence that says which part is wrong and what to write.
        """
        check_seed(seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the calendars that the upstream ``name`` begins with."""
        write_seed(world, name, seed)
