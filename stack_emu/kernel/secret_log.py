"""Log lines without secrets: a filter on the loggers that may come to speak of a world."""

from __future__ import annotations

import logging
import traceback
from weakref import WeakSet

from stack_emu.kernel.redactor import Redactor

LOGGERS = ("stack_emu", "stack_emu.journal", "stack_emu.upstreams.engine", "aiohttp.server", "aiohttp.web", "asyncio")
"""Loggers whose lines are looked at: a filter sees what is logged with its logger, not what comes from below it."""


class SecretFilter(logging.Filter):
    """Masks the secrets of every world there is in messages, their arguments and tracebacks."""

    def __init__(self) -> None:
        super().__init__()
        self.redactors: WeakSet[Redactor] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record; every record passes."""
        said = record.getMessage()
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else record.exc_text
        shown, shown_trace = said, trace
        for redactor in list(self.redactors):
            shown = redactor.thorough(shown)
            shown_trace = redactor.thorough(shown_trace) if shown_trace else shown_trace
        if shown != said:
            record.msg, record.args = shown, ()
        if shown_trace != trace:
            record.exc_info, record.exc_text = None, shown_trace
        return True


_FILTER = SecretFilter()


def watch_logs(redactor: Redactor) -> None:
    """Keep what a redactor knows out of the log for as long as it lives."""
    _FILTER.redactors.add(redactor)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
