"""Time of the last use of a key: accurate to a minute, without cost for a request."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from clients.models import ApiKey
from tests.cast import Caller, clear_caches
from tests.threads import aside
from tests.transactions.api.callers import Api

pytestmark = pytest.mark.django_db

HOUR, SECONDS = timedelta(hours=1), timedelta(seconds=30)


def last_use(caller: Caller) -> datetime | None:
    return ApiKey.objects.get(client=caller.client).last_used_at


def used(caller: Caller, ago: timedelta) -> datetime:
    """Set the last use of the key to some time ago, and clear the cached key."""
    at = datetime.now(UTC) - ago
    ApiKey.objects.filter(client=caller.client).update(last_used_at=at)
    clear_caches()
    return at


def test_a_new_key_has_no_last_use(alice):
    assert last_use(alice) is None


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_use_is_recorded(api, alice, method):
    getattr(api, method)()

    noted = last_use(alice)
    assert noted is not None
    assert datetime.now(UTC) - noted < timedelta(minutes=1)


def test_a_later_use_is_recorded(api, alice):
    before = used(alice, HOUR)
    api.get()

    noted = last_use(alice)
    assert noted is not None and noted > before + SECONDS


def test_within_a_minute_nothing_is_written(api, alice, django_assert_num_queries):
    before = used(alice, SECONDS)

    with django_assert_num_queries(4):  # key, client, its secrets, the list
        api.get()

    assert last_use(alice) == before


def test_while_the_key_is_cached_nothing_is_written(api, alice):
    api.get()
    ApiKey.objects.update(last_used_at=None)
    api.get()

    assert last_use(alice) is None


def test_two_processes_do_not_both_write_in_a_minute(api, alice, monkeypatch):
    """The second process reads the key before the first one writes."""
    row = ApiKey.objects.get()
    api.get()
    noted = last_use(alice)

    from clients.settings import _record_use

    _record_use(row)

    assert last_use(alice) == noted


@pytest.mark.parametrize("fields", [{"revoked_at": datetime.now(UTC)}, {"expires_at": datetime.now(UTC) - HOUR}])
def test_a_refused_use_is_not_recorded(api, alice, fields):
    ApiKey.objects.update(**fields)

    assert api.get().status_code == 403
    assert last_use(alice) is None


@contextlib.contextmanager
def read_only() -> Iterator[None]:
    """Make PostgreSQL refuse changes from this connection, as a standby does."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")


@pytest.mark.django_db(transaction=True)
def test_a_use_that_cannot_be_recorded_fails_no_request(api, alice, caplog):
    with read_only():
        assert api.get().status_code == 200

    assert last_use(alice) is None
    assert "could not be recorded" in caplog.text
    assert alice.key not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_lock_on_the_keys_row_delays_no_request(alice, caplog):
    with transaction.atomic():
        ApiKey.objects.select_for_update().get(client=alice.client)
        assert aside(lambda: Api(alice).get().status_code) == 200

    assert last_use(alice) is None
    assert "could not be recorded" not in caplog.text, "it waited until lock_timeout"


def commits_wait() -> bool:
    """Return whether a commit waits for the disk."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        return bool(cursor.fetchone()[0] != "off")


@pytest.mark.django_db(transaction=True)
def test_only_the_record_of_the_use_does_not_wait_for_the_disk(api):
    with transaction.atomic():
        api.get()
        assert not commits_wait()

    assert commits_wait()
