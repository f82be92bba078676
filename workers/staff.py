"""What staff may do to jobs. The apps decide when, and record who and why."""

from django.db.models import F
from django.db.models.functions import Now

from workers.models import Job, JobState
from workers.registry import Wake


def revive(*, job_id: int, doubtful: bool) -> Wake | None:
    """failed -> waiting, by compare-and-set: due now, its schedule anew. None when it was not failed (any more).

    `doubtful`: the runs that it was given up for may have begun calls that nobody recorded. `lost_at` then says so to
    its next run, as it does after any lost run: they began no later than the job ended. `attempt` counts on, for it
    is the fencing token. Announce the wake after the commit.
    """
    anew = {"lost_at": F("updated_at")} if doubtful else {}
    failed = Job.objects.filter(pk=job_id, state=JobState.FAILED)
    if not failed.update(state=JobState.WAITING, run_at=Now(), step=0, crashes=0, updated_at=Now(), **anew):
        return None
    kind, lane = Job.objects.values_list("kind", "lane").get(pk=job_id)
    return Wake(kind, lane)
