"""Confirmation pages of actions: permissions, texts, and one effect for each form."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.urls import reverse

from clients.models import Client
from operators.actions.table import ACTIONS
from operators.pages.actions import do_url
from providers.models import Provider
from tests.cast import job, now
from tests.operators.actions.steps import created, staff_events, unanswered
from tests.operators.pages.browser import fields_of
from tests.operators.pages.conftest import give_up, signed_in
from tests.running import facts, run, tell
from transactions.models import Event, Transaction
from workers.models import Breaker, Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ALL = sorted(ACTIONS)


@pytest.fixture
def doable(order, third):
    """Return a function that makes a row on which an action is possible."""

    def prepare(name):
        action = ACTIONS[name]
        if name.startswith("close_breaker"):
            kind = name.removeprefix("close_breaker_")
            Breaker.objects.create(lane=third.provider.lane, kind=kind, opened_at=Now(), probe_at=Now())
        elif name == "resume_provider":
            Provider.objects.update(paused=True, paused_why="401")
        elif name == "enable_endpoint":
            Client.objects.update(endpoint_disabled_at=Now(), endpoint_disabled_why="by staff")
        elif action.on is Transaction:
            ready(order, name)
        elif action.on is Job:
            give_up(order, "track")
        return {Transaction: now(order), Job: job(order, "track")}.get(action.on) or action.on._default_manager.get()

    return prepare


def ready(order, name):
    unanswered(order, 3600)
    Transaction.objects.update(review="overdue")
    Job.objects.filter(kind="notify").update(state="done")
    if name in ("approve_status", "reject_status"):
        other = signed_in("otto").session["_auth_user_id"]
        now(order).proposals.create(status="failed", sequence=1, reason="by phone", by_id=other)


def presser(name):
    """Log in a user who may run this action and no other."""
    return signed_in("olga", ACTIONS[name].permission.partition(".")[2])


def filled_in(page, **typed):
    """Return the filled-in form of a confirmation page."""
    return fields_of(page.content.decode()) | {"reason": "because", "status": "failed"} | typed


def everything():
    """Return every row that an action could change."""
    models = Transaction, Job, Event, Provider, Client, Breaker
    return [list(model.objects.order_by("pk").values()) for model in models]


def page_of(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


@pytest.mark.parametrize("name", ALL)
def test_a_viewer_is_refused_and_sees_no_button(viewer, doable, name):
    row = doable(name)
    url, before = do_url(ACTIONS[name], row), everything()

    assert viewer.get(url).status_code == 403
    assert viewer.post(url, {"reason": "because", "status": "failed", "sequence": 1}).status_code == 403
    assert url not in viewer.get(page_of(row)).content.decode()
    assert (everything(), LogEntry.objects.count()) == (before, 0)


@pytest.mark.parametrize("name", ALL)
def test_each_action_needs_its_own_permission_only(doable, name):
    row, client = doable(name), presser(name)
    permission = ACTIONS[name].permission
    may = {do_url(one, row) for one in ACTIONS.values() if one.permission == permission}

    page = client.get(page_of(row)).content.decode()

    assert do_url(ACTIONS[name], row) in page
    assert set(re.findall(r'href="([^"]*/do/[^"]*)"', page)) <= may


@pytest.mark.parametrize("name", ALL)
def test_the_confirmation_explains_the_action_and_changes_nothing(doable, name):
    row, client = doable(name), presser(name)
    before = everything()

    page = client.get(do_url(ACTIONS[name], row))

    assert page.status_code == 200
    assert 'name="reason"' in page.content.decode()
    assert everything() == before


@pytest.mark.parametrize("name", ALL)
def test_a_submitted_form_runs_the_action_once_and_confirms_it(doable, name):
    row, client = doable(name), presser(name)
    url = do_url(ACTIONS[name], row)
    form, before = filled_in(client.get(url)), everything()

    assert "Done: " in client.post(url, form, follow=True).content.decode()
    assert everything() != before
    assert LogEntry.objects.count() == 1
    before = everything()
    assert "Done: " not in client.post(url, form, follow=True).content.decode()
    assert (everything(), LogEntry.objects.count()) == (before, 1)


@pytest.mark.parametrize("name", [name for name in ALL if ACTIONS[name].reason])
@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_happens(doable, name, reason):
    row, client = doable(name), presser(name)
    url, before = do_url(ACTIONS[name], row), everything()

    answer = client.post(url, filled_in(client.get(url), reason=reason))

    assert "This field is required" in answer.content.decode()
    assert everything() == before


def test_a_form_submitted_twice_runs_once_even_if_the_action_is_possible_again(order):
    client, row = presser("notify_again"), now(order)
    Job.objects.filter(kind="notify").update(state="done")
    url = do_url(ACTIONS["notify_again"], row)
    form = filled_in(client.get(url))
    client.post(url, form)
    Job.objects.filter(key__startswith="again:").update(state="done")

    answer = client.post(url, form, follow=True)

    assert "since this page was opened" in answer.content.decode()
    assert Job.objects.filter(key__startswith="again:").count() == 1


def test_an_impossible_action_is_listed_with_the_reason(order):
    page = presser("poll_now").get(page_of(now(order))).content.decode()

    assert "Poll now is not possible now: it is not sent yet" in page
    assert "/do/poll_now/" not in page


def test_the_page_of_an_impossible_action_has_no_form(order):
    page = presser("poll_now").get(do_url(ACTIONS["poll_now"], now(order))).content.decode()

    assert "Not possible now: it is not sent yet" in page
    assert 'name="reason"' not in page


def test_an_action_on_a_job_leads_to_its_transaction(given_up):
    client, failed = presser("retry"), job(given_up, "create")
    url = do_url(ACTIONS["retry"], failed)

    answer = client.post(url, filled_in(client.get(url)), follow=True)

    assert answer.redirect_chain == [(page_of(now(given_up)), 302)]
    assert "retried the job create" in answer.content.decode()


def test_the_page_of_a_transaction_has_the_buttons_of_its_jobs(given_up):
    page = presser("retry").get(page_of(now(given_up))).content.decode()

    assert do_url(ACTIONS["retry"], job(given_up, "create")) in page
    assert do_url(ACTIONS["retry"], job(given_up, "track")) not in page


def test_set_status_offers_the_other_final_statuses(order):
    tell(order, "declined")
    tell(order, "completed")
    client, url = presser("set_status"), do_url(ACTIONS["set_status"], now(order))
    page = client.get(url).content.decode()

    assert re.findall(r'<option value="(\w*)"', page) == ["", "completed", "failed"]
    assert client.post(url, filled_in(client.get(url), status="")).status_code == 200
    client.post(url, filled_in(client.get(url), status="completed"))
    assert facts(order) == ("completed", "unsent", "")


def test_set_status_is_refused_if_the_status_changed_while_the_page_was_open(order):
    client, url = presser("set_status"), do_url(ACTIONS["set_status"], now(order))
    form = filled_in(client.get(url), status="failed")
    tell(order, "declined")
    tell(order, "completed")

    assert "the status has changed meanwhile" in client.post(url, form, follow=True).content.decode()
    assert now(order).status == "declined"


def test_a_viewer_sees_an_open_proposal(viewer, order):
    ready(order, "approve_status")

    assert "otto proposes the status failed:</strong> by phone" in viewer.get(page_of(now(order))).content.decode()


@pytest.mark.parametrize(
    "address",
    [
        "/admin/transactions/transaction/{id}/do/drop/",
        "/admin/transactions/transaction/{id}/do/retry/",
        "/admin/transactions/transaction/00000000-0000-7000-8000-000000000000/do/poll_now/",
        "/admin/transactions/transaction/nonsense/do/poll_now/",
        "/admin/workers/job/nonsense/do/retry/",
    ],
)
def test_an_unknown_action_or_row_is_not_found(admin_client, order, address):
    assert admin_client.get(address.format(id=order.id)).status_code == 404


def test_an_action_needs_the_view_permission(order):
    client = presser("poll_now")
    User.objects.get().user_permissions.remove(Permission.objects.get(codename="view_transaction"))

    assert client.get(do_url(ACTIONS["poll_now"], now(order))).status_code == 403


def test_all_buttons_of_a_transaction_take_few_queries(admin_client, order, django_assert_max_num_queries):
    ready(order, "approve_status")
    run(job(order, "notify"))
    give_up(order, "track")
    page = page_of(now(order))

    with django_assert_max_num_queries(24):
        admin_client.get(page)


def test_the_timeline_shows_staff_events_with_user_and_reason(order):
    created(order, 300)
    client, url = presser("poll_now"), do_url(ACTIONS["poll_now"], now(order))

    page = client.post(url, filled_in(client.get(url), reason="they called"), follow=True).content.decode()

    assert "requested a poll" in page and "they called" in page
    assert [event["who"] for event in staff_events(order)] == ["olga"]
