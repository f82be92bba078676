"""status."""

from django.db import models


class Status(models.TextChoices):
    """What the client sees. The first final status wins, by compare-and-set; nothing moves it after that but
    staff, who decide where it is contradicted."""

    PENDING = "pending", "pending"
    """From acceptance on. The create's answer, a poll or a webhook moves it on; a crash leaves it."""
    COMPLETED = "completed", "completed"
    """Final: the provider has done it."""
    DECLINED = "declined", "declined"
    """Final: the provider has decided against it."""
    FAILED = "failed", "failed"
    """Final: the provider refused the create, or it is proven that no create took effect; or the provider says so."""


FINAL = (Status.COMPLETED, Status.DECLINED, Status.FAILED)
