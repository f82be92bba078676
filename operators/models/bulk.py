"""Bulk runs: one staff action on many rows, processed in the background by `operators.actions.bulk`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BulkState(models.TextChoices):
    WAITING = "waiting", "waiting"
    """No worker has started it. The next free worker moves it on; a crash leaves it."""
    RUNNING = "running", "running"
    """A worker processes the next rows until `lease_until`; after a crash, another one continues at that time."""
    DONE = "done", "done"
    """Final: every row was processed."""
    STOPPED = "stopped", "stopped"
    """Final: stopped by a user; the rows after `position` are unchanged."""
    FAILED = "failed", "failed"
    """Final: it cannot continue, for the reason in `why`; the rows after `position` are unchanged."""


OPEN = (BulkState.WAITING, BulkState.RUNNING)
OVER = (BulkState.DONE, BulkState.STOPPED, BulkState.FAILED)


class BulkRun(models.Model):
    """The requested action, the progress, and the result of each row."""

    action = models.CharField(max_length=32, help_text="Name in the table of actions")
    params = models.JSONField(default=dict, help_text="Filters of the list")
    chosen = models.JSONField(null=True, help_text="Keys of the rows, if they were selected one by one")
    newest = models.CharField(max_length=36, help_text="Key of the newest row at the start; newer rows are excluded")
    reason = models.CharField(max_length=500, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    token = models.UUIDField(unique=True, help_text="Identifies the form: submitted twice, it starts one run")
    created_at = models.DateTimeField(db_default=Now())

    state = models.CharField(max_length=8, choices=BulkState.choices, default=BulkState.WAITING)
    lease_until = models.DateTimeField(db_default=Now(), help_text="End of the current worker's lease")
    position = models.CharField(max_length=36, blank=True, default="", help_text="Key of the last processed row")
    total = models.IntegerField(null=True, help_text="Number of rows at the start; empty if not counted or too many")
    tried = models.IntegerField(default=0)
    results = models.JSONField(default=dict, help_text="By result: the number of rows and the first few keys")
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
            # Queried by every worker process once a second.
            models.Index(fields=["lease_until"], name="bulkrun_open", condition=Q(state__in=OPEN))
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
