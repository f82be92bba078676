"""Statuses of transactions."""

from django.db import models


class Status(models.TextChoices):
    """The status that the client sees. The first final status wins, by compare-and-set. After that only staff can
    change it, where the provider has contradicted it."""

    PENDING = "pending", "pending"
    """From acceptance until the create's answer, a poll or a webhook brings a final status; a crash leaves it."""
    COMPLETED = "completed", "completed"
    """Final: the provider has carried out the transaction."""
    DECLINED = "declined", "declined"
    """Final: the provider has declined the transaction."""
    FAILED = "failed", "failed"
    """Final: the provider refused the create or reports a failure, or it is proven that no create took effect."""


FINAL = (Status.COMPLETED, Status.DECLINED, Status.FAILED)
