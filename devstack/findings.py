"""What became of each of the demo's transactions, in the eyes of all three: third party, service, client."""

from dataclasses import dataclass
from typing import Any

FINAL = frozenset({"completed", "declined", "failed"})
CREATED = 201
REFUSED = 422

SOURCES = {
    "create": "create's answer",
    "poll": "poll",
    "webhook": "webhook",
    "clock": "deadline",
    "staff": "operator",
}
# What the first create was answered, where its number says too little.
ANSWERS = {0: "no answer", 409: "409, then read", REFUSED: "refused (422)"}
ANSWERS_ENOUGH = {409, REFUSED}  # after which the source adds nothing: it is the create


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One transaction. `third_party` is None where it does not exist there; the others where nothing is known.

    `review` is why the service wants an operator to look, or empty; `seconds` passed until the client knew the end.
    """

    reference: str
    third_party: str | None
    service: str | None
    client: str | None
    told: tuple[str, ...]
    how: str
    review: str
    seconds: float | None

    @property
    def refused(self) -> bool:
        """The third party would not have it, and the other two know."""
        return self.third_party is None and self.service == self.client == "failed"

    @property
    def agreed(self) -> bool:
        """All three say the same, and it is final."""
        return self.refused or (self.service in FINAL and self.third_party == self.service == self.client)


def find(
    reference: str,
    posted_at: float,
    *,
    events: list[dict[str, Any]],
    review: str,
    provider: dict[str, Any],
    client: dict[str, Any],
) -> Finding:
    """Put together what the service's timeline and flag say, and the sandbox's two records."""
    notifications = client.get("notifications", [])
    final = next((event for event in events if event["status"] in FINAL), None)
    told_final = next((news["at"] for news in notifications if news["status"] in FINAL), None)
    return Finding(
        reference=reference,
        third_party=provider.get("status"),
        service=final["status"] if final else None,
        client=client.get("final"),
        told=tuple(news["status"] for news in notifications),
        how=_how(final, review, provider),
        review=review,
        seconds=None if told_final is None else told_final - posted_at,
    )


def _how(final: dict[str, Any] | None, review: str, provider: dict[str, Any]) -> str:
    """The way to the final status, such as `504, sent again, create's answer`."""
    calls = provider.get("create_calls", [])
    steps = []
    if calls and calls[0]["http"] != CREATED:
        steps.append(ANSWERS.get(calls[0]["http"], str(calls[0]["http"])))
    if len(calls) > 1:
        steps.append("sent again" if len(calls) == 2 else f"sent {len(calls)} times")
    if final is not None and not (calls and calls[0]["http"] in ANSWERS_ENOUGH):
        steps.append(SOURCES.get(final["source"], final["source"]))
    return ", ".join(steps) + (f"; review: {review}" if review else "")
