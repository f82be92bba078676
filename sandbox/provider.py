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
from sandbox.orders import InvalidOrder, Order, read_order
from sandbox.records import Copy, CreateCall, Transaction
from sandbox.scenario import Scenario, draw
from sandbox.settings import Settings
from sandbox.webhook_sender import WebhookSender

CREATED = 201
REASONS = {
    409: "this id exists already",
    422: "the transaction is refused",
    429: "too many requests",
    504: "gateway timeout",
}


class Provider:
    """The simulated third party with its records and its fault switch."""

    def __init__(self, settings: Settings) -> None:
        self.switch = Switch("down", "hang", "500", "503", "429")
        self.webhook_sender = WebhookSender(settings.webhook_secret)
        self._settings = settings
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Delete all transactions, cancel the webhooks that are not sent yet and end a fault."""
        self.webhook_sender.cancel_all()
        self.switch.reset()
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
            transaction = self._transactions.setdefault(request.match_info["id"], Transaction())
            copy = transaction.present(now)
            transaction.polls += copy is not None
            transaction.checks += copy is None
            wait = self._read_chance.uniform(*self._settings.answer_seconds)
            await asyncio.sleep(self._settings.scaled(wait))
            return web.json_response(_body(copy, copy.status(now))) if copy else error(404, "not found")

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
        if scenario.http == DROPPED:
            return drop(request)
        if scenario.copy and scenario.http == CREATED:
            return web.json_response(_body(scenario.copy, scenario.status), status=CREATED)
        return error(scenario.http, REASONS[scenario.http])

    def _record(self, transaction: Transaction, order: Order) -> Scenario:
        """Apply all effects of a create when it arrives, so that a caller that disconnects changes nothing."""
        began = time.time()
        if transaction.behaviour is None:
            transaction.reference = order.reference
            transaction.behaviour = choose(self._settings, order.reference, order.reference or order.id).name
        behaviour = BEHAVIOURS[transaction.behaviour]
        scenario = draw(self._settings, behaviour, order, len(transaction.creates) + 1, began)
        if scenario.copy:
            self._duplicate_creates += bool(transaction.copies)
            transaction.copies.append(scenario.copy)
        transaction.creates.append(
            CreateCall(began, scenario.http, scenario.status if scenario.http == CREATED else None)
        )
        return scenario

    def _send_webhooks(self, transaction: Transaction, order: Order, scenario: Scenario) -> list[asyncio.Task[None]]:
        if order.webhook_url is None:
            return []
        message_id = f"msg_{uuid4().hex}"  # one id for all: a webhook that is sent twice is the same webhook
        return [
            self.webhook_sender.send_later(
                webhook.after, order.webhook_url, message_id, {"id": order.id, "status": webhook.status}, transaction
            )
            for webhook in scenario.webhooks
        ]


def _body(copy: Copy, status: str) -> dict[str, object]:
    order = copy.order
    return {
        "id": order.id,
        "status": status,
        "amount": order.amount,
        "currency": order.currency,
        "reference": order.reference,
    }
