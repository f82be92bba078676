"""Hot-path SQL over clients. Each statement has a name, a reason and a test."""

# An API key was used: recorded once a minute by one process. The request waits neither for a lock on the row nor for
# the disk; a crash may lose the record.
RECORD_USE = """
UPDATE clients_apikey SET last_used_at = now()
WHERE set_config('synchronous_commit', 'off', true) = 'off' AND id = ANY (ARRAY(
    SELECT id FROM clients_apikey
    WHERE id = %(key)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
))
"""

# Record what a batch of deliveries says about the clients' endpoints: the first failure since the last success, the
# first success after that, and endpoints to disable. A row that does not change is neither written nor locked; rows
# are locked in the order of their ids, so that no two batches deadlock. Returns the clients whose row changed, with
# the reason where the endpoint is disabled now.
ENDPOINTS = """
WITH delivered AS (
    SELECT * FROM jsonb_to_recordset(%(deliveries)s) AS t(id bigint, confirmed boolean, gone boolean)
), changing AS (
    SELECT c.id, delivered.confirmed, verdict.why
    FROM clients_client c JOIN delivered USING (id), LATERAL (SELECT CASE
        WHEN c.endpoint_disabled_at IS NOT NULL THEN NULL
        WHEN delivered.gone THEN 'it answered 410 Gone'
        WHEN NOT delivered.confirmed
             AND c.endpoint_failing_since <= clock_timestamp() - %(disable_after)s * interval '1 second' THEN %(why)s
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
