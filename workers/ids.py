"""Ids as people type them."""

from uuid import UUID

BIGGEST = 2**63 - 1


def as_uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def as_number(term: str) -> int | None:
    """The number of a row; None when it is none that a row could have."""
    number = int(term) if term.isascii() and term.isdecimal() and len(term) < 20 else 0
    return number if 0 < number <= BIGGEST else None
