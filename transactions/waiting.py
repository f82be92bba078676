"""What keeps jobs waiting, said in words."""

from __future__ import annotations

from transactions.models import Transaction
from workers.breaker import is_open


def held_up(transaction: Transaction, kind: str) -> str:
    """What keeps jobs of this kind from running; empty when nothing does. Reads the client, or provider and breaker."""
    if kind == "notify":
        client = transaction.client
        return f", as soon as {client}'s endpoint is enabled again" if client.endpoint_disabled_at else ""
    provider = transaction.provider
    if provider.paused:
        return f", as soon as {provider} is resumed"
    held_back = provider.circuit_breaker and is_open(provider.lane, kind)
    return f", as soon as {provider} answers again: its circuit breaker is open" if held_back else ""
