"""The hot path's SQL for jobs: claim, settle, recovery and due jobs. Each statement has a name, a reason and a test.

Times are the database's: intervals go in as seconds and waits come out as seconds, so that no two hosts' clocks
are ever compared. Conditions on indexes use `statement_timestamp()`: `clock_timestamp()` is volatile, and the search
would read every job that is due in the future.

A batch is one JSON parameter. The planner does not know its length, so rows are searched by `= ANY (ARRAY(SELECT …))`,
which is an index scan with any statistics; a plain join would read whole tables. Where a job is searched by its
transaction, its state is compared as `coalesce(state)`: otherwise the planner would read all of a partial index (every
waiting job) when outdated or missing statistics say that there are few.
"""

# One claim of a lane at a time: two concurrent ones would miscount its jobs in flight and could break the order of a
# transaction's notifications. Sorted, so that two batches never wait for each other.
LOCK_LANES = """
SELECT pg_advisory_xact_lock(731, hashtext(lane))
FROM (SELECT lane FROM unnest(%(lanes)s::text[]) AS lane ORDER BY hashtext(lane)) AS sorted
"""

# ruff: noqa: S608  only these constants are put into the statements
_WANTED = """want AS (
    SELECT * FROM jsonb_to_recordset(%(want)s)
        AS w(lane text, kind text, lease float8, n int, in_flight int, probe bigint, calls int, per_second float8)
), room AS (
    SELECT want.lane,
           least(max(want.n), min(want.in_flight) - (
               SELECT count(*) FROM workers_job r WHERE r.lane = want.lane AND r.state = 'running'
           ))::int AS n,
           extract(epoch FROM min((
               SELECT min(w.run_at) FROM workers_job w
               WHERE w.lane = want.lane AND w.kind = want.kind AND w.state = 'waiting'
                 AND w.run_at > statement_timestamp()
           )) - statement_timestamp())::float8 AS next_in,
           greatest(0, extract(epoch FROM (
               SELECT t.next_free_at FROM workers_ratelimit t WHERE t.lane = want.lane
           ) - clock_timestamp()))::float8 AS free_in
    FROM want
    GROUP BY want.lane
), wanted AS (
    SELECT want.*, room.n AS places, room.free_in, greatest(0, least(
               room.n, want.n, ceil((%(ahead)s - room.free_in) * want.per_second / want.calls)
           ))::int AS most
    FROM want JOIN room ON room.lane = want.lane
)"""
"""The lanes and kinds to claim from; `most`: the jobs of this lane and kind that the claim may take."""

_TAKEN = """claimed AS (
    UPDATE workers_job j
    SET state = 'running', claim_count = j.claim_count + 1, claim_token = gen_random_uuid(),
        updated_at = clock_timestamp(),
        lease_until = clock_timestamp()
                      + (SELECT lease FROM want WHERE want.lane = j.lane AND want.kind = j.kind) * interval '1 second'
    WHERE j.id = ANY (ARRAY(SELECT id FROM taken))
    RETURNING j.*
), limited AS (
    INSERT INTO workers_ratelimit (lane, next_free_at)
    SELECT lane, clock_timestamp() + max(end_in) * interval '1 second'
    FROM taken
    WHERE start_in IS NOT NULL
    GROUP BY lane
    ON CONFLICT (lane) DO UPDATE SET next_free_at = excluded.next_free_at
)"""
"""waiting -> running for the jobs `taken`, and their tokens."""

_CLAIMED = """
SELECT room.n, room.next_in, room.free_in,
       claimed.id, claimed.transaction_id, claimed.kind, claimed.key, room.lane, claimed.claim_token,
       claimed.claim_count, claimed.tries, claimed.crashes, claimed.lost_at, claimed.updated_at, claimed.lease_until,
       claimed.last_error <> '', room.lane IN (SELECT lane FROM crowded)
FROM room LEFT JOIN claimed ON claimed.lane = room.lane
"""

_ALONE = """(SELECT count(*) = 0 FROM workers_job s
               WHERE s.lane = j.lane AND s.transaction_id = j.transaction_id AND s.kind = j.kind
                 AND s.state = 'running')
          AND (SELECT count(*) = 0 FROM workers_job s
               WHERE s.transaction_id = j.transaction_id AND s.kind = j.kind AND s.id < j.id
                 AND coalesce(s.state) = 'waiting' AND s.run_at <= statement_timestamp())"""
"""One job of a kind and transaction at a time: a running notification of `pending` must not arrive after that of the
final status. (Scalar subqueries, so that each stays one index probe for each job.)"""

