"""Users of the admin pages, and rows to show."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.cast import accepted, job
from workers import jobs
from workers.models import Job
from workers.outcomes import Failed, Outcome

VIEWED = ("clients", "operators", "providers", "transactions", "webhooks", "workers")


def signed_in(name: str, *permissions: str) -> Client:
    """Log in a staff user with all view permissions of the service and these permissions."""
    user = User.objects.create_user(name, is_staff=True)
    ours = Permission.objects.filter(content_type__app_label__in=VIEWED)
    user.user_permissions.set(ours.filter(codename__startswith="view_") | ours.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin_client(db: None) -> Client:
    """A superuser, without a password: hashing one takes longer than most tests."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def viewer(db: None) -> Client:
    """A user who may view everything and change nothing."""
    return signed_in("viewer")


@pytest.fixture
def retrier(db: None) -> Client:
    """A user who may view everything and retry jobs."""
    return signed_in("retrier", "retry_job")


@pytest.fixture
def order(alice, third):
    """A pending transaction of alice."""
    return accepted(alice, third, client_ref="order-7", reference="invoice 4711")


@pytest.fixture
def given_up(order):
    """The same transaction with a failed create, flagged for review."""
    give_up(order, "create", "its worker was lost 5 times in a row while it ran")
    return order


def give_up(record, kind: str, reason: str = "given up", key: str = "") -> Job:
    """Let a run of this job end in `failed`."""
    claim = jobs.claim_one(job(record, kind, key))
    assert claim is not None
    jobs.settle([(claim, Outcome(Failed(reason)))])
    return job(record, kind, key)
