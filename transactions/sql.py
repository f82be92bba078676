"""Hot-path SQL over transactions: accept, find, apply observations, read snapshots.

Each statement has a name, a reason and a test. A batch travels as one JSON parameter; `workers.sql` explains why its
rows are then found by `= ANY (ARRAY(SELECT …))`, and why a state is compared as `coalesce(state)`.
"""

from workers.lanes import Lane

# ruff: noqa: S608  only constants are put into the statements
_COLUMNS = """id, client_id, client_ref, provider_id, amount, currency, reference, metadata, status, submission,
       sequence, failure_code, failure_detail, created_at, updated_at, finalised_at"""

# Insert the transaction, the first entry of its timeline and its three jobs; nothing if the client's id is taken.
# `pending` has a notification job of its own in the client's lane, so a slow or paused provider cannot delay it; a
# final status before then cancels that job.
ACCEPT = f"""
WITH accepted AS (
    INSERT INTO transactions_transaction
        (id, client_id, client_ref, provider_id, amount, currency, reference, metadata, status, submission, review,
         sequence, failure_code, failure_detail, created_at, updated_at, sort_id)
    VALUES (%(id)s, %(client)s, %(client_ref)s, %(provider)s, %(amount)s, %(currency)s, %(reference)s, %(metadata)s,
            'pending', 'unsent', '', 1, '', '', now(), now(), %(sort_id)s)
    ON CONFLICT DO NOTHING  -- on the id as well, which simultaneous POSTs share: either index may notice the other one
    RETURNING {_COLUMNS}
), began AS (
    INSERT INTO transactions_event (transaction_id, at, kind, status, sequence, source, detail)
    SELECT id, created_at, 'status', 'pending', 1, 'api', '{{}}' FROM accepted
), jobs AS (
    INSERT INTO workers_job (transaction_id, kind, key, lane, share, run_at)
    SELECT accepted.id, job.kind, job.key, job.lane, accepted.client_id,
           accepted.created_at + job.after * interval '1 second'
    FROM accepted, (VALUES
        ('create', '', %(provider_lane)s, 0.0),
        ('track', '', %(provider_lane)s, %(first_poll)s),
        ('notify', 'seq:1', %(client_lane)s, %(pending_after)s)
    ) AS job(kind, key, lane, after)
)
SELECT {_COLUMNS} FROM accepted
"""

# One transaction of one client, by the client's own id.
BY_CLIENT_REF = f"""
SELECT {_COLUMNS} FROM transactions_transaction WHERE client_id = %(client)s AND client_ref = %(client_ref)s
"""


# Lock all transactions of a settle in the order of their ids, before several statements change them: no deadlocks.
LOCK = """
SELECT 1 FROM transactions_transaction WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR UPDATE
"""

