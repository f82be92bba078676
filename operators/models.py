"""What staff and the dashboard store: bulk runs, proposed statuses, saved lists, and counts per minute."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from providers.status import FINAL, Status
from transactions.models import Transaction


class BulkState(models.TextChoices):
    """State of a bulk run."""

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


# States of a run that has more rows to process, and of one that has ended.
OPEN = (BulkState.WAITING, BulkState.RUNNING)
OVER = (BulkState.DONE, BulkState.STOPPED, BulkState.FAILED)


class BulkRun(models.Model):
    """One staff action on many rows, processed in the background by `operators.actions.bulk`."""

    action = models.CharField(max_length=32, help_text="Name in `operators.actions.table.ACTIONS`")
    params = models.JSONField(default=dict, help_text="Filters of the list")
    chosen = models.JSONField(null=True, help_text="Keys of the rows, if they were selected one by one")
    newest = models.CharField(
        max_length=36, help_text="`list_key` of the newest row at the start; it excludes newer ones"
    )
    reason = models.CharField(max_length=500, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    token = models.UUIDField(unique=True, help_text="Identifies the form: submitted twice, it starts one run")
    created_at = models.DateTimeField(db_default=Now())

    state = models.CharField(max_length=8, choices=BulkState.choices, default=BulkState.WAITING)
    lease_until = models.DateTimeField(db_default=Now(), help_text="End of the current worker's lease")
    position = models.CharField(max_length=36, blank=True, default="", help_text="`list_key` of the last processed row")
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


class Proposal(models.Model):
    """A final status that one person proposes and another approves, if `STATUS_BY_HAND_NEEDS_TWO` is set.

    A transaction has at most one open proposal.
    """

    class Decision(models.TextChoices):
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"

    transaction = models.ForeignKey(Transaction, on_delete=models.CASCADE, related_name="proposals")
    status = models.CharField(max_length=9, choices=Status.choices)
    sequence = models.IntegerField(help_text="The transaction's when it was proposed: it must not have moved on")
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=8, choices=Decision.choices, blank=True, default="", db_default="")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["transaction"], condition=Q(decision=""), name="proposal_open_once"),
            models.CheckConstraint(condition=Q(status__in=FINAL), name="proposal_final"),
            models.CheckConstraint(
                condition=Q(decision="", decided_at__isnull=True, decided_by__isnull=True)
                | Q(decision__in=["approved", "rejected"], decided_at__isnull=False, decided_by__isnull=False),
                name="proposal_decided",
            ),
            models.CheckConstraint(condition=~Q(decision="approved", decided_by=F("by")), name="proposal_by_two"),
        ]

    def __str__(self) -> str:
        return f"{self.status}, proposed by {self.by}"


LONGEST = 500
"""Upper bound for the characters of a saved list's filters."""


class SavedView(models.Model):
    """The filters of a list under a name; private, or shared with all users who may view that list."""

    name = models.CharField(max_length=60)
    of = models.CharField(max_length=64, help_text="The list's model, such as transactions.transaction")
    query = models.CharField(max_length=LONGEST, help_text="Filters of the list, as the query string of its address")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    shared = models.BooleanField("show it to all", default=False)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ()
        permissions = [("share_view", "Can share a saved list with all")]
        constraints = [models.UniqueConstraint(fields=["by", "of", "name"], name="savedview_name_once")]

    def __str__(self) -> str:
        return self.name


class MinuteCount(models.Model):
    """Number of transactions that reached a status within one minute (UTC), for the dashboard.

    Only `operators.dashboard.counting` writes this table. It is derived from the timelines and needs no backup: once
    emptied, it is counted again from the first event.

    `pending` counts acceptances. The minute 1970-01-01 00:00 holds the sums of all minutes that are no longer kept.
    """

    pk = models.CompositePrimaryKey("minute", "status", "bucket")
    minute = models.DateTimeField()
    status = models.CharField(max_length=9)
    bucket = models.SmallIntegerField(
        help_text="Time from acceptance to the first final status, see operators.dashboard.counting. "
        "-1: changes of a final status by staff, which add to one status and subtract from another"
    )
    count = models.BigIntegerField()

    class Meta:
        default_permissions = ()  # it has no admin page

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}, {self.status}, {self.bucket}"
