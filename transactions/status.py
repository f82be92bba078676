"""The state of a transaction beside its status: submission and review; and the sources of changes.

Each value says who changes it next and what a crash leaves.
"""

from django.db import models


class Submission(models.TextChoices):
    """Our knowledge of the provider's copy."""

    UNSENT = "unsent", "unsent"
    """No create is recorded. After a crash during a create, the job's `lost_at` shows that one may have begun."""
    UNKNOWN = "unknown", "unknown"
    """A create timed out or was answered with 5xx: it may take effect later. A status check or a webhook decides it."""
    CREATED = "created", "created"
    """The provider has the transaction."""
    REFUSED = "refused", "refused"
    """The provider refused the transaction, or provably never had it."""


class Review(models.TextChoices):
    """The reason for which an operator must review a transaction."""

    CONTRADICTION = "contradiction", "the provider contradicted a final status"
    OVERDUE = "overdue", "no final status after track_for"
    CREDENTIALS = "credentials", "the provider refused our credentials"
    UNMAPPED = "unmapped", "the provider's word for the status is not in status_map"
    UNREADABLE = "unreadable", "the provider's answer to a status check has no status"
    """Cleared by a status check that can be read."""
    MISSING = "missing", "the provider confirmed it, and does not find it any more"
    """Cleared by a status check that finds it."""
    DENIED = "denied", "the provider denies access to it"
    """It waits alone: 403 for two transactions within a minute counts as refused credentials. Cleared by any answer."""
    STALLED = "stalled", "it makes no progress"
    """Only failing calls for STALLED_AFTER, or no job is left that creates or polls it. Cleared by the next answer that
    can be used; flagged again within a minute if there still is no job."""
    GIVEN_UP = "given_up", "a job was given up"


PASSING = (Review.UNREADABLE, Review.MISSING, Review.DENIED, Review.STALLED)
"""Reasons that end with the next answer that can be used. Staff need not resolve them."""


class Source(models.TextChoices):
    """The source of a change."""

    API = "api", "API"
    CREATE = "create", "create's answer"
    POLL = "poll", "poll"
    WEBHOOK = "webhook", "webhook"
    STAFF = "staff", "staff"
    CLOCK = "clock", "clock"
