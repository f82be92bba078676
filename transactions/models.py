"""Transactions and their timeline."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from clients.models import Client
from providers.models import Provider
from providers.status import FINAL, Status
from transactions.status import Review, Source, Submission

CLIENT_REF = r"^(\.{0,2}[A-Za-z0-9_:-]|\.{3})[A-Za-z0-9._:-]*$"
"""Characters of a client's id. It is not `.` or `..`, because clients remove such a segment from the id's URL.

The pattern has the same meaning in Python, PostgreSQL and ECMAScript (OpenAPI), and no look-ahead, which not all have.
"""
NOT_NOTIFIED = Q(status__in=FINAL, notified_sequence__lt=F("sequence"))
"""The status is final, and the client has not confirmed it."""


class Transaction(models.Model):
    """A client's request and its state. Only the statements in `transactions.sql` write the status."""

    id = models.UUIDField(
        primary_key=True,
        help_text="The id that the provider knows: a UUID version 5 of the client's namespace and the client's id",
    )
    # Ids do not ascend with time, so lists have a key of their own. A UUID of version 7 and no sequence: a list finds
    # the rows of a period without an index by time, and no value repeats in a database that has lost commits.
    sort_id = models.UUIDField(editable=False, help_text="UUID version 7 of the acceptance, by which lists are sorted")
    client = models.ForeignKey(Client, on_delete=models.PROTECT, db_index=False)
    client_ref = models.CharField("client's id", max_length=64, help_text="The client's own id and idempotency key")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, db_index=False)
    amount = models.BigIntegerField(help_text="Minor units")
    currency = models.CharField(max_length=3)
    reference = models.CharField(max_length=255, blank=True, default="")
    metadata = models.JSONField(default=dict)

    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    submission = models.CharField(max_length=7, choices=Submission.choices, default=Submission.UNSENT)
    review = models.CharField(max_length=13, choices=Review.choices, blank=True, default="")
    review_why = models.CharField(max_length=500, blank=True, default="", db_default="", help_text="Reason in words")
    stuck_since = models.DateTimeField(null=True, help_text="First call since the last progress that brought no answer")
    sequence = models.IntegerField(default=1, help_text="Each status change increments it")
    failure_code = models.CharField(max_length=64, blank=True, default="")
    failure_detail = models.TextField(blank=True, default="")
    create_began_at = models.DateTimeField(null=True, help_text="Start of the last create")
    seen_at = models.DateTimeField(null=True, help_text="Last time that the provider had it, while pending")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    finalised_at = models.DateTimeField(null=True)
    notified_sequence = models.IntegerField(
        default=0, db_default=0, help_text="The last sequence that the client confirmed"
    )
    notified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-sort_id"]
        constraints = [
            models.UniqueConstraint(fields=["client", "client_ref"], name="transaction_once"),
            # Also covers the lists' searches for rare combinations of common values, see `indexes`.
            models.UniqueConstraint(
                fields=["sort_id"],
                include=["status", "submission", "review", "provider", "client"],
                name="transaction_find",
            ),
            models.CheckConstraint(condition=Q(client_ref__regex=CLIENT_REF), name="transaction_client_ref"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="transaction_status"),
            models.CheckConstraint(condition=Q(submission__in=Submission.values), name="transaction_submission"),
            models.CheckConstraint(condition=Q(review__in=["", *Review.values]), name="transaction_review"),
            models.CheckConstraint(condition=Q(amount__gte=1, amount__lte=10**15), name="transaction_amount"),
            models.CheckConstraint(
                condition=Q(status__in=FINAL, finalised_at__isnull=False)
                | Q(status=Status.PENDING, finalised_at__isnull=True),
                name="transaction_final_iff_finalised",
            ),
        ]
        indexes = [
            # A client's list, newest first.
            models.Index(F("client"), F("sort_id").desc(), name="transaction_newest"),
            # The operators' list of transactions that need review.
            models.Index(F("review"), F("sort_id").desc(), name="transaction_review", condition=~Q(review="")),
            # The operators' lists. A rare value has its own index: a backward search for it would read all rows. A rare
            # combination of common values is searched in `transaction_find`, which covers the query: no row is read.
            models.Index(
                fields=["status", "sort_id"],
                include=["submission", "provider", "client"],
                name="transaction_open",
                condition=~Q(status=Status.COMPLETED),
            ),
            models.Index(
                fields=["submission", "sort_id"],
                name="transaction_doubtful",
                condition=~Q(submission=Submission.CREATED),
            ),
            models.Index(fields=["sort_id"], name="transaction_not_notified", condition=NOT_NOTIFIED),
            # For `/metrics`: the oldest pending transaction of a provider, and the oldest final status that a client
            # has not confirmed. By time and not by id: an old transaction may become final last. The conditions are
            # in terms of `finalised_at`: the planner could use the indexes above for those on the status, and would
            # read all pending or unconfirmed rows when outdated statistics say that there are few.
            models.Index(
                fields=["provider", "created_at"], name="transaction_pending", condition=Q(finalised_at__isnull=True)
            ),
            models.Index(
                fields=["client", "finalised_at"],
                name="transaction_undelivered",
                condition=Q(finalised_at__isnull=False, notified_sequence__lt=F("sequence")),
            ),
            models.Index(fields=["provider", "sort_id"], name="transaction_provider"),
            # The search for stalled transactions; those that are flagged already cost no read.
            models.Index(
                fields=["stuck_since"], name="transaction_stuck", condition=Q(stuck_since__isnull=False, review="")
            ),
            models.Index(fields=["reference"], name="transaction_reference", condition=~Q(reference="")),
        ]
        permissions = [
            ("poll_now", "Can poll now"),
            ("create_again", "Can have a transaction created again"),
            ("cancel_tracking", "Can cancel the tracking"),
            ("notify_again", "Can notify the client again"),
            ("set_status", "Can set a status by hand, or propose it"),
            ("approve_status", "Can approve or reject a status that was proposed"),
            ("resolve_review", "Can resolve a review"),
            ("export_transaction", "Can export lists of transactions and jobs"),
        ]

    def __str__(self) -> str:
        return self.client_ref


