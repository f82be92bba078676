"""The admin pages of what providers sent."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from transactions.admin.lists import FoundAdmin, list_filters, with_clients_id
from transactions.admin.timeline import MOST as MOST_ENTRIES
from transactions.admin.timeline import Entry, source
from webhooks.models import RefusalCount, Webhook
from workers.admin.bases import FactsAdmin, link, moment, pill, short

TONE = {Webhook.Result.CONTRADICTING: "bad", Webhook.Result.APPLIED: "ok"}


@source
def webhooks_of(of: UUID) -> Iterable[Entry]:
    for webhook in Webhook.objects.filter(transaction_id=of).order_by("-id")[:MOST_ENTRIES]:
        again = f", and came {webhook.repeats} times again" if webhook.repeats else ""
        what = f"webhook says {webhook.word or 'nothing'}: {webhook.result}{again}"
        tone = TONE.get(Webhook.Result(webhook.result), "")
        yield Entry(webhook.received_at, what, tone, "", (), webhook.body, "webhooks_webhook", webhook.pk)


@admin.register(Webhook)
class WebhookAdmin(FoundAdmin):
    list_display = ("name", moment("received_at"), "provider", "transaction", "word", "outcome", "repeats")
    list_filter = list_filters(Webhook)
    search_fields = ("webhook_id",)
    search_help_text = "The webhook's id, or any id of its transaction; the whole of it"
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
        return pill(webhook.result, TONE.get(Webhook.Result(webhook.result), ""))

    @admin.display(description="transaction")
    def transaction(self, webhook: Any) -> Any:
        if webhook.transaction_id is None:
            return "none has this id"
        return link("transactions_transaction", webhook.transaction_id, short(webhook.client_ref or "", 24))


@admin.register(RefusalCount)
class RefusalCountAdmin(FactsAdmin):
    list_display = ("day", "provider", "reason", "count", moment("last_at", "last"))
    list_filter = ("reason", *list_filters(RefusalCount))
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefusalCount]:
        rows: QuerySet[RefusalCount] = super().get_queryset(request)
        return rows.select_related("provider").defer("provider__headers")
