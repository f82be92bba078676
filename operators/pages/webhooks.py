"""Admin pages of webhooks and of the counts of refused webhooks."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operators.pages.base import FactsAdmin, link, moment, pill, short
from operators.pages.labels import WEBHOOK_TONE
from operators.pages.lists import FoundAdmin, list_filters, with_clients_id
from webhooks.models import RefusalCount, Webhook


@admin.register(Webhook)
class WebhookAdmin(FoundAdmin):
    list_display = ("name", moment("received_at"), "provider", "transaction", "word", "outcome", "repeats")
    list_filter = list_filters(Webhook)
    search_fields = ("webhook_id",)
    search_help_text = "A complete webhook id, or any id of its transaction"
    fields = ("webhook_id", "provider", "transaction", moment("received_at"), "given_id", "word", "result", "repeats",
              "body")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        rows: QuerySet[Webhook] = super().get_queryset(request)
        return with_clients_id(rows.select_related("provider").defer("provider__headers"))

    @admin.display(description="webhook id")
    def name(self, webhook: Webhook) -> SafeString | str:
        return short(webhook.webhook_id)

    @admin.display(description="result")
    def outcome(self, webhook: Webhook) -> SafeString:
        return pill(webhook.result, WEBHOOK_TONE.get(Webhook.Result(webhook.result), ""))

    @admin.display(description="transaction")
    def transaction(self, webhook: Any) -> Any:
        if webhook.transaction_id is None:
            return "no match"
        return link("transactions_transaction", webhook.transaction_id, short(webhook.client_ref or "", 24))


@admin.register(RefusalCount)
class RefusalCountAdmin(FactsAdmin):
    list_display = ("day", "provider", "reason", "count", moment("last_at", "last"))
    list_filter = ("reason", *list_filters(RefusalCount))
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefusalCount]:
        rows: QuerySet[RefusalCount] = super().get_queryset(request)
        return rows.select_related("provider").defer("provider__headers")
