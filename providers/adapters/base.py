"""What an adapter says of a provider's answer. Handlers branch on these classes, never on a message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from providers.settings import ProviderSettings
from providers.status import Status
from workers.outbound import Http
from workers.outcomes import Call


@dataclass(frozen=True, slots=True)
class Order:
    """What is created at a provider; `id` is ours, amounts are minor units."""

    id: UUID
    amount: int
    currency: str
    reference: str | None
    webhook_url: str = field(repr=False)  # its token authenticates webhooks

    def values(self) -> Mapping[str, Any]:
        """What a template's placeholders stand for."""
        return {
            "id": str(self.id),
            "amount": self.amount,
            "currency": self.currency,
            "reference": self.reference,
            "webhook_url": self.webhook_url,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """The provider has the transaction, in this status. `unmapped`: its word, where the status map does not have it
    (it counts as pending then)."""

    status: Status
    call: Call
    unmapped: str = ""


class ProviderError(Exception):
    """The provider did not do what was asked; `call` records the try."""

    def __init__(self, message: str, call: Call) -> None:
        super().__init__(message)
        self.call = call


class Absent(ProviderError):
    """It was not there when asked: proof of absence only where the look began later than `settle_window` after the
    last create did. Looks can be slow, so the moment that counts is the one before it."""


class Exists(ProviderError):
    """It exists already: read it."""


class Refused(ProviderError):
    """The provider will not create it: final."""


class CredentialsRefused(ProviderError):
    """Our credentials are wrong: nothing that is asked can succeed until an operator mends them."""


class Throttled(ProviderError):
    """Too many calls: wait `retry_after` seconds where the provider says so."""

    def __init__(self, message: str, call: Call, retry_after: float | None) -> None:
        super().__init__(message, call)
        self.retry_after = retry_after


class Unclear(ProviderError):
    """No answer, or none that says anything. After a create: it may exist, now or later. After a look: who knows."""


class Unsent(ProviderError):
    """Nothing reached the provider: safe to send again."""


class Adapter(Protocol):
    """How one kind of provider is spoken to."""

    async def create(self, provider: ProviderSettings, http: Http, order: Order) -> Seen:
        """Create it. Raises Exists, Refused, CredentialsRefused, Throttled, Unclear, Unsent."""

    async def read(self, provider: ProviderSettings, http: Http, id: UUID) -> Seen:
        """Look for it. Raises Absent, CredentialsRefused, Throttled, Unclear, Unsent."""
