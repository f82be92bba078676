"""Rows for the benchmarks.

`make` creates waiting transactions: created at their provider, `pending` notified, next poll hours away. `mix` turns
them into data for lists: most are final and notified, other states are rare, and the rare rows are old.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

CHUNK = 100_000
"""Number of transactions that one statement creates."""
BYTES = 3_000
"""Approximate disk space of one transaction: its rows, their indexes, and the WAL of both."""

MAKE = """
-- Spread the transactions evenly over the providers, the clients and the last 20 hours, and their polls over the 23
-- hours that begin in an hour. Ids are random; `sort_id` is of version 7 and ordered by time, as in the service.
WITH wanted AS MATERIALIZED (
    SELECT n, now() - ((%(of)s - n) * 20.0 / %(of)s) * interval '1 hour' AS at,
           (%(clients)s::bigint[])[1 + n %% cardinality(%(clients)s::bigint[])] AS client,
           (%(providers)s::bigint[])[1 + n %% cardinality(%(providers)s::bigint[])] AS provider
    FROM generate_series(%(first)s, %(last)s) AS n
), named AS MATERIALIZED (
    SELECT *, lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') AS ms,
           substr(gen_random_uuid()::text, 16) AS tail
    FROM wanted
), made AS (
    INSERT INTO transactions_transaction
        (id, client_id, client_ref, provider_id, amount, currency, reference, metadata, status, submission, review,
         sequence, failure_code, failure_detail, create_began_at, created_at, updated_at, notified_sequence,
         notified_at, sort_id)
    SELECT gen_random_uuid(), client, 'waiting-' || n, provider,
           100 + n, 'EUR', 'Invoice ' || n, '{"cart": "c-1"}', 'pending', 'created', '', 1, '', '', at, at, at, 1,
           at + interval '300 ms', (substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7' || tail)::uuid
    FROM named
    RETURNING id, client_id, provider_id, created_at
), events AS (
    INSERT INTO transactions_event (transaction_id, at, kind, status, sequence, source, detail)
    SELECT id, created_at, 'status', 'pending', 1, 'api', '{}' FROM made
), created AS (
    INSERT INTO workers_job
        (transaction_id, kind, key, lane, share, state, run_at, claim_count, created_at, updated_at)
    SELECT id, 'create', '', 'p' || provider_id, client_id, 'done', created_at, 1, created_at,
           created_at + interval '2 s'
    FROM made
    RETURNING id, transaction_id, created_at
), calls AS (
    INSERT INTO workers_outboundcall
        (job_id, transaction_id, attempt, started_at, duration_ms, method, url, http_status, error, excerpt)
    SELECT id, transaction_id, 1, created_at, 1900, 'POST', 'https://third.example/transactions', 201, '',
           '{"id": "' || transaction_id || '", "status": "pending"}'
    FROM created
)
INSERT INTO workers_job
    (transaction_id, kind, key, lane, share, state, run_at, claim_count, tries, created_at, updated_at)
SELECT id, 'track', '', 'p' || provider_id, client_id, 'waiting', now() + (1 + 23 * random()) * interval '1 hour',
       14, 13, created_at, now()
FROM made
UNION ALL
SELECT id, 'notify', 'seq:1', 'c' || client_id, client_id, 'done', created_at + interval '200 ms', 1, 0, created_at,
       created_at + interval '300 ms'
FROM made
"""

MIX = """
-- The number in the client's id determines the state. One transaction in twenty is still pending, one in a thousand has
-- failed, and the client was never notified of three. The ten oldest belong to the last provider, the provider before
-- it has none, and the first two have the older half.
UPDATE transactions_transaction t
SET status = now.status, submission = now.submission, review = now.review, provider_id = now.provider,
    sequence = 1 + (now.status <> 'pending')::int,
    finalised_at = CASE WHEN now.status <> 'pending' THEN t.created_at + interval '2 s' END,
    notified_sequence = 1 + (now.status <> 'pending' AND n NOT IN (60, 70, 80))::int,
    failure_code = CASE WHEN now.status = 'failed' THEN 'refused' ELSE '' END
FROM (
    SELECT id AS key, substr(client_ref, 9)::int AS n FROM transactions_transaction WHERE client_ref LIKE 'waiting-%%'
) AS named
CROSS JOIN LATERAL (SELECT
    CASE WHEN n %% 1000 = 13 THEN 'failed' WHEN n %% 100 < 5 THEN 'pending' WHEN n %% 100 < 12 THEN 'declined'
         ELSE 'completed' END AS status,
    CASE WHEN n %% 1000 = 13 THEN 'refused' WHEN n <= 3 THEN 'unsent' WHEN n %% 5000 = 1 THEN 'unknown'
         ELSE 'created' END AS submission,
    CASE WHEN n IN (20, 30) THEN 'contradiction' WHEN n %% 100 = 4 AND n < %(of)s / 2 THEN 'overdue'
         ELSE '' END AS review,
    (%(providers)s::bigint[])[CASE WHEN n <= 10 THEN 5 WHEN n <= %(of)s / 2 THEN 1 + n %% 2 ELSE 3 END] AS provider
) AS now
WHERE t.id = named.key
"""
MIX_JOBS = """
-- Polling ended with the final status; a few jobs failed.
UPDATE workers_job j
SET state = CASE WHEN substr(t.client_ref, 9)::int %% 5000 = 7 THEN 'failed' ELSE 'cancelled' END
FROM transactions_transaction t
WHERE t.id = j.transaction_id AND j.kind = 'track' AND t.status <> 'pending'
"""
MIX_WEBHOOKS = """
-- One webhook for each final transaction; two of them contradict.
INSERT INTO webhooks_webhook (provider_id, webhook_id, transaction_id, given_id, word, result, body, received_at)
SELECT provider_id, 'sha256:' || encode(sha256(id::text::bytea), 'hex'), id, id, status,
       CASE WHEN client_ref IN ('waiting-20', 'waiting-30') THEN 'contradicting' ELSE 'applied' END, '{}', finalised_at
FROM transactions_transaction
WHERE status <> 'pending'
ORDER BY sort_id
"""


def make(
    count: int, *, providers: Sequence[int], clients: Sequence[int], have: int, show: Callable[[int], Any]
) -> None:
    """Create transactions until there are `count`, if there are `have` now. Call `show` with the number so far."""
    given: dict[str, Any] = {"of": count, "providers": list(providers), "clients": list(clients)}
    with connection.cursor() as cursor:
        for first in range(have + 1, count + 1, CHUNK):
            last = min(first + CHUNK - 1, count)
            cursor.execute(MAKE, given | {"first": first, "last": last})
            show(last)


MAKE_DUE = """
-- As after a pause of the providers for hours: all waiting jobs are due, in random order.
UPDATE workers_job SET run_at = now() - random() * interval '3 hours' WHERE state = 'waiting'
"""


def make_due() -> None:
    """Make all waiting jobs due."""
    with connection.cursor() as cursor:
        cursor.execute(MAKE_DUE)


def forget_statistics() -> None:
    """Delete the planner's statistics, except for the row counts."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_statistic")


def mix(*, of: int, providers: Sequence[int]) -> None:
    """Complete most of the `of` waiting transactions of five providers."""
    with connection.cursor() as cursor:
        for statement in (MIX, MIX_JOBS, MIX_WEBHOOKS):
            cursor.execute(statement, {"of": of, "providers": list(providers)})
        cursor.execute("VACUUM ANALYZE")  # as the server does by itself, in time


def analyze() -> None:
    """Have the planner know of the rows there are."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
