"""Filters and search of the operators' lists; an index serves each condition.

Lists, exports, bulk runs and the dashboard's links share these conditions, so that a count always matches its rows.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import BadRequest
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from clients.models import Client
from providers.models import Provider
from providers.status import Status
from transactions.models import NOT_NOTIFIED, Transaction
from transactions.status import Review, Submission
from webhooks.models import RefusalCount, Webhook
from workers import kinds
from workers.foundation.ids import as_number, as_uuid, first_at
from workers.models import Job, JobState

MOST = 1000
"""Upper bound for the matches of each look-up; only references are shared by so many transactions."""
HELP = "A complete id: ours, the client's, the reference, a job number or a webhook id"
NONE = Q(pk__in=[])
MOST_NAMES = 50
"""Upper bound for the names that a filter offers. The page of each client and provider links to its transactions."""

Choices = Sequence[tuple[str, str]]
Options = Mapping[str, tuple[str, Q]]
"""Values of a filter, each with its label and condition."""


class Filter(NamedTuple):
    """A parameter of a list."""

    name: str
    choices: Callable[[], Choices]
    """Return the offered values with their labels."""
    means: Callable[[str, datetime], Q]
    """Return the condition for a value at a time (UTC); an unknown value selects no rows."""


class UnknownFilter(BadRequest):
    """A parameter that the list does not have. Ignoring it would select more rows than requested."""


def filters_of(model: type[Model]) -> list[Filter]:
    """Return the filters of a list, without its search."""
    return [each for name, each in FILTERS[model].items() if name != "q"]


def rows(model: type[Model], params: Mapping[str, str], *, now: datetime | None = None) -> QuerySet[Any]:
    """Return the rows of a list with these parameters, newest first. Ages are relative to `now` (UTC).

    Raises UnknownFilter.
    """
    known, now = FILTERS[model], now or timezone.now()
    if unknown := params.keys() - known.keys():
        raise UnknownFilter(f"Unknown filters: {', '.join(sorted(unknown))}")
    return model._default_manager.filter(*(known[name].means(value, now) for name, value in params.items()))


def list_key(model: type[Model]) -> str:
    """Return the unique field by which a list is read in order of time, in batches."""
    return "sort_id" if model is Transaction else "pk"


def find_ids(term: str) -> list[UUID]:
    """Return the ids of the transactions that have this term as one of their ids."""
    ours, number = as_uuid(term), as_number(term)
    # Clients and providers are listed, because the indexes begin with them.
    clients = Client.objects.order_by().values("pk")
    matches = [
        Transaction.objects.filter(client__in=clients, client_ref=term).values_list("pk", flat=True),
        Transaction.objects.filter(reference=term).values_list("pk", flat=True),
        Webhook.objects.filter(_with_id(term)).values_list("transaction_id", flat=True),
        *([Job.objects.filter(pk=number).values_list("transaction_id", flat=True)] if number else []),
    ]
    ids = {id_ for match in matches for id_ in match.order_by()[:MOST] if id_}
    return list(ids | {ours} if ours else ids)


def webhooks_known_as(term: str) -> Q:
    """Return the condition for the webhooks with this id or, if there are none, for those of a transaction."""
    own = Webhook.objects.order_by().filter(_with_id(term)).values_list("pk", flat=True)[:MOST]
    return Q(pk__in=list(own)) if own else Q(transaction_id__in=find_ids(term))


def _with_id(webhook_id: str) -> Q:
    return Q(provider__in=Provider.objects.order_by().values("pk"), webhook_id=webhook_id)


def by_options(name: str, options: Callable[[datetime], Options]) -> Filter:
    """Return a filter with a fixed set of values."""
    return Filter(
        name,
        lambda: [(value, label) for value, (label, _) in options(timezone.now()).items()],
        lambda value, now: options(now).get(value, ("", NONE))[1],
    )


def by_field(name: str, choices: Choices, **more: tuple[str, Q]) -> Filter:
    """Return a filter by a field with few values, and by `more` conditions."""
    return by_options(name, lambda _: more | {value: (label, Q((name, value))) for value, label in choices})


def by_key(name: str, field: str, choices: Callable[[], Choices]) -> Filter:
    """Return a filter by a related row; it accepts the key of every row, also of those that it does not offer."""
    return Filter(name, choices, lambda value, _: Q((field, key)) if (key := as_number(value)) else NONE)


def names_of(rows: QuerySet[Any], label: str) -> Callable[[], Choices]:
    """Offer the first names. It reads names only: loading providers would decrypt their headers."""
    names = rows.order_by(label).values_list("pk", label)[:MOST_NAMES]
    return lambda: [(str(key), name) for key, name in names.all()]


def _ages(now: datetime) -> Options:
    hour, day, week = (first_at(now - timedelta(hours=hours)) for hours in (1, 24, 7 * 24))
    return {
        "hour": ("at most an hour", Q(sort_id__gte=hour)),
        "day": ("at most a day", Q(sort_id__gte=day)),
        "week": ("at most a week", Q(sort_id__gte=week)),
        "older": ("more than a week", Q(sort_id__lt=week)),
    }


def _stuck(now: datetime) -> Options:
    def pending(age: str, **for_: float) -> tuple[str, Q]:
        return f"pending for {age}", Q(status=Status.PENDING, sort_id__lt=first_at(now - timedelta(**for_)))

    return {
        "10m": pending("10 minutes", minutes=10),
        "1h": pending("an hour", hours=1),
        "1d": pending("a day", days=1),
        "not_notified": ("final, client not notified", NOT_NOTIFIED),
    }


def _lanes() -> Choices:
    return [(f"{of.name[0]}{key}", f"{of.name} {name}") for of in (PROVIDER, CLIENT) for key, name in of.choices()]


def _in_lane(value: str, _: datetime) -> Q:
    """Return the condition for open jobs, by two indexes that begin with the lane."""
    if value[:1] not in ("p", "c") or not as_number(value[1:]):
        return NONE
    return Q(lane=value, state=JobState.WAITING) | Q(lane=value, state=JobState.RUNNING)


def _models_of_pages() -> Choices:
    types = ContentType.objects.get_for_models(*admin.site._registry)
    names = [(str(of.pk), str(model._meta.verbose_name)) for model, of in types.items()]
    return sorted(names, key=itemgetter(1))


PROVIDER = by_key("provider", "provider", names_of(Provider.objects.all(), "slug"))
CLIENT = by_key("client", "client", names_of(Client.objects.all(), "name"))
PARAMETERS: Mapping[type[Model], Sequence[Filter]] = {
    Transaction: (
        Filter("q", list, lambda term, _: Q(pk__in=find_ids(term))),
        by_field("status", Status.choices),
        by_field("submission", Submission.choices),
        by_field("review", Review.choices, any=("for any reason", ~Q(review=""))),
        PROVIDER,
        CLIENT,
        by_options("age", _ages),
        by_options("stuck", _stuck),
    ),
    Job: (
        Filter("q", list, lambda term, _: Q(pk=as_number(term)) | Q(transaction_id__in=find_ids(term))),
        by_field("state", JobState.choices),
        by_options("kind", lambda _: {kind.name: (kind.name, Q(kind=kind.name)) for kind in kinds.all_kinds()}),
        Filter("lane", _lanes, _in_lane),
        by_options("due", lambda now: {"1": ("now", Q(state=JobState.WAITING, run_at__lte=now))}),
    ),
    Webhook: (
        Filter("q", list, lambda term, _: webhooks_known_as(term)),
        by_field("result", Webhook.Result.choices),
        PROVIDER,
    ),
    RefusalCount: (PROVIDER,),
    LogEntry: (
        by_key("by", "user", names_of(User.objects.filter(is_staff=True), "username")),
        by_key("on", "content_type", _models_of_pages),
    ),
}
FILTERS = {model: {each.name: each for each in found} for model, found in PARAMETERS.items()}
"""The parameters of each list, by name; `q` is the search."""
