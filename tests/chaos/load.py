"""Load generator: a client that posts transactions at a steady rate and retries each post until it is answered."""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

import aiohttp

NAMED = (
    "duplicate-webhook",
    "late-webhook",
    "early-webhook",
    "contradict",
    "drop",
    "conflict",
    "throttle",
    "refuse",
    "decline",
    "unknown-word",
    "slow",
    "silent",
    "ghost504",
    "lost504",
    "close-early",
    "html-200",
    "no-status",
    "huge",
    "bad-bytes",
    "mislabelled",
    "big-header",
    "slow-body",
    "decline-402",
    "bool-status",
    "number-status",
    "retry-after-junk",
)
"""Behaviours that every second transaction requests in turn. The sandbox assigns the others one by its shares."""
FORBIDDEN = ("forbidden-one", "forbidden-reads")
"""Behaviours that are requested in turn, FORBIDDEN_APART seconds apart: 403 for two transactions within a minute pauses
the provider."""
FORBIDDEN_APART = 100.0
FIRST_FORBIDDEN = 10
"""Number of the first transaction that requests one of them."""
PATIENCE = 10.0
"""Timeout of a post in seconds."""
PAUSE = 0.5
"""Seconds between a failed post and its retry."""
TWICE = 20
"""Every n-th transaction is posted twice at the same moment, as an impatient client does."""


@dataclass(slots=True)
class Posted:
    """Transaction as known to its client. Times are Unix seconds."""

    ref: str
    reference: str
    posted_at: float
    accepted_at: float | None = None
    ours: set[str] = field(default_factory=set)
    """Ids that the service assigned. There must be exactly one, even after several posts."""
    posts: int = 0
    wrong: list[str] = field(default_factory=list)
    """Unexpected answers. Expected ones are 202, 200, and 503 with `Retry-After`."""


class Load:
    """Load of `count` transactions in `seconds`, on a thread. Open loop: a slow answer delays no other post."""

    def __init__(self, url: str, api_key: str, *, count: int, seconds: float) -> None:
        self.posted: dict[str, Posted] = {}
        self.began = 0.0
        self._url = f"{url}/v1/transactions"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._count = count
        self.rate = count / seconds
        self._again: SimpleQueue[str] = SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    @property
    def accepted(self) -> int:
        return sum(one.accepted_at is not None for one in list(self.posted.values()))

    @property
    def running(self) -> bool:
        """Return True while some posts are still to be made or answered."""
        return self._thread.is_alive()

    def start(self) -> None:
        self.began = time.time()
        self._thread.start()

    def stop(self) -> None:
        """Stop posting, and abandon the posts without an answer."""
        self._stopped.set()
        self._thread.join(PATIENCE + 5)

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        began = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for number, reference in zip(range(1, self._count + 1), _references(self.rate), strict=False):
                await asyncio.sleep(began + number / self.rate - time.monotonic())
                if self._stopped.is_set():
                    return
                one = Posted(f"chaos-{number}", reference, time.time())
                self.posted[one.ref] = one
                for each in (one, *(() if number % TWICE else (one,)), *self._repeats()):
                    tasks.create_task(self._post(session, each))

    def post_again(self, refs: Iterable[str]) -> None:
        """Post these transactions again, as clients do that do not know what the service has lost."""
        for ref in refs:
            self._again.put(ref)

    def _repeats(self) -> Iterator[Posted]:
        while not self._again.empty():
            yield self.posted[self._again.get()]

    async def _post(self, session: aiohttp.ClientSession, one: Posted) -> None:
        body = {"id": one.ref, "amount": 1250, "currency": "EUR", "reference": one.reference}
        while not self._stopped.is_set():
            one.posts += 1
            try:
                async with session.post(self._url, json=body) as answer:
                    if await self._is_final(answer, one):
                        return
            except (aiohttp.ClientError, TimeoutError):  # the outcome is unknown: retry
                pass
            await asyncio.sleep(PAUSE)

    @staticmethod
    async def _is_final(answer: aiohttp.ClientResponse, one: Posted) -> bool:
        """Record an answer. Return True if the client stops retrying."""
        if answer.status in (200, 202):
            one.ours.add((await answer.json())["provider_transaction_id"])
            one.accepted_at = one.accepted_at or time.time()
            return True
        if answer.status != 503 or "Retry-After" not in answer.headers:
            one.wrong.append(f"{answer.status}: {(await answer.text())[:200]}")
        return len(one.wrong) >= 10


def _references(rate: float) -> Iterator[str]:
    """Yield the references of a load of `rate` transactions per second."""
    named, forbidden = itertools.cycle(NAMED), itertools.cycle(FORBIDDEN)
    apart = math.ceil(FORBIDDEN_APART * rate)
    for number in itertools.count(1):
        if number % apart == FIRST_FORBIDDEN % apart:
            yield f"{next(forbidden)}-{number}"
        else:
            yield f"{next(named)}-{number}" if number % 2 == 0 else f"mixed-{number}"
