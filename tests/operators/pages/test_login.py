"""Login, and the lockout after too many wrong passwords."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client as Web

from operators import site
from tests.transactions.api.outages import SPOILED, database_read_only

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

LOGIN = "/admin/login/?next=/admin/"
TRIES = 5


@pytest.fixture(autouse=True)
def root(db: None, settings) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick; what is tested is the lock
    return User.objects.create_superuser("root", password="right")


def log_in(password: str, name: str = "root", address: str = "192.0.2.1", **headers: str) -> Any:
    given = {header.replace("_", "-"): value for header, value in headers.items()}
    return Web().post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address, headers=given)


def lock(name: str = "root", **how: str) -> None:
    answers = [log_in("wrong", name, **how).status_code for _ in range(TRIES)]
    assert answers == [200] * (TRIES - 1) + [429]


@pytest.mark.parametrize("password", ["right", "wrong", ""])
def test_a_third_simultaneous_login_checks_no_password(monkeypatch, password):
    monkeypatch.setattr("operators.site._checks", threading.BoundedSemaphore(1))
    with site._checks:
        answer = log_in(password)

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert not AccessAttempt.objects.exists()
    assert log_in("right").status_code == 302


def test_the_correct_password_logs_in():
    assert log_in("right").status_code == 302


def test_after_five_wrong_passwords_the_correct_one_is_refused():
    lock()

    assert log_in("right").status_code == 429


def test_the_response_is_a_page_with_the_waiting_time():
    lock()

    answer = log_in("wrong")

    assert 890 <= int(answer["Retry-After"]) <= 900
    assert answer["Content-Type"].startswith("text/html")
    assert b"in 15 minutes" in answer.content


def test_scripts_get_the_same_response_and_other_origins_cannot_read_it():
    lock()

    answer = log_in("wrong", X_Requested_With="XMLHttpRequest", Origin="https://evil.example")

    assert (answer.status_code, "Retry-After" in answer) == (429, True)
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("other", [{"name": "other"}, {"address": "192.0.2.2"}, {"address": "2001:db8::1"}])
def test_other_names_and_other_addresses_are_not_locked(other):
    User.objects.create_superuser("other", password="right")
    lock()

    assert log_in("right", **other).status_code == 302


def test_the_correct_password_resets_the_count():
    for _ in range(2):
        for _ in range(TRIES - 1):
            log_in("wrong")
        assert log_in("right").status_code == 302


def let_pass(minutes: int) -> None:
    AccessAttempt.objects.update(attempt_time=Now() - timedelta(minutes=minutes))


def test_the_lockout_ends_after_fifteen_minutes():
    lock()

    let_pass(16)

    assert log_in("right").status_code == 302


def test_an_attempt_during_the_lockout_neither_extends_it_nor_is_stored():
    lock()
    let_pass(14)
    before = AccessAttempt.objects.values().get()

    assert int(log_in("wrong")["Retry-After"]) <= 60
    assert AccessAttempt.objects.values().get() == before


def test_passwords_are_not_stored():
    log_in("wrong-and-secret")

    assert "wrong-and-secret" not in str(AccessAttempt.objects.values().get())


def test_unknown_user_names_are_locked_out_too():
    lock("nobody")


def test_names_that_the_database_cannot_store_cause_no_error():
    assert log_in("wrong", "a\x00b").status_code == 200
    assert log_in("wrong", "").status_code == 200
    lock("x" * 5000)


def test_a_trusted_proxy_names_the_client_address(settings):
    settings.TRUSTED_PROXIES = "1"
    User.objects.create_superuser("other", password="right")
    lock(address="10.0.0.1", X_Forwarded_For="203.0.113.1, 192.0.2.1")

    assert log_in("right", address="10.0.0.1", X_Forwarded_For="203.0.113.9, 192.0.2.1").status_code == 429
    assert log_in("right", address="10.0.0.1", X_Forwarded_For="203.0.113.1, 192.0.2.2").status_code == 302


@pytest.mark.parametrize("entry", ["{}:4001", 'for="{}"', "::ffff:{}"])
def test_the_notation_of_the_forwarded_address_does_not_count(settings, entry):
    settings.TRUSTED_PROXIES = "1"
    lock(address="10.0.0.1", X_Forwarded_For=entry.format("192.0.2.1"))

    assert log_in("right", address="10.0.0.1", X_Forwarded_For="192.0.2.1:4002").status_code == 429
    assert log_in("right", address="10.0.0.1", X_Forwarded_For=entry.format("192.0.2.2")).status_code == 302


def test_without_a_trusted_proxy_the_forwarded_address_is_ignored():
    lock(X_Forwarded_For="203.0.113.1")

    assert log_in("right", X_Forwarded_For="203.0.113.2").status_code == 429


def test_a_command_prunes_old_logins():
    log_in("right")
    AccessLog.objects.update(attempt_time=Now() - timedelta(days=91))
    log_in("right")

    call_command("axes_reset_logs", age=90, verbosity=0)

    assert AccessLog.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("spoil", SPOILED)
def test_a_useless_connection_fails_one_login_at_most(spoil):
    web = Web(raise_request_exception=False)
    spoil()
    first, second = (web.post(LOGIN, {"username": "root", "password": "right"}) for _ in range(2))

    assert first.status_code in (302, 503)
    assert second.status_code == 302
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("password", ["right", "wrong"])
def test_a_login_on_a_read_only_database_is_answered_503_with_retry_after(password):
    with database_read_only():
        answer = Web(raise_request_exception=False).post(LOGIN, {"username": "root", "password": password})

    assert (answer.status_code, answer["Content-Type"]) == (503, "text/plain")
    assert int(answer["Retry-After"]) > 0
