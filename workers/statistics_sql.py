"""SQL over jobs and calls for the dashboard and `/metrics`; `workers.statistics` executes it."""

from workers.sql import LANES

# ruff: noqa: S608  only this constant is put into the statements
# For operators: by kind, the number of due jobs, the age in seconds of the oldest due one, and the numbers of running
# and failed jobs. Due and failed jobs are counted up to `most` (null: all; the cost grows with them). With a bound it
# reads one index entry for each lane and each counted job, even if a million are due. The ORDER BY keeps it on the
# index: otherwise the planner scans the table when many jobs are due, and expects to find this lane's early.
COUNTS = f"""
{LANES}
, newest AS MATERIALIZED (
    SELECT kind FROM workers_job WHERE state = 'failed' ORDER BY id DESC LIMIT %(most)s
)
SELECT kinds.kind, (
    SELECT count(*) FROM (
        SELECT 1 FROM lanes CROSS JOIN LATERAL (
            SELECT 1 FROM workers_job j
            WHERE j.lane = lanes.lane AND j.kind = lanes.kind AND j.state = 'waiting'
              AND j.run_at <= statement_timestamp()
            ORDER BY j.run_at LIMIT %(most)s
        ) AS job
        WHERE lanes.kind = kinds.kind
        LIMIT %(most)s
    ) AS due
), (
    SELECT greatest(0, extract(epoch FROM statement_timestamp() - min(job.run_at)))::float8
    FROM lanes CROSS JOIN LATERAL (
        SELECT run_at FROM workers_job j
        WHERE j.lane = lanes.lane AND j.kind = lanes.kind AND j.state = 'waiting'
        ORDER BY run_at LIMIT 1
    ) AS job
    WHERE lanes.kind = kinds.kind
), (SELECT count(*) FROM workers_job r WHERE r.state = 'running' AND r.kind = kinds.kind),
   (SELECT count(*) FROM newest WHERE newest.kind = kinds.kind)
FROM unnest(%(kinds)s::text[]) AS kinds(kind)
"""

# By lane, the number of its jobs that are due within `within` seconds, up to `most` (see COUNTS), and of its running
# jobs.
LANE_COUNTS = """
SELECT lane, (
    SELECT count(*) FROM (
        SELECT 1 FROM unnest(%(kinds)s::text[]) AS its(kind) CROSS JOIN LATERAL (
            SELECT 1 FROM workers_job j
            WHERE j.lane = lanes.lane AND j.kind = its.kind AND j.state = 'waiting'
              AND j.run_at <= statement_timestamp() + %(within)s * interval '1 second'
            ORDER BY j.run_at LIMIT %(most)s
        ) AS job
        LIMIT %(most)s
    ) AS due
), (SELECT count(*) FROM workers_job r WHERE r.lane = lanes.lane AND r.state = 'running')
FROM unnest(%(lanes)s::text[]) AS lanes(lane)
"""

# Of the latest `most` calls those that began within `within` seconds: by lane their number, the number of failed ones,
# the median and 95th percentile of their duration, and the age of the oldest one, all in seconds. The circuit breaker
# defines "failed" (`_failed` in `workers.breaker`): no response, 5xx or 429.
LATEST_CALLS = """
WITH latest AS MATERIALIZED (
    SELECT job_id, started_at, duration_ms, http_status, error FROM workers_outboundcall ORDER BY id DESC LIMIT %(most)s
)
SELECT (SELECT lane FROM workers_job WHERE id = job_id), count(*),
       count(*) FILTER (WHERE http_status IS NULL OR http_status >= 500 OR http_status = 429),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) / 1000::float8,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) / 1000::float8,
       extract(epoch FROM statement_timestamp() - min(started_at))::float8
FROM latest
WHERE started_at > statement_timestamp() - %(within)s * interval '1 second' AND duration_ms IS NOT NULL
  AND NOT starts_with(error, %(own)s)
GROUP BY 1
"""
