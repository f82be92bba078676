"""The admin pages of what providers sent."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from transactions.admin.filters import ProviderFilter
from transactions.admin.search import MOST, finder, known_as, with_clients_id
from transactions.admin.timeline import MOST as MOST_ENTRIES
from transactions.admin.timeline import Entry, source
from transactions.models import Provider
from webhooks.models import RefusalCount, Webhook
from workers.admin.bases import FactsAdmin, link, moment


def _with_id(webhook_id: str) -> Q:
    # The providers are named, for the index begins with them.
    return Q(provider__in=Provider.objects.order_by().values("pk"), webhook_id=webhook_id)


@finder
def by_webhook(term: str) -> Iterable[UUID]:
    found = Webhook.objects.order_by().filter(_with_id(term)).values_list("transaction_id", flat=True)[:MOST]
    return [id_ for id_ in found if id_]


TONE = {Webhook.Result.CONTRADICTING: "bad", Webhook.Result.APPLIED: "ok"}


@source
def webhooks_of(of: UUID) -> Iterable[Entry]:
    for webhook in Webhook.objects.filter(transaction_id=of).order_by("-id")[:MOST_ENTRIES]:
        again = f", and came {webhook.repeats} times again" if webhook.repeats else ""
        what = f"webhook says {webhook.word or 'nothing'}: {webhook.result}{again}"
        tone = TONE.get(Webhook.Result(webhook.result), "")
        yield Entry(webhook.received_at, what, tone, "", (), webhook.body, "webhooks_webhook", webhook.pk)


@admin.register(Webhook)
class WebhookAdmin(FactsAdmin):
    list_display = ("webhook_id", moment("received_at"), "provider", "transaction", "word", "result", "repeats")
    list_filter = ("result", ProviderFilter)
    search_fields = ("webhook_id",)
    search_help_text = "The webhook's id, or any id of its transaction; the whole of it"
    fields = ("webhook_id", "provider", "transaction", moment("received_at"), "given_id", "word", "result", "repeats",
              "body")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        rows: QuerySet[Webhook] = super().get_queryset(request)
        return with_clients_id(rows.select_related("provider").defer("provider__headers"))

    def known_as(self, term: str) -> Q:
        if own := list(Webhook.objects.order_by().filter(_with_id(term)).values_list("pk", flat=True)[:MOST]):
            return Q(pk__in=own)
        return Q(transaction_id__in=known_as(term))

    @admin.display(description="transaction")
    def transaction(self, webhook: Any) -> Any:
        if webhook.transaction_id is None:
            return "none has this id"
        return link("transactions_transaction", webhook.transaction_id, webhook.client_ref)


@admin.register(RefusalCount)
class RefusalCountAdmin(FactsAdmin):
    list_display = ("day", "provider", "reason", "count", moment("last_at", "last"))
    list_filter = ("reason", ProviderFilter)
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefusalCount]:
        rows: QuerySet[RefusalCount] = super().get_queryset(request)
        return rows.select_related("provider").defer("provider__headers")
