"""Reasons why jobs wait, in words."""

from __future__ import annotations

from transactions.models import Transaction
from workers.breaker import is_open


def obstacle(transaction: Transaction, kind: str) -> str:
    """Return why jobs of this kind wait, "" if nothing holds them up. Reads the client, or the provider and breaker."""
    if kind == "notify":
        client = transaction.client
        return f", as soon as {client}'s endpoint is enabled again" if client.endpoint_disabled_at else ""
    provider = transaction.provider
    if provider.paused:
        return f", as soon as {provider} is resumed"
    held_back = provider.circuit_breaker and is_open(provider.lane, kind)
    return f", as soon as {provider} answers again: its circuit breaker is open" if held_back else ""
