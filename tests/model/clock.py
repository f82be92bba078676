"""A clock that moves only when told: PostgreSQL, claims and the event loop tell the same time. No test waits for it,
and the same steps happen at the same times again, so that what fails can be repeated and made shorter."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.db import connection

START = "pg_catalog.current_setting('model.start')::timestamptz"
SKIPPED = "pg_catalog.current_setting('model.skipped')::float8 * interval '1 second'"
TICK = "pg_catalog.nextval('model.ticks') * interval '1 microsecond'"
"""Two rows of one statement do not get the same time, so that their order is not left to chance."""


class Clock:
    """The statements of the service find its functions before PostgreSQL's own, so nothing stored has to be moved."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.start = datetime.now(UTC)

    def install(self) -> None:
        """Once a database."""
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA model")
            cursor.execute("CREATE SEQUENCE model.ticks")
            for name, kind, more in (
                ("clock_timestamp", "VOLATILE", f"+ {TICK}"),
                ("statement_timestamp", "STABLE", ""),
                ("now", "STABLE", ""),
            ):
                cursor.execute(
                    f"CREATE FUNCTION model.{name}() RETURNS timestamptz LANGUAGE sql {kind}"
                    f" AS $$ SELECT {START} + {SKIPPED} {more} $$"
                )

    def remove(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA model CASCADE")

    def begin(self) -> None:
        """Count from here, until the database transaction that is open ends. It is ahead of the true time, which the
        columns' own defaults give: what they say is past."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('model.start', (now() + interval '1 hour')::text, true)::timestamptz")
            [self.start] = cursor.fetchone()
            cursor.execute("SET LOCAL search_path = model, public, pg_catalog")
        self.skipped = 0.0
        self.skip(0.0)

    def now(self) -> float:
        """Seconds since the beginning."""
        return self.skipped

    def time(self) -> datetime:
        """What PostgreSQL's clock says."""
        return self.start + timedelta(seconds=self.skipped)

    def skip(self, seconds: float) -> None:
        self.skipped += seconds
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('model.skipped', %s, true), setval('model.ticks', 1)", [str(self.skipped)]
            )

    def as_time(self) -> Any:
        """Stands in for the module `time` where the service asks for `time.monotonic()`."""
        return SimpleNamespace(monotonic=self.now)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop whose time-outs go by this clock."""
        loop = asyncio.new_event_loop()
        loop.time = self.now  # type: ignore[method-assign]
        return loop
