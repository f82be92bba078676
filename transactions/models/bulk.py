"""One action of staff on many rows, done in the background; what moves it is in `transactions.staff.bulk`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BulkState(models.TextChoices):
    WAITING = "waiting", "waiting"
    """No worker has begun. The next one that is free moves it on; a crash leaves it."""
    RUNNING = "running", "running"
    """A worker does the next rows until `lease_until`, or will when that is over, as after a crash."""
    STOPPING = "stopping", "stopping"
    """Somebody has pressed stop: it ends with the rows that are under way."""
    DONE = "done", "done"
    """Final: every row was tried."""
    STOPPED = "stopped", "stopped"
    """Final: somebody has stopped it; the rows behind `position` are as they were."""
    FAILED = "failed", "failed"
    """Final: it could not go on, `why` says why; the rows behind `position` are as they were."""


OPEN = (BulkState.WAITING, BulkState.RUNNING, BulkState.STOPPING)
OVER = (BulkState.DONE, BulkState.STOPPED, BulkState.FAILED)


class BulkRun(models.Model):
    """What was asked for, how far it is, and what became of each row."""

    action = models.CharField(max_length=32, help_text="Its name in the table of actions")
    params = models.JSONField(default=dict, help_text="Of the list, as it was filtered")
    chosen = models.JSONField(null=True, help_text="The rows, where they were chosen one by one")
    newest = models.CharField(max_length=36, help_text="The id of the newest row then: later ones are not touched")
    reason = models.CharField(max_length=500, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    token = models.UUIDField(unique=True, help_text="Of the form: sent twice, it is one run")
    created_at = models.DateTimeField(db_default=Now())

    state = models.CharField(max_length=8, choices=BulkState.choices, default=BulkState.WAITING)
    lease_until = models.DateTimeField(db_default=Now(), help_text="Until then it is one worker's")
    position = models.CharField(max_length=36, blank=True, default="", help_text="Id of the last row that was tried")
    total = models.IntegerField(null=True, help_text="Rows that it began with, once they are counted; empty: too many")
    tried = models.IntegerField(default=0)
    results = models.JSONField(default=dict, help_text="What became of the rows: how many, and the first few")
    why = models.CharField(max_length=255, blank=True, default="")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=OPEN, finished_at__isnull=True) | Q(state__in=OVER, finished_at__isnull=False),
                name="bulkrun_over_iff_finished",
            )
        ]
        indexes = [
            # What every worker process asks for once a second.
            models.Index(fields=["lease_until"], name="bulkrun_open", condition=Q(state__in=OPEN))
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
