"""Text that PostgreSQL can store: JSON also allows NUL and halves of surrogate pairs."""

from datetime import UTC, datetime


def storable(text: str) -> bool:
    """Return True if PostgreSQL can store this text."""
    return text == as_storable(text, len(text))


def as_storable(text: str, most: int) -> str:
    """Return the first `most` characters of `text`; replace those that the database cannot store."""
    return text[:most].encode("utf-8", "replace").decode().replace("\x00", "?")


def rfc3339(time: datetime) -> str:
    """Format a time by RFC 3339 in UTC, with microseconds and Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
