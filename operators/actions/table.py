"""The table of all actions that staff can run: source of the buttons, confirmation pages and bulk runs."""

from operators.actions import jobs, lanes, outcomes
from operators.actions.action import Action

ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        jobs.retry,
        jobs.poll_now,
        jobs.create_again,
        outcomes.notify_again,
        jobs.cancel_tracking,
        outcomes.set_status,
        outcomes.approve_status,
        outcomes.reject_status,
        outcomes.resolve_review,
        lanes.pause_provider,
        lanes.resume_provider,
        *map(lanes.open_breaker, jobs.AT_PROVIDER),
        *map(lanes.close_breaker, jobs.AT_PROVIDER),
        lanes.disable_endpoint,
        lanes.enable_endpoint,
    )
}
"""By name, in the order of the buttons."""
