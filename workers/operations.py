"""Changes of jobs by staff, each a compare-and-set. The callers check permissions and record who and why."""

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from workers.lanes import Lane
from workers.models import Job, JobState
from workers.outcomes import Wake


def requeue(*, job_id: int, was: str = JobState.FAILED, doubtful: bool = False) -> Wake | None:
    """Make an ended job due now, with a new schedule; None if its state is no longer `was`, a final state.

    `doubtful`: its last runs may have begun calls that are not recorded. `lost_at` then tells the next run so, as after
    any lost run; those calls began before the job ended. Announce the wake after the commit.
    """
    anew = {"lost_at": F("updated_at")} if doubtful else {}
    over = Job.objects.filter(pk=job_id, state=was)
    return _wake(over, state=JobState.WAITING, run_at=Now(), tries=0, crashes=0, updated_at=Now(), **anew)


def reschedule(*, job_id: int) -> Wake | None:
    """Make a waiting job due now; its schedule goes on. None if it is not waiting. Announce the wake too."""
    return _wake(Job.objects.filter(pk=job_id, state=JobState.WAITING), run_at=Now())


def cancel(*, job_id: int, why: str) -> bool:
    """Cancel a waiting job; return False if it is not waiting."""
    waiting = Job.objects.filter(pk=job_id, state=JobState.WAITING)
    return bool(waiting.update(state=JobState.CANCELLED, last_error=why, updated_at=Now()))


def _wake(one: QuerySet[Job], **changes: object) -> Wake | None:
    job = one.only("kind", "lane").first()
    return Wake(job.kind, Lane(job.lane)) if job and one.update(**changes) else None
