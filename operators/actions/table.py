"""The table of everything that staff may do. Buttons, confirm pages and bulk runs come from it."""

from __future__ import annotations

from functools import partial

from clients.models import Client
from operators.actions import jobs, lanes, outcomes
from operators.actions.action import Action
from operators.actions.jobs import AT_PROVIDER
from providers.models import Provider
from transactions.models import Transaction
from workers.models import Job

__all__ = ["ACTIONS", "Action"]

# fmt: off
_TABLE = (
    Action("retry", "Retry", "workers.retry_job", Job, True,
           jobs.blocked_reason_retry, jobs.explain_retry, jobs.retry, bulk=True, silent=True),
    Action("poll_now", "Poll now", "transactions.poll_now", Transaction, False,
           jobs.blocked_reason_poll_now, jobs.explain_poll_now, jobs.poll_now, bulk=True),
    Action("create_again", "Create again", "transactions.create_again", Transaction, True,
           jobs.blocked_reason_create_again, jobs.explain_create_again, jobs.create_again, bulk=True),
    Action("notify_again", "Notify again", "transactions.notify_again", Transaction, False,
           outcomes.blocked_reason_notify_again, outcomes.explain_notify_again, outcomes.notify_again, bulk=True),
    Action("cancel_tracking", "Cancel tracking", "transactions.cancel_tracking", Transaction, True,
           jobs.blocked_reason_cancel_tracking, jobs.explain_cancel_tracking, jobs.cancel_tracking, bulk=True),
    Action("set_status", "Set status", "transactions.set_status", Transaction, True,
           outcomes.blocked_reason_set_status, outcomes.explain_set_status, outcomes.set_status, outcomes.StatusForm),
    Action("approve_status", "Approve status", "transactions.approve_status", Transaction, True,
           outcomes.blocked_reason_approve, outcomes.explain_approve, outcomes.approve, silent=True),
    Action("reject_status", "Reject status", "transactions.approve_status", Transaction, True,
           outcomes.blocked_reason_reject, outcomes.explain_reject, outcomes.reject, silent=True),
    Action("resolve_review", "Resolve review", "transactions.resolve_review", Transaction, True,
           outcomes.blocked_reason_resolve_review, outcomes.explain_resolve_review, outcomes.resolve_review,
           bulk=True, silent=True),
    Action("pause_provider", "Pause", "providers.pause_provider", Provider, True,
           lanes.blocked_reason_pause, lanes.explain_pause, lanes.pause, silent=True),
    Action("resume_provider", "Resume", "providers.resume_provider", Provider, False,
           lanes.blocked_reason_resume, lanes.explain_resume, lanes.resume, silent=True),
    *(Action(f"open_breaker_{kind}", f"Open breaker of {kind}", "providers.open_breaker", Provider, True,
             partial(lanes.blocked_reason_open_breaker, kind), partial(lanes.explain_open_breaker, kind),
             partial(lanes.open_breaker, kind)) for kind in AT_PROVIDER),
    *(Action(f"close_breaker_{kind}", f"Close breaker of {kind}", "providers.close_breaker", Provider, False,
             partial(lanes.blocked_reason_close_breaker, kind), partial(lanes.explain_close_breaker, kind),
             partial(lanes.close_breaker, kind), silent=True) for kind in AT_PROVIDER),
    Action("disable_endpoint", "Disable endpoint", "clients.disable_endpoint", Client, True,
           lanes.blocked_reason_disable, lanes.explain_disable, lanes.disable, silent=True),
    Action("enable_endpoint", "Enable endpoint", "clients.enable_endpoint", Client, False,
           lanes.blocked_reason_enable, lanes.explain_enable, lanes.enable, silent=True),
)
# fmt: on
ACTIONS: dict[str, Action] = {action.name: action for action in _TABLE}
