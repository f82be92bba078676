"""Lists of the admin: known filters only, timeout and pages."""

import pytest
from django.db import connection

from operators.pages import base as bases
from operators.pages.transactions import TransactionAdmin
from tests.cast import accepted
from transactions.models import Transaction

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
LIST = "/admin/transactions/transaction/"


@pytest.fixture
def slow(monkeypatch):
    """Each row takes 0.1 s; the timeout is 0.05 s."""
    rows = TransactionAdmin.get_queryset
    wait = ["pg_sleep(0.1) IS NOT NULL"]
    slowly = lambda self, request: rows(self, request).extra(where=wait)  # noqa: E731, S610
    monkeypatch.setattr(TransactionAdmin, "get_queryset", slowly)
    monkeypatch.setattr(bases, "PATIENCE", 0.05)


@pytest.mark.parametrize("name", ["amount__gte", "status__exact", "client__name", "crashes", "review__in"])
def test_an_unknown_parameter_is_refused_and_not_ignored(viewer, order, name):
    assert viewer.get(LIST, {name: "1"}).status_code == 400


def test_combines_filters_and_search(viewer, order, alice, third):
    other = accepted(alice, third, client_ref="another", reference="invoice 4711")
    Transaction.objects.filter(pk=other.id).update(review="overdue")

    page = viewer.get(LIST, {"q": "invoice 4711", "review": "overdue", "client": alice.client.pk})
    assert [row.pk for row in page.context["cl"].result_list] == [other.id]


def test_a_timeout_names_filters_that_help(viewer, order, slow):
    page = viewer.get(LIST, {"status": "pending"})

    assert page.status_code == 503
    said = page.content.decode()
    assert "This list of transactions took too long" in said
    assert "Choose an age or another filter." in said


def test_the_timeout_applies_to_the_list_only(viewer, order, slow):
    viewer.get(LIST)

    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30s",)


def test_shows_an_empty_list_and_a_page_beyond_the_last(viewer, order):
    assert viewer.get(LIST, {"status": "failed"}).context["cl"].result_count == 0
    assert len(viewer.get(LIST, {"p": "7"}).context["cl"].result_list) == 1


def test_pages_are_consecutive(viewer, alice, third, monkeypatch):
    monkeypatch.setattr(TransactionAdmin, "list_per_page", 2)
    for _ in range(5):
        accepted(alice, third)
    ids = list(Transaction.objects.order_by("sort_id").values_list("pk", flat=True))

    pages = [[row.pk for row in viewer.get(LIST, {"p": p}).context["cl"].result_list] for p in (1, 2, 3)]
    assert pages == [ids[:-3:-1], ids[-3:-5:-1], ids[:1]]


def test_a_long_id_is_cut_and_its_tooltip_is_complete(viewer, alice, third):
    accepted(alice, third, client_ref="x" * 64)

    assert f'<span title="{"x" * 64}">{"x" * 31}…</span>' in viewer.get(LIST).content.decode()
