"""Result of each transaction of the demo, compared at the third party, the service and the client."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

FINAL = frozenset({"completed", "declined", "failed"})
CREATED, CONFLICT, REFUSED = 201, 409, 422

SOURCES = {
    "create": "create's answer",
    "poll": "poll",
    "webhook": "webhook",
    "clock": "deadline",
    "staff": "operator",
}
# Texts for answers to the first create whose status code says too little.
ANSWERS = {0: "no answer", CONFLICT: "409, then read", REFUSED: "refused (422)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One transaction. A status is None if the transaction is absent there (`third_party`) or not final (others).

    `review` is the service's reason for an operator's review, or empty; `seconds` is the time until the client was
    notified of the final status.
    """

    reference: str
    third_party: str | None
    service: str | None
    client: str | None
    notified: tuple[str, ...]
    path: str
    review: str
    seconds: float | None

    @property
    def refused(self) -> bool:
        """True if the third party has no such transaction, and service and client know that it failed."""
        return self.third_party is None and self.service == self.client == "failed"

    @property
    def agreed(self) -> bool:
        """True if all three have the same final status."""
        return self.refused or (self.service in FINAL and self.third_party == self.service == self.client)

    @property
    def correct(self) -> bool:
        """True if all three agree and a contradiction by the third party is flagged for review."""
        return self.agreed and (not self.reference.startswith("contradict-") or self.review == "contradiction")


def compare(
    reference: str,
    posted_at: float,
    *,
    events: list[dict[str, Any]],
    review: str,
    provider: dict[str, Any],
    client: dict[str, Any],
) -> Result:
    """Build the result from the service's timeline and review flag and the sandbox's two records."""
    notifications = client.get("notifications", [])
    final = next((event for event in events if event["status"] in FINAL), None)
    notified_at = next((one["at"] for one in notifications if one["status"] in FINAL), None)
    return Result(
        reference=reference,
        third_party=provider.get("status"),
        service=final["status"] if final else None,
        client=client.get("final"),
        notified=tuple(one["status"] for one in notifications),
        path=_path(final, review, provider),
        review=review,
        seconds=None if notified_at is None else notified_at - posted_at,
    )


def _path(final: dict[str, Any] | None, review: str, provider: dict[str, Any]) -> str:
    """Return the steps to the final status, such as `504, sent again, create's answer`."""
    calls = provider.get("create_calls", [])
    first = calls[0]["http"] if calls else CREATED
    steps = [] if first == CREATED else [ANSWERS.get(first, str(first))]
    if len(calls) > 1:
        steps.append("sent again" if len(calls) == 2 else f"sent {len(calls)} times")
    if final is not None and first not in (CONFLICT, REFUSED):  # there, the source is the create itself
        steps.append(SOURCES.get(final["source"], final["source"]))
    return ", ".join(steps) + (f"; review: {review}" if review else "")


def table(results: Iterable[Result]) -> Table:
    """Return a table with one row for each transaction."""
    rows = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("reference", "third party", "service", "client notified", "path to the final status"):
        rows.add_column(heading)
    rows.add_column("seconds", justify="right")
    rows.add_column("agreed")
    for result in results:
        rows.add_row(
            result.reference,
            result.third_party or ("refused" if result.refused else "-"),
            result.service or "-",
            ", ".join(result.notified) or "-",
            result.path,
            "-" if result.seconds is None else f"{result.seconds:.1f}",
            "yes" if result.agreed else "[bold red]NO[/]",
        )
    return rows
