"""Effects of an authentic webhook, each exactly once."""

from datetime import UTC, datetime

import pytest

from providers.status import Status
from tests.cast import accepted, job, make_client, make_provider, now
from tests.webhooks.senders import everything, recorded, tell
from transactions.models import Event
from transactions.observations import Observation
from transactions.snapshot import TransactionSnapshot
from transactions.status import Source, Submission
from transactions.store import apply
from webhooks.models import Webhook
from workers import jobs
from workers.foundation.ids import uuid7
from workers.lanes import Lane
from workers.models import Job
from workers.outcomes import Again, Done, Outcome, Wake

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


def timeline() -> list[tuple[str, str, int | None, str]]:
    return list(Event.objects.order_by("id").values_list("kind", "status", "sequence", "source"))


def states() -> dict[str, str]:
    """The state of every job, by kind and key."""
    return {f"{one.kind} {one.key}".strip(): one.state for one in Job.objects.all()}


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_a_final_status_is_applied(third, record, status):
    tell(third, record.id, status)

    found = now(record)
    assert (found.status, found.sequence, found.submission, found.review) == (status, 2, "created", "")
    assert found.finalised_at is not None
    assert recorded() == ["applied"]
    assert timeline() == [("status", "pending", 1, "api"), ("status", status, 2, "webhook")]


def test_what_is_applied_names_its_webhook(third, record):
    tell(third, record.id, webhook="msg_of_theirs")

    assert Event.objects.get(sequence=2).detail == {"webhook": "msg_of_theirs"}


def test_a_failure_says_so(third, record):
    tell(third, record.id, "failed")

    assert now(record).failure_code == "failed_at_provider"
    assert now(record).failure_detail


def test_a_final_status_cancels_waiting_jobs_and_starts_one_notification(third, record):
    tell(third, record.id)

    assert states() == {
        "create": "cancelled", "track": "cancelled", "notify seq:1": "cancelled", "notify seq:2": "waiting",
    }  # fmt: skip
    assert job(record, "notify", "seq:2").run_at <= datetime.now(UTC)


def test_it_is_recorded_with_its_content(third, record):
    tell(third, record.id, "completed")

    found = Webhook.objects.get()
    assert (found.provider, found.webhook_id) == (third.provider, "msg_1")
    assert (found.transaction_id, found.given_id, found.word) == (record.id, str(record.id), "completed")
    assert found.body == f'{{"id": "{record.id}", "status": "completed"}}'
    assert found.repeats == 0


def test_the_same_webhook_again_only_counts(third, record):
    tell(third, record.id)
    before = everything()[:3]

    tell(third, record.id)
    tell(third, record.id)

    assert everything()[:3] == before
    assert list(Webhook.objects.values_list("result", "repeats")) == [("applied", 2)]


def test_a_repeated_contradiction_is_one(third, record):
    tell(third, record.id, "completed", webhook="msg_1")
    tell(third, record.id, "declined", webhook="msg_2")
    before = everything()[:3]

    tell(third, record.id, "declined", webhook="msg_2")

    assert everything()[:3] == before


def test_a_used_webhook_id_has_no_effect(third, record):
    tell(third, record.id, "pending", webhook="msg_1")
    before = everything()[:3]

    tell(third, record.id, "completed", webhook="msg_1")

    assert everything()[:3] == before
    assert list(Webhook.objects.values_list("result", "repeats")) == [("noted", 1)]


def test_the_workers_are_told_at_once_and_once(monkeypatch, third, record):
    told: list[Wake] = []
    monkeypatch.setattr("webhooks.incoming.services.announce", told.extend)

    tell(third, record.id)
    tell(third, record.id)

    assert told == [Wake("notify", Lane.client(record.client_id))]


def test_a_repeated_unmatched_webhook_is_counted(third):
    id_ = uuid7()
    tell(third, id_)
    tell(third, id_)

    assert list(Webhook.objects.values_list("result", "repeats")) == [("unmatched", 1)]


def test_two_providers_may_use_the_same_webhook_id(third, record):
    other = make_provider("other")
    second = accepted(make_client("bob", other.provider), other)

    tell(third, record.id, webhook="msg_1")
    tell(other, second.id, webhook="msg_1")

    assert recorded() == ["applied", "applied"]


@pytest.mark.parametrize("status", ["completed", "pending"])
def test_a_webhook_after_the_final_status_is_late(third, record, status):
    tell(third, record.id, "completed", webhook="msg_1")
    before = everything()[:3]

    tell(third, record.id, status, webhook="msg_2")

    assert recorded() == ["applied", "late"]
    assert everything()[:3] == before