# Apply observations in one statement: compare-and-set of the status, the timeline, the jobs that follow.
# At most one observation a transaction. Rows are locked in the order of their ids, so that no two batches deadlock.
#  * status: the first final one wins; a different one after it is a contradiction, which is recorded and flagged.
#    Staff may then decide between the two: their status replaces a contradicted one and never contradicts.
#  * submission: moves forward only (unsent -> unknown -> created or refused).
#  * review: an answer that can be used ends those that pass by themselves (`transactions.status.PASSING`).
#  * a final status cancels the waiting create, poll and `pending` notification, and schedules its own notification.
#  * an observation by a provider (`provider` given) counts for that provider's transactions only.
APPLY = f"""
WITH observed AS (
    SELECT * FROM jsonb_to_recordset(%(observations)s) AS o(
        id uuid, status text, submission text, source text, detail jsonb, review text, began_at timestamptz,
        saved_at timestamptz, failure_code text, failure_detail text, provider bigint, usable boolean, note text)
), was AS (
    SELECT t.id, t.provider_id, t.status, t.submission, t.review FROM transactions_transaction t
    WHERE t.id = ANY (ARRAY(SELECT id FROM observed))
    ORDER BY t.id
    FOR UPDATE
), judged AS (
    SELECT o.*, was.status AS before, was.review AS review_before,
           o.status <> 'pending' AND o.status <> was.status
           AND (was.status = 'pending' OR o.source = 'staff' AND was.review = 'contradiction') AS wins,
           was.status <> 'pending' AND o.status <> 'pending' AND o.status <> was.status
           AND o.source <> 'staff' AS contradicts,
           -- A passing review ends with an answer that can be used, or gives way to one that staff must resolve.
           was.review IN ('unreadable', 'denied', 'stalled', 'missing')
           AND (o.usable IS TRUE AND (was.review <> 'missing' OR o.submission = 'created')
                OR o.review NOT IN ('', 'unreadable', 'denied', 'stalled', 'missing')) AS passes,
           clock_timestamp() AS at,
           -- More than a second is a jump of the clock while the create ran; less is the time that this write took.
           o.began_at + CASE WHEN abs(extract(epoch FROM clock_timestamp() - o.saved_at)) > 1
                             THEN clock_timestamp() - o.saved_at ELSE interval '0' END AS began
    FROM was JOIN observed o USING (id)
    WHERE o.provider IS NULL OR o.provider = was.provider_id
), ruled AS (
    -- A final status settles every review but two: a contradiction, and a word that status_map lacks.
    SELECT *, review_before = '' OR passes OR wins AND review_before <> 'unmapped' AS reviews FROM judged
), changed AS (
    UPDATE transactions_transaction t
    SET status = CASE WHEN j.wins THEN j.status ELSE t.status END,
        sequence = t.sequence + j.wins::int,
        finalised_at = CASE WHEN j.wins THEN j.at ELSE t.finalised_at END,
        failure_code = CASE WHEN j.wins THEN j.failure_code ELSE t.failure_code END,
        failure_detail = CASE WHEN j.wins THEN j.failure_detail ELSE t.failure_detail END,
        submission = CASE WHEN t.submission IN ('unsent', 'unknown') THEN coalesce(j.submission, t.submission)
                          ELSE t.submission END,
        review = CASE WHEN j.contradicts THEN 'contradiction' WHEN j.reviews THEN j.review ELSE t.review END,
        review_why = CASE WHEN j.contradicts THEN 'its other status is ' || j.status
                          WHEN j.reviews AND j.review = '' THEN ''
                          WHEN j.reviews THEN left(coalesce(j.detail->>'why', j.detail->>'word', ''), 500)
                          ELSE t.review_why END,
        stuck_since = CASE WHEN j.usable OR j.wins THEN NULL
                           WHEN NOT j.usable AND t.status = 'pending' THEN coalesce(t.stuck_since, j.at)
                           ELSE t.stuck_since END,
        -- A time in the future is one from before the clock went back: the new create began later.
        create_began_at = CASE WHEN j.began IS NOT NULL AND t.create_began_at > j.at THEN j.began
                               ELSE greatest(t.create_began_at, j.began) END,
        seen_at = CASE WHEN j.submission = 'created' AND t.status = 'pending' THEN j.at ELSE t.seen_at END,
        updated_at = CASE WHEN j.wins THEN j.at ELSE t.updated_at END
    FROM ruled j
    WHERE t.id = j.id AND t.id = ANY (ARRAY(SELECT id FROM observed))
    RETURNING t.id, t.client_id, t.status, t.sequence, t.review, j.before, j.wins, j.contradicts, j.status AS other,
              j.source, j.detail, j.note, j.review_before, j.at
), timeline AS (
    INSERT INTO transactions_event (transaction_id, at, kind, status, sequence, source, detail)
    SELECT id, at, 'status', status, sequence, source, detail FROM changed WHERE wins
    UNION ALL
    SELECT id, at, 'contradiction', other, NULL, source, detail FROM changed WHERE contradicts
    UNION ALL
    SELECT id, at, 'review', '', NULL, source, detail || jsonb_build_object('review', review)
    FROM changed WHERE review <> review_before AND review <> '' AND NOT contradicts
    UNION ALL
    SELECT id, at, 'review', '', NULL, source, jsonb_build_object('review', '', 'was', review_before)
    FROM changed WHERE review_before <> '' AND review = '' AND NOT wins
    UNION ALL
    SELECT id, at, 'note', '', NULL, source, jsonb_build_object('why', note)
    FROM changed WHERE note <> '' AND NOT EXISTS (
        SELECT 1 FROM transactions_event e WHERE e.transaction_id = changed.id AND e.kind = 'note'
    )
), cancelled AS (
    UPDATE workers_job job
    SET state = 'cancelled', updated_at = clock_timestamp(), last_error = 'the transaction became final first'
    WHERE job.transaction_id = ANY (ARRAY(SELECT id FROM changed WHERE wins)) AND coalesce(job.state) = 'waiting'
), notified AS (
    INSERT INTO workers_job (transaction_id, kind, key, lane, share, run_at)
    SELECT id, 'notify', 'seq:' || sequence, '{Lane.CLIENT}' || client_id, client_id, clock_timestamp()
    FROM changed WHERE wins
)
SELECT id, client_id, wins, contradicts, before FROM changed
"""

