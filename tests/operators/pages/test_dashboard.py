"""Dashboard: lines that need attention, permissions, and links from each number to its rows."""

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone

from clients.models import UNSIGNED, Client
from operators.dashboard import page as dashboard
from operators.models import MinuteCount
from providers.models import UNVERIFIABLE, Provider
from tests.cast import accepted, due_now, job, make_provider
from tests.operators.pages.conftest import give_up, signed_in
from tests.running import count, tell
from tests.webhooks.senders import tell as tell_signed
from transactions.models import LostCommits, Transaction
from workers.models import Breaker, Job, WorkerProcess

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PAGE, FRAGMENT = "/admin/", "/admin/overview/"


def lines(client) -> list[str]:
    return [line.text for line in client.get(FRAGMENT).context["lines"]]


@pytest.fixture
def worker():
    """A worker process with a recent heartbeat."""
    return WorkerProcess.objects.create(id=uuid.uuid4(), host="host", pid=77, queues="create", version="0.1.0")


@pytest.fixture
def busy(worker, alice, mallory, third):
    """Rows for every number of the dashboard."""
    for status in ("completed", "declined", "failed", "pending", "pending"):
        tell(accepted(alice, third), status)
    late, running = accepted(alice, third), accepted(mallory, third)
    Transaction.objects.filter(pk=late.id).update(review="overdue")
    Job.objects.filter(pk=job(running, "create").pk).update(state="running", lease_until=Now() + timedelta(seconds=9))
    give_up(late, "create")
    Job.objects.filter(state="waiting").update(run_at=Now() + timedelta(hours=1))
    due_now(transaction_id=late.id)
    Client.objects.filter(name="mallory").update(endpoint_failing_since=timezone.now())
    count()


# --- lines that need attention


def test_without_a_problem_nothing_needs_attention(viewer, worker, alice):
    page = viewer.get(PAGE).content.decode()

    assert "Nothing needs attention." in page
    assert "relay-pill--bad" not in page


def test_without_a_worker_action_is_required(viewer, alice):
    assert lines(viewer) == ["No worker is running: transactions are not created, polled or notified."]


def test_a_loss_of_commits_requires_action(viewer, alice, worker):
    LostCommits.objects.create(mark={})

    [line] = viewer.get(FRAGMENT).context["lines"]
    assert line.urgent
    assert line.text.startswith("The database has lost its last commits, noticed ")


@pytest.mark.parametrize(("number", "text"), [(1, "1 webhook"), (2, "2 webhooks"), (3, "3 webhooks")])
def test_webhooks_that_match_no_transaction_are_reported_with_a_link(viewer, third, alice, worker, number, text):
    for nth in range(number):
        tell_signed(third, uuid.uuid4(), webhook=f"msg_{nth}")

    [line] = viewer.get(FRAGMENT).context["lines"]
    assert line.text == f"{text} of the last day matched no transaction."
    assert len(viewer.get(line.url).context["cl"].result_list) == number


def test_a_stopped_last_worker_requires_action(viewer, alice, worker):
    WorkerProcess.objects.update(beat_at=Now() - timedelta(minutes=3))

    [line] = viewer.get(FRAGMENT).context["lines"]
    assert line.urgent
    assert line.text.endswith("The last report came 3 min ago.")


def test_a_stopped_worker_beside_others_is_reported_for_a_while(viewer, alice, worker):
    dead = WorkerProcess.objects.create(id=uuid.uuid4(), host="host", pid=78, queues="create")
    WorkerProcess.objects.filter(pk=dead.pk).update(beat_at=Now() - timedelta(seconds=40))
    assert lines(viewer) == ["Worker host/78 has not reported for 40 s: other workers take over its jobs."]

    WorkerProcess.objects.filter(pk=dead.pk).update(beat_at=Now() - timedelta(seconds=dashboard.RECENT + 1))
    assert lines(viewer) == []