class LostCommits(models.Model):
    """A loss of commits that a worker has noticed (`transactions.rewinds`)."""

    noticed_at = models.DateTimeField(db_default=Now())
    mark = models.JSONField(help_text="The newest rows that the worker had seen; the database lacks one of them")

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        verbose_name_plural = "lost commits"

    def __str__(self) -> str:
        return f"{self.noticed_at:%Y-%m-%d %H:%M:%S} UTC"


class Event(models.Model):
    """One entry of a transaction's timeline."""

    class Kind(models.TextChoices):
        STATUS = "status", "status"
        """The transaction was accepted or its status changed; the entry has the new sequence."""
        CONTRADICTION = "contradiction", "contradiction"
        """A different final status was reported after the first one, and was not applied."""
        REVIEW = "review", "review"
        """The review flag was set or removed."""
        NOTE = "note", "note"
        """An unusable answer that did not hold up the work; `detail` says why. Only the first one is noted."""
        STAFF = "staff", "staff"
        """A member of staff acted in the admin; `detail` names the person and the reason."""

    transaction = models.ForeignKey(Transaction, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=13, choices=Kind.choices)
    status = models.CharField(max_length=9, choices=Status.choices, blank=True, default="")
    sequence = models.IntegerField(null=True)
    source = models.CharField(max_length=7, choices=Source.choices)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["transaction", "sequence"], name="event_sequence_once"),
            models.CheckConstraint(condition=Q(kind="status") | Q(sequence__isnull=True), name="event_sequence"),
            models.CheckConstraint(condition=Q(source__in=Source.values), name="event_source"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.status}".strip()
