"""The webhook path's SQL. Each statement has a name, a reason, a test."""

# ruff: noqa: S608  only constants are put into the statements
from transactions.sql import CLOSED

RECORD = """
-- An authentic webhook and what it did; a repeated one only counts, and the caller takes back what it applied.
-- Returns whether it is new.
INSERT INTO webhooks_webhook AS w
    (provider_id, webhook_id, transaction_id, given_id, word, result, body, received_at)
VALUES (%(provider)s, %(webhook_id)s, %(transaction)s, %(given_id)s, %(word)s, %(result)s, %(body)s, clock_timestamp())
ON CONFLICT (provider_id, webhook_id) DO NOTHING
RETURNING id
"""

REPEATED = """
-- A webhook that was recorded before has come again.
UPDATE webhooks_webhook SET repeats = repeats + 1 WHERE provider_id = %(provider)s AND webhook_id = %(webhook_id)s
"""

REFUSED = """
-- One more refused webhook of this provider, day and reason.
INSERT INTO webhooks_refusalcount AS r (provider_id, day, reason, count, last_at)
VALUES (%(provider)s, (now() AT TIME ZONE 'utc')::date, %(reason)s, 1, now())
ON CONFLICT (coalesce(provider_id, 0), day, reason) DO UPDATE SET count = r.count + 1, last_at = now()
"""

ENDPOINTS = """
-- What a batch of deliveries tells of the clients' endpoints: the first failure since the last success, the first
-- success after that, and the end of patience. Where nothing changes no row is written or locked; rows are locked in
-- the order of their ids, so that no two batches deadlock. Returns the clients whose row changed, with the reason
-- where the endpoint is disabled now.
WITH told AS (
    SELECT * FROM jsonb_to_recordset(%(told)s) AS t(id bigint, confirmed boolean, gone boolean)
), changing AS (
    SELECT c.id, told.confirmed, verdict.why
    FROM transactions_client c JOIN told USING (id), LATERAL (SELECT CASE
        WHEN c.endpoint_disabled_at IS NOT NULL THEN NULL
        WHEN told.gone THEN 'it answered 410 Gone'
        WHEN NOT told.confirmed
             AND c.endpoint_failing_since <= clock_timestamp() - %(patience)s * interval '1 second' THEN %(why)s
    END AS why) AS verdict
    WHERE c.id = ANY (ARRAY(SELECT id FROM told))
      AND (told.confirmed = (c.endpoint_failing_since IS NOT NULL) OR verdict.why IS NOT NULL)
    ORDER BY c.id
    FOR NO KEY UPDATE OF c
)
UPDATE transactions_client c
SET endpoint_failing_since = CASE WHEN NOT n.confirmed THEN coalesce(c.endpoint_failing_since, clock_timestamp()) END,
    endpoint_disabled_at = CASE WHEN n.why IS NULL THEN c.endpoint_disabled_at ELSE clock_timestamp() END,
    endpoint_disabled_why = coalesce(n.why, c.endpoint_disabled_why)
FROM changing n
WHERE c.id = n.id AND c.id = ANY (ARRAY(SELECT id FROM told))
RETURNING c.name, n.why
"""

_OLD = f"""
WITH seen AS MATERIALIZED (
    SELECT id, received_at >= %(before)s AS young FROM webhooks_webhook WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
), old AS (
    SELECT w.id FROM webhooks_webhook w LEFT JOIN transactions_transaction t ON t.id = w.transaction_id
    WHERE w.id = ANY (ARRAY(SELECT id FROM seen WHERE NOT young)) AND (w.transaction_id IS NULL OR {CLOSED})
"""

PRUNE = (
    """
-- The next webhooks by number: the old ones go, unless their transaction is not over. As `transactions.sql.PRUNE_JOBS`.
"""
    + _OLD
    + """
    FOR UPDATE OF w SKIP LOCKED
), webhooks AS (
    DELETE FROM webhooks_webhook WHERE id = ANY (ARRAY(SELECT id FROM old)) RETURNING 1
)
SELECT max(id), count(*), coalesce(bool_or(young), false), (SELECT count(*) FROM webhooks) FROM seen
"""
)

COUNT_OLD = (
    """
-- What PRUNE would delete.
"""
    + _OLD
    + """
)
SELECT max(id), count(*), coalesce(bool_or(young), false), (SELECT count(*) FROM old) FROM seen
"""
)
