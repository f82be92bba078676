"""Sender of the third party's webhooks: each is sent once at its planned time, without retries."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from sandbox.orders import Order
from sandbox.records import Delivery, Transaction
from sandbox.scenario import PlannedWebhook

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=15)  # real seconds, at any speed


class WebhookSender:
    """Signs by Standard Webhooks if it has a secret; the simulated third party has none."""

    def __init__(self, secret: str | None) -> None:
        self._signer = Webhook(secret) if secret else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """Cleanup context of the application: keep the HTTP session open while it runs."""
        # No keep-alive: a connection that the receiver has just closed would lose the webhook, which is sent only once.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as self._session:
            yield
            tasks = list(self._tasks)
            self.cancel_all()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cancel_all(self) -> None:
        """Cancel the webhooks that are not sent yet."""
        for task in self._tasks:
            task.cancel()

    def send_later(
        self, webhook: PlannedWebhook, word: object, order: Order, message_id: str, transaction: Transaction
    ) -> asyncio.Task[None]:
        """Post `word` as the order's status at the planned time, and record the delivery in the transaction."""
        task = asyncio.create_task(self._send(webhook, word, order, message_id, transaction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(
        self, webhook: PlannedWebhook, word: object, order: Order, message_id: str, transaction: Transaction
    ) -> None:
        await asyncio.sleep(webhook.after)
        at = time.time()
        http = await self._post(order.webhook_url or "", message_id, json.dumps({"id": order.id, "status": word}))
        transaction.webhooks.append(Delivery(at, webhook.status, http))

    async def _post(self, url: str, message_id: str, body: str) -> int | None:
        headers = {"Content-Type": "application/json"} | self._signature(message_id, body)
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError):  # ValueError: an invalid URL
            return None

    def _signature(self, message_id: str, body: str) -> dict[str, str]:
        if self._signer is None:
            return {}
        now = datetime.now(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message_id, now, body),
        }
