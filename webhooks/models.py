"""Records of webhooks from providers: each authentic webhook with its effect, and counts of refused ones."""

from django.db import models
from django.db.models.functions import Coalesce, Now

from providers.models import Provider


class Webhook(models.Model):
    """An authentic webhook, recorded once, however often it is repeated."""

    class Result(models.TextChoices):
        APPLIED = "applied", "applied"
        """It brought the final status."""
        NOTED = "noted", "noted"
        """It said pending, or a status that the status map lacks: nothing changed."""
        LATE = "late", "late"
        """The status was final already, and the webhook agrees or says pending."""
        CONTRADICTING = "contradicting", "contradicting"
        """The status was final already, and the webhook says another final one: recorded and flagged for review."""
        UNMATCHED = "unmatched", "unmatched"
        """No transaction has this id. It is applied once one has it: one that was lost, and is posted again."""
        IGNORED = "ignored", "ignored"
        """It has no id or no status that the settings name: a ping or another event. If it is sent again, it is read by
        the settings of that time."""

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, db_index=False, related_name="+")
    webhook_id = models.CharField(max_length=255, help_text="The provider's id; without one, a digest of the body")
    transaction_id = models.UUIDField(null=True, db_index=True)
    given_id = models.CharField(max_length=100, blank=True, help_text="The id in the body")
    word = models.CharField(max_length=100, blank=True, help_text="The status in the body")
    result = models.CharField(max_length=13, choices=Result.choices)
    repeats = models.IntegerField(default=0, db_default=0, help_text="How often it was repeated")
    body = models.TextField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["provider", "webhook_id"], name="webhook_once")]
        indexes = [  # for the operators' list, newest first
            models.Index(fields=["provider", "id"], include=["result"], name="webhook_provider"),
            models.Index(fields=["result", "id"], name="webhook_result"),
        ]

    def __str__(self) -> str:
        return self.webhook_id


class RefusalCount(models.Model):
    """Number of refused webhooks of a provider by day (UTC) and reason. Nothing else of a refused webhook is stored.

    All webhooks for unknown providers share one row per day, because strangers choose the names.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, null=True, related_name="+")
    day = models.DateField()
    reason = models.CharField(max_length=32)
    count = models.BigIntegerField(default=0)
    last_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-day", "provider_id", "reason"]
        constraints = [
            models.UniqueConstraint(
                Coalesce("provider", 0, output_field=models.BigIntegerField()), "day", "reason", name="refusal_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.count}"
