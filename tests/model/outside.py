"""Simulated provider and client. The test answers their calls one by one, in any order, at any time."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.model.clock import Clock
from tests.model.reference import FINAL, Create, Transaction
from workers.outbound import NotSent, OutcomeUnknown, Response
from workers.outcomes import Call

PROVIDER, CLIENT = "http://third.example", "http://alice.example/callback"
REFUSALS = ("400", "422")
ANSWERS = (
    *FINAL, "pending", "odd", "504", "dropped", "unsent", "429", "401", "403", "402", *REFUSALS, "302", "page", "empty",
    "stale",
)  # fmt: skip
"""Possible answers to a call. A final status, `pending`, the unknown status `odd`, an HTML `page` and `empty` are
2xx."""
UNUSABLE = ("page", "empty", "302", "400", "402")
"""Answers to a status check that prove neither presence nor absence."""
BODIES = {"": b"", "page": b"<!doctype html><title>Welcome</title>", "empty": b'{"status": null, "data": null}'}
DECLINED = {"error": {"message": "insufficient funds"}}
CALL = Call("GET", PROVIDER, datetime(2026, 1, 1, tzinfo=UTC), 1)
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass
class Asked:
    """Call in progress, with the run that makes it. `create`: the create that the provider received."""

    kind: str
    run: Any
    of: Transaction
    at: float
    answer: asyncio.Future[Response]
    sequence: int = 0
    create: Create | None = None
    was_there: str = ""
    """Status of the provider's copy when the call arrived."""


@dataclass
class Outside:
    """Replacement for `workers.outbound.Http`. A call waits until `reply` answers it."""

    clock: Clock
    known: dict[str, Transaction] = field(default_factory=dict)
    """Keyed by our id, which is also the provider's."""
    asked: list[Asked] = field(default_factory=list)
    runs: dict[asyncio.Task[Any], Any] = field(default_factory=dict)

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, within: float, **_: Any
    ) -> Response:
        await asyncio.sleep(0)  # connecting: a run whose time is over is cancelled here, before anything is sent
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        one = self._asked(method, url, body, self.runs[task], loop.create_future())
        self.asked.append(one)
        try:
            async with asyncio.timeout(within):
                return await one.answer
        except TimeoutError:
            raise OutcomeUnknown("no answer in time", CALL) from None
        finally:
            self.asked.remove(one)

    def _asked(self, method: str, url: str, body: bytes | None, run: Any, answer: asyncio.Future[Response]) -> Asked:
        now, content = self.clock.now(), json.loads(body) if body else {}
        if url == CLIENT:
            of = self.known[content["data"]["provider_transaction_id"]]
            of.begin_telling(content["data"]["status"], content["data"]["sequence"], run.claim.key)
            if others := [one for one in self.asked if one.kind == "tell" and one.of is of and one.run.owns_job()]:
                of.wrong.append(f"notified concurrently with {len(others)} others")
            return Asked("tell", run, of, now, answer, content["data"]["sequence"])
        found = ID.search(content["id"] if body else url)
        assert found is not None
        of = self.known[found.group()]
        if method == "POST":
            look_at = run.last[0].at if run.last and run.last[1] == "404" else None
            return Asked("create", run, of, now, answer, create=of.begin_create(now, look_at))
        return Asked("look", run, of, now, answer, was_there=of.copy)

    def reply(self, one: Asked, what: str) -> None:
        """Answer a call in progress. The answer determines the effect at the provider."""
        if one.answer.done():
            return
        one.run.last = (one, "")
        error = {"dropped": OutcomeUnknown("connection lost", CALL), "unsent": NotSent("connection refused", CALL)}
        if what == "unsent" and one.create:
            if one.create.landed:
                what = "dropped"
            one.create.open = False
        if what in error:
            one.answer.set_exception(error[what])
            return
        status, word = {"create": self._create, "look": self._look, "tell": self._tell}[one.kind](one, what)
        one.run.last = (one, word if 200 <= status < 300 else str(status))
        one.of.confirmed |= one.kind != "tell" and _confirms(one.kind, status, word)
        content = BODIES[word] if word in BODIES else json.dumps({"status": word}).encode()
        if status == 402:
            content = json.dumps(DECLINED).encode()
        one.answer.set_result(Response(status, {}, content, CALL))

    def _create(self, one: Asked, what: str) -> tuple[int, str]:
        assert one.create is not None
        if what in ("302", "page"):  # from a proxy: the create may have an effect, now or later
            return (302, "") if what == "302" else (200, "page")
        denied = ("429", "401", "403")
        if what in ("504", "stale") or (one.create.landed and what in (*denied, "402", *REFUSALS)):
            return 504, ""
        if one.create.landed:
            return 201, one.of.decide(what) if what in FINAL else what.replace("empty", "")
        if what in (*denied, "402", *REFUSALS) or one.of.copy:
            one.create.open = False  # it had no effect, and will have none
            if what in REFUSALS and not one.of.copy:
                one.of.refused = True
            return (409 if one.of.copy and what not in denied else int(what)), ""
        if not one.create.open or self.clock.now() >= one.create.at + one.of.window:
            return 504, ""
        one.of.land(one.create, what if what in FINAL else "pending")
        return 201, what.replace("empty", "")

    def _look(self, one: Asked, what: str) -> tuple[int, str]:
        if what in ("504", "429", "401", "403", "302", "400", "402"):
            return int(what), ""
        if what in ("page", "empty"):
            return 200, what
        if what == "stale":
            return (200, one.was_there) if one.was_there else (404, "")
        if not one.of.copy:
            return 404, ""
        found = one.of.decide(what if what in FINAL else "pending")
        return 200, found if what in FINAL or what == "422" else what  # `pending` and `odd` may lag behind the truth

    def _tell(self, one: Asked, what: str) -> tuple[int, str]:
        if what in ("504", "422", "stale"):
            return 500, ""
        if what in ("302", "400", "402", "403"):
            return int(what), ""
        if what in ("429", "401"):
            return {"429": 503, "401": 410}[what], ""
        one.of.heard.add(one.sequence)
        return (200, what) if what in ("page", "empty") else (204, "")


def _confirms(kind: str, status: int, word: str) -> bool:
    """Return True if an answer proves that the provider has the transaction, or has decided about it."""
    if kind == "create":
        return status in (201, 402, 409)
    return status == 200 and word in (*FINAL, "pending")
