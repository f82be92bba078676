"""Actions on a provider or a client's endpoint: pause and resume, circuit breakers, disable and enable."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from clients.endpoints import reschedule_notifications
from clients.models import BY_STAFF, Client
from operators.actions.action import Action, Steps, action
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


@action(Provider, "Pause", silent=True)
def pause_provider(provider: Provider) -> Steps:
    if provider.paused:
        raise Refused(f"it is paused already: {provider.paused_why or NO_REASON}")
    context = yield (
        f"Within two seconds, all workers stop creates and polls at {provider}. Running calls finish. Due jobs wait "
        "until you resume the provider, and its webhooks are still accepted."
    )
    context.note("paused the provider")
    Provider.objects.filter(pk=provider.pk).update(paused=True, paused_why=context.reason[:255])
    return []


@action(Provider, "Resume", reason=False, silent=True)
def resume_provider(provider: Provider) -> Steps:
    if not provider.paused:
        raise Refused("it is not paused")
    context = yield f"Waiting jobs of {provider} run now, with at most {provider.max_in_flight} calls at a time."
    context.note(f"resumed the provider, which was paused: {provider.paused_why or NO_REASON}")
    Provider.objects.filter(pk=provider.pk).update(paused=False, paused_why="")
    return [Wake(kind, provider.lane) for kind in AT_PROVIDER]


def open_breaker(kind: str) -> Action:
    """Return the action that opens the circuit breaker of a provider's jobs of this kind."""

    def steps(provider: Provider) -> Steps:
        if not provider.circuit_breaker:
            raise Refused("circuit breakers are off in its settings: use Pause instead")
        if breaker.is_open(provider.lane, kind):
            raise Refused(OPEN_ALREADY)
        context = yield (
            f"The jobs {kind} of {provider} wait, except for one attempt every {breaker.PROBE_EVERY:g} s; the first "
            "success closes the breaker. To stop all calls until you resume them, use Pause."
        )
        context.note(f"opened the circuit breaker of the jobs {kind}")
        if not breaker.open_(provider.lane, kind):
            raise Refused(OPEN_ALREADY)
        return []

    return Action(Provider, f"Open breaker of {kind}", steps, f"open_breaker_{kind}", "providers.open_breaker")


def close_breaker(kind: str) -> Action:
    """Return the action that closes the circuit breaker of a provider's jobs of this kind."""

    def steps(provider: Provider) -> Steps:
        if not breaker.is_open(provider.lane, kind):
            raise Refused(NOT_OPEN)
        context = yield (
            f"Waiting jobs {kind} run now, with at most {provider.max_in_flight} calls at a time. The breaker opens "
            "again if most of these fail too. To stop all calls, use Pause."
        )
        context.note(f"closed the circuit breaker of the jobs {kind}")
        if not breaker.close(provider.lane, kind):
            raise Refused(NOT_OPEN)
        return [Wake(kind, provider.lane)]

    label, name, permission = f"Close breaker of {kind}", f"close_breaker_{kind}", "providers.close_breaker"
    return Action(Provider, label, steps, name, permission, reason=False, silent=True)


@action(Client, "Disable endpoint", silent=True)
def disable_endpoint(client: Client) -> Steps:
    if client.endpoint_disabled_why == BY_STAFF:
        raise Refused("it is disabled by staff already")
    context = yield (
        f"{client} gets no notifications any more. They are queued until staff enable the endpoint; the client itself "
        "cannot enable it."
    )
    context.note("disabled the endpoint")
    Client.objects.filter(pk=client.pk).update(endpoint_disabled_at=Now(), endpoint_disabled_why=BY_STAFF)
    return []


@action(Client, "Enable endpoint", reason=False, silent=True)
def enable_endpoint(client: Client) -> Steps:
    if not client.endpoint_disabled_at:
        raise Refused("it is enabled")
    context = yield f"Queued notifications are sent to {client} now, and their retries start over."
    context.note(f"enabled the endpoint, which was disabled: {client.endpoint_disabled_why}")
    anew = {"endpoint_disabled_at": None, "endpoint_disabled_why": "", "endpoint_failing_since": None}
    Client.objects.filter(pk=client.pk).update(**anew)
    # After the commit, because there may be many rows. If it fails, which is logged, each is sent by its own schedule.
    transaction.on_commit(partial(reschedule_notifications, client.pk), robust=True)
    return [Wake(JobKind.NOTIFY, Lane.client(client.pk))]
