"""A transaction's state is two facts and a flag; each value says who moves it on and what a crash leaves."""

from django.db import models


class Submission(models.TextChoices):
    """What we know of the provider's copy."""

    UNSENT = "unsent", "unsent"
    """No create has begun, as far as is recorded. After a crash during a create the job's `lost_at` says otherwise."""
    UNKNOWN = "unknown", "unknown"
    """A create timed out or answered 5xx: it may exist, now or later. A look, a poll or a webhook moves it on."""
    CREATED = "created", "created"
    """The provider has it."""
    REFUSED = "refused", "refused"
    """The provider will not have it, or provably never had it."""


class Review(models.TextChoices):
    """Why an operator must look."""

    CONTRADICTION = "contradiction", "the provider contradicted a final status"
    OVERDUE = "overdue", "no final status after track_for"
    CREDENTIALS = "credentials", "the provider refused our credentials"
    UNMAPPED = "unmapped", "the provider's word for the status is not in status_map"
    GIVEN_UP = "given_up", "a job was given up"


class Source(models.TextChoices):
    """Who told of a change."""

    API = "api", "API"
    CREATE = "create", "create's answer"
    POLL = "poll", "poll"
    WEBHOOK = "webhook", "webhook"
    STAFF = "staff", "staff"
    CLOCK = "clock", "clock"
