"""What one thing that staff may do is, and the one way to do it: locked, judged again, on the record, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from django import forms
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Model, QuerySet

from transactions.models import Event, Provider, Transaction
from transactions.status import Source
from workers.announce import announce
from workers.models import Job
from workers.registry import Wake

log = structlog.get_logger(__name__)

GONE = "it does not exist any more"


class Refused(Exception):
    """Why nothing was done; what was begun is taken back."""


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody has pressed a button: who, why, and what else the form gave. `of`: the transaction that it is about."""

    by: User
    reason: str
    row: Any
    of: Transaction | None
    given: Mapping[str, Any] = field(default_factory=dict)

    def note(self, what: str, **detail: Any) -> None:
        """Write down what is done, in the words of "olga …": on the timeline and in the audit log."""
        if self.of is not None:
            told = {"who": self.by.get_username(), "what": what, "why": self.reason} | detail
            Event.objects.create(transaction=self.of, kind=Event.Kind.STAFF, source=Source.STAFF, detail=told)
        message = f"{what[0].upper()}{what[1:]}{f': {self.reason}' if self.reason else ''}"
        LogEntry.objects.log_actions(self.by.pk, [self.row], CHANGE, message, single_object=True)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that staff may do to a row."""

    name: str
    """Also the last part of its page's address."""
    label: str
    """The button."""
    permission: str
    on: type[Model]
    reason: bool
    """Whether a reason must be given. It is always recorded when it is."""
    judge: Callable[[Any], str]
    """Empty when it may be done to this row now; else the sentence why not. A query or two at the most."""
    explain: Callable[[Any], str]
    """What will happen, in words, for this row."""
    effect: Callable[[Any, Press], Sequence[Wake]]
    """Notes it and does it, in the database transaction that holds the row's lock; returns the lanes that have work
    now. Raises Refused."""
    form: type[forms.Form] | None = None
    """What must be asked besides the reason."""
    bulk: bool = False
    """Whether it is offered for all rows of a list."""
    silent: bool = False
    """Whether pages leave it out where it cannot be done, as the reason is plain to see."""

    def run(
        self,
        *,
        pk: Any,
        by: User,
        reason: str = "",
        seen: int | None = None,
        along: Callable[[], None] = lambda: None,
        **given: Any,
    ) -> str:
        """Do it once; returns "" when it is done, else why nothing was.

        The row of the transaction is locked first, as by all news of it: what is judged here stays so until the commit.
        `seen` is `newest_deed` as it was when the person decided: whatever staff have done since then, twice the same
        button included, stops it. None: nothing of that kind is asked. `along` is written with what is done, or not at
        all. Raises ValueError without a reason that must be, and what `along` raises.
        """
        if self.reason and not (reason := reason.strip()):
            raise ValueError(f"{self.name} needs a reason")
        try:
            with transaction.atomic(durable=True):
                row, of = _locked(self.on, pk)
                if row is None:
                    return GONE
                if why := _overtaken(of, seen) or self.judge(row):
                    return why
                wakes = self.effect(row, Press(by, reason, row, of, given))
                along()
        except Refused as why:
            return str(why)
        announce(wakes)
        log.info(f"Staff: {self.label}", action=f"staff_{self.name}", row={"id": str(pk), "by": by.get_username()})
        return ""


def newest_deed(transaction_id: Any) -> int:
    """The number of the newest thing that staff did to a transaction; 0 for none."""
    deeds = Event.objects.filter(transaction=transaction_id, kind=Event.Kind.STAFF)
    return deeds.aggregate(newest=Max("pk"))["newest"] or 0


def transaction_of(row: Any) -> Transaction | None:
    """The transaction that a row is about: itself, or a job's."""
    if isinstance(row, Job):
        return _transactions().filter(pk=row.transaction_id).first()
    return row if isinstance(row, Transaction) else None


def _transactions() -> QuerySet[Transaction]:
    """The headers would be decrypted for each row."""
    return Transaction.objects.select_related("client", "provider").defer("provider__headers")


def _locked(on: type[Model], pk: Any) -> tuple[Any, Transaction | None]:
    """The row, locked, and the transaction that it is about, locked before it."""
    lock: dict[str, Any] = {"of": ("self",), "no_key": True}  # what only refers to the row need not wait
    if on is Transaction:
        of = _transactions().select_for_update(**lock).filter(pk=pk).first()
        return of, of
    if on is Job:
        named = Job.objects.filter(pk=pk).values("transaction_id")
        of = _transactions().select_for_update(**lock).filter(pk__in=named).first()
        return Job.objects.select_for_update(**lock).filter(pk=pk).first() if of else None, of
    rows = on._default_manager.defer("headers") if on is Provider else on._default_manager.all()
    return rows.select_for_update(**lock).filter(pk=pk).first(), None


def _overtaken(of: Transaction | None, seen: int | None) -> str:
    if of is None or seen is None or newest_deed(of.pk) == seen:
        return ""
    return "somebody has done something to this transaction since that page was opened: look at its timeline"
