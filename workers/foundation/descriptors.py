"""Limit on the open files of a process, which bounds its outbound connections."""

import contextlib
import resource

RESERVED = 96
"""Open files of a worker besides those of its runs: sessions of the database and the broker, logs, the event loop."""
PER_RUN = 2
"""Open files of a run: its connection, and one that is kept idle or is being opened."""
MOST = 1_048_576
"""Upper bound for the limit; more makes some libraries slow."""


def reachable_limit() -> int:
    """Return the limit on open files that `raise_limit` can set."""
    soft, hard = (MOST if one == resource.RLIM_INFINITY else one for one in resource.getrlimit(resource.RLIMIT_NOFILE))
    return max(soft, min(hard, MOST))


def raise_limit() -> int:
    """Raise the soft limit on open files to the hard one; return the limit that is in force then."""
    wanted = reachable_limit()
    with contextlib.suppress(ValueError, OSError):  # the system allows less than its hard limit (macOS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if soft == resource.RLIM_INFINITY else soft


def runs_within(limit: int) -> int:
    """Return the number of runs, at least one, that fit into a limit on open files."""
    return max(1, (limit - RESERVED) // PER_RUN)