# waiting -> running for the oldest due jobs of each lane, up to the lane's limit in flight over all workers. Committed
# before the work starts: a job that kills its worker has been counted. `want` has a row for each lane and kind.
# In a lane with a rate limit, each job takes a token for each call that it may make (`calls`), and only tokens that
# become free within `ahead` seconds are taken. `free_in`: seconds until the lane's next free token, before this claim.
# Returns a row for each claimed job, or one row (job columns null) for a lane without any. `next_in`: seconds until its
# next job is due. The last column is true for a lane with more due jobs than the claim may take: it gives none, claim
# from it with CLAIM_BY_TURNS.
CLAIM = f"""
WITH {_WANTED}, due AS (
    SELECT picked.id, w.lane, w.most, w.places, row_number() OVER lane_order AS nth,
           w.free_in + (sum(w.calls) OVER lane_order - w.calls) / w.per_second AS start_in,
           w.free_in + sum(w.calls) OVER lane_order / w.per_second AS end_in
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT j.id, j.run_at
        FROM workers_job j
        WHERE j.lane = w.lane AND j.kind = w.kind AND j.state = 'waiting' AND j.run_at <= statement_timestamp()
          AND {_ALONE}
        ORDER BY j.run_at
        LIMIT CASE WHEN w.most > 0 THEN w.most + 1 ELSE 0 END
        FOR UPDATE OF j SKIP LOCKED
    ) AS picked
    WINDOW lane_order AS (PARTITION BY w.lane ORDER BY picked.run_at, picked.id ROWS UNBOUNDED PRECEDING)
), crowded AS (
    SELECT lane FROM due GROUP BY lane HAVING count(*) > min(most)
), taken AS (
    SELECT * FROM due
    WHERE lane NOT IN (SELECT lane FROM crowded) AND nth <= places AND (start_in IS NULL OR start_in < %(ahead)s)
), {_TAKEN}
{_CLAIMED}
"""


def _shares(lanes: str) -> str:
    """Return a recursive query for the shares with waiting jobs in these lanes and kinds, and when the first is due.

    A loose scan of `job_due_by_share`: one probe for each share, however many jobs wait there.
    """
    first = """
        SELECT j.share, j.run_at FROM workers_job j
        WHERE j.lane = w.lane AND j.kind = w.kind AND j.state = 'waiting'
    """
    return f"""
    SELECT w.*, first.share, first.run_at
    FROM ({lanes}) AS w CROSS JOIN LATERAL ({first} ORDER BY j.share, j.run_at LIMIT 1) AS first
    UNION ALL
    SELECT w.lane, w.kind, w.most, next.share, next.run_at
    FROM shares w CROSS JOIN LATERAL ({first} AND j.share > w.share ORDER BY j.share, j.run_at LIMIT 1) AS next
"""


