"""UUIDs of version 7 (RFC 9562, 5.7), which order lists by time: a millisecond clock, then random bits."""

import os
import time
from datetime import datetime
from uuid import UUID


def uuid7() -> UUID:
    """Return a new id, made now."""
    value = int.from_bytes((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10), "big")
    value &= ~(0xF << 76 | 0x3 << 62)
    return UUID(int=value | 0x7 << 76 | 0x2 << 62)


def first_at(time: datetime) -> UUID:
    """Return the smallest id of a time: rows with this or a greater id were made then, to the millisecond, or later."""
    return UUID(int=int(time.timestamp() * 1000) << 80)


BIGGEST = 2**63 - 1


def as_uuid(term: str) -> UUID | None:
    """Parse a UUID; None if the text is not one."""
    try:
        return UUID(term)
    except ValueError:
        return None


def as_number(term: str) -> int | None:
    """Parse the number of a row; None if no row can have it."""
    number = int(term) if term.isascii() and term.isdecimal() and len(term) < 20 else 0
    return number if 0 < number <= BIGGEST else None
