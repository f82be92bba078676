"""Admin pages of webhooks and of the counts of refused webhooks."""

from django.contrib import admin

from operators.pages.base import FactsAdmin, column, moment, pill, short
from operators.pages.lists import PartAdmin, list_filters
from webhooks.models import RefusalCount, Webhook


@admin.register(Webhook)
class WebhookAdmin(PartAdmin):
    list_display = (
        column("webhook id", lambda webhook: short(webhook.webhook_id)), moment("received_at"), "provider",
        "transaction", "word", column("result", lambda webhook: pill(webhook.result)), "repeats",
    )  # fmt: skip
    list_filter = list_filters(Webhook)
    joined = ("provider",)
    search_fields = ("webhook_id",)
    search_help_text = "A complete webhook id, or any id of its transaction"
    fields = ("webhook_id", "provider", "transaction", moment("received_at"), "given_id", "word", "result", "repeats",
              "body")  # fmt: skip


@admin.register(RefusalCount)
class RefusalCountAdmin(FactsAdmin):
    list_display = ("day", "provider", "reason", "count", moment("last_at", "last"))
    list_filter = ("reason", *list_filters(RefusalCount))
    joined = ("provider",)
    fields = list_display
