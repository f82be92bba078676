"""Pause, open breaker, disable endpoint and their opposites: each takes effect once and is recorded."""

from functools import partial

import pytest
from django.contrib.admin.models import LogEntry

from clients.models import Client
from operators.actions.table import ACTIONS
from providers.models import Provider
from tests.cast import clear_caches, job
from tests.threads import at_once
from workers import breaker, jobs, kinds
from workers.models import Breaker, Job
from workers.outcomes import Wake

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def logged():
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("id")]


def taken(lane):
    """Return how many jobs of a lane a worker claims."""
    clear_caches()
    breaker.held_back.cache_clear()
    return sum(len(found.claims) for found in jobs.claim_lanes({lane: 9}, kinds.all_kinds()))


def test_a_paused_provider_is_not_called(press, third, record):
    assert press("pause_provider", third.provider.pk, "they asked us to") == ""

    assert taken(third.provider.lane) == 0
    assert Provider.objects.get().paused_why == "they asked us to"
    assert logged() == ["Paused the provider: they asked us to"]


def test_a_pause_needs_a_reason(press, third):
    with pytest.raises(ValueError, match="reason"):
        press("pause_provider", third.provider.pk, "")


def test_a_provider_is_paused_once(press, third):
    press("pause_provider", third.provider.pk, "they asked us to")

    assert press("pause_provider", third.provider.pk, "again") == "it is paused already: they asked us to"
    assert len(logged()) == 1


def test_a_resumed_provider_is_called_again(press, third, record, monkeypatch):
    woken: list[Wake] = []
    press("pause_provider", third.provider.pk)
    monkeypatch.setattr("operators.actions.action.announce", woken.extend)

    assert press("resume_provider", third.provider.pk, "") == ""

    assert [(wake.kind, wake.lane) for wake in woken] == [(kind, third.provider.lane) for kind in ("create", "track")]
    assert (Provider.objects.get().paused_why, taken(third.provider.lane)) == ("", 1)
    assert logged()[1] == "Resumed the provider, which was paused: because"
    assert press("resume_provider", third.provider.pk) == "it is not paused"


def test_a_provider_whose_headers_cannot_be_decrypted_can_be_paused(press, third, settings):
    Provider.objects.update(headers={"X-Api-Key": "secret"})
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]

    assert press("pause_provider", third.provider.pk) == ""


def test_an_open_breaker_delays_only_its_kind_of_job(press, third):
    assert press("open_breaker_create", third.provider.pk) == ""

    assert breaker.is_open(third.provider.lane, "create") and not breaker.is_open(third.provider.lane, "track")
    assert Breaker.objects.get().probe_at is not None
    assert logged() == ["Opened the circuit breaker of the jobs create: because"]
    assert press("open_breaker_create", third.provider.pk) == "it is open already"


def test_a_breaker_that_is_turned_off_cannot_be_opened(press, third):
    Provider.objects.update(circuit_breaker=False)

    assert "use Pause instead" in press("open_breaker_track", third.provider.pk)


def test_jobs_run_again_after_the_breaker_is_closed(press, third, record):
    press("open_breaker_create", third.provider.pk)
    assert taken(third.provider.lane) == 0

    assert press("close_breaker_create", third.provider.pk, "") == ""

    assert taken(third.provider.lane) == 1
    assert press("close_breaker_create", third.provider.pk, "") == "it is not open"


def test_an_endpoint_disabled_by_staff_gets_no_notifications(press, alice, record):
    assert press("disable_endpoint", alice.client.pk, "they are moving") == ""

    client = Client.objects.get()
    assert (client.endpoint_disabled_why, client.endpoint_disabled_at is None) == ("by staff", False)
    assert "they are moving" not in client.endpoint_disabled_why  # the client sees it
    assert taken(alice.settings.lane) == 0
    assert press("disable_endpoint", alice.client.pk) == "it is disabled by staff already"


def test_staff_can_disable_an_endpoint_that_the_service_has_disabled(press, alice, record):
    Client.objects.update(endpoint_disabled_at=record.created_at, endpoint_disabled_why="it answered 410 Gone")

    assert press("disable_endpoint", alice.client.pk) == ""
    assert Client.objects.get().endpoint_disabled_why == "by staff"


def test_an_enabled_endpoint_gets_its_queued_notifications(press, alice, record, django_capture_on_commit_callbacks):
    press("disable_endpoint", alice.client.pk)
    Client.objects.update(endpoint_failing_since=record.created_at)
    Job.objects.filter(kind="notify").update(claim_count=5, tries=4, run_at="2099-01-01T00:00Z")

    with django_capture_on_commit_callbacks(execute=True):
        assert press("enable_endpoint", alice.client.pk, "") == ""

    client = Client.objects.get()
    assert (client.endpoint_disabled_at, client.endpoint_disabled_why) == (None, "")
    assert client.endpoint_failing_since is None
    assert (job(record, "notify").tries, taken(alice.settings.lane)) == (0, 1)
    assert press("enable_endpoint", alice.client.pk) == "it is enabled"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["pause_provider", "open_breaker_create"])
def test_two_people_at_once_have_one_effect(third, olga, otto, name):
    both = [partial(ACTIONS[name].run, pk=third.provider.pk, by=by, reason=by.username) for by in (olga, otto)]

    assert sorted(map(bool, at_once(*both))) == [False, True]
    assert len(logged()) == 1
