"""Faulty broker messages: repeated, late, reordered, and invalid."""

import time
from random import Random
from uuid import uuid4

import dramatiq
import redis

ACTORS = {"create": "create_at_provider", "track": "track_status", "notify": "notify_client"}
WATCHED = 3.0
"""Longest time in seconds to watch for messages."""
MIN_MESSAGES = 30
"""Largest number of messages to catch."""
RUBBISH: tuple[dict[str, float], ...] = (
    {"p999999": 0.0},
    {"c-1": 0.0},
    {"": 0.0},
    {"nowhere": -1.0},
    {"p1": 1e300},
    {},
)
"""Messages with unknown lanes and unreachable times."""


def repeat(broker: "redis.Redis", chance: Random) -> None:
    """Deliver messages in transit once more under their own ids, and as copies."""
    for queue, id_, message in _caught(broker):
        broker.rpush(f"dramatiq:{queue}", id_)
        for _ in range(chance.randint(1, 5)):
            _push(broker, queue, message)


def disorder(broker: "redis.Redis", chance: Random) -> None:
    """Deliver old messages in random order, mixed with invalid messages."""
    caught = [(queue, message) for queue, _, message in _caught(broker)]
    rubbish = [(queue, _encoded(queue, lanes)) for queue in ACTORS for lanes in RUBBISH]
    rubbish += [(queue, b"this is no message") for queue in ACTORS]
    batch = caught + rubbish
    chance.shuffle(batch)
    for queue, message in batch:
        _push(broker, queue, message)


def _caught(broker: "redis.Redis") -> list[tuple[str, bytes, bytes]]:
    """Return queue, id and content of messages that workers hold now. A message exists only for milliseconds."""
    found: dict[bytes, tuple[str, bytes, bytes]] = {}
    until = time.monotonic() + WATCHED
    while len(found) < MIN_MESSAGES and time.monotonic() < until:
        for queue in ACTORS:
            held: dict[bytes, bytes] = broker.hgetall(f"dramatiq:{queue}.msgs")  # type: ignore[assignment]
            found |= {id_: (queue, id_, message) for id_, message in held.items()}
        time.sleep(0.001)
    return list(found.values())


def _push(broker: "redis.Redis", queue: str, message: bytes) -> None:
    """Enqueue a message as Dramatiq does."""
    id_ = str(uuid4())
    try:  # the worker acknowledges the id inside the message
        decoded = dramatiq.Message.decode(message)
        message = decoded.copy(options=decoded.options | {"redis_message_id": id_}).encode()
    except dramatiq.DecodeError:
        pass
    broker.hset(f"dramatiq:{queue}.msgs", id_, message)
    broker.rpush(f"dramatiq:{queue}", id_)


def _encoded(queue: str, lanes: dict[str, float]) -> bytes:
    return dramatiq.Message(queue_name=queue, actor_name=ACTORS[queue], args=(lanes,), kwargs={}, options={}).encode()
