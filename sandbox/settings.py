"""What the command line fixes for one run."""

from dataclasses import dataclass
from random import Random

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """Durations are in unscaled seconds; `scaled` gives what really passes on the clock."""

    speed: float = 1.0
    seed: int = 1
    answer_seconds: Range = (0.2, 10.0)
    settle_seconds: Range = (1.0, 20.0)
    callback_secrets: tuple[str, ...] = ()
    webhook_secret: str | None = None

    def scaled(self, seconds: float) -> float:
        """Seconds at normal speed -> seconds on this run's clock."""
        return seconds / self.speed

    def chance(self, key: str) -> Random:
        """Draws that are the same in every run with this seed, whatever came before them."""
        return Random(f"{self.seed}/{key}")  # noqa: S311 - guessable is what they are meant to be
