"""The benchmark in small: it runs, and what waits is not read by what does not."""

import pytest
from django.db import connection

import workers.overview
from tests.bench import rows
from tests.bench.steps import STEPS, Place, RowsRead, Seconds
from transactions.models import Event, Transaction
from workers.models import Attempt, Job

WAITING = 20_000
IN_A_LANE = WAITING // 5

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nobody_renews_the_statistics(transactional_db):
    """An autovacuum in the middle would have the planner know of some tables and not of others."""
    set_autovacuum("off")
    yield
    set_autovacuum("on")


def set_autovacuum(to: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SYSTEM SET autovacuum = {to}")
        cursor.execute("SELECT pg_reload_conf()")


@pytest.fixture
def place():
    """The measured provider and client, and others."""
    place = Place()
    place.cycle(Seconds())  # what happens once only
    return place


def read_by(place: Place) -> dict[str, int]:
    meter = RowsRead()
    place.cycle(meter)
    return meter.of


@pytest.mark.parametrize("known", [False, True], ids=["old statistics", "after ANALYZE"])
def test_what_waits_is_not_read_by_what_does_not(place, known):
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
    # A batch may be joined in another way when there are more rows; whoever reads what waits in a lane reads all of it.
    more = {step: after[step] - before[step] for step in STEPS}
    assert {step: rows for step, rows in more.items() if rows > IN_A_LANE // 2} == {}


@pytest.mark.parametrize("known", [False, True], ids=["no statistics", "after ANALYZE"])
@pytest.mark.parametrize("due", [False, True], ids=["in the future", "due"])
def test_the_dashboard_reads_no_more_than_its_bounds_of_what_waits(place, monkeypatch, known, due):
    monkeypatch.setattr(workers.overview, "MOST", 100)
    monkeypatch.setattr(workers.overview, "MOST_IN_A_LANE", 10)
    monkeypatch.setattr(workers.overview, "LATEST", 100)
    place.fill(WAITING)
    place.count()
    if due:
        rows.make_due()
    (rows.analyze if known else rows.forget_statistics)()
    place.look()  # the first scan of an index clears away what the update has left there

    meter = RowsRead()
    with meter("look"):
        place.look()
    assert meter.of["look"] < IN_A_LANE


def test_what_waits_is_as_the_service_leaves_it(place):
    made = Transaction.objects.filter(client_ref__startswith="waiting-")
    place.fill(10)

    assert made.count() == Event.objects.filter(transaction__in=made).count() == 10
    assert Attempt.objects.filter(transaction_id__in=made.values("pk"), job__kind="create").count() == 10
    track, told = (Job.objects.filter(transaction_id__in=made.values("pk"), kind=kind) for kind in ("track", "notify"))
    assert set(track.values_list("state", "lane")) == {("waiting", t.settings.lane) for t in place.thirds}
    assert set(told.values_list("state", "lane")) == {("done", c.settings.lane) for c in place.clients}
