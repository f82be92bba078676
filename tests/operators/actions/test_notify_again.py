"""Notify again: the client is sent the current status once more."""

import pytest
from django.db.models.functions import Now

from clients.models import Client
from operators.actions.table import ACTIONS
from tests.cast import job, now
from tests.operators.actions.steps import staff_events, why_not
from tests.running import run, tell
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_the_client_is_sent_the_current_status(press, record, endpoint):
    tell(record, "completed")
    run(job(record, "notify", "seq:2"))

    assert press("notify_again", record.id, "") == ""
    run(Job.objects.get(key__startswith="again:"))

    assert [asked.json["data"]["status"] for asked in endpoint.asked] == ["completed", "completed"]
    assert staff_events(record) == [{"who": "olga", "what": "requested another notification of the client", "why": ""}]


def test_a_waiting_notification_is_sent_at_once(press, record):
    tell(record, "completed")
    Job.objects.filter(key="seq:2").update(run_at="2099-01-01T00:00Z")

    press("notify_again", record.id)

    assert why_not("notify_again", record) == "a notification is due already"
    assert not Job.objects.filter(key__startswith="again:").exists()


def test_pressing_twice_notifies_once(press, record):
    tell(record, "completed")
    run(job(record, "notify", "seq:2"))
    press("notify_again", record.id)

    assert press("notify_again", record.id) == "a notification is due already"
    assert Job.objects.filter(key__startswith="again:").count() == 1


def test_the_explanation_names_a_disabled_endpoint(record):
    Client.objects.update(endpoint_disabled_at=Now())

    assert "as soon as alice's endpoint is enabled again" in ACTIONS["notify_again"].explain(now(record))


@pytest.mark.parametrize("state", ["expired", "deleted"])
def test_the_explanation_names_a_missing_secret(alice, record, state):
    secrets = alice.client.callback_secrets.all()
    secrets.update(expires_at=Now()) if state == "expired" else secrets.delete()

    assert "as soon as alice has a valid callback secret" in ACTIONS["notify_again"].explain(now(record))
