"""Settings of one run, from the command line."""

from dataclasses import dataclass
from random import Random

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """All durations are in seconds at normal speed; `scaled` converts them to our clock."""

    speed: float = 1.0
    seed: int = 1
    answer_seconds: Range = (0.2, 10.0)
    settle_seconds: Range = (1.0, 20.0)
    callback_secrets: tuple[str, ...] = ()
    webhook_secret: str | None = None

    def scaled(self, seconds: float) -> float:
        """Convert seconds at normal speed to seconds on our clock."""
        return seconds / self.speed

    def chance(self, key: str) -> Random:
        """Return a random generator that depends only on the seed and the key."""
        return Random(f"{self.seed}/{key}")  # noqa: S311 - runs must be repeatable
