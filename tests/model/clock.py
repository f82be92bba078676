"""Controllable clock, shared by PostgreSQL, claims and the event loop.

Tests move the clock instead of waiting. The same steps happen at the same times in each run, so a failure can be
repeated and shortened.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from django.db import connection

from workers import clock as service

START = "pg_catalog.current_setting('model.start')::timestamptz"
SKIPPED = "pg_catalog.current_setting('model.skipped')::float8 * interval '1 second'"
TICK = "pg_catalog.nextval('model.ticks') * interval '1 microsecond'"
"""Gives two rows of one statement different times, so that their order is deterministic."""


class Clock:
    """Clock whose SQL functions replace those of PostgreSQL through `search_path`. Stored times stay unchanged."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.start = datetime.now(UTC)

    def install(self) -> None:
        """Create the SQL functions. Call it once per database."""
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
        """Start the clock at 0 for the open database transaction.

        The clock starts one hour ahead of the real time. Column defaults use the real time, so they are in the past.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('model.start', (now() + interval '1 hour')::text, true)::timestamptz")
            [self.start] = cursor.fetchone()
            cursor.execute("SET LOCAL search_path = model, public, pg_catalog")
        self.skipped = 0.0
        self.skip(0.0)
        service.database = service.DatabaseClock()  # one that has not seen the previous example's time

    def now(self) -> float:
        """Return the seconds since `begin`."""
        return self.skipped

    def time(self) -> datetime:
        """Return the time of PostgreSQL's clock."""
        return self.start + timedelta(seconds=self.skipped)

    def skip(self, seconds: float) -> None:
        self.skipped += seconds
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('model.skipped', %s, true), setval('model.ticks', 1)", [str(self.skipped)]
            )

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop whose timeouts use this clock."""
        loop = asyncio.new_event_loop()
        loop.time = self.now  # type: ignore[method-assign]
        return loop
