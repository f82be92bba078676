"""The actions that staff can run on a row, and the way to run one: locked, checked again, recorded, once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from django import forms
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model, QuerySet

from operators.audit import Refused, record, refuse_outdated
from providers.models import Provider
from transactions.models import Event, Transaction
from transactions.status import Source
from workers.announce import announce
from workers.breaker import is_open
from workers.models import Job
from workers.outcomes import Wake

log = structlog.get_logger(__name__)

GONE = "it does not exist any more"


class ActionContext(NamedTuple):
    """One run of an action: the user, the reason, the locked row and the other fields of the form.

    `of` is the transaction that the row is or belongs to, None for a provider or client.
    """

    by: User
    reason: str
    row: Any
    of: Transaction | None
    given: Mapping[str, Any]

    def note(self, what: str, **detail: Any) -> None:
        """Record the action on the timeline and in the audit log; `what` follows the user's name: "paused …"."""
        if self.of is not None:
            said = {"who": self.by.get_username(), "what": what, "why": self.reason} | detail
            if isinstance(self.row, Job):
                said["job"] = self.row.pk  # `newest_entry` reads it
            Event.objects.create(transaction=self.of, kind=Event.Kind.STAFF, source=Source.STAFF, detail=said)
        record(self.by, self.row, f"{what[0].upper()}{what[1:]}{f': {self.reason}' if self.reason else ''}")


Steps = Generator[str, ActionContext, Iterable[Wake]]
"""An action on one row, in three steps. Pages take the first two only, a run takes all three.

1. Raise Refused if the action is not possible now.
2. Yield what the action will do, in sentences, and receive the context of the run. Up to here it takes three queries
   at the most and changes nothing.
3. Record the action and do it, in the database transaction that holds the row's lock. Return the lanes that have due
   jobs now. This step may raise Refused, too.
"""


@dataclass(frozen=True, slots=True)
class Action:
    """An action that staff can run on a row."""

    on: type[Model]
    label: str
    """Text of the button."""
    steps: Callable[[Any], Steps]
    name: str
    """Also the last part of the URL of its page."""
    permission: str
    reason: bool = True
    """True if a reason is required. A reason that is given is always recorded."""
    form: type[forms.Form] | None = None
    """Fields of the form besides the reason."""
    bulk: bool = False
    """True if it is offered for all rows of a list."""
    silent: bool = False
    """True if pages omit it while it is not possible, because the reason is evident."""

    def explain(self, row: Any) -> str:
        """Return what the action will do to this row, in sentences. Raises Refused if it is not possible now."""
        return next(self.steps(row))

    def blocked_reason(self, row: Any) -> str:
        """Return why the action is not possible on this row now, "" if it is possible."""
        try:
            self.explain(row)
        except Refused as why:
            return str(why)
        return ""

    def run(
        self,
        *,
        pk: Any,
        by: User,
        reason: str = "",
        seen: int | None = None,
        in_transaction: Callable[[], None] = lambda: None,
        **given: Any,
    ) -> str:
        """Run the action once. Returns "" when it is done, else the reason why nothing was done.

        Locks the row of the transaction first, as observations do: what the first step has checked holds until the
        commit. `seen` is the `newest_entry` about the row's subject when the form was made: the action is refused after
        any change by staff since then, such as the same form submitted before. None skips that check. `in_transaction`
        is called after the last step, and committed or rolled back with it. Raises ValueError if a required reason is
        missing, and what `in_transaction` raises.
        """
        if self.reason and not (reason := reason.strip()):
            raise ValueError(f"{self.name} needs a reason")
        try:
            with transaction.atomic(durable=True):
                row, of = _locked(self.on, pk)
                if row is None:
                    return GONE
                refuse_outdated(of or row, seen)
                steps = self.steps(row)
                next(steps)
                try:
                    steps.send(ActionContext(by, reason, row, of, given))
                except StopIteration as end:
                    wakes: Iterable[Wake] = end.value
                in_transaction()
        except Refused as why:
            return str(why)
        announce(wakes)
        log.info(f"Staff: {self.label}", action=f"staff_{self.name}", row={"id": str(pk), "by": by.get_username()})
        return ""


def action(on: type[Model], label: str, **options: Any) -> Callable[[Callable[[Any], Steps]], Action]:
    """Turn a function into an `Action` with its name; `options` are further fields of the action.

    The permission defaults to the one with this name, of the app of `on`.
    """

    def turned(steps: Callable[[Any], Steps]) -> Action:
        names = {"name": steps.__name__, "permission": f"{on._meta.app_label}.{steps.__name__}"}
        return Action(on, label, steps, **names | options)

    return turned


def obstacle(of: Transaction, kind: str) -> str:
    """Return why jobs of this kind wait, "" if nothing holds them up. Reads the client, or the provider and breaker."""
    if kind == "notify":
        if of.client.endpoint_disabled_at:
            return f", as soon as {of.client}'s endpoint is enabled again"
        return f", as soon as {of.client} has a valid callback secret" if of.client.lacks_secret else ""
    if of.provider.paused:
        return f", as soon as {of.provider} is resumed"
    held_back = of.provider.circuit_breaker and is_open(of.provider.lane, kind)
    return f", as soon as {of.provider} answers again: its circuit breaker is open" if held_back else ""


def transaction_of(row: Any) -> Transaction | None:
    """Return the transaction that a row is or belongs to; None for a provider or client."""
    if isinstance(row, Job):
        return _transactions().filter(pk=row.transaction_id).first()
    return row if isinstance(row, Transaction) else None


def _transactions() -> QuerySet[Transaction]:
    """Return transactions without their provider's headers, which would be decrypted for each row."""
    return Transaction.objects.select_related("client", "provider").defer("provider__headers")


def _locked(on: type[Model], pk: Any) -> tuple[Any, Transaction | None]:
    """Return the locked row and its transaction, which is locked before it."""
    lock: dict[str, Any] = {"of": ("self",), "no_key": True}  # inserts of rows that refer to it do not wait
    if on is Transaction:
        of = _transactions().select_for_update(**lock).filter(pk=pk).first()
        return of, of
    if on is Job:
        named = Job.objects.filter(pk=pk).values("transaction_id")
        of = _transactions().select_for_update(**lock).filter(pk__in=named).first()
        return Job.objects.select_for_update(**lock).filter(pk=pk).first() if of else None, of
    rows = on._default_manager.defer("headers") if on is Provider else on._default_manager.all()
    return rows.select_for_update(**lock).filter(pk=pk).first(), None
