"""How often a password may be tried: each address waits longer after each failure, and no other one does."""

from collections import OrderedDict

FREE_TRIES = 4
"""Typing errors that cost no wait."""
MAX_WAIT_US = 30_000_000
"""Nobody is locked out: at home one machine's guesses must not keep the owner at the door."""
FORGIVEN_US = 900_000_000
MAX_PEERS = 1000


class Tries:
    """Counts failures by address; told the monotonic time, in microseconds."""

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
        """Take a failure."""
        count, last_us = self._failed.pop(peer, (0, 0))
        self._failed[peer] = (1 if mono_us - last_us > FORGIVEN_US else count + 1, mono_us)
        if len(self._failed) > MAX_PEERS:
            self._failed.popitem(last=False)

    def passed(self, peer: str) -> None:
        """Forget the failures of who knew the password."""
        self._failed.pop(peer, None)
