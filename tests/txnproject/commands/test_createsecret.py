from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management.base import CommandError
from django.utils import timezone

from clients.models import CallbackSecret
from providers.models import WebhookSecret
from tests.cast import Third, clear_caches
from tests.management import made, said
from tests.webhooks.senders import send_signed, words
from workers.foundation.ids import uuid7
from workers.foundation.webhook_secrets import new_secret

pytestmark = pytest.mark.django_db


def webhook(third: Third, secret: str) -> int:
    """Return the HTTP status for a webhook that this secret has signed."""
    return int(send_signed(replace(third, secret=secret), words(uuid7())).status_code)


def test_notifications_are_signed_with_the_new_and_the_older_secret(alice):
    printed = made("createsecret", "--client", "alice")

    assert set(printed) == {"client", "callback_secret"}
    assert alice.settings.callback_secrets == (alice.secret, printed["callback_secret"])


def test_the_older_secret_expires_in_a_day(alice):
    made("createsecret", "--client", "alice")

    older, newer = CallbackSecret.objects.order_by("id")
    assert older.expires_at is not None
    assert timedelta(hours=23) < older.expires_at - timezone.now() < timedelta(hours=25)
    assert newer.expires_at is None


def test_without_an_overlap_the_older_secret_expires_now(alice):
    printed = made("createsecret", "--client", "alice", "--overlap", "0")

    assert alice.settings.callback_secrets == (printed["callback_secret"],)


def test_webhooks_signed_with_the_older_secret_are_refused_after_the_overlap(third):
    printed = made("createsecret", "--provider", "third", "--overlap", "1")
    assert set(printed) == {"provider", "webhook_secret"}
    both = third.secret, printed["webhook_secret"]
    assert [webhook(third, secret) for secret in both] == [204, 204]

    WebhookSecret.objects.exclude(expires_at=None).update(expires_at=timezone.now())
    clear_caches()

    assert [webhook(third, secret) for secret in both] == [401, 204]


def test_a_secret_issued_by_the_provider_can_be_given(third):
    theirs = new_secret()

    assert made("createsecret", "--provider", "third", "--secret", theirs)["webhook_secret"] == theirs
    assert theirs in third.settings.live_secrets


def test_it_also_prints_the_secret_as_text(alice):
    printed = said("createsecret", "--client", "alice")

    assert CallbackSecret.objects.latest("id").secret in printed
    assert "cannot be shown again" in printed


@pytest.mark.parametrize(
    "words",
    [(), ("--client", "nobody"), ("--provider", "nobody"), ("--client", "alice", "--provider", "third"),
     ("--client", "alice", "--overlap", "-1"), ("--client", "alice", "--overlap", "nan"),
     ("--client", "alice", "--overlap", "9999"), ("--provider", "third", "--secret", "hunter2-and-more")],
)  # fmt: skip
def test_invalid_arguments_change_nothing(alice, third, words):
    with pytest.raises(CommandError) as error:
        said("createsecret", *words)

    assert "hunter2" not in str(error.value)
    assert list(CallbackSecret.objects.values_list("expires_at", flat=True)) == [None]
    assert list(WebhookSecret.objects.values_list("expires_at", flat=True)) == [None]