# As CLAIM, for lanes with more due jobs than the claim may take, and for probes: the shares of the lane take turns. The
# place of a job is the number of its share's running jobs and older candidates, and the lowest places come first.
# Between equal places, the shares after the last one served (`workers_turn`) come first. The candidates are twice an
# equal part for each of the next shares, 20 more of them than the claim may take jobs, and the lane's oldest jobs for
# the places that are left. `probe` is the job that an open circuit breaker lets through. The cost grows with the
# claimed jobs and the shares that have waiting jobs, not with the due jobs.
CLAIM_BY_TURNS = f"""
WITH RECURSIVE {_WANTED}, shares AS (
    {_shares("SELECT lane, kind, most FROM wanted WHERE most > 0 AND probe IS NULL")}
), found AS (
    SELECT w.lane, w.kind, job.id
    FROM (
        SELECT shares.*, ceil(2.0 * most / count(*) OVER (PARTITION BY lane, kind))::int AS quota,
               row_number() OVER (PARTITION BY lane, kind ORDER BY shares.share <= turn.share, shares.share) AS nth
        FROM shares LEFT JOIN workers_turn turn USING (lane)
        WHERE run_at <= statement_timestamp()
    ) AS w CROSS JOIN LATERAL (
        SELECT j.id FROM workers_job j
        WHERE j.lane = w.lane AND j.kind = w.kind AND j.share = w.share AND j.state = 'waiting'
          AND j.run_at <= statement_timestamp()
        ORDER BY j.run_at LIMIT w.quota
    ) AS job
    WHERE w.nth <= w.most + 20
    UNION
    SELECT w.lane, w.kind, job.id
    FROM wanted w CROSS JOIN LATERAL (
        SELECT j.id FROM workers_job j
        WHERE j.lane = w.lane AND j.kind = w.kind AND j.state = 'waiting' AND j.run_at <= statement_timestamp()
        ORDER BY j.run_at LIMIT CASE WHEN w.most > 0 AND w.probe IS NULL THEN w.most + 1 ELSE 0 END
    ) AS job
    UNION
    SELECT lane, kind, probe FROM wanted WHERE most > 0 AND probe IS NOT NULL
), crowded AS MATERIALIZED (
    SELECT lane FROM found JOIN wanted USING (lane, kind)
    WHERE probe IS NULL
    GROUP BY lane HAVING count(*) > min(most)
), locked AS MATERIALIZED (
    SELECT j.id, j.lane, j.kind, j.share, j.run_at FROM workers_job j
    WHERE j.id = ANY (ARRAY(SELECT id FROM found)) AND coalesce(j.state) = 'waiting'
      AND j.run_at <= statement_timestamp() AND {_ALONE}
    FOR UPDATE SKIP LOCKED
), running AS (
    SELECT lane, share, count(*) AS n FROM workers_job
    WHERE lane = ANY (ARRAY(SELECT lane FROM crowded)) AND state = 'running'
    GROUP BY lane, share
), placed AS (
    SELECT locked.*, coalesce(running.n, 0) + row_number() OVER (PARTITION BY lane, share ORDER BY run_at, id) AS place
    FROM locked LEFT JOIN running USING (lane, share)
), due AS (
    SELECT placed.id, w.lane, placed.share, w.probe, w.places, row_number() OVER lane_order AS nth,
           w.free_in + (sum(w.calls) OVER lane_order - w.calls) / w.per_second AS start_in,
           w.free_in + sum(w.calls) OVER lane_order / w.per_second AS end_in
    FROM placed JOIN wanted w USING (lane, kind) LEFT JOIN workers_turn turn USING (lane)
    WINDOW lane_order AS (
        PARTITION BY w.lane
        ORDER BY w.probe, place, placed.share <= coalesce(turn.share, 0), placed.share, placed.run_at, placed.id
        ROWS UNBOUNDED PRECEDING
    )
), taken AS (
    SELECT * FROM due WHERE nth <= places AND (start_in IS NULL OR start_in < %(ahead)s)
), {_TAKEN}, turned AS (
    INSERT INTO workers_turn (lane, share)
    SELECT DISTINCT ON (lane) lane, share FROM taken WHERE probe IS NULL ORDER BY lane, nth DESC
    ON CONFLICT (lane) DO UPDATE SET share = excluded.share
)
{_CLAIMED}
"""

_PROBES = """
        SELECT j.id, j.share, j.transaction_id, j.last_error, j.run_at FROM workers_job j
        WHERE j.lane = w.lane AND j.kind = w.kind AND j.share = w.share AND j.state = 'waiting'
          AND j.run_at <= statement_timestamp()
"""

# Take the probe of an open breaker: the worker that sets the time of the next probe runs this one. Returns the job.
# The shares with due jobs take turns. Of a share's oldest and newest `among` due jobs, one of another transaction than
# that of the last probe is preferred, then one whose last run did not fail: a few transactions that always fail must
# not keep the breaker open.
TAKE_PROBE = f"""
WITH RECURSIVE breaker AS MATERIALIZED (
    SELECT lane, kind, turn, probed FROM workers_breaker
    WHERE lane = %(lane)s AND kind = %(kind)s AND opened_at IS NOT NULL AND probe_at <= clock_timestamp()
), shares AS (
    {_shares("SELECT lane, kind, 1 AS most FROM breaker")}
), share AS (
    SELECT lane, kind, share, probed FROM shares JOIN breaker USING (lane, kind)
    WHERE run_at <= statement_timestamp()
    ORDER BY share <= turn, share LIMIT 1
), next AS (
    SELECT job.* FROM share w CROSS JOIN LATERAL (
        ({_PROBES} ORDER BY j.run_at LIMIT %(among)s) UNION ALL ({_PROBES} ORDER BY j.run_at DESC LIMIT %(among)s)
    ) AS job
    ORDER BY job.transaction_id IS NOT DISTINCT FROM w.probed, job.last_error <> '', job.run_at LIMIT 1
)
UPDATE workers_breaker b
SET probe_at = clock_timestamp() + %(every)s * interval '1 second', turn = next.share, probed = next.transaction_id
FROM next
WHERE b.lane = %(lane)s AND b.kind = %(kind)s AND b.opened_at IS NOT NULL AND b.probe_at <= clock_timestamp()
RETURNING next.id
"""

