"""Rate limit within a run. The claim takes a lane's tokens and sets the runs' starts (`workers.sql.CLAIM`)."""

import asyncio
import time

from workers import kinds
from workers.lanes import Lane
from workers.outcomes import Claim

_free_at: dict[Lane, float] = {}
"""Time (`time.monotonic`) from which a lane's next further call may begin in this process."""


async def may_call_again(claim: Claim, *, within: float) -> bool:
    """Wait until a run's second call may begin; return False if its lease would end within `within` seconds of that.

    The calls are spaced as the runs' starts are. Otherwise a provider that answers many delayed first calls at once
    would get as many second calls at once.
    """
    if claim.limit.per_second is None:
        return claim.time_left() >= within
    now = time.monotonic()
    begin = max(now, _free_at.get(claim.lane, now))
    if claim.time_left() - (begin - now) < within:
        return False
    _free_at[claim.lane] = begin + kinds.kind_of(claim.kind).calls / claim.limit.per_second
    await asyncio.sleep(begin - now)
    return True
