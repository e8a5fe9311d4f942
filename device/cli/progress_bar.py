"""A progress bar: the part that is done, and the time left."""

import sys
import time

from device.cli.formatting import span_text

WIDTH = 30


class Bar:
    """Drawn on standard error, over itself."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def show(self, done: int, whole: int) -> None:
        """Draw `done` of `whole`."""
        share = done / whole if whole else 1.0
        spent_s = time.monotonic() - self._began_s
        left = span_text(spent_s / share - spent_s) if share > 0 else "?"
        full = "#" * int(share * WIDTH)
        sys.stderr.write(f"\r[{full:<{WIDTH}}] {share:4.0%}  {left} left \033[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Wipe the line away."""
        sys.stderr.write("\r\033[K")
