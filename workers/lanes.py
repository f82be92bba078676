"""Lanes: the concurrency keys of jobs."""

from __future__ import annotations

from dataclasses import dataclass


class Lane(str):
    """The concurrency key of a job: a provider (`p7`) or a client's endpoint (`c12`).

    Jobs of one lane share its limits and its circuit breakers; jobs of different lanes never wait for each other. In
    the database, in messages and in logs a lane is its text, which only this class builds and reads.
    """

    __slots__ = ()
    PROVIDER = "p"
    CLIENT = "c"

    @classmethod
    def provider(cls, id: int) -> Lane:
        """Return the lane of the provider with this primary key."""
        return cls(f"{cls.PROVIDER}{id}")

    @classmethod
    def client(cls, id: int) -> Lane:
        """Return the lane of the endpoint of the client with this primary key."""
        return cls(f"{cls.CLIENT}{id}")

    @property
    def owner(self) -> str:
        """`Lane.PROVIDER` or `Lane.CLIENT`."""
        return self[:1]

    @property
    def owner_id(self) -> int:
        """The primary key of the provider or client. Raises ValueError for a text that is not a lane."""
        return int(self[1:])


@dataclass(frozen=True, slots=True)
class Limit:
    """Limits of a lane over all workers. The default stops the lane."""

    in_flight: int = 0
    """Jobs that may run at the same time."""
    per_second: float | None = None
    """Calls that may begin in a second; None: unlimited."""
    breaker: bool = False
    """True if failing runs open the lane's circuit breaker (see `workers.breaker`)."""
    counted: bool = False
    """True if it is recorded since when all runs fail, also without a breaker (see `workers.breaker.FAILING`)."""


STOPPED = Limit()
