"""Snapshot of a transaction, and its JSON for the API and for notifications."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from providers.status import FINAL
from workers.foundation.text import rfc3339


@dataclass(frozen=True, slots=True)
class TransactionSnapshot:
    """A transaction's row, in the order of the columns in `transactions.sql`. Times are UTC, amounts minor units."""

    id: UUID
    client_id: int
    client_ref: str
    provider_id: int
    amount: int
    currency: str
    reference: str
    metadata: dict[str, str]
    status: str
    submission: str
    sequence: int
    failure_code: str
    failure_detail: str
    created_at: datetime
    updated_at: datetime
    finalised_at: datetime | None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "TransactionSnapshot":
        """Build a snapshot from a row of `transactions.sql`, in which jsonb is text."""
        id_, client_id, client_ref, provider_id, amount, currency, reference, metadata, *rest = row
        return cls(id_, client_id, client_ref, provider_id, amount, currency, reference, json.loads(metadata), *rest)

    @property
    def final(self) -> bool:
        """True once the status is final."""
        return self.status in FINAL

    def as_json(self, provider_slug: str) -> dict[str, Any]:
        """Return the transaction as the client API and the notifications show it."""
        failure = {"code": self.failure_code, "detail": self.failure_detail} if self.failure_code else None
        return {
            "id": self.client_ref,
            "status": self.status,
            "amount": self.amount,
            "currency": self.currency,
            "provider": provider_slug,
            "provider_transaction_id": str(self.id),
            "reference": self.reference or None,
            "metadata": self.metadata,
            "sequence": self.sequence,
            "failure": failure,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "finalised_at": self.finalised_at and rfc3339(self.finalised_at),
        }
