"""Third party: answers creates and reads, and records all requests."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from uuid import uuid4

from aiohttp import web

from sandbox.behaviours import BEHAVIOURS, DROPPED, choose
from sandbox.faults import Switch, drop, error
from sandbox.manners import UNKNOWN, Body, Manner, polite
from sandbox.orders import InvalidOrder, Order, read_order
from sandbox.records import Copy, CreateCall, Transaction
from sandbox.scenario import Scenario, draw
from sandbox.settings import Settings
from sandbox.webhook_sender import WebhookSender
from sandbox.wire import send

CREATED = 201
ODD_UNKNOWN = 2  # status checks of an id before its first create that are answered in an odd manner, if switched on
REASONS = {
    402: "the transaction is declined",
    403: "forbidden",
    409: "this id exists already",
    422: "the transaction is refused",
    429: "too many requests",
    504: "gateway timeout",
}


class Provider:
    """The simulated third party with its records and its fault switch."""

    def __init__(self, settings: Settings) -> None:
        self.switch = Switch("down", "hang", "500", "503", "429")
        self.unknown_ids = Switch(odd=("odd",))
        self.webhook_sender = WebhookSender(settings.webhook_secret)
        self._settings = settings
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Delete all transactions, cancel the webhooks that are not sent yet and end a fault."""
        self.webhook_sender.cancel_all()
        self.switch.reset()
        self.unknown_ids.reset()
        self._transactions: dict[str, Transaction] = {}
        self._duplicate_creates = 0
        self._invalid_creates = 0
        self._peak_in_flight = self._in_flight
        self._read_chance = self._settings.chance("reads")

    async def create(self, request: web.Request) -> web.Response:
        """POST /third-party/transactions: create a transaction."""
        with self._counted():
            fault = await self.switch.fault(request)
            if fault is not None:
                return fault
            try:
                order = read_order(await request.read())
            except InvalidOrder as invalid:
                self._invalid_creates += 1
                return error(invalid.http, str(invalid))
            return await self._answer_create(request, order)

    async def read(self, request: web.Request) -> web.Response:
        """GET /third-party/transactions/{id}: the state at the time of the request; the answer takes longer."""
        with self._counted():
            fault = await self.switch.fault(request)
            if fault is not None:
                return fault
            now = time.time()
            key = request.match_info["id"]
            transaction = self._transactions.setdefault(key, Transaction())
            copy = transaction.present(now)
            transaction.polls += copy is not None
            transaction.checks += copy is None
            manner = self._read_manner(key, transaction)
            chance = self._settings.chance(f"{key}/read {transaction.polls + transaction.checks}")
            wait = self._read_chance.uniform(*self._settings.answer_seconds)
            await asyncio.sleep(self._settings.scaled(wait))
            body = _body(copy, copy.status(now), transaction) if copy else {"error": "not found"}
            return await send(request, manner(chance, 200 if copy else 404, body))

    async def behaviours(self, _request: web.Request) -> web.Response:
        """GET /third-party/behaviours: `[{"name", "what", "share"}]`; the share is a percentage."""
        rows = [{"name": row.name, "what": row.description, "share": row.share} for row in BEHAVIOURS.values()]
        return web.json_response(rows)

    def state(self, last: int | None) -> dict[str, object]:
        """Return its part of /state, with only the `last` transactions if a number is given."""
        now = time.time()
        newest = islice(reversed(self._transactions.items()), last)
        return {
            "transactions": {key: transaction.state(now) for key, transaction in newest},
            "known": len(self._transactions),
            "duplicate_creates": self._duplicate_creates,
            "invalid_creates": self._invalid_creates,
            "in_flight": self._in_flight,
            "peak_in_flight": self._peak_in_flight,
            "faulted": self.switch.faulted,
        }

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._in_flight += 1
        self._peak_in_flight = max(self._peak_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _answer_create(self, request: web.Request, order: Order) -> web.Response:
        transaction = self._transactions.setdefault(order.id, Transaction())
        scenario = self._record(transaction, order)
        webhooks = self._send_webhooks(transaction, order, scenario)
        await asyncio.sleep(scenario.answer_after)
        if scenario.webhooks_first and webhooks:
            await asyncio.wait(webhooks)
        http = scenario.behaviour.http
        if http == DROPPED:
            return drop(request)
        copy = scenario.copy if http == CREATED else None
        body = _body(copy, scenario.status, transaction) if copy else {"error": REASONS.get(http)}
        chance = self._settings.chance(f"{order.reference or order.id}/answer {len(transaction.creates)}")
        return await send(request, scenario.behaviour.create_manner(chance, http, body))

    def _read_manner(self, key: str, transaction: Transaction) -> Manner:
        """Return the manner of the answer to a status check that has just been counted; count the odd ones."""
        if transaction.behaviour is not None:
            behaviour = BEHAVIOURS[transaction.behaviour]
            manner, limit = behaviour.read_manner, behaviour.odd_reads
        elif self.unknown_ids.mode == "odd":
            manner, limit = self._settings.chance(f"{key}/unknown").choice(UNKNOWN), ODD_UNKNOWN
        else:
            return polite
        if transaction.odd_reads >= limit:
            return polite
        transaction.odd_reads += manner is not polite
        return manner

    def _record(self, transaction: Transaction, order: Order) -> Scenario:
        """Apply all effects of a create when it arrives, so that a caller that disconnects changes nothing."""
        began = time.time()
        if transaction.behaviour is None:
            transaction.reference = order.reference
            transaction.behaviour = choose(self._settings, order.reference, order.reference or order.id).name
            transaction.odd_reads = 0
        scenario = draw(self._settings, BEHAVIOURS[transaction.behaviour], order, len(transaction.creates) + 1, began)
        if scenario.copy:
            self._duplicate_creates += bool(transaction.copies)
            transaction.copies.append(scenario.copy)
        http = scenario.behaviour.http
        transaction.creates.append(CreateCall(began, http, scenario.status if http == CREATED else None))
        return scenario

    def _send_webhooks(self, transaction: Transaction, order: Order, scenario: Scenario) -> list[asyncio.Task[None]]:
        if order.webhook_url is None:
            return []
        message_id = f"msg_{uuid4().hex}"  # one id for all: a webhook that is sent twice is the same webhook
        return [
            self.webhook_sender.send_later(webhook, _word(webhook.status, transaction), order, message_id, transaction)
            for webhook in scenario.webhooks
        ]


def _body(copy: Copy, status: str, transaction: Transaction) -> Body:
    order = copy.order
    return {
        "id": order.id,
        "status": _word(status, transaction),
        "amount": order.amount,
        "currency": order.currency,
        "reference": order.reference,
    }


def _word(status: str, transaction: Transaction) -> object:
    """Return the JSON value by which the transaction's behaviour reports a status."""
    return BEHAVIOURS[transaction.behaviour or ""].words.get(status, status)
