"""Counts of refused webhooks: in memory at first, written in the background."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from providers.models import Provider
from tests.cast import make_provider
from tests.servers import until
from tests.threads import at_once
from tests.webhooks.senders import refusals, send
from webhooks.incoming.refusals import count_refusal, write_counts, writer
from webhooks.models import RefusalCount

STRANGERS = ["/webhooks/third", "/webhooks/nobody", "/webhooks/third/0/x", "/webhooks/{}".format("x" * 300)]


@pytest.mark.django_db
@pytest.mark.parametrize("path", STRANGERS)
def test_a_strangers_webhook_costs_no_statement(third, path):
    send(path, b"{}")

    with CaptureQueriesContext(connection) as asked:
        answers = {send(path, b"{}").status_code for _ in range(3)}

    assert (answers <= {401, 404}, asked.captured_queries) == (True, [])


@pytest.mark.django_db
def test_no_statement_looks_for_an_unknown_provider(third):
    with CaptureQueriesContext(connection) as asked:
        for number in range(5):
            send(f"/webhooks/stranger-{number}", b"{}")

    assert [query for query in asked.captured_queries if "stranger" in query["sql"]] == []


@pytest.mark.django_db
def test_all_counts_are_written_by_one_statement_and_once(third):
    for _ in range(3):
        count_refusal(third.provider, "wrong_signature")
        count_refusal(third.provider, "late")
        count_refusal(None, "unknown_provider")
    with CaptureQueriesContext(connection) as asked:
        write_counts()
        write_counts()

    assert len(asked.captured_queries) == 1
    assert refusals() == {"wrong_signature": 3, "late": 3, "unknown_provider": 3}


@pytest.mark.django_db
def test_counts_of_a_deleted_provider_do_not_hold_up_the_others(third):
    gone = make_provider("gone").provider
    count_refusal(gone, "late")
    count_refusal(third.provider, "late")
    Provider.objects.filter(pk=gone.pk).delete()

    assert refusals() == {"late": 1}


@pytest.mark.django_db(transaction=True)
def test_processes_that_write_at_once_add_their_counts(third):
    def count() -> None:
        count_refusal(third.provider, "late")
        count_refusal(None, "unknown_provider")
        write_counts()

    at_once(*[count] * 8)

    assert refusals() == {"late": 8, "unknown_provider": 8}


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_now_and_then_and_at_its_end(third):
    thread = writer()
    thread.start()
    count_refusal(third.provider, "late")
    until(RefusalCount.objects.exists)
    count_refusal(third.provider, "late")
    thread.stop()

    assert list(RefusalCount.objects.values_list("count", flat=True)) == [2]
