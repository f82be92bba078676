"""What staff may do to a provider or a client's endpoint as a whole: stop it, and let it go on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from transactions.endpoints import hasten_notifications
from transactions.models import Client, Provider
from transactions.models.clients import BY_STAFF
from transactions.staff.acting import Press, Refused
from transactions.staff.jobs import AT_PROVIDER
from workers import breaker
from workers.registry import Wake


def judge_pause(provider: Provider) -> str:
    return f"it is paused already: {provider.paused_why or 'nobody said why'}" if provider.paused else ""


def explain_pause(provider: Provider) -> str:
    return (
        f"{provider} is not called any more: no creates, no polls, by no worker, within two seconds. Calls under way "
        "end. What is due waits, nothing is lost; its webhooks still count."
    )


def pause(provider: Provider, press: Press) -> Sequence[Wake]:
    press.note("paused the provider")
    Provider.objects.filter(pk=provider.pk).update(paused=True, paused_why=press.reason[:255])
    return []


def judge_resume(provider: Provider) -> str:
    return "" if provider.paused else "it is not paused"


def explain_resume(provider: Provider) -> str:
    return f"What waited for {provider} goes on at once, at most {provider.max_in_flight} calls at a time."


def resume(provider: Provider, press: Press) -> Sequence[Wake]:
    press.note(f"resumed the provider, which was paused: {provider.paused_why or 'nobody said why'}")
    Provider.objects.filter(pk=provider.pk).update(paused=False, paused_why="")
    return [Wake(kind, provider.lane) for kind in AT_PROVIDER]


def judge_open_breaker(kind: str, provider: Provider) -> str:
    if not provider.circuit_breaker:
        return "its settings switch circuit breakers off: pause it instead"
    return "it is open already" if breaker.is_open(provider.lane, kind) else ""


def explain_open_breaker(kind: str, provider: Provider) -> str:
    return (
        f"The jobs {kind} of {provider} are held back, but for one every {breaker.PROBE_EVERY:g} s: the first of them "
        "that is answered closes the breaker. To hold all calls back until you say so, pause the provider."
    )


def open_breaker(kind: str, provider: Provider, press: Press) -> Sequence[Wake]:
    press.note(f"opened the circuit breaker of the jobs {kind}")
    if not breaker.open_(provider.lane, kind):
        raise Refused("it is open already")
    return []


def judge_close_breaker(kind: str, provider: Provider) -> str:
    return "" if breaker.is_open(provider.lane, kind) else "it is not open"


def explain_close_breaker(kind: str, provider: Provider) -> str:
    return (
        f"What is held back of the jobs {kind} goes on at once, at most {provider.max_in_flight} calls at a time. The "
        "breaker opens again when most of these fail, too. To hold calls back for good, pause the provider."
    )


def close_breaker(kind: str, provider: Provider, press: Press) -> Sequence[Wake]:
    press.note(f"closed the circuit breaker of the jobs {kind}")
    if not breaker.close(provider.lane, kind):
        raise Refused("it is not open")
    return [Wake(kind, provider.lane)]


def judge_disable(client: Client) -> str:
    return "it is disabled by staff already" if client.endpoint_disabled_why == BY_STAFF else ""


def explain_disable(client: Client) -> str:
    return (
        f"{client}'s endpoint is told nothing any more. Notifications wait, and are sent once staff enable it again: "
        "the client itself cannot."
    )


def disable(client: Client, press: Press) -> Sequence[Wake]:
    press.note("disabled the endpoint")
    Client.objects.filter(pk=client.pk).update(endpoint_disabled_at=Now(), endpoint_disabled_why=BY_STAFF)
    return []


def judge_enable(client: Client) -> str:
    return "" if client.endpoint_disabled_at else "it is enabled"


def explain_enable(client: Client) -> str:
    return f"{client}'s endpoint is told at once what has waited, by a schedule that begins anew."


def enable(client: Client, press: Press) -> Sequence[Wake]:
    press.note(f"enabled the endpoint, which was disabled: {client.endpoint_disabled_why}")
    anew = {"endpoint_disabled_at": None, "endpoint_disabled_why": "", "endpoint_failing_since": None}
    Client.objects.filter(pk=client.pk).update(**anew)
    # After the commit, as it may be many rows; where that fails, which is logged, they come by their own schedule.
    transaction.on_commit(partial(hasten_notifications, client.pk), robust=True)
    return [Wake("notify", f"c{client.pk}")]
