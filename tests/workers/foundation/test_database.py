"""What counts as "the database is away", and what as a statement's own fault."""

import psycopg2
import pytest
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection

from workers.foundation.database import is_away, retry_once


def ended_in_the_middle() -> DatabaseError:
    """What a server that crashes during a statement looks like."""
    error = DatabaseError("server closed the connection unexpectedly")
    error.__cause__ = psycopg2.DatabaseError("server closed the connection unexpectedly")
    return error


@pytest.mark.parametrize("error", [OperationalError(), InterfaceError(), ended_in_the_middle()])
def test_a_lost_connection_is_away(error):
    assert is_away(error)


@pytest.mark.parametrize("error", [DataError(), DatabaseError("no row was updated"), ValueError()])
def test_what_a_statement_did_wrong_is_not(error):
    assert not is_away(error)


@pytest.mark.django_db(transaction=True)
def test_work_is_repeated_when_the_server_ended_in_the_middle_of_it():
    runs = []

    def work():
        runs.append(1)
        if len(runs) == 1:
            connection.close()
            connection.connect()
            raise ended_in_the_middle()
        return "done"

    assert retry_once(work) == "done"
