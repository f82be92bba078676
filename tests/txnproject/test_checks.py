"""All system checks by id: values at their bounds, and beyond them."""

import os
import shlex
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as configured
from django.core.checks import CheckMessage, run_checks
from django.utils import timezone

from clients.models import Client
from devstack.paths import CHECKOUT
from tests.cast import make_client, make_provider

pytestmark = pytest.mark.slow

KEY = Fernet.generate_key().decode()
SHORT_KEY = KEY[:-8]


def found(**options: Any) -> list[CheckMessage]:
    return [message for message in run_checks(**options) if not message.is_silenced()]


def ids(**options: Any) -> list[str | None]:
    return [error.id for error in found(**options)]


def program(*words: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python with these environment variables changed, or left out (None)."""
    changed = {name: value for name, value in (os.environ | environment).items() if value is not None}
    return subprocess.run(
        [sys.executable, *words],
        env=changed,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_settings_of_the_tests_have_no_errors():
    assert ids() == []


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("SECRET_KEY", "", "txnproject.E001"),
        ("SECRET_KEY", "x" * 49, "txnproject.E001"),
        ("ENCRYPTION_KEYS", [], "txnproject.E002"),
        ("ENCRYPTION_KEYS", ["x"], "txnproject.E003"),
        ("ENCRYPTION_KEYS", [""], "txnproject.E003"),
        ("ENCRYPTION_KEYS", [KEY, SHORT_KEY], "txnproject.E003"),
        ("ENCRYPTION_KEYS", [KEY, "é" * 44], "txnproject.E003"),
        ("ENCRYPTION_KEYS", [f'"{KEY}'], "txnproject.E003"),
        ("ENCRYPTION_KEYS", [f"{KEY[:9]} {KEY[9:]}"], "txnproject.E003"),
        ("ENCRYPTION_KEYS", [f"${KEY}"], "txnproject.E003"),
        ("BROKER_URL", "", "txnproject.E005"),
        ("BROKER_URL", "127.0.0.1:6379", "txnproject.E005"),
        ("BROKER_URL", "http://127.0.0.1:6379", "txnproject.E005"),
        ("ALLOWED_HOSTS", [], "txnproject.E006"),
        ("ALLOWED_HOSTS", ["relay.example", "relay.example:80"], "txnproject.E012"),
        ("OUTBOUND_ALLOWED_HOSTS", ["*"], "txnproject.E012"),
        ("CSRF_TRUSTED_ORIGINS", ["https://relay.example/path"], "txnproject.E012"),
        ("CORS_ALLOWED_ORIGINS", ["https://*.example"], "txnproject.E012"),
        ("KEEP_ALIVE", 0.9, "txnproject.E014"),
        ("KEEP_ALIVE", 3600.1, "txnproject.E014"),
        ("KEEP_ALIVE", -75.0, "txnproject.E014"),
        ("PUBLIC_URL", "", "txnproject.E007"),
        ("PUBLIC_URL", "relay.example", "txnproject.E007"),
        ("PUBLIC_URL", "ftp://relay.example", "txnproject.E007"),
        ("PUBLIC_URL", "https://", "txnproject.E007"),
        ("PUBLIC_URL", "https://[::1", "txnproject.E007"),
        ("PUBLIC_URL", "https://relay.example:port", "txnproject.E007"),
        ("PUBLIC_URL", 'https://relay.example"', "txnproject.E007"),
        ("PUBLIC_URL", "https://relay.example/?a=b", "txnproject.E007"),
        ("SANDBOX_URL", "127.0.0.1:9100", "txnproject.E010"),
        ("SANDBOX_URL", "http://", "txnproject.E010"),
        ("SANDBOX_URL", "javascript://x/%0aalert(1)", "txnproject.E010"),
        ("TLS", "", "txnproject.E008"),
        ("TLS", "no", "txnproject.E008"),
        ("LOG_LEVEL", "LOUD", "txnproject.E009"),
        ("STATUS_BY_HAND_NEEDS_TWO", "yes", "txnproject.E011"),
        ("LOG_LEVEL", "", "txnproject.E009"),
        ("CREATE_LEASE", 18.9, "providers.E001"),
        ("TRACK_LEASE", 17.9, "providers.E002"),
        ("CLIENT_RATE_LIMIT", "100 a second", "clients.E001"),
        ("TRUSTED_PROXIES", "-1", "providers.E004"),
        ("TRUSTED_PROXIES", "1.5", "providers.E004"),
        ("TRUSTED_PROXIES", "proxy.example", "providers.E004"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "providers.E004"),
        ("TRUSTED_PROXIES", "10.0.0.1,", "providers.E004"),
        ("NOTIFY_LEASE", 5.9, "workers.E003"),
        ("MAX_CRASHES", 0, "workers.E004"),
        ("WORKER_CAPACITY", 0, "workers.E005"),
        ("NOTIFICATIONS_IN_FLIGHT", -1, "workers.E006"),
        ("ENDPOINT_DISABLED_AFTER", 0.0, "webhooks.E002"),
        ("STALLED_AFTER", 0.9, "transactions.E001"),
        ("WORKER_GRACE", -0.1, "workers.E007"),
        ("WORKER_GRACE", 600.1, "workers.E007"),
    ],
)
def test_a_bad_value_is_an_error_with_a_hint(settings, name, value, id_):
    setattr(settings, name, value)

    matching = [error for error in found() if error.id == id_]
    assert len(matching) == 1
    assert matching[0].hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "x" * 50),
        ("ENCRYPTION_KEYS", [KEY, Fernet.generate_key().decode()]),
        ("BROKER_URL", "rediss://:word@broker.example:6380/1"),
        ("BROKER_URL", "unix:///run/valkey.sock"),
        ("BROKER_URL", "amqp://u:p@broker.example:5672"),
        ("BROKER_URL", "amqps://broker.example"),
        ("PUBLIC_URL", "https://relay.example/below"),
        ("PUBLIC_URL", "http://127.0.0.1:8000"),
        ("SANDBOX_URL", ""),
        ("SANDBOX_URL", "http://127.0.0.1:9100"),
        ("LOG_LEVEL", "DEBUG"),
        ("CREATE_LEASE", 19),
        ("KEEP_ALIVE", 1),
        ("KEEP_ALIVE", 3600),
        ("ALLOWED_HOSTS", ["*"]),
        ("TRACK_LEASE", 18),
        ("CLIENT_RATE_LIMIT", ""),
        ("CLIENT_RATE_LIMIT", "100/second"),
        ("NOTIFY_LEASE", 18),
        ("MAX_CRASHES", 1),
        ("WORKER_CAPACITY", 1),
        ("NOTIFICATIONS_IN_FLIGHT", 1),
        ("WORKER_GRACE", 0),
        ("WORKER_GRACE", 600),
    ],
)
def test_a_value_at_its_bound_is_no_error(settings, name, value):
    setattr(settings, name, value)

    assert ids() == []


@pytest.mark.parametrize(("name", "id_"), [("CREATE_LEASE", "workers.E001"), ("TRACK_LEASE", "workers.E002")])
def test_a_lease_must_leave_time_to_settle(settings, name, id_):
    setattr(settings, name, 5.9)
    assert id_ in ids()

    setattr(settings, name, 6)
    assert id_ not in ids()


def test_a_notification_needs_its_whole_15_s_within_the_lease(settings):
    settings.NOTIFY_LEASE = 17.9

    assert len(ids()) == 1


@pytest.mark.parametrize("change", [{"NAME": "unset"}, {"ENGINE": "django.db.backends.sqlite3"}])
def test_a_database_must_be_named_and_be_postgresql(change):
    with mock.patch.dict(configured.DATABASES["default"], change):
        assert ids() == ["txnproject.E004"]


def test_a_public_address_is_https_unless_tls_is_off(settings):
    settings.PUBLIC_URL = "http://relay.example"
    settings.TLS = "on"
    assert ids() == ["txnproject.E007"]

    settings.PUBLIC_URL = "https://relay.example"
    assert ids() == []


def test_a_bad_key_is_named_by_its_number(settings):
    settings.ENCRYPTION_KEYS = [KEY, KEY, "bad"]

    [error] = found()
    assert "number 3" in error.msg
    assert KEY not in str(error)


def test_no_secret_is_in_a_check(settings):
    settings.SECRET_KEY = "secret-word"
    settings.ENCRYPTION_KEYS = ["secret-word"]
    settings.BROKER_URL = "http://user:secret-word@broker.example"

    assert not any("secret-word" in str(error) for error in found())


@pytest.mark.django_db
def test_a_provider_that_no_lease_can_hold_is_an_error(settings):
    make_provider("slow", create_timeout=settings.CREATE_LEASE - 18 + 0.1)
    make_provider("quick", create_timeout=settings.CREATE_LEASE - 18)

    [error] = found(databases=["default"])
    assert (error.id, "slow" in error.msg) == ("providers.E003", True)
    assert "CREATE_LEASE" in (error.hint or "")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["shop", "shop & co", "it's a shop"])
def test_a_client_without_a_live_secret_is_a_warning(name):
    make_client("alice", None)
    Client.objects.create(name=name, callback_url="https://shop.example")

    [warning] = found(databases=["default"])
    assert (warning.id, name in warning.msg, warning.is_serious()) == ("clients.W001", True, False)
    assert shlex.split((warning.hint or "").partition("manage.py ")[2]) == ["createsecret", "--client", name]


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["standard", "stripe", "hmac-sha256"])
def test_a_provider_without_a_live_secret_that_it_needs_is_a_warning(scheme):
    make_provider("signs", webhook_auth=scheme)
    expired = make_provider("expired", webhook_auth=scheme).provider
    expired.webhook_secrets.update(expires_at=timezone.now())
    make_provider("tokens", webhook_auth="url-token").provider.webhook_secrets.all().delete()

    [warning] = found(databases=["default"])
    assert (warning.id, "expired" in warning.msg) == ("providers.W001", True)
    assert "createsecret --provider expired" in (warning.hint or "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("headers", {"Idempotency-Key": "hunter2"}),
        ("headers", {"content-length": "0"}),
        ("headers", {"X-Key": "hunter2", "x-key": "hunter2"}),
        ("status_path", "/transactions"),
        ("create_path", "transactions"),
        ("base_url", "https://third.example/?v=1"),
        ("base_url", "https://third.example/#top"),
    ],
)
def test_a_stored_setting_that_no_form_accepts_is_an_error(name, value):
    make_provider("good", headers={"Content-Type": "application/json"})
    make_provider("bad", **{name: value})

    [error] = found(databases=["default"])
    assert error.id == "providers.E005" and error.msg.startswith(f"Provider bad: {name} ")
    assert "'bad'" in (error.hint or "") and "hunter2" not in str(error)


@pytest.mark.django_db
def test_headers_that_cannot_be_decrypted_do_not_stop_the_boot(settings):
    make_provider("bank", headers={"X-Key": "hunter2"}, webhook_auth="url-token")
    settings.ENCRYPTION_KEYS = [KEY]

    assert ids(databases=["default"]) == []


@pytest.mark.django_db
def test_providers_are_not_read_when_no_database_is_checked(settings):
    make_provider("slow", create_timeout=settings.CREATE_LEASE)

    assert ids() == []


@pytest.mark.parametrize("words", [("manage.py", "check"), ("-c", "import txnproject.asgi")])
@pytest.mark.parametrize("value", ["", None])
def test_no_program_starts_without_an_environment(words, value):
    variables = ("SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "BROKER_URL", "ALLOWED_HOSTS", "PUBLIC_URL")

    run = program(*words, **dict.fromkeys(variables, value))

    assert run.returncode != 0
    missing = [f"txnproject.E00{number}" for number in (1, 2, 4, 5, 6, 7) if f"E00{number}" not in run.stderr]
    assert missing == [], run.stderr[-1000:]


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///file", "postgresql://"])
def test_no_program_starts_with_another_database(url):
    run = program("manage.py", "check", DATABASE_URL=url)

    assert run.returncode != 0
    assert "txnproject.E004" in run.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENCRYPTION_KEYS", "x"), ("LOG_LEVEL", "loud"), ("CREATE_LEASE", "5"), ("MAX_CRASHES", "0"), ("TLS", "maybe")],
)
def test_the_web_process_does_not_start_with_a_bad_value(name, value):
    run = program("-c", "import txnproject.asgi", **{name: value})

    assert run.returncode != 0
    assert name in run.stderr and "E00" in run.stderr


def test_the_web_process_starts_with_good_values():
    run = program("-c", "import txnproject.asgi")

    assert (run.returncode, run.stderr) == (0, "")


def test_tls_is_on_unless_it_is_said_to_be_off():
    run = program("manage.py", "check", TLS=None, PUBLIC_URL="http://relay.example")

    assert "txnproject.E007" in run.stderr
