"""Data for the browser tests: `python -m tests.browser.seed`, before a worker runs.

This is a separate program, because Django's ORM does not work in a thread with the browser's event loop. It prints the
session of each staff user and the ids of the transactions as JSON.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import django

MANY, REFERENCE = 500, "Night run"
"""Number of transactions with failed notifications, for the bulk run, and their common reference."""
PASSWORD = "correct horse battery staple"


def main() -> None:
    django.setup()
    json.dump({"sessions": sessions(), "transactions": transactions()}, sys.stdout)


def sessions() -> dict[str, str]:
    """Create a user for each role, log them in, and return the sessions by role."""
    from django.conf import settings
    from django.contrib.auth.models import Group, User
    from django.test import Client as Web

    found = {}
    for role in ("viewer", "operator", "administrator"):
        user = User.objects.create_user(role, password=PASSWORD if role == "operator" else None, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        web = Web()
        web.force_login(user)
        found[role] = web.cookies[settings.SESSION_COOKIE_NAME].value
    return found


def transactions() -> dict[str, str]:
    """Create transactions at a paused provider, so that they do not change. Return our ids by the client's id."""
    from clients.models import Client
    from tests.cast import Caller, accepted, make_provider
    from tests.running import age, tell
    from transactions.observations import Observation
    from transactions.status import Review, Source
    from transactions.store import apply

    idle = make_provider("idle-bank", paused=True, paused_why="browser tests")
    demo = Caller(Client.objects.get(), key="", secret="")

    def new(client_ref: str, reference: str = "") -> Any:
        return accepted(demo, idle, client_ref=client_ref, reference=reference)

    stuck, contradicted = new("order-stuck"), new("order-contradicted")
    age(stuck, 2 * 86_400)
    apply([(stuck.id, Observation(Source.CLOCK, review=Review.OVERDUE))])
    tell(contradicted, "completed")
    tell(contradicted, "declined")
    several = [new("order-not_notified"), *(new(f"bulk-{number}", REFERENCE) for number in range(MANY))]
    not_notified([one.id for one in several])
    return {one.client_ref: str(one.id) for one in (stuck, contradicted, several[0])}


def not_notified(which: Sequence[UUID]) -> None:
    """Complete these transactions, and let their final notifications fail for good."""
    from providers.status import Status
    from transactions.observations import Observation
    from transactions.status import Source
    from transactions.store import apply
    from workers import jobs
    from workers.models import Job
    from workers.outcomes import Failed, Outcome

    apply([(id_, Observation(Source.WEBHOOK, status=Status.COMPLETED)) for id_ in which])
    found = list(Job.objects.filter(transaction_id__in=which, kind="notify", key="seq:2"))
    for first in range(0, len(found), 50):  # fewer than the limit of concurrent calls to one endpoint
        claims = [jobs.claim_one(job) for job in found[first : first + 50]]
        jobs.settle([(claim, Outcome(Failed("503 from the endpoint, for 28 hours"))) for claim in claims if claim])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txnproject.settings")
    main()
