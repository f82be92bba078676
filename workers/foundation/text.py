"""Text from outside, as PostgreSQL can hold it: JSON lets NUL and halves of surrogate pairs pass."""

from datetime import UTC, datetime


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold this text."""
    return text == as_storable(text, len(text))


def as_storable(text: str, most: int) -> str:
    """The first `most` characters of `text`, with what the database cannot hold replaced."""
    return text[:most].encode("utf-8", "replace").decode().replace("\x00", "?")


def rfc3339(time: datetime) -> str:
    """RFC 3339 in UTC, with microseconds and Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