# The next pending transactions in order of time: their key for the walk, and the id of those without review that no job
# works on: no create or poll waits or runs, and staff have not cancelled the tracking. A batch reads `most` entries of
# the index on pending ones and probes the jobs of each.
JOBLESS = """
SELECT t.sort_id, CASE WHEN t.review = '' AND NOT EXISTS (
    SELECT 1 FROM workers_job j
    WHERE j.transaction_id = t.id
      AND (j.kind IN ('create', 'track') AND coalesce(j.state) IN ('waiting', 'running')
           OR j.kind = 'track' AND coalesce(j.state) = 'cancelled')
) THEN t.id END
FROM (
    SELECT id, sort_id, review FROM transactions_transaction
    WHERE status = 'pending' AND sort_id > %(after)s::uuid
    ORDER BY sort_id LIMIT %(most)s
) AS t
ORDER BY t.sort_id
"""

# Flag pending transactions as stalled: those without progress for `after` seconds because their calls only fail, those
# whose jobs an open circuit breaker holds back for as long, and those in `jobless`; none for as long after a jump of
# the clock. An operator knows of those of a paused provider. At most `most` of each a time. Returns their number.
FLAG_STALLED = f"""
WITH late AS (
    (SELECT t.id FROM transactions_transaction t
     WHERE t.stuck_since < statement_timestamp() - %(after)s * interval '1 second'
       AND t.status = 'pending' AND t.review = ''
       AND NOT EXISTS (SELECT 1 FROM providers_provider p WHERE p.id = t.provider_id AND p.paused)
     ORDER BY t.stuck_since LIMIT %(most)s)
    UNION ALL
    SELECT held.transaction_id FROM workers_breaker b CROSS JOIN LATERAL (
        SELECT j.transaction_id FROM workers_job j JOIN transactions_transaction t ON t.id = j.transaction_id
        WHERE j.lane = b.lane AND j.kind = b.kind AND j.state = 'waiting'
          AND j.run_at < statement_timestamp() - %(after)s * interval '1 second'
          AND t.status = 'pending' AND t.review = ''
        ORDER BY j.run_at LIMIT %(most)s
    ) AS held
    WHERE b.opened_at IS NOT NULL AND b.kind IN ('create', 'track')
      AND NOT EXISTS (SELECT 1 FROM providers_provider p WHERE p.paused AND b.lane = '{Lane.PROVIDER}' || p.id)
    UNION ALL
    SELECT unnest(%(jobless)s::uuid[])
), locked AS (
    SELECT t.id FROM transactions_transaction t
    WHERE t.id = ANY (ARRAY(SELECT id FROM late)) AND t.status = 'pending' AND t.review = ''
      AND NOT EXISTS (SELECT 1 FROM workers_clock
                      WHERE jumped_at > statement_timestamp() - %(after)s * interval '1 second')
    ORDER BY t.id
    FOR UPDATE SKIP LOCKED
), flagged AS (
    UPDATE transactions_transaction t
    SET review = 'stalled', review_why = left(coalesce((
        SELECT coalesce(nullif(j.last_error, ''), 'a circuit breaker holds back its calls') FROM workers_job j
        WHERE j.transaction_id = t.id AND j.kind IN ('create', 'track') AND coalesce(j.state) IN ('waiting', 'running')
        ORDER BY j.updated_at DESC LIMIT 1
    ), 'no job is left that creates or polls it'), 500)
    WHERE t.id = ANY (ARRAY(SELECT id FROM locked))
    RETURNING t.id, t.review_why
), timeline AS (
    INSERT INTO transactions_event (transaction_id, at, kind, status, source, detail)
    SELECT id, clock_timestamp(), 'review', '', 'clock', jsonb_build_object('review', 'stalled', 'why', review_why)
    FROM flagged
)
SELECT count(*) FROM flagged
"""

