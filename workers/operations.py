"""What staff may do to jobs, each by compare-and-set. The apps decide when, and record who and why."""

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from workers.lanes import Lane
from workers.models import Job, JobState
from workers.outcomes import Wake


def requeue(*, job_id: int, was: str = JobState.FAILED, doubtful: bool = False) -> Wake | None:
    """`was`, a state in which a job is over -> waiting: due now, its schedule anew. None when it was not so (any more).

    `doubtful`: the runs that it was given up for may have begun calls that nobody recorded. `lost_at` then says so to
    its next run, as it does after any lost run: they began no later than the job ended. `attempt` counts on, for it
    is the fencing token. Announce the wake after the commit.
    """
    anew = {"lost_at": F("updated_at")} if doubtful else {}
    over = Job.objects.filter(pk=job_id, state=was)
    return _wake(over, state=JobState.WAITING, run_at=Now(), tries=0, crashes=0, updated_at=Now(), **anew)


def reschedule(*, job_id: int) -> Wake | None:
    """A waiting job is due now; its schedule goes on. None when it does not wait. Announce the wake, too."""
    return _wake(Job.objects.filter(pk=job_id, state=JobState.WAITING), run_at=Now())


def cancel(*, job_id: int, why: str) -> bool:
    """waiting -> cancelled; False when it does not wait."""
    waiting = Job.objects.filter(pk=job_id, state=JobState.WAITING)
    return bool(waiting.update(state=JobState.CANCELLED, last_error=why, updated_at=Now()))


def _wake(one: QuerySet[Job], **changes: object) -> Wake | None:
    job = one.only("kind", "lane").first()
    return Wake(job.kind, Lane(job.lane)) if job and one.update(**changes) else None