def test_an_unreachable_broker_is_reported(viewer, alice, worker, monkeypatch):
    monkeypatch.setattr("operators.dashboard.page.check_broker", lambda: {"ok": False, "error": "ConnectionError"})

    assert [line.split(".")[0] for line in lines(viewer)] == ["The broker does not work (ConnectionError)"]


def test_lines_that_require_action_come_first(viewer, worker, alice, mallory, third):
    failing = make_provider("failing").provider
    Breaker.objects.create(lane=failing.lane, kind="track", opened_at=timezone.now(), probe_at=timezone.now())
    Transaction.objects.filter(pk=accepted(alice, third).id).update(review="contradiction")
    Provider.objects.filter(slug="third").update(paused=True, paused_why="refused our credentials")
    Breaker.objects.create(lane=third.provider.lane, kind="create", opened_at=timezone.now(), probe_at=timezone.now())
    hours_ago = timezone.now() - timedelta(hours=3)
    Client.objects.filter(name="alice").update(endpoint_failing_since=hours_ago)
    Client.objects.filter(name="mallory").update(endpoint_disabled_at=hours_ago, endpoint_disabled_why="410 Gone")
    due_now()

    assert lines(viewer) == [
        "1 transaction needs review: the provider contradicted a final status.",
        "Provider third is paused: refused our credentials. 2 jobs are queued.",
        "The endpoint of mallory is disabled: 410 Gone.",
        "Provider failing fails: its track jobs are held back, except for a probe every few seconds.",
        "The endpoint of alice has failed for 3 h. 1 notification is queued.",
    ]


def test_a_client_and_a_provider_without_a_live_secret_are_named_with_a_link(viewer, worker, alice, third):
    accepted(alice, third)
    Job.objects.update(run_at=Now() - timedelta(minutes=5))
    Job.objects.exclude(kind="notify").delete()
    alice.client.callback_secrets.update(expires_at=timezone.now())
    third.provider.webhook_secrets.all().delete()

    client, provider = viewer.get(FRAGMENT).context["lines"]
    assert client.text == f"Client alice {UNSIGNED}. 1 notification is queued."
    assert (client.url, client.urgent) == (f"/admin/clients/client/{alice.client.pk}/change/", True)
    assert provider.text == f"Provider third {UNVERIFIABLE}."
    assert (provider.url, provider.urgent) == (f"/admin/providers/provider/{third.provider.pk}/change/", False)


def test_a_failing_provider_is_reported(viewer, worker, alice, third):
    Breaker.objects.create(lane=third.provider.lane, kind="create", opened_at=timezone.now(), probe_at=timezone.now())

    assert lines(viewer) == [
        "Provider third fails: its create jobs are held back, except for a probe every few seconds."
    ]  # fmt: skip


def fails(lane, kind, minutes):
    ago = timezone.now() - timedelta(minutes=minutes)
    Breaker.objects.create(lane=lane, kind=kind, failing_since=ago, failed_runs=3, failed_at=timezone.now())


def test_a_provider_whose_calls_all_fail_is_reported_with_a_link(viewer, worker, alice, third):
    quiet = make_provider("quiet").provider
    fails(quiet.lane, "track", 3)
    for kind, minutes in (("create", 4), ("track", 120)):
        fails(third.provider.lane, kind, minutes)

    assert lines(viewer) == [
        "Provider quiet fails: all its track runs have failed for 3 min.",
        "Provider third fails: all its create and track runs have failed for 2 h.",
    ]
    assert f'<a href="/admin/providers/provider/{quiet.pk}/change/">Provider quiet fails' in viewer.get(PAGE).text
    assert "track failing" in viewer.get(PAGE).text


def test_a_paused_provider_is_not_reported_as_failing(viewer, worker, alice, third):
    fails(third.provider.lane, "track", 3)
    Provider.objects.update(paused=True)

    assert lines(viewer) == ["Provider third is paused."]


