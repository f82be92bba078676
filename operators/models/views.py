"""Saved lists of the operators' pages."""

from django.conf import settings
from django.db import models

LONGEST = 500
"""Upper bound for the characters of a saved list's filters."""


class SavedView(models.Model):
    """The filters of a list under a name; private, or shared with all users who may view that list."""

    name = models.CharField(max_length=60)
    of = models.CharField(max_length=64, help_text="The list's model, such as transactions.transaction")
    query = models.CharField(max_length=LONGEST, help_text="Its filters, as in its address")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    shared = models.BooleanField("show it to all", default=False)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ()
        permissions = [("share_view", "Can share a saved list with all")]
        constraints = [models.UniqueConstraint(fields=["by", "of", "name"], name="savedview_name_once")]

    def __str__(self) -> str:
        return self.name
