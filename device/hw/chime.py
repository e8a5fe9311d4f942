"""The chime: what the house hears. Simulated until sound comes: a line in the log."""

import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Chime(Protocol):
    """Something that rings; `ring` returns at once."""

    def ring(self) -> None:
        """Ring once."""


class SimulatedChime:
    """Says in the log what a chime and a light would do."""

    def ring(self) -> None:
        """Log one ring."""
        log.info("chime=ding-dong light=on (simulated)")


class NoChime:
    """A house without a chime."""

    def ring(self) -> None:
        """Do nothing."""
