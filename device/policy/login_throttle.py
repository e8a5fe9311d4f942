"""Limits password attempts: an address waits longer after each of its failures; other addresses do not."""

from collections import OrderedDict

FREE_TRIES = 4
"""Failures without a delay, for typing errors."""
MAX_WAIT_US = 30_000_000
"""The longest delay. Nobody is locked out for good: another machine's guesses must not keep the owner out."""
FORGIVEN_US = 900_000_000
MAX_PEERS = 1000


class Tries:
    """Counts failures by address; it is handed the monotonic time in microseconds."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def wait_us(self, peer: str, mono_us: int) -> int:
        """Return how long `peer` has to wait before the next try, 0 if not at all."""
        count, last_us = self._failed.get(peer, (0, 0))
        if count <= FREE_TRIES or mono_us - last_us > FORGIVEN_US:
            return 0
        delay_us = min(MAX_WAIT_US, 1_000_000 << min(count - FREE_TRIES - 1, 10))
        return max(0, last_us + delay_us - mono_us)

    def failed(self, peer: str, mono_us: int) -> None:
        """Count a failure."""
        count, last_us = self._failed.pop(peer, (0, 0))
        self._failed[peer] = (1 if mono_us - last_us > FORGIVEN_US else count + 1, mono_us)
        if len(self._failed) > MAX_PEERS:
            self._failed.popitem(last=False)

    def passed(self, peer: str) -> None:
        """Forget the failures of an address that logged in."""
        self._failed.pop(peer, None)
