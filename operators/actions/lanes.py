"""Actions on a provider or a client's endpoint: pause and resume, circuit breakers, disable and enable."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from clients.endpoints import reschedule_notifications
from clients.models import BY_STAFF, Client
from operators.actions.action import Action, ActionContext, action
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


def _pause_blocked(provider: Provider) -> str:
    return f"it is paused already: {provider.paused_why or NO_REASON}" if provider.paused else ""


def _explain_pause(provider: Provider) -> str:
    return (
        f"Within two seconds, all workers stop creates and polls at {provider}. Running calls finish. Due jobs wait "
        "until you resume the provider, and its webhooks are still accepted."
    )


@action(Provider, "Pause", _pause_blocked, _explain_pause, silent=True)
def pause_provider(provider: Provider, context: ActionContext) -> None:
    context.note("paused the provider")
    Provider.objects.filter(pk=provider.pk).update(paused=True, paused_why=context.reason[:255])


def _resume_blocked(provider: Provider) -> str:
    return "" if provider.paused else "it is not paused"


def _explain_resume(provider: Provider) -> str:
    return f"Waiting jobs of {provider} run now, with at most {provider.max_in_flight} calls at a time."


@action(Provider, "Resume", _resume_blocked, _explain_resume, reason=False, silent=True)
def resume_provider(provider: Provider, context: ActionContext) -> list[Wake]:
    context.note(f"resumed the provider, which was paused: {provider.paused_why or NO_REASON}")
    Provider.objects.filter(pk=provider.pk).update(paused=False, paused_why="")
    return [Wake(kind, provider.lane) for kind in AT_PROVIDER]


def open_breaker(kind: str) -> Action:
    """Return the action that opens the circuit breaker of a provider's jobs of this kind."""

    def blocked(provider: Provider) -> str:
        if not provider.circuit_breaker:
            return "circuit breakers are off in its settings: use Pause instead"
        return OPEN_ALREADY if breaker.is_open(provider.lane, kind) else ""

    def explain(provider: Provider) -> str:
        return (
            f"The jobs {kind} of {provider} wait, except for one attempt every {breaker.PROBE_EVERY:g} s; the first "
            "success closes the breaker. To stop all calls until you resume them, use Pause."
        )

    def effect(provider: Provider, context: ActionContext) -> None:
        context.note(f"opened the circuit breaker of the jobs {kind}")
        if not breaker.open_(provider.lane, kind):
            raise Refused(OPEN_ALREADY)

    name, label, permission = f"open_breaker_{kind}", f"Open breaker of {kind}", "providers.open_breaker"
    return Action(Provider, label, blocked, explain, effect, name, permission)


def close_breaker(kind: str) -> Action:
    """Return the action that closes the circuit breaker of a provider's jobs of this kind."""

    def blocked(provider: Provider) -> str:
        return "" if breaker.is_open(provider.lane, kind) else NOT_OPEN

    def explain(provider: Provider) -> str:
        return (
            f"Waiting jobs {kind} run now, with at most {provider.max_in_flight} calls at a time. The breaker opens "
            "again if most of these fail too. To stop all calls, use Pause."
        )

    def effect(provider: Provider, context: ActionContext) -> list[Wake]:
        context.note(f"closed the circuit breaker of the jobs {kind}")
        if not breaker.close(provider.lane, kind):
            raise Refused(NOT_OPEN)
        return [Wake(kind, provider.lane)]

    name, label, permission = f"close_breaker_{kind}", f"Close breaker of {kind}", "providers.close_breaker"
    return Action(Provider, label, blocked, explain, effect, name, permission, reason=False, silent=True)


def _disable_blocked(client: Client) -> str:
    return "it is disabled by staff already" if client.endpoint_disabled_why == BY_STAFF else ""


def _explain_disable(client: Client) -> str:
    return (
        f"{client} gets no notifications any more. They are queued until staff enable the endpoint; the client itself "
        "cannot enable it."
    )


@action(Client, "Disable endpoint", _disable_blocked, _explain_disable, silent=True)
def disable_endpoint(client: Client, context: ActionContext) -> None:
    context.note("disabled the endpoint")
    Client.objects.filter(pk=client.pk).update(endpoint_disabled_at=Now(), endpoint_disabled_why=BY_STAFF)


def _enable_blocked(client: Client) -> str:
    return "" if client.endpoint_disabled_at else "it is enabled"


def _explain_enable(client: Client) -> str:
    return f"Queued notifications are sent to {client} now, and their retries start over."


@action(Client, "Enable endpoint", _enable_blocked, _explain_enable, reason=False, silent=True)
def enable_endpoint(client: Client, context: ActionContext) -> list[Wake]:
    context.note(f"enabled the endpoint, which was disabled: {client.endpoint_disabled_why}")
    anew = {"endpoint_disabled_at": None, "endpoint_disabled_why": "", "endpoint_failing_since": None}
    Client.objects.filter(pk=client.pk).update(**anew)
    # After the commit, because there may be many rows. If it fails, which is logged, each is sent by its own schedule.
    transaction.on_commit(partial(reschedule_notifications, client.pk), robust=True)
    return [Wake(JobKind.NOTIFY, Lane.client(client.pk))]
