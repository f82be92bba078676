"""Lists that people come back to."""

from django.conf import settings
from django.db import models

LONGEST = 500
"""Characters of a list's filters."""


class SavedView(models.Model):
    """A list as somebody has filtered it, under a name; theirs, or shown to all who may see that list."""

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
