"""The table of everything that staff may do. Buttons, confirm pages and bulk runs come from it."""

from __future__ import annotations

from transactions.models import Transaction
from transactions.staff import jobs
from transactions.staff.acting import Action
from transactions.waiting import held_up
from workers.models import Job

__all__ = ["ACTIONS", "Action"]


def _explain_retry(job: Job) -> str:
    of = Transaction.objects.select_related("client", "provider").defer("provider__headers").get(pk=job.transaction_id)
    does = {
        "create": f"It looks for the transaction at {of.provider}. If it is not there, it creates it, but not before "
        f"{of.provider.settle_window:g} s have passed since this job failed: until then an earlier create may still "
        "take effect",
        "track": f"It polls {of.provider}, with growing delays, until the status is final",
        "notify": f"It tells {of.client} the status as it is now ({of.status}), until the endpoint confirms it",
    }
    return f"{does.get(job.kind, 'It runs again')}{held_up(of, job.kind)}. Its schedule starts anew, at once."


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action(
            name="retry",
            label="Retry",
            permission="workers.retry_job",
            on=Job,
            reason=True,
            judge=jobs.judge_retry,
            explain=_explain_retry,
            effect=jobs.retry,
            bulk=True,
        ),
    )
}
