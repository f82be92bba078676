"""Status changes from two sources at the same time: the first final status stands."""

from dataclasses import replace
from functools import partial

import pytest

from providers.status import Status
from tests.cast import job, now
from tests.races.amid import amid, overtaking
from tests.running import again, change, claim, facts, perform, run, settle, timeline
from tests.servers import Answer
from tests.threads import aside
from tests.webhooks.senders import recorded, tell
from transactions.models import Transaction
from transactions.observations import Observation
from transactions.status import Source
from txnproject.jobs import JOBS
from workers import jobs
from workers.kinds import all_kinds, kind_of
from workers.outcomes import Done, Outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

DECLINED = Answer(200, {"status": "declined"})


def test_a_webhook_during_a_poll_wins(third, record, far):
    Transaction.objects.update(submission="unknown")
    with amid(job(record, "track"), far, "GET", DECLINED):
        tell(third, record.id, "completed")

    assert facts(record) == ("completed", "created", "contradiction")
    assert timeline(record)[-2:] == [("status", "completed", 2, "webhook"), ("contradiction", "declined", None, "poll")]
    assert job(record, "track").state == "done"


def test_a_webhook_during_a_create_wins(third, record, far):
    with amid(job(record, "create"), far, "POST", DECLINED):
        tell(third, record.id, "completed")

    assert facts(record) == ("completed", "created", "contradiction")
    assert job(record, "create").state == "done"


def test_a_webhook_during_a_create_without_a_response_prevents_a_second_create(third, record, far):
    with amid(job(record, "create"), far, "POST", Answer(504)):
        tell(third, record.id, "completed")
    run(job(record, "create"))

    assert facts(record) == ("completed", "created", "")
    assert (job(record, "create").state, len(far.of("POST"))) == ("done", 1)


@pytest.mark.parametrize("kind", ["create", "track"])
def test_a_webhook_between_claim_and_load_leaves_no_work_for_the_run(third, record, far, kind):
    claimed = claim(job(record, kind))
    aside(partial(tell, third, record.id))

    assert jobs.load([claimed]) == {}


@pytest.mark.parametrize("kind", ["create", "track"])
def test_a_webhook_between_load_and_settle_wins(third, record, far, kind):
    Transaction.objects.update(submission="unknown")
    far.on("GET", DECLINED)
    claimed = claim(job(record, kind))
    learnt = perform(claimed)
    aside(partial(tell, third, record.id))

    settle(claimed, learnt)

    assert facts(record) == ("completed", "created", "contradiction")


def test_a_webhook_during_a_settle_waits_and_is_applied_second(third, record, monkeypatch):
    """The settle locks the transaction at its start, so deadlocks and overtaking are impossible."""
    claimed, kind = claim(job(record, "create")), kind_of("create")
    learnt = Outcome(Done(), Observation(Source.CREATE, status=Status.DECLINED))

    with overtaking(partial(tell, third, record.id)) as overtaken:
        slow = replace(kind, save=lambda settled: overtaken() or kind.save(settled))
        monkeypatch.setitem(JOBS.kinds, "create", slow)
        settle(claimed, learnt)

    assert facts(record)[0] == "declined"
    assert recorded() == ["contradicting"]


def test_a_provider_paused_during_a_call_has_its_answer_applied_and_gets_no_more_calls(third, record, far):
    with amid(job(record, "create"), far, "POST", Answer(201, {"status": "pending"})):
        change(third, paused=True)

    assert facts(record) == ("pending", "created", "")
    assert jobs.claim_lanes({third.settings.lane: 9}, all_kinds()) == []
    assert again(job(record, "track")).state == "waiting"
    assert now(record).create_began_at is not None
