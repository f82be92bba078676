"""Faulty webhooks: repeated, late, contradicting and forged ones."""

from __future__ import annotations

import hashlib
import hmac
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import requests

if TYPE_CHECKING:
    from tests.chaos.faults import Scene

OF_EACH = 10
FLOOD = 5.0
"""Duration of a flood in seconds."""
STRANGERS = 20
PATIENCE = 20.0
"""Seconds for which a webhook is retried after 503."""

RECEIVED = "SELECT transaction_id::text, body FROM webhooks_webhook WHERE transaction_id IS NOT NULL"
FINAL = "SELECT id::text, status FROM transactions_transaction WHERE status IN ('completed', 'declined')"
PENDING = "SELECT id::text FROM transactions_transaction WHERE status = 'pending'"


def forge(scene: Scene, chance: Random) -> None:
    """Send webhooks of all four kinds. Record the contradicted transactions and every unexpected answer."""
    for id_, body in _some(scene, chance, RECEIVED):
        for _ in range(2):
            _expect(scene, 204, id_, body)
    for id_, status in _some(scene, chance, FINAL):
        _expect(scene, 204, id_, _body(id_, status))
    for id_, status in _some(scene, chance, FINAL):
        other = "declined" if status == "completed" else "completed"
        if _expect(scene, 204, id_, _body(id_, other)):
            scene.forged.add(id_)
    for (id_,) in _some(scene, chance, PENDING):
        _expect(scene, 401, id_, _body(id_, "completed"), token="0" * 64)


def flood(scene: Scene) -> None:
    """Send webhooks of strangers over `STRANGERS` connections for `FLOOD` seconds; each must be refused."""
    until = time.monotonic() + FLOOD
    url = f"{scene.stack.url}/webhooks/{scene.stack.state['provider']}/{UUID(int=0)}/{'0' * 64}"

    def send() -> None:
        with requests.Session() as session:
            while time.monotonic() < until:
                try:
                    answered = session.post(url, data=_body("unknown", "completed"), timeout=30).status_code
                except requests.ConnectionError:  # the service closes the connections of strangers when it is crowded
                    continue
                if answered not in (401, 503):
                    scene.complaints.append(f"a webhook of a stranger was answered {answered}, not 401")

    with ThreadPoolExecutor(STRANGERS) as threads:
        for sent in [threads.submit(send) for _ in range(STRANGERS)]:
            sent.result()


def token(key: str, slug: str, id_: str) -> str:
    """Return the token of the webhook URL that the service gave to the provider for this transaction."""
    return hmac.new(key.encode(), f"webhook-url:{slug}:{id_}".encode(), hashlib.sha256).hexdigest()


def _some(scene: Scene, chance: Random, sql: str) -> list[tuple[Any, ...]]:
    rows = sorted(scene.execute(sql))
    return chance.sample(rows, min(OF_EACH, len(rows)))


def _body(id_: str, status: str) -> str:
    return f'{{"id": "{id_}", "status": "{status}"}}'


def _expect(scene: Scene, status: int, id_: str, body: str, *, token: str = "") -> bool:
    slug = scene.stack.state["provider"]
    given = token or _token_of(scene, slug, id_)
    url = f"{scene.stack.url}/webhooks/{slug}/{id_}/{given}"
    until = time.monotonic() + PATIENCE
    answered = 0
    while time.monotonic() < until:
        try:
            answered = requests.post(url, data=body, timeout=10).status_code
        except requests.RequestException:
            answered = 0
        if answered not in (0, 503):
            break
        time.sleep(0.5)
    if answered != status:
        scene.complaints.append(f"a webhook for {id_} was answered {answered}, not {status}")
    return answered == status


def _token_of(scene: Scene, slug: str, id_: str) -> str:
    return token(scene.stack.environment["ENCRYPTION_KEYS"].split(",")[0], slug, id_)
