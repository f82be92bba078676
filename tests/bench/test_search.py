"""Small benchmark of the lists: every filter and search uses an index."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Model, QuerySet

from operators import search as finding
from tests.bench.steps import Place
from transactions.models import Transaction
from webhooks.models import Webhook
from workers.foundation.formatting import MOST
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
ROWS = 20_000
T = Transaction

CASES: list[tuple[type[Model], dict[str, str], str]] = [
    (T, {"status": "failed"}, "transaction_open"),
    (T, {"submission": "unknown"}, "transaction_doubtful"),
    (T, {"submission": "unsent"}, "transaction_doubtful"),
    (T, {"review": "any"}, "transaction_review"),
    (T, {"review": "contradiction"}, "transaction_review"),
    (T, {"provider": "LAST"}, "transaction_provider"),
    (T, {"age": "hour"}, "transaction_find"),
    (T, {"stuck": "1d"}, "transaction_open or transaction_find"),  # no row is so old
    (T, {"stuck": "not_notified"}, "transaction_not_notified"),
    (T, {"status": "failed", "age": "week"}, "transaction_open"),
    (T, {"stuck": "not_notified", "client": "FIRST"}, "transaction_not_notified"),
    (T, {"status": "completed", "submission": "unknown"}, "transaction_doubtful"),
    (Job, {"state": "failed"}, "job_find"),
    (Job, {"state": "failed", "kind": "track"}, "job_find"),
    (Job, {"state": "running"}, "job_running"),
    (Job, {"state": "waiting", "kind": "notify"}, "job_find"),
    (Webhook, {"result": "contradicting"}, "webhook_result"),
    (Webhook, {"provider": "LAST"}, "webhook_provider"),
]


@pytest.fixture(scope="module")
def place(django_db_setup, django_db_blocker):
    """Rows that are committed once for all tests of this module, and deleted after them."""
    with django_db_blocker.unblock():
        place = Place()
        place.fill(ROWS)
        place.mix(ROWS)
        with connection.cursor() as cursor:
            cursor.execute("REINDEX INDEX transaction_find")  # the updates have tripled its size
        yield place
        call_command("flush", verbosity=0, interactive=False)


def scans(rows: QuerySet[Any]) -> list[str]:
    """Return what PostgreSQL reads: the names of the indexes, and `Seq Scan` for a table."""
    sql, given = rows.values_list(finding.list_key(rows.model), flat=True)[:MOST].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", given)
        nodes, read = [cursor.fetchone()[0][0]["Plan"]], []
    for node in nodes:
        nodes += node.get("Plans", [])
        read += [node.get("Index Name", node["Node Type"])] if "Scan" in node["Node Type"] else []
    return read


def numbered(place: Place, params: dict[str, str]) -> dict[str, str]:
    providers, clients = [one.provider.pk for one in place.thirds], [one.client.pk for one in place.clients]
    numbers = {"provider": providers, "client": clients}
    ends = {"FIRST": 0, "LAST": -1}
    return {name: str(numbers[name][ends[value]]) if value in ends else value for name, value in params.items()}


def test_each_filter_uses_its_index(place):
    wrong = []
    for model, params, index in CASES:
        read = scans(finding.rows(model, numbered(place, params)))
        if not set(index.split(" or ")) & set(read) or "Seq Scan" in read:
            wrong.append((params, read))

    assert wrong == []


@pytest.mark.parametrize("other", [{"status": "completed"}, {"submission": "created"}, {"client": "FIRST"}])
def test_two_filters_on_common_values_read_only_the_covering_index(place, other):
    with connection.cursor() as cursor:
        for scan in ("seqscan", "bitmapscan"):  # these are cheaper for so few rows
            cursor.execute(f"SET LOCAL enable_{scan} = off")

    assert scans(finding.rows(Transaction, numbered(place, {"provider": "FIRST", **other}))) == ["transaction_find"]


@pytest.mark.parametrize("name", ["our id", "the client's id", "the reference", "the webhook's id"])
def test_each_search_uses_an_index(place, name, django_assert_max_num_queries):
    one = Transaction.objects.get(client_ref="waiting-777")
    term = {
        "our id": str(one.pk),
        "the client's id": "waiting-777",
        "the reference": "Invoice 777",
        "the webhook's id": Webhook.objects.get(transaction_id=one.pk).webhook_id,
    }[name]

    with django_assert_max_num_queries(6) as asked:
        assert list(finding.rows(Transaction, {"q": term})) == [one]

    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            assert "Seq Scan on transactions_transaction" not in str(cursor.fetchall())
