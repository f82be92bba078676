"""What counts as "the database is away", and what as a statement's own fault."""

from collections.abc import Iterator
from unittest import mock

import psycopg2
import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from tests.transactions.api.outages import SPOILED, database_read_only, from_server, make_read_only
from workers.foundation.database import is_away, is_lost, is_read_only, retry_once
from workers.models import WorkerProcess


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


@pytest.mark.parametrize("state", ["25006", "25P02", "25P03", "25001", "08006", "08P01", "57P01", "57P03", "57P05"])
@pytest.mark.parametrize("kind", [InternalError, OperationalError, DatabaseError])
def test_a_session_of_no_further_use_is_away_and_lost(kind, state):
    assert is_away(from_server(kind, state))
    assert is_lost(from_server(kind, state))


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
@pytest.mark.parametrize("state", ["XX000", "3D000", "53300"])
def test_an_error_that_ends_the_session_is_lost(state, severity):
    assert is_lost(from_server(InternalError, state, severity))


@pytest.mark.parametrize("state", ["57014", "55P03", "53100", "40001"])
def test_a_statement_that_could_not_run_now_is_away_but_the_session_is_not_lost(state):
    assert is_away(from_server(OperationalError, state))
    assert not is_lost(from_server(OperationalError, state))


@pytest.mark.parametrize(
    ("kind", "state"), [(ProgrammingError, "42P01"), (InternalError, "XX000"), (IntegrityError, "23505")]
)
def test_the_statement_s_own_error_is_neither(kind, state):
    assert not is_away(from_server(kind, state))
    assert not is_lost(from_server(kind, state))


@pytest.fixture
def _new_connection(transactional_db: None) -> Iterator[None]:
    """Close dead connections, as Django does at the end of a request."""
    yield
    connection.close()


def write() -> str:
    """Write in the database, and return a result."""
    WorkerProcess.objects.filter(pid=0).delete()
    return "done"


@pytest.mark.usefixtures("_new_connection")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("spoil", SPOILED)
def test_work_is_repeated_on_a_new_connection(spoil):
    connection.ensure_connection()
    spoil()

    assert retry_once(write) == "done"


@pytest.mark.usefixtures("_new_connection")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("spoil", SPOILED[:3])
def test_a_transaction_is_repeated_on_a_new_connection(spoil):
    connection.ensure_connection()
    spoil()

    def work():
        with transaction.atomic(durable=True):
            return write()

    assert retry_once(work) == "done"


@pytest.mark.usefixtures("_new_connection")
@pytest.mark.django_db(transaction=True)
def test_work_is_not_repeated_inside_of_a_transaction():
    make_read_only()
    with pytest.raises(InternalError), transaction.atomic():
        retry_once(write)

    assert retry_once(write) == "done"


@pytest.mark.usefixtures("_new_connection")
@pytest.mark.django_db(transaction=True)
def test_a_server_that_is_read_only_costs_one_new_connection():
    opened = []
    with database_read_only(), mock.patch.object(connection, "connect", side_effect=connection.connect) as connect:
        for _ in range(3):
            connection.close()
            with pytest.raises(InternalError) as error:
                retry_once(write)
            assert is_read_only(error.value)
            opened.append(connect.call_count)

    assert opened == [1, 2, 3]


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
