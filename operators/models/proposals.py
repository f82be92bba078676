"""A status that one person proposes, for another to approve."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from providers.status import FINAL, Status
from transactions.models import Transaction


class Proposal(models.Model):
    """A final status to set by hand, as `STATUS_BY_HAND_NEEDS_TWO` asks for. At most one a transaction is open."""

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
