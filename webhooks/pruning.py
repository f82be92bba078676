"""Forgetting old webhooks. One that comes again after that is judged anew: its transaction is final."""

from transactions.pruning import Sweep
from webhooks import sql

WEBHOOKS = Sweep(sql.PRUNE, sql.COUNT_OLD, ("webhooks",))
