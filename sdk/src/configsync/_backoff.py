"""How long to wait before the next attempt."""

import random

from configsync._errors import ApiError

FIRST, LONGEST = 0.5, 30.0
MOST_PATIENCE = 300.0
"""A server may ask for more than LONGEST, but not for ever."""


class Backoff:
    """Full jitter: anything up to a limit that doubles with every failure."""

    def __init__(self) -> None:
        self._limit = FIRST
        self.first = FIRST

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._limit = self.first

    def delay(self, error: Exception | None = None) -> float:
        """Return the seconds to wait; never less than the server asked for."""
        limit, self._limit = self._limit, min(self._limit * 2, LONGEST)
        jitter = random.uniform(0.05, limit)  # noqa: S311  (spreads load)
        asked = error.retry_after if isinstance(error, ApiError) else None
        return jitter if asked is None else min(asked, MOST_PATIENCE) + jitter
