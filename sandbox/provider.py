"""The third party: creates, reads, and a record of everything callers did."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from uuid import uuid4

from aiohttp import web

from sandbox.behaviours import BEHAVIOURS, DROPPED, choose
from sandbox.courier import Courier
from sandbox.fate import Fate, draw
from sandbox.faults import Switch, drop, error
from sandbox.orders import InvalidOrder, Order, read_order
from sandbox.records import Copy, CreateCall, Transaction
from sandbox.settings import Settings

CREATED = 201
REASONS = {
    409: "this id exists already",
    422: "the transaction is refused",
    429: "too many requests",
    504: "gateway timeout",
}


class Provider:
    def __init__(self, settings: Settings) -> None:
        self.switch = Switch("down", "hang", "500", "503", "429")
        self.courier = Courier(settings.webhook_secret)
        self._settings = settings
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Forgets every transaction, drops the webhooks still to be sent and ends a fault."""
        self.courier.forget()
        self.switch.reset()
        self._transactions: dict[str, Transaction] = {}
        self._duplicate_creates = 0
        self._invalid_creates = 0
        self._peak_in_flight = self._in_flight
        self._read_chance = self._settings.chance("reads")

    async def create(self, request: web.Request) -> web.Response:
        """POST /third-party/transactions"""
        with self._counted():
            fault = await self.switch.fault(request)
            if fault is not None:
                return fault
            try:
                order = read_order(await request.read())
            except InvalidOrder as invalid:
                self._invalid_creates += 1
                return error(invalid.http, str(invalid))
            return await self._play(request, order)

    async def read(self, request: web.Request) -> web.Response:
        """GET /third-party/transactions/{id}: what was true when it was asked, however long the answer takes."""
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
        """GET /third-party/behaviours: `[{"name", "what", "share"}]`, the share in per cent."""
        rows = [{"name": row.name, "what": row.what, "share": row.share} for row in BEHAVIOURS.values()]
        return web.json_response(rows)

    def state(self, last: int | None) -> dict[str, object]:
        """Its part of /state, with the `last` transactions only where a number is given."""
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

    async def _play(self, request: web.Request, order: Order) -> web.Response:
        transaction = self._transactions.setdefault(order.id, Transaction())
        fate = self._record(transaction, order)
        webhooks = self._send_webhooks(transaction, order, fate)
        await asyncio.sleep(fate.answer_after)
        if fate.webhooks_first and webhooks:
            await asyncio.wait(webhooks)
        if fate.http == DROPPED:
            return drop(request)
        if fate.copy and fate.http == CREATED:
            return web.json_response(_body(fate.copy, fate.says), status=CREATED)
        return error(fate.http, REASONS[fate.http])

    def _record(self, transaction: Transaction, order: Order) -> Fate:
        """Everything a create changes happens as it arrives: a caller that hangs up stops nothing."""
        began = time.time()
        if transaction.behaviour is None:
            transaction.reference = order.reference
            transaction.behaviour = choose(self._settings, order.reference, order.reference or order.id).name
        behaviour = BEHAVIOURS[transaction.behaviour]
        fate = draw(self._settings, behaviour, order, len(transaction.creates) + 1, began)
        if fate.copy:
            self._duplicate_creates += bool(transaction.copies)
            transaction.copies.append(fate.copy)
        transaction.creates.append(CreateCall(began, fate.http, fate.says if fate.http == CREATED else None))
        return fate

    def _send_webhooks(self, transaction: Transaction, order: Order, fate: Fate) -> list[asyncio.Task[None]]:
        if order.webhook_url is None:
            return []
        message_id = f"msg_{uuid4().hex}"  # one for all: sent twice, it is still the same webhook
        return [
            self.courier.send_later(
                webhook.after, order.webhook_url, message_id, {"id": order.id, "status": webhook.status}, transaction
            )
            for webhook in fate.webhooks
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
