from uuid import UUID

import pytest

from providers.status import Status
from tests.transactions.api.callers import Api
from transactions.models import Event, Transaction
from transactions.observations import Observation
from transactions.status import Review, Source
from transactions.store import apply

pytestmark = pytest.mark.django_db


def hear(status: Status, source: Source = Source.POLL, **more: str) -> None:
    """Apply an observation to the only transaction."""
    apply([(Transaction.objects.get().id, Observation(source, status=status, **more))])  # type: ignore[arg-type]


def events(api: Api) -> list[dict[str, object]]:
    answer = api.get("/order-1/events")
    assert answer.status_code == 200
    found: list[dict[str, object]] = answer.json()["results"]
    return found


def test_it_begins_with_the_acceptance(api):
    created = api.post().json()["created_at"]

    assert events(api) == [{"sequence": 1, "status": "pending", "source": "api", "at": created}]


def test_it_shows_each_change_of_status_with_its_source(api):
    api.post()
    hear(Status.COMPLETED, Source.WEBHOOK)

    first, second = events(api)
    assert (second["sequence"], second["status"], second["source"]) == (2, "completed", "webhook")
    assert str(first["at"]) < str(second["at"])
    assert str(second["at"]).endswith("Z")


def test_it_hides_entries_for_operators(api):
    api.post()
    hear(Status.COMPLETED)
    hear(Status.DECLINED)
    hear(Status.PENDING, review=Review.OVERDUE)
    Event.objects.create(transaction=Transaction.objects.get(), kind="staff", source="staff", detail={"who": "bob"})

    assert [event["status"] for event in events(api)] == ["pending", "completed"]
    assert set(events(api)[0]) == {"sequence", "status", "source", "at"}


def test_the_sequence_is_that_of_the_transaction(api):
    api.post()
    hear(Status.DECLINED)

    assert events(api)[-1]["sequence"] == api.get("/order-1").json()["sequence"] == 2


def test_the_transaction_is_shown_as_it_is_now(api):
    accepted = api.post().json()
    hear(Status.FAILED, failure_code="refused", failure_detail="no funds")

    shown = api.get("/order-1").json()

    assert (shown["status"], shown["failure"]) == ("failed", {"code": "refused", "detail": "no funds"})
    assert accepted["created_at"] == shown["created_at"] < min(shown["finalised_at"], shown["updated_at"])
    assert UUID(shown["provider_transaction_id"]) == Transaction.objects.get().id


def test_a_contradiction_is_not_shown_to_the_client(api):
    api.post()
    hear(Status.COMPLETED)
    before = api.get("/order-1").json()
    hear(Status.DECLINED)

    assert api.get("/order-1").json() == before
