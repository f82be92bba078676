"""Input of the handler `notify` and saving of its results. The handler itself does not use the database."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clients.endpoints import EndpointReport, report_deliveries
from clients.settings import ClientSettings, client_settings
from providers.settings import provider_by_id
from transactions import sql
from transactions.reviews import client_notified
from transactions.snapshot import TransactionSnapshot
from transactions.store import apply
from transactions.work import given_up, snapshots
from workers.foundation.database import rows
from workers.outcomes import Claim, Failed, Settled, Wake


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed notification with the transaction as it is now, not as it was when the job was created."""

    claim: Claim
    snapshot: TransactionSnapshot
    provider_slug: str
    client: ClientSettings


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The endpoint's answer: the sequence that it confirmed (0: none), and whether it is gone."""

    confirmed: int = 0
    gone: bool = False


def load(claims: Sequence[Claim]) -> Mapping[int, Delivery]:
    """Read the deliveries of claimed jobs. A replaced status is left out, because the new one has its own job."""
    deliveries: dict[int, Delivery] = {}
    found = snapshots(claims)
    for claim in claims:
        if claim.id not in found:
            continue
        snapshot = found[claim.id].snapshot
        client, provider = client_settings(snapshot.client_id), provider_by_id(snapshot.provider_id)
        superseded = claim.key.startswith("seq:") and claim.key != f"seq:{snapshot.sequence}"
        if client is not None and provider is not None and not superseded:
            deliveries[claim.id] = Delivery(claim, snapshot, provider.slug, client)
    return deliveries


def save_results(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Save confirmations, report on the endpoints, and flag transactions whose notification was given up."""
    _save_confirmed(settled)
    reports: dict[int, EndpointReport] = defaultdict(EndpointReport)
    for claim, outcome in settled:
        result = outcome.result if isinstance(outcome.result, DeliveryResult) else DeliveryResult()
        if result.gone or any(call.made for call in outcome.calls):
            report = reports[claim.lane.owner_id]
            report.confirmed |= result.confirmed > 0
            report.gone |= result.gone
    report_deliveries(reports)
    failed = [(claim, outcome.next.reason) for claim, outcome in settled if isinstance(outcome.next, Failed)]
    _, wakes = apply([(claim.transaction_id, given_up(claim, reason)) for claim, reason in failed])
    return wakes


def _save_confirmed(settled: Sequence[Settled]) -> None:
    results = [(claim, outcome.result) for claim, outcome in settled if isinstance(outcome.result, DeliveryResult)]
    confirmed = [
        {"id": str(claim.transaction_id), "sequence": one.confirmed} for claim, one in results if one.confirmed
    ]
    if not confirmed:
        return
    for (flagged,) in rows(sql.CONFIRMED, confirmed=json.dumps(confirmed)):
        if flagged:
            client_notified(flagged)
