"""Status changes per minute, for the dashboard: written by `operators.dashboard.counting` alone.

The table is derived from the timelines and needs no backup: once emptied, it is counted again from the first event.
"""

from django.db import models


class MinuteCount(models.Model):
    """Number of transactions that reached a status within one minute (UTC).

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
