"""Run single jobs without a Dramatiq worker, for `manage.py runjob` and for AWS Lambda."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from django.conf import settings

from workers import jobs
from workers.announce import announce
from workers.breaker import BreakerStatistics
from workers.jobs import Result
from workers.models import Job
from workers.outbound import Http
from workers.outcomes import Claim


def run_job(job_id: int) -> str:
    """Claim, run and settle one job now, due or not; return its state afterwards.

    It first waits for its lane's rate limit. A job that is not waiting, or whose sibling runs, is left as it is. Raises
    Job.DoesNotExist.
    """
    job = Job.objects.get(pk=job_id)
    time.sleep(jobs.take_tokens(job))  # before the claim: no lease runs meanwhile
    claim = jobs.claim_one(job)
    if claim is not None:
        result = asyncio.run(_run(claim, jobs.load([claim]).get(claim.id)))
        announce(jobs.settle([(claim, result)]))
        tally = BreakerStatistics()
        tally.note(claim, result)
        announce(tally.write())
    job.refresh_from_db()
    return job.state


async def _run(claim: Claim, work: Any) -> Result:
    async with Http(settings.OUTBOUND_ALLOWED_HOSTS) as http:
        return await jobs.run(claim, work, http)