# Resume the polling that waits for the create to end. Two settles ask for it: the create's, and that of a poll that
# found the create running. Both have locked the transaction's row by APPLY, and this is a separate statement after it,
# so the second of the two sees what the first one wrote and the polling is always resumed.
POLL_SOON = """
UPDATE workers_job job
SET run_at = least(job.run_at, clock_timestamp() + h.after * interval '1 second')
FROM jsonb_to_recordset(%(commands)s) AS h(id uuid, after double precision), transactions_transaction t
WHERE job.transaction_id = ANY (%(ids)s::uuid[]) AND t.id = ANY (%(ids)s::uuid[])
  AND job.transaction_id = h.id AND t.id = h.id
  AND job.kind = 'track' AND coalesce(job.state) = 'waiting' AND job.claim_count > 0
  AND t.status = 'pending' AND t.submission <> 'unsent'
  AND NOT EXISTS (SELECT 1 FROM workers_job c
                  WHERE c.transaction_id = job.transaction_id AND c.kind = 'create' AND coalesce(c.state) = 'running')
RETURNING job.lane, extract(epoch FROM job.run_at - clock_timestamp())::double precision
"""

# The client has confirmed the notification of this sequence: "final" and "client notified" are two facts. Returns the
# transactions that are flagged for review because a job gave up.
CONFIRMED = """
WITH confirmed AS (
    SELECT id, max(sequence) AS sequence FROM jsonb_to_recordset(%(confirmed)s) AS c(id uuid, sequence int) GROUP BY id
)
UPDATE transactions_transaction t
SET notified_sequence = greatest(t.notified_sequence, c.sequence), notified_at = clock_timestamp()
FROM confirmed c
WHERE t.id = c.id AND t.id = ANY (ARRAY(SELECT id FROM confirmed))
  AND (t.notified_sequence < c.sequence OR t.review = 'given_up')
RETURNING CASE WHEN t.review = 'given_up' THEN t.id END
"""

# The transactions of claimed jobs, each with the state of its create's job, the time of the clock's last jump, and its
# time now.
SNAPSHOTS = f"""
SELECT {_COLUMNS}, create_began_at, extract(epoch FROM clock_timestamp() - created_at)::double precision,
       review, stuck_since IS NOT NULL, seen_at,
       (SELECT j.state FROM workers_job j WHERE j.transaction_id = t.id AND j.kind = 'create' AND j.key = ''),
       (SELECT jumped_at FROM workers_clock), clock_timestamp()
FROM transactions_transaction t
WHERE t.id = ANY (%(ids)s::uuid[])
"""

