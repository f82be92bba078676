"""Results of the demo, compared from the records of the three sides."""

from typing import Any

from devstack.results import Result, compare

COMPLETED = [{"status": "pending", "source": "api"}, {"status": "completed", "source": "poll"}]
REFUSED = [{"status": "failed", "source": "create"}]


def result(
    events: list[dict[str, Any]] = COMPLETED, *, review: str = "", final: str | None = "completed", **provider: Any
) -> Result:
    copy = {"status": "completed", "create_calls": [{"http": 201}], **provider}
    client = {"final": final, "notifications": [{"status": final, "at": 12.5}] if final else []}
    return compare("sync-1", 10.0, events=events, review=review, provider=copy, client=client)


def test_three_equal_final_statuses_agree() -> None:
    row = result()
    assert row.agreed
    assert (row.path, row.seconds) == ("poll", 2.5)


def test_a_client_without_a_notification_does_not_agree() -> None:
    assert not result(final=None).agreed


def test_a_third_party_with_another_status_does_not_agree() -> None:
    assert not result(status="declined").agreed


def test_a_refused_transaction_agrees_if_service_and_client_have_it_as_failed() -> None:
    row = result(REFUSED, final="failed", status=None, create_calls=[{"http": 422}])
    assert row.refused and row.agreed
    assert row.path == "refused (422)"


def test_the_path_shows_a_second_create() -> None:
    assert result(create_calls=[{"http": 504}, {"http": 201}]).path == "504, sent again, poll"


def test_the_path_shows_the_reason_for_a_review() -> None:
    assert result(review="contradiction").path == "poll; review: contradiction"
