from transactions.models.clients import ApiKey, CallbackSecret, Client
from transactions.models.providers import Provider, WebhookSecret
from transactions.models.transactions import Event, Transaction

__all__ = ["ApiKey", "CallbackSecret", "Client", "Event", "Provider", "Transaction", "WebhookSecret"]
