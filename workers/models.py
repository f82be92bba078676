"""Jobs: the work that PostgreSQL remembers, and every outbound call that was made for it."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class JobState(models.TextChoices):
    WAITING = "waiting", "waiting"
    """Due at `run_at`. A claim moves it on; a crash leaves it as it is."""
    RUNNING = "running", "running"
    """Claimed until `lease_until`. Its settle moves it on; after a crash the dispatcher returns it to waiting."""
    DONE = "done", "done"
    """Final: nothing was left to do."""
    FAILED = "failed", "failed"
    """Final until a person retries it: given up, `last_error` says why."""
    CANCELLED = "cancelled", "cancelled"
    """Final: another job or a webhook made it needless."""


class Job(models.Model):
    """One piece of work, written in the commit of the fact that caused it.

    `transaction_id` names the transaction without a foreign key: this app knows no domain, and the row that needs
    the job is written by the same statement, so there is no window in which the one exists without the other.
    """

    transaction_id = models.UUIDField()
    kind = models.CharField(max_length=16)
    key = models.CharField(max_length=64, blank=True, default="", help_text="Tells jobs of one kind apart")
    lane = models.CharField(max_length=24, help_text="What shares limits: a provider (p…) or a client (c…)")
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING, db_default="waiting")
    run_at = models.DateTimeField(db_default=Now())
    attempt = models.IntegerField(default=0, db_default=0, help_text="How often it was claimed; the fencing token")
    step = models.IntegerField(default=0, db_default=0, help_text="The handler's own count of its tries")
    crashes = models.IntegerField(default=0, db_default=0, help_text="Leases in a row that ended without a result")
    lease_until = models.DateTimeField(null=True, blank=True)
    lost_at = models.DateTimeField(null=True, blank=True, help_text="The last run never settled; its lease ended here")
    last_error = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["transaction_id", "kind", "key"], name="job_once"),
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state"),
            # One run of a kind and transaction at a time. The claim looks it up here, counts here what a lane has in
            # flight, and the dispatcher searches here for expired leases: it holds what runs, and nothing else.
            models.UniqueConstraint(
                fields=["lane", "transaction_id", "kind"], condition=Q(state=JobState.RUNNING), name="job_running"
            ),
            models.CheckConstraint(
                condition=Q(state=JobState.RUNNING, lease_until__isnull=False)
                | (~Q(state=JobState.RUNNING) & Q(lease_until__isnull=True)),
                name="job_lease_iff_running",
            ),
        ]
        indexes = [
            # The claim's and the dispatcher's: due jobs of a lane and kind in their order. By kind, because a claim
            # must not read past the thousands of one kind that an open circuit breaker holds.
            models.Index("lane", "kind", "run_at", name="job_due_by_kind", condition=Q(state=JobState.WAITING)),
            # The operators' lists, those of due jobs and of one kind included: read without the rows. What runs is in
            # `job_running`, so that a claim writes nothing here.
            models.Index(
                fields=["state", "id"],
                include=["kind", "run_at", "lane"],
                name="job_find",
                condition=~Q(state=JobState.RUNNING),
            ),
        ]
        permissions = [("retry_job", "Can retry a failed job")]

    def __str__(self) -> str:
        return f"{self.kind} {self.transaction_id}"


class Attempt(models.Model):
    """One outbound call, or one run that was lost: operators see every try."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    transaction_id = models.UUIDField(db_index=True)
    number = models.IntegerField(help_text="The job's attempt it belongs to")
    started_at = models.DateTimeField()
    duration_ms = models.IntegerField(null=True)
    method = models.CharField(max_length=8, blank=True)
    url = models.TextField(blank=True)
    http_status = models.IntegerField(null=True)
    error = models.TextField(blank=True)
    excerpt = models.TextField(blank=True, help_text="The start of the answer, redacted")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.method} {self.url} → {self.http_status or self.error}"


class Breaker(models.Model):
    """The circuit breaker of one kind of job in one lane, for all workers; what moves it is in `workers.breaker`."""

    lane = models.CharField(max_length=24)
    kind = models.CharField(max_length=16)
    runs = models.FloatField(default=0, help_text="That made calls lately: each counts less from second to second")
    failures = models.FloatField(default=0, help_text="Those of them that failed")
    counted_at = models.DateTimeField(db_default=Now())
    opened_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it is closed, and calls go on")
    probe_at = models.DateTimeField(null=True, blank=True, help_text="When the next run is let through")

    class Meta:
        ordering = ["lane", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["lane", "kind"], name="breaker_once"),
            models.CheckConstraint(
                condition=Q(opened_at__isnull=True, probe_at__isnull=True)
                | Q(opened_at__isnull=False, probe_at__isnull=False),
                name="breaker_probes_iff_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} in {self.lane}"


class Pace(models.Model):
    """Rate limit of a lane: the time of its next free token. The claim takes tokens (`workers.sql.CLAIM`)."""

    lane = models.CharField(max_length=24, primary_key=True)
    until = models.DateTimeField(help_text="The next free turn")

    def __str__(self) -> str:
        return self.lane


class WorkerProcess(models.Model):
    """A worker process and the last sign of its life; `/readyz` and operators read it. One that is told to stop takes
    its row with it."""

    SILENT_AFTER = 15.0
    """Seconds without a sign of life after which it counts as dead."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    version = models.CharField(max_length=50, default="", db_default="", help_text="The service's")
    queues = models.CharField(max_length=255)
    in_flight = models.IntegerField(default=0)
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-beat_at"]
        verbose_name_plural = "worker processes"

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}"
