"""Read-only pages: complete, in few queries, without changes."""

import uuid
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from clients.models import Client
from operators.models import BulkRun
from operators.pages import base as bases
from providers.models import Provider
from providers.status import Status
from tests.cast import accepted, due_now, job
from transactions.models import Transaction
from transactions.observations import Observation
from transactions.status import Review, Source, Submission
from transactions.store import apply
from webhooks.models import RefusalCount, Webhook
from workers import jobs
from workers.models import Breaker, Job, OutboundCall, WorkerProcess
from workers.outcomes import Again, Call, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FACTS = (BulkRun, Transaction, Job, OutboundCall, Webhook, RefusalCount, WorkerProcess)
SETTINGS = (Client, Provider)


@pytest.fixture
def one_of_each(given_up, third):
    """Create a row of each model that the admin shows."""
    call = Call("GET", "http://127.0.0.1:1/third-party", timezone.now(), 12, 404, "", "<b>not there</b>")
    claim = jobs.claim_one(job(given_up, "track"))
    assert claim is not None
    jobs.settle(
        [
            (
                claim,
                Outcome(
                    Again(300, 1, "not there yet"),
                    Observation(Source.POLL, submission=Submission.UNKNOWN),
                    calls=(call,),
                ),
            )
        ]
    )
    Webhook.objects.create(
        provider=third.provider, webhook_id="msg_1", transaction_id=given_up.id, given_id="x", result="noted"
    )
    Webhook.objects.create(provider=third.provider, webhook_id="msg_2", given_id="unknown", result="unmatched")
    Webhook.objects.create(provider=third.provider, webhook_id="msg_3", transaction_id=given_up.id, result="ignored")
    RefusalCount.objects.create(provider=third.provider, day=timezone.now().date(), reason="stale", count=3)
    by = User.objects.create_user("olga")
    BulkRun.objects.create(action="retry", newest="9", by=by, token=uuid.uuid4(), reason="the provider is back")
    WorkerProcess.objects.create(id=uuid.uuid4(), host="worker-1", pid=77, queues="create,track")


