"""STATUS_BY_HAND_NEEDS_TWO: one person proposes a status, another one approves or rejects it."""

from functools import partial

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from operators.actions.outcomes import MOVED, OWN
from operators.models import Proposal
from tests.cast import now
from tests.operators.actions.steps import created, staff_events, why_not
from tests.running import tell, timeline
from tests.threads import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _two(settings):
    settings.STATUS_BY_HAND_NEEDS_TWO = "on"


@pytest.fixture
def proposed(press, record):
    """A transaction for which Olga has proposed the status completed."""
    created(record, 300)
    assert press("set_status", record.id, "by phone", status="completed", sequence=1) == ""
    return record


def test_nothing_changes_before_the_approval(proposed):
    assert (now(proposed).status, now(proposed).sequence) == ("pending", 1)
    assert staff_events(proposed) == [{"who": "olga", "what": "proposed the status completed", "why": "by phone"}]


def test_another_person_approves(press, proposed, otto):
    assert press("approve_status", proposed.id, "I called, too", by=otto) == ""

    assert (now(proposed).status, now(proposed).sequence) == ("completed", 2)
    proposal = Proposal.objects.get()
    assert (proposal.decision, proposal.decided_by, proposal.decided_at is None) == ("approved", otto, False)
    assert staff_events(proposed)[1]["what"] == "approved the status completed, proposed by olga"
    assert timeline(proposed)[-1] == ("status", "completed", 2, "staff")


def test_nobody_can_approve_their_own_proposal(press, proposed):
    assert press("approve_status", proposed.id) == OWN
    assert (now(proposed).status, len(staff_events(proposed))) == ("pending", 1)


def test_the_database_enforces_two_people(proposed, olga):
    with pytest.raises(IntegrityError, match="proposal_by_two"), transaction.atomic():
        Proposal.objects.update(decision="approved", decided_by=olga, decided_at=Now())


def test_another_person_rejects(press, proposed, otto):
    assert press("reject_status", proposed.id, "they said declined", by=otto) == ""

    assert (now(proposed).status, Proposal.objects.get().decision) == ("pending", "rejected")
    assert why_not("set_status", proposed) == ""


def test_the_proposer_can_reject_the_proposal(press, proposed):
    assert press("reject_status", proposed.id) == ""


def test_a_transaction_has_one_open_proposal(press, proposed, otto):
    told = press("set_status", proposed.id, by=otto, status="failed", sequence=1)

    assert told == "a proposed status is waiting for approval: approve or reject it first"
    with pytest.raises(IntegrityError, match="proposal_open_once"), transaction.atomic():
        Proposal.objects.create(transaction_id=proposed.id, status="failed", sequence=1, reason="", by=otto)


def test_a_status_that_changed_since_the_proposal_cannot_be_approved(press, proposed, otto):
    tell(proposed, "declined")
    tell(proposed, "completed")

    assert press("approve_status", proposed.id, by=otto) == MOVED
    assert now(proposed).status == "declined"


def test_a_contradiction_that_was_resolved_meanwhile_cannot_be_approved(press, record, otto):
    tell(record, "declined")
    tell(record, "completed")
    press("set_status", record.id, status="completed", sequence=2)
    press("resolve_review", record.id)

    assert press("approve_status", record.id, by=otto) == "the status is final (declined), and nothing contradicts it"


@pytest.mark.parametrize("name", ["approve_status", "reject_status"])
def test_it_is_refused_without_a_proposal(press, record, name):
    assert press(name, record.id) == "no status is proposed"


def test_only_a_final_status_can_be_proposed(press, record):
    assert (
        press("set_status", record.id, status="pending", sequence=1)
        == "pending is not a different final status: choose another one"
    )
    assert not Proposal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_proposals_at_once_create_one(press, record, otto):
    propose = partial(press, "set_status", record.id, status="failed", sequence=1)

    assert sorted(map(bool, at_once(propose, partial(propose, by=otto)))) == [False, True]
    assert Proposal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_an_approval_and_a_rejection_at_once_one_wins(press, proposed, otto):
    decided = at_once(*[partial(press, name, proposed.id, by=otto) for name in ("approve_status", "reject_status")])

    assert sorted(map(bool, decided)) == [False, True]
    assert (now(proposed).status == "completed") is (Proposal.objects.get().decision == "approved")
