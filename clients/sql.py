"""Hot-path SQL over clients. Each statement has a name, a reason and a test."""

# Record the use of an API key, at most once a minute. The request does not wait for a lock on the row or for the disk;
# a crash may lose the record.
RECORD_USE = """
UPDATE clients_apikey SET last_used_at = now()
WHERE set_config('synchronous_commit', 'off', true) = 'off' AND id = ANY (ARRAY(
    SELECT id FROM clients_apikey
    WHERE id = %(key)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
))
"""

# Record the results of a batch of deliveries: the first failure since the last success, the first success after that,
# and endpoints to disable; a failure before a jump of the clock counts from the jump. Only rows that change are locked
# and written, in the order of their ids, so that no two batches deadlock. Returns the clients whose row changed, with
# the reason if the statement disabled the endpoint.
ENDPOINTS = """
WITH delivered AS (
    SELECT * FROM jsonb_to_recordset(%(deliveries)s) AS t(id bigint, confirmed boolean, gone boolean)
), changing AS (
    SELECT c.id, delivered.confirmed, verdict.why
    FROM clients_client c JOIN delivered USING (id), LATERAL (SELECT CASE
        WHEN c.endpoint_disabled_at IS NOT NULL THEN NULL
        WHEN delivered.gone THEN 'it answered 410 Gone'
        WHEN NOT delivered.confirmed
             AND greatest(c.endpoint_failing_since, (SELECT jumped_at FROM workers_clock))
                 <= clock_timestamp() - %(disable_after)s * interval '1 second' THEN %(why)s
    END AS why) AS verdict
    WHERE c.id = ANY (ARRAY(SELECT id FROM delivered))
      AND (delivered.confirmed = (c.endpoint_failing_since IS NOT NULL) OR verdict.why IS NOT NULL)
    ORDER BY c.id
    FOR NO KEY UPDATE OF c
)
UPDATE clients_client c
SET endpoint_failing_since = CASE WHEN NOT n.confirmed THEN coalesce(c.endpoint_failing_since, clock_timestamp()) END,
    endpoint_disabled_at = CASE WHEN n.why IS NULL THEN c.endpoint_disabled_at ELSE clock_timestamp() END,
    endpoint_disabled_why = coalesce(n.why, c.endpoint_disabled_why)
FROM changing n
WHERE c.id = n.id AND c.id = ANY (ARRAY(SELECT id FROM delivered))
RETURNING c.name, n.why
"""
