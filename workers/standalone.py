"""Running one job without a Dramatiq worker: for `manage.py runjob` and for AWS Lambda."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from django.conf import settings

from workers import jobs, registry
from workers.announce import announce
from workers.engine import crash
from workers.jobs import Result
from workers.models import Job
from workers.outbound import Http

log = structlog.get_logger(__name__)


def run_job(job_id: int) -> str:
    """Claim, run and settle one job now, whatever its time; returns its state after that.

    A job that is not waiting, or whose sibling runs, is left as it is. Raises Job.DoesNotExist.
    """
    job = Job.objects.get(pk=job_id)
    claim = jobs.claim_one(job)
    if claim is not None:
        work = jobs.load([claim]).get(claim.id)
        result: Result = asyncio.run(_run(claim, work)) if work is not None else registry.Outcome(registry.Done())
        announce(jobs.settle([(claim, result)]))
    job.refresh_from_db()
    return job.state


async def _run(claim: registry.Claim, work: Any) -> Result:
    kind = registry.kind(claim.kind)
    async with Http(settings.OUTBOUND_ALLOWED_HOSTS) as http:
        try:
            async with asyncio.timeout(kind.lease - registry.LEASE_MARGIN):
                return await kind.handle(work, http)
        except Exception as error:
            log.exception("A handler raised", action="handler_raised", job={"id": claim.id, "kind": claim.kind})
            return crash(claim, error)