@pytest.mark.parametrize(
    ("first", "second"), [("completed", "declined"), ("declined", "completed"), ("failed", "completed")]
)
def test_a_contradicting_webhook_is_recorded_and_flagged_but_not_applied(third, record, first, second):
    tell(third, record.id, first, webhook="msg_1")
    as_told = states()

    tell(third, record.id, second, webhook="msg_2")

    found = now(record)
    assert (found.status, found.sequence, found.review) == (first, 2, "contradiction")
    assert recorded() == ["applied", "contradicting"]
    assert timeline()[2:] == [("contradiction", second, None, "webhook")]
    assert states() == as_told


def test_it_contradicts_a_status_from_any_source(third, record):
    apply([(record.id, Observation(Source.POLL, status=Status.DECLINED))])

    tell(third, record.id, "completed")

    assert (now(record).status, now(record).review, recorded()) == ("declined", "contradiction", ["contradicting"])


def test_pending_is_noted(third, record):
    tell(third, record.id, "pending")

    found = now(record)
    assert (found.status, found.sequence, found.review, found.submission) == ("pending", 1, "", "created")
    assert recorded() == ["noted"]
    assert set(states().values()) == {"waiting"}
    assert len(timeline()) == 1


def test_an_unknown_status_counts_as_pending_and_is_flagged(third, record):
    tell(third, record.id, "frozen")

    assert (now(record).status, now(record).review) == ("pending", "unmapped")
    assert recorded() == ["noted"]
    assert timeline()[1:] == [("review", "", None, "webhook")]
    assert Event.objects.get(kind="review").detail == {"webhook": "msg_1", "word": "frozen", "review": "unmapped"}
    assert set(states().values()) == {"waiting"}


def test_a_final_status_is_applied_after_an_unknown_one(third, record):
    tell(third, record.id, "frozen", webhook="msg_1")
    tell(third, record.id, "completed", webhook="msg_2")

    assert (now(record).status, now(record).review) == ("completed", "unmapped")
    assert recorded() == ["noted", "applied"]


@pytest.mark.parametrize("id_", [str(uuid7()), "order-1", "x" * 5000, "é", "0"])
def test_an_unknown_id_is_kept_as_unmatched(third, record, id_):
    before = everything()[:3]

    tell(third, id_)

    assert recorded() == ["unmatched"]
    assert Webhook.objects.get().transaction_id is None
    assert Webhook.objects.get().given_id == id_[:100]
    assert everything()[:3] == before


def test_the_clients_own_id_is_not_the_providers(third, record):
    tell(third, record.client_ref)

    assert recorded() == ["unmatched"]
    assert now(record).status == "pending"


def test_a_webhook_cannot_change_another_providers_transaction(third, record):
    other = make_provider("other")
    before = everything()[:3]

    tell(other, record.id)

    assert everything()[:3] == before
    assert recorded() == ["unmatched"]


def test_another_providers_webhook_does_not_block_the_right_one(third, record):
    tell(make_provider("other"), record.id, "declined")

    tell(third, record.id, "completed")

    assert (now(record).status, now(record).review) == ("completed", "")


def test_a_paused_providers_webhook_is_applied(third, record):
    third.provider.paused = True
    third.provider.save()

    tell(third, record.id)

    assert now(record).status == "completed"


def test_a_webhook_before_the_answer_to_the_create_is_applied(third, record):
    creating = jobs.claim_one(job(record, "create"))
    assert creating is not None

    tell(third, record.id, "completed")

    assert (now(record).status, recorded()) == ("completed", ["applied"])
    assert states()["create"] == "running"


@pytest.mark.parametrize(
    ("outcome", "review"),
    [
        (Outcome(Done(), Observation(Source.CREATE, status=Status.COMPLETED, submission=Submission.CREATED)), ""),
        (Outcome(Again(120, 1), Observation(Source.CREATE, submission=Submission.UNKNOWN)), ""),
        (
            Outcome(Done(), Observation(Source.CREATE, status=Status.DECLINED, submission=Submission.CREATED)),
            "contradiction",
        ),
    ],
)
def test_the_creates_own_answer_after_it_changes_no_status(third, record, outcome, review):
    creating = jobs.claim_one(job(record, "create"))
    assert creating is not None
    tell(third, record.id, "completed")

    jobs.settle([(creating, outcome)])

    found = now(record)
    assert (found.status, found.sequence, found.submission, found.review) == ("completed", 2, "created", review)
    assert sorted(one for one in states() if one.startswith("notify")) == ["notify seq:1", "notify seq:2"]


def test_a_running_job_is_not_cancelled(third, record):
    jobs.claim_one(job(record, "track"))

    tell(third, record.id)

    assert states()["track"] == "running"
