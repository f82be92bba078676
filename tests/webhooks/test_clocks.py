"""Keys, secrets and webhooks if this machine's clock differs from the database's: the database's counts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from clients.models import ApiKey, CallbackSecret
from operators.credentials import add_secret, create_key
from tests.cast import accepted, clear_caches
from tests.clock_shim import ShiftedClock, shifted_clock
from tests.transactions.api.callers import Api
from tests.webhooks.senders import send_signed, words
from workers import clock
from workers.clock import DatabaseClock

pytestmark = pytest.mark.django_db

HOUR = 3600.0
leads = pytest.mark.parametrize("lead", [HOUR, -HOUR, 86_400.0])


@pytest.fixture
def shifted(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShiftedClock]:
    """The database's clock, in a process that has not read it yet."""
    monkeypatch.setattr(clock, "database", DatabaseClock())
    with shifted_clock() as found:
        yield found


@leads
def test_a_webhook_is_fresh_by_the_databases_clock(shifted, alice, third, lead):
    record = accepted(alice, third)
    shifted.jump(lead)
    clear_caches()

    at = datetime.now(UTC) + timedelta(seconds=lead)
    assert send_signed(third, words(record.id), at=at).status_code == 204


@leads
def test_a_webhook_that_is_fresh_by_the_machines_clock_only_is_refused(shifted, alice, third, lead):
    record = accepted(alice, third)
    shifted.jump(lead)
    clear_caches()

    assert send_signed(third, words(record.id)).status_code == 401


@pytest.mark.parametrize(("ends_in", "status"), [(-1, 403), (60, 200), (HOUR, 200)])
@leads
def test_an_api_key_expires_by_the_databases_clock(shifted, alice, third, lead, ends_in, status):
    shifted.jump(lead)
    ApiKey.objects.update(expires_at=Now() + timedelta(seconds=ends_in))
    clear_caches()

    assert Api(alice).get().status_code == status


@leads
def test_a_new_key_lives_for_its_days_by_the_databases_clock(shifted, alice, lead):
    shifted.jump(lead)
    create_key(alice.client, name="second", days=1)

    lives = ApiKey.objects.get(name="second").expires_at
    assert lives is not None
    assert abs(lives - clock.read().at - timedelta(days=1)) < timedelta(seconds=10)


@leads
def test_an_older_secret_ends_by_the_databases_clock(shifted, alice, lead):
    shifted.jump(lead)
    add_secret(alice.client, overlap_days=0)
    clear_caches()

    assert CallbackSecret.objects.filter(expires_at__lte=Now()).count() == 1
    assert len(alice.settings.callback_secrets) == 1
