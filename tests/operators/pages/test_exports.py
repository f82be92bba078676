"""CSV export of filtered lists."""

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from operators.pages import exports
from operators.search import UnknownFilter
from tests.cast import accepted, make_client
from tests.operators.pages.conftest import signed_in
from transactions.models import Event, Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
TRANSACTIONS, JOBS = "/admin/transactions/transaction/export/", "/admin/workers/job/export/"


@pytest.fixture
def exporter(db: None):
    """A user who may view and export everything."""
    return signed_in("exporter", "export_transaction")


def rows(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode(), newline="")))


def made(model=Transaction, **params: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(exports.pieces(model, params)), newline="")))


def test_exports_the_filtered_list(exporter, order, alice, third):
    other = accepted(alice, third, client_ref="order-8")
    Transaction.objects.filter(pk=other.id).update(review="overdue")

    [row] = rows(exporter.get(TRANSACTIONS, {"review": "any", "p": "1"}))

    assert (row["id"], row["provider_transaction_id"], row["client"]) == ("order-8", str(other.id), "alice")


def test_the_file_name_has_the_time_and_caches_store_nothing(exporter, order):
    answer = exporter.get(TRANSACTIONS)
    list(answer)

    name = answer["Content-Disposition"].removeprefix('attachment; filename="').removesuffix('"')
    assert datetime.strptime(name, "transactions-%Y%m%dT%H%M%SZ.csv").replace(tzinfo=UTC) <= datetime.now(UTC)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Cache-Control"] == "no-store"


def test_columns_are_named_as_in_the_api_and_times_are_utc(order):
    [row] = made()

    assert row["amount"] == "1250" and row["reference"] == "invoice 4711"
    assert row["created_at"] == f"{Transaction.objects.get().created_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert row["finalised_at"] == ""


def test_exports_jobs(exporter, order):
    assert {row["kind"] for row in rows(exporter.get(JOBS, {"state": "waiting"}))} == {"create", "track", "notify"}


def test_the_newest_rows_come_first_across_pages(alice, third, monkeypatch):
    monkeypatch.setattr(exports, "PAGE", 2)
    for _ in range(5):
        accepted(alice, third)
    ids = map(str, Transaction.objects.order_by("-sort_id").values_list("pk", flat=True))

    assert [row["provider_transaction_id"] for row in made()] == list(ids)


def test_it_holds_no_cursor_between_two_pages(alice, third, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(exports, "PAGE", 2)
    for _ in range(3):
        accepted(alice, third)
    with django_assert_num_queries(1):
        pieces = exports.pieces(Transaction, {})
        next(pieces)
        next(pieces)

    Transaction.objects.update(reference="changed")
    assert "changed" in next(pieces)


@pytest.mark.parametrize(
    "start", [*"=+-@\uff1d\uff0b\uff0d\uff20\ufe62\t\r\n ", "\n=", " \t@", "\u200b=", "\ufeff+", '"=', "\u00a0-"]
)
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(alice, third, start):
    accepted(alice, third, reference=f"{start}1+1")

    assert made()[0]["reference"].startswith(f"'{start[0]}")


@pytest.mark.parametrize(
    "separator", [";", "\t", "\n", "\r\n", ",", "|", "\u2028", '"\n', ';"', ';""', "; ", ';" "', ";\n "]
)
@pytest.mark.parametrize("first", list("=+-@\uff1d\ufe63"))
def test_no_separator_begins_a_formula(alice, third, separator, first):
    """Read by a spreadsheet that splits at the separator, and that ignores the quotes of our cells, or skips blanks."""
    accepted(alice, third, reference=f"invoice{separator}{first}1+1")

    for cell in re.split(r"[,;|\t\n\r\u2028]", "".join(exports.pieces(Transaction, {}))):
        assert cell.strip('" ')[:1] != first


@pytest.mark.parametrize(
    ("delimiter", "reference"), [(";", 'a;"=1+1"'), (";", "a\n=1+1;b"), ("\t", 'a\t""-1'), ("|", "|@1")]
)
def test_a_spreadsheet_with_another_separator_finds_no_formula(alice, third, delimiter, reference):
    accepted(alice, third, reference=reference)

    text = "".join(exports.pieces(Transaction, {}))
    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    assert len(cells) > 2 and not [cell for cell in cells if cell.startswith(tuple("=+-@"))]


@pytest.mark.parametrize("reference", ['1-1, "two"\r\n€', "a=b;c", "x -1 @y", "", "it's; fine", "\u20135 °C"])
def test_other_text_is_unchanged(alice, third, reference):
    accepted(alice, third, reference=reference)

    assert made()[0]["reference"] == reference


def test_all_cells_are_quoted_and_numbers_stay_numbers():
    assert exports._csv([[-5, None, "-5", True]]) == '"-5","","\'-5","True"\r\n'


def test_no_column_holds_a_secret():
    fields = {field for columns in exports.COLUMNS.values() for field in columns.values()}

    assert not {field for field in fields if any(word in field for word in ("header", "secret", "body", "token"))}
    assert {field for field in fields if "__" in field} == {"client__name", "provider__slug"}


@pytest.mark.parametrize("address", [TRANSACTIONS, JOBS])
def test_a_viewer_may_not_export_and_sees_no_button(viewer, order, address):
    assert viewer.get(address).status_code == 403
    assert "Export" not in viewer.get(address.removesuffix("export/")).content.decode()


def test_the_export_permission_without_the_view_permission_is_refused(exporter, order):
    from django.contrib.auth.models import Permission, User

    User.objects.get(username="exporter").user_permissions.remove(Permission.objects.get(codename="view_transaction"))

    assert exporter.get(TRANSACTIONS).status_code == 403


def test_the_button_keeps_the_filters(exporter, order):
    page = exporter.get("/admin/transactions/transaction/?status=pending&p=1").content.decode()

    assert f'href="{TRANSACTIONS}?status=pending"' in page


def test_an_unknown_parameter_is_refused(exporter, order):
    assert exporter.get(TRANSACTIONS, {"amount__gte": "1"}).status_code == 400
    with pytest.raises(UnknownFilter):
        exports.pieces(Transaction, {"amount__gte": "1"})


def test_it_accepts_get_only(exporter, order):
    assert exporter.post(TRANSACTIONS).status_code == 405


def test_other_lists_have_no_export(exporter):
    assert exporter.get("/admin/webhooks/webhook/export/").status_code == 404


def test_a_third_simultaneous_export_must_wait(exporter, order):
    held = [exporter.get(TRANSACTIONS) for _ in range(exports.AT_ONCE)]

    answer = exporter.get(TRANSACTIONS)

    assert answer.status_code == 503 and answer["Retry-After"] == "60"
    assert "2 exports are running" in answer.content.decode()
    for one in held:
        list(one)
    assert rows(exporter.get(TRANSACTIONS))


def test_a_lost_response_frees_its_slot(exporter, order):
    for _ in range(3 * exports.AT_ONCE):
        answer: Any = exporter.get(TRANSACTIONS)
        del answer

    list(exporter.get(TRANSACTIONS))


def test_a_page_takes_one_query(third, django_assert_num_queries):
    for name in ("bob", "carol", "dave"):
        accepted(make_client(name, third.provider), third)

    with django_assert_num_queries(1):
        assert len(made()) == 3


def test_an_export_changes_nothing(exporter, order):
    before = Job.objects.count(), Event.objects.count()
    list(exporter.get(TRANSACTIONS))

    assert (Job.objects.count(), Event.objects.count()) == before
