"""SQL for webhooks. Each statement has a name, a reason and a test."""

# ruff: noqa: S608  only constants are put into the statements
from transactions.sql import CLOSED

# Record an authentic webhook and its effect. Returns no row for a repeated one; the caller then rolls back its effect.
# One that had no effect is recorded anew when it has one: providers repeat it after its settings are corrected.
RECORD = """
INSERT INTO webhooks_webhook AS w
    (provider_id, webhook_id, transaction_id, given_id, word, result, body, received_at)
VALUES (%(provider)s, %(webhook_id)s, %(transaction)s, %(given_id)s, %(word)s, %(result)s, %(body)s, clock_timestamp())
ON CONFLICT (provider_id, webhook_id) DO UPDATE SET
    transaction_id = excluded.transaction_id, given_id = excluded.given_id, word = excluded.word,
    result = excluded.result, body = excluded.body, received_at = excluded.received_at, repeats = w.repeats + 1
WHERE w.result IN ('ignored', 'unmatched') AND excluded.result NOT IN ('ignored', 'unmatched')
RETURNING id
"""

# The next webhooks that matched no transaction, with the ids in them.
UNMATCHED = """
SELECT id, provider_id, given_id FROM webhooks_webhook WHERE result = 'unmatched' AND id > %(after)s
ORDER BY id LIMIT %(most)s
"""

# The number of unmatched webhooks of the last day, up to `most`; the index gives the newest ones first.
COUNT_UNMATCHED = """
SELECT count(*) FILTER (WHERE received_at > statement_timestamp() - interval '1 day')
FROM (
    SELECT received_at FROM webhooks_webhook WHERE result = 'unmatched' ORDER BY id DESC LIMIT %(most)s
) AS newest
"""

# Count the repetition of a recorded webhook.
REPEATED = """
UPDATE webhooks_webhook SET repeats = repeats + 1 WHERE provider_id = %(provider)s AND webhook_id = %(webhook_id)s
"""

# Add to the counts of refused webhooks by provider, day and reason. Rows are written in one order, so that no two
# processes deadlock, and without waiting for the disk. Counts of a provider that was deleted meanwhile are dropped.
REFUSED = """
INSERT INTO webhooks_refusalcount AS r (provider_id, day, reason, count, last_at)
SELECT provider, (now() AT TIME ZONE 'utc')::date, reason, count, now()
FROM unnest(%(providers)s::bigint[], %(reasons)s::text[], %(counts)s::bigint[]) AS refused (provider, reason, count)
WHERE set_config('synchronous_commit', 'off', true) = 'off'
  AND (provider IS NULL OR EXISTS (SELECT FROM providers_provider p WHERE p.id = provider))
ORDER BY provider, reason
ON CONFLICT (coalesce(provider_id, 0), day, reason) DO UPDATE SET count = r.count + excluded.count, last_at = now()
"""

# Delete the old ones among the next webhooks by id, unless their transaction is still open; with `delete` false, only
# count them. As `transactions.sql.PRUNE_JOBS`.
PRUNE = f"""
WITH seen AS MATERIALIZED (
    SELECT id, received_at >= %(before)s AS young FROM webhooks_webhook WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
), old AS (
    SELECT w.id FROM webhooks_webhook w LEFT JOIN transactions_transaction t ON t.id = w.transaction_id
    WHERE w.id = ANY (ARRAY(SELECT id FROM seen WHERE NOT young)) AND (w.transaction_id IS NULL OR {CLOSED})
    FOR UPDATE OF w SKIP LOCKED
), webhooks AS (
    DELETE FROM webhooks_webhook WHERE %(delete)s AND id = ANY (ARRAY(SELECT id FROM old))
)
SELECT max(id), count(*), coalesce(bool_or(young), false), (SELECT count(*) FROM old) FROM seen
"""
