"""What has been counted of the timelines, for operators: written by `transactions.counting` alone.

It is made of the timelines, so none of it is worth a backup: emptied, it is counted anew from the first entry on.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Totals(models.Model):
    """How many transactions stand at each status, as far as their timelines have been counted. It has one row."""

    pending = models.BigIntegerField(default=0)
    completed = models.BigIntegerField(default=0)
    declined = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    counted = models.BigIntegerField(default=0, help_text="The number of the last entry that was counted")
    newest = models.BigIntegerField(default=0, help_text="The number of the newest entry when it was looked for")
    looked_at = models.DateTimeField(null=True, help_text="When that was")
    as_of = models.DateTimeField(null=True, help_text="All that was written by then has been counted")
    writers = ArrayField(
        models.TextField(), default=list,
        help_text="Who wrote entries at that time: as long as one of them does, an earlier number may yet come",
    )  # fmt: skip

    class Meta:
        default_permissions = ()  # there is no page for it

    def __str__(self) -> str:
        return f"{self.counted} of {self.newest}"


class Minute(models.Model):
    """How many transactions were accepted, and how many became final, in one minute (UTC)."""

    minute = models.DateTimeField(primary_key=True)
    accepted = models.IntegerField()
    completed = models.IntegerField()
    declined = models.IntegerField()
    failed = models.IntegerField()

    class Meta:
        default_permissions = ()  # there is no page for it

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Duration(models.Model):
    """How many of those that became final in a minute took so long from acceptance on; `transactions.counting` says
    which times are in a bucket."""

    pk = models.CompositePrimaryKey("minute", "bucket")
    minute = models.DateTimeField()
    bucket = models.SmallIntegerField()
    count = models.IntegerField()

    class Meta:
        default_permissions = ()  # there is no page for it

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}, {self.bucket}"
