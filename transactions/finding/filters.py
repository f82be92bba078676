"""What the parameters of a list mean. Each is one condition that an index serves; few values each, and none is gathered
from a big table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from transactions.finding.search import known_as
from transactions.ids import first_at
from transactions.models import Client, Provider, Transaction
from transactions.models.transactions import UNTOLD
from transactions.status import Review, Status, Submission
from workers import registry
from workers.ids import as_number
from workers.models import Job, JobState

NONE = Q(pk__in=[])
MOST_NAMES = 50
"""Names that a filter offers. For the others there is a link on the client's or provider's own page."""

Choices = Sequence[tuple[str, str]]
Meaning = Callable[[str, datetime], Q]
"""The rows that a value stands for at a time (UTC); one that is not known stands for none, never for all."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One parameter of a list; `choices` are the values that it offers, each with its label."""

    name: str
    choices: Callable[[], Choices]
    means: Meaning


class UnknownFilter(Exception):
    """A parameter that this list does not have. Leaving it out would mean more rows than were asked for."""


_filters: dict[type[Model], dict[str, Filter]] = {}


def register(model: type[Model], *filters: Filter) -> None:
    """Give a list its parameters."""
    _filters[model] = {each.name: each for each in filters}


def filters_of(model: type[Model]) -> list[Filter]:
    """A list's filters: its parameters but the search."""
    return [each for each in _filters[model].values() if each.name != "q"]


def condition(model: type[Model], name: str, value: str, now: datetime) -> Q:
    """What one parameter means. Raises UnknownFilter for one that the list does not have."""
    if (found := _filters[model].get(name)) is None:
        raise UnknownFilter(f"{name}: {UnknownFilter.__doc__}")
    return found.means(value, now)


def rows(model: type[Model], params: Mapping[str, str], *, now: datetime | None = None) -> QuerySet[Any]:
    """The rows of a list with these parameters, newest first. Ages are counted from `now` (UTC).

    Raises UnknownFilter.
    """
    found: QuerySet[Any] = model._default_manager.all()
    for name, value in params.items():
        found = found.filter(condition(model, name, value, now or timezone.now()))
    return found


def choice(name: str, choices: Choices) -> Filter:
    """By a field with few values."""
    known = {value for value, _ in choices}
    return Filter(name, lambda: choices, lambda value, _: Q((name, value)) if value in known else NONE)


def named(name: str, model: type[Model], by: str) -> Filter:
    """By a client or provider. Only names are read: loading providers would decrypt their headers."""

    def choices() -> Choices:
        names = model._default_manager.order_by(by).values_list("pk", by)[:MOST_NAMES]
        return [(str(key), label) for key, label in names]

    def means(value: str, _: datetime) -> Q:
        return Q((name, number)) if (number := as_number(value)) else NONE

    return Filter(name, choices, means)


AGES = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
STUCK = {"10m": timedelta(minutes=10), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
PROVIDER = named("provider", Provider, "slug")
CLIENT = named("client", Client, "name")


def _age(value: str, now: datetime) -> Q:
    if value == "older":
        return Q(pk__lt=first_at(now - AGES["week"]))
    return Q(pk__gte=first_at(now - AGES[value])) if value in AGES else NONE


def _stuck(value: str, now: datetime) -> Q:
    if value == "untold":
        return UNTOLD
    return Q(status=Status.PENDING, pk__lt=first_at(now - STUCK[value])) if value in STUCK else NONE


def _review(value: str, _: datetime) -> Q:
    if value == "any":
        return ~Q(review="")
    return Q(review=value) if value in Review else NONE


LANES = {"p": PROVIDER, "c": CLIENT}
"""Whose lane one is that begins so, before their number."""


def _lanes() -> Choices:
    return [(f"{begin}{key}", f"{of.name} {name}") for begin, of in LANES.items() for key, name in of.choices()]


def _lane(value: str, _: datetime) -> Q:
    """What waits or runs in it, each by an index that begins with the lane: what is over is in none any more."""
    if value[:1] not in LANES or not as_number(value[1:]):
        return NONE
    return Q(lane=value, state=JobState.WAITING) | Q(lane=value, state=JobState.RUNNING)


def _kinds() -> Choices:
    return [(kind.name, kind.name) for kind in registry.kinds()]


register(
    Transaction,
    Filter("q", list, lambda term, _: Q(pk__in=known_as(term))),
    choice("status", Status.choices),
    choice("submission", Submission.choices),
    Filter("review", lambda: [("any", "for any reason"), *Review.choices], _review),
    PROVIDER,
    CLIENT,
    Filter(
        "age",
        lambda: [("hour", "an hour at most"), ("day", "a day at most"), ("week", "a week at most"), ("older", "older")],
        _age,
    ),
    Filter(
        "stuck",
        lambda: [
            ("10m", "pending for 10 minutes"),
            ("1h", "pending for an hour"),
            ("1d", "pending for a day"),
            ("untold", "final, and the client not told"),
        ],
        _stuck,
    ),
)
register(
    Job,
    Filter("q", list, lambda term, _: Q(pk=as_number(term)) | Q(transaction_id__in=known_as(term))),
    choice("state", JobState.choices),
    Filter("kind", _kinds, lambda value, _: Q(kind=value) if (value, value) in _kinds() else NONE),
    Filter("lane", _lanes, _lane),
    Filter(
        "due",
        lambda: [("1", "now")],
        lambda value, now: Q(state=JobState.WAITING, run_at__lte=now) if value == "1" else NONE,
    ),
)
