"""Limit on repeated log lines: one failing dependency must not fill the disk that holds the log."""

import logging
import math
import re
import time
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger(__name__)

WINDOW = 60.0
"""Seconds of a window."""
LINES = 10
"""Equal lines that are written in a window. One with a traceback counts as all of them."""
MOST_KINDS = 1000
"""Limit on the kinds of lines that are counted at a time; further kinds share one limit."""
LONGEST = 200
"""Characters of an event and of an error that are compared."""
_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}[0-9a-f-]*|\d+", re.IGNORECASE)

Kind = tuple[str, str, str, str]
"""Logger, level, event and error."""


@dataclass
class Window:
    """Lines of one kind since `began` (monotonic): the weight of those written, and the number of those left out."""

    began: float
    written: int = 0
    left_out: int = 0


class LimitedHandler(logging.StreamHandler[Any]):
    """Handler that leaves out lines like those it has just written, and reports their number at the end of the window.

    Lines are alike if logger, event and class of the error are. Lines of the service below WARNING are not limited:
    they record single events, such as actions of staff. Libraries report each reconnect as INFO, so theirs are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[Kind, Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, if it is within the limit. The caller holds the handler's lock."""
        now = time.monotonic()
        self._report(now - WINDOW)
        of_service = isinstance(record.msg, dict) and record.levelno < logging.WARNING
        if of_service or record.name == __name__:
            return super().emit(record)
        kind = _kind(record)
        if kind not in self._windows and len(self._windows) >= MOST_KINDS:
            kind = ("", "", "of many kinds", "")
        window = self._windows.setdefault(kind, Window(now))
        if window.written >= LINES:
            window.left_out += 1
            return
        window.written += LINES if _has_traceback(record) else 1
        super().emit(record)

    def close(self) -> None:
        """Report the lines that were left out so far."""
        self._report(math.inf)
        super().close()

    def _report(self, latest: float) -> None:
        """End the windows that began by `latest`."""
        # Remove them first: each report is a line itself.
        ended = [kind for kind, window in self._windows.items() if window.began <= latest]
        for (logger, level, event, error), window in [(kind, self._windows.pop(kind)) for kind in ended]:
            if window.left_out:
                lines = {"logger": logger, "level": level, "event": event, "error": error, "count": window.left_out}
                log.warning("Further lines like this one were left out", action="lines_left_out", lines=lines)


def _kind(record: logging.LogRecord) -> Kind:
    """Return what equal lines have in common: logger, level, event without numbers and ids, and class of the error."""
    event, error = record.msg, ""
    if isinstance(record.msg, dict):
        event = record.msg.get("event", "")
        last_line = str(record.msg.get("exception", "")).rstrip().rpartition("\n")[2]
        error = (last_line or str(record.msg.get("error", ""))).partition(":")[0]
    elif record.exc_info and record.exc_info[0]:
        error = record.exc_info[0].__name__
    event, error = (_VARIABLE.sub("#", str(text)[:LONGEST]) for text in (event, error))
    return record.name, record.levelname, event, error


def _has_traceback(record: logging.LogRecord) -> bool:
    return bool(record.exc_info) or (isinstance(record.msg, dict) and "exception" in record.msg)
