"""Actions on a provider or a client's endpoint: pause and resume, circuit breakers, disable and enable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from clients.endpoints import reschedule_notifications
from clients.models import BY_STAFF, Client
from operators.actions.action import ActionContext
from operators.actions.jobs import AT_PROVIDER
from operators.audit import Refused
from providers.models import Provider
from workers import breaker
from workers.lanes import Lane
from workers.models import JobKind
from workers.outcomes import Wake

NO_REASON = "no reason was given"
OPEN_ALREADY = "it is open already"
NOT_OPEN = "it is not open"


def blocked_reason_pause(provider: Provider) -> str:
    return f"it is paused already: {provider.paused_why or NO_REASON}" if provider.paused else ""


def explain_pause(provider: Provider) -> str:
    return (
        f"Within two seconds, all workers stop creates and polls at {provider}. Running calls finish. Due jobs wait "
        "until you resume the provider, and its webhooks are still accepted."
    )


def pause(provider: Provider, context: ActionContext) -> Sequence[Wake]:
    context.note("paused the provider")
    Provider.objects.filter(pk=provider.pk).update(paused=True, paused_why=context.reason[:255])
    return []


def blocked_reason_resume(provider: Provider) -> str:
    return "" if provider.paused else "it is not paused"


def explain_resume(provider: Provider) -> str:
    return f"Waiting jobs of {provider} run now, with at most {provider.max_in_flight} calls at a time."


def resume(provider: Provider, context: ActionContext) -> Sequence[Wake]:
    context.note(f"resumed the provider, which was paused: {provider.paused_why or NO_REASON}")
    Provider.objects.filter(pk=provider.pk).update(paused=False, paused_why="")
    return [Wake(kind, provider.lane) for kind in AT_PROVIDER]


def blocked_reason_open_breaker(kind: str, provider: Provider) -> str:
    if not provider.circuit_breaker:
        return "circuit breakers are off in its settings: use Pause instead"
    return OPEN_ALREADY if breaker.is_open(provider.lane, kind) else ""


def explain_open_breaker(kind: str, provider: Provider) -> str:
    return (
        f"The jobs {kind} of {provider} wait, except for one attempt every {breaker.PROBE_EVERY:g} s; the first "
        "success closes the breaker. To stop all calls until you resume them, use Pause."
    )


def open_breaker(kind: str, provider: Provider, context: ActionContext) -> Sequence[Wake]:
    context.note(f"opened the circuit breaker of the jobs {kind}")
    if not breaker.open_(provider.lane, kind):
        raise Refused(OPEN_ALREADY)
    return []


def blocked_reason_close_breaker(kind: str, provider: Provider) -> str:
    return "" if breaker.is_open(provider.lane, kind) else NOT_OPEN


def explain_close_breaker(kind: str, provider: Provider) -> str:
    return (
        f"Waiting jobs {kind} run now, with at most {provider.max_in_flight} calls at a time. The breaker opens again "
        "if most of these fail too. To stop all calls, use Pause."
    )


def close_breaker(kind: str, provider: Provider, context: ActionContext) -> Sequence[Wake]:
    context.note(f"closed the circuit breaker of the jobs {kind}")
    if not breaker.close(provider.lane, kind):
        raise Refused(NOT_OPEN)
    return [Wake(kind, provider.lane)]


def blocked_reason_disable(client: Client) -> str:
    return "it is disabled by staff already" if client.endpoint_disabled_why == BY_STAFF else ""


def explain_disable(client: Client) -> str:
    return (
        f"{client} gets no notifications any more. They are queued until staff enable the endpoint; the client itself "
        "cannot enable it."
    )


def disable(client: Client, context: ActionContext) -> Sequence[Wake]:
    context.note("disabled the endpoint")
    Client.objects.filter(pk=client.pk).update(endpoint_disabled_at=Now(), endpoint_disabled_why=BY_STAFF)
    return []


def blocked_reason_enable(client: Client) -> str:
    return "" if client.endpoint_disabled_at else "it is enabled"


def explain_enable(client: Client) -> str:
    return f"Queued notifications are sent to {client} now, and their retries start over."


def enable(client: Client, context: ActionContext) -> Sequence[Wake]:
    context.note(f"enabled the endpoint, which was disabled: {client.endpoint_disabled_why}")
    anew = {"endpoint_disabled_at": None, "endpoint_disabled_why": "", "endpoint_failing_since": None}
    Client.objects.filter(pk=client.pk).update(**anew)
    # After the commit, because there may be many rows. If it fails, which is logged, each is sent by its own schedule.
    transaction.on_commit(partial(reschedule_notifications, client.pk), robust=True)
    return [Wake(JobKind.NOTIFY, Lane.client(client.pk))]