# Compare a high-water mark (or nulls) with the database: true if one of its rows is missing; the time at which a loss
# was last noticed, for a week; the newest event and transaction. An event is compared with its time, because its number
# and its transaction's id repeat after a loss.
HIGH_WATER = """
SELECT %(event)s::bigint IS NOT NULL AND NOT (
           EXISTS (SELECT 1 FROM transactions_event
                   WHERE id = %(event)s::bigint AND transaction_id = %(of)s::uuid AND at = %(at)s::timestamptz)
           AND EXISTS (SELECT 1 FROM transactions_transaction WHERE sort_id = %(sort_id)s::uuid)),
       (SELECT max(noticed_at) FROM transactions_lostcommits WHERE noticed_at > now() - interval '7 days'),
       e.id, e.transaction_id::text, e.at::text, t.sort_id::text
FROM (SELECT) AS one
LEFT JOIN LATERAL (SELECT id, transaction_id, at FROM transactions_event ORDER BY id DESC LIMIT 1) AS e ON true
LEFT JOIN LATERAL (SELECT sort_id FROM transactions_transaction ORDER BY sort_id DESC LIMIT 1) AS t ON true
"""

# Record a loss of commits.
NOTICE_LOSS = "INSERT INTO transactions_lostcommits (noticed_at, mark) VALUES (now(), %(mark)s) RETURNING noticed_at"

# True if no other process is counting (until the transaction ends); the start of this minute; the end of the last
# minute that was counted.
COUNTED = """
SELECT pg_try_advisory_xact_lock(733, 0), date_trunc('minute', clock_timestamp()),
       (SELECT max(minute) + interval '1 minute' FROM operators_minutecount)
"""

# The status changes of whole minutes, from a range of event ids: acceptances, first final statuses by the time since
# acceptance, and changes of a final status by staff (bucket -1). The last minute gets a row even when it had no event:
# that row says how far counting has come. The range has both ends given: with a LIMIT instead, old statistics make
# the planner read and sort all later events.
COUNT_EVENTS = """
INSERT INTO operators_minutecount (minute, status, bucket, count)
SELECT minute, status, bucket, sum(n)
FROM (
    SELECT date_trunc('minute', e.at) AS minute, change.*
    FROM transactions_event e
    LEFT JOIN LATERAL (  -- the LIMIT makes it one index probe an event, whatever the statistics say
        SELECT status, at FROM transactions_event p
        WHERE p.transaction_id = e.transaction_id AND p.sequence = e.sequence - 1 AND e.sequence > 1
        LIMIT 1
    ) AS previous ON true
    CROSS JOIN LATERAL (VALUES
        (e.status, CASE WHEN e.sequence > 2 THEN -1 ELSE ceil(
            %(steps)s * ln(greatest(1, date_part('epoch', e.at - previous.at) / %(shortest)s)) / ln(2)
        ) END, 1),
        (CASE WHEN e.sequence > 2 THEN previous.status END, -1, -1)
    ) AS change(status, bucket, n)
    WHERE e.id >= %(low)s AND e.id < %(high)s AND e.kind = 'status' AND e.at >= %(start)s AND e.at < %(end)s
      AND change.status IS NOT NULL
    UNION ALL
    SELECT %(end)s - interval '1 minute', 'pending', 0, 0
) AS changes
GROUP BY minute, status, bucket
"""

# Minutes that are no longer kept become part of one row a status, so that totals stay exact.
FOLD_MINUTES = """
WITH old AS (
    DELETE FROM operators_minutecount WHERE minute > to_timestamp(0) AND minute < %(before)s RETURNING status, count
)
INSERT INTO operators_minutecount AS m (minute, status, bucket, count)
SELECT to_timestamp(0), status, 0, sum(count) FROM old GROUP BY status
ON CONFLICT (minute, status, bucket) DO UPDATE SET count = m.count + excluded.count
"""