# Take the next `span` seconds of a lane's rate limit for a job that is run by its id (see CLAIM for all others).
# Returns the seconds until its first call may begin. Run it together with LOCK_LANES.
TAKE_TOKENS = """
INSERT INTO workers_ratelimit AS t (lane, next_free_at)
VALUES (%(lane)s, clock_timestamp() + %(span)s * interval '1 second')
ON CONFLICT (lane) DO UPDATE
SET next_free_at = greatest(t.next_free_at, clock_timestamp()) + %(span)s * interval '1 second'
RETURNING greatest(0, extract(epoch FROM next_free_at - clock_timestamp())::float8 - %(span)s)
"""

# waiting -> running for one job, without regard to its time and its lane's limits: for `manage.py runjob` and AWS
# Lambda. Run it together with LOCK_LANES.
CLAIM_ONE = """
UPDATE workers_job j
SET state = 'running', claim_count = claim_count + 1, claim_token = gen_random_uuid(), updated_at = clock_timestamp(),
    lease_until = clock_timestamp() + %(lease)s * interval '1 second'
WHERE j.id = %(id)s AND j.state = 'waiting'
  AND NOT EXISTS (
      SELECT 1 FROM workers_job s
      WHERE s.lane = j.lane AND s.transaction_id = j.transaction_id AND s.kind = j.kind AND s.state = 'running'
  )
RETURNING id, transaction_id, kind, key, lane, claim_token, claim_count, tries, crashes, lost_at, updated_at,
          lease_until, last_error <> ''
"""

# The running jobs of a batch with the token of their claim. Locked until the settle commits, in the order of their ids,
# so that no two batches deadlock. A database that has lost commits gives the ids and counts of jobs a second time, to
# jobs of other transactions; a token never repeats.
OWNED = """
SELECT j.id, j.claim_token FROM workers_job j
WHERE j.id = ANY (%(ids)s) AND j.state = 'running'
ORDER BY j.id
FOR UPDATE
"""

# running -> the state that the outcome says, for jobs that OWNED has locked. Returns the lanes in which a
# sibling waited for one of them (see CLAIM).
SETTLE = """
WITH o AS (
    SELECT * FROM jsonb_to_recordset(%(outcomes)s)
        AS o(id bigint, state text, after float8, tries int, error text, lost boolean, begun boolean, crashed boolean)
), settled AS (
    UPDATE workers_job j
    SET state = o.state, run_at = coalesce(clock_timestamp() + o.after * interval '1 second', j.run_at),
        tries = coalesce(o.tries, j.tries), last_error = o.error, lease_until = NULL,
        -- A run that ended without a result may have begun its calls up to now; one whose handler was not even started
        -- has not, but the one before it may.
        lost_at = CASE WHEN o.lost AND o.begun THEN clock_timestamp() WHEN o.lost THEN j.lost_at END,
        crashes = CASE WHEN o.crashed THEN j.crashes + 1 ELSE 0 END, updated_at = clock_timestamp()
    FROM o
    WHERE j.id = o.id AND j.id = ANY (ARRAY(SELECT id FROM o))
    RETURNING j.id, j.transaction_id, j.kind, j.lane
)
SELECT DISTINCT settled.kind, settled.lane
FROM settled
JOIN workers_job w ON w.transaction_id = settled.transaction_id AND w.kind = settled.kind AND w.id <> settled.id
WHERE w.transaction_id = ANY (ARRAY(SELECT transaction_id FROM settled))
  AND coalesce(w.state) = 'waiting' AND w.run_at <= statement_timestamp()
"""

# Record every outbound call, also those of a run that lost its lease: they did happen. Calls whose job the database has
# lost are left out: the number of that job may belong to another transaction by now.
ADD_CALLS = """
INSERT INTO workers_outboundcall
    (job_id, transaction_id, attempt, started_at, duration_ms, method, url, http_status, error, excerpt)
SELECT job_id, transaction_id, attempt, started_at, duration_ms, method, url, http_status, error, excerpt
FROM jsonb_populate_recordset(NULL::workers_outboundcall, %(calls)s) AS c
WHERE (SELECT j.transaction_id FROM workers_job j WHERE j.id = c.job_id) = c.transaction_id
"""

