"""The chime inside the home. Only the simulated kind exists: it writes a line to the log."""

import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Chime(Protocol):
    """Something that rings; `ring` returns at once."""

    def ring(self) -> None:
        """Ring once."""


class SimulatedChime:
    """Logs what a chime and a light would do."""

    def ring(self) -> None:
        """Log one ring."""
        log.info("chime=ding-dong light=on (simulated)")


class NoChime:
    """No chime."""

    def ring(self) -> None:
        """Do nothing."""