# The number of pending transactions, up to `most`. "pending" is the last status in the alphabet, so the partial index
# of those that are not completed, read backwards, begins with them: no sort, whatever the statistics say.
PENDING = """
SELECT count(*) FILTER (WHERE status = 'pending')
FROM (
    SELECT status FROM transactions_transaction WHERE status <> 'completed'
    ORDER BY status DESC, sort_id DESC LIMIT %(most)s
) AS last
"""

# The number of transactions that need review, by reason, each counted up to `most` (null: all) in the partial index,
# and the explanation of the newest one.
REVIEWS = """
SELECT reason, (
    SELECT count(*) FROM (
        SELECT 1 FROM transactions_transaction WHERE review = reason AND review <> ''
        ORDER BY sort_id DESC LIMIT %(most)s
    ) AS flagged
), (
    SELECT review_why FROM transactions_transaction WHERE review = reason AND review <> '' ORDER BY sort_id DESC LIMIT 1
)
FROM unnest(%(reasons)s) AS reason
"""

# The age in seconds of the oldest pending transaction, by provider; providers without any are left out. One probe of
# `transaction_pending` for each provider, independent of the number of transactions (see `Transaction.Meta.indexes`).
OLDEST_PENDING = """
SELECT p.slug, greatest(0, extract(epoch FROM statement_timestamp() - oldest.created_at))::double precision
FROM providers_provider p CROSS JOIN LATERAL (
    SELECT t.created_at FROM transactions_transaction t
    WHERE t.provider_id = p.id AND t.finalised_at IS NULL
    ORDER BY t.created_at LIMIT 1
) AS oldest
"""

# The age in seconds of the oldest final status that the client has not confirmed, by the client's number; clients
# without any are left out. One probe of `transaction_undelivered` for each client.
OLDEST_UNDELIVERED = """
SELECT c.id::text, greatest(0, extract(epoch FROM statement_timestamp() - oldest.finalised_at))::double precision
FROM clients_client c CROSS JOIN LATERAL (
    SELECT t.finalised_at FROM transactions_transaction t
    WHERE t.client_id = c.id AND t.finalised_at IS NOT NULL AND t.notified_sequence < t.sequence
    ORDER BY t.finalised_at LIMIT 1
) AS oldest
"""

CLOSED = """
      t.status <> 'pending' AND t.finalised_at < %(before)s AND t.notified_sequence >= t.sequence AND t.review = ''
"""
"""Condition on a transaction `t`: final since then, confirmed by its client, not under review. Its jobs, calls and
webhooks may be deleted; the transaction itself and its timeline stay."""

# Delete the old jobs among the next ones by id, and their calls; with `delete` false, only count them. Ids ascend with
# time, so the first young job ends the walk. The statement waits for no lock, and locks no row that a claim, settle or
# webhook takes. The counts are those of the statement's start. The calls' foreign key is checked at the commit, so the
# order of the two deletions does not matter.
PRUNE_JOBS = f"""
WITH seen AS MATERIALIZED (
    SELECT id, created_at >= %(before)s AS young FROM workers_job WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
), old AS (
    SELECT j.id FROM workers_job j JOIN transactions_transaction t ON t.id = j.transaction_id
    WHERE j.id = ANY (ARRAY(SELECT id FROM seen WHERE NOT young))
      AND j.state IN ('done', 'cancelled') AND j.updated_at < %(before)s AND {CLOSED}
    FOR UPDATE OF j SKIP LOCKED
), calls AS (
    DELETE FROM workers_outboundcall WHERE %(delete)s AND job_id = ANY (ARRAY(SELECT id FROM old))
), jobs AS (
    DELETE FROM workers_job WHERE %(delete)s AND id = ANY (ARRAY(SELECT id FROM old))
)
SELECT max(id), count(*), coalesce(bool_or(young), false), (SELECT count(*) FROM old),
       (SELECT count(*) FROM workers_outboundcall WHERE job_id = ANY (ARRAY(SELECT id FROM old)))
FROM seen
"""