# Expired leases -> waiting, due at once, with the end of the lease as the time until which the lost run's calls may
# have begun. After `max_crashes` in a row the job is due in an hour only: the caller fails it before that.
RECOVER = """
WITH expired AS (
    SELECT id, lease_until FROM workers_job
    WHERE state = 'running' AND lease_until < least(statement_timestamp(), %(latest)s::timestamptz)
    ORDER BY lease_until LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
), lost AS (
    UPDATE workers_job j
    SET state = 'waiting', lost_at = expired.lease_until, lease_until = NULL, crashes = j.crashes + 1,
        run_at = clock_timestamp()
                 + CASE WHEN j.crashes + 1 >= %(max_crashes)s THEN interval '1 hour' ELSE interval '0' END,
        updated_at = clock_timestamp(), last_error = 'the worker was lost before it settled this run'
    FROM expired
    WHERE j.id = expired.id
    RETURNING j.*, expired.lease_until AS ended_at
), noted AS (
    INSERT INTO workers_outboundcall
        (job_id, transaction_id, attempt, started_at, duration_ms, method, url, http_status, error, excerpt)
    SELECT id, transaction_id, claim_count, ended_at, NULL, '', '', NULL, last_error, '' FROM lost
)
SELECT id, kind, lane, crashes FROM lost
"""

LANES = """
WITH RECURSIVE lanes AS (
    (SELECT lane, kind FROM workers_job WHERE state = 'waiting' ORDER BY lane, kind LIMIT 1)
    UNION ALL
    SELECT next.lane, next.kind
    FROM lanes
    CROSS JOIN LATERAL (
        SELECT j.lane, j.kind FROM workers_job j
        WHERE j.state = 'waiting' AND (j.lane, j.kind) > (lanes.lane, lanes.kind)
        ORDER BY j.lane, j.kind LIMIT 1
    ) AS next
)
"""

# For each lane with a job due within `ahead` seconds: the seconds until its first one (0: overdue). A loose scan of
# `job_due_by_kind`: one probe for each lane and kind, however many jobs wait there.
DUE_LANES = f"""
{LANES}
SELECT first.lane, greatest(0, extract(epoch FROM min(first.run_at) - clock_timestamp()))::float8
FROM lanes
CROSS JOIN LATERAL (
    SELECT j.lane, j.run_at FROM workers_job j
    WHERE j.lane = lanes.lane AND j.kind = lanes.kind AND j.state = 'waiting'
    ORDER BY j.run_at LIMIT 1
) AS first
WHERE first.run_at <= statement_timestamp() + %(ahead)s * interval '1 second'
GROUP BY first.lane
"""

# Note a jump of the clock, in either direction: its time, by the clock after it. The lease of each running job begins
# anew, because its end says nothing any more. A time further in the future than the longest wait (a minute for probes,
# 15 seconds for tokens) is one from before the clock went back, and is now. Idempotent: every worker notes the jump.
NOTE_JUMP = """
INSERT INTO workers_clock (id, jumped_at) VALUES (1, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET jumped_at = excluded.jumped_at;

WITH running AS (SELECT id FROM workers_job WHERE state = 'running' ORDER BY id FOR UPDATE)
UPDATE workers_job SET lease_until = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = ANY (ARRAY(SELECT id FROM running));

UPDATE workers_breaker SET probe_at = clock_timestamp() WHERE probe_at > clock_timestamp() + interval '1 minute';

UPDATE workers_breaker SET failing_since = clock_timestamp() WHERE failing_since > clock_timestamp();

UPDATE workers_ratelimit SET next_free_at = clock_timestamp()
WHERE next_free_at > clock_timestamp() + interval '15 seconds';

UPDATE workers_workerprocess SET beat_at = clock_timestamp() WHERE beat_at > clock_timestamp()
"""

# Move waiting jobs back by `back` seconds, among the next ones by id, newest first: those that the clock before its
# jump wrote, so their last change lies in the future. The change is then now, so no other worker moves them again. A
# job that was last changed longer before the jump than `back` keeps its time: its wait at most doubles. Returns the
# last id.
MOVE_JOBS = """
WITH seen AS MATERIALIZED (
    SELECT id FROM workers_job
    WHERE state = 'waiting' AND (%(before)s::bigint IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(most)s
), ahead AS (
    SELECT id FROM workers_job
    WHERE id = ANY (ARRAY(SELECT id FROM seen)) AND state = 'waiting' AND updated_at > statement_timestamp()
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE workers_job SET run_at = run_at - %(back)s * interval '1 second', updated_at = clock_timestamp()
    WHERE id = ANY (ARRAY(SELECT id FROM ahead))
)
SELECT min(id) FROM seen
"""