@pytest.mark.parametrize(("seconds", "told"), [(20, []), (200, ["3.3 min"]), (8000, ["2.2 h"]), (90_000, ["25 h"])])
def test_an_endpoint_is_reported_a_minute_after_its_first_failure(viewer, worker, alice, seconds, told):
    Client.objects.update(endpoint_failing_since=timezone.now() - timedelta(seconds=seconds))

    assert lines(viewer) == [f"The endpoint of alice has failed for {span}." for span in told]


def test_jobs_that_are_late_without_a_reason_are_reported(viewer, worker, alice, third):
    accepted(alice, third)
    Job.objects.update(run_at=Now() + timedelta(hours=1))
    Job.objects.filter(kind="create").update(run_at=Now() - timedelta(minutes=5))
    assert lines(viewer) == ["A create job has been due for 5 min: the workers do not keep up."]

    Provider.objects.update(paused=True)
    assert lines(viewer) == ["Provider third is paused. 1 job is queued."]


def test_late_counts_are_reported(viewer, worker, alice):
    MinuteCount.objects.create(minute=Now() - timedelta(minutes=2, seconds=50), status="pending", bucket=0, count=0)
    assert lines(viewer) == []

    MinuteCount.objects.update(minute=Now() - timedelta(minutes=5))
    assert lines(viewer) == ["Transaction counts are 4 min old. If this does not shrink, see the workers' log."]


# --- the page


def test_a_new_service_shows_the_first_steps(admin_client, viewer):
    for client, links in ((admin_client, True), (viewer, False)):
        page = client.get(PAGE).content.decode()
        assert "This service is not set up yet" in page
        assert ("/admin/providers/provider/add/" in page, "/admin/clients/client/add/" in page) == (
            links,
            links,
        )


def test_it_is_complete_without_a_script_and_shows_its_time(viewer, busy):
    page = viewer.get(PAGE).content.decode()

    assert re.search(r'<time datetime="[^"]+">\d\d:\d\d:\d\d</time> UTC', page)
    assert page.count("<svg") == page.count("<caption") == 2
    for part in ("needs", "flow", "queues", "workers", "providers", "endpoints"):
        assert f'<h2 id="{part}">' in page


def test_the_refreshed_part_equals_the_page(viewer, busy):
    page, middle = (viewer.get(address).content.decode() for address in (PAGE, FRAGMENT))

    def figures(text):
        return re.findall(r">([\d,]+)</", text)

    assert f'<div data-refresh="{FRAGMENT}">' in page
    assert figures(middle) == figures(page) and len(figures(middle)) > 100


def test_it_takes_few_queries(viewer, busy, django_assert_max_num_queries):
    with django_assert_max_num_queries(23):
        viewer.get(PAGE)


def test_nobody_sees_it_without_a_login(client):
    assert client.get(FRAGMENT).status_code == 302


def test_staff_without_permissions_see_no_figure(busy):
    client = signed_in("nobody")
    User.objects.get(username="nobody").user_permissions.clear()
    page = client.get(FRAGMENT).content.decode()

    assert re.findall(r'id="(\w+)"', page) == ["needs"]
    assert "alice" not in page and "third" not in page


def test_each_number_equals_the_count_of_its_list(viewer, busy):
    pytest.importorskip("operators.search", reason="the lists know not all of these filters yet")
    page = viewer.get(FRAGMENT).content.decode()
    linked = re.findall(r'<a href="(/admin/[^"?]+\?[^"]+)">([\d,]+)</a>', page)

    of_the_last_minute = ("age=hour",)  # a number of a minute: the list has an hour
    found = {
        unescape(url): int(number.replace(",", "")) for url, number in linked if not url.endswith(of_the_last_minute)
    }
    assert len(found) >= 4 + 9 + 2 + 1
    assert {url: viewer.get(url).context["cl"].result_count for url in found} == found
