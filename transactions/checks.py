"""System check of the setting of stalled transactions."""

from collections.abc import Iterator

from django.conf import settings

from workers.foundation.checks import Rule, register_rules


@register_rules
def stalled() -> Iterator[Rule]:
    hint = "Set the seconds without a usable answer after which a transaction is flagged as stalled, such as 300"
    yield settings.STALLED_AFTER < 1, "transactions.E001", "STALLED_AFTER is less than 1", hint
