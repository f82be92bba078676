"""Loss of commits, as by a failover to a replica that lagged: the newest transactions disappear with all their rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.faults import Scene

NEWEST = 40
"""Number of transactions that are lost."""
SERIAL = ("workers_job", "workers_outboundcall", "transactions_event", "webhooks_webhook")
"""Tables whose numbers repeat afterwards."""

LOSE = f"""
LOCK TABLE transactions_transaction, {", ".join(SERIAL)} IN ACCESS EXCLUSIVE MODE;
CREATE TEMPORARY TABLE lost ON COMMIT DROP AS
    SELECT id, client_ref FROM transactions_transaction ORDER BY sort_id DESC LIMIT {NEWEST};
DELETE FROM workers_outboundcall WHERE transaction_id IN (SELECT id FROM lost);
DELETE FROM workers_job WHERE transaction_id IN (SELECT id FROM lost);
DELETE FROM transactions_event WHERE transaction_id IN (SELECT id FROM lost);
DELETE FROM webhooks_webhook WHERE transaction_id IN (SELECT id FROM lost);
DELETE FROM transactions_transaction WHERE id IN (SELECT id FROM lost);
{"".join(f"SELECT setval('{it}_id_seq', (SELECT coalesce(max(id), 1) FROM {it}));" for it in SERIAL)}
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend';
SELECT client_ref FROM lost
"""  # noqa: S608  only constants are put into the statements


def lose(scene: Scene) -> None:
    """Delete the newest transactions, set the sequences back, end all sessions; have the clients post them again."""
    scene.kills.append(time.time())
    refs = [ref for (ref,) in scene.execute(LOSE)]
    scene.lost.update(refs)
    scene.post_again(refs)
