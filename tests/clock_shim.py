"""Clock of PostgreSQL that tests move: functions in a schema that precedes `pg_catalog` in `search_path`.

It covers unqualified calls, that is all statements of the service. A column default keeps the function that its table
was created with.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from django.db import connection

SEARCH_PATH = "shim, public, pg_catalog"
# ruff: noqa: S608  only constants are put into the statements
FUNCTIONS = {"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"}
CREATE = ";".join(
    [
        "CREATE SCHEMA shim",
        "CREATE TABLE shim.skew AS SELECT 0::float8 AS seconds",
        *(
            f"CREATE FUNCTION shim.{name}() RETURNS timestamptz LANGUAGE sql {kind} AS $$"
            f" SELECT pg_catalog.{name}() + (SELECT seconds FROM shim.skew) * interval '1 second' $$"
            for name, kind in FUNCTIONS.items()
        ),
    ]
)
JUMP = "UPDATE shim.skew SET seconds = seconds + %s"


def install(database_url: str) -> None:
    """Install the clock for all later sessions of a database without tables."""
    session = psycopg2.connect(database_url)
    with session, session.cursor() as cursor:
        cursor.execute(CREATE)
        cursor.execute(f"ALTER DATABASE {session.info.dbname} SET search_path = {SEARCH_PATH}")
    session.close()


class ShiftedClock:
    """The clock of the test's own session."""

    def jump(self, seconds: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute(JUMP, [seconds])


@contextmanager
def shifted_clock() -> Iterator[ShiftedClock]:
    """Install the clock in the database transaction of a test, which rolls it back."""
    with connection.cursor() as cursor:
        cursor.execute(f"{CREATE}; SET LOCAL search_path = {SEARCH_PATH}")
    yield ShiftedClock()
