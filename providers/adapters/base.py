"""The interface of adapters: one result and one exception for each kind of answer. Handlers branch on these classes,
never on a message."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from providers.models import Provider
from providers.status import Status
from workers.outbound import Http
from workers.outcomes import Call


@dataclass(frozen=True, slots=True)
class Order:
    """The values that a provider gets to create a transaction; placeholders of `create_body` have the same names."""

    id: UUID
    """Our id, which the provider uses as well."""
    amount: int
    """Minor units of the currency."""
    currency: str
    reference: str | None
    webhook_url: str = field(repr=False)  # its token authenticates webhooks


@dataclass(frozen=True, slots=True)
class Copy:
    """The provider's copy of the transaction."""

    status: Status
    call: Call
    unmapped: str = ""
    """The provider's name of the status if the status map lacks it; the status is then pending."""
    reason: str = ""
    """The provider's reason of a status that is declined or failed."""


class ProviderError(Exception):
    """The provider did not do what was asked. `call` describes the attempt."""

    def __init__(self, message: str, call: Call) -> None:
        super().__init__(message)
        self.call = call


class Absent(ProviderError):
    """The status check did not find the transaction. This proves its absence only if the check began later than
    `settle_window` after the last create began. Checks can be slow, so the time before the check counts."""


class Exists(ProviderError):
    """The transaction exists already: read its status."""


class Refused(ProviderError):
    """The provider will never create the transaction."""


class CredentialsRefused(ProviderError):
    """The provider refused our credentials: all calls fail until an operator corrects them."""


class AccessDenied(ProviderError):
    """The provider answered 403: it refuses this transaction, or our credentials."""


class Throttled(ProviderError):
    """Too many calls: wait `retry_after` seconds; None if the provider gave no time."""

    def __init__(self, message: str, call: Call, retry_after: float | None) -> None:
        super().__init__(message, call)
        self.retry_after = retry_after


class Unclear(ProviderError):
    """No answer, or an unusable one. After a create the transaction may exist, now or later; after a status check
    nothing is known."""


class Unusable(Unclear):
    """The answer to a status check has no status that we know: it proves neither presence nor absence. The next answer
    will be alike, so an operator must look."""

    def __init__(self, message: str, call: Call, unmapped: str = "") -> None:
        super().__init__(message, call)
        self.unmapped = unmapped
        """The provider's name of the status if the status map lacks it."""


class Unsent(ProviderError):
    """The request did not reach the provider: it is safe to send it again."""


class Adapter(Protocol):
    """The calls to one kind of provider."""

    async def create(self, provider: Provider, http: Http, order: Order) -> Copy:
        """Create the transaction. Raises Exists, Refused, CredentialsRefused, AccessDenied, Throttled, Unclear,
        Unsent."""

    async def read(self, provider: Provider, http: Http, id: UUID) -> Copy:
        """Check the transaction's status. Raises Absent, CredentialsRefused, AccessDenied, Throttled, Unusable,
        Unclear, Unsent."""
