"""A token bucket, which limits how often input from outside is acted on."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class TokenBucket:
    """`burst` at once, then one every `refill_us`; it is handed the time."""

    burst: int
    refill_us: int
    _tokens: float | None = None
    _last_us: int = 0

    def take(self, mono_us: int) -> bool:
        """Take one token; False if there is none."""
        if self._tokens is None:
            self._tokens = float(self.burst)
        else:
            gained = (mono_us - self._last_us) / self.refill_us
            self._tokens = min(float(self.burst), self._tokens + gained)
        self._last_us = mono_us
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
