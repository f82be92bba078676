"""Jobs, the outbound calls made for them, circuit breakers, rate limits, worker processes and the clock."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class JobKind(models.TextChoices):
    """The kinds of jobs; `settings.JOB_TABLE` binds each to its handler."""

    CREATE = "create", "create"
    """Create the transaction at its provider."""
    TRACK = "track", "track"
    """Poll the provider for the outcome."""
    NOTIFY = "notify", "notify"
    """Notify the client's endpoint."""


class JobState(models.TextChoices):
    """The states of a job: what ends each, and what a crash leaves."""

    WAITING = "waiting", "waiting"
    """Due at `run_at`. A claim makes it running; a crash leaves it as it is."""
    RUNNING = "running", "running"
    """Claimed until `lease_until`. Its settle ends it; after a crash the dispatcher returns it to waiting."""
    DONE = "done", "done"
    """Final: no work is left."""
    FAILED = "failed", "failed"
    """Final unless staff retry it. `last_error` has the reason."""
    CANCELLED = "cancelled", "cancelled"
    """Final: another job, a webhook or staff made it unnecessary."""


class Job(models.Model):
    """One piece of work, written in the commit of the fact that caused it.

    `transaction_id` has no foreign key: this app knows no domain, and the statement that writes the job also writes or
    locks the transaction.
    """

    transaction_id = models.UUIDField()
    kind = models.CharField(max_length=16, choices=JobKind.choices)
    key = models.CharField(
        max_length=64, blank=True, default="", help_text="Unique among a transaction's jobs of a kind"
    )
    lane = models.CharField(max_length=24, help_text="Concurrency key: a provider (p7) or a client's endpoint (c12)")
    share = models.BigIntegerField(
        default=0, db_default=0, help_text="Fairness key: the shares of a lane, such as clients, take turns"
    )
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.WAITING, db_default="waiting")
    run_at = models.DateTimeField(db_default=Now())
    claim_count = models.IntegerField(default=0, db_default=0, help_text="Claims so far")
    claim_token = models.UUIDField(null=True, editable=False, help_text="Fencing token: random, new with each claim")
    tries = models.IntegerField(default=0, db_default=0, help_text="The handler's own counter")
    crashes = models.IntegerField(default=0, db_default=0, help_text="Consecutive runs that ended without a result")
    lease_until = models.DateTimeField(null=True, blank=True)
    lost_at = models.DateTimeField(null=True, blank=True, help_text="Lease end of the last run, if it never settled")
    last_error = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["transaction_id", "kind", "key"], name="job_once"),
            models.CheckConstraint(condition=Q(kind__in=JobKind.values), name="job_kind"),
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state"),
            # One run of a kind and transaction at a time. The index holds running jobs only: the claim checks for one
            # here and counts a lane's jobs in flight, and the dispatcher searches here for expired leases.
            models.UniqueConstraint(
                fields=["lane", "transaction_id", "kind"], condition=Q(state=JobState.RUNNING), name="job_running"
            ),
            models.CheckConstraint(
                condition=Q(state=JobState.RUNNING) ^ Q(lease_until=None), name="job_lease_iff_running"
            ),
        ]
        indexes = [
            # For the claim and the dispatcher: due jobs of a lane and kind in their order. By kind, because a claim
            # must not read past the thousands of one kind that an open circuit breaker holds back.
            models.Index("lane", "kind", "run_at", name="job_due_by_kind", condition=Q(state=JobState.WAITING)),
            # For claims by turns and probes: the shares with waiting jobs in a lane, and the due jobs of each.
            models.Index(
                "lane", "kind", "share", "run_at", name="job_due_by_share", condition=Q(state=JobState.WAITING)
            ),
            # For the operators' lists, which read the index without the rows. Running jobs are in `job_running`, so
            # that a claim writes nothing here.
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


class OutboundCall(models.Model):
    """One outbound call, or one run that was lost."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="calls")
    transaction_id = models.UUIDField(db_index=True)
    attempt = models.IntegerField(help_text="The job's claim_count in this run")
    started_at = models.DateTimeField()
    duration_ms = models.IntegerField(null=True)
    method = models.CharField(max_length=8, blank=True)
    url = models.TextField(blank=True)
    http_status = models.IntegerField(null=True)
    error = models.TextField(blank=True)
    excerpt = models.TextField(blank=True, help_text="Start of the answer, redacted")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.method} {self.url} → {self.http_status or self.error}"


class Breaker(models.Model):
    """The circuit breaker of one kind of job in one lane, for all workers; `workers.breaker` opens and closes it.

    The row also records since when all runs fail, even of a lane whose breaker is turned off.
    """

    lane = models.CharField(max_length=24)
    kind = models.CharField(max_length=16)
    runs = models.FloatField(default=0, help_text="Recent runs that made calls, weighted by age")
    failures = models.FloatField(default=0, help_text="Those of them that failed, weighted by age")
    counted_at = models.DateTimeField(db_default=Now())
    opened_at = models.DateTimeField(null=True, blank=True, help_text="Empty while the breaker is closed")
    probe_at = models.DateTimeField(null=True, blank=True, help_text="Earliest start of the next probe")
    turn = models.BigIntegerField(default=0, db_default=0, help_text="Share of the last probe")
    probed = models.UUIDField(null=True, blank=True, help_text="Transaction of the last probe")
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="Time of the first failed run since the last successful one"
    )
    failed_runs = models.IntegerField(default=0, db_default=0, help_text="Failed runs since then")
    failed_at = models.DateTimeField(null=True, blank=True, help_text="Time of the last one of them")

    class Meta:
        ordering = ["lane", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["lane", "kind"], name="breaker_once"),
            models.CheckConstraint(condition=Q(opened_at=None) ^ ~Q(probe_at=None), name="breaker_probes_iff_open"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} in {self.lane}"


class RateLimit(models.Model):
    """The rate limit of a lane over all workers. Claims take its tokens in order (`workers.sql.CLAIM`)."""

    lane = models.CharField(max_length=24, primary_key=True)
    next_free_at = models.DateTimeField(help_text="Time of the next free token: the earliest start of another call")

    def __str__(self) -> str:
        return self.lane


class Turn(models.Model):
    """The share that was served last in a lane with more due jobs than places; the next claim begins after it."""

    lane = models.CharField(max_length=24, primary_key=True)
    share = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.lane}: {self.share}"


class WorkerProcess(models.Model):
    """A worker process and its last heartbeat, for `/readyz` and operators. A process that stops deletes its row."""

    SILENT_AFTER = 15.0
    """Seconds without a heartbeat after which a process counts as dead."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    version = models.CharField(max_length=50, default="", db_default="", help_text="Version of the service")
    queues = models.CharField(max_length=255)
    in_flight = models.IntegerField(default=0)
    clock_skew = models.FloatField(
        default=0, db_default=0, help_text="Seconds by which its wall clock is ahead of the database's"
    )
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-beat_at"]
        verbose_name_plural = "worker processes"

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}"


class Clock(models.Model):
    """The last jump of the database's clock, in a single row; without a row there was none (`workers.clock`)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    jumped_at = models.DateTimeField(help_text="By the clock after the jump")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="clock_single")]

    def __str__(self) -> str:
        return f"jumped at {self.jumped_at}"