def address(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", FACTS + SETTINGS)
def test_its_pages_open_for_a_viewer(viewer, one_of_each, model):
    row = model.objects.first()

    assert viewer.get(address(model, "changelist")).status_code == 200
    assert viewer.get(address(model, "change", row.pk)).status_code == 200
    assert viewer.get(address(model, "history", row.pk)).status_code == 200


@pytest.mark.parametrize("model", FACTS)
def test_superusers_cannot_add_change_or_delete_facts(admin_client, one_of_each, model):
    row = model.objects.first()

    assert admin_client.get(address(model, "add")).status_code == 403
    assert admin_client.post(address(model, "change", row.pk), {}).status_code == 403
    assert admin_client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    admin_client.post(
        address(model, "changelist"), {"action": "delete_selected", "_selected_action": row.pk, "post": 1}
    )
    assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", SETTINGS)
def test_a_viewer_changes_no_settings(viewer, one_of_each, model):
    row = model.objects.first()

    assert viewer.post(address(model, "change", row.pk), {}).status_code == 403
    assert viewer.get(address(model, "delete", row.pk)).status_code == 403


def test_every_page_needs_a_login(client, order):
    assert client.get(address(Transaction, "change", order.id)).status_code == 302


def test_the_empty_list_of_dramatiqs_own_tasks_is_not_shown(admin_client):
    page = admin_client.get("/admin/").content.decode()

    assert "Transaction relay" in page
    assert "django_dramatiq" not in page


def test_the_page_of_a_transaction_shows_status_review_calls_and_errors(viewer, one_of_each, given_up):
    page = viewer.get(address(Transaction, "change", given_up.id)).content.decode()

    assert "pending (no final status yet)" in page
    assert "unknown (the create got no clear answer; the transaction may exist at the provider)" in page
    assert "Needs review: a job was given up" in page
    assert "its worker was lost 5 times in a row while it ran" in page
    assert "not there yet" in page
    assert "http://127.0.0.1:1/third-party" in page


def test_an_ignored_webhook_is_shown_with_its_transaction_and_in_its_list(viewer, one_of_each, given_up):
    page = viewer.get(address(Transaction, "change", given_up.id)).content.decode()
    listed = viewer.get(address(Webhook, "changelist") + "?result=ignored").content.decode()

    assert "webhook with status (none): ignored" in page
    assert "msg_3" in listed
    assert "msg_2" not in listed


def test_texts_of_other_parties_are_escaped(viewer, one_of_each, given_up):
    page = viewer.get(address(Transaction, "change", given_up.id)).content.decode()

    assert "&lt;b&gt;not there&lt;/b&gt;" in page
    assert "<b>not there</b>" not in page


def test_the_timeline_is_oldest_first(viewer, order):
    apply([(order.id, Observation(Source.WEBHOOK, status=Status.COMPLETED, detail={"webhook": "msg_1"}))])
    apply([(order.id, Observation(Source.POLL, status=Status.DECLINED))])

    told = viewer.get(address(Transaction, "change", order.id)).context["timeline"]

    assert [entry.what for entry in told] == [
        "accepted: pending", "completed", "contradicting status declined from the provider: recorded, not applied"
    ]  # fmt: skip
    assert told[1].details == (("webhook", "msg_1"),)


@pytest.mark.parametrize("why", ["the answer was <b>200</b>", "[]", '{"status": "error"}'])
def test_the_timeline_shows_the_text_of_a_note_and_the_reason_of_a_review(viewer, order, why):
    apply([(order.id, Observation(Source.CREATE, note=why))])
    apply([(order.id, Observation(Source.POLL, review=Review.UNREADABLE, detail={"why": why}))])
    apply([(order.id, Observation(Source.POLL, usable=True))])

    told = viewer.get(address(Transaction, "change", order.id)).context["timeline"]

    assert [(entry.what, entry.details) for entry in told[1:]] == [
        ("unusable answer from the provider", (("why", why),)),
        ("needs review: the provider's answer to a status check has no status", (("why", why),)),
        ("review flag cleared", (("was", "unreadable"),)),
    ]


@pytest.mark.parametrize("page", ["changelist", "change"])
@pytest.mark.parametrize("why", ["403 <b>not yours</b>", "timeout", "a" * 400])
def test_list_and_page_show_the_reason_of_a_review(viewer, order, page, why):
    Transaction.objects.update(review="denied", review_why=why)
    args = [order.id] if page == "change" else []

    shown = viewer.get(address(Transaction, page, *args)).content.decode()

    assert escape(why) in shown
    assert why == escape(why) or why not in shown


@pytest.mark.parametrize(("seconds", "words"), [(-3, "now"), (12, "in 12 s"), (240, "in 4 min"), (7300, "in 2 h")])
def test_it_shows_the_next_step(viewer, order, seconds, words):
    due = timezone.now() + timedelta(seconds=seconds)
    Job.objects.exclude(kind="track").update(state="done")
    Job.objects.filter(kind="track").update(run_at=due)

    assert viewer.get(address(Transaction, "change", order.id)).context["next_step"] == f"poll the provider, {words}"


def test_the_next_step_names_an_open_circuit_breaker(viewer, order, third):
    Breaker.objects.create(lane=third.provider.lane, kind="create", opened_at=timezone.now(), probe_at=timezone.now())
    Job.objects.exclude(kind="create").update(state="done")
    due_now(kind="create")

    next_step = viewer.get(address(Transaction, "change", order.id)).context["next_step"]

    assert next_step.endswith("now, as soon as third answers again: its circuit breaker is open")


def test_the_next_step_names_a_paused_provider(viewer, order):
    Provider.objects.update(paused=True)
    due_now(kind="create")

    next_step = viewer.get(address(Transaction, "change", order.id)).context["next_step"]

    assert next_step.endswith("now, as soon as third is resumed")


def test_a_job_with_many_calls_shows_the_latest(viewer, order):
    track = job(order, "track")
    OutboundCall.objects.bulk_create(
        OutboundCall(job=track, transaction_id=order.id, attempt=n, started_at=timezone.now()) for n in range(1, 60)
    )

    page = viewer.get(address(Job, "change", track.pk))

    assert [call.attempt for call in page.context["calls"]] == list(range(40, 60))


@pytest.mark.parametrize("model", FACTS + SETTINGS)
def test_a_list_takes_few_queries_however_long_it_is(
    viewer, one_of_each, alice, third, model, django_assert_max_num_queries
):
    for _ in range(5):
        accepted(alice, third)

    with django_assert_max_num_queries(13):  # six for the user and the menu, three for the limit of time
        viewer.get(address(model, "changelist"))


@pytest.mark.parametrize("model", FACTS + SETTINGS)
def test_a_page_takes_few_queries(viewer, one_of_each, model, django_assert_max_num_queries):
    with django_assert_max_num_queries(14):
        viewer.get(address(model, "change", model.objects.last().pk))


def test_counts_are_bounded(viewer, order, monkeypatch):
    monkeypatch.setattr(bases, "MOST", 2)

    page = " ".join(viewer.get(address(Job, "changelist")).content.decode().split())

    assert "2 or more jobs" in page


def test_no_list_of_facts_is_counted_in_full_or_sorted_by_a_column():
    for model in FACTS:
        page = admin.site.get_model_admin(model)
        assert not page.show_full_result_count
        assert page.sortable_by == ()
