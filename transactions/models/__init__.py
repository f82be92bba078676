from transactions.models.bulk import BulkRun
from transactions.models.clients import ApiKey, CallbackSecret, Client
from transactions.models.counts import MinuteCount
from transactions.models.proposals import Proposal
from transactions.models.providers import Provider, WebhookSecret
from transactions.models.transactions import Event, Transaction
from transactions.models.views import SavedView

__all__ = [
    "ApiKey",
    "BulkRun",
    "CallbackSecret",
    "Client",
    "Event",
    "MinuteCount",
    "Proposal",
    "Provider",
    "SavedView",
    "Transaction",
    "WebhookSecret",
]
