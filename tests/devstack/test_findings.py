"""What the demo makes of the three sides' records."""

from typing import Any

from devstack.results import Result, compare

COMPLETED = [{"status": "pending", "source": "api"}, {"status": "completed", "source": "poll"}]
REFUSED = [{"status": "failed", "source": "create"}]


def finding(
    events: list[dict[str, Any]] = COMPLETED, *, review: str = "", final: str | None = "completed", **provider: Any
) -> Result:
    copy = {"status": "completed", "create_calls": [{"http": 201}], **provider}
    client = {"final": final, "notifications": [{"status": final, "at": 12.5}] if final else []}
    return compare("sync-1", 10.0, events=events, review=review, provider=copy, client=client)


def test_three_equal_final_statuses_agree() -> None:
    found = finding()
    assert found.agreed
    assert (found.path, found.seconds) == ("poll", 2.5)


def test_a_client_that_was_not_told_does_not_agree() -> None:
    assert not finding(final=None).agreed


def test_a_third_party_that_says_otherwise_does_not_agree() -> None:
    assert not finding(status="declined").agreed


def test_a_refused_transaction_agrees_when_service_and_client_call_it_failed() -> None:
    found = finding(REFUSED, final="failed", status=None, create_calls=[{"http": 422}])
    assert found.refused and found.agreed
    assert found.path == "refused (422)"


def test_a_second_create_shows_on_the_way() -> None:
    assert finding(create_calls=[{"http": 504}, {"http": 201}]).path == "504, sent again, poll"


def test_what_operators_should_look_at_shows_on_the_way() -> None:
    assert finding(review="contradiction").path == "poll; review: contradiction"
