"""Small run of the benchmark: processing new transactions does not read waiting ones."""

import pytest
from django.db import connection

import operators.dashboard.overview
import workers.statistics
from tests.bench import rows
from tests.bench.steps import STEPS, Place, RowsRead, Seconds
from transactions.models import Event, Transaction
from workers.models import Job, OutboundCall

WAITING = 20_000
IN_A_LANE = WAITING // 5

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _nobody_renews_the_statistics(transactional_db):
    """Disable autovacuum, which could renew the statistics of some tables during a test."""
    set_autovacuum("off")
    yield
    set_autovacuum("on")


def set_autovacuum(to: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SYSTEM SET autovacuum = {to}")
        cursor.execute("SELECT pg_reload_conf()")


@pytest.fixture
def place():
    """The measured provider and client, and others beside them."""
    place = Place()
    place.cycle(Seconds())  # the first cycle does one-time work
    return place


def read_by(place: Place) -> dict[str, int]:
    meter = RowsRead()
    place.cycle(meter)
    return meter.of


@pytest.mark.parametrize("known", [False, True], ids=["old statistics", "after ANALYZE"])
def test_processing_new_transactions_does_not_read_waiting_ones(place, known):
    place.fill(50)  # some in each lane
    place.count()
    rows.analyze()
    before = read_by(place)
    place.fill(WAITING, have=50)
    place.count()
    if known:
        rows.analyze()
    after = read_by(place)

    assert before.keys() == set(STEPS)
    # With more rows the planner may join a batch differently; a step that reads waiting jobs reads all of a lane.
    more = {step: after[step] - before[step] for step in STEPS}
    assert {step: rows for step, rows in more.items() if rows > IN_A_LANE // 2} == {}


@pytest.mark.parametrize("known", [False, True], ids=["no statistics", "after ANALYZE"])
@pytest.mark.parametrize("due", [False, True], ids=["in the future", "due"])
def test_the_dashboard_reads_a_bounded_number_of_waiting_jobs(place, monkeypatch, known, due):
    monkeypatch.setattr(operators.dashboard.overview, "MOST", 100)
    monkeypatch.setattr(workers.statistics, "MOST_IN_A_LANE", 10)
    monkeypatch.setattr(workers.statistics, "LATEST", 100)
    place.fill(WAITING)
    place.count()
    if due:
        rows.make_due()
    (rows.analyze if known else rows.forget_statistics)()
    place.look()  # the first index scan removes dead entries that the update left

    meter = RowsRead()
    with meter("look"):
        place.look()
    assert meter.of["look"] < IN_A_LANE


def test_the_generated_rows_look_like_those_of_the_service(place):
    made = Transaction.objects.filter(client_ref__startswith="waiting-")
    place.fill(10)

    assert made.count() == Event.objects.filter(transaction__in=made).count() == 10
    assert OutboundCall.objects.filter(transaction_id__in=made.values("pk"), job__kind="create").count() == 10
    track, told = (Job.objects.filter(transaction_id__in=made.values("pk"), kind=kind) for kind in ("track", "notify"))
    assert set(track.values_list("state", "lane")) == {("waiting", t.settings.lane) for t in place.thirds}
    assert set(told.values_list("state", "lane")) == {("done", c.settings.lane) for c in place.clients}
