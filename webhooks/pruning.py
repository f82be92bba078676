"""Pruning of old webhooks. One that is sent again after that is late: its transaction is final."""

from transactions.pruning import Sweep
from webhooks import sql

WEBHOOKS = Sweep(sql.PRUNE, ("webhooks",))
