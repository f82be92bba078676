"""Pages of bulk runs: confirmation, progress, results, and the stop button."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User

from operators.actions import bulk
from operators.actions.table import ACTIONS
from operators.models import BulkRun
from tests.cast import accepted
from tests.operators.pages.browser import fields_of
from transactions.models import Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
JOBS, START = "/admin/workers/job/", "/admin/operators/bulkrun/start/retry/"


@pytest.fixture
def failed(alice, third) -> list[Job]:
    """Three failed jobs."""
    for _ in range(3):
        accepted(alice, third)
    Job.objects.filter(kind="track").update(state="failed", last_error="given up")
    return list(Job.objects.filter(state="failed").order_by("pk"))


def chosen_in(client, address: str, *rows, across: bool = False, action: str = "retry"):
    """The list's action, as its form sends it."""
    keys = [row.pk for row in rows]
    return client.post(address, {"action": action, "_selected_action": keys, "select_across": int(across), "index": 0})


def begun(client, address: str, **given) -> BulkRun:
    form = fields_of(client.get(address).content.decode()) | {"reason": "the provider is back", **given}
    assert client.post(address, form).status_code == 302
    return BulkRun.objects.latest("pk")


def text_of(client, run: BulkRun) -> str:
    return " ".join(client.get(f"/admin/operators/bulkrun/{run.pk}/change/").content.decode().split())


def test_the_confirmation_of_chosen_rows_names_their_number(retrier, failed):
    answer = chosen_in(retrier, f"{JOBS}?state=failed", *failed[:2])

    assert answer.url == f"{START}?chosen={failed[0].pk}%2C{failed[1].pk}"
    page = retrier.get(answer.url).content.decode()
    assert "Retry: 2 jobs" in page and "Retry selected jobs: 2 jobs." in page


def test_the_confirmation_of_all_rows_names_the_filters(retrier, failed):
    answer = chosen_in(retrier, f"{JOBS}?state=failed&kind=track&p=1", failed[0], across=True)

    assert answer.url == f"{START}?state=failed&kind=track"
    page = retrier.get(answer.url).content.decode()
    assert "Retry all jobs with state failed and kind track: 3 jobs." in page
    assert "rows created after the start are not." in page
    assert "It was given up: given up." in page


def test_an_empty_selection_is_rejected(retrier, failed):
    assert retrier.get(f"{START}?chosen=").status_code == 400
    assert retrier.post(f"{START}?chosen=", {"reason": "oops", "token": str(uuid4())}).status_code == 400


def test_a_search_with_incomplete_results_is_rejected(retrier, failed, monkeypatch):
    Transaction.objects.update(reference="shared")
    monkeypatch.setattr("operators.search.MOST", 3)

    assert retrier.get(f"{START}?q=shared").status_code == 400


def test_a_missing_reason_starts_no_run(retrier, failed):
    page = retrier.post(f"{START}?state=failed", {"reason": " ", "token": str(uuid4())}).content.decode()

    assert "Nothing was done yet" in page
    assert not BulkRun.objects.exists()


def test_the_form_starts_the_requested_run(retrier, failed):
    run = begun(retrier, f"{START}?state=failed")

    assert (run.action, run.params, run.chosen, run.reason) == (
        "retry", {"state": "failed"}, None, "the provider is back"
    )  # fmt: skip
    assert run.by == User.objects.get(username="retrier")


def test_a_form_submitted_twice_starts_one_run(retrier, failed):
    form = fields_of(retrier.get(f"{START}?state=failed").content.decode()) | {"reason": "again"}

    one, two = (retrier.post(f"{START}?state=failed", form) for _ in range(2))

    assert one.url == two.url
    assert BulkRun.objects.count() == 1


def test_transactions_are_chosen_by_id(admin_client, order):
    answer = chosen_in(admin_client, "/admin/transactions/transaction/", Transaction.objects.get(), action="poll_now")
    run = begun(admin_client, answer.url)

    assert [UUID(key) for key in run.chosen or ()] == [order.id]


def test_the_page_shows_the_progress_and_the_results(retrier, viewer, failed, monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 2)
    run = begun(retrier, f"{START}?state=failed")
    bulk.step()

    page = text_of(viewer, run)
    assert '<progress class="relay-progress" aria-label="Processed rows" value="2" max="3">' in page
    assert "2 of 3 jobs" in page
    assert f'href="{JOBS}{failed[0].pk}/change/"' in page
    assert "the provider is back" in page


def test_the_page_of_an_ended_run_does_not_refresh_itself(retrier, failed):
    run = begun(retrier, f"{START}?state=failed")
    while bulk.step():
        pass

    page = text_of(retrier, run)
    assert "refresh.js" not in page and "<progress" not in page
    assert "Ended at" in page and "Stop" not in page


def test_the_page_of_a_run_of_an_unknown_action_opens(viewer, retrier, failed, monkeypatch):
    run = begun(retrier, f"{START}?state=failed")
    bulk.step()
    monkeypatch.delitem(ACTIONS, "retry")

    page = text_of(viewer, run)
    assert "3 of 3 rows" in page and f"<td>{failed[0].pk} {failed[1].pk}" in page


def test_the_refreshed_part_is_not_a_whole_page(retrier, failed):
    run = begun(retrier, f"{START}?state=failed")

    part = retrier.get(f"/admin/operators/bulkrun/{run.pk}/progress/").content.decode()
    assert "<progress" in part and "<html" not in part


def test_the_stop_button_ends_the_run(retrier, failed):
    run = begun(retrier, f"{START}?state=failed")

    said = retrier.post(f"/admin/operators/bulkrun/{run.pk}/stop/", follow=True).content.decode()
    assert "The run is stopped." in said
    assert BulkRun.objects.get().state == "stopped"
    again = retrier.post(f"/admin/operators/bulkrun/{run.pk}/stop/", follow=True).content.decode()
    assert "has already ended" in again


def test_a_viewer_sees_a_run_but_cannot_start_or_stop_one(viewer, retrier, failed):
    run = begun(retrier, f"{START}?state=failed")

    assert "Stop" not in text_of(viewer, run)
    assert viewer.post(f"/admin/operators/bulkrun/{run.pk}/stop/").status_code == 403
    assert viewer.get(f"{START}?state=failed").status_code == 403
    assert viewer.post(f"{START}?state=failed", {"reason": "x", "token": str(uuid4())}).status_code == 403
    assert "_selected_action" not in viewer.get(JOBS).content.decode()


def test_a_list_offers_the_permitted_bulk_actions(retrier, failed):
    offered = retrier.get(JOBS).context["action_form"].fields["action"].choices

    assert [name for name, _ in offered] == ["", "retry"]


@pytest.mark.parametrize(
    ("address", "status"),
    [
        (START.replace("retry", "set_status"), 404),
        (START.replace("retry", "no_such"), 404),
        (f"{START}?crashes=1", 400),
        (f"{START}?chosen=nonsense", 400),
        ("/admin/operators/bulkrun/start/poll_now/?chosen=nonsense", 400),
        ("/admin/operators/bulkrun/99/progress/", 404),
        ("/admin/operators/bulkrun/99/stop/", 405),
    ],
)
def test_an_invalid_address_is_rejected(admin_client, address, status):
    assert admin_client.get(address).status_code == status


def test_a_viewer_sees_the_list_of_runs(viewer, retrier, failed):
    begun(retrier, f"{START}?state=failed")

    page = viewer.get("/admin/operators/bulkrun/").content.decode()
    assert "Retry" in page and "waiting" in page
