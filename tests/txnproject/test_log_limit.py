"""Repeated log lines: how many are written, and what is said of the others."""

import json
import logging
from io import StringIO
from typing import Any

import pytest
import structlog

from txnproject import log_limit
from txnproject.log_limit import LINES, WINDOW, LimitedHandler
from txnproject.logs import logging_config


class Clock:
    """Replacement for `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(log_limit, "time", clock)
    return clock


class Written:
    """The lines that a handler wrote."""

    def __init__(self, handler: LimitedHandler) -> None:
        self._text = StringIO()
        handler.setStream(self._text)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._text.getvalue().splitlines()]

    @property
    def left_out(self) -> list[dict[str, Any]]:
        return [line["lines"] for line in self.lines if line.get("action") == "lines_left_out"]


@pytest.fixture
def written(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Written:
    """The lines of all loggers, formatted as the service does."""
    settings = {name: value for name, value in logging_config("INFO")["formatters"]["json"].items() if name != "()"}
    handler = LimitedHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(**settings))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    return Written(handler)


def crash(number: int) -> None:
    """Log an error of a library, with a traceback."""
    try:
        raise ConnectionError(f"connection {number} refused")
    except ConnectionError:
        logging.getLogger("django.request").exception("Internal Server Error: %s", f"/v1/{number}")


def crash_of_ours(number: int) -> None:
    try:
        raise ConnectionError(f"connection {number} refused")
    except ConnectionError:
        structlog.get_logger("workers.jobs").exception("A run crashed", action="run_crashed", job={"id": number})


REPEATED = {
    "a library's error": lambda number: logging.getLogger("pika.io").error("Socket %s failed", number),
    "a library's reconnect": lambda number: logging.getLogger("pika.io").info("Connecting to %s", number),
    "a text with an id": lambda number: logging.getLogger("redis").warning(f"Retry {number} of 0x7f{number:06x}"),
    "a consumer": lambda number: logging.getLogger("dramatiq.worker").critical("Consumer error: %s", number),
    "a warning of ours": lambda number: structlog.get_logger("workers").warning("Settling failed", error="x", n=number),
}


@pytest.mark.parametrize("what", REPEATED)
def test_equal_lines_are_written_a_few_times_in_a_window(written, what):
    for number in range(1000):
        REPEATED[what](number)

    assert len(written.lines) == LINES


@pytest.mark.parametrize("failing", [crash, crash_of_ours])
def test_equal_tracebacks_are_written_once_in_a_window(written, failing):
    for number in range(1000):
        failing(number)

    assert [("Traceback" in line["exception"]) for line in written.lines] == [True]


@pytest.mark.parametrize("what", REPEATED)
def test_the_number_of_lines_left_out_is_said_at_the_next_line_after_the_window(written, clock, what):
    for number in range(LINES + 7):
        REPEATED[what](number)
    clock.now += WINDOW

    logging.getLogger("other").warning("Something else")

    assert [line["count"] for line in written.left_out] == [7]
    assert written.lines[-1]["event"] == "Something else"


def test_the_number_of_lines_left_out_is_said_when_the_process_ends(written):
    for number in range(LINES + 3):
        REPEATED["a consumer"](number)
        crash(number)

    logging.getLogger().handlers[0].close()

    assert [(line["logger"], line["count"]) for line in written.left_out] == [
        ("dramatiq.worker", 3),
        ("django.request", LINES + 2),
    ]


def test_lines_are_written_again_in_the_next_window(written, clock):
    for _ in range(3):
        for number in range(100):
            REPEATED["a consumer"](number)
        clock.now += WINDOW

    assert len([line for line in written.lines if line["event"].startswith("Consumer")]) == 3 * LINES


@pytest.mark.parametrize(
    "other",
    [
        lambda: logging.getLogger("pika.other").error("Socket %s failed", 1),
        lambda: logging.getLogger("pika.io").critical("Socket %s failed", 1),
        lambda: logging.getLogger("pika.io").error("Channel %s failed", 1),
        lambda: logging.getLogger("pika.io").error("Socket %s failed", 1, exc_info=ValueError()),
    ],
)
def test_another_logger_level_event_or_error_has_its_own_limit(written, other):
    for number in range(100):
        REPEATED["a library's error"](number)
    other()

    assert len(written.lines) == LINES + 1


@pytest.mark.parametrize("action", ["staff_retry", "key_created", "exported"])
def test_lines_of_the_service_about_single_events_are_all_written(written, action):
    for number in range(100):
        structlog.get_logger("operators").info("Staff", action=action, row={"id": number})

    assert len(written.lines) == 100


def test_many_kinds_of_lines_share_one_limit(written, monkeypatch):
    monkeypatch.setattr(log_limit, "MOST_KINDS", 5)
    for letter in range(ord("a"), ord("z")):
        logging.getLogger("library").error("Failed: " + chr(letter) * 3)

    assert len(written.lines) == 5 + LINES
